"""Conditional normalising flows: invertible networks with exact densities.

- :func:`coupling`: a complete flow of coupling blocks, the usual choice.
- :class:`Flow`: a bijection and a latent distribution, with ``log_prob`` and ``sample``.
- Bijections: :class:`Chain`, :class:`Coupling`, :class:`ActNorm`, :class:`Orthogonal`, :class:`Permutation`;
  :class:`Bijection` is the contract, for writing another.
- What couplings do to each element: :class:`Affine`, :class:`Spline`, :class:`Composed`; contract :class:`Transform`.
- Latent distributions: :class:`Normal`, :class:`StudentT`; contract :class:`Latent`.
"""

from bayesinn.flows.actnorm import ActNorm
from bayesinn.flows.bijection import Bijection
from bayesinn.flows.chain import Chain
from bayesinn.flows.coupling_block import Coupling
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents import Latent, Normal, StudentT
from bayesinn.flows.orthogonal import Orthogonal
from bayesinn.flows.permutation import Permutation
from bayesinn.flows.recipes import coupling
from bayesinn.flows.transforms import Affine, Composed, Spline, Transform

__all__ = [
    "ActNorm",
    "Affine",
    "Bijection",
    "Chain",
    "Composed",
    "Coupling",
    "Flow",
    "Latent",
    "Normal",
    "Orthogonal",
    "Permutation",
    "Spline",
    "StudentT",
    "Transform",
    "coupling",
]
