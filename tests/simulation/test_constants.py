"""Neither graphs nor worker processes keep constants that have changed since."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import SimulatorError
from bayesinn.simulation.derived import derived_simulator
from bayesinn.simulation.engines import python_engine
from bayesinn.simulation.engines.constants import constants_of

tfd = tfp.distributions
SETTINGS = {"scale": 1.0, "width": 1.0}
SCALE = np.ones(3, np.float32)


def noise(seed: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    return SETTINGS["scale"] * tf.random.stateless_normal((rows, 3), seed) * SCALE


def model(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"y": parameters["m"][:, None] + noise(seed, tf.shape(parameters["m"])[0])}


def jitter(generator: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return SETTINGS["scale"] * generator.normal(size=size)


def one(parameters: dict[str, float], generator: np.random.Generator) -> dict[str, np.ndarray]:
    return {"y": parameters["m"] + jitter(generator, (3,))}


def many(parameters: dict[str, np.ndarray], generator: np.random.Generator) -> dict[str, object]:
    return {"y": parameters["m"][:, None] + jitter(generator, (len(parameters["m"]), 3))}


def of_workers(function: Callable[..., object] = one, **options: object) -> bi.Simulator:
    prior = {"m": tfd.Normal(0.0, 0.01), "k": lambda m: tfd.Normal(m, SETTINGS["width"])}
    return bi.simulator(prior=prior, engine="python", name="scaled", workers=1, **options)(function)


def test_changed_constants_are_seen_by_all_that_simulate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = bi.simulator(prior={"m": tfd.Normal(0.0, 0.01)}, name="scaled")(model)
    assert simulator.sample(2_000, seed=1)["y"].std() == pytest.approx(1.0, abs=0.05)
    monkeypatch.setitem(SETTINGS, "scale", 10.0)
    assert simulator.sample(2_000, seed=1)["y"].std() == pytest.approx(10.0, abs=0.5)
    bank = bi.simulate_bank(simulator, 2_000, tmp_path / "bank", seed=1, progress=False)
    assert bank.read()["y"].std() == pytest.approx(10.0, abs=0.5)


@pytest.mark.parametrize("batched", [False, True])
def test_changed_constants_are_seen_by_workers(
    batched: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = of_workers(many if batched else one, batched=batched)
    raw = simulator.engine.without_policy()
    given = {"m": np.zeros(2_000), "k": np.zeros(2_000)}
    drawn = simulator.sample(2_000, seed=1)
    assert drawn["y"].std() == pytest.approx(1.0, abs=0.05)
    assert drawn["k"].std() == pytest.approx(1.0, abs=0.05)
    monkeypatch.setitem(SETTINGS, "scale", 10.0)
    monkeypatch.setitem(SETTINGS, "width", 5.0)
    bank = bi.simulate_bank(simulator, 2_000, tmp_path / "bank", seed=1, progress=False).read()
    found = {
        "sample": simulator.sample(2_000, seed=1)["y"],
        "predictions": simulator.simulate(given, seed=1)["y"],
        "identity": simulator.engine.repeat(simulator.prior.cast(given), {}, 1).observables["y"],
        "an engine made before": raw.sample(2_000, 1, "simulations").observables["y"],
        "bank": bank["y"],
    }
    for place, values in found.items():
        assert values.std() == pytest.approx(10.0, abs=0.5), place
    assert bank["k"].std() == pytest.approx(5.0, abs=0.25)


def test_a_changed_closure_is_seen_by_workers() -> None:
    scale = 1.0

    def enclosed(parameters: dict[str, float], generator: np.random.Generator) -> dict[str, float]:
        return {"y": parameters["m"] + scale * generator.normal()}

    simulator = of_workers(enclosed)
    before = simulator.sample(50, seed=1)
    scale = 10.0
    after = simulator.sample(50, seed=1)
    noise_before, noise_after = (drawn["y"] - drawn["m"] for drawn in (before, after))
    np.testing.assert_allclose(noise_after, 10.0 * noise_before, rtol=1e-4, atol=1e-4)


def test_a_function_is_sent_again_only_if_what_it_reads_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = []

    def counted(*arguments: object) -> bytes:
        sent.append(1)
        return pickled(*arguments)

    pickled = python_engine.pickled_by_value
    monkeypatch.setattr(python_engine, "pickled_by_value", counted)
    simulator = of_workers()
    for seed in range(3):
        simulator.sample(5, seed=seed)
    assert len(sent) == 1
    monkeypatch.setitem(SETTINGS, "scale", 10.0)
    for seed in range(3):
        simulator.sample(5, seed=seed)
    assert len(sent) == 2


def test_a_constant_that_can_not_be_sent_is_an_error_until_it_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator = of_workers()
    expected = simulator.sample(5, seed=1)["y"]
    with monkeypatch.context() as change:
        change.setitem(SETTINGS, "lock", threading.Lock())
        for _ in range(2):
            with pytest.raises(SimulatorError, match="that can be sent to other processes"):
                simulator.sample(5, seed=1)
    np.testing.assert_array_equal(simulator.sample(5, seed=1)["y"], expected)


def test_what_a_function_reads_is_found_in_helpers_and_closures() -> None:
    before = constants_of(model)
    assert constants_of(model).same_as(before)
    SCALE[1] = 2.0
    try:
        assert not constants_of(model).same_as(before)
    finally:
        SCALE[1] = 1.0
    assert constants_of(model).same_as(before)

    def make(factor: float) -> Callable[..., object]:
        return lambda parameters, seed: {"y": factor * parameters["m"]}

    assert not constants_of(make(1.0)).same_as(constants_of(make(2.0)))


class Odd(dict):
    """Fails at any question that it doesn't know."""

    def __getattr__(self, name: str) -> object:
        return self[name]


