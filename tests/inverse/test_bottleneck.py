"""The information bottleneck on data whose classes are known exactly, and on images."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import bayesinn as bi
from bayesinn.bijections import Affine, Chain, Coupling, DCTPooling, Haar, Reshape
from bayesinn.core.errors import InputError
from bayesinn.flows import coupling
from bayesinn.inverse import Bottleneck, ClassNormal, LatentMixture

JOINT = tf.constant(np.random.default_rng(1).normal(-3.0, 2.0, (7, 4)))
LOG_DET = tf.constant(np.linspace(-1.0, 2.0, 7))
LABELS = tf.constant([0, 1, 2, 3, 0, 1, 2])


def loss(beta: float, smoothing: float = 0.0, joint: tf.Tensor = JOINT) -> np.ndarray:
    return Bottleneck(beta, smoothing).loss(joint, LOG_DET, LABELS, dimension=5).numpy()


def test_loss_is_the_density_the_classes_or_both() -> None:
    density = -(scipy.special.logsumexp(JOINT, axis=1) + LOG_DET.numpy()) / 5
    classes = -scipy.special.log_softmax(JOINT, axis=1)[np.arange(7), LABELS]
    np.testing.assert_allclose(loss(0.0), 2.0 * density)
    np.testing.assert_allclose(loss(3.0), 0.5 * density + 1.5 * classes)
    np.testing.assert_allclose(loss(math.inf), 2.0 * classes)
    # The density of data and class together, which needs no bottleneck.
    together = -(JOINT.numpy()[np.arange(7), LABELS] + LOG_DET.numpy())
    np.testing.assert_allclose(loss(1.0 / 5.0), together / 5 * 2.0 / 1.2)


def test_smoothed_labels_have_the_least_loss_at_their_own_probabilities() -> None:
    smoothing = 0.08
    target = 0.92 * tf.one_hot(LABELS, 4, dtype=tf.float64) + 0.02
    floor = 2.0 * scipy.stats.entropy(target.numpy(), axis=1)
    np.testing.assert_allclose(loss(math.inf, smoothing, tf.math.log(target)), floor)
    sharper = tf.math.log(target) * 1.5
    assert np.all(loss(math.inf, smoothing, sharper) > floor + 1e-3)
    # Without smoothing, the sharper the better.
    assert np.all(loss(math.inf, 0.0, sharper) < loss(math.inf, 0.0, tf.math.log(target)))


# Three classes with one covariance, mixed by a known affine map.

MEANS = np.array([[-1.6, 0.0], [1.6, 0.8], [0.0, 2.9]])
WEIGHTS = np.array([0.5, 0.3, 0.2])
MATRIX = np.array([[2.0, 0.5], [-0.4, 0.6]])


def draw(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, size=rows, p=WEIGHTS)
    return (MEANS[labels] + generator.standard_normal((rows, 2))) @ MATRIX.T, labels


def exact(x: np.ndarray) -> np.ndarray:
    """Probability of each class, (n, 3)."""
    sources = np.linalg.solve(MATRIX, x.T).T
    squares = np.sum((sources[:, None] - MEANS) ** 2, axis=2)
    return scipy.special.softmax(np.log(WEIGHTS) - 0.5 * squares, axis=1)


@pytest.mark.parametrize("beta", [0.0, math.inf])
def test_every_beta_leads_to_bayes_rule_where_the_model_holds(beta: float) -> None:
    x, labels = draw(8_000, seed=1)
    test_x, test_labels = draw(5_000, seed=2)
    model = LatentMixture(
        coupling(blocks=2, hidden=(8,), mixing="lu").chain,
        ClassNormal("unit"),
        bottleneck=Bottleneck(beta),
    )
    fast = bi.Optimization(learning_rate=2e-2, average=0.98)
    model.fit(x, labels, steps=300, seed=1, optimization=fast, progress=False)
    ours = model.classify(test_x).to_numpy()
    truth = exact(test_x)
    assert np.abs(ours - truth).mean() < 0.03
    accuracy, best = (np.mean(p.argmax(axis=1) == test_labels) for p in (ours, truth))
    # Standard error of an accuracy of 0.9 on 5,000: 0.004.
    assert accuracy == pytest.approx(best, abs=0.004)
    # Calibrated: what is said to have a probability happens as often.
    assert ours.max(axis=1).mean() == pytest.approx(accuracy, abs=0.02)


# Images


def bright(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of a bright left or right half."""
    labels = np.arange(rows) % 2
    x = np.random.default_rng(3).integers(0, 4, (rows, 4, 4, 1))
    x[labels == 0, :, :2] += 3
    x[labels == 1, :, 2:] += 3
    return x, np.where(labels == 0, "left", "right")


