"""Elementwise transforms: what a coupling or an autoregressive block does to each element.

- :class:`Affine`: scale and shift.
- :class:`VolumePreserving`: scale and shift, with scales whose product is one; for couplings only.
- :class:`Spline`: a monotone rational-quadratic spline.
- :class:`Composed`: several of them, one after another.
- :class:`Transform`: the contract, for writing another.
"""

from bayesinn.bijections.transforms.affine import Affine
from bayesinn.bijections.transforms.composed import Composed
from bayesinn.bijections.transforms.spline import Spline
from bayesinn.bijections.transforms.transform import Transform
from bayesinn.bijections.transforms.volume_preserving import VolumePreserving

__all__ = ["Affine", "Composed", "Spline", "Transform", "VolumePreserving"]
