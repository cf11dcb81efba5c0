"""Networks inside couplings, which compute the raw parameters of transforms."""

import abc
import dataclasses
import inspect
import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import SharedCondition
from bayesinn.core.compilation import Dropout
from bayesinn.core.configuration import Recipe
from bayesinn.core.errors import check_arguments

DType = str | keras.DTypePolicy | None
#: A tensor, a :class:`SharedCondition`, or None. Tensors have no type that can be checked.
Condition = Any


class Subnet(Recipe, abc.ABC):
    """The recipe of a network inside a coupling: features in, raw parameters of a transform out.

    An author derives a frozen dataclass and writes :meth:`network`. Its fields are saved by name;
    every coupling makes its own networks. A new network should return zeros, so that the block
    starts as the identity.

    Examples
    --------
    >>> import dataclasses, keras, tensorflow as tf
    >>> from bayesinn.bijections import Coupling
    >>> @dataclasses.dataclass(frozen=True)
    ... class Linear(Subnet):
    ...     def network(self, features, outputs, dtype=None):
    ...         return keras.layers.Dense(outputs, kernel_initializer="zeros", dtype=dtype)
    >>> Coupling(subnet=Linear()).forward(tf.ones((10, 3)))[0].shape
    TensorShape([10, 3])
    """

    #: Whether XLA makes these networks faster on the CPU; see :class:`Bijection`.
    xla_pays: ClassVar[bool] = True

    @abc.abstractmethod
    def network(self, features: int, outputs: int, dtype: DType = None) -> keras.layers.Layer:
        """Make a layer (n, ..., features) -> (n, ..., outputs), where ... are the axes of pixels.

        For vectors, there are no such axes.
        """

    def evaluate(
        self, network: keras.layers.Layer, passive: tf.Tensor, condition: Condition
    ) -> tf.Tensor:
        """Return the outputs of a network for passive elements and conditions, side by side.

        A condition (n, c) is the same for all pixels of an image.
        """
        if isinstance(condition, SharedCondition):
            condition = tf.repeat(condition.values, condition.events, axis=0)
        if condition is None:
            return network(passive)
        if len(condition.shape) < len(passive.shape):
            ones = [1] * (len(passive.shape) - 2)
            condition = tf.reshape(condition, (-1, *ones, condition.shape[-1]))
            shape = tf.concat([tf.shape(passive)[:-1], tf.shape(condition)[-1:]], axis=0)
            condition = tf.broadcast_to(condition, shape)
        return network(tf.concat([passive, condition], axis=-1))


@dataclasses.dataclass(frozen=True, repr=False)
class Perceptron(Subnet):
    """A multilayer perceptron; in images, it acts on each pixel by itself.

    Parameters
    ----------
    hidden : sequence of int, units of the hidden layers
    activation : str, name of a Keras activation
    dropout : float, share of hidden units dropped in training

    Examples
    --------
    >>> from bayesinn.bijections import Coupling
    >>> Coupling(subnet=Perceptron(hidden=(32, 32)))
    Coupling(subnet=Perceptron(hidden=(32, 32)))
    """

    hidden: Sequence[int] = (128, 128)
    activation: str = "silu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        # Plain integers, which Keras wants, in a tuple: equal recipes compare equal, whether given
        # lists, arrays or tuples.
        object.__setattr__(self, "hidden", tuple(map(int, self.hidden)))

    def network(self, features: int, outputs: int, dtype: DType = None) -> keras.Sequential:
        """Make a perceptron whose last layer starts at zero."""
        return _perceptron(self, features, outputs, dtype, groups=1)

    def evaluate(
        self, network: keras.layers.Layer, passive: tf.Tensor, condition: Condition
    ) -> tf.Tensor:
        """Return the outputs; for vectors, the first layer reads a shared condition once."""
        if not isinstance(condition, SharedCondition) or len(passive.shape) > 2:
            return super().evaluate(network, passive, condition)
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


@dataclasses.dataclass(frozen=True, repr=False)
class Perceptrons(Perceptron):
    """Several perceptrons at once, one for each of ``groups`` of features (n, groups, features)."""

    groups: int = 1

    def network(self, features: int, outputs: int, dtype: DType = None) -> keras.Sequential:
        return _perceptron(self, features, outputs, dtype, self.groups)


def check_fields(recipe: Subnet) -> None:
    """Check the numbers, flags and activations of a recipe, as constructors of layers do."""
    kind = type(recipe)
    check_arguments(kind.__name__, inspect.signature(kind).parameters, vars(recipe))


def _perceptron(
    recipe: Perceptron, features: int, outputs: int, dtype: DType, groups: int
) -> keras.Sequential:
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
    for inputs, units in itertools.pairwise((features, *recipe.hidden)):
        # Written out for groups, because Keras would count their axis among the inputs or outputs.
        limit = math.sqrt(6.0 / (inputs + units))
        glorot = (
            "glorot_uniform" if groups == 1 else keras.initializers.RandomUniform(-limit, limit)
        )
        layers.append(dense(units, glorot, recipe.activation))
        if recipe.dropout > 0:
            layers.append(Dropout(recipe.dropout, dtype=dtype))
    return keras.Sequential([*layers, dense(outputs, "zeros")])


@dataclasses.dataclass(frozen=True, repr=False)
class Convolutional(Subnet):
    """Convolutions that keep the size of an image; the first and the last have a wide kernel.

    The layers in between see single pixels. The last layer starts at zero. See Kingma and Dhariwal
    (2018), Glow, arXiv:1807.03039.

    Parameters
    ----------
    filters : sequence of int, channels of the hidden layers
    kernel_size : int, side of the kernel of the first and the last layer, in pixels
    activation : str, name of a Keras activation
    dropout : float, share of hidden units dropped in training
    gated : bool
        Whether the first layer multiplies two convolutions, in place of the activation (Shazeer
        2020, GLU variants improve transformer, arXiv:2002.05202). It suits images in which one part
        scales another, as the brightness of a pixel scales its colours.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.bijections import Coupling
    >>> block = Coupling(subnet=Convolutional(filters=(32, 32)))
    >>> block.forward(tf.ones((10, 8, 8, 4)))[0].shape
    TensorShape([10, 8, 8, 4])
    """

    xla_pays: ClassVar[bool] = False

    filters: Sequence[int] = (64, 64)
    kernel_size: int = 3
    activation: str = "relu"
    dropout: float = 0.0
    gated: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        # Plain integers, which Keras wants.
        object.__setattr__(self, "filters", tuple(map(int, self.filters)))
        object.__setattr__(self, "kernel_size", int(self.kernel_size))

    def network(self, features: int, outputs: int, dtype: DType = None) -> keras.Sequential:
        """Make the network (n, height, width, features) -> (n, height, width, outputs)."""
        layers: list[keras.layers.Layer] = []
        kernel_size = self.kernel_size
        gated = self.gated
        for count in self.filters:
            layers.append(
                keras.layers.Conv2D(
                    2 * count if gated else count,
                    kernel_size,
                    padding="same",
                    activation=None if gated else self.activation,
                    dtype=dtype,
                )
            )
            if gated:
                layers.append(_Gate(dtype=dtype))
            if self.dropout > 0:
                layers.append(Dropout(self.dropout, dtype=dtype))
            kernel_size = 1
            gated = False
        last = keras.layers.Conv2D(
            outputs, self.kernel_size, padding="same", kernel_initializer="zeros", dtype=dtype
        )
        return keras.Sequential([*layers, last])


class _Gate(keras.layers.Layer):
    """The product of both halves of the channels."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        first, second = tf.split(x, 2, axis=-1)
        return first * second
