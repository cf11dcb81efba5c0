"""Folders of format 1, from version 0.1.0, load for good: those here, and the published ones."""

import json
from pathlib import Path

import numpy as np
import pytest

import bayesinn as bi
from bayesinn.core.configuration import public_name, registered_class
from bayesinn.core.errors import SavedPosteriorError
from bayesinn.posterior import format1

HERE = Path(__file__).parent / "format1"
PUBLISHED = Path(__file__).parents[2] / "paper_results" / "covid19_germany"


@pytest.mark.parametrize("name", sorted(set(format1.NAMES.values())))
def test_every_class_of_format_1_is_still_there(name: str) -> None:
    assert public_name(registered_class(name)) == name


def test_classes_of_users_keep_their_module() -> None:
    old = {
        "class": "my.model:Summary",
        "arguments": {"inner": [{"class": "simulators.x:Y", "arguments": {}}]},
    }
    new = {
        "class": "my.model.Summary",
        "arguments": {"inner": [{"class": "bayesinn.simulators.x.Y", "arguments": {}}]},
    }
    assert format1.rewrite_network(old) == new


def test_a_split_latent_posterior_answers_as_before() -> None:
    kind = bi.inverse.SplitLatent
    posterior = bi.load(HERE / "split")
    assert isinstance(posterior, kind)
    expected = np.load(HERE / "split" / "expected.npz")
    draws = posterior.sample({"y": [0.5, 1.5]}, draws=5, seed=3)
    # Another machine rounds differently.
    for name in ("x1", "x2"):
        np.testing.assert_allclose(draws[name], expected[name], rtol=1e-3, atol=1e-4)
    given = {name: expected[name] for name in ("x1", "x2")}
    np.testing.assert_allclose(
        posterior.log_prob(given, {"y": [0.5, 1.5]}), expected["log_prob"], rtol=1e-3, atol=1e-2
    )
    np.testing.assert_allclose(draws.p_value, expected["p_value"], atol=1e-3)


def test_a_latent_mixture_answers_as_before() -> None:
    model = bi.inverse.LatentMixture.load(HERE / "mixture")
    expected = np.load(HERE / "mixture" / "expected.npz")
    assert model.classes == ("left", "right")
    np.testing.assert_allclose(
        model.log_prob(expected["x"]), expected["log_prob"], rtol=1e-4, atol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["posterior", "posterior_regular", "posterior_states"])
def test_published_posteriors_load(name: str, tmp_path) -> None:
    posterior = bi.load(PUBLISHED / name)
    manifest = json.loads((PUBLISHED / name / "manifest.json").read_text())
    assert manifest["format"] == 1
    assert posterior.history["loss"].tolist() == manifest["history"]["loss"]
    if name == "posterior_states":
        # What is saved again has the present format, and the same weights.
        again = bi.load(posterior.save(tmp_path / "again"))
        assert json.loads((tmp_path / "again" / "manifest.json").read_text())["format"] == 2
        assert again.fingerprint == posterior.fingerprint


def test_format_1_runs_no_code_either(tmp_path) -> None:
    folder = tmp_path / "posterior"
    folder.mkdir()
    manifest = json.loads((HERE / "split" / "manifest.json").read_text())
    manifest["network"]["flow"] = {
        "class": "os:system",
        "arguments": {"command": f"touch {tmp_path}/ran"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "weights.h5").write_bytes((HERE / "split" / "weights.h5").read_bytes())
    with pytest.raises(SavedPosteriorError, match=r"'os\.system'"):
        bi.load(folder)
    assert not (tmp_path / "ran").exists()
