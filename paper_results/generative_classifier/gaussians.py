"""Gaussian mixtures whose best accuracy is known: every beta should reach it."""

from __future__ import annotations

import numpy as np
import scipy.special
from scores import calibration

import bayesinn as bi
from bayesinn.inverse import Bottleneck, ClassNormal, LatentMixture

CLASSES = 5
DIMENSION = 4
_MEANS = np.random.default_rng(5).normal(0.0, 1.4, (CLASSES, DIMENSION))
_MATRIX = np.random.default_rng(6).normal(size=(DIMENSION, DIMENSION))


def draw(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw vectors (n, 4) of five classes with one covariance, and their labels."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(CLASSES, size=rows)
    return (_MEANS[labels] + generator.standard_normal((rows, DIMENSION))) @ _MATRIX.T, labels


def exact(x: np.ndarray) -> np.ndarray:
    """Return the probability of each class, by Bayes' rule, (n, 5)."""
    sources = np.linalg.solve(_MATRIX, x.T).T
    return scipy.special.softmax(-0.5 * np.sum((sources[:, None] - _MEANS) ** 2, axis=2), axis=1)


def row(beta: float, seed: int, quick: bool) -> dict[str, object]:
    """Train with a beta; compare with Bayes' rule on 20,000 other vectors."""
    x, labels = draw(2_000 if quick else 20_000, seed)
    test_x, test_labels = draw(20_000, seed=100 + seed)
    chain = bi.flows.coupling(blocks=2, hidden=(16,), mixing="lu").chain
    model = LatentMixture(chain, ClassNormal("unit"), bottleneck=Bottleneck(beta))
    model.fit(
        x,
        labels,
        steps=20 if quick else 800,
        seed=seed,
        optimization=bi.Optimization(learning_rate=1e-2, average=0.99, xla=False),
        progress=False,
    )
    ours = model.classify(test_x).to_numpy()
    truth = exact(test_x)
    hits, best = (p.argmax(axis=1) == test_labels for p in (ours, truth))
    return {
        "beta": beta,
        "seed": seed,
        "accuracy": hits.mean(),
        "Bayes accuracy": best.mean(),
        # Of the difference on the same vectors.
        "standard error": np.std(hits.astype(float) - best) / np.sqrt(len(hits)),
        "mean difference": np.abs(ours - truth).mean(),
        "ECE": calibration(ours, test_labels)["ECE"],
        "Bayes ECE": calibration(truth, test_labels)["ECE"],
    }
