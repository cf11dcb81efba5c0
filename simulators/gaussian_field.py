"""A random field with a power law spectrum, seen with noise: images with an exact posterior.

    P(k) = amplitude^2 w(k),    w(k) ~ |k|^-slope,  w(0) = 0,  mean of w over all k = 1
    image = F^-1 sqrt(P) F e1 + noise e2,    e1, e2 ~ Normal(0, 1) for each of 32 x 32 pixels

F is the Fourier transform and k = (k1, k2) a frequency in waves per image, so that the amplitude is
the standard deviation of the field at a pixel. The field is stationary and periodic: its covariance
is diagonal in the Fourier domain, and so is that of the image, with eigenvalues P(k) + noise^2. The
likelihood is a product over frequencies, and the sums of squares on each circle of equal |k| are
all that it needs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

SIZE = 32
SLOPES = (1.0, 4.0)
#: Mean and standard deviation of the logarithm.
AMPLITUDE = (0.0, 0.5)
NOISE = (-1.0, 0.5)

_along = SIZE * np.fft.fftfreq(SIZE)
_squares = np.add.outer(_along**2, _along**2)
_circles, _circle, _counts = np.unique(_squares, return_inverse=True, return_counts=True)

_CELLS = 40
_ROUNDS = 5
# Cells with a smaller share of the largest marginal are left out.
_LEAST = 1e-6


def eigenvalues(parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the variance of an image (n, circles) on each circle of equal frequency."""
    amplitude, slope, noise = (
        np.asarray(parameters[name], float)[:, None] for name in ("amplitude", "slope", "noise")
    )
    return amplitude**2 * _shape(slope) + noise**2


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log density (n,) of one image (32, 32, 1) for parameters (n,)."""
    return _log_density(eigenvalues(parameters), _powers(data["image"]))


def exact(data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
    """Draw parameters (draws,) from the posterior given one image (32, 32, 1).

    From a grid of log amplitude, slope and log noise, which is refined to where the posterior is;
    draws are uniform within a cell.
    """
    powers = _powers(data["image"])
    low = np.array([AMPLITUDE[0] - 6.0 * AMPLITUDE[1], SLOPES[0], NOISE[0] - 6.0 * NOISE[1]])
    high = np.array([AMPLITUDE[0] + 6.0 * AMPLITUDE[1], SLOPES[1], NOISE[0] + 6.0 * NOISE[1]])
    edges = low.copy(), high.copy()
    for _ in range(_ROUNDS):
        step = (high - low) / _CELLS
        axes = low[:, None] + step[:, None] * (np.arange(_CELLS) + 0.5)
        share = _posterior(axes, powers)
        for axis in range(3):
            marginal = share.sum(axis=tuple({0, 1, 2} - {axis}))
            possible = axes[axis][marginal > _LEAST * marginal.max()]
            low[axis] = max(possible[0] - 1.5 * step[axis], edges[0][axis])
            high[axis] = min(possible[-1] + 1.5 * step[axis], edges[1][axis])
    generator = np.random.default_rng(seed)
    cells = generator.choice(share.size, draws, p=share.ravel() / share.sum())
    places = np.stack(np.unravel_index(cells, share.shape), axis=-1)
    values = axes[np.arange(3), places] + step * generator.uniform(-0.5, 0.5, (draws, 3))
    return {
        "amplitude": np.exp(values[:, 0]),
        "slope": np.clip(values[:, 1], *SLOPES),
        "noise": np.exp(values[:, 2]),
    }


@bi.simulator(
    prior={
        "amplitude": tfd.LogNormal(*AMPLITUDE),
        "slope": tfd.Uniform(*SLOPES),
        "noise": tfd.LogNormal(*NOISE),
    },
    labels={"amplitude": "$A$", "slope": "$s$", "noise": r"$\sigma$"},
    log_likelihood=log_likelihood,
    exact=exact,
)
def gaussian_field(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draw a periodic random field with a power law spectrum, and add noise to each pixel."""
    shape = (tf.shape(parameters["slope"])[0], SIZE, SIZE)
    field_seed, noise_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    frequencies = tf.constant(np.log(np.maximum(_squares[:, : SIZE // 2 + 1], 1.0)), tf.float32)
    present = tf.constant(_squares[:, : SIZE // 2 + 1] > 0.0, tf.float32)
    # How often a frequency counts in the mean over all: its mirror image isn't in the array.
    times = np.r_[1.0, np.full(SIZE // 2 - 1, 2.0), 1.0]
    weights = present * tf.exp(-0.5 * parameters["slope"][:, None, None] * frequencies)
    total = tf.reduce_sum(weights * tf.constant(times, tf.float32), axis=(1, 2), keepdims=True)
    spectrum = parameters["amplitude"][:, None, None] ** 2 * weights * SIZE**2 / total
    waves = tf.signal.rfft2d(tf.random.stateless_normal(shape, field_seed, alg="philox"))
    field = tf.signal.irfft2d(waves * tf.cast(tf.sqrt(spectrum), waves.dtype))
    noise = tf.random.stateless_normal(shape, noise_seed, alg="philox")
    return {"image": (field + parameters["noise"][:, None, None] * noise)[..., None]}


def _shape(slope: np.ndarray) -> np.ndarray:
    """Return the spectrum (..., circles) of a field with standard deviation one."""
    weights = np.where(_circles > 0.0, np.maximum(_circles, 1.0) ** (-0.5 * slope), 0.0)
    return weights * SIZE**2 / np.sum(_counts * weights, axis=-1, keepdims=True)


def _powers(image: np.ndarray) -> np.ndarray:
    """Return sums of squares (circles,) of an image in the Fourier domain, a rotation of it."""
    waves = np.fft.fft2(np.reshape(np.asarray(image, float), (SIZE, SIZE)), norm="ortho")
    return np.bincount(_circle.ravel(), np.abs(waves.ravel()) ** 2)


def _log_density(variances: np.ndarray, powers: np.ndarray) -> np.ndarray:
    terms = powers / variances + _counts * np.log(2.0 * np.pi * variances)
    return -0.5 * np.sum(terms, axis=-1)


def _posterior(axes: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Return the density on a grid (cells, cells, cells), up to a factor; axes are (3, cells)."""
    log_amplitude, slope, log_noise = axes
    shape = _shape(slope[:, None])[:, None]
    noise = np.exp(2.0 * log_noise)[:, None]
    log_density = np.stack(
        [_log_density(np.exp(2.0 * value) * shape + noise, powers) for value in log_amplitude]
    )
    log_density -= 0.5 * (((log_amplitude - AMPLITUDE[0]) / AMPLITUDE[1]) ** 2)[:, None, None]
    log_density -= 0.5 * ((log_noise - NOISE[0]) / NOISE[1]) ** 2
    return np.exp(log_density - log_density.max())
