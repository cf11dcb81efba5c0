"""Couplings: transform a part of the channels given the others, also in a hierarchy.

First the networks inside, which compute the raw parameters of transforms.
"""

import abc
import dataclasses
import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import (
    FEATURES,
    Bijection,
    Mapped,
    SharedCondition,
    check_maps,
    constant_log_det,
    in_turn,
)
from bayesinn.bijections.transforms import Affine, Composed, Spline, Transform
from bayesinn.core.compilation import Dropout
from bayesinn.core.configuration import Recipe
from bayesinn.core.errors import InputError, check_arguments, check_number, check_type

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


class ConditionalTransform(keras.layers.Layer):
    """Transform ``active`` channels given parameters computed from ``passive`` ones and condition.

    A network computes the parameters for all pixels of an image of a ``size`` (height, width) at
    once. The channels of a vector, which has no such axes, are its elements.

    Without passive channels, the parameters follow from the condition alone. Without a condition
    too, they are free weights, equal for all rows and pixels. All start at zero, so that a new
    block is the identity.

    ``groups`` pairs of passive and active elements, all of these lengths, are treated at once. Each
    pair has a network of its own; all read the same condition.
    """

    def __init__(
        self,
        transform: Transform,
        passive: int,
        active: int,
        condition_dimension: int,
        subnet: Subnet,
        dtype: DType = None,
        groups: int = 1,
        size: tuple[int, ...] = (),
    ) -> None:
        super().__init__(dtype=dtype)
        self.transform = transform
        self.subnet = subnet
        self.network = None
        self.size = size
        self.raw_shape = active, transform.parameters_per_element
        # To a transform, each group is a row.
        self.elements = math.prod(size) * active
        features = passive + condition_dimension
        if features:
            self.network = subnet.network(features, math.prod(self.raw_shape), dtype)
            axes = (groups,) if groups > 1 else size
            self.network.build((None, *axes, features))
        else:
            self.free = self.add_weight(
                shape=(1, *self.raw_shape), initializer="zeros", autocast=False, name="free"
            )
        self.built = True

    def forward(self, active: tf.Tensor, passive: tf.Tensor, condition: Condition) -> Mapped:
        """Map active elements (n, ..., a) given passive (n, ..., p); ... are pixels or groups."""
        return self._apply(self.transform.forward, active, passive, condition)

    def inverse(self, active: tf.Tensor, passive: tf.Tensor, condition: Condition) -> Mapped:
        return self._apply(self.transform.inverse, active, passive, condition)

    def _apply(
        self,
        direction: Callable[..., Mapped],
        active: tf.Tensor,
        passive: tf.Tensor,
        condition: Condition,
    ) -> Mapped:
        shape = (-1, self.elements, self.transform.parameters_per_element)
        # The network may compute in half precision; the transform never does.
        raw = tf.cast(tf.reshape(self._raw(passive, condition), shape), active.dtype)
        rows, log_slope = direction(tf.reshape(active, (-1, self.elements)), raw)
        image = tf.reshape(rows, (-1, *active.shape[1:]))
        if self.transform.volume_preserving:
            return image, constant_log_det(active)
        log_slope = tf.reshape(log_slope, (-1, math.prod(active.shape[1:])))
        return image, tf.reduce_sum(log_slope, axis=-1)

    def _raw(self, passive: tf.Tensor, condition: Condition) -> tf.Tensor:
        if self.network is not None:
            return self.subnet.evaluate(self.network, passive, condition)
        shape = (tf.shape(passive)[0], *self.size, *self.raw_shape)
        return tf.broadcast_to(tf.convert_to_tensor(self.free), shape)


class TransformBlock(Bijection):
    """The base of blocks of conditional transforms; building sets :attr:`transform`."""

    transform: Transform

    def __init__(self, transform: Transform | None) -> None:
        super().__init__()
        check_type(
            f"{type(self).__name__}, argument 'transform'",
            transform,
            (Transform, type(None)),
            "a Transform",
            "pass for example bi.bijections.Spline(); a Bijection of your own stands beside the "
            "block: bi.flows.coupling(mixing=...)",
        )
        self._given_transform = transform

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        check_maps(self, self.event_shape[:-1])
        # Affine maps of a single element could only give a Gaussian.
        default = Affine() if self.dimension > 1 else Composed([Affine(), Spline()])
        self.transform = self._given_transform or default

    def conditional_transform(
        self, passive: int, active: int, subnet: Subnet, groups: int = 1
    ) -> ConditionalTransform:
        """Make a transform of ``active`` channels given ``passive`` ones."""
        sizes = passive, active, self.condition_dimension
        size = self.event_shape[:-1]
        return ConditionalTransform(self.transform, *sizes, subnet, self.dtype_policy, groups, size)


