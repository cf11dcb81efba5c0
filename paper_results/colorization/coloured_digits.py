"""Digits in random colours: the law of the colours given the grey picture is known exactly.

A picture m (8, 8) of scikit-learn's digits, between 0 and 1, has a class k. Its colour has two
modes, w ~ sum_j weight[k, j] Normal(hue[k, j], tau^2 I) in the plane of a and b, and each pixel a
little noise: ab = m w + sigma e. Given m and k, each mode is Gaussian, with the covariance
sigma^2 I + tau^2 m m^T in each of both channels, so that densities, modes and weights are known.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp
from sklearn.datasets import load_digits

TAU = 0.05
SIGMA = 0.02
#: Distance of both hues of a class, and of each of them from grey.
APART = 0.5
CHROMA = 0.4
DIMENSION = 8 * 8 * 2

_angle = 2.0 * np.pi * np.arange(10)[:, None] / 10 + np.array(
    [0.0, 2.0 * np.arcsin(0.5 * APART / CHROMA)]
)
#: Centres of both colours of each class (10, 2, 2): a and b.
HUES = CHROMA * np.stack([np.cos(_angle), np.sin(_angle)], axis=-1)
_first = 0.25 + 0.05 * np.arange(10)
#: Probabilities of both colours of each class (10, 2).
WEIGHTS = np.stack([_first, 1.0 - _first], axis=-1)


def pictures(test: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return grey pictures (n, 8, 8, 1) and classes (n,): 1,437 to train on, 360 to test."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    rows = order[1437:] if test else order[:1437]
    return (digits.images[rows, :, :, None] / 16.0).astype(np.float32), digits.target[rows]


def coloured(grey: np.ndarray, digit: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return colours (n, 8, 8, 2) of grey pictures, with these and the class (n, 10) as data."""
    generator = np.random.default_rng(seed)
    second = generator.random(len(digit)) > WEIGHTS[digit, 0]
    hue = HUES[digit, second.astype(int)] + TAU * generator.normal(size=(len(digit), 2))
    colour = grey * hue[:, None, None, :] + SIGMA * generator.normal(size=(*grey.shape[:3], 2))
    return {
        "colour": colour.astype(np.float32),
        "grey": grey,
        "digit": np.eye(10, dtype=np.float32)[digit],
    }


def log_density(colour: np.ndarray, grey: np.ndarray, digit: np.ndarray) -> np.ndarray:
    """Return log densities (n,) of colours (n, 8, 8, 2), by the matrix inversion lemma."""
    m = grey.reshape(len(grey), 64).astype(float)
    offset = colour.reshape(-1, 1, 64, 2) - m[:, None, :, None] * HUES[digit][:, :, None, :]
    size = np.sum(m**2, axis=1)[:, None, None]
    along = np.einsum("njpc,np->njc", offset, m)
    squares = (
        np.sum(offset**2, axis=2) - along**2 * TAU**2 / (SIGMA**2 + TAU**2 * size)
    ) / SIGMA**2
    log_det = 64 * np.log(2.0 * np.pi * SIGMA**2) + np.log1p(TAU**2 * size / SIGMA**2)
    components = -0.5 * np.sum(squares + log_det, axis=2)
    return logsumexp(components + np.log(WEIGHTS[digit]), axis=1)


def hues(colour: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Return the colours (n, draws, 2) that explain pictures (n, draws, 8, 8, 2) best."""
    m = grey[:, None, :, :, 0]
    return np.einsum("nshwc,nshw->nsc", colour, np.broadcast_to(m, colour.shape[:-1])) / np.sum(
        m**2, axis=(2, 3)
    ).reshape(-1, 1, 1)


def first_mode(hue: np.ndarray, digit: np.ndarray) -> np.ndarray:
    """Return which colours (n, draws, 2) are nearer to the first hue of their class."""
    distances = np.linalg.norm(hue[:, :, None] - HUES[digit][:, None], axis=-1)
    return distances[..., 0] < distances[..., 1]
