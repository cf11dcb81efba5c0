"""Saved posteriors of every kind give equal bits in a new process, from two files, no pickle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import bayesinn as bi
from tests.helpers.saved import CASES, save

pytestmark = pytest.mark.slow

READ = """
import sys
import numpy as np
import bayesinn as bi
import tests.helpers.models  # the simulators, which are found by name

for folder in sys.argv[1:]:
    posterior = bi.load(folder)
    with np.load(folder + "/expected.npz") as file:
        expected = dict(file)
    data = {name[5:]: value for name, value in expected.items() if name.startswith("data_")}
    draws = posterior.sample(data, draws=40, seed=3)
    for name, value in draws.items():
        assert np.array_equal(value, expected["draw_" + name]), (folder, name)
    assert np.array_equal(posterior.log_prob(draws, data), expected["density"]), folder
    assert np.array_equal(draws.p_value, expected["p_value"]), folder
    print(folder, "equal")
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("posteriors")
    return {name: save(name, root / str(number)) for number, name in enumerate(CASES)}


def test_equal_bits_in_a_fresh_process(folders: dict[str, Path], fresh_python) -> None:
    done = fresh_python(READ, *folders.values())
    assert done.stdout.splitlines() == [f"{folder} equal" for folder in folders.values()]


def test_the_folder_holds_a_manifest_and_weights_and_no_pickle(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        assert {file.name for file in folder.iterdir()} == {
            "manifest.json",
            "weights.h5",
            "expected.npz",
        }
        for name in ("manifest.json", "weights.h5"):
            content = (folder / name).read_bytes()
            assert b"pickle" not in content
            assert not content.startswith(b"\x80")
        assert (folder / "weights.h5").read_bytes()[1:4] == b"HDF"


def test_the_manifest_can_be_read_by_people(folders: dict[str, Path]) -> None:
    manifest = json.loads((folders["context, several observables"] / "manifest.json").read_text())
    assert manifest["format"] == 3
    assert manifest["kind"] == "AmortizedPosterior"
    assert manifest["bayesinn"] == bi.__version__
    assert set(manifest["packages"]) == {"tensorflow", "tensorflow-probability", "keras", "numpy"}
    assert manifest["simulator"]["name"] == "survey"
    assert manifest["training"]["settings"]["seed"] == 1
    assert manifest["training"]["settings"]["steps"] == 2
    assert manifest["history"]["step"] == [1, 2]
    assert len(manifest["history"]["loss"]) == 2
    assert manifest["parameters"] == {"mean": [], "share": [3]}
    assert manifest["network"]["summaries"]["x"]["class"] == "summaries.SetTransformer"
    assert set(manifest["identity"]["draws"]) == {"mean", "share", "n", "dose"}
    assert np.shape(manifest["identity"]["draws"]["share"]) == (16, 3)
    assert manifest["network"]["summaries"]["x"]["arguments"]["width"] == 8
