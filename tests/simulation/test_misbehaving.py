"""Misbehaving simulators in both engines: a run goes on, or its error names parameters and seed."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import SimulatorError
from bayesinn.core.process import interrupt_on_termination
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.engines.workers import (
    _pools,
    end_workers,
    ending_lone_workers,
    pickled_by_value,
    start,
)
from tests.conftest import ROOT
from tests.helpers.models import small_flow

tfd = tfp.distributions


def make(function, prior: float = 1.0, **options) -> bi.Simulator:
    """A simulator with parameter "mean" above 2 in one of 44 draws, never in the trial's three."""
    return bi.simulator(prior={"mean": tfd.Normal(0.0, prior)}, name="odd", **options)(function)


def python(fault, **options) -> bi.Simulator:
    """A simulator that calls ``fault`` far from the centre, and returns what that returns."""

    def odd(parameters, generator):
        noise = generator.normal()
        return fault(parameters) if parameters["mean"] > 2.0 else {"x": parameters["mean"] + noise}

    return make(odd, engine="python", **{"workers": 1, **options})


def raises(error):
    def fault(parameters):
        raise error

    return fault


def recurse(parameters):
    return recurse(parameters)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


def hang(parameters):
    while True:
        pass


def hang_and_swallow(parameters):
    while True:
        with contextlib.suppress(Exception):
            time.sleep(1.0)


def hang_in_compiled_code(parameters):
    return sum(itertools.repeat(0))


FAILURES = {
    "ValueError: too large": raises(ValueError("too large")),
    "ZeroDivisionError": lambda parameters: {"x": 1 / 0},
    "KeyError: 'nobody'": lambda parameters: {"x": parameters["nobody"]},
    "RecursionError": recurse,
    "MemoryError": raises(MemoryError()),
    "AssertionError": raises(AssertionError()),
    "StopIteration": lambda parameters: {"x": next(iter([]))},
    "SystemExit: 3": lambda parameters: sys.exit(3),
    "KeyboardInterrupt": raises(KeyboardInterrupt()),
    "GeneratorExit": raises(GeneratorExit()),
    "LinAlgError": lambda parameters: {"x": np.linalg.inv(np.zeros((2, 2)))},
    "Unprintable": raises(Unprintable()),
    "time limit of 0.1 s": hang,
    "the time limit of 0.1 s ": hang_and_swallow,
}


@pytest.mark.parametrize("got", FAILURES)
def test_what_raises_follows_the_policy(got: str) -> None:
    limit = 0.1 if "time limit" in got else None
    with pytest.raises(SimulatorError) as error:
        python(FAILURES[got], time_limit=limit).sample(70, seed=1)
    message = str(error.value)
    for fragment in (
        "Simulation of row ",
        "'odd'",
        got.strip(),
        "{'mean': 3.34",
        "default_rng([1, 2, 1, ",
    ):
        assert fragment in message
    drawn = python(FAILURES[got], time_limit=limit, on_nonfinite="redraw").draw(70, seed=1)
    assert drawn.failed >= 1
    assert np.isfinite(drawn.observables["x"]).all()
    assert drawn.parameters["mean"].max() < 2.0


def test_a_long_error_is_cut_before_it_travels() -> None:
    simulator = python(raises(ValueError("x" * 100_000)), on_nonfinite="redraw")
    simulator.sample(200, seed=1)
    assert 100 < len(simulator.engine.policy.example) < 3_000


def test_a_time_limit_is_one_of_the_clock_however_many_threads_compute() -> None:
    """No timer of processor time, which all threads share: it would end those that are in time."""

    def look(parameters, generator):
        timers = signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF
        return {"left": np.array([signal.getitimer(timer)[0] for timer in timers])}

    left = make(look, engine="python", workers=1, time_limit=60.0).sample(3, seed=1)["left"]
    assert np.all((left[:, 0] > 0.0) & (left[:, 0] <= 60.0))
    assert np.all(left[:, 1:] == 0.0)


def test_compiled_code_that_hangs_is_described() -> None:
    with pytest.raises(
        SimulatorError, match=r"(?s)goes on after the time limit of 0\.1 s.*\{'mean': "
    ):
        python(hang_in_compiled_code, time_limit=0.1).sample(30, seed=5)


