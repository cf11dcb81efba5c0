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

    Inputs, hidden units and outputs have degrees, and the masks leave the connections along which degrees don't fall:
    element i has degree i, its parameters come from hidden units of a degree below i, and the condition has degree 0.
    Degrees of hidden units take turns, from 0 if there is a condition, which is how the first element depends on it.
    The last layer starts at zero, so that a new block starts as the identity.

    Parameters
    ----------
    elements : int
        How many elements the transform acts on, 2 or more.
    parameters : int
        Raw parameters per element.
    condition : int
        Length of the condition, 0 for none.
    hidden : HiddenLayers
        Each of at least ``elements`` units.
    dtype : str or Keras dtype policy, optional

    References
    ----------
    Germain, Gregor, Murray and Larochelle (2015), MADE: masked autoencoder for distribution estimation,
    arXiv:1502.03509.

    Examples
    --------
    >>> import tensorflow as tf
    >>> network = MaskedNetwork(elements=3, parameters=2, condition=4)
    >>> network(tf.ones((10, 2 + 4))).shape
    TensorShape([10, 3, 2])
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
        self.elements = elements
        self.parameters = parameters
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
        self.dropouts = []
        if hidden.dropout > 0:
            self.dropouts = [keras.layers.Dropout(hidden.dropout, dtype=dtype) for _ in hidden.units]

    def build(self, features_shape: Sequence[int | None]) -> None:
        """Make the weights."""
        for layer in [*self.hidden_layers, self.last_layer]:
            layer.build((None, len(layer.mask)))

    def kept_units(self, rows: int | tf.Tensor) -> list[tf.Tensor]:
        """Factors (rows, units) for each hidden layer, which drop units in training; none without dropout.

        Drawn apart from :meth:`call`, so that several passes can see the same network.
        """
        ones = [tf.ones((rows, layer.mask.shape[1]), self.compute_dtype) for layer in self.hidden_layers]
        return [dropout(one) for dropout, one in zip(self.dropouts, ones, strict=True)] if self.dropouts else []

    def call(
        self, features: tf.Tensor, kept: Sequence[tf.Tensor] | None = None, element: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Compute raw parameters.

        Parameters
        ----------
        features : tensor (n, elements - 1 + condition)
            All elements but the last, then the condition.
        kept : sequence of tensor (n, units), optional
            From :meth:`kept_units`; drawn anew if left out.
        element : integer tensor (), optional
            The only element to compute parameters of, counted from 0.

        Returns
        -------
        tensor (n, elements, parameters); with ``element`` (n, 1, parameters)
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

    Initial weights have a variance of one over the number of connections that a unit has, not that it could have.

    Parameters
    ----------
    mask : boolean array (inputs, units)
        True where there is a connection.
    activation : str, optional
        Any Keras activation.
    initial_scale : float
        Factor of the initial weights.
    dtype : str or Keras dtype policy, optional

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> layer = MaskedDense(np.array([[True, False], [True, True]]))
    >>> bool(layer(tf.constant([[5.0, 1.0]]))[0, 1] == layer(tf.constant([[7.0, 1.0]]))[0, 1])
    True
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
        self.activation = keras.activations.get(activation)
        self.initial_scale = initial_scale

    def build(self, inputs_shape: Sequence[int | None]) -> None:
        """Make the weights."""
        connections = np.maximum(self.mask.sum(axis=0), 1)
        uniform = keras.initializers.RandomUniform(-math.sqrt(3.0), math.sqrt(3.0))
        self.kernel = self.add_weight(
            shape=self.mask.shape,
            initializer=lambda shape, dtype: (
                uniform(shape, dtype) * tf.constant(self.initial_scale * self.mask / np.sqrt(connections), dtype)
            ),
            name="kernel",
        )
        self.bias = self.add_weight(shape=self.mask.shape[1:], initializer="zeros", name="bias")

    def call(self, inputs: tf.Tensor, units: tf.Tensor | None = None) -> tf.Tensor:
        """Compute units from inputs.

        Parameters
        ----------
        inputs : tensor (n, inputs)
        units : integer tensor (u,), optional
            The units to compute; all if left out.

        Returns
        -------
        tensor (n, u)
        """
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        mask = tf.constant(self.mask, kernel.dtype)
        if units is not None:
            kernel, mask, bias = (tf.gather(array, units, axis=-1) for array in (kernel, mask, bias))
        return self.activation(tf.matmul(inputs, kernel * mask) + bias)
