"""Graphs don't keep constants that have changed since they were traced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.simulation.derived import derived_simulator
from bayesinn.simulation.engines.constants import constants_of

tfd = tfp.distributions
SETTINGS = {"scale": 1.0}
SCALE = np.ones(3, np.float32)


def noise(seed: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    return SETTINGS["scale"] * tf.random.stateless_normal((rows, 3), seed) * SCALE


def model(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"y": parameters["m"][:, None] + noise(seed, tf.shape(parameters["m"])[0])}


def test_changed_constants_are_seen_by_all_that_simulate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = bi.simulator(prior={"m": tfd.Normal(0.0, 0.01)}, name="scaled")(model)
    assert simulator.sample(2_000, seed=1)["y"].std() == pytest.approx(1.0, abs=0.05)
    monkeypatch.setitem(SETTINGS, "scale", 10.0)
    assert simulator.sample(2_000, seed=1)["y"].std() == pytest.approx(10.0, abs=0.5)
    bank = bi.simulate(simulator, 2_000, tmp_path / "bank", seed=1, progress=False)
    assert bank.read()["y"].std() == pytest.approx(10.0, abs=0.5)


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
    first = bi.get(f"{file}:edited")
    assert bi.get(f"{file}:edited") is first
    file.write_text(EDITED.replace("1.0 *", "10.0 *"))
    second = bi.get(f"{file}:edited")
    assert second.sample(500, seed=1)["y"].std() == pytest.approx(10.0, abs=1.0)
    assert first.sample(500, seed=1)["y"].std() == pytest.approx(1.0, abs=0.1)
