"""Banks whose ``zarr.json`` somebody has changed: the message says what is wrong, and nothing is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BankError

tfd = tfp.distributions


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})
def toy(parameters, seed):
    """Return the parameter."""
    return {"y": parameters["mean"]}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def described(folder: Path, change) -> Path:
    """The same bank with another description."""
    file = folder / "zarr.json"
    content = json.loads(file.read_text())
    change(content["attributes"])
    file.write_text(json.dumps(content))
    return folder


def put(*path, value):
    def change(attributes) -> None:
        for name in path[:-1]:
            attributes = attributes[name]
        attributes[path[-1]] = value

    return change


def use(folder: Path) -> None:
    bank = bi.open_bank(folder)
    _ = (
        repr(bank),
        bank.shapes,
        bank.proposal,
        bank.identity,
        bank.fingerprint,
        bank.nbytes,
        bank.missing,
        bank.failed,
    )
    bank.read(slice(0, 3))
    bank.check_simulator(toy)
    bi.simulate_bank(toy, 8, folder, seed=3, progress=False)


WRONG_ATTRIBUTES = {
    **{f"no {name}": (lambda attributes, name=name: attributes.pop(name), name)
       for name in ("simulator", "fingerprint", "prior", "seed", "rows_per_chunk", "declared")},
    **{f"{name} = {value!r}": (put(name, value=value), name)
       for name in ("simulator", "fingerprint", "prior", "seed", "rows_per_chunk", "declared")
       for value in (None, True, -1, 2.5, [], {}, [1], {"a": 1})},
    "no rows": (put("rows_per_chunk", value=0), "rows_per_chunk"),
    "other rows": (put("rows_per_chunk", value=7), "7 in a chunk"),
    "endless rows": (put("rows_per_chunk", value=10**30), "arrays of all variables"),
    **{f"{kind} = {value!r}": (put("declared", kind, value=value), "declared")
       for kind in ("parameters", "observables", "context")
       for value in (None, 3, "x", [], {"mean": None}, {"mean": ["a"]}, {"mean": [True]}, {"mean": 1})},
    "a negative length": (put("declared", "parameters", value={"mean": [-1]}), "declared.parameters.mean"),
    "another shape": (put("declared", "parameters", value={"mean": [3]}), "rows (3,)"),
    "a group": (put("declared", "parameters", value={"chunk": []}), "arrays of all variables"),
    "a place outside": (put("declared", "parameters", value={"../mean": []}), "arrays of all variables"),
    "an unknown name": (put("declared", "parameters", value={"sigma": []}), "arrays of all variables"),
    "no name": (put("declared", "parameters", value={"": []}), "arrays of all variables"),
    "a version": (put("format_version", value=7), "that wrote it, 0."),
    "a version of nobody": (lambda attributes: attributes.update(format_version=7, versions="x"), "not known"),
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "bank"
    bi.simulate_bank(toy, 8, folder, seed=3, chunk=4, progress=False)
    return folder


@pytest.mark.parametrize("name", WRONG_ATTRIBUTES)
def test_odd_attributes_are_named(tiny: Path, tmp_path, name: str) -> None:
    change, fragment = WRONG_ATTRIBUTES[name]
    folder = described(shutil.copytree(tiny, tmp_path / "bank"), change)
    before = contents(folder)
    with pytest.raises(BankError, match=r"(?s)expected.*got.*do this") as error:
        use(folder)
    assert fragment in str(error.value)
    assert contents(folder) == before


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "3", '{"zarr_format": 3}', '{"zarr_format": 9}']
)
@pytest.mark.parametrize(
    "file", ["zarr.json", "mean/zarr.json", "chunk/zarr.json", "chunk/checksum/zarr.json"]
)
def test_odd_descriptions_of_arrays_are_explained(
    tiny: Path, tmp_path, file: str, content: str
) -> None:
    folder = shutil.copytree(tiny, tmp_path / "bank")
    (folder / file).write_text(content)
    with pytest.raises(BankError, match=r"(?s)expected.*got.*do this"):
        use(folder)
