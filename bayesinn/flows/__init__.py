"""Flows: conditional densities of vectors, most of them invertible networks with exact densities.

Complete flows, for ``AmortizedPosterior(flow=...)``; each takes its dimensions from the first data:

=========================  ==========================================================================================
:func:`coupling`           the usual choice: both directions in one pass; affine, or with
                           ``transform=Composed([Affine(), Spline()])`` for several modes, thin curves and sharp edges
:func:`autoregressive`     with that transform nearest to the exact density for its size; samples in a pass a parameter
:func:`hint`               nearly all parameters depend on each other within a block; both directions in one pass
:func:`residual`           smooth densities only; the inverse is computed by iteration, so that sampling is slow
=========================  ==========================================================================================

``paper_results/densities_2d`` has the measurements: gaps to exact entropies, training time and speed.

Parts, to build your own: an :class:`InvertibleFlow` has a bijection, from :mod:`bayesinn.bijections`, and a latent
distribution, :class:`Normal`, :class:`StudentT` or :class:`GaussianMixture`. The contracts are :class:`Flow` and
:class:`Latent`.
"""

from bayesinn.flows.flow import Flow
from bayesinn.flows.invertible import InvertibleFlow
from bayesinn.flows.latents import GaussianMixture, Latent, Normal, StudentT
from bayesinn.flows.recipes import autoregressive, coupling, hint, residual
from bayesinn.flows.split_latent import SplitLatentFlow, SplitLayout, SplitLosses

__all__ = [
    "Flow",
    "GaussianMixture",
    "InvertibleFlow",
    "Latent",
    "Normal",
    "SplitLatentFlow",
    "SplitLayout",
    "SplitLosses",
    "StudentT",
    "autoregressive",
    "coupling",
    "hint",
    "residual",
]
