"""The masked network of autoregressive blocks: outputs for an element depend on those before it."""

import itertools
import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.subnet import DType, Perceptron
from bayesinn.core.dropout import Dropout
from bayesinn.core.products import product


class MaskedNetwork(keras.layers.Layer):
    """A perceptron that computes raw parameters of each element from those before it.

    The condition is a further input. Events have two or more elements. The last layer starts at
    zero, so that a new block starts as the identity.

    Inputs, hidden units and outputs have degrees, and the masks keep the connections along which
    degrees don't fall: element i has degree i, its parameters come from hidden units of a degree
    below i, and the condition has degree 0. Hidden units take all degrees in turn, from 0 if there
    is a condition, so that the first element can depend on it. See Germain et al. (2015), MADE:
    masked autoencoder for distribution estimation, arXiv:1502.03509.
    """

    def __init__(
        self,
        elements: int,
        parameters: int,
        recipe: Perceptron,
        condition: int = 0,
        dtype: DType = None,
    ) -> None:
        super().__init__(dtype=dtype)
        self.elements = elements
        self.parameters = parameters
        dropouts = [
            Dropout(recipe.dropout, dtype=dtype) for _ in recipe.hidden if recipe.dropout > 0
        ]
        # Nothing depends on the last element, so it isn't an input.
        inputs = np.array([*range(1, elements), *condition * [0]])
        lowest = 0 if condition else 1
        degrees = [
            inputs,
            *(lowest + np.arange(units) % (elements - lowest) for units in recipe.hidden),
        ]
        self.hidden_layers = [
            MaskedDense(after >= before[:, None], recipe.activation, dtype=dtype)
            for before, after in itertools.pairwise(degrees)
        ]
        outputs = np.repeat(np.arange(1, elements + 1), parameters)
        self.last_layer = MaskedDense(
            outputs > degrees[-1][:, None], initial_scale=0.0, dtype=dtype
        )
        self.dropouts = dropouts
        self.built = True

    def kept_units(self, rows: int | tf.Tensor) -> list[tf.Tensor]:
        """Draw dropout factors (rows, units) for each hidden layer; none without dropout.

        A factor of zero drops a unit. Outside of training, all factors are one.
        """
        layers = zip(self.dropouts, self.hidden_layers, strict=False)
        return [
            dropout(tf.ones((rows, layer.units), self.compute_dtype)) for dropout, layer in layers
        ]

    def call(
        self,
        features: tf.Tensor,
        kept: Sequence[tf.Tensor] | None = None,
        element: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Compute raw parameters (n, elements, parameters), or (n, 1, parameters) of ``element``.

        ``features`` (n, elements - 1 + condition) are all elements but the last, then the
        condition. With the same ``kept``, from :meth:`kept_units`, several passes see the same
        network.
        """
        kept = self.kept_units(tf.shape(features)[0]) if kept is None else kept
        for index, layer in enumerate(self.hidden_layers):
            features = layer(features) * kept[index] if kept else layer(features)
        if element is None:
            return tf.reshape(self.last_layer(features), (-1, self.elements, self.parameters))
        units = element * self.parameters + tf.range(self.parameters)
        return self.last_layer(features, units)[:, None]


@product
class MaskedDense(keras.layers.Layer):
    """A dense layer with the connections of a mask (inputs, units).

    Each unit starts with an output of variance one.
    """

    def __init__(
        self,
        mask: np.ndarray,
        activation: str | None = None,
        initial_scale: float = 1.0,
        dtype: DType = None,
    ) -> None:
        super().__init__(dtype=dtype)
        self.mask = mask
        self.units = mask.shape[1]
        self.activation = keras.activations.get(activation)
        uniform = keras.initializers.RandomUniform(-math.sqrt(3.0), math.sqrt(3.0))
        scales = initial_scale * mask / np.sqrt(np.maximum(mask.sum(axis=0), 1))
        self.kernel = self.add_weight(
            shape=mask.shape,
            initializer=lambda shape, dtype: uniform(shape, dtype) * tf.constant(scales, dtype),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs: tf.Tensor, units: tf.Tensor | None = None) -> tf.Tensor:
        """Compute all units (n, units) from inputs (n, inputs), or only the numbered ones."""
        kernel = tf.convert_to_tensor(self.kernel)
        bias = tf.convert_to_tensor(self.bias)
        mask = tf.constant(self.mask, kernel.dtype)
        if units is not None:
            kernel, mask, bias = (
                tf.gather(array, units, axis=-1) for array in (kernel, mask, bias)
            )
        return self.activation(tf.matmul(inputs, kernel * mask) + bias)
