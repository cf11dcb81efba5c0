"""The networks inside blocks, which compute the raw parameters of transforms."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


class Subnet(keras.layers.Layer):
    """A multilayer perceptron from features to the raw parameters of a transform.

    The last layer starts at zero, so that a new block starts as the identity. With no features at all, the raw
    parameters are free weights, equal for all rows.

    Parameters
    ----------
    features : int
        Length of the input vectors; may be 0.
    elements : int
        How many elements the transform acts on.
    parameters : int
        Raw parameters per element.
    hidden : sequence of int
        Units of the hidden layers.
    activation : str
        Any Keras activation.
    dropout : float
        Share of hidden units dropped in training.
    dtype : str or Keras dtype policy, optional

    Examples
    --------
    >>> import tensorflow as tf
    >>> Subnet(features=3, elements=2, parameters=5)(tf.ones((10, 3))).shape
    TensorShape([10, 2, 5])
    """

    def __init__(
        self,
        features: int,
        elements: int,
        parameters: int,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        dropout: float = 0.0,
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(dtype=dtype)
        self.features = features
        self.elements = elements
        self.parameters = parameters
        self.network = _perceptron(hidden, elements * parameters, activation, dropout, dtype) if features else None

    def build(self, features_shape: Sequence[int | None]) -> None:
        """Make the weights."""
        if self.network is None:
            self.free = self.add_weight(
                shape=(1, self.elements, self.parameters), initializer="zeros", autocast=False, name="free"
            )
        else:
            self.network.build((None, self.features))

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Compute raw parameters.

        Parameters
        ----------
        features : tensor (n, features)

        Returns
        -------
        tensor (n, elements, parameters)
        """
        if self.network is None:
            shape = (tf.shape(features)[0], self.elements, self.parameters)
            return tf.broadcast_to(tf.convert_to_tensor(self.free), shape)
        return tf.reshape(self.network(features), (-1, self.elements, self.parameters))


def _perceptron(
    hidden: Sequence[int], outputs: int, activation: str, dropout: float, dtype: str | keras.DTypePolicy | None
) -> keras.Sequential:
    layers: list[keras.layers.Layer] = []
    for units in hidden:
        layers.append(keras.layers.Dense(units, activation=activation, dtype=dtype))
        if dropout > 0:
            layers.append(keras.layers.Dropout(dropout, dtype=dtype))
    layers.append(keras.layers.Dense(outputs, kernel_initializer="zeros", dtype=dtype))
    return keras.Sequential(layers)
