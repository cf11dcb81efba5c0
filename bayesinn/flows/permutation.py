"""A fixed random permutation of the elements, so that the next coupling splits them differently."""

from __future__ import annotations

import random

import keras
import tensorflow as tf

from bayesinn.flows.bijection import Bijection


class Permutation(Bijection):
    """Reorder the elements by a random permutation that is drawn once and saved with the weights.

    The permutation is never the identity, which would leave a small vector unmixed half the time.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Permutation().forward(tf.constant([[1.0, 2.0]]))
    >>> z.numpy().tolist(), log_det.numpy().tolist()
    ([[2.0, 1.0]], [0.0])
    """

    def __init__(self) -> None:
        super().__init__()

    def build(self, dimension: int, condition_dimension: int) -> None:
        super().build(dimension, condition_dimension)
        order = list(range(dimension))
        while dimension > 1 and order == sorted(order):
            random.shuffle(order)
        self.order = self._fixed("order", order)
        self.inverse_order = self._fixed("inverse_order", sorted(range(dimension), key=order.__getitem__))

    def forward(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(x, tf.convert_to_tensor(self.order), axis=1), tf.zeros_like(x[:, 0])

    def inverse(self, z: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(z, tf.convert_to_tensor(self.inverse_order), axis=1), tf.zeros_like(z[:, 0])

    def _fixed(self, name: str, values: list[int]) -> keras.Variable:
        return self.add_weight(
            shape=(len(values),),
            initializer=lambda shape, dtype: tf.constant(values, dtype),
            dtype="int32",
            trainable=False,
            name=name,
        )
