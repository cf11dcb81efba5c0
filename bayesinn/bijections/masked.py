"""The masked network of autoregressive blocks: what it computes for an element depends on the elements before it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.subnet import HiddenLayers


class MaskedNetwork(keras.layers.Layer):
    """A perceptron that computes the raw parameters of each element from the elements before it and the condition.

    Inputs, hidden units and outputs have degrees, and the masks keep the connections along which degrees don't fall:
    element i has degree i, its parameters come from hidden units of a degree below i, and the condition has degree 0.
    Hidden units take all degrees in turn, from 0 if there is a condition, so that the first element can depend on it.
    The last layer starts at zero, so that a new block starts as the identity.

    Parameters
    ----------
    elements : number of elements that the transform acts on, 2 or more
    parameters : number of raw parameters of each element
    condition : number of elements of the condition, 0 without one
    hidden : HiddenLayers, each of at least ``elements`` units
    dtype : str or Keras dtype policy, optional

    References
    ----------
    Germain, Gregor, Murray and Larochelle (2015), MADE: masked autoencoder for distribution estimation,
    arXiv:1502.03509.
    """

    def __init__(
        self,
        elements: int,
        parameters: int,
        condition: int = 0,
        hidden: HiddenLayers = HiddenLayers(),
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(dtype=dtype)
        self.elements, self.parameters = elements, parameters
        # Nothing depends on the last element, so it isn't an input.
        features = np.array([*range(1, elements), *condition * [0]])
        lowest = 0 if condition else 1
        degrees = [features, *(lowest + np.arange(units) % (elements - lowest) for units in hidden.units)]
        self.hidden_layers = [
            MaskedDense(after >= before[:, None], hidden.activation, dtype=dtype)
            for before, after in itertools.pairwise(degrees)
        ]
        outputs = np.repeat(np.arange(1, elements + 1), parameters)
        self.last_layer = MaskedDense(outputs > degrees[-1][:, None], initial_scale=0.0, dtype=dtype)
        units = hidden.units if hidden.dropout > 0 else ()
        self.dropouts = [keras.layers.Dropout(hidden.dropout, dtype=dtype) for _ in units]
        for layer in (*self.hidden_layers, self.last_layer):
            layer.build()
        self.built = True

    def kept_units(self, rows: int | tf.Tensor) -> list[tf.Tensor]:
        """Draw factors (rows, units) for each hidden layer, which drop units in training; none without dropout.

        They are drawn apart from :meth:`call`, so that several passes can see the same network.
        """
        layers = zip(self.dropouts, self.hidden_layers, strict=False)
        return [dropout(tf.ones((rows, layer.units), self.compute_dtype)) for dropout, layer in layers]

    def call(
        self, features: tf.Tensor, kept: Sequence[tf.Tensor] | None = None, element: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Compute raw parameters (n, elements, parameters); with ``element``, (n, 1, parameters).

        Parameters
        ----------
        features : tensor (n, elements - 1 + condition), all elements but the last, then the condition
        kept : sequence of tensor (n, units), from :meth:`kept_units`; drawn anew if left out
        element : integer tensor (), the only element whose parameters are computed, counted from 0; all if left out
        """
        kept = self.kept_units(tf.shape(features)[0]) if kept is None else kept
        for index, layer in enumerate(self.hidden_layers):
            features = layer(features) * kept[index] if kept else layer(features)
        if element is None:
            return tf.reshape(self.last_layer(features), (-1, self.elements, self.parameters))
        units = element * self.parameters + tf.range(self.parameters)
        return self.last_layer(features, units)[:, None]


class MaskedDense(keras.layers.Layer):
    """A dense layer in which some connections are missing.

    Initial weights have a variance of one over the number of connections that a unit has.

    Parameters
    ----------
    mask : boolean array (inputs, units), True where there is a connection
    activation : str, any that Keras knows; none if left out
    initial_scale : factor of the initial weights
    dtype : str or Keras dtype policy, optional
    """

    def __init__(
        self,
        mask: np.ndarray,
        activation: str | None = None,
        initial_scale: float = 1.0,
        dtype: str | keras.DTypePolicy | None = None,
    ) -> None:
        super().__init__(dtype=dtype)
        self.mask = mask
        self.units = mask.shape[1]
        self.activation = keras.activations.get(activation)
        self.initial_scale = initial_scale

    def build(self, inputs_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights."""
        uniform = keras.initializers.RandomUniform(-math.sqrt(3.0), math.sqrt(3.0))
        scales = self.initial_scale * self.mask / np.sqrt(np.maximum(self.mask.sum(axis=0), 1))
        self.kernel = self.add_weight(
            shape=self.mask.shape,
            initializer=lambda shape, dtype: uniform(shape, dtype) * tf.constant(scales, dtype),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, inputs: tf.Tensor, units: tf.Tensor | None = None) -> tf.Tensor:
        """Compute all units (n, units) from inputs (n, inputs), or those whose numbers are given."""
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        mask = tf.constant(self.mask, kernel.dtype)
        if units is not None:
            kernel, mask, bias = (tf.gather(array, units, axis=-1) for array in (kernel, mask, bias))
        return self.activation(tf.matmul(inputs, kernel * mask) + bias)
