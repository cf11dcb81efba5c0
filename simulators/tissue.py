"""Multispectral tissue: oxygenation, blood, scattering of three colon layers, by a few-band camera.

Thirteen parameters: the oxygenation s_O2, which all layers share, and for each layer the volume
fraction of blood v_hb, the reduced scattering at 500 nm a_mie, the anisotropy g and the thickness
d. Layer 1 faces the camera: muscle, submucosa and mucosa, as a laparoscope sees the colon.
Absorption is haemoglobin's alone, scattering is Mie's:

    mu_a(l) = ln(10) c_hb / 64500 v_hb (s_O2 eps_HbO2(l) + (1 - s_O2) eps_Hb(l))
    mu_s(l) = a_mie (l / 500 nm)^-1.286 / (1 - g)

with c_hb = 120 g of haemoglobin per litre of blood and the molar extinctions eps. Light transport
turns them into the diffuse reflectance at each wavelength, by adding-doubling
(:mod:`simulators.adding_doubling`) or by photons (``engine="monte-carlo"``); the camera averages it
over its bands, adds noise and normalises (:mod:`simulators.tissue_camera`). Normalisation by the
sum over bands removes the unknown distance of the camera.

Sources: S. J. Wirkert et al. (2016), Robust near real-time estimation of physiological parameters
from megapixel multispectral images, IJCARS 11:909, and its code, for priors, optics and noise; L.
Ardizzone et al. (2019), Analyzing inverse problems with invertible neural networks, ICLR, for the
question; extinctions compiled by S. Prahl.

    >>> data = tissue.sample(4, seed=1)
    >>> data["s_O2"].shape, data["bands"].shape
    ((4,), (4, 8))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_choice, check_number

from .adding_doubling import DOUBLINGS, reflectance
from .tissue_camera import (
    CAMERAS,
    NORMALISATIONS,
    TEMPERATURES,
    Bands,
    bands,
    log_density,
    noise_sd,
    normalise,
)

tfd = tfp.distributions

LAYERS = (1, 2, 3)
INDICES = (1.36, 1.36, 1.38)
"""Refractive index of each layer."""
THICKNESSES = ((600.0, 1010.0), (415.0, 847.0), (395.0, 603.0))
"""Range of each layer's thickness, in micrometres."""
MIE_POWER = 1.286
MOLAR_MASS = 64_500.0
# A mucosa of this thickness, in cm, lets nothing through; it takes eight more doublings.
_SEMI_INFINITE = 20.0
_MORE_DOUBLINGS = 8
_EXTINCTIONS = pd.read_csv(Path(__file__).parent / "data" / "tissue_haemoglobin.csv")

PER_LAYER = ("v_hb", "a_mie", "g", "d")
NAMES = ("s_O2", *(f"{name}{layer}" for layer in LAYERS for name in PER_LAYER))
LABELS = {"s_O2": "$s_{O_2}$"}
for _layer in LAYERS:
    LABELS |= {
        f"v_hb{_layer}": f"$v_{{Hb,{_layer}}}$",
        f"a_mie{_layer}": f"$a_{{Mie,{_layer}}}$",
        f"g{_layer}": f"$g_{{{_layer}}}$",
        f"d{_layer}": f"$d_{{{_layer}}}$",
    }
LABELS["bands"] = "normalised band values"
UNITS = {
    f"{name}{layer}": unit for layer in LAYERS for name, unit in (("a_mie", "1/cm"), ("d", "µm"))
}
UNITS["wavelength"] = "nm"

# Golden values of the reference tissue (v_hb 0.05, a_mie 18.9, g 0.875, mean thicknesses) at s_O2 =
# 0.7, no noise.
_REFERENCE_L1 = (0.0727, 0.0830, 0.0810, 0.0418, 0.0456, 0.1491, 0.2592, 0.2676)


