"""Weights in closed form: the best of affine couplings with linear subnets on Gaussian data."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.bijections.coupling import ConditionalTransform


def correlation(dimension: int, seed: int) -> np.ndarray:
    """A random correlation matrix."""
    generator = np.random.default_rng(seed)
    factor = generator.standard_normal((dimension, dimension + 2))
    covariance = factor @ factor.T
    return covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))


def divergence(covariance: np.ndarray) -> float:
    """KL divergence of N(0, covariance) from the standard normal, in nats."""
    return 0.5 * float(np.trace(covariance) - len(covariance) - np.linalg.slogdet(covariance)[1])


def conditional_covariance(covariance: np.ndarray, given: int) -> np.ndarray:
    """Covariance of the other elements given the first ones."""
    first = covariance[:given, :given]
    cross = covariance[given:, :given]
    return covariance[given:, given:] - cross @ np.linalg.solve(first, cross.T)


def one_coupling_leaves(covariance: np.ndarray, passive: int) -> float:
    """What one affine coupling leaves of the divergence, at its optimum (Draxler et al. 2020)."""
    conditional = conditional_covariance(covariance, passive)
    conditional /= np.sqrt(np.outer(np.diag(conditional), np.diag(conditional)))
    return divergence(covariance[:passive, :passive]) + divergence(conditional)


def standardise_given_passive(
    layer: ConditionalTransform, covariance: np.ndarray, passive: int
) -> None:
    """Set weights of a layer with ``hidden=()`` to standardise active elements given passive ones.

    ``covariance`` is that of the passive elements followed by the active ones. For a layer with
    groups it has a first axis over these.
    """
    if covariance.ndim == 2:
        layer.set_weights(_optimal_weights(covariance, passive, layer.transform.clamp))
        return
    weights = [_optimal_weights(group, passive, layer.transform.clamp) for group in covariance]
    layer.set_weights([np.stack(groups) for groups in zip(*weights, strict=True)])


def _optimal_weights(covariance: np.ndarray, passive: int, clamp: float) -> list[np.ndarray]:
    scale = 1.0 / np.sqrt(np.diag(conditional_covariance(covariance, passive)))
    raw_scale = clamp * np.tan(0.5 * math.pi * np.log(scale) / clamp)
    raw = np.stack([raw_scale, np.zeros_like(scale)], axis=-1)
    if passive == 0:
        return [raw[None]]
    slopes = np.linalg.solve(covariance[:passive, :passive], covariance[:passive, passive:])
    kernel = np.stack([np.zeros_like(slopes), -slopes * scale], axis=-1)
    return [kernel.reshape(passive, -1), raw.reshape(-1)]


def matrix(bijection: Bijection, dimension: int) -> np.ndarray:
    """A of the linear map z = A x, in double precision."""
    columns, _ = bijection.forward(tf.eye(dimension, dtype=tf.float64))
    return columns.numpy().T
