"""What new noise on stored clean signals costs, against new simulations in each step.

    python benchmarks/augment.py [--quick]

Two numbers are seen through five sensors with normal noise, so that the posterior is known. One
network is trained, with equally many steps, on new simulations in each step; on stored clean
signals that get new noise in each step (``fit(augment=...)``); and on signals with noise that was
added once. Writes augment.csv: means over three seeds of the negative log density of 20,000
new simulations, in nats above that of the exact posterior.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi

tfd = tfp.distributions
SENSORS = np.array([[1.0, 0.0], [0.8, 0.3], [0.5, 0.5], [0.2, -0.8], [0.0, 1.0]], np.float32)
NOISE = 0.4
PRIOR = {"place": tfd.MultivariateNormalDiag(tf.zeros(2), tf.ones(2))}
TESTED = 20_000


@bi.simulator(prior=PRIOR)
def clean(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"x": tf.linalg.matmul(parameters["place"], SENSORS, transpose_b=True)}


def noisy(data: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    noise = tf.random.stateless_normal(tf.shape(data["x"]), seed, alg="philox")
    return {"x": data["x"] + NOISE * noise}


@bi.simulator(prior=PRIOR)
def sensed(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    return noisy(clean.function(parameters, seed), seed)


def exact(truth: dict[str, np.ndarray]) -> np.ndarray:
    """Return the log density of the exact posterior at the parameters (n, 2) of simulations."""
    covariance = np.linalg.inv(np.eye(2) + SENSORS.T @ SENSORS / NOISE**2)
    mean = truth["x"] @ SENSORS @ covariance / NOISE**2
    return stats.multivariate_normal(cov=covariance).logpdf(truth["place"] - mean)


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="short trainings, no table")
    quick = parser.parse_args().quick
    sizes, steps, seeds = ((200,), 4, 1) if quick else ((2_000, 20_000), 3_000, 3)
    test = sensed.sample(200 if quick else TESTED, seed=99)
    floor = -exact(test).mean()
    table = []
    for seed in range(1, seeds + 1):
        ways: dict[tuple[str, int], dict[str, Any]] = {("new simulations", 0): {}}
        for size in sizes:
            ways["new noise", size] = {"data": clean.sample(size, seed), "augment": noisy}
            ways["noise added once", size] = {"data": sensed.sample(size, seed)}
        for (way, size), options in ways.items():
            flow = bi.flows.coupling(blocks=1 if quick else 4, hidden=(16,) if quick else (64, 64))
            posterior = bi.AmortizedPosterior(sensed, flow=flow, networks=1)
            posterior.fit(steps=steps, batch_size=128, seed=seed, progress=False, **options)
            density = posterior.log_prob({"place": test["place"]}, {"x": test["x"]})
            table.append((way, size, seed, -density.mean() - floor))
            print(*table[-1], flush=True)
    frame = pd.DataFrame(table, columns=["way", "stored", "seed", "nats"])
    groups = frame.groupby(["way", "stored"], sort=False)["nats"]
    means = groups.agg(["mean", "min", "max"]).reset_index()
    print(means.to_string(index=False))
    if not quick:
        means.to_csv(Path(__file__).with_suffix(".csv"), index=False, float_format="%.4f")


if __name__ == "__main__":
    main()
