"""Manifests that somebody has changed: no code is run, and the message says what is wrong."""

import json
import shutil
import time
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np
import pytest

import bayesinn as bi
from bayesinn.core.errors import InputError, SavedPosteriorError
from tests.helpers.saved import save


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return save("identity", tmp_path_factory.mktemp("posterior") / "saved")


@pytest.fixture
def folder(original: Path, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, next to code that leaves the file 'ran' when it is run."""
    evil = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    (tmp_path / "evil_code.py").write_text(evil + "def obj(**arguments): pass\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(tmp_path)
    return shutil.copytree(original, tmp_path / "posterior")


def keras(module: str, name: str, registered: str | None = None, **config) -> dict:
    return {
        "keras": {
            "module": module,
            "class_name": name,
            "config": config,
            "registered_name": registered,
        }
    }


def call(name: str, **arguments) -> dict:
    return {"class": name, "arguments": arguments}


def in_chain(description: dict):
    """Put it where a flow has a bijection."""

    def change(manifest: dict) -> None:
        manifest["network"]["flow"]["arguments"]["chain"]["arguments"]["bijections"][0] = (
            description
        )

    return change


def as_latent(description: dict):
    def change(manifest: dict) -> None:
        manifest["network"]["flow"]["arguments"]["latent"] = description

    return change


def as_flow(description):
    return lambda manifest: manifest["network"].update(flow=description)


def as_summary(description):
    return lambda manifest: manifest["network"].update(summaries={"y": description})


def simulator(**reference):
    full = {"name": "nope", "module": "", "object": "obj", "file": "", **reference}
    return lambda manifest: manifest.update(simulator=full)


def entry(**entries):
    return lambda manifest: manifest.update(entries)


def identity(*path, value):
    """Put a value into what is kept of the simulator."""

    def change(manifest: dict) -> None:
        inner = manifest["identity"]
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


TOUCH = "touch ../ran"
LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wAAAAAA"}}
CODE = {
    "a function as the flow": (
        as_flow(call("os:system", command=TOUCH)),
        "Network class 'os:system'",
    ),
    "with a dot": (as_flow(call("os.system", command=TOUCH)), "Network class 'os.system'"),
    "a process": (
        as_flow(call("subprocess:Popen", args=["touch", "../ran"])),
        "'subprocess:Popen'",
    ),
    "a process as a summary": (
        as_summary(call("subprocess.Popen", args=["touch", "../ran"])),
        "'subprocess.Popen'",
    ),
    "inside of the chain": (in_chain(call("os.system", command=TOUCH)), "'os.system'"),
    "in an argument": (
        as_latent({"deep": [{"deeper": call("builtins.eval", source="1")}]}),
        "'builtins.eval'",
    ),
    "a module to import": (in_chain(call("evil_code:obj")), "'evil_code:obj'"),
    "a module in a room's name": (in_chain(call("flows.evil_code.obj")), "'flows.evil_code.obj'"),
    "an attribute of a room": (in_chain(call("bijections.importlib")), "'bijections.importlib'"),
    "a function as the posterior": (entry(**{"class": "os.system"}), "Network class 'os.system'"),
    "a number as a class": (in_chain(call(5)), "Network class '5'"),
    "a Keras lambda": (
        as_latent(keras("keras.layers", "Lambda", function=LAMBDA)),
        "'keras.layers.Lambda'",
    ),
    "a bare lambda": (as_latent({"keras": LAMBDA}), "'None.__lambda__'"),
    "a Keras module": (
        as_latent(keras("keras.saving", "load_model", filepath="x")),
        "'keras.saving.load_model'",
    ),
    "a function of Keras": (
        as_latent(keras("keras.layers", "deserialize")),
        "'keras.layers.deserialize'",
    ),
    "another module for Keras": (as_latent(keras("os", "system", command=TOUCH)), "'os.system'"),
    "a module for Keras to import": (
        as_latent(keras("keras.evil_code", "obj")),
        "'keras.evil_code.obj'",
    ),
    "a saved model of TensorFlow": (
        as_latent(keras("keras.layers", "TFSMLayer", filepath="x")),
        "TFSMLayer",
    ),
    "a file to read": (
        as_latent(keras("keras.layers", "StringLookup", vocabulary="/etc/passwd")),
        "StringLookup",
    ),
    "a registered name": (
        as_latent(keras("keras.layers", "Dense", "evil>Dense", units=1)),
        "'keras.layers.Dense'",
    ),
    "inside of a Keras layer": (
        as_latent(
            keras("keras.layers", "Dense", units=1, activation=keras("os", "system")["keras"])
        ),
        "'os.system'",
    ),
    "a module as the simulator's": (simulator(module="evil_code"), "'nope' of a saved posterior"),
    "a function as the simulator": (
        simulator(module="os", object="system"),
        "'nope' of a saved posterior",
    ),
    "a relative module": (simulator(module=".evil_code"), "'nope' of a saved posterior"),
    "a relative file": (
        simulator(module="nowhere", file="../evil_code.py"),
        "../evil_code.py, is not run",
    ),
    "a module of the library": (
        simulator(module="bayesinn.simulators.evil_code"),
        "'nope' of a saved posterior",
    ),
}
WRONG = {
    "a class that is no posterior": (entry(**{"class": "bijections.ActNorm"}), "entry 'class'"),
    "a class as a list": (
        entry(**{"class": ["posterior.AmortizedPosterior"]}),
        "entry 'class'\n  expected: a text",
    ),
    "no flow": (lambda manifest: manifest["network"].pop("flow"), "entry 'network.flow'"),
    "a list as networks": (entry(network=[]), "entry 'network'\n  expected: an object"),
    "a flow that is none": (as_flow(call("bijections.ActNorm")), "entry 'network'"),
    "no class": (as_flow({"chain": 5}), "entry 'network'"),
    "an argument too many": (
        in_chain(call("bijections.ActNorm", fast=True)),
        "'bijections.ActNorm'",
    ),
    "arguments as a list": (
        in_chain({"class": "bijections.ActNorm", "arguments": [1]}),
        "'bijections.ActNorm'",
    ),
    "an argument out of range": (
        in_chain(call("bijections.Coupling", hidden=[-3])),
        "entry 'network'",
    ),
    "a huge network": (
        in_chain(call("bijections.Coupling", hidden=[10**6, 10**6])),
        "entry 'network'",
    ),
    "parameters as a list": (
        entry(parameters=["x1", "x2"]),
        "entry 'parameters'\n  expected: an object",
    ),
    "shapes as text": (
        entry(parameters={"x1": "()", "x2": []}),
        "entry 'parameters.x1'\n  expected: a list",
    ),
    "compression as text": (
        entry(compression={"y": "1"}),
        "entry 'compression.y'\n  expected: a number or null",
    ),
    "negative compression": (entry(compression={"y": -1.0}), "compression -1.0 of 'y'"),
    "no compression": (entry(compression={}), "KeyError: 'y'"),
    "steps as text": (
        entry(training={"settings": {"steps": "2"}}),
        "entry 'training.settings.steps'",
    ),
    "an uneven history": (entry(history={"step": [1], "loss": []}), "entry 'history'"),
    "an identity as text": (entry(identity="linear"), "in a saved posterior"),
    "an empty identity": (entry(identity={}), "'identity.declared'"),
    "a prior as a number": (
        identity("declared", "the prior of 'x1'", value=5),
        "the prior of 'x1'\"\n  expected: a text",
    ),
    "draws of one parameter": (identity("draws", value={"x1": [[0.0]]}), "KeyError: 'x2'"),
    "draws as text": (identity("draws", "x1", value="0.0"), "'identity.draws.x1'"),
    "too many draws": (identity("draws", "x1", value=[[0.0]] * 10**4), "draws of [10000, 16]"),
    "draws of two numbers": (identity("draws", "x1", value=[[0.0, 0.0]] * 16), "ValueError"),
    "a whole number without end": (identity("draws", "x1", 0, value=[10**400]), "OverflowError"),
    "rows as a list": (identity("rows", value=[]), "'identity.rows'"),
    "too many rows": (identity("rows", "observables", "y", value=[[0.0]] * 17), "(17, 1)"),
    "no rows": (identity("rows", "observables", "y", value=[]), "shapes [(0,)]"),
    "a row that failed beyond the end": (
        identity("rows", "costly", value=[99]),
        "[99] of them costly",
    ),
    "another observable": (identity("rows", "observables", value={"z": [[0.0]]}), "'y'"),
    "packages as a list": (entry(packages=[]), "entry 'packages'"),
    "a simulator without a file": (
        entry(simulator={"name": "a", "module": "b", "object": "c"}),
        "'simulator.file'",
    ),
    "a simulator as text": (entry(simulator="linear"), "entry 'simulator'\n  expected: an object"),
}


def refusal(folder: Path, change, **options) -> str:
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))
    with pytest.raises(SavedPosteriorError) as error:
        bi.load(folder, **options)
    assert "do this:  " in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", CODE)
def test_code_is_not_run(folder: Path, name: str) -> None:
    change, message = CODE[name]
    assert message in refusal(folder, change)
    assert not (folder.parent / "ran").exists()


@pytest.mark.parametrize(
    "name", [name for name in CODE if "'nope'" not in CODE[name][1] and "relative" not in name]
)
def test_a_trusted_simulator_makes_no_network_trusted(folder: Path, name: str) -> None:
    change, message = CODE[name]
    assert message in refusal(
        folder, change, simulator=bi.get_simulator("linear"), trust_source=True
    )
    assert not (folder.parent / "ran").exists()


def test_relative_files_are_not_run_when_trusted_either(folder: Path) -> None:
    change, _ = CODE["a relative file"]
    assert "nowhere:obj" in refusal(folder, change, trust_source=True)
    assert not (folder.parent / "ran").exists()


@pytest.mark.filterwarnings(
    "ignore:Layer 'posterior' looks", "ignore:`build\\(\\)` was called on layer 'posterior'"
)
@pytest.mark.parametrize("name", WRONG)
def test_wrong_entries_are_named(folder: Path, name: str) -> None:
    change, message = WRONG[name]
    assert message in refusal(folder, change)


def empty(name: str):
    def change(file: h5py.File) -> None:
        shape = file[f"reference/{name}"].shape
        dtype = file[f"reference/{name}"].dtype
        del file[f"reference/{name}"]
        file.create_dataset(f"reference/{name}", shape=(0,) * len(shape), dtype=dtype)

    return change


def edited(name: str, function):
    """Let a function change the values of an array."""

    def change(file: h5py.File) -> None:
        value = function(file[f"reference/{name}"][()])
        del file[f"reference/{name}"]
        file.create_dataset(f"reference/{name}", data=value)

    return change


def node(name: str, field: str, value: int):
    def function(trees: np.ndarray) -> np.ndarray:
        trees[field][-1, 0] = value
        return trees

    return edited(name, function)


REFERENCES = {
    **{f"{name} empty": empty(name) for name in (
        "summary_mean", "summary_axes", "summary_sds", "inputs_mean", "inputs_axes", "inputs_sds", "pooled", "series",
        "held_out", "scores",
    )},
    **{f"{field} of {name} = {value}": node(name, field, value)
       for name, field, value in (
           ("scale_trees", "feature", 10**6), ("scale_trees", "feature", -1), ("scale_trees", "left", 10**6),
           ("scale_trees", "right", -1),
       )},
    "another width of summaries": edited("summary_mean", lambda value: np.append(value, 0.0)),
    "another width of inputs": edited("inputs_axes", lambda value: np.concatenate([value, value])),
    "more flags than inputs": edited("pooled", lambda value: np.append(value, False)),
    "too many statistics": edited("held_out", lambda value: np.concatenate([value, value], axis=1)),
    "held out in another order": edited("held_out", lambda value: value[::-1]),
    "held out without numbers": edited("held_out", lambda value: np.full_like(value, np.nan)),
    "scores in another order": edited("scores", lambda value: value[::-1]),
    "scores of others": edited("scores", lambda value: value[:-1]),
    "no width of an axis": edited("summary_sds", lambda value: 0.0 * value),
    "a negative width": edited("inputs_sds", lambda value: -value),
}  # fmt: skip


@pytest.mark.parametrize("name", REFERENCES)
def test_references_that_do_not_fit_are_refused_before_they_are_used(
    folder: Path, name: str
) -> None:
    with h5py.File(folder / "weights.h5", "r+") as file:
        REFERENCES[name](file)
    fingerprint = sha256((folder / "weights.h5").read_bytes()).hexdigest()
    assert "weights that belong to manifest.json" in refusal(folder, entry(fingerprint=fingerprint))


@pytest.mark.parametrize("place", ["", "a\0b", "\ud800", "x" * 300], ids=ascii)
def test_places_that_no_disk_can_hold_are_refused(
    original: Path, place: str, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    posterior = bi.load(original)
    for call in (posterior.save, bi.load, bi.Checkpoint):
        with pytest.raises(
            InputError, match=r"(?s)a path that a disk can hold.*do this:  pass for example"
        ):
            call(place)
    assert not list(tmp_path.iterdir())


def test_after_all_that_the_original_still_loads(original: Path) -> None:
    expected = np.load(original / "expected.npz")
    draws = bi.load(original).sample({"y": expected["data_y"]}, draws=40, seed=3)
    np.testing.assert_array_equal(draws["x1"], expected["draw_x1"])


def test_arguments_of_load_are_checked(original: Path) -> None:
    for arguments, message in (((None,), "a path"), ((original, "linear"), "a Simulator")):
        with pytest.raises(InputError, match=message):
            bi.load(*arguments)
    with pytest.raises(InputError, match="True or False"):
        bi.load(original, trust_source="yes")


SIZES = {
    "a unit for each person": as_summary(call("summaries.MLP", units=10**9)),
    "layers that are large together": as_summary(call("summaries.MLP", hidden=[9_000, 9_000])),
    "blocks": as_flow(
        call("flows.FlowMatching", network=call("flows.ResidualMLP", units=8, blocks=10**7))
    ),
    "components": as_latent(call("flows.GaussianMixture", components=10**9)),
    "below zero": as_latent(call("flows.GaussianMixture", components=-(10**9))),
    "networks": lambda manifest: manifest["network"].update(networks=10**6),
    "networks as text": lambda manifest: manifest["network"].update(networks="7"),
    "filters": in_chain(call("bijections.Coupling", hidden=[10**5, 10**5])),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_compared_with_the_saved_weights_before_anything_is_allocated(
    folder: Path, name: str
) -> None:
    start = time.monotonic()
    assert "entry 'network'" in refusal(folder, SIZES[name])
    assert time.monotonic() - start < 5.0