@dataclass(frozen=True)
class TissueOptions:
    """Options of the tissue model.

    Parameters
    ----------
    camera : "spectrocam8", "ideal27", "gauss_rgb3", "nikon_d5100", "filter700"
        Filter wheel of 8 bands, ideal camera of 27, or three colours: idealised or measured. The
        last is one measured filter of the first, whose single band no "l1" normalisation leaves.
    illumination : "flat", "halogen", "xenon"
    snr : float
        Signal-to-noise ratio of each band.
    photon_budget : bool
        Whether noise depends on the light that a band gets: in proportion to 1 / sqrt(width), it is
        larger in bands narrower than 20 nm and smaller in wider ones.
    normalisation : "none", "log", "l1", "l1_log", "l1_log_l2"
    engine : "adding-doubling" or "monte-carlo"
    photons : int, of the Monte Carlo engine for each tissue and wavelength
    bottom : "air" or "semi_infinite"
        Whether light that gets through is lost, or the third layer continues without end.
    clipped : bool
        Whether a_mie is normal and clipped at zero in the model, as published: 3 % of each layer's
        draws then don't scatter. By default its prior is truncated at 1/cm.
    c_hb : float, haemoglobin in blood in g/L
    step : float, distance of simulated wavelengths in nm
    """

    camera: str = "spectrocam8"
    illumination: str = "flat"
    snr: float = 10.0
    photon_budget: bool = False
    normalisation: str = "l1_log"
    engine: str = "adding-doubling"
    photons: int = 10_000
    bottom: str = "air"
    clipped: bool = False
    c_hb: float = 120.0
    step: float = 5.0

    def __post_init__(self) -> None:
        choices = {
            "camera": CAMERAS,
            "illumination": tuple(TEMPERATURES),
            "normalisation": NORMALISATIONS,
            "engine": ("adding-doubling", "monte-carlo"),
            "bottom": ("air", "semi_infinite"),
        }
        for name, known in choices.items():
            check_choice(f"Option {name!r} of the tissue model", getattr(self, name), known)
        if self.camera == "filter700" and self.normalisation.startswith("l1"):
            raise InputError(
                "Option 'normalisation' of the tissue model",
                expected="'none' or 'log' for a camera of one band",
                got=repr(self.normalisation),
                do="divided by its sum, a single band is always one",
            )
        for name in ("snr", "c_hb", "step"):
            check_number(f"Option {name!r} of the tissue model", getattr(self, name), above=0.0)

    @property
    def bands(self) -> Bands:
        """Bands of the camera, and the wavelengths that they need."""
        return bands(self.camera, self.illumination, self.step)


_DEFAULT = TissueOptions()


def absorption(
    wavelengths: np.ndarray, s_o2: tf.Tensor, v_hb: tf.Tensor, c_hb: float = 120.0
) -> tf.Tensor:
    """Compute blood's absorption in 1/cm, (..., w), at wavelengths (w,) in nm for parameters (...).

    Examples
    --------
    >>> print(absorption(np.array([500.0]), tf.constant(0.5), tf.constant(0.05)).numpy().round(3))
    [4.476]
    """
    known = _EXTINCTIONS["wavelength_nm"]
    scale = np.log(10.0) * c_hb / MOLAR_MASS
    oxygenated, deoxygenated = (
        tf.constant(scale * np.interp(wavelengths, known, _EXTINCTIONS[column]), s_o2.dtype)
        for column in ("hbo2_cm-1_per_M", "hb_cm-1_per_M")
    )
    s_o2 = s_o2[..., None]
    return v_hb[..., None] * (s_o2 * oxygenated + (1.0 - s_o2) * deoxygenated)


def reduced_scattering(
    wavelengths: np.ndarray, a_mie: tf.Tensor, a_ray: float = 0.0, mie_power: float = MIE_POWER
) -> tf.Tensor:
    """Compute the reduced scattering in 1/cm, (..., w), at wavelengths (w,) in nm.

    It is of Mie's and Rayleigh's kind.
    """
    relative = np.asarray(wavelengths) / 500.0
    mie, rayleigh = (tf.constant(relative**-power, a_mie.dtype) for power in (mie_power, 4.0))
    return a_mie[..., None] * mie + a_ray * rayleigh


def spectra(
    parameters: Mapping[str, tf.Tensor],
    wavelengths: np.ndarray,
    options: TissueOptions = _DEFAULT,
    seed: tf.Tensor | None = None,
    *,
    other_absorption: np.ndarray | float = 0.0,
) -> tf.Tensor:
    """Compute the diffuse reflectance (n, w) at wavelengths (w,) in nm, for parameters (n,).

    ``seed`` is for Monte Carlo. ``other_absorption`` in 1/cm, a number or (w,), is that of
    chromophores which the model lacks, equal in all layers.
    """
    by_layer = {
        name: tf.stack([parameters[f"{name}{layer}"] for layer in LAYERS], axis=-1)
        for name in PER_LAYER
    }
    v_hb, a_mie, g, d = by_layer.values()
    mu_a = absorption(wavelengths, parameters["s_O2"][:, None], v_hb, options.c_hb)
    mu_a += tf.constant(other_absorption, mu_a.dtype)
    mu_s = reduced_scattering(wavelengths, tf.maximum(a_mie, 0.0)) / (1.0 - g[..., None])
    d = d * 1e-4
    if options.bottom == "semi_infinite":
        lowest = tf.fill(tf.shape(d[:, 2:]), tf.constant(_SEMI_INFINITE, d.dtype))
        d = tf.concat([d[:, :2], lowest], axis=1)
    # Layers last.
    properties = (
        tf.transpose(mu_a, [0, 2, 1]),
        tf.transpose(mu_s, [0, 2, 1]),
        g[:, None],
        d[:, None],
    )
    if options.engine == "monte-carlo":
        from .tissue_mc import monte_carlo

        mu_a, mu_s, g, d = properties
        seed = seeds.tensor_seed(0, "simulations") if seed is None else seed
        return monte_carlo(
            mu_a, mu_s, g, INDICES, d, photons=options.photons, seed=seed, shown=False
        ).diffuse
    more = _MORE_DOUBLINGS if options.bottom == "semi_infinite" else 0
    return reflectance(*properties, INDICES, doublings=DOUBLINGS + more)[0]


