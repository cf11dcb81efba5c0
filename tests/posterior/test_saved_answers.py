"""Folders that earlier versions saved answer as they did then."""

import json
from pathlib import Path

import numpy as np
import pytest

import bayesinn as bi

HERE = Path(__file__).parent / "saved"
PUBLISHED = Path(__file__).parents[2] / "paper_results" / "covid19_germany"


def test_a_split_latent_posterior_answers_as_before() -> None:
    posterior = bi.load(HERE / "split")
    assert isinstance(posterior, bi.inverse.SplitLatent)
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
    assert posterior.history["loss"].tolist() == manifest["history"]["loss"]
    if name == "posterior_states":
        again = bi.load(posterior.save(tmp_path / "again"))
        assert again.fingerprint == posterior.fingerprint