class Coupling(TransformBlock):
    """Transform the second half of the channels given the first, then the first given the second.

    The channels of a vector are its elements. A single channel can't be split: the transform acts
    on it with parameters computed from the condition alone, or free weights without a condition.
    Conditions of images are vectors, or maps of the same height and width in an entry of their own.

    Parameters
    ----------
    transform : Transform, optional
        Map of each element. By default ``Affine()``; for a single element ``Composed([Affine(),
        Spline()])``, because affine maps alone would give a Gaussian.
    hidden : sequence of int, units or filters of the hidden layers in each network
    activation : str, activation of the hidden layers, name of a Keras activation
    dropout : float, share of hidden units dropped in training
    dual : bool, whether both halves are transformed; False: only the second, at half the cost
    subnet : Subnet, optional
        Networks of another kind, in place of ``hidden``, ``activation`` and ``dropout``. By default
        ``Perceptron`` for vectors and ``Convolutional`` for images.
    reads : str, entry of the condition that the networks see
    split : float, share of the channels in the first half, at least one of several

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP, arXiv:1605.08803.
    Ardizzone et al. (2019), Guided image generation with conditional invertible neural networks,
    arXiv:1907.02392.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Coupling(hidden=(32,)).forward(tf.ones((10, 3)), condition=tf.ones((10, 5)))
    >>> z.shape, log_det.shape
    (TensorShape([10, 3]), TensorShape([10]))
    """

    event_rank = None
    shares_conditions = True

    def __init__(
        self,
        transform: Transform | None = None,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        dropout: float = 0.0,
        dual: bool = True,
        subnet: Subnet | None = None,
        reads: str = FEATURES,
        split: float = 0.5,
    ) -> None:
        super().__init__(transform)
        subject = "Coupling, argument 'subnet'"
        check_type(
            subject,
            subnet,
            (Subnet, type(None)),
            "a Subnet",
            "pass for example bi.bijections.Convolutional(filters=(64, 64))",
        )
        perceptron = Perceptron(hidden, activation, dropout)
        if subnet is not None and perceptron != Perceptron():
            raise InputError(
                subject,
                expected="a subnet, or 'hidden', 'activation' and 'dropout'",
                got=f"{subnet!r} and {perceptron!r}",
                do=f"give them to the subnet: {type(subnet).__name__}(...)",
            )
        self.dual = dual
        self.reads = reads
        self.split = check_number("Coupling, argument 'split'", split, above=0, below=1)
        self.vector_subnet = subnet or perceptron
        self.image_subnet = subnet or Convolutional(hidden, 3, activation, dropout)

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        subnet = self.vector_subnet if len(self.event_shape) == 1 else self.image_subnet
        if isinstance(subnet, Convolutional) and len(self.event_shape) < 3:
            raise InputError(
                "Coupling, argument 'subnet'",
                expected="networks for events of this shape; Convolutional is for images",
                got=f"{subnet!r}, for events of shape {self.event_shape}",
                do="pass for example subnet=bi.bijections.Perceptron(), for each place by itself",
            )
        self.xla_pays = subnet.xla_pays
        # A single channel has an empty first half.
        first = max(int(self.split * self.channels), min(1, self.channels - 1))
        second = self.channels - first
        self.halves = first, second
        self.second_from_first = self.conditional_transform(first, second, subnet)
        self.first_from_second = (
            self.conditional_transform(second, first, subnet) if self.dual and first else None
        )

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        first, second = tf.split(x, self.halves, axis=-1)
        second, log_det = self.second_from_first.forward(second, first, condition)
        if self.first_from_second is not None:
            first, term = self.first_from_second.forward(first, second, condition)
            log_det += term
        return tf.concat([first, second], axis=-1), log_det

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        first, second = tf.split(z, self.halves, axis=-1)
        log_det = constant_log_det(z)
        if self.first_from_second is not None:
            first, log_det = self.first_from_second.inverse(first, second, condition)
        second, term = self.second_from_first.inverse(second, first, condition)
        return tf.concat([first, second], axis=-1), log_det + term


# Fewest units: at inner levels, halved widths would be too few to read a condition.
SMALLEST_WIDTH = 16


