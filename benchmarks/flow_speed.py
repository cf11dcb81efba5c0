"""Training and sampling speed of each flow at 2 and at 16 parameters.

    python benchmarks/flow_speed.py [--quick]

A parameter vector is observed with noise, each element once. Every flow has six blocks with two
hidden layers of 128 units, the residual one ten with 64. Writes flow_speed.csv: weights,
milliseconds of a training step at batch 256 (simulate, evaluate, differentiate, update) and draws a
second for one observation, 1,024 at once. Times are processor times with one thread, medians over
rounds in which all flows of a dimension take turns. Flows have learned for some hundred steps
before they are sampled: a residual network that does nothing yet is inverted in no time.
"""

from __future__ import annotations

import os

# Before TensorFlow starts: the processor time of several threads would count their waiting.
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn import bijections, flows
from bayesinn.core.compilation import XLA
from bayesinn.estimators.estimator import new_model
from bayesinn.estimators.fitting_data import draw_pilot
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import GraphSource
from bayesinn.training.step import TrainingModel

tfd = tfp.distributions

DIMENSIONS = (2, 16)
BATCH = 256
DRAWS = 1_024
STEPS_PER_CALL = 20
ROUNDS = 7
SEED = 1
SPLINE = bijections.Composed([bijections.Affine(), bijections.Spline()])
SIZE = {"blocks": 6, "hidden": (128, 128)}
FLOWS: dict[str, Callable[[], flows.Flow]] = {
    "affine coupling": lambda: flows.coupling(**SIZE),
    "spline coupling": lambda: flows.coupling(**SIZE, transform=SPLINE),
    "spline hierarchical": lambda: flows.hint(**SIZE, transform=SPLINE),
    "spline autoregressive": lambda: flows.autoregressive(**SIZE, transform=SPLINE),
    "residual": lambda: flows.residual(blocks=10, hidden=(64, 64)),
}


def noisy_copy(dimension: int) -> bi.Simulator:
    """A vector of parameters, and the same with noise."""

    @bi.simulator(
        prior={"vector": tfd.Sample(tfd.Normal(0.0, 1.0), dimension)},
        name=f"noisy copy of {dimension}",
    )
    def copy(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        vector = parameters["vector"]
        return {"copy": vector + 0.5 * tf.random.stateless_normal(tf.shape(vector), seed)}

    return copy


class Runner:
    """One flow of one dimension: many steps of training in a call, and many draws."""

    def __init__(
        self, make: Callable[[], flows.Flow], dimension: int, steps_per_call: int, xla: XLA
    ) -> None:
        posterior = AmortizedPosterior(noisy_copy(dimension), bi.summaries.Identity(), make())
        settings = TrainingSettings(100_000, 1_000, BATCH, SEED, 1e-3, 1.0, 0.999, None, xla)
        trainable = new_model(posterior, draw_pilot(posterior.simulator, SEED), SEED)
        self.model = TrainingModel(trainable, GraphSource(posterior.simulator, settings), settings)
        self.model.compile(optimizer="adam")
        self.model.optimizer.build([self.model.flat])
        self.model.compile_step(self.model.source.elements(0).element_spec)
        self.flow = trainable.network.flow
        self.observation = tf.ones((1, dimension))
        self.step = tf.Variable(0)

        # As Keras runs it.
        elements = iter(self.model.source.elements(0))
        train_step = tf.autograph.experimental.do_not_convert(self.model.train_step)

        @tf.function
        def train() -> tf.Tensor:
            for _ in tf.range(steps_per_call):
                train_step(next(elements))
            return self.model.loss_mean.result()

        @tf.function
        def sample(number: tf.Tensor) -> tf.Tensor:
            return self.flow.sample(DRAWS, self.observation, seed=tf.stack([SEED, number]))

        self.train = train
        self._sample = sample

    def finish(self) -> None:
        """Give the trained weights to the flow."""
        self.model.weight_layout.assign(self.model.flat.value)

    def sample(self) -> tf.Tensor:
        """Draws, of another seed in each call."""
        self.step.assign_add(1)
        return self._sample(self.step.value())


def seconds(
    calls: dict[str, Callable[[], tf.Tensor | np.ndarray]], rounds: int
) -> dict[str, float]:
    """Median processor time of a call, by turns; the first of each, which compiles, is left out."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            started = time.process_time()
            np.asarray(call())
            if number:
                times[name].append(time.process_time() - started)
    return {name: float(np.median(values)) for name, values in times.items()}


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="small: checks that it runs, the numbers mean little"
    )
    quick = parser.parse_args().quick
    rounds = 1 if quick else ROUNDS
    steps = 2 if quick else STEPS_PER_CALL
    xla: XLA = False if quick else "auto"
    names = ("affine coupling",) if quick else tuple(FLOWS)
    rows = []
    for dimension in DIMENSIONS[: 1 if quick else None]:
        runners = {name: Runner(FLOWS[name], dimension, steps, xla) for name in names}
        training = seconds({name: runner.train for name, runner in runners.items()}, rounds)
        for runner in runners.values():
            runner.finish()
        sampling = seconds({name: runner.sample for name, runner in runners.items()}, rounds)
        for name, runner in runners.items():
            speed = {
                "ms_per_step": training[name] / steps * 1e3,
                "draws_per_second": DRAWS / sampling[name],
            }
            rows.append(
                {
                    "parameters": dimension,
                    "flow": name,
                    "weights": runner.model.flat.shape[0],
                    **speed,
                }
            )
            print(rows[-1], flush=True)
    if not quick:
        pd.DataFrame(rows).to_csv(
            Path(__file__).with_suffix(".csv"), index=False, float_format="%.3g"
        )


if __name__ == "__main__":
    main()
