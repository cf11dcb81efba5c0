"""A simulator is what it does: each change is refused, and the harmless ones are not.

Gates are what a user meets: writing into a bank, loading a posterior, resuming a training.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BankError, InputError, SavedPosteriorError
from bayesinn.core.files import packed
from bayesinn.simulation import identity
from bayesinn.simulation.bank import Bank, store as bank_store
from bayesinn.simulation.bank.bank import bank_attributes
from bayesinn.simulation.prior import Prior
from bayesinn.simulation.prior_text import entry_texts, prior_text, same_laws
from bayesinn.simulators.linear import linear
from bayesinn.training.callbacks import _digest, prepare_folder
from bayesinn.training.settings import TrainingSettings
from tests.helpers.fitting import fit

tfd = tfp.distributions
tfb = tfp.bijectors
NORMAL = tfd.Normal(0.0, 1.0)
PRIOR = {"a": NORMAL}
SETTINGS = TrainingSettings(steps=4, steps_per_epoch=2, batch_size=8, seed=1)
REFUSAL = identity.Refusal("the bank 'x'", "made this bank", "use another", BankError)

#: The same model for both engines; changes are made in its text, which has no source to look at.
CODE = '''
SCALE = 0.5
TABLE = {"weights": [1.0, 2.0, 3.0]}

def helper(x):
    return 2.0 * x

def function(parameters, random, offset=0.0):
    """Add noise."""
    # A comment.
    mean = helper(parameters["a"])
    return {"y": mean + SCALE * noise(mean, random) + offset, "z": mean * TABLE["weights"][1]}
'''
NOISE: dict[str, Callable[..., Any]] = {
    "tensorflow": lambda mean, random: tf.random.stateless_normal(tf.shape(mean), random),
    "python": lambda mean, random: random.normal(),
}


def declare(
    function: Callable[..., Any],
    engine: str = "tensorflow",
    **options: Any,
) -> bi.Simulator:
    options = {"prior": PRIOR, "name": "toy", "engine": engine, **options}
    if engine == "python":
        options["workers"] = 1
    return bi.simulator(**options)(function)


@functools.cache
def of_code(engine: str, *change: str, module: str = "my_model") -> bi.Simulator:
    assert not change or change[0] in CODE
    space: dict[str, Any] = {"__name__": module, "noise": NOISE[engine]}
    exec(compile(CODE.replace(*change) if change else CODE, f"{module}.py", "exec"), space)
    return declare(space["function"], engine)


class Model:
    """A model with attributes, as a callable object and with a method."""

    def __init__(self, noise: Any, scale: float = 1.0, weights: Any = (1.0, 2.0)) -> None:
        self.noise = noise
        self.scale = scale
        self.weights = np.asarray(weights, np.float32)

    def run(self, parameters, random):
        mean = parameters["a"]
        return {"y": self.scale * mean + self.weights[1] * self.noise(mean, random)}

    __call__ = run


def closure(engine: str, scale: float = 1.0):
    noise = NOISE[engine]

    def function(parameters, random):
        return {"y": scale * parameters["a"] + noise(parameters["a"], random)}

    return function


def scaled(parameters, random, weights, noise):
    return {"y": weights[0] * parameters["a"] + weights[1] * noise(parameters["a"], random)}


def partial(engine: str, weights: Any = (1.0, 2.0)):
    return functools.partial(scaled, weights=np.asarray(weights, np.float32), noise=NOISE[engine])


#: What an author edits; the name of the change to the simulators before and after.
CODE_CHANGES: dict[str, Callable[[str], tuple[bi.Simulator, bi.Simulator]]] = {
    "a constant": lambda e: (of_code(e), of_code(e, "SCALE = 0.5", "SCALE = 0.55")),
    "an entry of a table": lambda e: (of_code(e), of_code(e, "[1.0, 2.0, 3.0]", "[1.0, 2.5, 3.0]")),
    "a helper": lambda e: (of_code(e), of_code(e, "2.0 * x", "2.0 * abs(x)")),
    "a default argument": lambda e: (of_code(e), of_code(e, "offset=0.0", "offset=0.01")),
    "a sign": lambda e: (of_code(e), of_code(e, "mean + SCALE", "mean - SCALE")),
    "a closure": lambda e: (declare(closure(e), e), declare(closure(e, 1.1), e)),
    "an attribute behind a method": lambda e: (
        declare(Model(NOISE[e]).run, e),
        declare(Model(NOISE[e], 1.1).run, e),
    ),
    "an attribute of an object": lambda e: (
        declare(Model(NOISE[e]), e),
        declare(Model(NOISE[e], 1.1), e),
    ),
    "an array of an object": lambda e: (
        declare(Model(NOISE[e]), e),
        declare(Model(NOISE[e], weights=[1.0, 2.1]), e),
    ),
    "an array of a partial function": lambda e: (
        declare(partial(e), e),
        declare(partial(e, [1.0, 2.1]), e),
    ),
}


def plain(parameters, seed):
    flat = [tf.reshape(value, (-1, tf.size(value[0]))) for value in parameters.values()]
    return {"y": tf.add_n(flat)[:, 0]}


def series(parameters, seed):
    noise = tf.random.stateless_normal((tf.shape(parameters["a"])[0], 3), seed)
    return {"y": parameters["a"][:, None] + noise}


def dosed(parameters, context, seed):
    steps = parameters["a"][:, None] + context["dose"][:, None] * tf.range(3.0)
    return {"y": steps + tf.random.stateless_normal(tf.shape(steps), seed)}


def counts(rate: float):
    def function(parameters, seed):
        mean = rate * tf.exp(0.1 * parameters["a"])
        return {"y": tf.random.stateless_poisson(tf.shape(mean), seed, mean, tf.int32)}

    return function


def image(change: float):
    def function(parameters, seed):
        noise = tf.random.stateless_normal((tf.shape(parameters["a"])[0], 900), seed)
        return {"y": parameters["a"][:, None] + noise + change * tf.one_hot(501, 900)}

    return function


def gappy(share: float):
    def function(parameters, seed):
        return {"y": tf.where(parameters["a"] < share, parameters["a"], float("nan"))}

    return function


def many(scale: float) -> tfd.Distribution:
    scales = np.ones(300, np.float32)
    scales[211] = scale
    return tfd.Normal(np.zeros(300, np.float32), scales)


def dependent(mean: Callable[..., Any], scale: float = 1.0) -> dict[str, Any]:
    return {"a": tfd.Normal(0.0, 1.0), "b": lambda a: tfd.Normal(mean(a), scale)}


def correlated(rho: float) -> tfd.Distribution:
    root = tf.linalg.cholesky(tf.constant([[1.0, rho], [rho, 1.0]]))
    return tfd.MultivariateNormalTriL(tf.zeros(2), root)


def two_normals(mean: float) -> tfd.Distribution:
    components = tfd.Normal([-1.0, mean], [0.5, 0.5])
    return tfd.MixtureSameFamily(tfd.Categorical(probs=[0.5, 0.5]), components)


DAYS = np.array(["2020-03-01", "2020-03-02", "2020-03-04"], "datetime64[D]")
OTHER_DAYS = np.array(["2020-03-01", "2020-03-02", "2020-03-05"], "datetime64[D]")
DOSE = {"dose": tfd.Uniform(0.0, 1.0)}
STEPS = {"dose": tfd.FiniteDiscrete([1.0, 2.0, 3.0], logits=[0.0, 0.0, 0.0])}


def changed(
    function: Callable[..., Any], before: dict[str, Any], after: dict[str, Any]
) -> Callable[[], tuple[bi.Simulator, bi.Simulator]]:
    return lambda: (declare(function, **before), declare(function, **after))


def of_prior(before: Any, after: Any) -> Callable[[], tuple[bi.Simulator, bi.Simulator]]:
    each = (value if isinstance(value, dict) else {"a": value} for value in (before, after))
    return changed(plain, *({"prior": prior} for prior in each))


def of_prior_at(before: Any, after: Any) -> Callable[[Path], tuple[bi.Simulator, bi.Simulator]]:
    return lambda at: of_prior(before, after)()


#: What an author declares in another way, and functions that need an eye of their own.
CHANGES: dict[str, Callable[[], tuple[bi.Simulator, bi.Simulator]]] = {
    "a mean of a prior": of_prior(tfd.Normal(0.0, 1.0), tfd.Normal(0.13, 1.0)),
    "a width of a prior": of_prior(tfd.Normal(0.0, 1.0), tfd.Normal(0.0, 1.1)),
    "a bound of a prior": of_prior(tfd.Uniform(0.0, 1.0), tfd.Uniform(0.0, 1.001)),
    "a family of priors": of_prior(tfd.Normal(0.0, 1.0), tfd.StudentT(200.0, 0.0, 1.0)),
    "a correlation": of_prior(correlated(0.95), correlated(-0.95)),
    "one of 300 widths": of_prior(many(1.0), many(1.2)),
    "a component of a mixture": of_prior(two_normals(1.0), two_normals(1.1)),
    "a transformation": of_prior(tfb.Scale(2.0)(NORMAL), tfb.Scale(2.1)(NORMAL)),
    "a truncation": of_prior(
        tfd.TruncatedNormal(0.0, 1.0, -2.0, 2.0),
        tfd.TruncatedNormal(0.0, 1.0, -2.0, 2.1),
    ),
    "the sign of a dependence": of_prior(dependent(lambda a: a), dependent(lambda a: -a)),
    "the strength of a dependence": of_prior(
        dependent(lambda a: a),
        dependent(lambda a: 1.001 * a),
    ),
    "the width of a dependence": of_prior(dependent(lambda a: a), dependent(lambda a: a, 1.1)),
    "the bounds of a dependence": of_prior(
        {"a": tfd.Normal(0.0, 1.0), "b": lambda a: tfd.Uniform(a, a + 1.0)},
        {"a": tfd.Normal(0.0, 1.0), "b": lambda a: tfd.Uniform(a - 0.01, a + 0.99)},
    ),
    "the order of parameters": of_prior(
        {"a": tfd.Normal(0.0, 1.0), "b": tfd.Normal(0.0, 1.0)},
        {"b": tfd.Normal(0.0, 1.0), "a": tfd.Normal(0.0, 1.0)},
    ),
    "the precision of a prior": of_prior(NORMAL, tfd.Normal(np.float64(0.0), np.float64(1.0))),
    "a unit of a parameter": changed(series, {"units": {"a": "mg"}}, {"units": {"a": "g"}}),
    "a unit of an observable": changed(series, {"units": {"y": "mg"}}, {"units": {"y": "1e-3 mg"}}),
    "a unit that is gone": changed(series, {"units": {"y": "mg"}}, {}),
    "a unit of a coordinate": changed(
        series,
        {"coordinates": {"y": [0.0, 1.0, 2.0]}, "units": {"time": "h"}},
        {"coordinates": {"y": [0.0, 1.0, 2.0]}, "units": {"time": "d"}},
    ),
    "a coordinate": changed(
        series,
        {"coordinates": {"y": [0.0, 1.0, 2.0]}},
        {"coordinates": {"y": [0.0, 1.0, 2.001]}},
    ),
    "a date": changed(series, {"coordinates": {"y": DAYS}}, {"coordinates": {"y": OTHER_DAYS}}),
    "an axis": changed(
        series,
        {"coordinates": {"y": {"h": [0, 1, 2]}}},
        {"coordinates": {"y": {"d": [0, 1, 2]}}},
    ),
    "a distribution of the context": changed(
        dosed,
        {"context": DOSE},
        {"context": {"dose": tfd.Uniform(0.0, 1.01)}},
    ),
    "lengths": changed(dosed, {"context": STEPS}, {"context": STEPS, "lengths": {"y": "dose"}}),
    "a policy": changed(series, {}, {"on_nonfinite": "redraw"}),
    "lost values": changed(series, {"missing": 0.3}, {"missing": 0.2}),
    "an engine": lambda: (of_code("tensorflow"), of_code("python")),
    "a shape": lambda: (
        declare(series),
        declare(lambda parameters, seed: {"y": series(parameters, seed)["y"][:, :2]}),
    ),
    "a rate of counts": lambda: (declare(counts(5.0)), declare(counts(6.0))),
    "one of 900 cells": lambda: (declare(image(0.0)), declare(image(0.1))),
    "which values are missing": lambda: (
        declare(gappy(0.5), missing="mask"),
        declare(gappy(0.4), missing="mask"),
    ),
    "parts that are batched": lambda: (
        declare(lambda parameters, random: {"y": parameters["a"]}, "python"),
        declare(lambda parameters, random: {"y": parameters["a"]}, "python", batched=True),
    ),
}
MODEL = """
import pathlib, random, sys
rate, seed = float(sys.argv[1]), int(sys.argv[2])
factor = float(pathlib.Path(__file__).with_name("factor.txt").read_text())
print("y")
print(factor * rate + random.Random(seed).random())
"""


def program(
    folder: Path,
    change: tuple[str, str] = ("", ""),
    factor: str = "1.0",
    *more: str,
) -> bi.Simulator:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(MODEL.replace(*change))
    (folder / "factor.txt").write_text(factor)
    command = [sys.executable, "-I", "-S", folder / "model.py", "{a}", "{seed}", *more]
    return bi.command_simulator(command, prior=PRIOR, output="csv", name="toy", workers=1)


def executable(folder: Path, factor: int) -> bi.Simulator:
    """A program that is no script of an interpreter, whatever its first line says."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model"
    file.write_text(f'#!/bin/sh\n# rare {factor}\necho "y"\necho "$1"\n')
    file.chmod(0o755)
    return bi.command_simulator([file, "{a}"], prior=PRIOR, output="csv", name="toy", workers=1)