class Hierarchical(TransformBlock):
    """Split a vector into halves, recursively; transform each second half given the first.

    Every element depends on all elements before it: the Jacobian is a dense lower triangular
    matrix, where that of a one-sided :class:`Coupling` has only one block below its diagonal. One
    affine block with linear networks already turns any Gaussian, given any linear condition, into
    the standard normal. The elements before the first split point, usually one element, have none
    before them: they depend on the condition alone, or on free weights without a condition. Splits
    of one level are computed together, so that only about log2(d) networks run one after another.

    A trained block also answers conditional questions: put the elements to be conditioned on first,
    keep their latent values and draw the others. See Kruse, Detommaso, Köthe and Scheichl (2021),
    HINT: hierarchical invertible neural transport for density estimation and Bayesian inference,
    arXiv:1905.10687.

    Parameters
    ----------
    transform, activation, dropout : as in :class:`Coupling`
    hidden : sequence of int
        Units of the hidden layers of the outermost split. Each inner level has half as many, but 16
        or more.
    levels : int, optional
        Number of nested splits; by default down to single elements.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Hierarchical(hidden=(32,)).forward(
    ...     tf.ones((10, 6)), condition=tf.ones((10, 5))
    ... )
    >>> z.shape, log_det.shape
    (TensorShape([10, 6]), TensorShape([10]))
    """

    def __init__(
        self,
        transform: Transform | None = None,
        hidden: Sequence[int] = (128, 128),
        activation: str = "silu",
        dropout: float = 0.0,
        levels: int | None = None,
    ) -> None:
        super().__init__(transform)
        self.perceptron = Perceptron(hidden, activation, dropout)
        self.levels = levels

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        splits = sorted(_splits(0, self.dimension, self.levels), key=Split.order)
        # Splits of one level and shape are computed at once: one or two rounds to a level.
        self.rounds = tuple(tuple(group) for _, group in itertools.groupby(splits, Split.order))
        self.steps = [self._step(group[0], len(group)) for group in self.rounds]

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        rounds = zip(self.steps, self.rounds, strict=True)
        maps = [partial(_apply, step.forward, group, condition) for step, group in rounds]
        return in_turn(maps, x, constant_log_det(x))

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        rounds = zip(reversed(self.steps), reversed(self.rounds), strict=True)
        maps = [partial(_apply, step.inverse, group, condition) for step, group in rounds]
        return in_turn(maps, z, constant_log_det(z))

    def _step(self, split: "Split", groups: int) -> ConditionalTransform:
        hidden = [
            max(units >> split.level, min(units, SMALLEST_WIDTH))
            for units in self.perceptron.hidden
        ]
        perceptrons = Perceptrons(
            hidden, self.perceptron.activation, self.perceptron.dropout, groups
        )
        return self.conditional_transform(split.passive, split.active, perceptrons, groups)


@dataclasses.dataclass(frozen=True)
class Split:
    """A coupling: read ``passive`` elements from ``start`` on, transform the next ``active``."""

    start: int
    passive: int
    active: int
    level: int

    @property
    def stop(self) -> int:
        return self.start + self.passive + self.active

    def order(self) -> tuple[bool, int, int, int]:
        """Return the key that sorts and groups splits: a coupling reads transformed halves."""
        return self.passive > 0, -self.level, self.passive, self.active


def _splits(start: int, stop: int, levels: int | None, level: int = 0) -> list[Split]:
    """Return all splits of a range, from left to right at each level."""
    if stop - start == 1 or level == levels:
        # The first elements have nothing before them but the condition.
        return [Split(0, passive=0, active=stop, level=0)] if start == 0 else []
    middle = (start + stop) // 2
    inside = _splits(start, middle, levels, level + 1) + _splits(middle, stop, levels, level + 1)
    return [*inside, Split(start, middle - start, stop - middle, level)]


def _apply(
    direction: Callable[..., Mapped],
    group: Sequence[Split],
    condition: tf.Tensor | None,
    x: tf.Tensor,
) -> Mapped:
    edges = [
        edge for split in group for edge in (split.start, split.start + split.passive, split.stop)
    ]
    # Elements left alone, passive ones, active ones, and so on; at the end, those left alone.
    pieces = tf.split(x, np.diff([0, *edges, x.shape[-1]]).tolist(), axis=-1)
    passive = pieces[1::3]
    active = pieces[2::3]
    if len(group) == 1:
        pieces[2], log_det = direction(active[0], passive[0], condition)
    else:
        stacked, log_det = direction(tf.stack(active, axis=1), tf.stack(passive, axis=1), condition)
        pieces[2::3] = tf.unstack(stacked, axis=1)
    return tf.concat(pieces, axis=-1), log_det
