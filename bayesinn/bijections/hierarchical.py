"""Hierarchical coupling: couplings inside the halves of a coupling, down to single elements."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import Mapped, constant_log_det, in_turn
from bayesinn.bijections.conditional_transform import ConditionalTransform, TransformBlock
from bayesinn.bijections.subnet import Perceptron, Perceptrons
from bayesinn.bijections.transforms import Transform

# Fewest units: at inner levels, halved widths would be too few to read a condition.
SMALLEST_WIDTH = 16


class Hierarchical(TransformBlock):
    """Split a vector into halves, recursively; transform each second half given the first.

    Every element depends on all elements before it: the Jacobian is a dense lower triangular
    matrix, where that of a one-sided :class:`Coupling` has only one block below its diagonal. One
    affine block with linear networks already turns any Gaussian, given any linear condition, into
    the standard normal. The elements before the first split point, usually one element, have none
    before them: they depend on the condition alone, or on free weights without a condition. Splits
    of one level are computed together, so that only about log2(d) networks run one after another.

    A trained block also answers conditional questions: put the elements to be conditioned on first,
    keep their latent values and draw the others. See Kruse, Detommaso, Köthe and Scheichl (2021),
    HINT: hierarchical invertible neural transport for density estimation and Bayesian inference,
    arXiv:1905.10687.

    Parameters
    ----------
    transform, activation, dropout : as in :class:`Coupling`
    hidden : sequence of int
        Units of the hidden layers of the outermost split. Each inner level has half as many, but 16
        or more.
    levels : int, optional
        Number of nested splits; by default down to single elements.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Hierarchical(hidden=(32,)).forward(
    ...     tf.ones((10, 6)), condition=tf.ones((10, 5))
    ... )
    >>> z.shape, log_det.shape
    (TensorShape([10, 6]), TensorShape([10]))
    """

    def __init__(
        self,
        transform: Transform | None = None,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        dropout: float = 0.0,
        levels: int | None = None,
    ) -> None:
        super().__init__(transform)
        self.perceptron = Perceptron(hidden, activation, dropout)
        self.levels = levels

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        splits = sorted(_splits(0, self.dimension, self.levels), key=Split.order)
        # Splits of one level and shape are computed at once: one or two rounds to a level.
        self.rounds = tuple(tuple(alike) for _, alike in itertools.groupby(splits, Split.order))
        self.steps = [self._step(alike[0], len(alike)) for alike in self.rounds]

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        rounds = zip(self.steps, self.rounds, strict=True)
        maps = [partial(_apply, step.forward, alike, condition) for step, alike in rounds]
        return in_turn(maps, x, constant_log_det(x))

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        rounds = zip(reversed(self.steps), reversed(self.rounds), strict=True)
        maps = [partial(_apply, step.inverse, alike, condition) for step, alike in rounds]
        return in_turn(maps, z, constant_log_det(z))

    def _step(self, split: "Split", groups: int) -> ConditionalTransform:
        hidden = [
            max(units >> split.level, min(units, SMALLEST_WIDTH))
            for units in self.perceptron.hidden
        ]
        perceptrons = Perceptrons(
            hidden, self.perceptron.activation, self.perceptron.dropout, groups
        )
        return self.conditional_transform(split.passive, split.active, perceptrons, groups)


@dataclasses.dataclass(frozen=True)
class Split:
    """A coupling: read ``passive`` elements from ``start`` on, transform the next ``active``."""

    start: int
    passive: int
    active: int
    level: int

    @property
    def stop(self) -> int:
        return self.start + self.passive + self.active

    def order(self) -> tuple[bool, int, int, int]:
        """Return the key that sorts and groups splits: a coupling reads transformed halves."""
        return self.passive > 0, -self.level, self.passive, self.active


def _splits(start: int, stop: int, levels: int | None, level: int = 0) -> list[Split]:
    """Return all splits of a range, from left to right at each level."""
    if stop - start == 1 or level == levels:
        # The first elements have nothing before them but the condition.
        return [Split(0, passive=0, active=stop, level=0)] if start == 0 else []
    middle = (start + stop) // 2
    inside = _splits(start, middle, levels, level + 1) + _splits(middle, stop, levels, level + 1)
    return [*inside, Split(start, middle - start, stop - middle, level)]


def _apply(
    direction: Callable[..., Mapped],
    alike: Sequence[Split],
    condition: tf.Tensor | None,
    x: tf.Tensor,
) -> Mapped:
    edges = [
        edge for split in alike for edge in (split.start, split.start + split.passive, split.stop)
    ]
    # Elements left alone, passive ones, active ones, and so on; at the end, those left alone.
    pieces = tf.split(x, np.diff([0, *edges, x.shape[-1]]).tolist(), axis=-1)
    passive = pieces[1::3]
    active = pieces[2::3]
    if len(alike) == 1:
        pieces[2], log_det = direction(active[0], passive[0], condition)
    else:
        stacked, log_det = direction(tf.stack(active, axis=1), tf.stack(passive, axis=1), condition)
        pieces[2::3] = tf.unstack(stacked, axis=1)
    return tf.concat(pieces, axis=-1), log_det
