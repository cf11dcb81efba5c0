"""Elementwise transforms: what a coupling or an autoregressive block does to each element."""

from bayesinn.bijections.transforms.additive import Additive as Additive
from bayesinn.bijections.transforms.affine import Affine as Affine
from bayesinn.bijections.transforms.composed import Composed as Composed
from bayesinn.bijections.transforms.spline import Spline as Spline
from bayesinn.bijections.transforms.transform import Transform as Transform
from bayesinn.bijections.transforms.volume_preserving import VolumePreserving as VolumePreserving
