"""Hierarchical coupling: couplings inside the halves of a coupling, down to single elements."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from bayesinn.bijections.bijection import constant_log_det
from bayesinn.bijections.conditional_transform import ConditionalTransform, TransformBlock
from bayesinn.bijections.transforms import Transform
from bayesinn.core.validation import check_integer

# Deep inside, halved widths would leave too few units to read a condition with.
SMALLEST_WIDTH = 16


class Hierarchical(TransformBlock):
    """Split a vector into halves, do the same inside each half, then transform the second half given the first.

    Every element depends on all elements before it: the Jacobian is a dense lower triangular matrix, where that of a
    one-sided :class:`Coupling` has only one block below its diagonal. One affine block with linear networks already
    turns any Gaussian, given any linear condition, into the standard normal. The elements before the first split
    point, usually one element, have nothing before them; they are transformed given the condition alone, or by free
    weights if there is no condition. So is a vector of one element.

    Put the elements to be conditioned on first, and a trained block also answers conditional questions: keep their
    latent values and draw the others.

    Parameters
    ----------
    transform : Transform, optional
        Map of each element; chosen as in :class:`Coupling` if left out.
    hidden : sequence of int
        Units of the hidden layers in the network of the outermost split. Each level further in has half as many, but
        not fewer than 16.
    activation, dropout
        Hidden layers, as in :class:`Coupling`.
    levels : int, optional
        Number of splits inside one another; left out, until single elements remain. Splits of one level are computed
        together, so that only about log2(d) networks run one after another.

    References
    ----------
    Kruse, Detommaso, Köthe and Scheichl (2021), HINT: hierarchical invertible neural transport for density estimation
    and Bayesian inference, arXiv:1905.10687.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Hierarchical(hidden=(32,)).forward(tf.ones((10, 6)), condition=tf.ones((10, 5)))
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
        super().__init__(transform, hidden, activation, dropout)
        if levels is not None:
            check_integer("Hierarchical, argument 'levels'", levels, do="leave it out, or take 3 for many elements")
        self.levels = levels

    def build(self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None) -> None:
        super().build(event_shape, condition_shape)
        self.rounds = _rounds(_splits(0, self.dimension, self.levels))
        self.steps = [self._step(alike) for alike in self.rounds]

    def forward(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        log_det = constant_log_det(x)
        for alike, step in zip(self.rounds, self.steps, strict=True):
            x, term = _apply(step.forward, x, alike, condition)
            log_det += term
        return x, log_det

    def inverse(self, z: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        log_det = constant_log_det(z)
        for alike, step in zip(reversed(self.rounds), reversed(self.steps), strict=True):
            z, term = _apply(step.inverse, z, alike, condition)
            log_det += term
        return z, log_det

    def _step(self, alike: Sequence[Split]) -> ConditionalTransform:
        split = alike[0]
        units = [max(units >> split.level, min(units, SMALLEST_WIDTH)) for units in self.hidden]
        hidden = dataclasses.replace(self.hidden_layers, units=units)
        return self.conditional_transform(
            split.middle - split.start, split.stop - split.middle, hidden, groups=len(alike)
        )


@dataclasses.dataclass(frozen=True)
class Split:
    """A coupling: elements from ``start`` to ``middle`` are read, those from ``middle`` to ``stop`` transformed."""

    start: int
    middle: int
    stop: int
    level: int


def _splits(start: int, stop: int, levels: int | None, level: int = 0) -> list[Split]:
    """Return all splits of a range, from left to right at each level."""
    if stop - start == 1 or level == levels:
        # The first elements have nothing before them but the condition.
        return [Split(0, 0, stop, level=0)] if start == 0 else []
    middle = (start + stop) // 2
    inside = _splits(start, middle, levels, level + 1) + _splits(middle, stop, levels, level + 1)
    return [*inside, Split(start, middle, stop, level)]


def _rounds(splits: Sequence[Split]) -> tuple[tuple[Split, ...], ...]:
    """Group splits of one level and shape, which are computed at once: one or two groups to a level.

    Inner levels come first: a coupling reads halves that are already transformed.
    """
    rounds: dict[tuple[bool, int, int, int], list[Split]] = {}
    for split in splits:
        passive = split.middle - split.start
        rounds.setdefault((passive > 0, -split.level, passive, split.stop - split.middle), []).append(split)
    return tuple(tuple(rounds[shape]) for shape in sorted(rounds))


def _apply(
    direction: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    x: tf.Tensor,
    alike: Sequence[Split],
    condition: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    sizes, position = [], 0
    for split in alike:
        sizes += [split.start - position, split.middle - split.start, split.stop - split.middle]
        position = split.stop
    # Elements left alone, passive ones, active ones, and so on; at the end, those left alone.
    pieces = tf.split(x, [*sizes, x.shape[-1] - position], axis=-1)
    passive, active = pieces[1::3], pieces[2::3]
    if len(alike) == 1:
        pieces[2], log_det = direction(active[0], passive[0], condition)
    else:
        stacked, log_det = direction(tf.stack(active, axis=1), tf.stack(passive, axis=1), condition)
        pieces[2::3] = tf.unstack(stacked, axis=1)
    return tf.concat(pieces, axis=-1), log_det
