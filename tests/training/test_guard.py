"""The guard: training stops at the first bad number, says where and why, keeps good weights."""

from __future__ import annotations

import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import SimulatorError, TrainingError
from bayesinn.simulators.linear import linear
from bayesinn.training.callbacks import Guard
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
    assert "in Python, the network has the last good weights" in message
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
    assert "lower learning_rate or clip_norm of bi.Optimization(...)" in str(error.value)
    # It exploded within the first call, before which there were initial weights only.
    assert "nothing was trained" in str(error.value)
    assert not posterior.trained


EXPLODES = bi.Optimization(optimizer=keras.optimizers.SGD(1e30), average=0.0)


def test_a_second_fit_that_explodes_at_once_leaves_the_first() -> None:
    posterior = fit()
    before = weights(posterior)
    history = posterior.history
    with pytest.raises(TrainingError, match="nothing was trained"):
        posterior.fit(steps=300, batch_size=32, progress=False, optimization=EXPLODES)
    assert posterior.history is history
    for value, old in zip(weights(posterior), before, strict=True):
        np.testing.assert_array_equal(value, old)


class Explode(keras.callbacks.Callback):
    """Raises the learning rate beyond bounds after some epochs."""

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        if epoch == 2:
            self.model.optimizer.learning_rate.assign(1e30)


def test_weights_that_were_best_on_held_out_data_survive_an_explosion() -> None:
    posterior = bi.AmortizedPosterior(linear, flow=small_flow(blocks=1, hidden=(8,)))
    optimization = bi.Optimization(
        optimizer=keras.optimizers.SGD(1e-2), average=0.0, callbacks=[Explode()]
    )
    data = linear.sample(500, seed=1)
    held_out = linear.sample(200, seed=2)
    with pytest.raises(TrainingError, match="last good weights"):
        posterior.fit(
            data, validation=held_out, epochs=20, seed=1, optimization=optimization, progress=False
        )
    best = posterior.history["val_loss"].min()
    names = ("x1", "x2")
    parameters = {name: held_out[name] for name in names}
    loss = -posterior.log_prob(parameters, {"y": held_out["y"]}).mean()
    # The validation loss is in unconstrained units, which are those of a standard normal prior.
    assert loss == pytest.approx(best, abs=0.02)


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


def test_moving_statistics_go_back_with_the_weights() -> None:
    names = ("flat", "averaged", "mean")
    variables = {name: keras.Variable([1.0], name=name) for name in names}
    model = SimpleNamespace(
        flat=variables["flat"],
        averaged=variables["averaged"],
        network_state=[variables["mean"]],
        bad_step=keras.Variable(7, dtype="int32"),
        failed=keras.Variable(0, dtype="int32"),
        broken=False,
        steps_done=0,
        stop_training=False,
        settings=SimpleNamespace(steps=100),
        source=SimpleNamespace(check_failures=lambda *arguments: None),
    )
    guard = Guard()
    guard.set_model(model)
    guard.on_train_begin()
    for value, broken in ((2.0, False), (3.0, True)):
        for variable in variables.values():
            variable.assign([value])
        model.broken = broken
        guard.on_train_batch_end(0)
    assert (guard.bad_step, model.stop_training) == (7, True)
    assert {name: float(variable[0]) for name, variable in variables.items()} == dict.fromkeys(
        names, 2.0
    )
