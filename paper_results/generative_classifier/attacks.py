"""Attacks by gradients: small changes of images that change their class, and what notices them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from images import Images
from measure import noisy
from networks import Classifier, Flow
from scores import auc, entropy

#: Largest change of a pixel, as shares of the grey scale.
SIZES = (0.02, 0.05, 0.1, 0.2)
_STEPS = 10
_MORE_STEPS = 20
#: Images that are attacked.
_ROWS = {"digits": 250, "MNIST": 100, "CIFAR-10": 100}
_USUAL_ROWS = 1_000
#: More than any density is from the usual one: a correct class is worse.
_CORRECT = 1e6

#: What is made smaller, (n,), of images (n, ...) and labels.
Objective = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def attacks(
    classifier: Classifier, data: Images, sizes: Sequence[float] = SIZES
) -> list[dict[str, object]]:
    """Return accuracies on attacked test images, and areas under the curves that tell them apart.

    "random" changes each pixel by the size, up or down; "one step" by the sign of the gradient of
    the margin between the true class and the next (Goodfellow et al. 2015, arXiv:1412.6572; margin
    of Carlini and Wagner 2017, arXiv:1608.04644); "steps" repeats smaller ones (Madry et al. 2018,
    arXiv:1706.06083). "unnoticed" knows the test for typical densities: images that are
    misclassified are moved towards the usual density (selective projected gradients: Bryniarski et
    al. 2022, arXiv:2106.15023).
    """
    count = _ROWS[data.name]
    x = noisy(data.test_x[:count])
    labels = data.test_labels[:count]
    margin = margins(classifier)
    random = np.random.default_rng(3).choice([-1.0, 1.0], size=x.shape)
    scores = Scores(classifier, data)
    rows = [{"attack": "none", "size": 0.0, **scores.of(x, labels)}]
    for share in sizes:
        size = share * data.top
        limits = (np.maximum(x - size, 0.0), np.minimum(x + size, data.top + 1.0))
        attacked = {
            "random": np.clip(x + size * random, *limits),
            "one step": descend(margin, x, labels, limits, 1, size),
            "steps": descend(margin, x, labels, limits, _STEPS, size / 4.0),
        }
        if isinstance(classifier, Flow):
            hidden = hidden_margins(classifier, margin, scores.usual)
            attacked["unnoticed"] = descend(hidden, x, labels, limits, _MORE_STEPS, size / 8.0)
        for name, images in attacked.items():
            rows.append({"attack": name, "size": share, **scores.of(images, labels)})
    return rows


def margins(classifier: Classifier) -> Objective:
    """Return the log odds of the true class and the most probable other one."""

    def margin(x: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        log_odds = classifier.log_odds(x)
        true = tf.one_hot(labels, log_odds.shape[1])
        others = tf.reduce_max(log_odds - 1e9 * true, axis=1)
        return tf.reduce_sum(true * log_odds, axis=1) - others

    return margin


def hidden_margins(flow: Flow, margin: Objective, usual: float) -> Objective:
    """Return margins where the class is correct, else how far densities are from the usual one."""

    def objective(x: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        found = margin(x, labels)
        return tf.where(found > 0.0, found + _CORRECT, tf.abs(flow.nats(x) - usual))

    return objective


def descend(
    objective: Objective,
    x: np.ndarray,
    labels: np.ndarray,
    limits: tuple[np.ndarray, np.ndarray],
    steps: int,
    length: float,
) -> np.ndarray:
    """Return the best images of steps by the signs of gradients, within limits."""

    @tf.function(reduce_retracing=True)
    def evaluate(x: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = objective(x, labels)
        return values, tape.gradient(values, x)

    images = x
    best = x
    least = np.full(len(x), np.inf)
    for step in range(steps + 1):
        values, slopes = (
            part.numpy() for part in evaluate(tf.constant(images), tf.constant(labels))
        )
        better = values < least
        best = np.where(better[:, None, None, None], images, best)
        least = np.where(better, values, least)
        if step < steps:
            images = np.clip(images - length * np.sign(slopes), *limits).astype(np.float32)
    return best


class Scores:
    """Accuracy, and areas under the curve beside test images that aren't attacked."""

    def __init__(self, classifier: Classifier, data: Images) -> None:
        self._classifier = classifier
        # Others than those that are attacked.
        x = noisy(data.test_x[_ROWS[data.name] :][:_USUAL_ROWS], 4)
        self.usual = 0.0
        if isinstance(classifier, Flow):
            self.usual = float(-classifier.model.log_prob(noisy(data.x[:_USUAL_ROWS], 2)).mean())
        self._inside = self._scores(x)

    def of(self, x: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Return the row of images."""
        found = self._classifier.probabilities(x).argmax(axis=1)
        outside = self._scores(x)
        areas = {f"AUC, {name}": auc(self._inside[name], outside[name]) for name in outside}
        return {"accuracy": float(np.mean(found == labels)), **areas}

    def _scores(self, x: np.ndarray) -> dict[str, np.ndarray]:
        found = {"entropy": entropy(self._classifier.probabilities(x))}
        if isinstance(self._classifier, Flow):
            nats = -self._classifier.model.log_prob(x)
            found["low density"] = nats
            found["untypical density"] = np.abs(nats - self.usual)
        return found
