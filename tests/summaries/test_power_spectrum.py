"""Powers on circles of frequencies: numpy's, whatever the phases."""

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.summaries import PowerSpectrum


def test_powers_are_means_of_squared_waves_on_circles() -> None:
    images = np.random.default_rng(1).normal(size=(3, 8, 6)).astype(np.float32)
    summary = PowerSpectrum(4, hidden=(8,), width=1.0)
    summary(images)
    squares = np.abs(np.fft.fft2(images)) ** 2 / 48.0
    # Waves along the longer side.
    radii = np.hypot(*np.meshgrid(8 * np.fft.fftfreq(8), 8 * np.fft.fftfreq(6), indexing="ij"))
    circles = np.round(radii).astype(int)
    expected = np.stack(
        [squares[:, circles == circle].mean(axis=1) for circle in np.unique(circles)], axis=1
    )
    found = np.exp(summary._log_powers(tf.constant(images)))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_shifts_of_a_periodic_image_are_not_seen_and_channels_are_kept_apart() -> None:
    images = np.random.default_rng(2).normal(size=(2, 8, 8, 2)).astype(np.float32)
    summary = PowerSpectrum(4, hidden=(8,))
    summary.initialize(tf.constant(images))
    first = summary(images)
    np.testing.assert_allclose(first, summary(np.roll(images, (3, 5), axis=(1, 2))), atol=1e-4)
    assert np.abs(first - summary(images[..., ::-1])).max() > 1e-2


def test_powers_are_standardised_on_the_first_batch() -> None:
    images = 1e3 * np.random.default_rng(3).normal(size=(200, 6, 6)).astype(np.float32)
    summary = PowerSpectrum(4, hidden=(8,))
    summary.initialize(tf.constant(images))
    powers = (summary._log_powers(tf.constant(images)) - summary.centre) / summary.scale
    np.testing.assert_allclose(np.mean(powers, axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(np.std(powers, axis=0), 1.0, atol=1e-3)


@pytest.mark.parametrize("unit", [1e-16, 1e19])
def test_units_of_raw_images_do_not_matter(unit: float) -> None:
    images = np.random.default_rng(4).normal(size=(50, 6, 6)).astype(np.float32)
    images *= np.linspace(0.5, 2.0, 50, dtype=np.float32)[:, None, None]
    seen = []
    for factor in (1.0, unit):
        rows = tf.constant(np.float32(factor) * images)
        summary = PowerSpectrum(4, hidden=(8,))
        summary.initialize(rows)
        seen.append((summary._log_powers(rows) - summary.centre) / summary.scale)
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-3)


def test_an_image_of_zeros_has_no_power() -> None:
    summary = PowerSpectrum(4, hidden=(8,))
    images = np.stack([np.zeros((6, 6)), np.full((6, 6), 1e-10)]).astype(np.float32)
    summary(images)
    powers = summary._log_powers(tf.constant(images)).numpy()
    assert np.isfinite(powers).all()
    assert (powers[0] <= powers[1]).all()
