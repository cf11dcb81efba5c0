"""Black-box simulators: results the same for all workers, light workers, errors with rows."""

from __future__ import annotations

import functools
import importlib.util
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core import seeds
from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.simulation.derived import derived_simulator
from bayesinn.simulation.simulations import MOST_REDRAWS
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import WorkerSource

tfd = tfp.distributions
PRIOR = {"mean": tfd.Normal(0.0, 1.0), "slope": tfd.Normal([0.0, 0.0], 1.0)}


def one_draw(parameters, generator):
    assert isinstance(parameters["mean"], float)
    assert parameters["slope"].shape == (2,)
    return {"x": parameters["mean"] + generator.normal(size=5), "total": parameters["slope"].sum()}


def many_draws(parameters, generator):
    rows = len(parameters["mean"])
    noise = generator.normal(size=(rows, 5))
    return {"x": parameters["mean"][:, None] + noise, "total": parameters["slope"].sum(axis=1)}


def make(function, workers: int, batched: bool = False, **options) -> bi.Simulator:
    return bi.simulator(prior=PRIOR, engine="python", workers=workers, batched=batched, **options)(
        function
    )


# 600 rows are more than two blocks of a batched simulator.
@pytest.mark.parametrize(("function", "batched"), [(one_draw, False), (many_draws, True)])
def test_results_do_not_depend_on_the_number_of_workers(function, batched: bool) -> None:
    samples = [make(function, workers, batched).sample(600, seed=1) for workers in (1, 2)]
    other = make(function, 2, batched).sample(600, seed=2)
    for name, value in samples[0].items():
        np.testing.assert_array_equal(value, samples[1][name], err_msg=name)
        assert not np.array_equal(value, other[name]), name
    assert samples[0]["x"].shape == (600, 5)
    # Rows have noise of their own: no two rows agree.
    noise = samples[0]["x"] - samples[0]["mean"][:, None]
    assert len(np.unique(noise.round(6), axis=0)) == 600
    assert noise.std() == pytest.approx(1.0, abs=0.06)  # sd of the estimate is 0.013