def test_what_swallows_the_end_of_its_time_is_ended() -> None:
    def hang_and_swallow_all(parameters):
        from bayesinn.simulation.engines import worker

        worker._CLEANING = 0.5
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(1.0)

    drawn = python(hang_and_swallow_all, time_limit=0.1, on_nonfinite="redraw").draw(30, seed=5)
    assert drawn.failed >= 1


def test_compiled_code_that_hangs_is_ended_with_its_process() -> None:
    drawn = python(hang_in_compiled_code, time_limit=0.1, on_nonfinite="redraw").draw(30, seed=5)
    assert drawn.failed >= 1
    assert drawn.parameters["mean"].max() < 2.0


@pytest.mark.parametrize(
    ("result", "fragments"),
    [
        (None, ["a dict of observables", "NoneType"]),
        ({}, ["a dict of observables"]),
        ([1.0], ["a dict of observables", "list"]),
        ({3: 1.0, "x": 1.0}, ["a dict of observables", "the names [3, 'x']"]),
        ({None: 1.0}, ["a dict of observables", "the names [None]"]),
        ({"x": None}, ["'x'", "real numbers", "None", "{'mean': 3.34"]),
        ({"x": "text"}, ["'x'", "real numbers", "text", "{'mean': 3.34"]),
        ({"x": 1j}, ["'x'", "real numbers", "complex", "{'mean': 3.34"]),
        ({"x": {1}}, ["'x'", "real numbers", "object", "{'mean': 3.34"]),
        ({"x": [[1.0], [1.0, 2.0]]}, ["'x'", "real numbers", "inhomogeneous", "{'mean': 3.34"]),
        ({"x": np.ma.masked_invalid([np.nan])}, ["'x'", "masked values", "{'mean': 3.34"]),
        ({"x": [1.0, 2.0]}, ["the same for each draw", "{'x': ()} and {'x': (2,)}", "{'mean': "]),
        ({"x": 1.0, "y": 2.0}, ["the same for each draw", "'y'", "{'mean': "]),
        ({"y": 1.0}, ["the same for each draw", "{'x': ()} and {'y': ()}", "{'mean': "]),
    ],
    ids=str,
)
@pytest.mark.parametrize("policy", ["raise", "redraw"])
def test_a_result_of_another_kind_is_an_error(result, fragments: list[str], policy: str) -> None:
    with pytest.raises(SimulatorError) as error:
        python(lambda parameters: result, on_nonfinite=policy).sample(70, seed=1)
    for fragment in fragments:
        assert fragment in str(error.value)


class Holder:
    """An object that hands out its own memory as an array."""

    def __init__(self, memory: np.ndarray) -> None:
        self.memory = memory

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.memory


@pytest.mark.parametrize("kind", ["array", "list", "batched", "flat", "holder"])
def test_memory_that_a_simulator_uses_again_is_copied(kind: str) -> None:
    """Each row has its own numbers, whatever the function does to its buffer and its parameters."""
    buffer = [0.0, 0.0] if kind == "list" else np.zeros((400, 2)[kind != "batched" :])

    def reuse(parameters, generator):
        level = parameters["level"]
        given = np.copy(level)
        result = buffer[: len(level)] if kind == "batched" else buffer
        result[:] = level
        level[:] = 5.0
        parameters["level"] = None
        wrapped = {"flat": np.asarray(buffer).flat, "holder": Holder(buffer)}
        return {"x": wrapped.get(kind, result), "given": given}

    prior = {"level": tfd.MultivariateNormalDiag([0.0, 0.0], [1.0, 1.0])}
    simulator = bi.simulator(
        prior=prior, engine="python", workers=1, batched=kind == "batched", name="reuse"
    )(reuse)
    drawn = simulator.sample(40, seed=1)
    assert len(np.unique(drawn["x"], axis=0)) == 40
    np.testing.assert_allclose(drawn["given"], drawn["level"], rtol=1e-6)
    np.testing.assert_allclose(drawn["x"], drawn["level"], rtol=1e-6)


