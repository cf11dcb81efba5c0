"""How far posteriors of integers are from the exact ones, at the default settings.

    python benchmarks/integers.py [--quick] [--seeds 1 2]

Three models whose posteriors of integers are sums over all values: a change point in a series of
40 counts, with a rate before it and another one after it; three integers beside a mean; and
categories that the prior excludes. Writes integers.csv: the mean total variation distance of 2,000
draws from the exact probabilities, that of as many exact draws (floor), and the draws at impossible
values.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import gammaln, log_softmax
from scipy.stats import binom, norm

import bayesinn as bi

tfd = tfp.distributions
SETS = 100
DRAWS = 2_000
STEPS = 40
CHANGES = np.arange(1, STEPS + 1)
# Prior of both rates: shape, with a rate parameter of one.
SHAPE = 3.0
COUNTS, KINDS, FLAGS = map(
    np.array, zip(*itertools.product(range(11), range(3), range(2)), strict=True)
)
CHANCE = 0.4
NOISE = {"x": 0.5, "y": 0.7, "w": 1.0}
CHANCES = np.array([0.3, 0.0, 0.2, 0.1, 0.0, 0.4])


@bi.simulator(
    prior={
        "change": tfd.FiniteDiscrete(CHANGES.astype("f4"), logits=np.zeros(STEPS, "f4")),
        "before": tfd.Gamma(SHAPE, 1.0),
        "after": tfd.Gamma(SHAPE, 1.0),
    }
)
def change_point(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    columns = {name: value[:, None] for name, value in parameters.items()}
    earlier = tf.range(float(STEPS)) < columns["change"]
    rate = tf.where(earlier, columns["before"], columns["after"])
    return {"counts": tf.random.stateless_poisson(tf.shape(rate), seed, rate)}


def change_probabilities(data: dict[str, np.ndarray]) -> np.ndarray:
    """Return those (n, 40) of all change points; the rates are integrated out."""
    first = np.cumsum(data["counts"].astype(float), axis=1)
    second = first[:, -1:] - first
    log_prob = np.zeros(first.shape)
    for total, steps in ((first, CHANGES), (second, STEPS - CHANGES)):
        log_prob += gammaln(SHAPE + total) - (SHAPE + total) * np.log1p(steps)
    return np.exp(log_softmax(log_prob, axis=1))


@bi.simulator(
    prior={
        "count": tfd.Binomial(10.0, probs=CHANCE),
        "kind": tfd.Binomial(2.0, probs=0.5),
        "flag": tfd.Bernoulli(probs=0.5),
        "mean": tfd.Normal(0.0, 1.0),
    }
)
def three_integers(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    columns = {name: tf.cast(value, tf.float32)[:, None] for name, value in parameters.items()}
    noise = tf.random.stateless_normal((len(NOISE), tf.shape(columns["mean"])[0], 3), seed)
    expected = {
        "x": columns["mean"],
        "y": 0.4 * columns["count"] + 1.5 * columns["kind"],
        "w": 1.5 * columns["flag"] - columns["kind"],
    }
    return {
        name: expected[name] + scale * noise[index]
        for index, (name, scale) in enumerate(NOISE.items())
    }


def joint_probabilities(data: dict[str, np.ndarray]) -> np.ndarray:
    """Return those (n, 66) of all integers together."""
    prior = binom.logpmf(COUNTS, 10, CHANCE) + binom.logpmf(KINDS, 2, 0.5)
    of_y = norm.logpdf(data["y"][..., None], 0.4 * COUNTS + 1.5 * KINDS, NOISE["y"]).sum(axis=1)
    of_w = norm.logpdf(data["w"][..., None], 1.5 * FLAGS - KINDS, NOISE["w"]).sum(axis=1)
    return np.exp(log_softmax(prior + of_y + of_w, axis=1))


@bi.simulator(prior={"kind": tfd.FiniteDiscrete(np.arange(6.0, dtype="f4"), probs=CHANCES)})
def excluded(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    return {
        "x": parameters["kind"] + tf.random.stateless_normal(tf.shape(parameters["kind"]), seed)
    }


def kind_probabilities(data: dict[str, np.ndarray]) -> np.ndarray:
    """Return those (n, 6) of all kinds."""
    likelihood = norm.pdf(data["x"][:, None], np.arange(6.0))
    return likelihood * CHANCES / (likelihood * CHANCES).sum(axis=1, keepdims=True)


#: Of each case: the model, its exact probabilities, and the place of draws among these.
CASES: dict[str, tuple[bi.Simulator, Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "change point": (change_point, change_probabilities, lambda draws: draws["change"] - 1),
    "three integers": (
        three_integers,
        joint_probabilities,
        lambda draws: draws["count"] * 6 + draws["kind"] * 2 + draws["flag"],
    ),
    "excluded categories": (excluded, kind_probabilities, lambda draws: draws["kind"]),
}


def distances(shares: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return the total variation distances (n,) of shares (n, k) from probabilities."""
    return np.abs(shares - exact).sum(axis=1) / 2.0


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--quick", action="store_true", help="small networks, no table")
    options = parser.parse_args()
    sets, draws_each, steps = (5, 100, 20) if options.quick else (SETS, DRAWS, None)
    small = bi.flows.coupling(blocks=1, hidden=(16,)) if options.quick else None
    generator = np.random.default_rng(1)
    rows = []
    for (case, parts), seed in itertools.product(CASES.items(), options.seeds):
        model, probabilities, place = parts
        posterior = bi.AmortizedPosterior(model, flow=small)
        posterior.fit(steps=steps, seed=seed, progress=False)
        data = {key: model.sample(sets, seed=7)[key] for key in model.observable_shapes}
        exact = probabilities(data)
        values = place(posterior.sample(data, draws=draws_each, seed=3)).astype(int)
        shares = np.stack([np.bincount(row, minlength=exact.shape[1]) for row in values])
        found = distances(shares / draws_each, exact)
        floor = distances(generator.multinomial(draws_each, exact) / draws_each, exact)
        impossible = int(shares[exact == 0.0].sum())
        rows.append([case, seed, found.mean(), found.max(), floor.mean(), impossible])
        print(f"{case}: {found.mean():.3f}, floor {floor.mean():.3f}", flush=True)
    columns = ["case", "seed", "distance", "worst", "floor", "impossible"]
    table = pd.DataFrame(rows, columns=columns).round(3)
    print(table.to_string(index=False))
    if not options.quick:
        table.to_csv(Path(__file__).with_suffix(".csv"), index=False)


if __name__ == "__main__":
    main()
