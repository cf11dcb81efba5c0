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

    It is 1 / snr in each band, or, with a photon budget, in a band of 20 nm, and larger in narrower
    ones as they get less light.
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
