"""Ensembles of trained posteriors: saved and loaded, damaged, their highest density."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError, SavedPosteriorError
from bayesinn.simulators.linear import linear
from tests.helpers.models import small_flow

DATA = {"y": np.array([-1.0, 1.5])}


def member(seed: int, steps: int) -> bi.AmortizedPosterior:
    posterior = bi.AmortizedPosterior(linear, flow=small_flow(blocks=1, hidden=(8,)))
    return posterior.fit(steps=steps, batch_size=64, seed=seed, progress=False)


@pytest.fixture(scope="module")
def members() -> list[bi.AmortizedPosterior]:
    # They disagree: the first has hardly begun.
    return [member(1, steps=5), member(2, steps=200)]


@pytest.fixture(scope="module")
def saved(members, tmp_path_factory) -> Path:
    inner = bi.Ensemble(members)
    ensemble = bi.Ensemble([inner, members[1]], weights=[0.1, 0.6])
    return ensemble.save(tmp_path_factory.mktemp("ensemble") / "saved")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "ensemble")


def entries(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def change(folder: Path, **other) -> None:
    (folder / "manifest.json").write_text(json.dumps(entries(folder) | other))


def test_answers_are_equal(members, saved: Path) -> None:
    ensemble = bi.Ensemble([bi.Ensemble(members), members[1]], weights=[0.1, 0.6])
    loaded = bi.load(saved)
    np.testing.assert_array_equal(loaded.weights, ensemble.weights)
    draws = ensemble.sample(DATA, draws=50, seed=1)
    for name, value in loaded.sample(DATA, draws=50, seed=1).items():
        np.testing.assert_array_equal(value, draws[name])
    np.testing.assert_array_equal(loaded.log_prob(draws, DATA), ensemble.log_prob(draws, DATA))


def test_the_simulator_is_checked_as_for_other_posteriors(folder: Path) -> None:
    normal = tfp.distributions.Normal(0.0, 1.0)
    other = bi.simulator(prior={"x1": normal, "x2": normal}, name="linear")(
        lambda parameters, seed: {"y": parameters["x1"]}
    )
    with pytest.warns(UserWarning, match="was trained on"):
        bi.load(folder, other)


def test_saving_again_replaces_all(members, folder: Path) -> None:
    before = entries(folder)["place"]
    (folder / "members-0123456789abcdef").mkdir()  # left by a save that was killed
    bi.Ensemble(members[:1]).save(folder)
    place = entries(folder)["place"]
    assert place != before
    assert sorted(file.name for file in folder.iterdir()) == ["manifest.json", place]
    assert len(bi.load(folder).posteriors) == 1
    # A posterior takes the place of an ensemble, and the other way round.
    members[0].save(folder)
    assert sorted(file.name for file in folder.iterdir()) == ["manifest.json", "weights.h5"]
    bi.Ensemble(members).save(folder)
    assert not (folder / "weights.h5").exists()


def test_saving_again_leaves_what_others_have_put_among_members(members, folder: Path) -> None:
    (old,) = folder.glob("members-*")
    note = old / "1" / "notes.txt"
    note.write_text("mine")
    kept = folder / "members-0123456789abcdef"
    kept.symlink_to(old, target_is_directory=True)
    bi.Ensemble(members[:1]).save(folder)
    assert note.read_text() == "mine"
    assert [path.name for path in old.rglob("*")] == ["1", "notes.txt"]
    assert kept.is_symlink()
    bi.load(folder)


def test_a_save_that_fails_leaves_the_old_one(members, folder: Path, monkeypatch) -> None:
    def fail(path: Path) -> None:
        raise OSError("disk full")

    before = sorted(folder.iterdir())
    monkeypatch.setattr(members[1], "save", fail)
    with pytest.raises(SavedPosteriorError, match="disk full"):
        bi.Ensemble(members).save(folder)
    assert sorted(folder.iterdir()) == before
    assert len(bi.load(folder).posteriors) == 2


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"weights": [1.0]}, r"(?s)entries \['weights'\].*2 numbers from 0"),
        ({"weights": "equal"}, r"entry 'weights'"),
        ({"place": "../members"}, r"(?s)entry 'place'.*16 hexadecimal digits"),
        ({"weights": [2.0, 2.0]}, r"(?s)entries \['weights'\].*add up to 1"),
        ({"weights": [1.0, float("nan")]}, r"(?s)entries \['weights'\]"),
        ({"members": 3}, r"(?s)entry 'members'.*number of folders in members-.*, 2"),
        ({"members": 0}, r"entry 'members'"),
        ({"members": 2**31}, r"entry 'members'"),
        ({"class": "posterior.AmortizedPosterior"}, r"(?s)entry 'class'.*has no members"),
        ({"format": 4}, r"format 4"),
    ],
)
def test_damaged_manifests(folder: Path, other: dict, message: str) -> None:
    change(folder, **other)
    with pytest.raises(SavedPosteriorError, match=message):
        bi.load(folder)


def test_damaged_members(folder: Path) -> None:
    weights = folder / entries(folder)["place"] / "2" / "weights.h5"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(SavedPosteriorError, match=r"(?s)/2/weights.h5.*other bytes"):
        bi.load(folder)


def test_functions_cannot_be_saved(members, tmp_path: Path) -> None:
    function = bi.SampledPosterior(linear, lambda data, draws, seed: {})
    with pytest.raises(InputError, match=r"(?s)Member 2 of the Ensemble.*what can be saved"):
        bi.Ensemble([members[0], function]).save(tmp_path / "ensemble")
    with pytest.raises(InputError, match="map of"):
        bi.Ensemble([members[0], function]).map(DATA)
    assert not (tmp_path / "ensemble").exists()


def test_the_mode_is_that_of_the_mixture(members) -> None:
    ensemble = bi.Ensemble(members, weights=[0.8, 0.2])
    found = ensemble.map(DATA, draws=200, seed=1)
    assert found.p_value.shape == (2,)
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-1.2, 1.2, 121)]), axis=-1).reshape(-1, 2)
    every = {name: np.stack(2 * [grid[:, k]]) for k, name in enumerate(("x1", "x2"))}
    place = np.stack([found["x1"], found["x2"]], axis=1)
    density = ensemble.log_prob(every, DATA)
    assert (density.max(axis=1) <= ensemble.log_prob(found, DATA) + 1e-4).all()
    np.testing.assert_allclose(place, grid[density.argmax(axis=1)], atol=0.03)
    # Each member's own mode is another point.
    for member in members:
        own = grid[member.log_prob(every, DATA).argmax(axis=1)]
        assert np.abs(own - place).max() > 0.03