def test_results_beyond_memory_are_refused() -> None:
    """Eight tebibytes: an array that repeats one number, of which a copy is made."""
    with pytest.raises(SimulatorError, match=r"(?s)Observable 'x'.*memory.*of shape \(\d+,\)"):
        make(lambda p, g: {"x": np.broadcast_to(0.0, 2**40)}, engine="python", workers=1)


def test_arrays_of_a_user_may_change_later() -> None:
    """Real data of a declaration, data that were answered, what a posterior's function gave."""
    observed = np.ones(1)
    simulator = make(
        lambda parameters, seed: {"x": parameters["mean"][:, None]}, observed={"x": observed}
    )
    buffer = np.zeros((1, 3))
    posterior = bi.SampledPosterior(simulator, lambda data, draws, seed: {"mean": buffer})
    draws = posterior.sample({"x": observed}, draws=3)["mean"]
    answer = posterior.infer({"x": observed}, draws=3, predictive=False)
    observed[:] = 7.0
    buffer[:] = 7.0
    assert np.all(simulator.observed["x"] == 1.0)
    assert np.all(answer["observed_data"]["x"] == 1.0)
    assert np.all(draws == 0.0)


def test_functions_of_a_posterior_write_into_their_own_data() -> None:
    observed = np.zeros((2, 1))
    drawn = {"mean": np.zeros((2, 3))}
    simulator = make(lambda parameters, seed: {"x": parameters["mean"][:, None]})

    def careless(data, draws, seed):
        data["x"][:] = 7.0
        return {"mean": np.zeros((len(data["x"]), draws))}

    def careless_density(parameters, data):
        parameters["mean"][:] = data["x"][:] = 7.0
        return np.zeros((2, 3))

    posterior = bi.SampledPosterior(simulator, careless, careless_density)
    posterior.sample({"x": observed}, draws=3)
    posterior.log_prob(drawn, {"x": observed})
    assert np.all(observed == 0.0)
    assert np.all(drawn["mean"] == 0.0)


def test_truth_values_under_a_continuous_prior_are_numbers() -> None:
    simulator = make(lambda parameters, seed: {"x": parameters["mean"][:, None]})
    data = {"mean": np.array([True, False]), "x": np.zeros((2, 1))}
    arrays = check_simulations(simulator, data, "Training data")
    np.testing.assert_array_equal(arrays["mean"] - 1.0, [0.0, -1.0])


def test_likelihoods_may_use_their_memory_again() -> None:
    def careless(parameters, data):
        found = -0.5 * (parameters["mean"] - data["x"]) ** 2
        parameters["mean"][:] = 7.0
        data["x"][:] = 7.0
        return found

    simulator = make(
        lambda parameters, seed: {"x": parameters["mean"][:, None]}, log_likelihood=careless
    )
    found = bi.reference.importance(simulator, {"x": np.ones(1)}, draws=100_000, seed=1)
    mean = np.sum(found.weights * found.parameters["mean"])
    # Prior and likelihood have the scale 1: the mean is half of the observation.
    assert abs(mean - 0.5) < 0.02


def test_a_shape_that_only_one_batch_has_is_an_error() -> None:
    simulator = make(
        lambda parameters, generator: {"x": np.zeros(len(str(SIZE)))}, engine="python", workers=1
    )
    assert simulator.observable_shapes == {"x": (1,)}
    other = make(lambda p, g: {"x": np.zeros(2)}, engine="python", workers=1)
    simulator.engine._start_block = other.engine._start_block
    with pytest.raises(SimulatorError, match=r"\{'x': \(1,\)\} and \{'x': \(2,\)\}"):
        simulator.sample(4, seed=1)


SIZE = 1


def test_what_always_raises_is_an_error_at_declaration() -> None:
    for policy, subject in (("raise", "of row 0"), ("redraw", "after 100 redraws")):
        with pytest.raises(SimulatorError, match=subject):
            make(
                lambda parameters, generator: 1 / 0, engine="python", workers=1, on_nonfinite=policy
            )


