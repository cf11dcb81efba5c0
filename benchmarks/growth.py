"""How the time of a training step grows: with batch, blocks, hidden units, parameters, and steps.

    python benchmarks/growth.py [--quick]

Writes growth.csv and growth.svg beside this file. One size is varied at a time; the others are
those of the toy (5 parameters, 6 blocks of 128 hidden units, batch 64), and for series of one
channel those of ``ConvLSTM(32)``. The floor is what the step's matrix products would take at the
rate of one product of 512 x 128 with 128 x 128, measured in the same run: forward, and twice as
many operations backward.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_probability as tfp
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from training_step import full_steps, milliseconds, trainer

import bayesinn as bi
from bayesinn import plots
from bayesinn.core.compilation import XLA
from bayesinn.plots.panels import BLACK, BLUE, styled

tfd = tfp.distributions

HERE = Path(__file__).parent
SIZES = {
    "batch": (16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
    "blocks": (1, 2, 4, 8, 16),
    "hidden units": (16, 32, 64, 128, 256, 512),
    "parameters": (2, 5, 10, 20, 50, 100, 200, 500),
    "steps of a series": (10, 20, 50, 100, 200, 500, 1000),
}
TOY = {"batch": 64, "blocks": 6, "hidden units": 128, "parameters": 5, "steps of a series": 0}


def simulator(parameters: int, steps: int) -> bi.Simulator:
    """Noisy copies of all parameters, or a series around their mean."""

    @bi.simulator(
        prior={"theta": tfd.Normal(tf.zeros(parameters), 1.0)},
        name=f"{parameters} parameters, {steps} steps",
    )
    def noisy(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        theta = parameters["theta"]
        if steps:
            theta = tf.repeat(tf.reduce_mean(theta, axis=1, keepdims=True), steps, axis=1)
        return {"x": theta + 0.5 * tf.random.stateless_normal(tf.shape(theta), seed)}

    return noisy


def products(layer: keras.layers.Layer, steps: int) -> int:
    """Return the multiplications of one row's matrix products in a network.

    That is weights, times how often each is used.
    """
    total = 0
    for part in layer._flatten_layers():
        if isinstance(part, keras.layers.Conv1D | keras.layers.LSTM):
            weights = part.trainable_weights
            total += steps * sum(
                int(np.prod(weight.shape)) for weight in weights if len(weight.shape) > 1
            )
        elif isinstance(part, keras.layers.Dense):
            total += int(np.prod(part.kernel.shape))
    return total


def rate() -> float:
    """Measure operations per second in matrix products of the step's size, the best of 20."""

    @tf.function(jit_compile=True)
    def chain(x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        for _ in range(50):
            x = 0.1 * tf.matmul(x, w)
        return x

    x = tf.ones((512, 128))
    w = tf.ones((128, 128))
    chain(x, w)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        np.asarray(chain(x, w))
        times.append(time.perf_counter() - started)
    return 50 * 2 * 512 * 128 * 128 / min(times)


def measure(varied: str, size: int, xla: XLA, rounds: int, speed: float) -> dict[str, object]:
    """Time the step of one size."""
    at = {**TOY, varied: size}
    steps = at["steps of a series"]
    units = at["hidden units"]
    summary = bi.summaries.ConvLSTM(32) if steps else bi.summaries.Identity()
    posterior = bi.AmortizedPosterior(
        simulator(at["parameters"], steps),
        summary,
        bi.flows.coupling(blocks=at["blocks"], hidden=(units, units)),
    )
    model = trainer(posterior, xla, at["batch"])
    call: Callable[[], object] = full_steps(model, 10)
    found = milliseconds({"step": call}, rounds, 10)["step"]
    floor = 1e3 * 6 * at["batch"] * products(model.problem.network, steps) / speed
    return {
        "varied": varied, "size": size, "weights": model.flat.shape[0], "ms_per_step": found, "floor_ms": floor,
        "halves": model.shards,
    }  # fmt: skip


@styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw the time of a step and its floor against each size."""
    figure = Figure(figsize=(7.4, 5.0), layout="constrained")
    axes = list(figure.subplots(2, 3).flat)
    for axis, (varied, rows) in zip(axes, table.groupby("varied", sort=False), strict=False):
        axis.loglog(
            rows["size"], rows["ms_per_step"], "o-", color=BLUE, markersize=4, label="training step"
        )
        axis.loglog(
            rows["size"],
            rows["floor_ms"],
            "--",
            color=BLACK,
            linewidth=1.0,
            label="floor: its matrix products",
        )
        axis.set(xlabel=varied)
        every = 1 if len(rows) < 6 else 2
        axis.set_xticks(list(rows["size"])[::every])
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter("{x:g}")
            side.set_minor_formatter(NullFormatter())
    for axis in axes[::3]:
        axis.set_ylabel("ms/step")
    axes[-1].legend(*axes[0].get_legend_handles_labels(), loc="center")
    axes[-1].axis("off")
    return figure


def main() -> None:
    """Measure, and write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one size of each: checks that it runs, writes nothing here",
    )
    quick = parser.parse_args().quick
    # Each size traces a function of the same name; TensorFlow warns of that.
    tf.get_logger().setLevel("ERROR")
    rounds, xla = (1, False) if quick else (12, "auto")
    speed = rate()
    rows = []
    print(f"matrix products: {speed / 1e9:.0f} GFLOP/s")
    # The first and the last are of the two kinds of data.
    for varied in list(SIZES)[:: len(SIZES) - 1 if quick else 1]:
        for size in SIZES[varied][: 1 if quick else None]:
            rows.append(measure(varied, size, xla, rounds, speed))
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if quick else HERE
        table.to_csv(folder / "growth.csv", index=False, float_format="%.4g")
        plots.save(draw(table), folder / "growth.svg")


if __name__ == "__main__":
    main()
