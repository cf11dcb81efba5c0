"""The rational-quadratic spline at a table of knots, both ways, and at hostile raw parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections import Spline

SPLINE = Spline(bins=3, bound=1.0)
# Slopes in the table are softplus(raw) + minimum; ours are shifted so that raw zero is slope one.
SHIFT = math.log(math.expm1(1.0 - SPLINE.minimum_slope))
RAW = tf.constant(
    [[[0.0, math.log(2.0), 0.0, 0.3, -0.2, 0.1, 0.5 - SHIFT, -0.5 - SHIFT]]], tf.float64
)


def column(values: list[float] | np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    """Values as rows of one element, each with the raw parameters of the table."""
    return tf.constant(np.reshape(values, (-1, 1))), tf.repeat(RAW, len(values), axis=0)


def knots() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Abscissae, ordinates and slopes of the table, from the formulas of the paper."""

    def axis(raw: np.ndarray) -> np.ndarray:
        shares = 1e-3 + (1.0 - 3e-3) * np.exp(raw) / np.sum(np.exp(raw))
        return np.concatenate([[-1.0], 2.0 * np.cumsum(shares) - 1.0])

    slopes = 1e-3 + np.log1p(np.exp([0.5, -0.5]))
    return (
        axis(np.array([0.0, math.log(2.0), 0.0])),
        axis(np.array([0.3, -0.2, 0.1])),
        np.array([1.0, *slopes, 1.0]),
    )


def test_raw_slope_of_the_identity() -> None:
    assert pytest.approx(0.53974242, abs=1e-8) == SHIFT


def test_inverse_test_vector() -> None:
    z, raw = column([-0.87050322, 0.12555512, 0.22192998, 0.98974832])
    x, log_slope = SPLINE.inverse(z, raw)
    np.testing.assert_allclose(x[:, 0], [-0.9, 0.0, 0.25, 0.99], atol=2e-8)
    np.testing.assert_allclose(
        log_slope[:, 0], [-0.46107081, 0.89240489, 0.97114765, -0.04918420], atol=2e-7
    )


@pytest.mark.parametrize("side", [-1e-12, 0.0, 1e-12])
def test_knots_are_met_with_their_slopes(side: float) -> None:
    """From both sides, which is continuity of value and first derivative."""
    across, up, slopes = knots()
    x, raw = column(across + side)
    z, log_slope = SPLINE.forward(x, raw)
    np.testing.assert_allclose(z[:, 0], up, atol=1e-11)
    np.testing.assert_allclose(tf.exp(log_slope)[:, 0], slopes, atol=1e-10)
    z, raw = column(up + side)
    x, log_slope = SPLINE.inverse(z, raw)
    np.testing.assert_allclose(x[:, 0], across, atol=1e-11)
    np.testing.assert_allclose(tf.exp(-log_slope)[:, 0], slopes, atol=1e-10)


def test_log_slope_is_that_of_automatic_differentiation() -> None:
    values, raw = column(np.linspace(-1.3, 1.3, 261))
    for direction in (SPLINE.forward, SPLINE.inverse):
        with tf.GradientTape() as tape:
            tape.watch(values)
            images, log_slope = direction(values, raw)
        np.testing.assert_allclose(
            tf.math.log(tape.gradient(images, values)), log_slope, atol=1e-10
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [10.0, 1e3, 1e6])
def test_hostile_raw_parameters_stay_finite_and_monotone(scale: float, dtype: str) -> None:
    spline = Spline()
    raw = tf.constant(
        scale * np.random.default_rng(1).standard_normal((1, 1, spline.parameters_per_element)),
        dtype,
    )
    raw = tf.repeat(raw, 1001, axis=0)
    values = tf.constant(np.linspace(-6.0, 6.0, 1001)[:, None], dtype)
    for direction in (spline.forward, spline.inverse):
        with tf.GradientTape() as tape:
            tape.watch([values, raw])
            images, log_slope = direction(values, raw)
        gradients = tape.gradient([images, log_slope], [values, raw])
        assert all(np.all(np.isfinite(array)) for array in (images, log_slope, *gradients))
        assert np.diff(images[:, 0]).min() >= 0.0
