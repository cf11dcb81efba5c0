"""What is measured on a trained classifier."""

from __future__ import annotations

import numpy as np
from images import Images
from networks import Classifier, Flow
from scores import auc, calibration, entropy

_ROWS = 2_000


def noisy(x: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return images (n, ...) of whole numbers with uniform noise, for which there is a density."""
    return (x + np.random.default_rng(seed).uniform(size=x.shape)).astype(np.float32)


def classes(classifier: Classifier, data: Images) -> dict[str, float]:
    """Return accuracy, cross-entropy and calibration on test images."""
    probabilities = classifier.probabilities(noisy(data.test_x))
    own = probabilities[np.arange(len(probabilities)), data.test_labels]
    return {
        "accuracy": float(np.mean(probabilities.argmax(axis=1) == data.test_labels)),
        "cross-entropy": float(-np.mean(np.log(np.maximum(own, 1e-12)))),
        **calibration(probabilities, data.test_labels),
    }


def density(flow: Flow, data: Images) -> dict[str, float]:
    """Return bits per dimension of test images, and how exactly heat maps sum to the log odds."""
    x = noisy(data.test_x)
    size = x[0].size
    nats = -flow.model.log_prob(x)
    first, second = flow.model.classes[:2]
    few = x[:_ROWS]
    joint = flow.model.model.joint_log_probs(few)
    sums = flow.model.heat_maps(few, first, second).sum(axis=(1, 2))
    return {
        "bits": float(nats.mean() / (size * np.log(2.0))),
        "heat map error": float(np.abs(sums - (joint[:, 0] - joint[:, 1])).max()),
    }


def outliers(classifier: Classifier, data: Images) -> list[dict[str, object]]:
    """Return how well images of other things are told apart, by the entropy of the classes."""
    inside = entropy(classifier.probabilities(noisy(data.test_x[:_ROWS])))
    return [
        {
            "outliers": name,
            "score": "entropy",
            "AUC": auc(inside, entropy(classifier.probabilities(noisy(x, 1)))),
        }
        for name, x in data.outliers().items()
    ]


def unlikely(flow: Flow, data: Images) -> list[dict[str, object]]:
    """Return the same by the density: how low it is, and how far from that of training images."""
    inside = -flow.model.log_prob(noisy(data.test_x[:_ROWS]))
    usual = -flow.model.log_prob(noisy(data.x[:_ROWS], 2)).mean()
    rows: list[dict[str, object]] = []
    for name, x in data.outliers().items():
        outside = -flow.model.log_prob(noisy(x, 1))
        for score, distance in (
            ("low density", lambda nats: nats),
            ("untypical density", lambda nats: np.abs(nats - usual)),
        ):
            rows.append(
                {"outliers": name, "score": score, "AUC": auc(distance(inside), distance(outside))}
            )
    return rows
