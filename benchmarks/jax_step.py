"""Time of a training step on simulators in JAX, beside their twins in TensorFlow.

    python benchmarks/jax_step.py [--quick]

Two models, each written twice: the linear toy, and a discrete SIR epidemic of 30 days. Steps of the
twins take turns; milliseconds are medians of the rounds. Writes ``jax_step.csv``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import pandas as pd
import tensorflow as tf
import tensorflow_probability as tfp
from training_step import STEPS_PER_CALL, full_steps, milliseconds, trainer

import bayesinn as bi

tfd = tfp.distributions

DAYS = 30
POPULATION = 1e5
LINEAR = {"x1": tfd.Normal(0.0, 1.0), "x2": tfd.Normal(0.0, 1.0)}
EPIDEMIC = {"rate": tfd.LogNormal(-0.9, 0.3), "recovery": tfd.LogNormal(-2.0, 0.2)}


@bi.simulator(prior=LINEAR)
def linear_tensorflow(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the noisy sum of two numbers."""
    total = parameters["x1"] + parameters["x2"]
    return {"y": total + 0.1 * tf.random.stateless_normal(tf.shape(total), seed, alg="philox")}


@bi.simulator(prior=LINEAR, engine="jax")
def linear_jax(parameters: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
    """Return the noisy sum of two numbers."""
    total = parameters["x1"] + parameters["x2"]
    return {"y": total + 0.1 * jax.random.normal(key, total.shape)}


@bi.simulator(prior=EPIDEMIC)
def epidemic_tensorflow(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the logarithms of new cases on each day, with noise."""
    infected = 10.0 + 0.0 * parameters["rate"]
    susceptible = POPULATION - infected
    cases = []
    for _ in range(DAYS):
        new = parameters["rate"] * infected * susceptible / POPULATION
        new = tf.minimum(new, susceptible)
        susceptible -= new
        infected += new - parameters["recovery"] * infected
        cases.append(new)
    logs = tf.math.log(1.0 + tf.stack(cases, axis=1))
    return {"cases": logs + 0.1 * tf.random.stateless_normal(tf.shape(logs), seed, alg="philox")}


@bi.simulator(prior=EPIDEMIC, engine="jax")
def epidemic_jax(parameters: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
    """Return the logarithms of new cases on each day, with noise."""

    def day(state: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, ...], jax.Array]:
        susceptible, infected = state
        new = parameters["rate"] * infected * susceptible / POPULATION
        new = jnp.minimum(new, susceptible)
        return (susceptible - new, infected + new - parameters["recovery"] * infected), new

    infected = 10.0 + 0.0 * parameters["rate"]
    _, cases = jax.lax.scan(day, (POPULATION - infected, infected), length=DAYS)
    logs = jnp.log(1.0 + cases.T)
    return {"cases": logs + 0.1 * jax.random.normal(key, logs.shape)}


TWINS = {
    "linear": (linear_tensorflow, linear_jax),
    "epidemic": (epidemic_tensorflow, epidemic_jax),
}


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one model, one round, no table")
    quick = parser.parse_args().quick
    rounds, steps, xla = (1, 2, False) if quick else (20, STEPS_PER_CALL, "auto")
    rows = []
    for name, twins in list(TWINS.items())[: 1 if quick else None]:
        for batch in (64,) if quick else (64, 512):
            calls = {}
            for engine, simulator in zip(("tensorflow", "jax"), twins, strict=True):
                flow = bi.flows.coupling(blocks=1 if quick else 4, hidden=(64, 64))
                posterior = bi.AmortizedPosterior(simulator, flow=flow)
                calls[engine] = full_steps(trainer(posterior, xla, batch), steps)
            times = milliseconds(calls, rounds, steps)
            rows.append((name, batch, *times.values(), times["jax"] / times["tensorflow"]))
            print(*rows[-1])
    columns = ["model", "batch", "ms_tensorflow", "ms_jax", "ratio"]
    if not quick:
        file = Path(__file__).with_suffix(".csv")
        pd.DataFrame(rows, columns=columns).to_csv(file, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
