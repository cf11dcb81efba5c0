"""Saved posteriors: what loading gives, and clear words about what does not fit."""

from __future__ import annotations

import functools
import gc
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import SavedPosteriorError
from bayesinn.simulators.linear import linear
from tests.helpers.models import series, small_flow
from tests.helpers.saved import save

tfd = tfp.distributions


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("posteriors")
    return {
        name: save(name, root / str(number))
        for number, name in enumerate(("identity", "a user's dropout"))
    }


def test_training_data_are_remembered_by_their_fingerprint(tmp_path) -> None:
    fingerprints = []
    for seed in (1, 1, 2):
        posterior = bi.AmortizedPosterior(linear, flow=small_flow(blocks=1, hidden=(8,)))
        posterior.fit(linear.sample(64, seed=seed), steps=1, batch_size=32, seed=1, progress=False)
        folder = posterior.save(tmp_path / "posterior")
        fingerprints.append(json.loads((folder / "manifest.json").read_text())["training"]["data"])
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_a_loaded_posterior_is_a_posterior(folders: dict[str, Path], tmp_path) -> None:
    posterior = bi.load(folders["identity"])
    assert "trained for 2 steps" in repr(posterior)
    assert posterior.history["step"].tolist() == [1, 2]
    again = bi.load(posterior.save(tmp_path / "again"))
    for name, value in posterior.sample({"y": 1.5}, draws=5, seed=1).items():
        np.testing.assert_array_equal(value, again.sample({"y": 1.5}, draws=5, seed=1)[name])
    posterior.fit(steps=1, batch_size=32, seed=1, progress=False)


# What does not fit


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path) -> Path:
    return shutil.copytree(folders["identity"], tmp_path / "posterior")


def change(folder: Path, **entries) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


def refusal(folder: Path, simulator: bi.Simulator | None = None, **options) -> str:
    with pytest.raises(SavedPosteriorError) as error:
        bi.load(folder, simulator, **options)
    message = str(error.value)
    assert "expected: " in message
    assert "do this:  " in message
    return message


def test_a_newer_format(folder: Path) -> None:
    change(folder, format=4, bayesinn="7.1")
    message = refusal(folder)
    assert "format 4, written by bayesinn 7.1" in message
    assert "pip install 'bayesinn==7.1'" in message


