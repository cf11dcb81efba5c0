"""Blocks in which networks compute the parameters of a transform."""

from __future__ import annotations

from collections.abc import Sequence

from bayesinn.bijections.bijection import Bijection
from bayesinn.bijections.conditional_transform import ConditionalTransform
from bayesinn.bijections.subnet import HiddenLayers
from bayesinn.bijections.transforms import Affine, Composed, Spline, Transform


class TransformBlock(Bijection):
    """Keep the arguments of such blocks, and choose the transform where none was given.

    Parameters
    ----------
    transform : Transform, optional
        Map of each element; :meth:`default_transform` if left out.
    hidden, activation, dropout
        Hidden layers of each network; see :class:`HiddenLayers`.

    Attributes
    ----------
    transform : Transform
        Known once the block is built: the default depends on the number of elements.
    """

    transform: Transform

    def __init__(self, transform: Transform | None, hidden: Sequence[int], activation: str, dropout: float) -> None:
        super().__init__()
        self._given_transform = transform
        self.hidden = tuple(hidden)
        self.hidden_layers = HiddenLayers(self.hidden, activation, dropout)

    def build(self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None) -> None:
        super().build(event_shape, condition_shape)
        self.transform = self._given_transform or self.default_transform()

    def default_transform(self) -> Transform:
        """Return the transform of a block that was given none."""
        # Affine maps of a single element could only ever give a Gaussian.
        return Affine() if self.dimension > 1 else Composed([Affine(), Spline()])

    def conditional_transform(
        self, passive: int, active: int, hidden: HiddenLayers | None = None, groups: int = 1
    ) -> ConditionalTransform:
        """Make a transform of ``active`` elements given ``passive`` ones; see :class:`ConditionalTransform`."""
        hidden = hidden or self.hidden_layers
        sizes = passive, active, self.condition_dimension
        return ConditionalTransform(self.transform, *sizes, hidden, self.dtype_policy, groups)
