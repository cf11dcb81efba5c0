"""How far combined posteriors are from the exact ones, by the number of observations.

    python benchmarks/combine.py [--quick] [--counts 1 10 100]

A normal distribution of unknown mean and variance is observed; the conjugate prior makes the
posterior of any number of observations known. The default network learns that of one, in 3,000
steps. Writes combine.csv: for eight data sets of each size, root mean squares of the shifts of
means, in exact standard deviations, and of the relative errors of standard deviations.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.likelihood import combine

tfd = tfp.distributions
SETS = 8
DRAWS = 4_000
PRIOR = {
    "variance": tfd.InverseGamma(5.0, 5.0),
    "mean": lambda variance: tfd.Normal(0.0, tf.sqrt(2.0 * variance)),
}


@bi.simulator(prior=PRIOR)
def readings(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    noise = tf.random.stateless_normal(tf.shape(parameters["mean"]), seed)
    return {"x": parameters["mean"] + tf.sqrt(parameters["variance"]) * noise}


def exact(x: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return mean and standard deviation of each parameter, given data (n,)."""
    precision = 0.5 + len(x)
    mean = x.sum() / precision
    shape = 5.0 + len(x) / 2.0
    scale = 5.0 + 0.5 * ((x**2).sum() - precision * mean**2)
    variance = stats.invgamma(shape, scale=scale)
    return {
        "mean": (mean, np.sqrt(scale / (shape - 1.0) / precision)),
        "variance": (variance.mean(), variance.std()),
    }


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--quick", action="store_true", help="two small data sets, no table")
    options = parser.parse_args()
    counts = [2] if options.quick else options.counts
    sets, draws_each, steps = (2, 50, 20) if options.quick else (SETS, DRAWS, 3_000)
    small = bi.flows.coupling(blocks=1, hidden=(16,)) if options.quick else None
    posterior = bi.AmortizedPosterior(readings, flow=small).fit(steps=steps, seed=1)
    truth = readings.sample(sets, seed=5)
    generator = np.random.default_rng(3)
    rows = []
    for count in counts:
        noise = generator.normal(size=(sets, count))
        x = truth["mean"][:, None] + np.sqrt(truth["variance"])[:, None] * noise
        combined = combine(posterior, trials=count)
        draws = combined.sample({"x": x.astype("f4")}, draws=draws_each, seed=2)
        for name in ("mean", "variance"):
            law = np.array([exact(one)[name] for one in x])
            shift = (draws[name].mean(axis=1) - law[:, 0]) / law[:, 1]
            spread = draws[name].std(axis=1) / law[:, 1] - 1.0
            errors = [np.sqrt(np.mean(part**2)) for part in (shift, spread)]
            rows.append([f"{name} of {count}", count, name, *errors])
    columns = ["case", "observations", "parameter", "shift", "sd_error"]
    table = pd.DataFrame(rows, columns=columns).round(3)
    print(table.to_string(index=False))
    if not options.quick:
        table.to_csv(Path(__file__).with_suffix(".csv"), index=False)


if __name__ == "__main__":
    main()