def images(*links: bi.bijections.Bijection, scales: str = "unit", beta: float = 1.0):
    return LatentMixture(
        Chain([Haar(), Coupling(Affine(clamp=1.0), hidden=(8,)), *links]),
        ClassNormal(scales),
        noise=0.1,
        quantum=1.0,
        bottleneck=Bottleneck(beta, smoothing=0.01),
    )


X, NAMES = bright(600)


@pytest.fixture(scope="module")
def model() -> LatentMixture:
    fast = bi.Optimization(learning_rate=1e-2, average=0.9)
    # The chain ends with the rotation also where a chain inside it does.
    model = images(Chain([DCTPooling()]), beta=math.inf)
    return model.fit(X, NAMES, steps=60, batch_size=64, seed=1, optimization=fast, progress=False)


def test_heat_maps_sum_to_the_log_odds(model: LatentMixture) -> None:
    probabilities = model.model.joint_log_probs(X)
    maps = model.heat_maps(X, "left", "right")
    assert maps.shape == (600, 2, 2)
    gap = probabilities[:, 0] - probabilities[:, 1]
    assert np.abs(gap).max() > 3.0
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), gap, atol=1e-4)
    np.testing.assert_allclose(model.heat_maps(X, "right", "left"), -maps, atol=1e-6)


def test_images_are_classified_drawn_and_saved(model: LatentMixture, tmp_path: Path) -> None:
    assert np.mean(model.classify(X).idxmax(axis=1) == NAMES) > 0.95
    codes = model.latent_codes(X)
    assert codes.shape == (600, 16)
    np.testing.assert_allclose(model.from_latent(codes), X, atol=1e-3)
    assert model.sample("left", draws=3, seed=1).shape == (3, 4, 4, 1)
    # The channel has one scale.
    assert len(np.unique(model.model.scaling.scale)) == 1
    again = LatentMixture.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.log_prob(X), model.log_prob(X))
    assert again.bottleneck == Bottleneck(math.inf, 0.01)


def test_noise_bounds_the_density_of_what_lies_on_a_point() -> None:
    x = np.tile(X[:2], (200, 1, 1, 1))
    # A latent that is an image is laid flat.
    model = images(beta=0.0)
    model.quantum = 0.0
    fast = bi.Optimization(learning_rate=3e-2, average=0.9)
    model.fit(x, np.tile(NAMES[:2], 200), steps=60, seed=1, optimization=fast, progress=False)
    scale = 0.1 * model.model.scaling.scale[0, 0, 0]
    entropy = 0.5 * np.log(2.0 * np.pi * np.e * scale**2)
    noisy = x + np.random.default_rng(1).normal(0.0, scale, x.shape)
    reached = -model.log_prob(noisy).mean() / 16
    # Nothing has fewer nats per element than the noise alone, but for chance (0.007).
    assert entropy - 0.02 < reached < entropy + 1.0


def test_what_does_not_fit_is_explained(model: LatentMixture) -> None:
    with pytest.raises(InputError, match=r"(?s)'beta'.*-1.*math.inf"):
        Bottleneck(-1.0)
    with pytest.raises(InputError, match="'smoothing'"):
        Bottleneck(smoothing=1.0)
    with pytest.raises(InputError, match="means that are weights"):
        LatentMixture(latent=ClassNormal("batch"), bottleneck=Bottleneck())
    with pytest.raises(InputError, match=r"shape \(n, 4, 4, 1\)"):
        model.classify(X[..., 0])
    with pytest.raises(InputError, match=r"got: +up"):
        model.heat_maps(X, "left", "up")
    other = images(Reshape()).fit(X, NAMES, steps=1, seed=1, progress=False)
    with pytest.raises(InputError, match=r"(?s)ends with DCTPooling.*Reshape"):
        other.heat_maps(X, "left", "right")


def test_dropout_acts_in_training_alone() -> None:
    x = np.random.default_rng(1).normal(size=(32, 4)).astype(np.float32)
    labels = np.repeat([0, 1], 16)
    chain = bi.flows.coupling(blocks=1, hidden=(16,), dropout=0.5).chain
    mixture = LatentMixture(chain, bottleneck=Bottleneck(1.0))
    mixture.fit(x, labels, steps=2, batch_size=16, seed=1, progress=False)
    batch = {"x": tf.constant(x), "labels": tf.constant(labels)}
    model = mixture.model
    losses = [
        model.loss(batch, tf.constant([1, 2]), tf.constant(1.0), training)
        for training in (False, False, True)
    ]
    np.testing.assert_array_equal(losses[0], losses[1])
    assert np.any(losses[2] != losses[0])