def observe(
    reflected: tf.Tensor, options: TissueOptions = _DEFAULT, seed: tf.Tensor | None = None
) -> tf.Tensor:
    """Return band values (n, bands) for reflectances (n, w) at the camera's wavelengths.

    Without a seed, there is no noise.
    """
    camera = options.bands
    values = reflected @ tf.constant(camera.weights.T, reflected.dtype)
    if seed is not None:
        sd = tf.constant(noise_sd(camera, options.snr, options.photon_budget), values.dtype)
        values *= 1.0 + sd * tf.random.stateless_normal(tf.shape(values), seed, dtype=values.dtype)
    return normalise(values, options.normalisation)


def log_likelihood(
    parameters: Mapping[str, tf.Tensor],
    data: Mapping[str, tf.Tensor],
    options: TissueOptions = _DEFAULT,
) -> tf.Tensor:
    """Return the log density (n,) of "l1_log" band values (bands,), for parameters (n,).

    For :func:`bayesinn.refine`. Simulators don't declare it: each evaluation costs as much as a
    simulation. The brightness is integrated out (:func:`simulators.tissue_camera.log_density`).
    """
    camera = options.bands
    reflected = spectra(parameters, camera.wavelengths, options)
    means = reflected @ tf.constant(camera.weights.T, reflected.dtype)
    sd = noise_sd(camera, options.snr, options.photon_budget)
    return log_density(data["bands"][None], means, sd)[0]


def prior(clipped: bool = False) -> dict[str, tfd.Distribution]:
    """Return the prior of the 13 parameters, in the order of NAMES."""
    draws: dict[str, tfd.Distribution] = {"s_O2": tfd.Uniform(1e-4, 1.0)}
    for layer, (thinnest, thickest) in zip(LAYERS, THICKNESSES, strict=True):
        draws[f"v_hb{layer}"] = tfd.Uniform(1e-4, 0.1)
        draws[f"a_mie{layer}"] = (
            tfd.Normal(18.9, 10.2) if clipped else tfd.TruncatedNormal(18.9, 10.2, 1.0, 100.0)
        )
        draws[f"g{layer}"] = tfd.Uniform(0.80, 0.95)
        draws[f"d{layer}"] = tfd.Uniform(thinnest, thickest)
    return draws


def tissue_model(options: TissueOptions = _DEFAULT, *, name: str = "tissue_model") -> bi.Simulator:
    """Build a simulator of the tissue model.

    Parameters
    ----------
    options : TissueOptions
    name : str
        Name of the simulator. A saved posterior finds it if a module has the simulator as an
        attribute of this name.

    Returns
    -------
    Simulator
        With one observable, ``bands``, of shape (n, bands).

    Examples
    --------
    >>> tissue_model(TissueOptions(camera="ideal27")).observable_shapes
    {'bands': (27,)}
    """

    def function(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        transport, sensor = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        reflected = spectra(parameters, options.bands.wavelengths, options, transport)
        return {"bands": observe(reflected, options, sensor)}

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"Normalised band values of {len(options.bands.centres)} bands, for three layers of tissue."
    )
    is_reference = options == _DEFAULT
    return bi.simulator(
        prior=prior(options.clipped),
        name=name,
        labels=LABELS,
        units=UNITS,
        coordinates={"bands": {"wavelength": options.bands.centres}},
        observed={"bands": -np.log(_REFERENCE_L1)} if is_reference else None,
        recommended=bi.Recommended(summary=bi.summaries.MLP(32), passes=10),
    )(function)


tissue = tissue_model(name="tissue")

VARIANTS = {
    "tissue_27": TissueOptions(camera="ideal27"),
    "tissue_3": TissueOptions(camera="gauss_rgb3"),
}
"""Options of further models.

Each is an attribute of this module under its name, created on first access.
"""


def __getattr__(name: str) -> bi.Simulator:
    """Create a variant on first access."""
    if name not in VARIANTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = tissue_model(VARIANTS[name], name=name)
    return globals()[name]
