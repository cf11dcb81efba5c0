"""Affine and spline transforms against published formulas, an independent implementation, laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.bijections import Affine, Composed, Spline


def random_raw(
    spline: Spline, rows: int, elements: int, scale: float = 1.5, seed: int = 1
) -> tf.Tensor:
    shape = (rows, elements, spline.parameters_per_element)
    return tf.constant(scale * np.random.default_rng(seed).standard_normal(shape), tf.float64)


def one_spline(rows: int, scale: float = 1.5, seed: int = 1) -> tuple[Spline, tf.Tensor]:
    """The same random spline for every row."""
    spline = Spline()
    return spline, tf.repeat(random_raw(spline, 1, 1, scale, seed), rows, axis=0)


def test_equal_compositions_are_equal_however_they_were_written() -> None:
    listed = [Affine(), Spline()]
    composed = Composed(listed)
    assert composed == Composed((Affine(), Spline()))
    listed.clear()
    assert composed.parameters_per_element == 2 + Spline().parameters_per_element


def test_a_composition_applies_its_parts_in_order_and_adds_their_slopes() -> None:
    spline = Spline(bins=4)
    composed = Composed([Affine(), spline])
    raw = tf.constant(np.random.default_rng(1).normal(size=(6, 2, composed.parameters_per_element)))
    x = tf.constant(np.random.default_rng(2).normal(size=(6, 2)))
    moved, first = Affine().forward(x, raw[..., :2])
    expected, second = spline.forward(moved, raw[..., 2:])
    z, log_slope = composed.forward(x, raw)
    np.testing.assert_allclose(z, expected, rtol=1e-12)
    np.testing.assert_allclose(log_slope, first + second, rtol=1e-12)
    back, inverse_slope = composed.inverse(z, raw)
    np.testing.assert_allclose(back, x, atol=1e-10)
    np.testing.assert_allclose(inverse_slope, -log_slope, atol=1e-9)


def test_affine_clamp() -> None:
    raw = tf.constant([[[1.0, 0.0], [-3.0, 0.0], [10.0, 0.0]]], tf.float64)
    _, log_scale = Affine(clamp=1.9).forward(tf.zeros((1, 3), tf.float64), raw)
    np.testing.assert_allclose(log_scale[0], [0.586014, -1.217110, 1.672887], atol=1e-6)


def test_spline_test_vector() -> None:
    spline = Spline(bins=3, bound=1.0)
    # The vector has slopes softplus(raw) + minimum; ours are shifted so that raw zero is slope one.
    shift = math.log(math.expm1(1.0 - spline.minimum_slope))
    raw = tf.constant(
        [0.0, math.log(2.0), 0.0, 0.3, -0.2, 0.1, 0.5 - shift, -0.5 - shift], tf.float64
    )
    x = tf.constant([[-0.9, 0.0, 0.25, 0.99]], tf.float64)
    z, log_slope = spline.forward(x, tf.tile(raw[None, None], (1, 4, 1)))
    np.testing.assert_allclose(z[0], [-0.87050322, 0.12555512, 0.22192998, 0.98974832], atol=1e-8)
    np.testing.assert_allclose(
        log_slope[0], [0.46107081, -0.89240489, -0.97114765, 0.04918420], atol=1e-8
    )


def test_spline_agrees_with_tfp() -> None:
    spline = Spline(bins=6, bound=4.0)
    raw = random_raw(spline, rows=200, elements=3)
    x = tf.constant(np.random.default_rng(2).uniform(-6.0, 6.0, (200, 3)))
    raw_widths, raw_heights, raw_slopes = tf.split(raw, [6, 6, 5], axis=-1)
    share = 1.0 - 6 * spline.minimum_bin
    shift = math.log(math.expm1(1.0 - spline.minimum_slope))
    oracle = tfp.bijectors.RationalQuadraticSpline(
        bin_widths=8.0 * (spline.minimum_bin + share * tf.nn.softmax(raw_widths)),
        bin_heights=8.0 * (spline.minimum_bin + share * tf.nn.softmax(raw_heights)),
        knot_slopes=spline.minimum_slope + tf.nn.softplus(raw_slopes + shift),
        range_min=-4.0,
    )
    z, log_slope = spline.forward(x, raw)
    np.testing.assert_allclose(z, oracle.forward(x), atol=1e-10)
    np.testing.assert_allclose(log_slope, oracle.forward_log_det_jacobian(x), atol=1e-9)
    back, log_slope = spline.inverse(x, raw)
    np.testing.assert_allclose(back, oracle.inverse(x), atol=1e-9)
    np.testing.assert_allclose(log_slope, oracle.inverse_log_det_jacobian(x), atol=1e-8)


def test_spline_is_monotone() -> None:
    spline, raw = one_spline(100_000, scale=3.0)
    x = tf.sort(tf.random.stateless_uniform((100_000, 1), (1, 2), -7.0, 7.0, tf.float64), axis=0)
    z, _ = spline.forward(x, raw)
    assert bool(tf.reduce_all(z[1:] >= z[:-1]))


def test_spline_is_smooth_at_knots_and_bounds() -> None:
    spline, raw = one_spline(2)
    widths = (
        10.0
        * (
            spline.minimum_bin + (1.0 - 8 * spline.minimum_bin) * tf.nn.softmax(raw[0, 0, :8])
        ).numpy()
    )
    for knot in np.concatenate([[-5.0], np.cumsum(widths) - 5.0]):
        x = tf.constant([[knot - 1e-9], [knot + 1e-9]], tf.float64)
        z, log_slope = spline.forward(x, raw)
        assert abs(float(z[1, 0] - z[0, 0])) < 1e-6, f"jump at {knot}"
        assert abs(float(log_slope[1, 0] - log_slope[0, 0])) < 1e-5, f"kink at {knot}"


def test_spline_starts_as_the_identity() -> None:
    x = tf.random.stateless_uniform((1000, 2), (1, 2), -7.0, 7.0)
    z, log_slope = Spline().forward(x, tf.zeros((1000, 2, Spline().parameters_per_element)))
    np.testing.assert_allclose(z, x, atol=2e-6)
    np.testing.assert_allclose(log_slope, 0.0, atol=2e-6)


@pytest.mark.parametrize("value", [-1e30, -5.0, 5.0, 1e30])
def test_spline_gradients_are_finite_outside(value: float) -> None:
    spline = Spline()
    x = tf.constant([[value]], tf.float32)
    raw = tf.cast(random_raw(spline, 1, 1, scale=100.0), tf.float32)
    for direction in (spline.forward, spline.inverse):
        with tf.GradientTape() as tape:
            tape.watch([x, raw])
            z, log_slope = direction(x, raw)
        gradients = tape.gradient([z, log_slope], [x, raw])
        assert all(bool(tf.reduce_all(tf.math.is_finite(gradient))) for gradient in gradients)
        assert float(z[0, 0]) == pytest.approx(value)


def test_spline_inverts_in_single_precision() -> None:
    spline = Spline()
    raw = tf.cast(random_raw(spline, 5000, 2), tf.float32)
    x = tf.random.stateless_normal((5000, 2), (1, 2))
    z, log_slope = spline.forward(x, raw)
    back, _ = spline.inverse(z, raw)
    # Where the spline is flat, rounding of z alone moves x: the error is measured on the scale of
    # z.
    error = tf.abs(back - x) * tf.minimum(tf.exp(log_slope), 1.0)
    # Largest over seeds 1, 2, 3 of the raw parameters: 1.4e-5.
    assert float(tf.reduce_max(error)) < 5e-5