PROGRAM_CHANGES: dict[str, Callable[[Path], tuple[bi.Simulator, bi.Simulator]]] = {
    "a script": lambda at: (program(at / "1"), program(at / "2", ("factor * rate", "rate"))),
    "a script, where no row shows it": lambda at: (
        program(at / "1"),
        program(at / "2", ("print(", "print (")),
    ),
    "a file that a script reads": lambda at: (program(at / "1"), program(at / "2", factor="1.1")),
    "an argument": lambda at: (program(at / "1"), program(at / "2", ("", ""), "1.0", "--fast")),
    "a program": lambda at: (executable(at / "1", 1), executable(at / "2", 2)),
}


@pytest.fixture(scope="module")
def posterior(tmp_path_factory) -> Path:
    """A saved posterior, whose manifest becomes one of other simulators: they are refused first."""
    return fit(linear, steps=1).save(tmp_path_factory.mktemp("saved") / "posterior")


def write_bank(simulator: bi.Simulator, folder: Path, n: int = 16, **options: Any) -> Bank:
    return bi.simulate_bank(simulator, n, folder, seed=1, chunk=16, progress=False, **options)


def keep_in_bank(simulator: bi.Simulator, folder: Path) -> None:
    """Begin a bank, without a chunk."""
    bank_store.open_group(str(folder), "a", bank_attributes(simulator, 1, 16))


