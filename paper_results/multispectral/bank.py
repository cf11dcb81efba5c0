"""A bank of simulated tissues: parameters and noise-free spectra, for every camera's data."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from bayesinn.simulators.tissue import NAMES, TissueOptions, observe, prior, spectra

CAMERAS = {"3": "gauss_rgb3", "8": "spectrocam8", "27": "ideal27"}
WAVELENGTHS = np.unique(
    np.concatenate([TissueOptions(camera=camera).bands.wavelengths for camera in CAMERAS.values()])
)
_BLOCK = 4_000

Arrays = dict[str, np.ndarray]


def draw_parameters(n: int, seed: int) -> Arrays:
    """Draw parameters (n,) from the prior."""
    return {
        name: distribution.sample(n, seed=(seed, number)).numpy()
        for number, (name, distribution) in enumerate(prior().items())
    }


def reflectances(
    parameters: Arrays,
    other_absorption: np.ndarray | float = 0.0,
    wavelengths: np.ndarray = WAVELENGTHS,
) -> np.ndarray:
    """Return spectra (n, w), by default at all wavelengths of all cameras."""
    tensors = {name: np.asarray(value, np.float32) for name, value in parameters.items()}
    blocks = [
        spectra(
            {name: tf.constant(value[start : start + _BLOCK]) for name, value in tensors.items()},
            wavelengths,
            other_absorption=other_absorption,
        )
        for start in range(0, len(tensors["s_O2"]), _BLOCK)
    ]
    return np.concatenate(blocks)


def bank(n: int, seed: int, folder: Path) -> tuple[Arrays, np.ndarray, float]:
    """Return parameters, spectra (n, w), and the seconds of processor time they took.

    They are saved in a file of the folder.
    """
    file = folder / f"bank_{n}_{seed}.npz"
    if not file.exists():
        parameters = draw_parameters(n, seed)
        started = time.process_time()
        found = reflectances(parameters)
        seconds = time.process_time() - started
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(file, spectra=found, seconds=seconds, **parameters)
    with np.load(file) as kept:
        return {name: kept[name] for name in NAMES}, kept["spectra"], float(kept["seconds"])


def measured(found: np.ndarray, options: TissueOptions, seed: int) -> np.ndarray:
    """Return normalised band values (n, bands) with noise for spectra (n, w) at all wavelengths."""
    columns = np.searchsorted(WAVELENGTHS, options.bands.wavelengths)
    return observe(tf.constant(found[:, columns]), options, tf.constant((seed, 0))).numpy()
