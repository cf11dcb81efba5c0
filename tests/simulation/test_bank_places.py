"""Banks in places of odd names: each is itself, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BankError, InputError
from bayesinn.simulation.bank import Bank

tfd = tfp.distributions
#: All of these are fine as names of folders; to Zarr or fsspec some of them are parts of an
#: address.
NAMES = [
    "a#b", "a?b", "a;b", "a", "a%20b", "a b", "ä", "memory:a", "s3:a", "~", "{a}", "a{b", "%s", "*", "a\nb", "$HOME",
    "#",
]  # fmt: skip


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})
def toy(parameters, seed):
    """Return the parameter."""
    return {"y": parameters["mean"]}


def write(folder, n: int = 4, seed: int = 1) -> Bank:
    return bi.simulate_bank(toy, n, folder, seed=seed, chunk=4, progress=False)


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Path:
    """A bank of its own seed in each of the places, all in one folder."""
    folder = tmp_path_factory.mktemp("odd")
    for seed, name in enumerate(NAMES):
        write(folder / name, seed=seed)
    return folder


def test_places_are_as_many_as_names(places: Path) -> None:
    assert sorted(os.listdir(places)) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_place_of_an_odd_name_is_that_place(places: Path, name: str) -> None:
    bank = bi.open_bank(str(places / name))
    assert bank.seed == NAMES.index(name)
    assert bank.verify() == bank.missing == []
    np.testing.assert_array_equal(bank.dataset["y"], bank.read()["y"])


@pytest.mark.parametrize("name", ["a#b", "~", "a;b?c"])
def test_a_place_is_the_same_by_any_path_to_it(tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    paths = (
        tmp_path / name,
        f"./{name}",
        f"./{name}/",
        f"{tmp_path}/other/../{name}",
        f"file://{tmp_path / name}",
    )
    (tmp_path / "other").mkdir()
    for number, path in enumerate(paths):
        bank = write(path, 4 * (number + 1))
        assert len(bank) == 4 * (number + 1)
        assert bank.missing == []
    assert set(os.listdir(tmp_path)) == {name, "other"}


def test_a_folder_whose_name_is_the_beginning_is_left_alone(tmp_path) -> None:
    (tmp_path / "thesis").mkdir()
    first, second = (write(tmp_path / f"thesis#{seed}", seed=seed) for seed in (1, 2))
    assert set(os.listdir(tmp_path)) == {"thesis", "thesis#1", "thesis#2"}
    assert (first.seed, second.seed) == (1, 2)
    assert not os.listdir(tmp_path / "thesis")
    with pytest.raises(BankError, match="no Zarr group"):
        bi.open_bank(tmp_path / "thesis")


@pytest.mark.parametrize("place", ["", "a\0b", "\ud800", "x" * 300, f"a/{'ä' * 200}/b"], ids=ascii)
def test_places_that_no_disk_can_hold_are_refused(place: str) -> None:
    for call in (bi.open_bank, write):
        with pytest.raises(
            InputError, match=r"(?s)a path that a disk can hold.*do this:  pass for example 'bank'"
        ):
            call(place)


def test_variables_may_have_the_longest_names(tmp_path) -> None:
    name = "ä" * 100

    @bi.simulator(prior={name: tfd.Normal(0.0, 1.0)}, name="long")
    def function(parameters, seed):
        return {"y": parameters[name]}

    bank = bi.simulate_bank(function, 4, tmp_path / "bank", seed=1, progress=False)
    assert bank.read()[name].shape == (4,)
