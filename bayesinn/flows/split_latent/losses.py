"""Weights of the losses, noise, and kernel scales of a split-latent network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from bayesinn.core.configuration import Registered
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_number


@dataclass(frozen=True)
class SplitLosses(Registered):
    """Weights, noise and kernels of :class:`SplitLatent`.

    All noise and scales are in standardised units.

    Parameters
    ----------
    fit : float, weight of L_y, the mean squared error of the predicted observables
    latent : float
        Weight of L_z, the MMD between (latent, predicted observables) and (standard normal,
        observables). It makes the latent normal and independent of the observables, and has no
        gradient through the prediction.
    backward : float
        Weight of L_x, the MMD between the prior's parameters and those computed from observables
        and random latents.
    backward_start : float
        Half of the share of ``backward`` at the start of training. The share grows exponentially to
        one before the end. With a poor fit, the full weight would contract the latent.
    reconstruction : float
        Weight of L_rec, the mean squared error after both directions, with a little noise in
        between.
    padding : float
        Weight of L_pad, the mean square of all padding. Without it, padding would hold information
        that is missing when sampling.
    observable_noise : float
        Standard deviation of observables in the backward direction; for the "likelihood" objective,
        of predictions around the data.
    latent_noise, padding_noise : float, standard deviations of latents in L_rec, and of padding
    latent_scales, backward_scales : sequence of float
        Scales a of the kernels a^2 / (a^2 + d^2) in L_z and L_x.
    neighbourhood : float, optional
        Distance of observables within which L_x compares parameters: given the observation. By
        default it compares all rows.

    References
    ----------
    Ardizzone et al. (2019), Analyzing inverse problems with invertible neural networks,
    arXiv:1808.04730.

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
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            subject = f"SplitLosses, argument {name!r}"
            if name.endswith("_scales"):
                several = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
                if not several or len(value) == 0:
                    raise InputError(
                        subject,
                        expected="one or more positive numbers",
                        got=repr(value),
                        do="pass for example (0.2, 1.0, 3.0)",
                    )
                for scale in value:
                    check_number(f"{subject}, each", scale, above=0)
                # A tuple, so that equal losses compare equal, whether given as lists or tuples.
                object.__setattr__(self, name, tuple(value))
            elif name in ("observable_noise", "padding_noise", "backward_start"):
                check_number(
                    subject, value, above=0, most=0.5 if name == "backward_start" else math.inf
                )
            elif name == "neighbourhood":
                check_number(
                    subject, 1.0 if value is None else value, above=0, do="change it, or pass None"
                )
            else:
                check_number(subject, value, least=0)