def test_whole_numbers_stay_so_where_others_are_drawn_again() -> None:
    drawn = python(raises(ValueError()), on_nonfinite="redraw").draw(70, seed=1)
    counts = make(
        lambda parameters, generator: {"x": 3 if parameters["mean"] < 2.0 else 1 // 0},
        engine="python", workers=1, on_nonfinite="redraw",
    ).draw(70, seed=1)  # fmt: skip
    assert counts.observables["x"].dtype.kind == "i"
    assert counts.failed == drawn.failed
    np.testing.assert_array_equal(counts.parameters["mean"], drawn.parameters["mean"])


def test_one_bad_row_of_a_batch_is_found() -> None:
    def fragile(parameters, generator):
        if (parameters["mean"] > 2.0).any():
            raise ValueError("too large")
        return {"x": parameters["mean"] + generator.normal(size=len(parameters["mean"]))}

    options = {"engine": "python", "batched": True, "workers": 1}
    with pytest.raises(SimulatorError, match=r"ValueError: too large[^$]*'mean': array\(\[[23]\."):
        make(fragile, **options).sample(300, seed=1)
    drawn = make(fragile, on_nonfinite="redraw", **options).draw(300, seed=1)
    again = make(fragile, on_nonfinite="redraw", **{**options, "workers": 2}).draw(300, seed=1)
    assert 1 <= drawn.failed < 30
    assert drawn.parameters["mean"].max() < 2.0
    np.testing.assert_array_equal(drawn.observables["x"], again.observables["x"])


def test_predictions_that_fail_are_nan_where_failures_are_allowed() -> None:
    given = {"mean": np.array([0.0, 3.0])}
    with pytest.raises(SimulatorError, match="too large"):
        python(raises(ValueError("too large"))).simulate(given, seed=1)
    predicted = python(raises(ValueError()), on_nonfinite="redraw").simulate(given, seed=1)["x"]
    assert np.isfinite(predicted).tolist() == [True, False]


def test_the_report_of_a_simulator_counts_what_raises() -> None:
    report = bi.simulator_report(python(raises(ValueError())), simulations=200, seed=1)
    assert not report.ok


def dies_once(file):
    def fault(parameters):
        if os.path.exists(file):
            os.remove(file)
            os._exit(3)
        return {"x": parameters["mean"]}

    return fault


def test_a_worker_that_dies_once_costs_nothing(tmp_path) -> None:
    simulator = python(dies_once(str(tmp_path / "once")))
    expected = simulator.sample(70, seed=1)["x"]
    (tmp_path / "once").touch()
    np.testing.assert_array_equal(simulator.sample(70, seed=1)["x"], expected)
    assert not (tmp_path / "once").exists()


ENDS = [lambda _: os._exit(3), lambda _: os.kill(os.getpid(), signal.SIGSEGV)]


@pytest.mark.parametrize("end", ENDS)
def test_a_worker_that_dies_twice_ends_the_draw(end) -> None:
    with pytest.raises(SimulatorError) as error:
        python(end).sample(70, seed=1)
    for fragment in (
        "Simulation of row ",
        "'odd'",
        "ended twice",
        "'mean': array([3.3",
        "default_rng([1, 2, 1, ",
    ):
        assert fragment in str(error.value)


@pytest.mark.parametrize("end", ENDS)
def test_a_worker_that_dies_twice_costs_the_draw_where_failures_are_allowed(end) -> None:
    """Draws and count are those of a simulator that raises."""
    expected = python(raises(ValueError()), on_nonfinite="redraw")
    simulator = python(end, on_nonfinite="redraw")
    drawn, raised = (each.draw(70, seed=1) for each in (simulator, expected))
    assert drawn.failed == raised.failed >= 1
    for name, value in raised.flat().items():
        np.testing.assert_array_equal(drawn.flat()[name], value, err_msg=name)
    predicted = simulator.simulate({"mean": np.array([0.0, 3.0])}, seed=1)["x"]
    assert np.isfinite(predicted).tolist() == [True, False]
    kept = simulator.engine.without_policy().sample(70, 1, "simulations")
    assert np.isnan(kept.observables["x"]).sum() == kept.failed >= 1


def test_one_row_of_a_batch_that_ends_its_worker_costs_that_row() -> None:
    def make_batched(fault):
        def odd(parameters, generator):
            if (parameters["mean"] > 2.0).any():
                fault()
            return {"x": parameters["mean"] + generator.normal(size=len(parameters["mean"]))}

        return make(odd, engine="python", batched=True, workers=1, on_nonfinite="redraw")

    def end() -> None:
        os._exit(3)

    def fail() -> None:
        raise ValueError

    died, raised = (make_batched(fault).draw(100, seed=1) for fault in (end, fail))
    assert died.failed == raised.failed >= 1
    np.testing.assert_array_equal(died.observables["x"], raised.observables["x"])


def dies_late(parameters) -> None:
    # Other batches are in the queue by then.
    time.sleep(0.3)
    os._exit(3)


def any_size(fault, batched: bool) -> bi.Simulator:
    """A simulator of one draw or many that calls ``fault`` far from the centre."""

    def odd(parameters, generator):
        mean = np.asarray(parameters["mean"])
        noise = generator.normal(size=mean.shape)
        if np.any(mean > 2.0):
            fault(parameters)
        return {"x": mean + noise}

    return make(odd, engine="python", batched=batched, workers=1, on_nonfinite="redraw")


@pytest.mark.parametrize("batched", [False, True])
def test_a_crash_fails_no_row_of_another_batch(batched: bool) -> None:
    """The workers of a batch that is started ahead die while the one before is simulated again."""
    raised = any_size(raises(ValueError()), batched)
    entropies = [[7, number] for number in range(40)]
    expected = [raised.engine.start(8, entropy)() for entropy in entropies]
    failing = [number for number, draws in enumerate(expected) if draws.failed]
    good = [number for number, draws in enumerate(expected) if not draws.failed]
    order = [failing[0], good[0], failing[1], good[1]]
    engine = any_size(dies_late, batched).engine
    # As for a bank: the next batch is started, and then the one before it is waited for.
    waiting = deque([engine.start(8, entropies[order[0]])])
    drawn = []
    for number in order[1:]:
        waiting.append(engine.start(8, entropies[number]))
        drawn.append(waiting.popleft()())
    drawn.append(waiting.popleft()())
    for number, found in zip(order, drawn, strict=True):
        known = expected[number]
        assert found.failed == known.failed
        for name, value in known.flat().items():
            np.testing.assert_array_equal(found.flat()[name], value, err_msg=f"{name} {number}")
    assert threading.get_ident() not in {key[3] for key in _pools}


def test_a_bank_of_what_crashes_is_that_of_what_raises(tmp_path) -> None:
    def bank(end, name: str) -> Bank:
        def odd(parameters, generator):
            if generator.random() < 0.05:
                end()
            return {"x": generator.normal()}

        simulator = make(odd, engine="python", workers=2, on_nonfinite="redraw")
        return bi.simulate_bank(simulator, 120, tmp_path / name, seed=1, chunk=20, progress=False)

    def die() -> None:
        os._exit(3)

    def fail() -> None:
        raise ValueError

    died, raised = (bank(end, end.__name__) for end in (die, fail))
    assert died.failed == raised.failed >= 1
    for name, value in raised.read().items():
        np.testing.assert_array_equal(died.read()[name], value, err_msg=name)


def test_a_thread_that_runs_alone_ends_its_worker() -> None:
    payload = pickled_by_value("odd", lambda parameters, generator: {"x": 1.0})
    task = {"mean": np.zeros(3)}, {}, [1, 2], 0, False, None
    with ending_lone_workers():
        assert start(2, payload, *task, alone=True).result().rows == 3
        key = next(key for key in _pools if key[3] == threading.get_ident())
        (process,) = _pools[key]._processes
    assert key not in _pools
    started = time.monotonic()
    while lives(process):
        assert time.monotonic() - started < 60.0
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("observable", "shape"),
    [
        (lambda mean: np.stack([mean, mean]), r"\(2, 3\)"),
        (lambda mean: np.zeros((4, len(mean))), r"\(4, 3\)"),
        (lambda mean: mean.sum(), r"\(\)"),
    ],
)
def test_batches_with_another_axis_first_are_refused(observable, shape: str) -> None:
    with pytest.raises(SimulatorError, match=f"draws first\n.*{shape}"):
        make(
            lambda parameters, generator: {"x": observable(parameters["mean"])},
            engine="python", batched=True, workers=1,
        )  # fmt: skip


