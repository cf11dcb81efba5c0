"""Conditional normalising flows: invertible networks with exact densities.

Complete flows, for ``AmortizedPosterior(flow=...)``; each takes its dimensions from the first data it meets.

=========================  ==========================================================================================
:func:`coupling`           the usual choice: both directions in one pass; affine, or with
                           ``transform=Composed([Affine(), Spline()])`` for several modes, thin curves and sharp edges
:func:`autoregressive`     with that transform the nearest to the exact density for its size; sampling takes one pass
                           for each parameter
:func:`hint`               couplings inside couplings: every parameter depends on nearly every other within one block,
                           and both directions take one pass
:func:`residual`           smooth densities only; the inverse is found by iteration, so that sampling is slow
=========================  ==========================================================================================

``paper_results/densities_2d`` has the numbers behind this: gaps to exact entropies, training time and speed.

Their parts, to build one's own:

- :class:`Flow`: a bijection and a latent distribution, with ``log_prob`` and ``sample``.
- :class:`Bijection`, the contract, for writing another. Blocks: :class:`Coupling`, :class:`Autoregressive`,
  :class:`Hierarchical`, :class:`Residual`. Mixing: :class:`Permutation`, :class:`Orthogonal`, :class:`Householder`,
  :class:`LULinear`. Scales: :class:`ActNorm`; :class:`Standardise`, by an estimate in the condition. :class:`Chain`
  puts them one after another, ``Chain(..., reversible=True)`` trains without storing activations.
- What blocks do to each element: :class:`Affine`, :class:`Spline`, :class:`VolumePreserving`, :class:`Composed`;
  contract :class:`Transform`.
- Latent distributions: :class:`Normal`, :class:`StudentT`, :class:`GaussianMixture`; contract :class:`Latent`.
"""

from bayesinn.flows.actnorm import ActNorm
from bayesinn.flows.autoregressive_block import Autoregressive
from bayesinn.flows.bijection import Bijection
from bayesinn.flows.chain import Chain
from bayesinn.flows.coupling_block import Coupling
from bayesinn.flows.flow import Flow
from bayesinn.flows.hierarchical_block import Hierarchical
from bayesinn.flows.householder import Householder
from bayesinn.flows.latents import GaussianMixture, Latent, Normal, StudentT
from bayesinn.flows.lu import LULinear
from bayesinn.flows.orthogonal import Orthogonal
from bayesinn.flows.permutation import Permutation
from bayesinn.flows.recipes import autoregressive, coupling, hint, residual
from bayesinn.flows.residual_block import Residual
from bayesinn.flows.standardise import Standardise
from bayesinn.flows.transforms import Affine, Composed, Spline, Transform, VolumePreserving

__all__ = [
    "ActNorm",
    "Affine",
    "Autoregressive",
    "Bijection",
    "Chain",
    "Composed",
    "Coupling",
    "Flow",
    "GaussianMixture",
    "Hierarchical",
    "Householder",
    "LULinear",
    "Latent",
    "Normal",
    "Orthogonal",
    "Permutation",
    "Residual",
    "Spline",
    "Standardise",
    "StudentT",
    "Transform",
    "VolumePreserving",
    "autoregressive",
    "coupling",
    "hint",
    "residual",
]
