"""The guard: training stops at the first bad number, says where and why, keeps good weights."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import SimulatorError, TrainingError
from bayesinn.simulators.linear import linear
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import GraphSource
from tests.helpers.fitting import fit, weights
from tests.helpers.models import small_flow

tfd = tfp.distributions


def late_failure(when: str) -> bi.Simulator:
    """NaN in a step's batch if a row has an extreme parameter: rare, so that some steps go well."""

    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, name=when)
    def brittle(parameters, seed):
        mean = parameters["mean"]
        x = mean + tf.random.stateless_normal(tf.shape(mean), seed)
        return {"x": tf.where(x > 5.8, np.nan, x)}

    return brittle


def test_a_simulator_that_breaks_stops_training() -> None:
    simulator = late_failure("brittle")
    steps = 500
    batch_size = 200
    posterior = bi.AmortizedPosterior(simulator, flow=small_flow(blocks=1, hidden=(8,)))
    # The step at which the first NaN comes, found by simulating: each step is a pure function of
    # (seed, step).
    source = GraphSource(simulator, TrainingSettings(steps, 10, batch_size, 4, xla=False))
    broken = [
        step for step in range(steps) if np.isnan(source.batch((tf.constant(step),))[0]["x"]).any()
    ]
    assert broken[0] > 10  # or the test would show nothing
    with pytest.raises(TrainingError) as error:
        posterior.fit(steps=steps, batch_size=batch_size, seed=4, progress=False)
    message = str(error.value)
    assert f"stopped at step {broken[0]:,} of {steps:,}" in message
    assert "simulator returned NaN" in message
    assert "on_nonfinite='redraw'" in message
    assert "last good weights" in message
    assert all(np.isfinite(value).all() for value in weights(posterior))
    assert np.isfinite(posterior.sample({"x": 0.5}, draws=10, seed=1)["mean"]).all()
    assert posterior.history["step"].max() <= broken[0]


def test_a_loss_that_explodes_stops_training() -> None:
    posterior = bi.AmortizedPosterior(linear, flow=small_flow())
    with pytest.raises(TrainingError) as error:
        posterior.fit(
            steps=300,
            batch_size=32,
            seed=1,
            progress=False,
            optimization=bi.Optimization(optimizer=keras.optimizers.SGD(1e30), average=0.0),
        )
    assert re.search(r"stopped at step \d+ of 300", str(error.value))
    assert "simulations of that step are finite" in str(error.value)
    assert "lower learning_rate" in str(error.value)
    assert all(np.isfinite(value).all() for value in weights(posterior))
    draws = posterior.sample({"y": 1.5}, draws=100, seed=1)
    assert np.isfinite(posterior.log_prob(draws, {"y": 1.5})).all()


def test_a_failing_worker_stops_training_with_its_own_error() -> None:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, engine="python", workers=1)
    def picky(parameters, generator):
        if parameters["mean"] > 3.2:
            raise ZeroDivisionError("far out")
        return {"x": parameters["mean"] + generator.normal()}

    posterior = bi.AmortizedPosterior(picky, flow=small_flow(blocks=1, hidden=(8,)))
    posterior.simulator.draw(1, 0)
    with pytest.raises(SimulatorError, match="ZeroDivisionError: far out"):
        posterior.fit(steps=400, batch_size=100, seed=1, progress=False)


def test_failed_simulations_are_counted() -> None:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, on_nonfinite="redraw")
    def positive(parameters, seed):
        return {"x": tf.sqrt(parameters["mean"])}

    posterior = fit(positive, steps=20, batch_size=100)
    # One failure for each success on average; four standard deviations of 2,000 geometric counts.
    assert posterior.training["failed_simulations"] == pytest.approx(
        2000, abs=4 * np.sqrt(2 * 2000)
    )
    assert (
        posterior.history["failed_simulations"].iloc[-1] == posterior.training["failed_simulations"]
    )
