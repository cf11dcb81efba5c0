"""Flows: conditional distributions of events, most from invertible networks with exact densities.

Complete flows for ``AmortizedPosterior(flow=...)``; each takes its dimensions from the first data:

=========================  =====================================================================
:func:`coupling`           the usual choice: both directions in one pass; affine, or with
                           ``transform=Composed([Affine(), Spline()])`` for several modes, thin
                           curves and sharp edges
:func:`autoregressive`     with that transform nearest to the exact density for its size; sampling
                           takes one pass for each parameter
:func:`hint`               nearly all parameters depend on each other within a block; both
                           directions in one pass
:func:`residual`           smooth densities only; the inverse is computed by iteration, so that
                           sampling is slow
:func:`image`              images (height, width, channels): convolutions at several resolutions
=========================  =====================================================================

``paper_results/densities_2d`` has measurements: gaps to exact entropies, training time and speed.

Densities of images are compared in bits per dimension: :func:`bits_per_dimension`, with
:func:`dequantise`.

Flows without invertible layers:

=========================  =====================================================================
:class:`FlowMatching`      several modes, many parameters; a draw takes 16 calls of the network,
                           a density hundreds
:class:`Diffusion`         the same, learned by removing noise of all levels
:class:`Consistency`       draws in one or a few calls; no density
:class:`MixtureDensity`    a mixture of Gaussians; few parameters; exact density
=========================  =====================================================================

The first three accept your own :class:`TimeNetwork` in place of :class:`ResidualMLP`.

Parts, to build your own: an :class:`InvertibleFlow` has a bijection from :mod:`bayesinn.bijections`
and a latent distribution, :class:`Normal`, :class:`StudentT` or :class:`GaussianMixture`.
:class:`Framed` is a flow around a location that a summary computes, :class:`Categorical` one with
integers of few values beside what another flow has, and :class:`Path` one with parameters that are
series. The contracts are :class:`Flow` and :class:`Latent`.
"""

import bayesinn.core.compilation  # noqa: F401
from bayesinn.flows.categorical import Categorical as Categorical
from bayesinn.flows.flow import Flow as Flow
from bayesinn.flows.invertible import Framed as Framed, InvertibleFlow as InvertibleFlow
from bayesinn.flows.latents import (
    GaussianMixture as GaussianMixture,
    Latent as Latent,
    Normal as Normal,
    StudentT as StudentT,
)
from bayesinn.flows.matching import (
    Consistency as Consistency,
    Diffusion as Diffusion,
    FlowMatching as FlowMatching,
    ResidualMLP as ResidualMLP,
    TimeNetwork as TimeNetwork,
)
from bayesinn.flows.mixture_density import MixtureDensity as MixtureDensity
from bayesinn.flows.path import Path as Path
from bayesinn.flows.pixels import (
    bits_per_dimension as bits_per_dimension,
    dequantise as dequantise,
)
from bayesinn.flows.recipes import (
    autoregressive as autoregressive,
    coupling as coupling,
    hint as hint,
    image as image,
    residual as residual,
)
from bayesinn.flows.split_latent import (
    SplitLatentFlow as SplitLatentFlow,
    SplitLayout as SplitLayout,
    SplitLosses as SplitLosses,
)
