"""The posterior of a mean and a precision matrix, normal-Wishart, against exact draws."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi

tfd = tfp.distributions
FREEDOM = 6.0
STRENGTH = 0.5
ROOT = np.array([[0.4, 0.0], [0.15, 0.35]], np.float32)
COUNT = 15


def mean_law(precision: tf.Tensor) -> tfd.Distribution:
    root = tf.linalg.cholesky(tf.linalg.inv(STRENGTH * precision))
    return tfd.MultivariateNormalTriL(tf.zeros(2), root)


@bi.simulator(
    prior={"precision": tfd.WishartTriL(FREEDOM, scale_tril=ROOT), "mean": mean_law},
)
def normal_vectors(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    root = tf.linalg.cholesky(tf.linalg.inv(parameters["precision"]))
    noise = tf.random.stateless_normal((tf.shape(root)[0], COUNT, 2), seed)
    vectors = parameters["mean"][:, None] + tf.einsum("nij,ncj->nci", root, noise)
    middle = tf.reduce_mean(vectors, axis=1)
    apart = vectors - middle[:, None]
    scatter = tf.linalg.cholesky(tf.einsum("nci,ncj->nij", apart, apart))
    return {
        "middle": middle,
        "scatter": tf.stack([scatter[:, 0, 0], scatter[:, 1, 0], scatter[:, 1, 1]], axis=-1),
    }


def exact_draws(middle: np.ndarray, scatter: np.ndarray, draws: int) -> np.ndarray:
    """Return draws (draws, 5) of the precision's elements on and below the diagonal, and mean."""
    root = np.array([[scatter[0], 0.0], [scatter[1], scatter[2]]])
    strength = STRENGTH + COUNT
    rate = np.linalg.inv(ROOT @ ROOT.T) + root @ root.T
    rate += STRENGTH * COUNT / strength * np.outer(middle, middle)
    law = stats.wishart(FREEDOM + COUNT, np.linalg.inv(rate))
    precision = law.rvs(draws, random_state=1)
    noise = np.random.default_rng(2).standard_normal((draws, 2, 1))
    spread = np.linalg.cholesky(np.linalg.inv(strength * precision)) @ noise
    mean = COUNT * middle / strength + spread[..., 0]
    return np.column_stack([precision[:, [0, 1, 1], [0, 0, 1]], mean])


def test_normal_wishart() -> None:
    posterior = bi.AmortizedPosterior(normal_vectors)
    posterior.fit(steps=2_500, batch_size=256, seed=1, progress=False)
    rows = normal_vectors.sample(20, seed=2)
    data = {name: rows[name] for name in ("middle", "scatter")}
    drawn = posterior.sample(data, draws=4_000, seed=3)
    precision = drawn["precision"]
    assert np.array_equal(precision, np.swapaxes(precision, -1, -2))
    assert np.linalg.eigvalsh(precision.astype(float)).min() > 0.0
    distances = []
    for number in range(20):
        exact = exact_draws(data["middle"][number], data["scatter"][number], 20_000)
        own = np.column_stack(
            [precision[number][:, [0, 1, 1], [0, 0, 1]], drawn["mean"][number]],
        )
        pairs = zip(own.T, exact.T, strict=True)
        distances += [stats.ks_2samp(mine, true).statistic for mine, true in pairs]
    # Measured 0.027; with exact draws 0.012.
    assert np.mean(distances) < 0.04
    assert np.all(np.isfinite(posterior.log_prob(drawn, data)))