@pytest.mark.parametrize("batched", [False, True])
def test_workers_of_several_trials_know_the_file_of_the_simulator_and_stay_light(
    batched: bool, tmp_path: Path
) -> None:
    file = tmp_path / "their_own_file.py"
    file.write_text(
        """
import sys

def disturbed(level, generator):
    return level + generator.normal()

def simulate(parameters, generator):
    level = parameters["mean"]
    heavy = "tensorflow" in sys.modules
    return {"x": disturbed(level, generator), "heavy": 0.0 * level + heavy}
"""
    )
    spec = importlib.util.spec_from_file_location("their_own_file", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["their_own_file"] = module
    try:
        spec.loader.exec_module(module)
        simulator = make(module.simulate, 2, batched)
        sample = derived_simulator(simulator, trials=3).sample(600, seed=1)
    finally:
        del sys.modules["their_own_file"]
    assert sample["x"].shape == (600, 3)
    assert not sample["heavy"].any()


def test_both_forms_simulate_the_same_parameters() -> None:
    parameters = {"mean": np.array([10.0, -10.0]), "slope": np.array([[1.0, 2.0], [3.0, 4.0]])}
    for function, batched in ((one_draw, False), (many_draws, True)):
        simulator = make(function, 1, batched)
        first, again, other = (simulator.simulate(parameters, seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first["total"], [3.0, 7.0])
        np.testing.assert_array_equal(first["x"], again["x"])
        assert not np.array_equal(first["x"], other["x"])
        assert first["x"][0].mean() > 5.0 > -5.0 > first["x"][1].mean()


def test_context_reaches_the_function() -> None:
    def scaled(parameters, context, generator):
        return {"x": parameters["mean"] * context["size"]}

    sample = make(scaled, 2, context={"size": tfd.Uniform(1.0, 2.0)}).sample(50, seed=1)
    np.testing.assert_allclose(sample["x"], sample["mean"] * sample["size"], rtol=1e-6)


def test_workers_stay_light() -> None:
    def modules(parameters, generator):
        import sys

        heavy = ("tensorflow", "keras", "tensorflow_probability", "matplotlib", "xarray", "pandas")
        return {
            "heavy": sum(name in sys.modules for name in heavy),
            "light": "numpy" in sys.modules,
        }

    sample = make(modules, 2).sample(8, seed=1)
    assert not sample["heavy"].any()
    assert sample["light"].all()


def test_shipped_simulator_keeps_workers_light() -> None:
    """The module of sir_numpy imports TensorFlow; its function must reach workers without it."""
    source = bi.get_simulator("sir_numpy")

    def spy(parameters, generator, function=source.function):
        import sys

        result = function(parameters, generator)
        return {**result, "heavy": "tensorflow" in sys.modules}

    simulator = bi.simulator(prior=source.prior.entries, engine="python", workers=1)(spy)
    assert not simulator.sample(4, seed=1)["heavy"].any()


def test_exceptions_name_row_and_parameters() -> None:
    def picky(parameters, generator):
        if parameters["mean"] > 2.5:
            raise ValueError("mean too large")
        return {"x": parameters["mean"]}

    simulator = make(picky, 2)
    with pytest.raises(SimulatorError) as error:
        simulator.sample(3000, seed=1)
    message = str(error.value)
    assert "Simulation of row " in message
    assert "ValueError: mean too large" in message
    assert "'mean': " in message
    assert "'slope': " in message


@pytest.mark.parametrize(
    ("returned", "fragments"),
    [
        (lambda parameters, generator: 3.0, ["dict of observables", "float"]),
        (lambda parameters, generator: {}, ["dict of observables"]),
        (lambda parameters, generator: {"x": "text"}, ["'x'", "real numbers", "<U4"]),
        (lambda parameters, generator: {"x": 1j}, ["'x'", "real numbers", "complex128"]),
        (
            lambda parameters, generator: {"x": np.zeros(generator.integers(1, 9))},
            ["Names and shapes", "'x': (", "pad those"],
        ),
        # The one row that differs is shown, not some that are equal.
        (
            lambda parameters, generator: {"x": [0.0] * (2 - (parameters["mean"] > 2.0))},
            ["'x': (2,)", "'x': (1,)"],
        ),
        (
            lambda parameters, generator: {"xy"[generator.integers(2)]: 1.0},
            ["Names and shapes", "{'x': ()}", "{'y': ()}"],
        ),
    ],
)
def test_wrong_results_are_explained(returned, fragments: list[str]) -> None:
    with pytest.raises(SimulatorError) as error:
        bi.simulator(prior=PRIOR, engine="python", workers=1, name="faulty")(returned).sample(
            200, seed=1
        )
    for fragment in fragments:
        assert fragment in str(error.value)


def test_what_a_function_lacks_is_to_be_defined_above_it() -> None:
    with pytest.raises(SimulatorError, match=r"NameError: name 'defined_below'") as error:
        make(lambda parameters, generator: {"x": defined_below(parameters)}, 1)  # noqa: F821
    assert "above the simulator" in str(error.value)


def test_what_can_not_be_sent_to_workers_is_named() -> None:
    lock = threading.Lock()
    with pytest.raises(SimulatorError, match="Function of simulator") as error:
        make(lambda parameters, generator: {"x": lock.locked()}, 1)
    assert "cannot pickle '_thread.lock'" in str(error.value)
    assert "inside the function" in str(error.value)


def add_noise(parameters, generator, size):
    return {"x": parameters["mean"] + generator.normal(size=size)}


def test_a_partial_function_is_a_simulator() -> None:
    simulator = make(functools.partial(add_noise, size=3), 1, name="noise")
    assert simulator.sample(2, seed=1)["x"].shape == (2, 3)


@pytest.mark.parametrize(
    ("end", "fragments"),
    [
        ("sys.exit(3)", ["Simulation of row ", "SystemExit: 3", "'mean': "]),
        ("os._exit(3)", ["'ends'", "a worker process that ended", "EXIT(3)"]),
        ("os.kill(os.getpid(), 9)", ["'ends'", "a worker process that ended", "SIGKILL"]),
    ],
)
def test_the_end_of_a_worker_is_explained(end: str, fragments: list[str]) -> None:
    def ends(parameters, generator):
        import os
        import sys

        if parameters["mean"] > 2.0:
            eval(end, {"os": os, "sys": sys})
        return {"x": parameters["mean"]}

    simulator = make(ends, 2)
    with pytest.raises(SimulatorError) as error:
        simulator.sample(1000, seed=1)
    assert not [fragment for fragment in fragments if fragment not in str(error.value)], str(
        error.value
    )
    # New workers take over.
    assert simulator.sample(3, seed=1)["x"].shape == (3,)


class Loaded:
    """Something large in a function's closure, which writes down each time that it is loaded."""

    def __init__(self, log) -> None:
        self.log = log
        self.numbers = np.zeros(100_000)

    def __setstate__(self, state) -> None:
        self.__dict__.update(state)
        with open(self.log, "a") as file:
            file.write("loaded\n")


def test_the_function_is_sent_to_each_worker_once(tmp_path, monkeypatch) -> None:
    large = Loaded(tmp_path / "log")
    sent = []

    def offset(parameters, generator):
        return {"x": parameters["mean"] + large.numbers[0]}

    simulator = make(offset, workers=2)
    start = simulator.engine._start
    monkeypatch.setattr(
        simulator.engine,
        "_start",
        lambda *block: sent.append(len(pickle.dumps(block))) or start(*block),
    )
    for seed in range(5):
        simulator.sample(64, seed=seed)
    assert 1 <= len((tmp_path / "log").read_text().splitlines()) <= 2
    # 8 blocks a batch of 8 rows each, far from the 800,000 bytes of the closure.
    assert len(sent) == 40
    assert max(sent) < 2_000


FORK = """
import os
import numpy as np
import bayesinn as bi
import tensorflow_probability as tfp
from bayesinn.simulation.engines.workers import end_workers

@bi.simulator(prior={"mean": tfp.distributions.Normal(0.0, 1.0)}, engine="python", workers=1)
def ruler(parameters, generator):
    return {"x": parameters["mean"] + generator.normal(size=3)}

parameters = {"mean": np.ones(5)}
before = ruler.simulate(parameters, seed=1)["x"]
child = os.fork()
if child == 0:
    print("in the child", np.array_equal(before, ruler.simulate(parameters, seed=1)["x"]), flush=True)
    try:
        ruler.sample(5, seed=1)
    except ValueError as error:
        print(str(error).splitlines()[0], flush=True)
    end_workers()
    os._exit(0)
os.waitpid(child, 0)
print("in the parent", np.array_equal(before, ruler.simulate(parameters, seed=1)["x"]))
"""


@pytest.mark.slow
def test_a_forked_process_has_workers_of_its_own(fresh_python) -> None:
    """TensorFlow's threads stay in the parent: prior draws would wait forever in the child."""
    assert fresh_python(FORK).stdout.splitlines() == [
        "in the child True",
        "TensorFlow in a forked process",
        "in the parent True",
    ]


SCRIPT = """
import numpy as np
import bayesinn as bi
import tensorflow_probability as tfp

print("script starts")

@bi.simulator(prior={"mean": tfp.distributions.Normal(0.0, 1.0)}, engine="python", workers=2)
def ruler(parameters, generator):
    return {"x": parameters["mean"] + 0.1 * generator.normal(size=3)}

print("shape", ruler.sample(40, seed=1)["x"].shape)
posterior = bi.AmortizedPosterior(ruler, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
posterior.fit(steps=20, batch_size=32, seed=1, progress=False)
print("draws", posterior.sample({"x": [0.1, 0.2, 0.3]}, draws=7)["mean"].shape)
"""


def test_threads_share_the_workers() -> None:
    """Training asks for simulations from ever new threads; they must not each start processes."""

    def process(parameters, generator):
        import os

        return {"process": os.getpid()}

    simulator = make(process, workers=2)
    with ThreadPoolExecutor(max_workers=6) as threads:
        draws = threads.map(lambda seed: simulator.sample(20, seed=seed)["process"], range(6))
    assert len(np.unique(np.concatenate(list(draws)))) <= 2


def test_failure_in_mid_training_keeps_the_weights() -> None:
    """The pilot and the first batches go well; then a parameter beyond four sd ends the run."""

    @bi.simulator(prior={"a": tfd.Normal(0.0, 1.0)}, engine="python", batched=True, workers=1)
    def fragile(parameters, generator):
        if np.any(np.abs(parameters["a"]) > 4.0):
            raise ArithmeticError("too far out")
        return {"y": parameters["a"] + generator.normal(size=len(parameters["a"]))}

    posterior = bi.AmortizedPosterior(fragile, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    with pytest.raises(SimulatorError, match="too far out"):
        posterior.fit(steps=1_000, batch_size=256, seed=1, progress=False)
    assert posterior.trained
    assert np.isfinite(posterior.sample({"y": 0.3}, draws=50, seed=2)["a"]).all()


@pytest.mark.slow
def test_a_script_without_a_guard_works(tmp_path, fresh_python) -> None:
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    # Workers that ran the script again would print its first line again.
    assert fresh_python(file).stdout.splitlines() == [
        "script starts",
        "shape (40, 3)",
        "draws (7,)",
    ]


def test_steps_have_no_random_numbers_of_a_sample() -> None:
    """Nor of what it draws again; with the same seed, samples are often held out."""
    simulator = make(one_draw, 1)
    entropies = []
    simulator.engine = SimpleNamespace(start=lambda n, entropy: entropies.append(entropy))
    source = WorkerSource(simulator, TrainingSettings(201, 1, 8, 1))
    for step in range(201):
        source._submit(step)
    sample = seeds.entropy(1, "simulations")
    entropies += [sample, *([*sample, attempt] for attempt in range(1, 1 + MOST_REDRAWS))]
    states = {tuple(np.random.SeedSequence(entropy).generate_state(4)) for entropy in entropies}
    assert len(states) == len(entropies) == 202 + MOST_REDRAWS


def test_whole_numbers_from_one_branch_do_not_round_the_others() -> None:
    """The first draw of seed 0 takes the branch that returns a whole number."""

    @bi.simulator(prior={"r": tfd.Uniform(0.0, 1.0)}, engine="python", workers=1)
    def peak(parameters, generator):
        return {"t": 0} if parameters["r"] > 0.5 else {"t": 0.25 + parameters["r"]}

    assert peak.draw(1, 0).observables["t"].dtype.kind == "i"
    settings = TrainingSettings(1, 1, 64, 1, 1e-3, 1.0, 0.0, None, False)
    batch = next(iter(WorkerSource(peak, settings).elements(0)))[1]
    r = batch["r"].numpy()
    t = batch["t"].numpy()
    np.testing.assert_allclose(t, np.where(r > 0.5, 0.0, 0.25 + r), rtol=1e-6)


def test_whole_numbers_do_not_round_what_is_drawn_again() -> None:
    """Two rows that both fail at first are whole numbers, those that take their place are not."""

    @bi.simulator(
        prior={"r": tfd.Uniform(0.2, 0.8)}, engine="python", workers=1, on_nonfinite="redraw"
    )
    def whole_or_not(parameters, generator):
        fails = generator.uniform() < 0.5
        return {"x": 0 if fails else float(parameters["r"]), "y": np.nan if fails else 1.0}

    failed = 0
    for seed in range(20):
        batch = whole_or_not.draw(2, seed)
        failed += batch.failed >= 2
        np.testing.assert_allclose(batch.observables["x"], batch.parameters["r"], rtol=1e-6)
    assert failed > 0


def test_rows_of_parameters_and_context_must_be_as_many() -> None:
    @bi.simulator(
        prior={"rate": tfd.Uniform(0.0, 1.0)},
        context={"n": tfd.Uniform(1.0, 9.0)},
        engine="python",
        workers=1,
    )
    def model(parameters, context, generator):
        return {"x": parameters["rate"] * context["n"]}

    three = {"rate": [0.1, 0.2, 0.3]}
    for context in ([10.0, 20.0, 30.0, 40.0], [50.0]):
        with pytest.raises(InputError):
            model.simulate(three, 1, {"n": context})
    found = model.simulate(three, 1, {"n": [1.0, 2.0, 3.0]})
    np.testing.assert_allclose(found["x"], [0.1, 0.4, 0.9], rtol=1e-6)


def test_where_all_rows_fail_they_are_all_nan() -> None:
    @bi.simulator(
        prior={"rate": tfd.Uniform(0.0, 1.0)},
        engine="python",
        workers=1,
        on_nonfinite="redraw",
    )
    def model(parameters, generator):
        if parameters["rate"] > 0.9:
            raise ValueError("too large")
        return {"cases": np.array([1, 2, 3]), "y": parameters["rate"]}

    found = model.simulate({"rate": [0.95, 0.99]}, seed=1)
    assert found["cases"].shape == (2, 3)
    assert found["y"].shape == (2,)
    assert np.isnan(found["cases"]).all()
    assert np.isnan(found["y"]).all()
