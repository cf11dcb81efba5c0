"""Short trainings reach exact posteriors: a conjugate Gaussian one, and one with two modes."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.flows import Consistency, Diffusion, Flow, FlowMatching, MixtureDensity, ResidualMLP

Draw = Callable[[tf.Tensor, int], tuple[tf.Tensor, tf.Tensor]]

# Of the Gaussian posterior, whose mean is the condition.
ROOT = np.array([[0.3, 0.0], [-0.2, 0.15]], np.float32)


def gaussian(seed: tf.Tensor, rows: int) -> tuple[tf.Tensor, tf.Tensor]:
    first, second = tf.unstack(tf.random.split(seed, 2))
    condition = 0.8 * tf.random.stateless_normal((rows, 2), first)
    noise = tf.random.stateless_normal((rows, 2), second)
    return condition + tf.matmul(noise, ROOT, transpose_b=True), condition


def two_modes(seed: tf.Tensor, rows: int) -> tuple[tf.Tensor, tf.Tensor]:
    first, second, third = tf.unstack(tf.random.split(seed, 3))
    condition = tf.random.stateless_normal((rows, 1), first)
    side = tf.where(tf.random.stateless_uniform((rows, 1), second) < 0.3, -0.8, 0.8)
    return 0.5 * condition + side + 0.1 * tf.random.stateless_normal((rows, 1), third), condition


def fit(flow: Flow, draw: Draw, steps: int, rate: float = 3e-3, rows: int = 256) -> None:
    """Train on fresh draws, and keep the moving average of the weights."""
    flow.initialize(*draw(tf.constant([0, 0]), rows))
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.01)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=5.0, use_ema=True, ema_momentum=0.99)
    optimizer.build(flow.trainable_variables)

    @tf.function
    def train(count: tf.Tensor) -> None:
        for step in tf.range(count):
            x, condition = draw(tf.stack([step, 1]), rows)
            progress = tf.cast(step, tf.float32) / tf.cast(count, tf.float32)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(
                    flow(x, condition, seed=tf.stack([step, 2]), progress=progress, training=True)
                )
            weights = [variable.value for variable in flow.trainable_variables]
            gradients = tape.gradient(loss, weights)
            optimizer.apply_gradients(zip(gradients, flow.trainable_variables, strict=True))

    train(tf.constant(steps))
    optimizer.finalize_variable_values(flow.trainable_variables)


def trained(flow: Flow, draw: Draw, steps: int) -> Flow:
    with seeded_initial_weights(1):
        x, condition = draw(tf.constant([0, 0]), 2)
        flow.build(x.shape[1:], condition.shape[1:])
    fit(flow, draw, steps)
    return flow


def network() -> ResidualMLP:
    return ResidualMLP(units=64, blocks=3)


def farthest(flow: Flow) -> float:
    """Largest Kolmogorov-Smirnov distance to the two-mode posterior, over three conditions."""
    distances = []
    conditions = np.array([[-1.0], [0.0], [1.5]], np.float32)
    for condition, draws in zip(
        conditions[:, 0], flow.sample(20_000, conditions, seed=(1, 2)).numpy()[..., 0], strict=True
    ):
        low = scipy.stats.norm(0.5 * condition - 0.8, 0.1)
        high = scipy.stats.norm(0.5 * condition + 0.8, 0.1)
        law = scipy.stats.kstest(
            draws, lambda x, low=low, high=high: 0.3 * low.cdf(x) + 0.7 * high.cdf(x)
        )
        distances.append(law.statistic)
    return max(distances)


# Flow, training steps, and a distance that is not exceeded, about twice that of one weight seed.
TWO_MODES = {
    "flow matching": (lambda: FlowMatching(network()), 1_500, 0.05),
    "edm": (lambda: Diffusion(network()), 1_500, 0.05),
    "variance preserving": (lambda: Diffusion(network(), "variance preserving"), 1_500, 0.05),
    "consistency": (lambda: Consistency(network()), 600, 0.15),
    "mixture": (lambda: MixtureDensity(4, (32, 32)), 800, 0.02),
}


@pytest.mark.parametrize("name", TWO_MODES)
def test_two_modes(name: str) -> None:
    make, steps, tolerance = TWO_MODES[name]
    assert farthest(trained(make(), two_modes, steps)) < tolerance


# Flow, training steps, and the largest errors of means and of sds, in exact sds.
GAUSSIAN = {
    "flow matching": (lambda: FlowMatching(network()), 1_000, 0.12),
    "edm": (lambda: Diffusion(network()), 1_000, 0.12),
    "variance preserving": (lambda: Diffusion(network(), "variance preserving"), 1_000, 0.12),
    "consistency": (lambda: Consistency(network()), 600, 0.12),
    "mixture": (lambda: MixtureDensity(2, (32, 32)), 800, 0.08),
}


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gaussian_posterior(name: str) -> None:
    make, steps, tolerance = GAUSSIAN[name]
    flow = trained(make(), gaussian, steps)
    condition = tf.constant([[0.5, -0.7]])
    draws = flow.sample(50_000, condition, seed=(1, 2)).numpy()[0]
    covariance = ROOT @ ROOT.T
    sds = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((draws.mean(axis=0) - condition[0]) / sds, 0.0, atol=tolerance)
    np.testing.assert_allclose(draws.std(axis=0) / sds, 1.0, atol=tolerance)
    correlation = covariance[0, 1] / np.prod(sds)
    assert np.corrcoef(draws.T)[0, 1] == pytest.approx(correlation, abs=0.5 * tolerance)
    x, conditions = gaussian(tf.constant([9, 9]), 2_000)
    if flow.density is not None:
        exact = scipy.stats.multivariate_normal(cov=covariance).logpdf(x - conditions)
        gap = float(np.mean(exact - tf.function(flow.log_prob)(x, conditions)))
        assert -0.01 < gap < 0.05


def test_flow_matching_reaches_its_least_loss_and_goes_not_below() -> None:
    flow = trained(FlowMatching(network()), gaussian, 1_000)
    x, condition = gaussian(tf.constant([9, 9]), 200_000)
    loss = float(tf.reduce_mean(flow.loss(x, condition, seed=tf.constant([1, 2]))))
    least = np.pi / 2.0 * np.trace(scipy.linalg.sqrtm(ROOT @ ROOT.T).real)
    assert 0.99 * least < loss < 1.03 * least