LOOP: list[object] = []
LOOP.append(LOOP)
NESTED = [list(range(300)) for _ in range(300)]


def test_what_can_not_be_looked_into_counts_as_it_is() -> None:
    odd = Odd(scale=1.0)

    def read() -> object:
        return LOOP, odd, tf, NESTED

    found = constants_of(read)
    assert found.same_as(constants_of(read))
    assert {place.rpartition(" ")[2] for place in found.objects} == {"LOOP", "odd", "tf", "NESTED"}


def test_a_function_that_counts_its_calls_is_traced_once() -> None:
    calls = []

    def counting(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        calls.append(1)
        return {"y": parameters["m"][:, None]}

    simulator = bi.simulator(prior={"m": tfd.Normal(0.0, 1.0)})(counting)
    simulator.sample(5, seed=1)
    traced = len(calls)
    for seed in range(3):
        simulator.sample(5, seed=seed)
    assert len(calls) == traced


def test_simulators_of_several_trials_see_changed_constants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator = bi.simulator(prior={"m": tfd.Normal(0.0, 0.01)}, name="scaled")(model)
    several = derived_simulator(simulator, trials=2)
    assert several.sample(2_000, seed=1)["y"].std() == pytest.approx(1.0, abs=0.05)
    monkeypatch.setitem(SETTINGS, "scale", 10.0)
    assert several.sample(2_000, seed=1)["y"].std() == pytest.approx(10.0, abs=0.5)


EDITED = """
import bayesinn as bi
import tensorflow_probability as tfp

@bi.simulator(prior={"m": tfp.distributions.Normal(0.0, 1.0)})
def edited(parameters, seed):
    return {"y": 1.0 * parameters["m"][:, None]}
"""


def test_an_edited_file_is_run_anew(tmp_path: Path) -> None:
    file = tmp_path / "edited_model.py"
    file.write_text(EDITED)
    first = bi.get_simulator(f"{file}:edited")
    assert bi.get_simulator(f"{file}:edited") is first
    file.write_text(EDITED.replace("1.0 *", "10.0 *"))
    second = bi.get_simulator(f"{file}:edited")
    assert second.sample(500, seed=1)["y"].std() == pytest.approx(10.0, abs=1.0)
    assert first.sample(500, seed=1)["y"].std() == pytest.approx(1.0, abs=0.1)