def keep_in_posterior(simulator: bi.Simulator, folder: Path, posterior: Path) -> None:
    shutil.copytree(posterior, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"simulator": simulator.reference(), **identity.entries(simulator)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def keep_in_checkpoint(simulator: bi.Simulator, folder: Path) -> None:
    prepare_folder(bi.Checkpoint(folder), SETTINGS, {})
    kept = np.frombuffer(json.dumps(identity.entries(simulator)).encode(), np.uint8)
    known = (folder / "settings.json").read_text()
    digest = _digest({"simulator": kept}, {"identity": known})
    state = packed({"simulator": kept}, attributes={"identity": known, "sha256": digest})
    (folder / "state.h5").write_bytes(state)


def resume(simulator: bi.Simulator, folder: Path, **options: Any) -> None:
    prepare_folder(bi.Checkpoint(folder, resume=True, **options), SETTINGS, {}, simulator=simulator)


def check_refused(
    before: bi.Simulator,
    after: bi.Simulator,
    folder: Path,
    posterior: Path,
) -> list[str]:
    """Check that no gate lets another simulator pass in silence; return what is said of that."""
    keep_in_bank(before, folder / "bank")
    keep_in_posterior(before, folder / "posterior", posterior)
    keep_in_checkpoint(before, folder / "checkpoint")
    with pytest.raises(BankError) as bank:
        write_bank(after, folder / "bank")
    with pytest.raises(InputError) as checkpoint:
        resume(after, folder / "checkpoint")
    said = {
        "made this bank": str(bank.value),
        "this posterior was trained on": said_by_load(folder / "posterior", after),
        "this training began with": str(checkpoint.value),
    }
    for maker, text in said.items():
        words = rf"(?s)'toy'.*expected: the simulator that {maker}\n.*another: .*do this"
        assert re.search(words, text)
    resume(before, folder / "checkpoint")
    return [text.splitlines()[2] for text in said.values()]


def said_by_load(folder: Path, simulator: bi.Simulator) -> str:
    """What is said of another simulator: a warning, or an error if the network can't be its own."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            bi.load(folder, simulator)
        except SavedPosteriorError as error:
            # Here, the weights are those of another simulator, too.
            if not caught:
                return str(error)
    return str(caught[0].message)


@pytest.mark.parametrize("engine", ["tensorflow", "python"])
@pytest.mark.parametrize("change", CODE_CHANGES)
def test_other_code_is_refused(change: str, engine: str, tmp_path, posterior: Path) -> None:
    for said in check_refused(*CODE_CHANGES[change](engine), tmp_path, posterior):
        assert "simulated again, row " in said


@pytest.mark.parametrize("change", CHANGES)
def test_other_declarations_and_rows_are_refused(change: str, tmp_path, posterior: Path) -> None:
    check_refused(*CHANGES[change](), tmp_path, posterior)


def test_a_bank_of_another_simulator_is_no_data(tmp_path) -> None:
    bank = write_bank(of_code("tensorflow"), tmp_path, 64)
    other = of_code("tensorflow", "SCALE = 0.5", "SCALE = 0.55")
    for data in (bank, bi.Stream(bank), bi.Stream(bi.open_bank(tmp_path), fresh=0.5)):
        with pytest.raises(BankError, match="the simulator that made this bank"):
            fit(other, data=data)
    bank.check_simulator(of_code("tensorflow", *HARMLESS_TEXT["a lambda"]))


@pytest.mark.parametrize("change", PROGRAM_CHANGES)
def test_another_program_is_refused(change: str, tmp_path, posterior: Path) -> None:
    check_refused(*PROGRAM_CHANGES[change](tmp_path), tmp_path, posterior)


# What is no change

HARMLESS_TEXT = {
    "another docstring": ('"""Add noise."""', '"""Add noise, and return it."""'),
    "no comment": ("    # A comment.\n", ""),
    "renamed variables": ("x):\n    return 2.0 * x", "value):\n    return 2.0 * value"),
    "another layout": (
        '    mean = helper(parameters["a"])\n',
        "    mean = (\n        helper(parameters['a'])\n    )\n",
    ),
    "a helper with the same results": ("2.0 * x", "x + x"),
    "a lambda": ("def helper(x):\n    return 2.0 * x", "helper = lambda x: 2.0 * x"),
    "an inlined helper": ('helper(parameters["a"])', "2.0 * parameters['a']"),
    "an unused constant": ("SCALE = 0.5\n", "SCALE = 0.5\nOTHER = 3.0\n"),
}
HARMLESS: dict[str, Callable[[Path], tuple[bi.Simulator, bi.Simulator]]] = {
    "another module": lambda at: (of_code("tensorflow"), of_code("tensorflow", module="elsewhere")),
    "a method in place of a function": lambda at: (
        declare(Model(NOISE["python"]).run, "python"),
        declare(Model(NOISE["python"]), "python"),
    ),
    "a program in another folder": lambda at: (program(at / "1"), program(at / "2")),
    "a prior from single precision": of_prior_at(
        tfd.Normal(0.1, 1.0),
        tfd.Normal(np.float32(0.1), np.float32(1.0)),
    ),
    "a dependence in other words": of_prior_at(
        dependent(lambda a: 2.0 * a),
        dependent(lambda a: a + a),
    ),
    "other labels": lambda at: (declare(series), declare(series, labels={"a": "$a$"})),
    "other numbers of failures and workers": lambda at: (
        declare(series, on_nonfinite="redraw"),
        declare(series, on_nonfinite="redraw", most_failures=0.5),
    ),
    "a number for an integer of a prior": of_prior_at(tfd.Normal(0, 1.0), tfd.Normal(0.0, 1)),
}


def check_accepted(before: bi.Simulator, after: bi.Simulator) -> None:
    identity.check(json.loads(json.dumps(identity.entries(before))), after, REFUSAL)


WORKERS_TOO = ("another docstring", "a lambda", "a helper with the same results")


@pytest.mark.parametrize(
    ("engine", "change"),
    [("tensorflow", name) for name in HARMLESS_TEXT] + [("python", name) for name in WORKERS_TOO],
)
def test_the_same_in_other_words_is_accepted(engine: str, change: str) -> None:
    check_accepted(of_code(engine), of_code(engine, *HARMLESS_TEXT[change]))


@pytest.mark.parametrize("change", HARMLESS)
def test_the_same_at_another_place_is_accepted(change: str, tmp_path) -> None:
    check_accepted(*HARMLESS[change](tmp_path))


def test_other_draws_of_the_same_prior_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine may draw others for the same seed."""
    simulator = declare(series, prior={"a": tfd.TruncatedNormal(0.0, 1.0, -2.0, 2.0)})
    kept = identity.entries(simulator)
    tensor_seed = identity.seeds.tensor_seed
    with monkeypatch.context() as patch:
        patch.setattr(
            identity.seeds,
            "tensor_seed",
            lambda seed, *keys: tensor_seed(seed + (len(keys) > 1), *keys),
        )
        other = identity.entries(simulator)
    assert other["identity"]["draws"] != kept["identity"]["draws"]
    for each in (kept, other):
        identity.check(each, simulator, REFUSAL)


def test_a_count_that_rounding_flips_is_accepted_and_two_are_not() -> None:
    simulator = declare(counts(5.0))
    kept = identity.entries(simulator)
    values = kept["identity"]["rows"]["observables"]["y"]
    values[3][0] += 1
    identity.check(kept, simulator, REFUSAL)
    values[9][0] += 1
    with pytest.raises(BankError, match="row 3 of 'y' differs"):
        identity.check(kept, simulator, REFUSAL)


def test_rounding_is_accepted_and_what_is_larger_is_not() -> None:
    for engine, small, large in (("tensorflow", 1e-6, 0.1), ("python", 1e-13, 1e-6)):
        simulator = of_code(engine)
        for change in (small, large):
            kept = identity.entries(simulator)
            value = kept["identity"]["rows"]["observables"]["y"][1]
            value[0] *= 1.0 + change
            if change == small:
                identity.check(kept, simulator, REFUSAL)
            else:
                with pytest.raises(BankError, match="row 1 of 'y' differs"):
                    identity.check(kept, simulator, REFUSAL)


def test_counts_of_many_cells_may_flip_and_padding_may_be_anything() -> None:
    def flips(parameters, seed):
        mean = tf.fill((tf.shape(parameters["a"])[0], 900), 5.0)
        return {"y": tf.random.stateless_poisson(tf.shape(mean), seed, mean, tf.int32)}

    kept = identity.entries(declare(flips))
    values = np.array(kept["identity"]["rows"]["observables"]["y"])
    assert values.shape == (16, 64)
    values[::2, 5] += 1.0
    values[:, 48:] += 0.1
    kept["identity"]["rows"]["observables"]["y"] = values.tolist()
    identity.check(kept, declare(flips), REFUSAL)
    source = np.random.default_rng(1)

    def padded(parameters, context, generator):
        padding = source.normal() if context["dose"] < 3.0 else 0.0
        return {"y": np.array([parameters["a"], 1.0, padding])}

    simulator = declare(padded, "python", context=STEPS, lengths={"y": "dose"})
    kept = identity.entries(simulator)
    assert kept["identity"]["rows"]["repeatable"] is True


# What can't be told


def test_a_simulator_that_its_seed_does_not_decide_is_said_once(tmp_path) -> None:
    def careless(scale: float) -> bi.Simulator:
        source = np.random.default_rng()
        return declare(lambda parameters, seed: {"y": parameters["a"] + scale * source.normal()})

    one = careless(1.0)
    words = r"'toy' is not deterministic.*told by what it declares alone"
    with pytest.warns(UserWarning, match=words):
        write_bank(one, tmp_path / "bank")
    kept = bi.open_bank(tmp_path / "bank").attributes["declared"]["identity"]
    assert kept["rows"]["repeatable"] is False
    # Warnings are errors here: nothing is said again, and no change of code is seen.
    write_bank(one, tmp_path / "bank", 17)
    with pytest.warns(UserWarning, match="not deterministic"):
        write_bank(careless(2.0), tmp_path / "bank", 18)
    with pytest.raises(BankError, match="the unit of 'y' is g in place of nothing"):
        write_bank(
            declare(lambda parameters, seed: {"y": parameters["a"]}, units={"y": "g"}),
            tmp_path / "bank",
            19,
        )


def test_a_slow_simulator_costs_one_row_a_call(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_LONG_SECONDS", -1.0)
    simulator = of_code.__wrapped__("python")
    rows: list[int] = []
    repeat = simulator.engine.repeat

    def counted(parameters: Any, *others: Any) -> Any:
        rows.append(len(parameters["a"]))
        return repeat(parameters, *others)

    monkeypatch.setattr(simulator.engine, "repeat", counted)
    bank = write_bank(simulator, tmp_path / "bank")
    assert rows == [1]
    kept = bank.attributes["declared"]["identity"]["rows"]
    assert [len(value) for value in kept["observables"].values()] == [1, 1]
    assert kept["repeatable"] is None
    write_bank(simulator, tmp_path / "bank", 17)
    assert rows == [1, 1]
    options = {"steps": 1, "batch_size": 8, "checkpoint": tmp_path / "checkpoint"}
    fit(simulator, data=bank, **options).save(tmp_path / "posterior")
    assert rows == [1, 1, 1]
    bi.load(tmp_path / "posterior", simulator)
    assert rows == [1, 1, 1, 1]
    monkeypatch.undo()
    # Of one that took longer, that is looked at where it differs.
    with pytest.raises(BankError, match="simulated again, row 0 of 'y'"):
        write_bank(of_code("python", "SCALE = 0.5", "SCALE = 0.6"), tmp_path / "bank", 18)


def test_it_may_be_left_out_everywhere(tmp_path, posterior: Path, monkeypatch) -> None:
    before = of_code("tensorflow")
    after = of_code("tensorflow", "SCALE = 0.5", "SCALE = 0.6")
    write_bank(before, tmp_path / "bank")
    write_bank(after, tmp_path / "bank", 17, check_simulator=False)
    bi.open_bank(tmp_path / "bank", check_simulator=False).check_simulator(after)
    keep_in_checkpoint(before, tmp_path / "checkpoint")
    resume(after, tmp_path / "checkpoint", check_simulator=False)
    # Names and shapes are looked at all the same: the network is built for them.
    keep_in_posterior(before, tmp_path / "posterior", posterior)
    with pytest.raises(SavedPosteriorError, match="observables"):
        bi.load(tmp_path / "posterior", declare(series), check_simulator=False)
    # Nothing is simulated where nothing is kept.
    monkeypatch.setattr(after.engine, "repeat", None)
    bank = write_bank(after, tmp_path / "other", check_simulator=False)
    assert "rows" not in bank.attributes["declared"]["identity"]
    with pytest.raises(InputError, match="check_simulator"):
        bi.open_bank(tmp_path / "bank", check_simulator="no")


# Simulations that fail


def failing(threshold: float, **options: Any) -> bi.Simulator:
    def function(parameters, generator):
        if parameters["a"] < threshold:
            raise ValueError("too low")
        return {"y": parameters["a"]}

    return declare(function, "python", on_nonfinite="redraw", **options)


def test_rows_that_failed_are_kept_as_such(tmp_path) -> None:
    first = np.array(identity.entries(declare(series))["identity"]["draws"]["a"])[:3, 0]
    # Some of the rows fail.
    middle = float(np.sort(first)[1])
    kept = identity.entries(failing(middle))["identity"]["rows"]["observables"]["y"]
    assert 0 < kept.count([None]) < 3
    check_accepted(failing(middle), failing(middle))
    with pytest.raises(BankError, match=r"row \d of 'y' differs \(.* in place of nan"):
        check_accepted(failing(middle), failing(-3.0))
    with pytest.raises(BankError, match=r"row \d of 'y' differs \(nan in place of"):
        check_accepted(failing(-3.0), failing(middle))


def test_a_graph_that_fails_is_kept_as_such() -> None:
    def function(parameters, seed):
        if tf.executing_eagerly() and len(parameters["a"]) > 3:
            raise ValueError("no such batch")
        tf.debugging.assert_less(tf.shape(parameters["a"])[0], 4)
        return {"y": parameters["a"]}

    simulator = declare(function)
    rows = identity.entries(simulator)["identity"]["rows"]
    assert rows["observables"]["y"] == [[None]] * 16
    check_accepted(simulator, simulator)
    with pytest.raises(BankError, match="row 0 of 'y' differs"):
        check_accepted(simulator, declare(lambda parameters, seed: {"y": parameters["a"]}))


# From end to end


def test_training_is_resumed_by_the_same_simulator_only(tmp_path) -> None:
    options = {"steps": 2, "batch_size": 16}
    fit(of_code("tensorflow"), checkpoint=tmp_path / "checkpoint", **options)
    again = {"checkpoint": tmp_path / "checkpoint", "resume": True, **options}
    assert fit(of_code("tensorflow", *HARMLESS_TEXT["a lambda"]), **again).trained
    other = of_code("tensorflow", *("SCALE = 0.5", "SCALE = 0.6"))
    with pytest.raises(InputError, match="the simulator that this training began with"):
        fit(other, **again)


def test_a_posterior_keeps_what_its_simulator_did_when_it_was_trained(tmp_path) -> None:
    model = Model(NOISE["tensorflow"])
    simulator = declare(model)
    trained = fit(simulator, steps=1)
    model.scale = 2.0
    trained.save(tmp_path / "posterior")
    with pytest.warns(UserWarning, match="(?s)trained on.*simulated again, row 0 of 'y'"):
        assert bi.load(tmp_path / "posterior", simulator).trained
    model.scale = 1.0
    loaded = bi.load(tmp_path / "posterior", simulator)
    model.scale = 3.0
    loaded.save(tmp_path / "again")
    model.scale = 1.0
    bi.load(tmp_path / "again", simulator)


def test_rounds_go_on_with_the_same_simulator_only(tmp_path) -> None:
    from bayesinn.guidance.rounds import truncated_rounds

    def go_on(simulator: bi.Simulator, **more: Any) -> Any:
        options = {
            "simulations": 20,
            "rounds": 1,
            "steps": 1,
            "progress": False,
            "folder": tmp_path,
            **more,
        }
        flow = bi.flows.coupling(blocks=1, hidden=(8,))
        posterior = bi.AmortizedPosterior(simulator, flow=flow)
        return truncated_rounds(posterior, {"y": 1.0, "z": 1.0}, **options)

    go_on(of_code("tensorflow"))
    go_on(of_code("tensorflow", *HARMLESS_TEXT["a lambda"]))
    other = of_code("tensorflow", "SCALE = 0.5", "SCALE = 0.6")
    with pytest.raises(BankError, match="simulated again, row 0 of 'y'"):
        go_on(other)
    go_on(other, check_simulator=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["posterior_8", "posterior_8_split"])
def test_published_posteriors_of_format_2_load(name: str) -> None:
    folder = Path(__file__).parents[2] / "paper_results" / "multispectral" / name
    assert "identity" not in json.loads((folder / "manifest.json").read_text())
    assert bi.load(folder).trained


# Priors in words


def test_priors_are_written_with_all_their_numbers() -> None:
    shifted = tfb.Shift(0.5)(tfd.Normal([0.0, 1.0], 2.0))
    prior = Prior({"a": shifted, "b": lambda a: tfd.Normal(a, 1.0), "c": two_normals(1.0)})
    text = prior_text(prior)
    parts = "distribution=Normal(loc=[0.0, 1.0], scale=2.0), bijector=Shift(shift=0.5)"
    assert f"a ~ TransformedDistribution({parts})" in text
    assert "b ~ function of a" in text
    assert "Categorical(probs=[0.5, 0.5])" in text
    at = entry_texts(prior, {"a": np.array([[1.0, 2.0]], np.float32)})["b"]
    assert at == "function of a, at some draws Normal(loc=[[1.0, 2.0]], scale=1.0)"


def test_laws_that_depend_on_others_are_compared_at_draws() -> None:
    def prior(sd: float) -> Prior:
        return Prior({"m": tfd.Normal(0.0, 1.0), "x": lambda m: tfd.Normal(m, sd)})

    assert same_laws(prior(1.0), prior(1.0))
    assert not same_laws(prior(1.0), prior(100.0))
