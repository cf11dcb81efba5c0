"""The networks inside blocks, which compute the raw parameters of transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import SharedCondition


@dataclass(frozen=True)
class HiddenLayers:
    """The hidden layers of a network inside a block.

    Parameters
    ----------
    units : sequence of int
        Of each layer.
    activation : str
        Any that Keras knows.
    dropout : float
        Share of units dropped in training.
    """

    units: Sequence[int] = (128, 128)
    activation: str = "silu"
    dropout: float = 0.0


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
    hidden : HiddenLayers
    dtype : str or Keras dtype policy, optional
    groups : int
        How many networks of one shape, each with weights of its own, are computed at once.

    Examples
    --------
    >>> import tensorflow as tf
    >>> Subnet(features=3, elements=2, parameters=5)(tf.ones((10, 3))).shape
    TensorShape([10, 2, 5])
    >>> Subnet(features=3, elements=2, parameters=5, groups=4)(tf.ones((10, 4, 3))).shape
    TensorShape([10, 4, 2, 5])
    """

    def __init__(
        self,
        features: int,
        elements: int,
        parameters: int,
        hidden: HiddenLayers = HiddenLayers(),
        dtype: str | keras.DTypePolicy | None = None,
        groups: int = 1,
    ) -> None:
        super().__init__(dtype=dtype)
        self.features = features
        # Without groups, tensors have no axis for them.
        self.groups = (groups,) if groups > 1 else ()
        self.output_tail = (*self.groups, elements, parameters)
        self.network = None
        if features:
            self.network = _perceptron(features, hidden, elements * parameters, dtype, groups)

    def build(self, features_shape: Sequence[int | None]) -> None:
        """Make the weights."""
        if self.network is None:
            self.free = self.add_weight(shape=(1, *self.output_tail), initializer="zeros", autocast=False, name="free")
        else:
            self.network.build((None, *self.groups, self.features))

    def call(self, passive: tf.Tensor, condition: tf.Tensor | SharedCondition | None = None) -> tf.Tensor:
        """Compute raw parameters.

        Parameters
        ----------
        passive : tensor (n, p); with groups (n, groups, p)
        condition : tensor (n, features - p), the same for all groups; SharedCondition, without groups; or None

        Returns
        -------
        tensor (n, elements, parameters); with groups (n, groups, elements, parameters)
        """
        if self.network is None:
            return tf.broadcast_to(tf.convert_to_tensor(self.free), (tf.shape(passive)[0], *self.output_tail))
        if isinstance(condition, SharedCondition):
            outputs = _outputs(self.network, passive, condition)
        elif condition is None:
            outputs = self.network(passive)
        else:
            if self.groups:
                condition = tf.repeat(condition[:, None], self.groups[0], axis=1)
            outputs = self.network(tf.concat([passive, condition], axis=-1))
        return tf.reshape(outputs, (-1, *self.output_tail))


def _outputs(network: keras.Sequential, passive: tf.Tensor, condition: SharedCondition) -> tf.Tensor:
    """Compute the outputs (n, outputs) of a network; its first layer reads each condition once."""
    first, *others = network.layers
    kernel, bias, values, passive = (
        tf.cast(tf.convert_to_tensor(tensor), first.compute_dtype)
        for tensor in (first.kernel, first.bias, condition.values, passive)
    )
    length = passive.shape[-1]
    shared = tf.matmul(values, kernel[length:]) + bias
    own = tf.reshape(tf.matmul(passive, kernel[:length]), (-1, condition.events, first.units))
    hidden = tf.reshape(first.activation(own + shared[:, None]), (-1, first.units))
    for layer in others:
        hidden = layer(hidden)
    return hidden


def _perceptron(
    features: int, hidden: HiddenLayers, outputs: int, dtype: str | keras.DTypePolicy | None, groups: int
) -> keras.Sequential:
    layers: list[keras.layers.Layer] = []
    for inputs, units in zip((features, *hidden.units), hidden.units, strict=False):
        layers.append(_dense(inputs, units, hidden.activation, dtype, groups))
        if hidden.dropout > 0:
            layers.append(keras.layers.Dropout(hidden.dropout, dtype=dtype))
    layers.append(_dense(0, outputs, None, dtype, groups))
    return keras.Sequential(layers)


def _dense(
    inputs: int, units: int, activation: str | None, dtype: str | keras.DTypePolicy | None, groups: int
) -> keras.layers.Layer:
    """A dense layer, of ``groups`` side by side; without ``inputs``, one that starts at zero."""
    if groups == 1:
        initializer = "glorot_uniform" if inputs else "zeros"
        return keras.layers.Dense(units, activation=activation, kernel_initializer=initializer, dtype=dtype)
    # Written out, because Keras would count the axis of groups among the inputs or outputs.
    limit = math.sqrt(6.0 / (inputs + units))
    return keras.layers.EinsumDense(
        "ngi,gio->ngo",
        output_shape=(groups, units),
        bias_axes="go",
        activation=activation,
        kernel_initializer=keras.initializers.RandomUniform(-limit, limit) if inputs else "zeros",
        dtype=dtype,
    )
