"""The random field has its spectrum, and its likelihood and posterior are exact."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesinn.posterior.defaults import choose_summaries
from bayesinn.simulators import gaussian_field as module
from bayesinn.simulators.gaussian_field import SIZE, gaussian_field
from bayesinn.summaries import ConvImage
from tests.helpers.grid import moments

PARAMETERS = {"amplitude": 1.3, "slope": 2.2, "noise": 0.4}


def covariance() -> np.ndarray:
    """The covariance (pixels, pixels) of an image, from the spectrum written out once more."""
    along = SIZE * np.fft.fftfreq(SIZE)
    radius = np.hypot(along[:, None], along)
    weights = np.zeros_like(radius)
    weights[radius > 0] = radius[radius > 0] ** -PARAMETERS["slope"]
    spectrum = PARAMETERS["amplitude"] ** 2 * weights / weights.mean()
    kernel = np.fft.ifft2(spectrum).real
    step = np.subtract.outer(np.arange(SIZE), np.arange(SIZE)) % SIZE
    blocks = kernel[step[:, None, :, None], step[None, :, None, :]]
    full = blocks.reshape(SIZE**2, SIZE**2)
    return full + PARAMETERS["noise"] ** 2 * np.eye(SIZE**2)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rows = {name: np.full(4_000, value, np.float32) for name, value in PARAMETERS.items()}
    return gaussian_field.simulate(rows, seed=1)["image"]


def test_images_have_the_covariance_of_the_model(images: np.ndarray) -> None:
    expected = covariance()
    assert expected[0, 0] == pytest.approx(PARAMETERS["amplitude"] ** 2 + PARAMETERS["noise"] ** 2)
    flat = images.reshape(len(images), -1)
    pairs = np.random.default_rng(1).integers(0, SIZE**2, (200, 2))
    found = np.mean(flat[:, pairs[:, 0]] * flat[:, pairs[:, 1]], axis=0)
    # The standard error of a product is at most 1.85 * sqrt(2 / 4,000) = 0.041.
    np.testing.assert_allclose(found, expected[pairs[:, 0], pairs[:, 1]], atol=0.16)
    # All pixels and images together: the standard error of the variance is 0.4 %.
    assert np.mean(flat**2) == pytest.approx(expected[0, 0], rel=0.02)


def test_likelihood_is_that_of_a_normal_distribution(images: np.ndarray) -> None:
    rows = {name: np.array([value]) for name, value in PARAMETERS.items()}
    for image in images[:2]:
        found = module.log_likelihood(rows, {"image": image})
        image = image.ravel().astype(float)
        expected = stats.multivariate_normal.logpdf(image, np.zeros(SIZE**2), covariance())
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_exact_draws_have_the_moments_of_the_posterior(images: np.ndarray) -> None:
    def log_density(log_amplitude, slope, log_noise):
        grid = np.broadcast_arrays(log_amplitude, slope, log_noise)
        names = ("amplitude", "slope", "noise")
        values = (np.exp(grid[0]), grid[1], np.exp(grid[2]))
        rows = {name: value.ravel() for name, value in zip(names, values, strict=True)}
        density = module.log_likelihood(rows, {"image": images[0]}).reshape(grid[0].shape)
        density += stats.norm.logpdf(log_amplitude, 0.0, 0.5)
        return density + stats.norm.logpdf(log_noise, -1.0, 0.5)

    mean, sd = moments(log_density, (-2.0, 1.0, -3.0), (2.0, 4.0, 1.0), size=30)
    draws = module.exact({"image": images[0]}, 20_000, seed=1)
    found = np.array([np.log(draws["amplitude"]), draws["slope"], np.log(draws["noise"])])
    # Monte Carlo error: 0.7 % of an sd, and 0.5 % of the sd.
    np.testing.assert_allclose((found.mean(axis=1) - mean) / sd, 0.0, atol=0.04)
    np.testing.assert_allclose(found.std(axis=1) / sd, 1.0, atol=0.03)
    truth = np.array([np.log(1.3), 2.2, np.log(0.4)])
    assert (np.abs(mean - truth) < 4.0 * sd).all()


def test_images_get_a_network_of_their_own() -> None:
    assert isinstance(choose_summaries(gaussian_field, None).networks["image"], ConvImage)