def test_a_helper_under_functools_cache_is_named_as_the_cause(fresh_python) -> None:
    code = """
import functools, bayesinn as bi, tensorflow_probability as tfp
@functools.cache
def double(value):
    return 2.0 * value
@bi.simulator(prior={"a": tfp.distributions.Normal(0.0, 1.0)}, engine="python")
def uses_cache(parameters, generator):
    return {"x": double(float(parameters["a"]))}
"""
    done = fresh_python(code, check=False)
    assert "functools.cache" in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("fault", "text"), [(ENDS[0], "ended twice"), (hang, "time limit of 0.5 s")]
)
def test_what_is_lost_in_all_first_draws_is_an_error_at_once(fault, text: str) -> None:
    """A hundred redraws of simulations that take the time limit, or a worker, would take hours."""
    started = time.monotonic()
    with pytest.raises(SimulatorError, match=f"after 0 redraws.*\n.*\n.*{text}"):
        make(
            lambda parameters, generator: fault(parameters),
            engine="python", workers=1, on_nonfinite="redraw", time_limit=0.5,
        )  # fmt: skip
    assert time.monotonic() - started < 60.0


class Callable:
    def __call__(self, parameters, generator):
        return {"x": parameters["mean"]}


def test_an_object_that_can_be_called_is_a_simulator() -> None:
    assert make(Callable(), engine="python", workers=1).sample(3, seed=1)["x"].shape == (3,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_limit": 0.0}, "above 0"),
        ({"time_limit": "1"}, "a number"),
        ({"engine": "tensorflow"}, "leave it out"),
    ],
)
def test_a_time_limit_is_seconds_of_the_python_engine(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"(?s)'time_limit'.*{message}"):
        make(
            lambda parameters, generator: {"x": 1.0},
            **{"engine": "python", "time_limit": 1.0, **options},
        )


