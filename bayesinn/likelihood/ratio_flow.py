"""The contrastive classifier of parameters and data, in the place of a flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_integer, check_number
from bayesinn.flows import Flow


class RatioFlow(Flow):
    """The log of p(data | parameters) / p(data), learned by classifying pairs (NRE-C).

    Among ``classes`` parameter vectors, the network finds the one that made the data, or that none
    did; the others come from other rows of the batch. Unlike other contrastive losses, the optimum
    is the ratio without a factor that depends on the data.

    Parameters
    ----------
    hidden : sequence of int, units of hidden layers
    classes : int, 2 or more
    odds : float, odds that one of the vectors made the data, against none
    activation : str, name of a Keras activation

    References
    ----------
    Miller, Weniger and Forre (2022), Contrastive Neural Ratio Estimation, arXiv:2210.06170.
    """

    nats = False
    rowwise = False
    density = None
    draws = False

    def __init__(
        self,
        hidden: Sequence[int] = (128, 128, 128),
        classes: int = 8,
        odds: float = 1.0,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.hidden = tuple(hidden)
        self.classes = check_integer("RatioFlow, argument 'classes'", classes, least=2)
        self.odds = check_number("RatioFlow, argument 'odds'", odds, above=0, do="pass 1.0")
        self.activation = activation

    def build(self, event_shape: Sequence[int], condition_shape: Any = None) -> None:
        layers = [keras.layers.Dense(units, self.activation) for units in self.hidden]
        self.network = keras.Sequential([*layers, keras.layers.Dense(1)])
        self.network.build((None, event_shape[0] + condition_shape[0]))
        super().build(event_shape, condition_shape)

    def log_ratio(self, x: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """Return log ratios (n,) of parameter vectors (n, d) and features (n, c)."""
        return self.network(tf.concat([x, condition], axis=-1))[:, 0]

    def loss(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        rows = x.shape[0]
        if rows is not None and rows <= self.classes and training:
            raise InputError(
                "Batch",
                expected=f"batches of more than {self.classes} rows, as {self!r} has classes",
                got=f"{rows} rows",
                do="pass a larger batch_size, or RatioFlow(classes=...)",
            )
        # Rows beside each other are independent; whole batches are evaluated at once.
        shifted = tf.concat([tf.roll(x, -shift, axis=0) for shift in range(self.classes + 1)], 0)
        repeated = tf.tile(condition, (self.classes + 1, 1))
        scores = tf.reshape(self.log_ratio(shifted, repeated), (self.classes + 1, -1))
        scores += np.float32(np.log(self.odds))
        # A small batch of validation has fewer other parameters than there are classes.
        others = tf.minimum(self.classes, tf.shape(x)[0] - 1)
        numbers = tf.range(self.classes + 1)[:, None]

        def evidence(chosen: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            none = tf.math.log(tf.cast(tf.maximum(count, 1), tf.float32))
            terms = tf.concat([tf.fill((1, tf.shape(x)[0]), none), chosen], axis=0)
            return none, tf.reduce_logsumexp(terms, axis=0)

        # Its own parameters are among the first classes, and not among the last.
        count = tf.minimum(self.classes, tf.shape(x)[0])
        known = tf.where(numbers[:-1] < count, scores[:-1], -np.inf)
        found = scores[0] - evidence(known, count)[1]
        unknown = tf.where(numbers[1:] <= others, scores[1:], -np.inf)
        none, total = evidence(unknown, others)
        refused = none - total
        share = 1.0 / (1.0 + self.odds)
        return -(1.0 - share) * found - share * refused
