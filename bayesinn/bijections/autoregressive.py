"""Autoregressive blocks: transform each element given parameters computed from those before it."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import constant_log_det
from bayesinn.bijections.coupling import DType, Perceptron, TransformBlock
from bayesinn.bijections.transforms import Affine, Composed, Spline, Transform
from bayesinn.core.compilation import Dropout, product
from bayesinn.core.errors import InputError, check_choice


class MaskedNetwork(keras.layers.Layer):
    """A perceptron that computes raw parameters of each element from those before it.

    The condition is a further input; without one, events have two or more elements. An element is
    an input of ``width`` numbers. The last layer starts at zero, so that a new block starts as the
    identity. With ``direct``, a linear map of the inputs is added, which doesn't start at zero.

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
        width: int = 1,
        direct: bool = False,
    ) -> None:
        super().__init__(dtype=dtype)
        self.elements = elements
        self.parameters = parameters
        dropouts = [
            Dropout(recipe.dropout, dtype=dtype) for _ in recipe.hidden if recipe.dropout > 0
        ]
        # Nothing depends on the last element, so it isn't an input.
        inputs = np.array([*np.repeat(np.arange(1, elements), width), *condition * [0]])
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
        self.direct = MaskedDense(outputs > inputs[:, None], dtype=dtype) if direct else None
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

        ``features`` (n, (elements - 1) * width + condition) are all elements but the last, then the
        condition. With the same ``kept``, from :meth:`kept_units`, several passes see the same
        network.
        """
        kept = self.kept_units(tf.shape(features)[0]) if kept is None else kept
        inputs = features
        for index, layer in enumerate(self.hidden_layers):
            features = layer(features) * kept[index] if kept else layer(features)
        units = None
        elements = self.elements
        if element is not None:
            units = element * self.parameters + tf.range(self.parameters)
            elements = 1
        outputs = self.last_layer(features, units)
        if self.direct is not None:
            outputs += self.direct(inputs, units)
        return tf.reshape(outputs, (-1, elements, self.parameters))


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


class Autoregressive(TransformBlock):
    """Transform each element given those before it, in their order.

    A masked network computes the parameters of all elements in one pass, from a known vector. The
    other direction computes the elements one after another, with one pass for each. ``direction``
    is the fast one:

    - ``"density"``: :meth:`forward` takes one pass, :meth:`inverse` d passes (masked autoregressive
      flow, MAF), for training on simulations.
    - ``"sampling"``: the inverse of such a block (inverse autoregressive flow, IAF), for posteriors
      that are sampled far more often than they are trained. The transform runs from the latent
      space to the parameters: write ``Composed([Spline(), Affine()])`` in place of
      ``Composed([Affine(), Spline()])``.

    Both directions have exact log-determinants and gradients. One block is more expressive than a
    coupling; its slow direction takes d times as long. Mix the elements between blocks: what one
    block can express depends on their order.

    Parameters
    ----------
    transform, activation, dropout : as in :class:`Coupling`
    hidden : sequence of int, units of the hidden layers, each at least the number of elements
    direction : {"density", "sampling"}, the direction that takes one pass

    References
    ----------
    Papamakarios, Pavlakou and Murray (2017), Masked autoregressive flow for density estimation,
    arXiv:1705.07057.
    Kingma et al. (2016), Improving variational inference with inverse autoregressive flow,
    arXiv:1606.04934.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Autoregressive(hidden=(32,)).forward(
    ...     tf.ones((10, 3)), condition=tf.ones((10, 5))
    ... )
    >>> z.shape, log_det.shape
    (TensorShape([10, 3]), TensorShape([10]))
    """

    def __init__(
        self,
        transform: Transform | None = None,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        dropout: float = 0.0,
        direction: str = "density",
    ) -> None:
        super().__init__(transform)
        self.perceptron = Perceptron(hidden, activation, dropout)
        check_choice(
            "Autoregressive, argument 'direction'",
            direction,
            ("density", "sampling"),
            "choose the direction that takes one pass: 'density' to train on simulations",
        )
        if transform is not None and not transform.elementwise:
            raise InputError(
                "Autoregressive, argument 'transform'",
                expected="a transform that maps each element by itself",
                got=f"{transform!r}, which couples the elements that it transforms",
                do="use it in a Coupling, or take Affine() or Spline() here",
            )
        self.direction = direction

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        if self.dimension == 1:
            if self._given_transform is None and self.direction == "sampling":
                # The affine map is on the side of the parameters, which it moves to the knots of
                # the spline.
                self.transform = Composed([Spline(), Affine()])
            # A single element has none before it.
            self.given_condition = self.conditional_transform(0, 1, self.perceptron)
            return
        if min(self.perceptron.hidden, default=self.dimension) < self.dimension:
            raise InputError(
                "Autoregressive, argument 'hidden'",
                expected=f"layers of at least {self.dimension} units for vectors of "
                f"{self.dimension} elements",
                got=f"{self.perceptron.hidden!r}",
                do=f"use for example hidden=({2 * self.dimension}, {2 * self.dimension})",
            )
        sizes = self.dimension, self.transform.parameters_per_element
        self.network = MaskedNetwork(
            *sizes, self.perceptron, self.condition_dimension, self.dtype_policy
        )

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return (
            self._one_pass(x, condition)
            if self.direction == "density"
            else self._one_by_one(x, condition)
        )

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return (
            self._one_by_one(z, condition)
            if self.direction == "density"
            else self._one_pass(z, condition)
        )

    def _one_pass(
        self, known: tf.Tensor, condition: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if self.dimension == 1:
            return self.given_condition.forward(known, known[:, :0], condition)
        image, log_slope = self.transform.forward(known, self._raw(known, condition))
        return image, tf.reduce_sum(log_slope, axis=-1)

    def _one_by_one(
        self, image: tf.Tensor, condition: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if self.dimension == 1:
            return self.given_condition.inverse(image, image[:, :0], condition)
        # Dropout is drawn before the loop: all passes must see the same network.
        kept = self.network.kept_units(tf.shape(image)[0])

        def solve(
            i: tf.Tensor, known: tf.Tensor, log_det: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            raw = self._raw(known, condition, kept, i)
            element, log_slope = self.transform.inverse(tf.gather(image, [i], axis=1), raw)
            # Later elements stay zero: a large number behind a mask would be zero times infinity.
            return (
                i + 1,
                tf.where(tf.range(self.dimension) == i, element, known),
                log_det + log_slope[:, 0],
            )

        start = tf.constant(0), tf.zeros_like(image), constant_log_det(image)
        # XLA can differentiate a loop only if it knows how long it can get.
        limit = self.dimension
        _, known, log_det = tf.while_loop(
            lambda i, *_: i < limit, solve, start, maximum_iterations=limit
        )
        return known, log_det

    def _raw(self, known: tf.Tensor, condition: tf.Tensor | None, *options: Any) -> tf.Tensor:
        # Nothing depends on the last element.
        features = (
            known[:, :-1] if condition is None else tf.concat([known[:, :-1], condition], axis=-1)
        )
        # The network may compute in half precision; the transform never does.
        return tf.cast(self.network(features, *options), known.dtype)
