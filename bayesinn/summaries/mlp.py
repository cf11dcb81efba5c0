"""A multilayer perceptron, for vectors of features."""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from bayesinn.summaries.summary import Summary


class MLP(Summary):
    """Compress many features, whose order has a meaning but no structure, into a few.

    Examples
    --------
    >>> import tensorflow as tf
    >>> MLP(units=16)(tf.ones((10, 200))).shape
    TensorShape([10, 16])
    """

    masks = False

    def __init__(
        self, units: int = 32, hidden: Sequence[int] = (128, 128), activation: str = "silu"
    ) -> None:
        super().__init__()
        layers = [keras.layers.Dense(count, activation=activation) for count in hidden]
        self.network = keras.Sequential([*layers, keras.layers.Dense(units)])

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return self.network(tf.reshape(x, (-1, math.prod(x.shape[1:]))))
