"""Bernoulli GLM (sbibm T.5): offset and filter of a neuron, from a summary of its spikes.

    offset ~ Normal(0, 2),    filter ~ Normal(0, (F' F)^-1),    both variances
    F = D D + diag(sqrt(k / 9)),    k = 0 ... 8,    D: first differences
    y_t ~ Bernoulli(sigmoid(offset + sum_k filter_k I_(t-k))),    t = 0 ... 99
    x = number of spikes, and the stimulus that they follow: sum_t y_t I_(t-k)

The stimulus I is white noise, drawn once. The ten numbers are sufficient statistics: the posterior
given them is that given all spikes.

Source: Lueckmann et al. (2021), Benchmarking simulation-based inference, arXiv:2101.04653.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

STEPS = 100
TAPS = 9


def design_matrix() -> np.ndarray:
    """Return the factors (100, 10) of offset and filter at each step: one, and past stimuli."""
    # The legacy generator, whose numbers are the same in all versions of NumPy.
    stimulus = np.random.RandomState(42).randn(STEPS).astype(np.float32)
    past = [np.pad(stimulus, (lag, 0))[:STEPS] for lag in range(TAPS)]
    return np.stack([np.ones(STEPS, np.float32), *past], axis=1)


def _prior() -> dict[str, tfd.Distribution]:
    differences = np.eye(TAPS) - np.eye(TAPS, k=-1)
    root = differences @ differences + np.diag(np.sqrt(np.arange(TAPS) / TAPS))
    scale = np.linalg.cholesky(np.linalg.inv(root.T @ root)).astype(np.float32)
    filters = tfd.MultivariateNormalTriL(tf.zeros(TAPS), scale)
    return {"offset": tfd.Normal(0.0, np.float32(np.sqrt(2.0))), "filter": filters}


DESIGN = design_matrix()
PRIOR = _prior()
LABELS = {"offset": r"$\beta$", "filter": "$f$"}


def drive(parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the log odds (n, 100) of a spike at each step."""
    offset = np.asarray(parameters["offset"], np.float64)[:, None]
    return offset + np.asarray(parameters["filter"], np.float64) @ DESIGN[:, 1:].T


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log probability (n,) of x, (10,) or (n, 10), for n parameters.

    It is that of the spikes: no two series of spikes have the same statistics.
    """
    theta = np.concatenate([parameters["offset"][:, None], parameters["filter"]], axis=1)
    matched = np.sum(np.asarray(data["x"], np.float64) * theta, axis=-1)
    return matched - np.logaddexp(0.0, drive(parameters)).sum(axis=1)


def draw_spikes(parameters: Mapping[str, tf.Tensor], seed: tf.Tensor) -> tf.Tensor:
    """Draw series of spikes (n, 100), zeros and ones."""
    log_odds = parameters["offset"][:, None]
    log_odds += tf.matmul(parameters["filter"], DESIGN[:, 1:], transpose_b=True)
    uniform = tf.random.stateless_uniform(tf.shape(log_odds), seed)
    return tf.cast(uniform < tf.sigmoid(log_odds), tf.float32)


@bi.simulator(prior=PRIOR, labels={**LABELS, "x": "$x$"}, log_likelihood=log_likelihood)
def bernoulli_glm(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Count spikes, and add up the stimuli before them."""
    return {"x": tf.matmul(draw_spikes(parameters, seed), DESIGN)}
