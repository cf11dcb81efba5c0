"""Several transforms, one after another, with one vector of raw parameters."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import tensorflow as tf

from bayesinn.bijections.bijection import in_turn
from bayesinn.bijections.transforms.transform import Transform
from bayesinn.core.errors import InputError


@dataclasses.dataclass(frozen=True, repr=False)
class Composed(Transform):
    """Apply transforms in the order given.

    ``Composed([Affine(), Spline()])`` first moves an element to the location and scale of the
    spline's knots. This matters for narrow distributions that move with the condition.

    Examples
    --------
    >>> from bayesinn.bijections.transforms import Affine, Spline
    >>> Composed([Affine(), Spline(bins=8)]).parameters_per_element
    25
    """

    transforms: Sequence[Transform]

    def __post_init__(self) -> None:
        # A tuple, so that equal compositions compare equal, whether given lists or tuples.
        object.__setattr__(self, "transforms", tuple(self.transforms))
        if not self.transforms or not all(
            isinstance(transform, Transform) for transform in self.transforms
        ):
            raise InputError(
                "Composed, argument 'transforms'",
                expected="one or more transforms",
                got=repr(self.transforms),
                do="write for example Composed([Affine(), Spline()])",
            )
        for name in ("elementwise", "volume_preserving"):
            object.__setattr__(
                self, name, all(getattr(transform, name) for transform in self.transforms)
            )

    @property
    def parameters_per_element(self) -> int:
        return sum(transform.parameters_per_element for transform in self.transforms)

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps = [partial(transform.forward, raw=part) for transform, part in self._parts(raw)]
        return in_turn(maps, x, tf.zeros_like(x))

    def inverse(self, z: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps = [
            partial(transform.inverse, raw=part) for transform, part in reversed(self._parts(raw))
        ]
        return in_turn(maps, z, tf.zeros_like(z))

    def _parts(self, raw: tf.Tensor) -> list[tuple[Transform, tf.Tensor]]:
        """Return each transform with its raw parameters."""
        sizes = [transform.parameters_per_element for transform in self.transforms]
        return list(zip(self.transforms, tf.split(raw, sizes, axis=-1), strict=True))
