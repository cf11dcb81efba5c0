"""Bijections one after another."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from bayesinn.errors import InputError
from bayesinn.flows.bijection import Bijection


class Chain(Bijection):
    """Apply bijections in the order given; log-determinants add.

    Parameters
    ----------
    bijections : sequence of Bijection
        Each an object of its own: a chain doesn't share weights between its links.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.flows import ActNorm, Coupling, Permutation
    >>> chain = Chain([ActNorm(), Permutation(), Coupling(), ActNorm(), Permutation(), Coupling()])
    >>> chain
    Chain(2 * [ActNorm(), Permutation(), Coupling()])
    >>> z, log_det = chain.forward(tf.ones((10, 3)))
    >>> z.shape
    TensorShape([10, 3])
    """

    def __init__(self, bijections: Sequence[Bijection]) -> None:
        super().__init__()
        distinct = len({id(bijection) for bijection in bijections})
        if not all(isinstance(bijection, Bijection) for bijection in bijections) or distinct != len(bijections):
            raise InputError(
                "Chain, argument 'bijections'",
                expected="bijections, each an object of its own",
                got=f"{bijections!r}",
                do="make each one anew: Chain([Coupling() for _ in range(6)]), not 6 * [Coupling()]",
            )
        self.bijections = list(bijections)

    def build(self, dimension: int, condition_dimension: int) -> None:
        super().build(dimension, condition_dimension)
        for bijection in self.bijections:
            bijection.build(dimension, condition_dimension)

    def forward(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        log_det = tf.zeros_like(x[:, 0])
        for bijection in self.bijections:
            x, term = bijection.forward(x, condition)
            log_det += term
        return x, log_det

    def inverse(self, z: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        log_det = tf.zeros_like(z[:, 0])
        for bijection in reversed(self.bijections):
            z, term = bijection.inverse(z, condition)
            log_det += term
        return z, log_det

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        # Link by link, because each sees what the links before it, already set, make of the data.
        for bijection in self.bijections:
            bijection.initialize(x, condition)
            x, _ = bijection.forward(x, condition)

    def __repr__(self) -> str:
        links = [repr(bijection) for bijection in self.bijections]
        for length in range(1, len(links) // 2 + 1):
            repeats = len(links) // length
            if links == repeats * links[:length]:
                return f"Chain({repeats} * [{', '.join(links[:length])}])"
        return f"Chain([{', '.join(links)}])"
