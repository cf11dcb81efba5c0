"""Time of a training step: simulate, evaluate, differentiate, update.

    python benchmarks/training_step.py [--quick]

Prints milliseconds a step and simulations a second for three problems at batch 64: the linear toy
with a coupling flow of about 219,000 weights, the SIR model, and a series of 81 steps and 3
channels with Conv + LSTM. On the toy it also times the forward and backward pass alone, on fixed
data, and prints the ratio: what simulating, optimising and averaging cost on top. Medians of
interleaved rounds, so that a busy machine disturbs all alike.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.compilation import XLA
from bayesinn.estimators.estimator import new_model
from bayesinn.estimators.fitting_data import draw_pilot
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import GraphSource
from bayesinn.training.step import TrainingModel

tfd = tfp.distributions

BATCH = 64
STEPS_PER_CALL = 50
SEED = 1


@bi.simulator(prior={"level": tfd.Normal(tf.zeros(5), 1.0)})
def series(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """A random walk of 81 steps and 3 channels; five numbers decide its drift."""
    level = parameters["level"]
    noise = tf.random.stateless_normal((tf.shape(level)[0], 81, 3), seed)
    return {"series": tf.cumsum(0.1 * noise + level[:, None, :3], axis=1) + level[:, None, 3:4]}


def trainer(posterior: AmortizedPosterior, xla: XLA, batch: int = BATCH) -> TrainingModel:
    """The training model that ``fit`` would run."""
    settings = TrainingSettings(100_000, 1_000, batch, SEED, 1e-4, xla=xla)
    trainable = new_model(posterior, draw_pilot(posterior.simulator, SEED), SEED)
    model = TrainingModel(trainable, GraphSource(posterior.simulator, settings), settings)
    model.compile(optimizer="adam")
    model.optimizer.build([model.flat])
    model.compile_step(model.source.elements(0).element_spec)
    return model


def full_steps(model: TrainingModel, steps: int) -> Callable[[], object]:
    """Many steps in one call, as in training."""
    elements = iter(model.source.elements(0))

    @tf.function
    def call() -> tf.Tensor:
        for _ in tf.range(steps):
            model.train_step(next(elements))
        return model.loss_mean.result()

    return call


def forward_backward(model: TrainingModel, steps: int) -> Callable[[], object]:
    """Loss and gradient alone, on fixed data, as many times."""
    batch, _ = model.source.batch(next(iter(model.source.elements(0))))

    @tf.function
    def call() -> tf.Tensor:
        total = tf.zeros(())
        for _ in tf.range(steps):
            # Steps of training depend on each other; these would run beside each other if they were
            # let.
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            weights = tf.convert_to_tensor(model.flat.value), model._network_state()
            parts = enumerate(model._parts(batch))
            total += tf.add_n(
                [
                    model._differentiate_all(*weights, part, tf.constant(0), tf.constant(shard))[0]
                    for shard, part in parts
                ]
            )
        return total

    return call


def milliseconds(
    calls: dict[str, Callable[[], object]], rounds: int, steps: int
) -> dict[str, float]:
    """Median milliseconds a step, the calls taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            np.asarray(call())
            times[name].append((time.perf_counter() - started) / steps * 1e3)
    return {name: float(np.median(values)) for name, values in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round: checks that it runs, the numbers mean little",
    )
    quick = parser.parse_args().quick
    rounds, steps, xla, blocks = (1, 2, False, 1) if quick else (30, STEPS_PER_CALL, "auto", 6)
    couplings = bi.flows.coupling(blocks, hidden=(132, 132))
    summary = bi.summaries.ConvLSTM(64, filters=(64, 64), lstm_units=128)
    toy = trainer(AmortizedPosterior(bi.get_simulator("linear"), flow=couplings), xla)
    others = {
        "sir": AmortizedPosterior(bi.get_simulator("sir")),
        "81 x 3 series": AmortizedPosterior(series, summary, couplings if quick else None),
    }
    if quick:
        del others["sir"]
    calls = {
        "toy, forward + backward alone": forward_backward(toy, steps),
        "toy": full_steps(toy, steps),
    }
    calls |= {name: full_steps(trainer(other, xla), steps) for name, other in others.items()}
    results = milliseconds(calls, rounds, steps)
    print(f"batch {BATCH}, {toy.flat.shape[0]:,} weights in the toy's flow, seed {SEED}")
    print(
        f"TensorFlow {version('tensorflow')}, Keras {version('keras')}, Python "
        f"{platform.python_version()}"
    )
    for name, value in results.items():
        print(f"{name:<32}{value:8.2f} ms/step {BATCH / value * 1e3:12,.0f} simulations/s")
    ratio = results["toy"] / results["toy, forward + backward alone"]
    print(f"overhead of the toy's step over forward + backward: {ratio:.2f}x")


if __name__ == "__main__":
    main()
