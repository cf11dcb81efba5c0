"""How far posteriors of paths are from the exact ones, at the default settings.

    python benchmarks/paths.py [--quick] [--cases "random walk"] [--seeds 1 2]

Paths of 100 steps, seen with normal noise of half a standard deviation of their own: a random walk,
an autoregressive path, and a Gaussian process. Their posteriors are normal, and known: those of a
Kalman smoother. Writes paths.csv, over 100 data sets of 1,000 draws each: the Kolmogorov-Smirnov
distance of each step's draws from the exact posterior, its mean and that of the worst step; that of
exact draws (floor); the largest error of a mean correlation of steps 1, 5 and 20 apart; the loss
above that of the exact posterior; and how many of 20 steps are outside the 99 % band of
simulation-based calibration with 1,000 data sets.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.stats import kstest, multivariate_normal

import bayesinn as bi

tfd = tfp.distributions
STEPS = 100
NOISE = 0.5
DAYS = np.arange(STEPS)
APART = np.abs(DAYS[:, None] - DAYS)
SETS = 100
DRAWS = 1_000
LAGS = (1, 5, 20)
CALIBRATED = DAYS[2::5]

#: Covariances of paths. The process is once differentiable, with a length of ten steps.
COVARIANCES = {
    "random walk": 0.3**2 * (1.0 + np.minimum(DAYS[:, None], DAYS)),
    "autoregressive": 0.9**APART,
    "Gaussian process": (1.0 + np.sqrt(3.0) * APART / 10.0) * np.exp(-np.sqrt(3.0) * APART / 10.0),
}


def model_of(covariance: np.ndarray) -> bi.Simulator:
    """Return the simulator of a path with a covariance (steps, steps), seen with noise."""
    root = np.linalg.cholesky(covariance).astype("f4")

    @bi.simulator(
        prior={"level": tfd.MultivariateNormalTriL(scale_tril=root)},
        coordinates={"level": {"day": DAYS}, "y": {"day": DAYS}},
    )
    def seen_with_noise(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        level = parameters["level"]
        return {"y": level + NOISE * tf.random.stateless_normal(tf.shape(level), seed)}

    return seen_with_noise


def correlation_error(draws: np.ndarray, exact: np.ndarray) -> float:
    """Return the largest error of the mean correlation of two steps, given draws (n, draws, T)."""
    found = np.mean([np.corrcoef(each.T) for each in draws], axis=0)
    sd = np.sqrt(np.diag(exact))
    error = np.abs(found - exact / np.outer(sd, sd))
    return float(max(np.diag(error, lag).max() for lag in LAGS))


def outside(posterior: bi.AmortizedPosterior, sets: int) -> int:
    """Return how many of 20 steps are outside the band of simulation-based calibration."""
    simulations = posterior.simulator.sample(sets, seed=11)
    draws = posterior.sample({"y": simulations["y"]}, draws=200, seed=12)["level"]
    truth = {f"day {day}": simulations["level"][:, day] for day in CALIBRATED}
    ranked = {f"day {day}": draws[..., day] for day in CALIBRATED}
    # Each band holds 99 % of all correct results for the 20 steps together.
    return int(sum(bi.diagnostics.sbc(truth, ranked, seed=1).p_value < 0.01 / len(CALIBRATED)))


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", nargs="+", default=list(COVARIANCES), choices=COVARIANCES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--quick", action="store_true", help="a few steps of training, no table")
    options = parser.parse_args()
    sets, draws_each, calibrated = (3, 100, 100) if options.quick else (SETS, DRAWS, 1_000)
    steps = 3 if options.quick else None
    cases = options.cases[:1] if options.quick else options.cases
    generator = np.random.default_rng(1)
    rows = []
    for case, seed in itertools.product(cases, options.seeds):
        covariance = COVARIANCES[case]
        posterior = bi.AmortizedPosterior(model_of(covariance))
        started = time.perf_counter()
        posterior.fit(steps=steps, seed=seed, progress=False)
        minutes = (time.perf_counter() - started) / 60.0
        data = posterior.simulator.sample(sets, seed=7)
        exact = np.linalg.inv(np.linalg.inv(covariance) + np.eye(STEPS) / NOISE**2)
        means = data["y"].astype(float) @ exact / NOISE**2
        draws = posterior.sample({"y": data["y"]}, draws=draws_each, seed=3)["level"]
        scaled = (draws - means[:, None]) / np.sqrt(np.diag(exact))
        ks = np.array([[kstest(each, "norm").statistic for each in one.T] for one in scaled])
        floor = kstest(generator.normal(size=(draws_each, 200)), "norm").statistic
        law = multivariate_normal(np.zeros(STEPS), exact)
        nats = law.logpdf(data["level"] - means)
        nats -= posterior.log_prob({"level": data["level"]}, {"y": data["y"]})
        rows.append(
            {
                "case": case,
                "seed": seed,
                "distance": ks.mean(),
                "worst": ks.mean(axis=0).max(),
                "floor": floor.mean(),
                "correlation": correlation_error(draws, exact),
                "nats": nats.mean(),
                "outside": outside(posterior, calibrated),
                "minutes": minutes,
            }
        )
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows).round(4)
    print(table.to_string(index=False))
    if not options.quick:
        table.to_csv(Path(__file__).with_suffix(".csv"), index=False)


if __name__ == "__main__":
    main()
