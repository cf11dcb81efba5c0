"""Weights of the losses, noise, and kernel scales of a split-latent network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from bayesinn.core.configuration import Registered
from bayesinn.core.errors import InputError


@dataclass(frozen=True)
class SplitLosses(Registered):
    """Weights, noise and kernels of :class:`SplitLatent`. All noise and scales are in standardised units.

    Parameters
    ----------
    fit : float
        Weight of L_y, the mean squared error of the observables' slots.
    latent : float
        Weight of L_z, the MMD between (latent, predicted observables) and (standard normal, observables). It has no
        gradient through the prediction, and makes the latent normal and independent of the observables.
    backward : float
        Weight of L_x, the MMD between parameters computed from observables and random latents, and the prior's.
    backward_start : float
        Half of the share of that weight at the start of training. The share grows exponentially and is whole before
        the end. With a poor fit the full weight would contract the latent.
    reconstruction : float
        Weight of L_rec, the mean squared error after the forward and, with a little noise, the backward direction.
    padding : float
        Weight of L_pad, the mean square of all padding in both directions. Without it the network hides information in
        the padding, which is missing in sampling.
    observable_noise : float
        Standard deviation of the noise on observables in the backward direction; with the likelihood objective, that of
        the predicted observables around the data.
    latent_noise : float
        Standard deviation of the noise on latents in L_rec.
    padding_noise : float
        Standard deviation of the padding.
    latent_scales, backward_scales : sequence of float
        Scales of the kernels in L_z and L_x; see :func:`bayesinn.flows.split_latent.mmd.mmd_loss`.
    neighbourhood : float, optional
        Compare the parameters in L_x only between rows with observables at about this distance: distributions given
        the observation instead of the prior alone.

    References
    ----------
    Ardizzone et al. (2019), Analyzing inverse problems with invertible neural networks, arXiv:1808.04730.

    Examples
    --------
    >>> SplitLosses(fit=20.0).fit
    20.0
    """

    fit: float = 10.0
    latent: float = 10.0
    backward: float = 10.0
    backward_start: float = 0.002
    reconstruction: float = 1.0
    padding: float = 10.0
    observable_noise: float = 0.02
    latent_noise: float = 0.02
    padding_noise: float = 0.01
    latent_scales: Sequence[float] = (0.2, 1.0, 3.0)
    backward_scales: Sequence[float] = (0.2, 1.0, 3.0)
    neighbourhood: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if field.name.endswith("_scales"):
                # A tuple, so that equal losses compare equal however they were written.
                object.__setattr__(self, name, tuple(value))
                _require(name, value, len(value) > 0 and min(value) > 0, "one or more positive numbers")
            elif name == "neighbourhood":
                _require(name, value, value is None or value > 0, "a positive number, or None")
            elif name == "backward_start":
                _require(name, value, 0 < value <= 0.5, "a number above 0, and 0.5 at most")
            elif name in ("observable_noise", "padding_noise"):
                _require(name, value, value > 0, "a positive number")
            else:
                _require(name, value, value >= 0, "zero or a positive number")


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise InputError(f"SplitLosses, argument {name!r}", expected=expected, got=repr(value), do=f"change {name!r}")
