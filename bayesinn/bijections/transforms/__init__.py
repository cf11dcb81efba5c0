"""Elementwise transforms: what a coupling or an autoregressive block does to each element."""

from bayesinn.bijections.transforms.affine import Affine
from bayesinn.bijections.transforms.composed import Composed
from bayesinn.bijections.transforms.spline import Spline
from bayesinn.bijections.transforms.transform import Transform
from bayesinn.bijections.transforms.volume_preserving import VolumePreserving

__all__ = ["Affine", "Composed", "Spline", "Transform", "VolumePreserving"]
