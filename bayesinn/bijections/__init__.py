"""Invertible maps with log-determinants: the parts of flows.

- Contract, for writing your own: :class:`Bijection`
- Blocks: :class:`Coupling`, :class:`Autoregressive`, :class:`Hierarchical`, :class:`Residual`
- Mixing: :class:`Permutation`, :class:`Orthogonal`, :class:`Householder`, :class:`LULinear`
- Scales: :class:`ActNorm`
- :class:`Chain` applies bijections one after another; with ``reversible=True`` it trains without
  storing activations.
- Images: :class:`Haar`, :class:`SpaceToDepth` and :class:`DCTPooling` trade pixels for channels;
  :class:`MultiScale` ends the levels of an image early; :class:`Reshape` makes images of vectors.
  Couplings, mixing and ActNorm act on channels; the channels of a vector are its elements.
- Networks inside couplings: :class:`Perceptron`, :class:`Convolutional`; contract :class:`Subnet`
- Transforms of single elements: :class:`Affine`, :class:`Spline`, :class:`Additive`,
  :class:`VolumePreserving`, :class:`Composed`; contract :class:`Transform`

Shapes everywhere: events x and z are (n, *event), where event is (d,) for vectors and (height,
width, channels) for images; conditions are (n, c) or None; log-determinants are (n,).

Bijections need full single precision. On recent GPUs TensorFlow by default rounds the factors of
matrix products to 10 bits (TensorFloat-32), which spoils inverses and log-determinants. Training,
sampling and densities switch that off; in your own code, use
:func:`bayesinn.core.compilation.full_precision`.
"""

import bayesinn.core.compilation  # noqa: F401
from bayesinn.bijections.autoregressive import Autoregressive as Autoregressive
from bayesinn.bijections.bijection import Bijection as Bijection
from bayesinn.bijections.chain import Chain as Chain
from bayesinn.bijections.coupling import (
    Convolutional as Convolutional,
    Coupling as Coupling,
    Hierarchical as Hierarchical,
    Perceptron as Perceptron,
    Subnet as Subnet,
)
from bayesinn.bijections.image import (
    DCTPooling as DCTPooling,
    Haar as Haar,
    MultiScale as MultiScale,
    Reshape as Reshape,
    SpaceToDepth as SpaceToDepth,
)
from bayesinn.bijections.mixing import (
    ActNorm as ActNorm,
    Householder as Householder,
    LULinear as LULinear,
    Orthogonal as Orthogonal,
    Permutation as Permutation,
)
from bayesinn.bijections.residual import Residual as Residual
from bayesinn.bijections.transforms import (
    Additive as Additive,
    Affine as Affine,
    Composed as Composed,
    Spline as Spline,
    Transform as Transform,
    VolumePreserving as VolumePreserving,
)
