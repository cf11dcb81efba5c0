"""Adapter: bayesinn, with simulators that run inside the training step."""

from __future__ import annotations

from typing import Any

import numpy as np
import task as tasks
import tensorflow as tf
import tensorflow_probability as tfp
from clock import Clock
from problems import Data, Problem

import bayesinn as bi

tfd = tfp.distributions

PACKAGES = ("bayesinn", "tensorflow", "keras")


@bi.simulator(prior={"theta": tfd.Normal(tf.zeros(5), 1.0)})
def toy(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Five numbers and a noisy copy of each."""
    theta = parameters["theta"]
    return {"x": theta + 0.5 * tf.random.stateless_normal(tf.shape(theta), seed)}


@bi.simulator(prior={"theta": tfd.Normal(tf.zeros(34), 1.0)})
def series(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """A random walk of 81 steps and 3 channels; 4 of 34 numbers decide its drift and level."""
    theta = parameters["theta"]
    noise = tf.random.stateless_normal((tf.shape(theta)[0], 81, 3), seed)
    return {"x": tf.cumsum(0.1 * noise + theta[:, None, :3], axis=1) + theta[:, None, 3:4]}


OWN = {"toy": toy, "series": series}


def networks(problem: Problem, settings: str) -> dict[str, Any]:
    """Networks of equal size in all libraries, or those that our documentation suggests."""
    flow = bi.flows.coupling(blocks=6)
    if problem.bounds:
        transform = bi.bijections.Composed([bi.bijections.Affine(), bi.bijections.Spline()])
        flow = bi.flows.coupling(blocks=6, transform=transform)
    if problem.kind == "set":
        return {"summary": bi.summaries.DeepSet()}
    if settings == "equal" and problem.kind == "series":
        return {
            "summary": bi.summaries.ConvLSTM(problem.summaries, lstm_units=problem.lstm_units),
            "flow": flow,
        }
    return {"flow": flow}


def fit(problem: Problem, task: dict[str, Any], limit: float) -> tasks.Fit:
    name = task["problem"]
    result = tasks.Fit()
    simulator = OWN[name] if name in OWN else bi.get_simulator(name)
    result.start()
    model = bi.AmortizedPosterior(simulator, **networks(problem, task["settings"]))
    if task["task"] == "accuracy":
        # Batch size, learning rate and schedule are the defaults.
        model.fit(steps=task["budget"], seed=task["seed"], progress=False)
    else:
        model.fit(
            steps=task["epochs"] * task["steps_per_epoch"],
            epochs=task["epochs"],
            batch_size=task["batch"],
            seed=task["seed"],
            optimization=bi.Optimization(callbacks=[Clock(result, limit)]),
            progress=False,
        )
    result.end()
    result.model = model
    result.weights = sum(
        int(np.prod(weight.shape)) for weight in model.model.network.trainable_variables
    )
    return result


def observed(model: bi.AmortizedPosterior, data: Data) -> Data:
    """Data under the names and in the shapes of the simulator."""
    shapes = model.simulator.observable_shapes
    (name,) = shapes
    context = {"n": data["n"][:, 0].astype(np.int32)} if "n" in data else {}
    return {name: data["x"].reshape(-1, *shapes[name]), **context}


def draw(model: bi.AmortizedPosterior, problem: Problem, data: Data, draws: int) -> np.ndarray:
    values = model.sample(observed(model, data), draws=draws, seed=1)
    return np.stack([np.asarray(values[name]) for name in problem.names])


def log_prob(model: bi.AmortizedPosterior, problem: Problem, data: Data) -> np.ndarray:
    theta = np.exp(data["theta"]) if problem.log_scale else data["theta"]
    columns = (
        dict(zip(problem.names, theta.T, strict=True))
        if len(problem.names) > 1
        else {problem.names[0]: theta}
    )
    if problem.kind == "set":
        columns = {"mean": theta[:, 0]}
    return model.log_prob(columns, observed(model, data))


if __name__ == "__main__":
    tasks.main(__name__)
