"""What blocks have in common in which networks compute the parameters of a transform."""

from __future__ import annotations

from collections.abc import Sequence

from bayesinn.bijections.bijection import Bijection
from bayesinn.bijections.conditional_transform import default_transform
from bayesinn.bijections.subnet import HiddenLayers
from bayesinn.bijections.transforms import Transform


class TransformBlock(Bijection):
    """Keeps the arguments of such blocks, and chooses the transform where none was given.

    Parameters
    ----------
    transform : Transform, optional
        What is done to each element; :meth:`default_transform` if left out.
    hidden, activation, dropout
        The hidden layers of each network; see :class:`HiddenLayers`.

    Attributes
    ----------
    transform : Transform
        Known once the number of elements is, that is, when the block is built.
    """

    transform: Transform

    def __init__(self, transform: Transform | None, hidden: Sequence[int], activation: str, dropout: float) -> None:
        super().__init__()
        self._given_transform = transform
        self.hidden = tuple(hidden)
        self.activation = activation
        self.dropout = dropout

    def build(self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None) -> None:
        super().build(event_shape, condition_shape)
        self.transform = self._given_transform or self.default_transform()

    def default_transform(self) -> Transform:
        """The transform of a block that was given none."""
        return default_transform(self.dimension)

    @property
    def hidden_layers(self) -> HiddenLayers:
        """Those of the block's networks."""
        return HiddenLayers(self.hidden, self.activation, self.dropout)