def test_the_order_of_parameters_counts(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(folder, parameters=dict(reversed(manifest["parameters"].items())))
    assert "Simulator 'linear' for a saved posterior" in refusal(folder)


@pytest.mark.parametrize("content", ["{", "[]", "{}", "\x00\x01", ""])
def test_a_corrupt_manifest(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    assert "manifest.json" in refusal(folder)


def test_a_manifest_with_a_gap(folder: Path) -> None:
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["network"]
    file.write_text(json.dumps(manifest))
    message = refusal(folder)
    assert "entry 'network'" in message
    assert "missing" in message


def test_missing_parts(folder: Path, tmp_path) -> None:
    (folder / "weights.h5").unlink()
    assert "weights.h5" in refusal(folder)
    (folder / "manifest.json").unlink()
    assert "no manifest.json" in refusal(folder)
    assert "no such folder" in refusal(tmp_path / "nowhere")


def test_a_run_folder_is_told_what_to_load(folder: Path, tmp_path) -> None:
    (tmp_path / "run").mkdir()
    folder.rename(tmp_path / "run" / "posterior")
    assert f"give {str(tmp_path / 'run' / 'posterior')!r}" in refusal(tmp_path / "run")


def test_damaged_weights(folder: Path) -> None:
    weights = folder / "weights.h5"
    weights.write_bytes(weights.read_bytes()[:2000])
    assert "weights that belong to manifest.json" in refusal(folder)


def test_weights_of_another_network(folders: dict[str, Path], folder: Path) -> None:
    shutil.copy(folders["a user's dropout"] / "weights.h5", folder / "weights.h5")
    assert "weights that belong to manifest.json" in refusal(folder)


def test_a_class_that_is_gone(folders: dict[str, Path], tmp_path) -> None:
    folder = shutil.copytree(folders["a user's dropout"], tmp_path / "posterior")
    file = folder / "manifest.json"
    file.write_text(
        file.read_text().replace("tests.helpers.models.Dropping", "tests.helpers.models.Gone")
    )
    message = refusal(folder)
    assert "tests.helpers.models.Gone" in message
    assert "import the module" in message


def test_a_simulator_that_changed(folder: Path) -> None:
    @bi.simulator(prior={"x1": tfd.Normal(0.0, 1.0), "x2": tfd.Normal([0.0, 0.0], 1.0)})
    def other(parameters, seed):
        return {"y": parameters["x1"]}

    message = refusal(folder, other)
    assert "'other'" in message
    assert "parameters {'x1': [], 'x2': [2]} in place of {'x1': [], 'x2': []}" in message

    @bi.simulator(prior={"x1": tfd.Normal(0.0, 1.0), "x2": tfd.Normal(0.0, 1.0)})
    def renamed(parameters, seed):
        return {"z": parameters["x1"]}

    assert "observables {'z': []} in place of {'y': []}" in refusal(folder, renamed)


def test_a_changed_prior(folder: Path) -> None:
    @bi.simulator(prior={"x1": tfd.Normal(0.0, 1.0), "x2": tfd.Normal(0.0, 2.0)}, name="linear")
    def changed(parameters, seed):
        return {"y": parameters["x1"] + parameters["x2"]}

    with pytest.warns(UserWarning, match="was trained on") as caught:
        assert bi.load(folder, changed).trained
    message = str(caught[0].message)
    assert "expected: the simulator that this posterior was trained on" in message
    change = "Normal(loc=0.0, scale=2.0) in place of Normal(loc=0.0, scale=1.0)"
    assert f"got:      another: the prior of 'x2' is {change}" in message
    assert "check_simulator=False" in message
    assert bi.load(folder, changed, check_simulator=False).trained


def test_a_simulator_that_is_gone(folder: Path) -> None:
    gone = {"name": "gone", "module": "__main__", "object": "gone", "file": ""}
    change(folder, simulator=gone)
    message = refusal(folder)
    for words in (
        "bi.load(folder, simulator=...)",
        "--simulator FILE.py:NAME",
        "trust_source=True",
        "--trust",
    ):
        assert words in message
    assert bi.load(folder, linear).trained
    change(folder, simulator={**gone, "module": "nowhere.at.all"})
    assert "nowhere.at.all:gone" in refusal(folder)
    assert "nowhere.at.all:gone" in refusal(folder, trust_source=True)


def test_a_simulator_is_found_by_its_name(folder: Path) -> None:
    """Saved by a script with functions in __main__, loaded where a function makes the simulator."""
    change(
        folder, simulator={"name": "sum of two", "module": "__main__", "object": "two", "file": ""}
    )

    def declare() -> bi.Simulator:
        @bi.simulator(
            prior={"x1": tfd.Normal(0.0, 1.0), "x2": tfd.Normal(0.0, 1.0)}, name="sum of two"
        )
        def inner(parameters, seed):
            return linear.function(parameters, seed)

        return inner

    first = declare()
    assert bi.load(folder).simulator is first
    # The last one that was declared at a place counts, two at different places don't.
    second = declare()
    assert bi.load(folder).simulator is second
    third = bi.simulator(prior={"x": tfd.Normal(0.0, 1.0)}, name="sum of two")(Shifted())
    assert "2 of that name" in refusal(folder)
    del first, second, third
    gc.collect()
    assert "none of that name" in refusal(folder)


MINE = """
import bayesinn as bi
import tensorflow_probability as tfp
from pathlib import Path

Path(__file__).with_suffix(".ran").touch()

PRIOR = {"mean": tfp.distributions.Normal(0.0, 1.0)}

@bi.simulator(prior=PRIOR)
def mine(parameters, seed):
    return {"x": parameters["mean"]}

program = bi.command_simulator(["printf", '{{"x": {mean}}}'], prior=PRIOR, workers=1)

def make():
    return bi.command_simulator(["printf", '{{"x": {mean}}}'], prior=PRIOR, workers=1, name="made")

made = [make()]
"""


LOAD_MINE = """
import sys
from pathlib import Path
import bayesinn as bi

try:
    bi.load(sys.argv[1])
except RuntimeError as error:
    print(str(error).splitlines()[2])
print(Path(sys.argv[2]).exists())
print(bi.load(sys.argv[1], trust_source=True).simulator.name)
print(Path(sys.argv[2]).exists())
"""


def save_fitted(simulator: bi.Simulator, folder: Path) -> Path:
    posterior = bi.AmortizedPosterior(simulator, flow=small_flow(blocks=1, hidden=(8,)))
    return posterior.fit(
        simulator.sample(32, seed=1), steps=1, batch_size=32, seed=1, progress=False
    ).save(folder)


@pytest.mark.parametrize(("variable", "name"), [("mine", "mine"), ("program", "printf")])
def test_a_simulator_in_a_file_is_run_when_trusted(
    tmp_path, fresh_python, variable: str, name: str
) -> None:
    """A decorated function, or an external program, which has no name but that of its variable."""
    file = tmp_path / "my_own_model.py"
    ran = tmp_path / "my_own_model.ran"
    file.write_text(MINE)
    folder = save_fitted(bi.get_simulator(f"{file}:{variable}"), tmp_path / "posterior")
    ran.unlink()
    lines = fresh_python(LOAD_MINE, folder, ran).stdout.splitlines()
    assert lines[0] == f"  got:      none of that name; its source, {file}, is not run untrusted"
    assert lines[1:] == ["False", name, "True"]


def test_a_program_without_a_variable_must_be_passed(tmp_path) -> None:
    file = tmp_path / "my_made_model.py"
    file.write_text(MINE)
    bi.get_simulator(f"{file}:mine")
    (made,) = sys.modules["my_made_model"].made
    folder = save_fitted(made, tmp_path / "posterior")
    assert bi.load(folder, made).trained
    change(
        folder,
        simulator={
            **json.loads((folder / "manifest.json").read_text())["simulator"],
            "name": "gone",
        },
    )
    message = refusal(folder, trust_source=True)
    assert "no module has it" in message
    assert "do this:  pass it: bi.load(folder, simulator=...), --simulator FILE.py:NAME" in message
    assert "trust" not in message


def test_what_cannot_be_written_down_is_refused(tmp_path) -> None:
    class Function(bi.summaries.Summary):
        def __init__(self, function) -> None:
            super().__init__()
            self.function = function

        def call(self, x, mask=None):
            return self.function(x)

    posterior = bi.AmortizedPosterior(series, Function(tf.identity), small_flow())
    with pytest.raises(ValueError, match="can be saved and rebuilt"):
        posterior.fit(steps=1, batch_size=32, seed=1, progress=False)


class Shifted:
    """A simulator that is an object."""

    def __call__(self, parameters, seed):
        return {"y": parameters["x"] + tf.random.stateless_normal(tf.shape(parameters["x"]), seed)}


@pytest.mark.parametrize("function", [Shifted(), functools.partial(Shifted.__call__, Shifted())])
def test_partial_functions_and_objects_are_saved_and_passed_to_load(function, tmp_path) -> None:
    simulator = bi.simulator(prior={"x": tfd.Normal(0.0, 1.0)}, name="shifted")(function)
    posterior = bi.AmortizedPosterior(simulator, flow=small_flow(blocks=1, hidden=(8,)))
    posterior.fit(
        simulator.sample(64, seed=1),
        steps=2,
        batch_size=32,
        optimization=bi.Optimization(patience=np.int64(5)),
        seed=1,
        progress=False,
    )
    folder = posterior.save(tmp_path / "posterior")
    loaded = bi.load(folder, simulator=simulator)
    draws, again = (each.sample({"y": 1.0}, draws=5, seed=1)["x"] for each in (posterior, loaded))
    np.testing.assert_array_equal(draws, again)
    assert bi.load(folder).simulator is simulator