# TensorFlow


def asserted(parameters, seed):
    with tf.control_dependencies([tf.debugging.assert_less(parameters["mean"], 2.0, "too large")]):
        return {
            "x": parameters["mean"] + tf.random.stateless_normal(tf.shape(parameters["mean"]), seed)
        }


def called_back(parameters, seed):
    def inner(mean):
        if (mean.numpy() > 2.0).any():
            raise ValueError("too large")
        return mean

    return {
        "x": tf.ensure_shape(
            tf.py_function(inner, [parameters["mean"]], tf.float32), parameters["mean"].shape
        )
    }


@pytest.mark.parametrize("function", [asserted, called_back])
def test_operations_that_fail_are_blamed_on_their_parameters(function) -> None:
    simulator = make(function)
    given = {"mean": np.array([0.0, 1.0, 3.5, 1.0])}
    for call in (lambda: simulator.sample(200, seed=1), lambda: simulator.simulate(given, seed=1)):
        with pytest.raises(SimulatorError) as error:
            call()
        for fragment in ("'odd'", "too large", "seed [", "{'mean': "):
            assert fragment in str(error.value)
    assert "{'mean': 3.5}" in str(error.value)


def test_rare_failures_of_operations_are_found_where_failed_draws_are_redrawn() -> None:
    """The first draws are more than requested: failed ones are drawn again to be described."""
    simulator = make(asserted, on_nonfinite="redraw")
    for seed in range(1, 4):
        with pytest.raises(SimulatorError, match=r"(?s)too large.*\{'mean': [23]\."):
            simulator.sample(60, seed)


def test_operations_that_fail_in_training_are_blamed_on_their_parameters() -> None:
    posterior = bi.AmortizedPosterior(make(asserted), flow=small_flow())
    with pytest.raises(SimulatorError, match=r"(?s)'odd'.*too large.*\{'mean': [23]\."):
        posterior.fit(steps=50, batch_size=64, seed=1, progress=False)


