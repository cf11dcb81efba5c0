"""Tissues and cameras beside those that networks are trained on, and a synthetic image."""

from __future__ import annotations

import numpy as np
from bank import WAVELENGTHS, Arrays, measured, reflectances
from networks import OPTIONS
from scipy.ndimage import gaussian_filter

from bayesinn.simulators.tissue import LAYERS, NAMES

_HALOGEN = 3200.0
_DAYLIGHT = 5500.0


def reference_tissue(n: int) -> Arrays:
    """Return the parameters (n,) of a tissue in the middle of the prior, n times."""
    values = {
        "s_O2": 0.7,
        "v_hb": 0.05,
        "a_mie": 18.9,
        "g": 0.875,
        "d1": 805.0,
        "d2": 631.0,
        "d3": 499.0,
    }
    return {
        name: np.full(n, values.get(name, values.get(name[:-1], 0.0)), np.float32) for name in NAMES
    }


def simulated(
    parameters: Arrays, camera: str, seed: int, other_absorption: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return band values (n, bands) with noise, for parameters (n,)."""
    return measured(reflectances(parameters, other_absorption), OPTIONS[camera], seed)


def unusual(test: Arrays, found: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """Return band values (n, 8) of each scenario, made of held-out tissues and their spectra."""
    parameters = {name: value[:n] for name, value in test.items()}
    generator = np.random.default_rng(1)
    bloody = {f"v_hb{layer}": generator.uniform(0.1, 1.0, n).astype(np.float32) for layer in LAYERS}
    # Bilirubin-like: a band at 455 nm of 60 nm width at half maximum.
    bilirubin = 10.0 * 0.5 ** ((WAVELENGTHS - 455.0) / 30.0) ** 2
    lamps = [
        WAVELENGTHS**-5.0 / np.expm1(1.438777e7 / (WAVELENGTHS * t)) for t in (_HALOGEN, _DAYLIGHT)
    ]
    ratio = lamps[0] / lamps[1]
    lit = found[:n] * (ratio / ratio.max()).astype(np.float32)
    usual = measured(found[:n], OPTIONS["8"], 41)
    swapped = usual[:, [0, 1, 2, 3, 4, 6, 5, 7]]
    # Filters seen obliquely, or a grating out of place: all bands 10 nm too far to the red.
    shifted = np.stack([np.interp(WAVELENGTHS + 10.0, WAVELENGTHS, row) for row in found[:n]])
    return {
        "blood fraction above 0.1": simulated(parameters | bloody, "8", 42),
        "bilirubin, 10/cm": simulated(parameters, "8", 43, bilirubin),
        "light of 3200 K taken for 5500 K": measured(lit, OPTIONS["8"], 44),
        "filters of 600 and 660 nm swapped": swapped,
        "bands 10 nm too far to the red": measured(shifted.astype(np.float32), OPTIONS["8"], 45),
    }


def image(side: int) -> Arrays:
    """Return parameters (side * side,) of an image: smooth tissue, ischaemic region, vessels.

    The image is synthetic.
    """
    generator = np.random.default_rng(3)
    across, down = np.meshgrid(np.linspace(-1.0, 1.0, side), np.linspace(-1.0, 1.0, side))

    def field(low: float, high: float) -> np.ndarray:
        smooth = gaussian_filter(generator.standard_normal((side, side)), side / 12.0, mode="wrap")
        smooth = (smooth - smooth.min()) / np.ptp(smooth)
        return low + (high - low) * smooth

    ranges = {"v_hb": (0.02, 0.06), "a_mie": (12.0, 26.0), "g": (0.84, 0.92)}
    depths = {"d1": (700.0, 900.0), "d2": (500.0, 750.0), "d3": (430.0, 570.0)}
    values = {
        name: field(*(ranges.get(name[:-1]) or depths[name])) for name in NAMES if name != "s_O2"
    }
    ischaemic = 1.0 / (1.0 + np.exp(((across - 0.25) ** 2 + (down + 0.1) ** 2 - 0.25) / 0.03))
    values["s_O2"] = field(0.70, 0.85) - 0.5 * ischaemic
    for shift, slope in ((-0.5, 0.4), (0.3, -0.7)):
        vessel = np.exp(
            -(((down - shift - slope * across - 0.08 * np.sin(7.0 * across)) / 0.03) ** 2)
        )
        values["v_hb1"] = values["v_hb1"] + (0.095 - values["v_hb1"]) * vessel
    return {name: values[name].ravel().astype(np.float32) for name in NAMES}
