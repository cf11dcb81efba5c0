"""Invertible maps with log-determinants: the parts of flows.

- :class:`Bijection`, the contract, for writing another. Blocks: :class:`Coupling`,
  :class:`Autoregressive`, :class:`Hierarchical`, :class:`Residual`. Mixing: :class:`Permutation`,
  :class:`Orthogonal`, :class:`Householder`, :class:`LULinear`. Scales: :class:`ActNorm`.
  :class:`Chain` applies them one after another; with ``reversible=True`` it trains without storing
  activations.
- Transforms of single elements: :class:`Affine`, :class:`Spline`, :class:`VolumePreserving`,
  :class:`Composed`; contract :class:`Transform`.

Shapes everywhere: events x and z are (n, *event), where event is (d,) for vectors and (height,
width, channels) for images; conditions are (n, c) or None; log-determinants are (n,).

Bijections need full single precision. On recent GPUs TensorFlow by default rounds the factors of
matrix products to 10 bits (TensorFloat-32), which spoils inverses and log-determinants. Training,
sampling and densities switch that off; in your own code, use
:func:`bayesinn.core.precision.full_precision`.
"""

import bayesinn.core.environment  # noqa: F401
from bayesinn.bijections.actnorm import ActNorm as ActNorm
from bayesinn.bijections.autoregressive import Autoregressive as Autoregressive
from bayesinn.bijections.bijection import Bijection as Bijection
from bayesinn.bijections.chain import Chain as Chain
from bayesinn.bijections.coupling import Coupling as Coupling
from bayesinn.bijections.hierarchical import Hierarchical as Hierarchical
from bayesinn.bijections.householder import Householder as Householder
from bayesinn.bijections.lu import LULinear as LULinear
from bayesinn.bijections.orthogonal import Orthogonal as Orthogonal
from bayesinn.bijections.permutation import Permutation as Permutation
from bayesinn.bijections.residual.residual import Residual as Residual
from bayesinn.bijections.transforms import (
    Affine as Affine,
    Composed as Composed,
    Spline as Spline,
    Transform as Transform,
    VolumePreserving as VolumePreserving,
)
