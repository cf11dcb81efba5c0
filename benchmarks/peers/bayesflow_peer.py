"""Adapter: BayesFlow, through BasicWorkflow; KERAS_BACKEND names what it runs on."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import bayesflow as bf
import keras
import numpy as np
import task as tasks
from clock import Clock
from problems import Data, Problem

PACKAGES = ("bayesflow", os.environ["KERAS_BACKEND"], "keras")


class ConvLSTM(bf.networks.SummaryNetwork):
    """The layers of bayesinn's summary network, for equal work."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        convolution = {"filters": 64, "kernel_size": 3, "padding": "causal", "activation": "relu"}
        self.network = keras.Sequential(
            [
                keras.layers.Conv1D(**convolution),
                keras.layers.Conv1D(**convolution),
                keras.layers.LSTM(problem.lstm_units),
                keras.layers.Dense(problem.summaries),
            ]
        )

    def call(self, x: Any, training: bool = False, **kwargs: Any) -> Any:
        return self.network(x, training=training)


def marked(data: Data) -> Data:
    """Tell valid elements of a set from padding by a second channel.

    Sets of other lengths would be compiled anew.
    """
    if "n" not in data:
        return data
    valid = np.arange(data["x"].shape[1]) < data["n"]
    return {**data, "x": np.concatenate([data["x"], valid[..., None].astype(np.float32)], axis=-1)}


def workflow(
    problem: Problem, task: dict[str, Any], generator: np.random.Generator
) -> bf.BasicWorkflow:
    """Defaults of BasicWorkflow, or networks of equal size in all libraries."""
    simulator = bf.simulators.LambdaSimulator(
        lambda shape: marked(problem.simulate(shape[0], generator)), is_batched=True
    )
    networks: dict[str, Any] = {"inference_network": bf.networks.CouplingFlow()}
    if task["settings"] == "equal":
        # The defaults have these widths too, but another activation, and dropout.
        subnets = {"widths": (128, 128), "activation": "silu", "dropout": 0.0}
        networks["inference_network"] = bf.networks.CouplingFlow(depth=6, subnet_kwargs=subnets)
    elif problem.bounds:
        networks["inference_network"] = bf.networks.CouplingFlow(transform="spline")
    adapter = bf.Adapter()
    conditions = []
    if problem.bounds:
        adapter = adapter.constrain("theta", lower=problem.bounds[0], upper=problem.bounds[1])
    if problem.kind == "vector":
        conditions = ["x"]
    elif problem.kind == "set":
        conditions = ["n"]
        networks["summary_network"] = bf.networks.DeepSet()
        adapter = adapter.sqrt("n")
    else:
        equal = task["settings"] == "equal"
        networks["summary_network"] = (
            ConvLSTM(problem) if equal else bf.networks.TimeSeriesNetwork()
        )
    if problem.log_scale:
        adapter = adapter.log("x", p1=True)
    adapter = adapter.rename("theta", "inference_variables")
    if conditions:
        adapter = adapter.concatenate(conditions, into="inference_conditions")
    if "x" not in conditions:
        adapter = adapter.rename("x", "summary_variables")
    return bf.BasicWorkflow(simulator=simulator, adapter=adapter, **networks)


def fit(problem: Problem, task: dict[str, Any], limit: float) -> tasks.Fit:
    result = tasks.Fit()
    generator = np.random.default_rng(task["seed"])
    keras.utils.set_random_seed(task["seed"])
    result.start()
    model = workflow(problem, task, generator)
    clock = {"callbacks": [Clock(result, limit)], "verbose": 0}
    if task["task"] != "accuracy":
        model.fit_online(
            epochs=task["epochs"],
            num_batches_per_epoch=task["steps_per_epoch"],
            batch_size=task["batch"],
            **clock,
        )
    elif task["settings"] == "offline":
        model.fit_offline(model.simulate(task["budget"]), verbose=0)
    else:
        # Epochs of 100 batches, batches of 32, learning rate and schedule are the defaults.
        model.fit_online(epochs=task["budget"] // 100, verbose=0)
    result.end()
    result.model = model
    result.weights = sum(
        int(np.prod(weight.shape)) for weight in model.estimator.trainable_variables
    )
    return result


def draw(model: bf.BasicWorkflow, problem: Problem, data: Data, draws: int) -> np.ndarray:
    conditions = {name: value for name, value in marked(data).items() if name != "theta"}
    values = model.sample(num_samples=draws, conditions=conditions)["theta"]
    return np.exp(values) if problem.log_scale else values


def log_prob(model: bf.BasicWorkflow, problem: Problem, data: Data) -> np.ndarray:
    return problem.own_scale(np.reshape(model.log_prob(marked(data)), -1), data["theta"])


if __name__ == "__main__":
    tasks.main(__name__)