@pytest.mark.parametrize(
    ("function", "fragments"),
    [
        (
            lambda parameters, seed: {"x": 1 // 0},
            ["ZeroDivisionError", "in line", "test_misbehaving.py"],
        ),
        (lambda parameters, seed: {"x": parameters["size"]}, ["KeyError: 'size'", "in line"]),
        (lambda parameters, seed: {"x": parameters["mean"].numpy()}, ["AttributeError", "in line"]),
        (lambda parameters, seed: sys.exit(3), ["SystemExit: 3", "in line"]),
        (
            lambda parameters, seed: {"x": parameters["mean"] + tf.ones(7)},
            ["shapes: [3] vs. [7]", "in line", ", None]"],
        ),
        (
            lambda parameters, seed: {"x": tf.ones(7)},
            ["shapes: [3] vs. [7]", "correct it; parameters and observables"],
        ),
        (lambda parameters, seed: parameters["mean"], ["a dict of observables"]),
        (
            lambda parameters, seed: {b"y": parameters["mean"], "x": parameters["mean"]},
            ["a dict of observables", "the names [b'y', 'x']"],
        ),
        (lambda parameters, seed: {"x": "text"}, ["'x'", "real numbers"]),
        (lambda parameters, seed: {"x": tf.constant(1.0)}, ["'x'", "one row for each draw"]),
        (
            lambda parameters, seed: {"x": tf.complex(parameters["mean"], 0.0)},
            ["'x'", "real numbers"],
        ),
        (
            lambda parameters, seed: {"x": parameters["mean"] / 0.0},
            ["'x'", "NaN or infinity in 100", "'mean': "],
        ),
    ],
)
def test_functions_of_tensors_that_are_wrong_are_explained(function, fragments: list[str]) -> None:
    with pytest.raises(SimulatorError) as error:
        make(function).sample(20, seed=1)
    for fragment in fragments:
        assert fragment in str(error.value)


def test_an_error_of_a_function_of_tensors_is_reported_at_once() -> None:
    calls = []

    def broken(parameters, seed):
        calls.append(seed)
        raise ValueError("wrong")

    with pytest.raises(SimulatorError, match="ValueError: wrong"):
        make(broken)
    assert len(calls) == 1


def by_if(mean):
    if mean[0] > 100.0:
        return mean
    return mean + 1.0


def by_loop(mean):
    for _ in tf.range(2):
        mean += 0.5
    return mean


def by_len(mean):
    return mean + tf.ones(len(mean))


def by_float(mean):
    return mean + float(tf.size(mean)) / tf.cast(tf.size(mean), tf.float32)


@pytest.mark.parametrize("step", [by_if, by_loop, by_len, by_float])
def test_functions_may_ask_tensors_for_their_values(step) -> None:
    simulator = make(lambda parameters, seed: {"x": step(parameters["mean"])})
    assert simulator.engine.autograph
    drawn = simulator.sample(50, seed=1)
    np.testing.assert_allclose(drawn["x"], drawn["mean"] + 1.0, rtol=1e-5)
    assert not make(lambda parameters, seed: {"x": parameters["mean"]}).engine.autograph


# Ends

INTERRUPTED = """
import os, signal, sys, time
# Shells let what runs in the background ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
import bayesinn as bi
import tensorflow_probability as tfp

@bi.simulator(prior={"mean": tfp.distributions.Normal(0.0, 1.0)}, engine="python", workers=2)
def slow(parameters, generator):
    import os, time
    while os.path.exists(FILE):
        time.sleep(0.02)
    return {"x": parameters["mean"]}

slow.sample(4, seed=1)
open(FILE, "w").close()
from bayesinn.simulation.engines.workers import _pools
print(*next(iter(_pools.values()))._processes, flush=True)
HOW
"""
WAYS = {
    "sample": "slow.sample(64, seed=1)",
    "train": "posterior = bi.AmortizedPosterior(slow, flow=bi.flows.coupling(blocks=1, "
    "hidden=(8,)))\n"
    "posterior.fit(steps=9, batch_size=8, seed=1, optimization=bi.Optimization(passes=PASSES), "
    "progress=False)",
    "exit": "slow.engine.start(64, [1, 2])",
}


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("way", "number"), [("sample", signal.SIGINT), ("sample", signal.SIGKILL), ("exit", None)]
)
def test_no_worker_survives(tmp_path, way: str, number: int | None) -> None:
    code = INTERRUPTED.replace("HOW", WAYS[way]).replace("FILE", repr(str(tmp_path / "hang")))
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    workers = [int(number) for number in process.stdout.readline().split()]
    assert len(workers) == 2
    if number is not None:
        time.sleep(0.3)
        process.send_signal(number)
    started = time.monotonic()
    _, error = process.communicate(timeout=120)
    while any(lives(worker) for worker in workers):
        assert time.monotonic() - started < 60.0
        time.sleep(0.02)
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_reaches_a_training_that_waits_for_workers(number: int, tmp_path, request) -> None:
    """The main thread waits in TensorFlow, where Python sees no signal."""

    def slow(parameters, generator):
        while os.path.exists(tmp_path / "hang"):
            time.sleep(0.02)
        return {"x": parameters["mean"]}

    interrupted: list[float] = []
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    for each, handler in handlers.items():
        request.addfinalizer(partial(signal.signal, each, signal.signal(each, handler)))
    # As the command line does.
    interrupt_on_termination()

    def interrupt() -> None:
        time.sleep(0.5)
        interrupted.append(time.monotonic())
        os.kill(os.getpid(), number)

    class Hang(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None) -> None:
            if epoch == 1:
                (tmp_path / "hang").touch()
                threading.Thread(target=interrupt).start()

    posterior = bi.AmortizedPosterior(make(slow, engine="python", workers=2), flow=small_flow())
    with pytest.raises(KeyboardInterrupt):
        posterior.fit(
            steps=900,
            epochs=30,
            batch_size=8,
            seed=1,
            optimization=bi.Optimization(callbacks=[Hang()]),
            progress=False,
        )
    assert time.monotonic() - interrupted[0] < 60.0
    assert not _pools
    assert 2 <= len(posterior.history) < 30
    assert posterior.sample({"x": 0.5}, draws=5, seed=1)["mean"].shape == (5,)


