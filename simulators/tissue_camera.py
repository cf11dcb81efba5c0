"""Multispectral cameras: wavelengths of each band, sensor noise, normalisation of measurements.

A band k with response F_k, under light of spectrum i, measures the reflectance R as

    C_k = integral F_k(l) i(l) R(l) dl / integral F_k(l) i(l) dl,

relative to a white reference. R is known on a grid of wavelengths and interpolated between them by
a cubic spline, so that C = W R with a fixed matrix W. A grid of 5 nm is within 0.2 % (root mean
square over tissues and bands) of one of 1 nm for the 8 bands, within 0.3 % for the 27; the noise is
10 %.

Noise is multiplicative and independent: C (1 + e / snr), e ~ N(0, 1). Then C is clipped to [1e-5,
1] and normalised.

Sources: S. J. Wirkert et al. (2016), IJCARS 11:909, and its code (github.com/swirkert/ipcai2016)
for bands, noise and normalisation; files and what is measured, inferred or assumed in them are
described in data/README.md.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.interpolate import CubicSpline
from scipy.special import factorial

from bayesinn.core.errors import InputError

_DATA = Path(__file__).parent / "data"
CAMERAS = ("spectrocam8", "ideal27", "gauss_rgb3", "nikon_d5100", "filter700")
NORMALISATIONS = ("none", "log", "l1", "l1_log", "l1_log_l2")
TEMPERATURES = {"flat": None, "halogen": 3200.0, "xenon": 6000.0}
"""Lamps as black bodies, in kelvin. The flat spectrum is that of a perfect white balance."""

# The fine grid on which responses are integrated, in nm.
_FINE = np.arange(400.0, 750.0, 0.1) + 0.05


class Bands(NamedTuple):
    """What a camera measures.

    Attributes
    ----------
    centres, widths : arrays (bands,), in nm; the width at half maximum
    wavelengths : array (w,), the grid that covers all bands, in nm
    weights : array (bands, w), the matrix W above; rows have sum 1
    """

    centres: np.ndarray
    widths: np.ndarray
    wavelengths: np.ndarray
    weights: np.ndarray


@functools.cache
def bands(camera: str = "spectrocam8", illumination: str = "flat", step: float = 5.0) -> Bands:
    """Return the bands of a camera under a lamp, for reflectances on a grid of this step in nm.

    Examples
    --------
    >>> camera = bands()
    >>> camera.centres.astype(int).tolist(), camera.weights.shape
    ([470, 480, 511, 560, 580, 600, 660, 700], (8, 45))
    """
    table = pd.read_csv(_DATA / "tissue_cameras.csv").query("camera == @camera")
    light = lamp(illumination)
    responses = (
        np.array([_response(row.shape, row.centre_nm, row.fwhm_nm) for row in table.itertuples()])
        * light
    )
    responses /= responses.sum(axis=1, keepdims=True)
    seen = _FINE[responses.max(axis=0) > 1e-6]
    grid = np.arange(_FINE[0] // step * step - step, _FINE[-1] + 2.0 * step, step)
    grid = grid[np.abs(grid[:, None] - seen).min(axis=1) < 2.0 * step]
    weights = responses @ CubicSpline(grid, np.eye(len(grid)))(_FINE)
    return Bands(table["centre_nm"].to_numpy(), table["fwhm_nm"].to_numpy(), grid, weights)


def lamp(illumination: str) -> np.ndarray:
    """Return the spectrum of a lamp on the fine grid, up to a factor."""
    temperature = TEMPERATURES[illumination]
    if temperature is None:
        return np.ones_like(_FINE)
    # Planck's law; h c / k = 1.438777e7 nm K.
    return _FINE**-5.0 / np.expm1(1.438777e7 / (_FINE * temperature))


def _response(shape: str, centre: float, width: float) -> np.ndarray:
    if shape == "tophat":
        return (np.abs(_FINE - centre) <= width / 2.0).astype(float)
    if shape == "gaussian":
        return 0.5 ** ((_FINE - centre) / (width / 2.0)) ** 2 * (
            np.abs(_FINE - centre) < 1.5 * width
        )
    file, column = shape.split(":")
    table = pd.read_csv(_DATA / file)
    measured = np.interp(_FINE, table["wavelength_nm"], table[column])
    # Below two hundredths of the maximum the reading of a filter is noise.
    return np.where(measured > 0.02 * measured.max(), measured, 0.0)


def noise_sd(camera: Bands, snr: float, photon_budget: bool = False) -> np.ndarray:
    """Return the relative standard deviation (bands,) of the noise.

    It is 1 / snr in each band. With a photon budget, that is the noise of a band of 20 nm, and the
    others have it in proportion to 1 / sqrt(width), by the light that they get: narrower bands are
    noisier, wider ones less noisy.
    """
    return np.full(len(camera.widths), 1.0 / snr) * (
        np.sqrt(20.0 / camera.widths) if photon_budget else 1.0
    )


def normalise(values: tf.Tensor, normalisation: str) -> tf.Tensor:
    """Clip band values (..., bands) to [1e-5, 1] and normalise them.

    "l1" divides by the sum over bands, which removes the distance of the camera; "log" takes -log;
    "l2" divides by the Euclidean norm of the result.

    Examples
    --------
    >>> [round(float(value), 3) for value in normalise(tf.constant([0.2, 0.2]), "l1_log")]
    [0.693, 0.693]
    """
    if normalisation not in NORMALISATIONS:
        expected = f"one of {NORMALISATIONS}"
        do = "choose one of them"
        raise InputError(
            "Normalisation of band values", expected=expected, got=repr(normalisation), do=do
        )
    values = tf.clip_by_value(values, 1e-5, 1.0)
    if "l1" in normalisation:
        values = values / tf.reduce_sum(values, axis=-1, keepdims=True)
    if "log" in normalisation:
        values = -tf.math.log(values)
    if "l2" in normalisation:
        values = values / tf.norm(values, axis=-1, keepdims=True)
    return values


def log_density(values: tf.Tensor, means: tf.Tensor, sd: np.ndarray) -> tf.Tensor:
    """Return log densities (m, n) of "l1_log" band values (m, k) for mean band values (n, k).

    They are densities of all values but the last, which the others determine. Noise has the
    relative standard deviations ``sd`` (k,). In double precision.

    Before normalisation, band values are t q with q = exp(-values) and an unknown sum t, which is
    integrated out. They are normal, so that the integrand is t^(k-1) times the exponential of a
    quadratic in t: a moment of a normal distribution, which is a polynomial of its width over its
    centre. Clipping at 1e-5 and 1 is left out: it takes 4.9 sd of the noise in the brightest band
    of the brightest tissues.

    Examples
    --------
    >>> even = tf.math.log(tf.fill((1, 2), 2.0))
    >>> log_density(even, tf.constant([[0.2, 0.2], [0.2, 0.3]]), np.full(2, 0.1)).numpy().round(2)
    array([[ 1.73, -2.22]])
    """
    values = tf.cast(values, tf.float64)
    means = tf.cast(means, tf.float64)
    power = len(sd) - 1
    shares = tf.exp(-values)
    square = tf.matmul((shares / sd) ** 2, means**-2.0, transpose_b=True)
    cross = tf.matmul(shares / sd**2, 1.0 / means, transpose_b=True)
    # Width over centre of the normal distribution of t, squared.
    spread = square / cross**2
    pairs = np.arange(power // 2 + 1)
    terms = factorial(power) / factorial(power - 2 * pairs) / factorial(pairs) / 2.0**pairs
    moment = tf.math.polyval([tf.constant(term, tf.float64) for term in terms[::-1]], spread)
    exponent = 0.5 / spread - 0.5 * np.sum(sd**-2.0)
    integral = tf.math.log(moment) - 0.5 * tf.math.log(square) + power * tf.math.log(cross / square)
    volume = np.sum(np.log(sd)) + 0.5 * power * np.log(2.0 * np.pi)
    volume += tf.reduce_sum(tf.math.log(means), axis=1)
    return exponent + integral - volume - tf.reduce_sum(values[:, :-1], axis=1, keepdims=True)
