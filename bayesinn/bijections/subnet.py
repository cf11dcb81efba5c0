"""The perceptrons inside blocks, which compute the raw parameters of transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import SharedCondition


@dataclass(frozen=True)
class HiddenLayers:
    """The hidden layers of a network inside a block: units, activation, and the share of units dropped in training."""

    units: Sequence[int] = (128, 128)
    activation: str = "silu"
    dropout: float = 0.0


def perceptron(
    features: int, outputs: int, hidden: HiddenLayers, dtype: str | keras.DTypePolicy | None, groups: int = 1
) -> keras.Sequential:
    """Make a multilayer perceptron whose last layer starts at zero.

    With groups, it is that many networks of one shape, each with weights of its own, which are computed at once: from
    inputs (n, groups, features) to outputs (n, groups, outputs).
    """
    layers: list[keras.layers.Layer] = []
    for inputs, units in zip((features, *hidden.units), hidden.units, strict=False):
        layers.append(_dense(inputs, units, hidden.activation, dtype, groups))
        if hidden.dropout > 0:
            layers.append(keras.layers.Dropout(hidden.dropout, dtype=dtype))
    layers.append(_dense(0, outputs, None, dtype, groups))
    network = keras.Sequential(layers)
    network.build((None, groups, features) if groups > 1 else (None, features))
    return network


def shared_outputs(network: keras.Sequential, passive: tf.Tensor, condition: SharedCondition) -> tf.Tensor:
    """Compute the outputs (n, outputs) of a perceptron; its first layer reads each condition once."""
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


def _dense(
    inputs: int, units: int, activation: str | None, dtype: str | keras.DTypePolicy | None, groups: int
) -> keras.layers.Layer:
    """Make a dense layer, or ``groups`` of them; without ``inputs``, one that starts at zero."""
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