def forks(parameters):
    """End the worker, whose pipes a child keeps open for longer than a test may take."""
    if os.fork():
        os._exit(3)
    time.sleep(100.0)


def forks_and_returns(parameters):
    os.fork()
    return {"x": 0.0}


def stops(parameters):
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("fault", [forks, forks_and_returns, stops])
def test_what_a_simulator_does_to_its_process_is_noticed(fault) -> None:
    begun = time.monotonic()
    drawn = python(fault, time_limit=1.0, on_nonfinite="redraw").draw(70, seed=1)
    assert np.isfinite(drawn.observables["x"]).all()
    assert (drawn.failed == 0) is (fault is forks_and_returns)
    assert time.monotonic() - begun < 30.0


def test_what_a_simulator_leaves_does_not_keep_python(tmp_path) -> None:
    """Threads, and children with the pipes of their parent, also of workers that were alone."""
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import os, subprocess, sys, threading, time
import bayesinn as bi
import tensorflow_probability as tfp

@bi.simulator(prior={{"mean": tfp.distributions.Normal(0.0, 1.0)}}, engine="python", workers=1,
              on_nonfinite="redraw", name="leaves")
def leaves(parameters, generator):
    threading.Thread(target=time.sleep, args=(100.0,)).start()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], close_fds=False)
    with open({str(tmp_path / "children")!r}, "a") as file:
        print(child.pid, file=file)
    if abs(parameters["mean"]) > 1.5 and not os.path.exists({str(tmp_path / "died")!r}):
        open({str(tmp_path / "died")!r}, "w").close()
        os._exit(1)
    return {{"x": parameters["mean"]}}

if __name__ == "__main__":
    print(len(leaves.sample(20, seed=1)["x"]))
"""
    )
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, script], check=False, capture_output=True, text=True, timeout=90, cwd=ROOT
    )
    assert done.stdout == "20\n", done.stderr
    assert time.monotonic() - begun < 60.0
    for child in map(int, (tmp_path / "children").read_text().split()):
        assert _has_ended(child)


def test_busy_workers_end_at_once_when_all_are_ended() -> None:
    """As on Ctrl-C: what has been given to them would take 20 seconds."""

    def slow(parameters, generator):
        time.sleep(0.05)
        return {"x": parameters["mean"]}

    simulator = make(slow, engine="python", workers=1)
    wait = simulator.engine.start(400, [1])
    workers = [worker for pool in _pools.values() for worker in pool._processes]
    end_workers()
    assert all(_has_ended(worker, 5.0) for worker in workers)
    assert callable(wait)


def _has_ended(process: int, seconds: float = 10.0) -> bool:
    """Tell whether a process ends soon; one that was killed exists until somebody takes note."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
