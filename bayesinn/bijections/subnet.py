"""The perceptrons inside blocks, which compute the raw parameters of transforms."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from bayesinn.bijections.condition import SharedCondition
from bayesinn.core.dropout import Dropout

DType = str | keras.DTypePolicy | None


@dataclass(frozen=True)
class HiddenLayers:
    """The hidden layers of a network inside a block: units, activation, and dropout rate.

    The dropout rate is the share of units dropped in training.
    """

    units: Sequence[int] = (128, 128)
    activation: str = "silu"
    dropout: float = 0.0


def perceptron(
    features: int, outputs: int, hidden: HiddenLayers, dtype: DType, groups: int = 1
) -> keras.Sequential:
    """Make a multilayer perceptron with a last layer of zeros, or ``groups`` of them.

    The last layer starts at zero; groups are computed at once.
    """

    def dense(
        units: int, initializer: str | keras.Initializer, activation: str | None = None
    ) -> keras.layers.Layer:
        options = {"activation": activation, "kernel_initializer": initializer, "dtype": dtype}
        if groups == 1:
            return keras.layers.Dense(units, **options)
        return keras.layers.EinsumDense(
            "ngi,gio->ngo", output_shape=(groups, units), bias_axes="go", **options
        )

    layers: list[keras.layers.Layer] = []
    for inputs, units in itertools.pairwise((features, *hidden.units)):
        # Written out for groups, because Keras would count their axis among the inputs or outputs.
        limit = math.sqrt(6.0 / (inputs + units))
        glorot = (
            "glorot_uniform" if groups == 1 else keras.initializers.RandomUniform(-limit, limit)
        )
        layers.append(dense(units, glorot, hidden.activation))
        if hidden.dropout > 0:
            layers.append(Dropout(hidden.dropout, dtype=dtype))
    network = keras.Sequential([*layers, dense(outputs, "zeros")])
    network.build((None, groups, features) if groups > 1 else (None, features))
    return network


def shared_outputs(
    network: keras.Sequential, passive: tf.Tensor, condition: SharedCondition
) -> tf.Tensor:
    """Compute a perceptron's outputs (n, outputs); its first layer reads each condition once."""
    first, *others = network.layers
    tensors = map(tf.convert_to_tensor, (first.kernel, first.bias, condition.values, passive))
    kernel, bias, values, passive = (tf.cast(tensor, first.compute_dtype) for tensor in tensors)
    length = passive.shape[-1]
    shared = tf.matmul(values, kernel[length:]) + bias
    own = tf.reshape(tf.matmul(passive, kernel[:length]), (-1, condition.events, first.units))
    hidden = tf.reshape(first.activation(own + shared[:, None]), (-1, first.units))
    for layer in others:
        hidden = layer(hidden)
    return hidden
