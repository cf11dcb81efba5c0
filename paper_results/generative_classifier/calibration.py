"""Two ways to better calibration: a temperature, and labels that were smoothed taken back."""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.special
from images import Images
from measure import noisy
from networks import Classifier
from scores import calibration


def mended(classifier: Classifier, data: Images, smoothing: float) -> dict[str, float]:
    """Return confidence and calibration errors on test images, as they are and mended.

    The temperature that divides all log odds is fitted on one half of the test images, and judged
    on the other, in turn. Probabilities of a classifier that was trained on smoothed labels,
    ``(1 - smoothing) p + smoothing / k``, are solved for p.
    """
    log_odds = classifier.log_odds_of(noisy(data.test_x))
    labels = data.test_labels
    plain = scipy.special.softmax(log_odds, axis=1)
    cooled = np.empty_like(plain)
    temperatures = []
    first = np.arange(len(labels)) % 2 == 0
    for fitted in (first, ~first):
        temperatures.append(temperature(log_odds[fitted], labels[fitted]))
        cooled[~fitted] = scipy.special.softmax(log_odds[~fitted] / temperatures[-1], axis=1)
    found = {
        "accuracy": float(np.mean(plain.argmax(axis=1) == labels)),
        "confidence": float(plain.max(axis=1).mean()),
        "temperature": float(np.mean(temperatures)),
    }
    ways = {"plain": plain, "temperature": cooled, "taken back": taken_back(plain, smoothing)}
    for name, probabilities in ways.items():
        own = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)
        found[f"ECE, {name}"] = calibration(probabilities, labels)["ECE"]
        found[f"cross-entropy, {name}"] = float(-np.log(own).mean())
    return found


def temperature(log_odds: np.ndarray, labels: np.ndarray) -> float:
    """Return the divisor of log odds (n, k) with the smallest cross-entropy (Guo et al. 2017)."""

    def loss(log_temperature: float) -> float:
        scaled = log_odds / np.exp(log_temperature)
        own = scaled[np.arange(len(labels)), labels]
        return float(np.mean(scipy.special.logsumexp(scaled, axis=1) - own))

    found = scipy.optimize.minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded")
    return float(np.exp(found.x))


def taken_back(probabilities: np.ndarray, smoothing: float) -> np.ndarray:
    """Return probabilities (n, k) of labels, from those of smoothed ones."""
    classes = probabilities.shape[1]
    solved = (probabilities - smoothing / classes) / (1.0 - smoothing)
    # What is below the smoothed share of a class is next to nothing, but not impossible.
    kept = np.maximum(solved, 1e-6)
    return kept / kept.sum(axis=1, keepdims=True)
