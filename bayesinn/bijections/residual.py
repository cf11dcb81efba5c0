"""Invertible residual networks: Lipschitz-bounded blocks whose inverse is found by iteration."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import keras
import numpy as np
import scipy
import tensorflow as tf

from bayesinn.bijections.bijection import (
    FEATURES,
    Bijection,
    as_vectors,
    check_maps,
    constant_log_det,
)
from bayesinn.core.configuration import Registered
from bayesinn.core.errors import InputError, check_choice, check_integer, check_number

# Numbers in one intermediate tensor of :meth:`Linearization.log_det`: 64 MB in single precision.
_NUMBERS_AT_ONCE = 2**24


class Linearization(NamedTuple):
    """The Jacobian J of a network g at n points: its linear maps and its activations' slopes.

    Products with J cost as much as g itself, and J is never formed for them. There are k kernels
    (inputs, outputs) and k - 1 slopes (n, outputs) between them; none for a linear function. Of
    images of a ``size`` (height, width), kernels are those of convolutions, (rows, columns, inputs,
    outputs), and slopes (n, height, width, outputs); vectors are images, pixel by pixel.
    """

    kernels: list[tf.Tensor]
    slopes: list[tf.Tensor]
    size: tuple[int, ...] = ()

    def detached(self) -> Self:
        """Return the same, through which no gradient flows."""
        kernels, slopes = tf.nest.map_structure(tf.stop_gradient, (self.kernels, self.slopes))
        return self._replace(kernels=kernels, slopes=slopes)

    def jacobian_vector(self, vectors: tf.Tensor) -> tf.Tensor:
        """Return the products J v, (n, d), with vectors v (n, d)."""
        events = to_images(vectors, self.size)
        for kernel, slope in zip(self.kernels[:-1], self.slopes, strict=True):
            events = product(events, kernel) * slope
        return as_vectors(product(events, self.kernels[-1]))

    def vector_jacobian(self, vectors: tf.Tensor) -> tf.Tensor:
        """Return the products w^T J, (n, d), with vectors w (n, d)."""
        events = _transposed(to_images(vectors, self.size), self.kernels[-1])
        for kernel, slope in zip(self.kernels[-2::-1], self.slopes[::-1], strict=True):
            events = _transposed(events * slope, kernel)
        return as_vectors(events)

    def log_det(self) -> tf.Tensor:
        """Return the exact log determinants (n,) of I + J for J of norm below one.

        Many points are computed in pieces.
        """
        rows = self.slopes[0].shape[0] if self.slopes else 1
        widest = math.prod(self.size) * max(kernel.shape[-1] for kernel in self.kernels)
        numbers_a_row = self.dimension * widest
        piece = max(1, _NUMBERS_AT_ONCE // numbers_a_row)
        if rows is not None and rows <= piece:
            return _log_det(self.jacobian())
        return _in_pieces(
            lambda slopes: _log_det(self._replace(slopes=slopes).jacobian()),
            self.slopes,
            piece,
        )

    def jacobian(self) -> tf.Tensor:
        """Return the matrices J, (n, d, d), with outputs along rows; (1, d, d) if linear."""
        # Row i is the image of the i-th unit vector. Kept flat between layers: one large product of
        # matrices is several times as fast as a batch of small ones.
        dimension = self.dimension
        first = self.kernels[0]
        if self.size:
            first = product(to_images(tf.eye(dimension, dtype=first.dtype), self.size), first)
        images = first[tf.newaxis]
        for kernel, slope in zip(self.kernels[1:], self.slopes, strict=True):
            flat = tf.reshape(images * slope[:, tf.newaxis], (-1, *self.size, kernel.shape[-2]))
            images = tf.reshape(
                product(flat, kernel), (-1, dimension, *self.size, kernel.shape[-1])
            )
        return tf.linalg.matrix_transpose(tf.reshape(images, (-1, dimension, dimension)))

    @property
    def dimension(self) -> int:
        """Number of elements of an event."""
        return math.prod(self.size) * self.kernels[0].shape[-2]


def product(events: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return the matrix product of vectors (n, i), or the convolution of images (n, h, w, i)."""
    if len(kernel.shape) == 2:
        return tf.matmul(events, kernel)
    return tf.nn.conv2d(events, kernel, strides=1, padding="SAME")


def _transposed(events: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return the product with the transpose of what :func:`product` multiplies by."""
    if len(kernel.shape) == 2:
        return tf.matmul(events, kernel, transpose_b=True)
    # Kernels have odd sides: the transpose pads alike.
    return product(events, tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2)))


def to_images(vectors: tf.Tensor, size: tuple[int, ...]) -> tf.Tensor:
    """Return vectors (n, d) as images of a size (height, width); without one, as they are."""
    if not size:
        return vectors
    return tf.reshape(vectors, (-1, *size, vectors.shape[-1] // math.prod(size)))


def _log_det(jacobian: tf.Tensor) -> tf.Tensor:
    """Return the log determinants (n,) of I + J, positive as J (n, d, d) has a norm below one."""
    dimension = jacobian.shape[-1]
    if dimension == 1:
        return tf.math.log1p(jacobian[:, 0, 0])
    if dimension == 2:
        first, across, back, second = tf.unstack(tf.reshape(jacobian, (-1, 4)), axis=-1)
        return tf.math.log1p(first + second + first * second - across * back)
    return _log_det_from_qr(jacobian + tf.eye(dimension, dtype=jacobian.dtype))


@tf.custom_gradient
def _log_det_from_qr(matrices: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    # TensorFlow's own log-determinant can't be compiled with XLA; this can, and its gradient.
    triangular = tf.linalg.qr(matrices).r
    value = tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(triangular))), axis=-1)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return upstream[:, tf.newaxis, tf.newaxis] * tf.linalg.matrix_transpose(
            tf.linalg.inv(matrices)
        )

    return value, gradient


def _in_pieces(
    function: Callable[[list[tf.Tensor]], tf.Tensor], arrays: list[tf.Tensor], most_rows: int
) -> tf.Tensor:
    """Apply a function of rows to at most ``most_rows`` of them at a time; results are (n,)."""
    rows = tf.shape(arrays[0])[0]
    piece = tf.maximum(1, tf.minimum(rows, most_rows))
    # No rows at all are one piece of padding.
    pieces = tf.maximum(1, -(-rows // piece))
    padding = [0, pieces * piece - rows]
    padded = [tf.pad(array, [padding, *[[0, 0]] * (len(array.shape) - 1)]) for array in arrays]
    stacked = [tf.reshape(array, (pieces, piece, *array.shape[1:])) for array in padded]
    # Padded slopes are zero, which makes the padded matrices the identity.
    results = tf.map_fn(
        function, stacked, fn_output_signature=arrays[0].dtype, parallel_iterations=1
    )
    return tf.reshape(results, (-1,))[:rows]


def fixed_point(
    function: Callable[[tf.Tensor], tf.Tensor], start: tf.Tensor, lipschitz: float, tolerance: float
) -> tf.Tensor:
    """Solve x = function(x) for rows x (n, d), by iteration from ``start``.

    No gradient flows through the result.

    ``lipschitz`` bounds the slope of the function, below one: the distance to the solution shrinks
    by this factor or more in each step. A row stops as soon as its last step shows that it is
    within ``tolerance``, or :func:`least_error` if that is larger, relative to the length of x
    where that is above one, so that its result doesn't depend on the other rows.
    """
    # By Banach's theorem, a step of length s ends within s * lipschitz / (1 - lipschitz) of the
    # solution.
    enough = max(tolerance * (1.0 - lipschitz) / lipschitz, _shortest_step(start.dtype))

    def step(x: tf.Tensor, active: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        moved = function(x)
        distance = tf.norm(moved - x, axis=-1, keepdims=True)
        length = tf.norm(moved, axis=-1, keepdims=True)
        return tf.where(active, moved, x), active & (distance > enough * tf.maximum(length, 1.0))

    state = (tf.stop_gradient(start), tf.fill([tf.shape(start)[0], 1], True))
    most = most_iterations(lipschitz, tolerance)
    x, _ = tf.while_loop(
        lambda _, active: tf.reduce_any(active), step, state, maximum_iterations=most
    )
    return tf.stop_gradient(x)


def least_error(lipschitz: float, dtype: tf.DType | str) -> float:
    """Return the distance to the solution that steps no longer than rounding errors show."""
    return _shortest_step(dtype) * lipschitz / (1.0 - lipschitz)


def _shortest_step(dtype: tf.DType | str) -> float:
    """Return the length of steps, relative to x, that may be rounding errors alone."""
    return 4.0 * float(np.finfo(tf.as_dtype(dtype).as_numpy_dtype).eps)


def most_iterations(lipschitz: float, tolerance: float) -> int:
    """Return the number of steps that take a first step of length ten to within the tolerance."""
    return math.ceil(math.log(0.1 * tolerance * (1.0 - lipschitz)) / math.log(lipschitz))


def with_implicit_gradient(
    x: tf.Tensor, linear: Linearization, lipschitz: float, tolerance: float
) -> tf.Tensor:
    """Return x (n, d) as it is, with the gradient of the solution of x = z - g(x).

    The gradient is found by implicit differentiation. At the solution, dx = (I + J)^-1 (dz - dg),
    with dg the change of g at fixed x, and ``linear`` its Jacobian J there, which gets no gradient.
    Pass ``z - g(x0)``, with x0 the solution without gradient: the gradients, with respect to z and
    to everything in g, are those of the solution. The linear equation is solved as in
    :func:`fixed_point`.
    """
    detached = linear.detached()

    @tf.custom_gradient
    def identity(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            # w (I + J) = upstream is a fixed point too. Scaled, because the tolerance is for
            # lengths around one.
            scale = tf.maximum(
                tf.norm(upstream, axis=-1, keepdims=True), np.finfo(x.dtype.as_numpy_dtype).tiny
            )
            unit = upstream / scale
            return scale * fixed_point(
                lambda w: unit - detached.vector_jacobian(w), unit, lipschitz, tolerance
            )

        return tf.identity(x), gradient

    return identity(x)


# Estimates of log det(I + J) from a few products of vectors with J.
#
# One estimate is a truncated power series; the other is unbiased.

# Rarer terms are left out: one that counts a million times does more harm than good. With slopes of
# 0.9 everywhere and five exact terms this changes the expectation by 0.02 per element for
# Geometric(0.5), by 0.07 for Poisson(2.0), and by far less for slopes that vary.
_RAREST = 1e-6


@dataclass(frozen=True)
class Geometric(Registered):
    """The number N >= 1 of further terms in a random series, P(N >= j) = (1 - stop)^(j - 1).

    ``stop`` is the chance to stop after each term. The variance is finite for Jacobians with norm
    below sqrt(1 - stop).
    """

    stop: float = 0.5

    def __post_init__(self) -> None:
        check_number(
            "Geometric, argument 'stop'",
            self.stop,
            above=0,
            below=1,
            do="take 0.5; smaller gives longer series with less noise",
        )

    def survival(self) -> np.ndarray:
        """Return P(N >= j) for j = 1, 2, ..., as far as terms are ever drawn, (most,)."""
        most = 1 + math.floor(math.log(_RAREST) / math.log1p(-self.stop))
        return (1.0 - self.stop) ** np.arange(most)


@dataclass(frozen=True)
class Poisson(Registered):
    """The number N >= 0 of further terms in a random series: Poisson with mean ``rate``."""

    rate: float = 2.0

    def __post_init__(self) -> None:
        check_number("Poisson, argument 'rate'", self.rate, above=0, do="take 2.0")

    def survival(self) -> np.ndarray:
        """Return P(N >= j) for j = 1, 2, ..., as far as terms are ever drawn, (most,)."""
        most = int(scipy.stats.poisson.isf(_RAREST, self.rate))
        return scipy.stats.poisson.sf(np.arange(most), self.rate)


Law = Geometric | Poisson


def roulette_weights(uniform: tf.Tensor, law: Law, exact: int) -> tf.Tensor:
    """Return the weights, each with mean one, of a series of random length (Russian roulette).

    The first ``exact`` terms always count once. A uniform random number () in double precision
    decides the number N of further terms, and term j of these counts 1/P(N >= j) times; see Chen et
    al. (2019), arXiv:1906.02735. The weights (exact + most,), in double precision, are zero from
    where the series ends.
    """
    survival = law.survival()
    drawn = tf.where(uniform < survival, 1.0 / survival, 0.0)
    return tf.concat([tf.ones((exact,), drawn.dtype), drawn], axis=0)


def series_log_det(linear: Linearization, probes: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Estimate log det(I + J) = tr J - tr J^2 / 2 + tr J^3 / 3 - ..., one random vector per row.

    The random vectors serve to estimate the traces.

    The norm of J must be below one. The probes (n, d) are vectors v with mean zero and covariance
    one, or unit vectors for traces without noise. Weights (terms,) of one give the truncated
    series, those of :func:`roulette_weights` an unbiased estimate; the series ends before the first
    zero.

    The gradient is not that of the value but the Neumann series v^T (I - J + J^2 - ...) dJ v with
    the same weights. It has the same mean, and needs no more memory than one product with J,
    however long the series. The series is of the first reference of :class:`Residual`, weights and
    gradient are of the second.
    """
    detached = linear.detached()
    value, summed = _sum_series(detached, probes, tf.cast(weights, probes.dtype))
    surrogate = tf.reduce_sum(tf.stop_gradient(summed) * linear.jacobian_vector(probes), axis=-1)
    # The value of one, the gradient of the other.
    return tf.stop_gradient(value) + (surrogate - tf.stop_gradient(surrogate))


def _sum_series(
    linear: Linearization, probes: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the weighted sums of (-1)^(k+1)/k v^T J^k v, (n,), and of (-1)^k v^T J^k, (n, d)."""
    terms = tf.math.count_nonzero(weights, dtype=tf.int32)
    most = weights.shape[0]
    signed = weights * tf.constant(np.resize([1.0, -1.0], most), weights.dtype)

    def add(
        number: tf.Tensor, vectors: tf.Tensor, value: tf.Tensor, summed: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        summed += signed[number] * vectors
        vectors = linear.vector_jacobian(vectors)
        trace = tf.reduce_sum(vectors * probes, axis=-1)
        value += signed[number] / tf.cast(number + 1, trace.dtype) * trace
        return number + 1, vectors, value, summed

    start = (0, probes, tf.zeros_like(probes[:, 0]), tf.zeros_like(probes))
    *_, value, summed = tf.while_loop(
        lambda number, *_: number < terms, add, start, maximum_iterations=most
    )
    return value, summed


class SeriesNoise(keras.layers.Layer):
    """Draw probes and weights for :func:`series_log_det`, in training only.

    Random numbers come from a Keras seed generator, like those of dropout.
    """

    def __init__(
        self, terms: int, law: Law | None = None, dtype: str | keras.DTypePolicy | None = None
    ) -> None:
        super().__init__(dtype=dtype, autocast=False)
        self.terms = terms
        self.law = law
        self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def call(self, x: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Return probes (n, d) of -1 or 1 for x (n, d), and weights (terms,).

        Outside of training, return None.
        """
        if not training:
            return None
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        signs = tf.random.stateless_uniform(tf.shape(x), seed, 0, 2, dtype=tf.int32, alg="philox")
        probes = tf.cast(2 * signs - 1, x.dtype)
        if self.law is None:
            return probes, tf.ones((self.terms,), x.dtype)
        # One length for all rows: each row with its own would make every batch as slow as its
        # longest series.
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        uniform = tf.random.stateless_uniform((), seed, dtype=tf.float64, alg="philox")
        return probes, roulette_weights(uniform, self.law, self.terms)


# 256 steps of power iteration: the bound is above the largest singular value by at most 0.8 % for
# 64 units.
_SQUARINGS = 8
# Frequencies along each axis of an image, for each pixel that a kernel reaches to one side.
_FREQUENCIES = 32


def lipswish(x: tf.Tensor, steepness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return value and slope of swish divided by 1.1.

    The steepest slope is 0.99985 for every ``steepness``.
    """
    # Its second derivative doesn't vanish where the slope is near one. ReLU's does, and with it the
    # gradient of the log-determinant. See Chen et al. (2019), arXiv:1906.02735.
    gate = tf.sigmoid(steepness * x)
    return x * gate / 1.1, (gate + steepness * x * gate * (1.0 - gate)) / 1.1


def elu(x: tf.Tensor, steepness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return value and slope of max(x, 0) + exp(min(x, 0)) - 1. The steepness isn't used."""
    negative = tf.minimum(x, 0.0)
    return x - negative + tf.math.expm1(negative), tf.exp(negative)


ACTIVATIONS = {"lipswish": lipswish, "elu": elu}


class GivenWeights(NamedTuple):
    """A network's weights given conditions: kernels of limited norm, offsets with the condition."""

    kernels: list[tf.Tensor]
    offsets: list[tf.Tensor]
    steepness: list[tf.Tensor]


class LipschitzNetwork(keras.layers.Layer):
    """A multilayer perceptron g(x, condition) with Lipschitz constant in x at most ``lipschitz``.

    Each of its matrices that act on x gets an equal share of the bound. How steeply g depends on
    the condition isn't limited. The last layer starts at zero. Without hidden layers, g is an
    affine map.

    Of images of a ``size`` (height, width), with ``features`` channels, the layers are
    convolutions: the first and the last see ``kernel_size`` pixels along each side, those in
    between single ones. Images are vectors (n, d), pixel by pixel; conditions are vectors (n, c),
    or maps (n, height, width, c).
    """

    def __init__(
        self,
        features: int,
        condition_features: int = 0,
        hidden: Sequence[int] = (64, 64),
        lipschitz: float = 0.9,
        activation: str = "lipswish",
        dtype: str | keras.DTypePolicy | None = None,
        size: tuple[int, ...] = (),
        kernel_size: int = 3,
    ) -> None:
        super().__init__(dtype=dtype)
        self.size = size
        widths = (features, *hidden, features)
        self.limit = lipschitz ** (1.0 / (len(widths) - 1))
        self.activation = activation
        self.kernels = []
        self.biases = []
        self.raw_steepness = []
        for number, shape in enumerate(itertools.pairwise(widths)):
            is_last = number == len(hidden)
            side = kernel_size if number == 0 or is_last else 1
            window = (side, side) if size else ()
            # Orthogonal, because scaling a matrix by its largest singular value costs the smaller
            # ones their reach.
            self.kernels.append(
                self._weight(
                    (*window, *shape), "zeros" if is_last else "orthogonal", f"kernel_{number}"
                )
            )
            self.biases.append(self._weight(shape[1:], "zeros", f"bias_{number}"))
            if activation == "lipswish" and not is_last:
                start = keras.initializers.Constant(0.5)
                self.raw_steepness.append(self._weight((), start, f"raw_steepness_{number}"))
        self.condition_kernel = None
        if condition_features:
            initializer = "glorot_uniform" if hidden else "zeros"
            self.condition_kernel = self._weight(
                (condition_features, widths[1]), initializer, "condition_kernel"
            )
        self.built = True

    def given(self, condition: tf.Tensor | None = None) -> GivenWeights:
        """Return the network's weights as a function of x alone, for conditions (n, c) or None."""
        kernels = [limited(tf.convert_to_tensor(kernel), self.limit) for kernel in self.kernels]
        offsets = [tf.convert_to_tensor(bias) for bias in self.biases]
        if condition is not None:
            own = tf.tensordot(condition, tf.convert_to_tensor(self.condition_kernel), axes=1)
            if len(own.shape) < len(self.size) + 2:
                # The same for all pixels.
                own = tf.reshape(own, (-1, *len(self.size) * [1], own.shape[-1]))
            offsets[0] += own
        steepness = [tf.nn.softplus(tf.convert_to_tensor(raw)) for raw in self.raw_steepness]
        return GivenWeights(
            kernels, offsets, steepness or [tf.ones((), offsets[0].dtype)] * (len(kernels) - 1)
        )

    def linearize(self, x: tf.Tensor, given: GivenWeights) -> tuple[tf.Tensor, Linearization]:
        """Return the value g(x), (n, d), and the Jacobian there."""
        slopes = []
        x = to_images(x, self.size)
        for kernel, offset, steepness in zip(
            given.kernels[:-1], given.offsets[:-1], given.steepness, strict=True
        ):
            x, slope = ACTIVATIONS[self.activation](product(x, kernel) + offset, steepness)
            slopes.append(slope)
        value = as_vectors(product(x, given.kernels[-1]) + given.offsets[-1])
        return value, Linearization(given.kernels, slopes, self.size)

    def _weight(
        self, shape: tuple[int, ...], initializer: str | keras.Initializer, name: str
    ) -> keras.Variable:
        # An inverse computed in half precision isn't one: no automatic casting.
        return self.add_weight(shape=shape, initializer=initializer, autocast=False, name=name)


@tf.custom_gradient
def spectral_bound(kernel: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return an upper bound () of the largest singular value of a matrix (inputs, outputs).

    Several matrices (k, inputs, outputs) get one bound that holds for all of them. The bound is
    found by power iteration.

    The Gram matrix is squared eight times, which is 256 steps of power iteration from every
    starting vector at once. Its trace gives the Schatten norm of order 514, which is never below
    the largest singular value and at most a factor rank^(1/514) above. The bound is a function of
    the weights alone. Miyato et al. (2018), arXiv:1802.05957, keep one vector between training
    steps, which may be stale.
    """
    # Divisions by at least the smallest normal number keep a kernel of zeros, with which networks
    # start, at zero. XLA divides by products of divisors: where two follow each other, each is at
    # least the root of that number.
    tiny = np.finfo(kernel.dtype.as_numpy_dtype).tiny
    root = np.sqrt(tiny)
    tall = kernel.shape[-2] > kernel.shape[-1]
    gram = tf.matmul(kernel, kernel, transpose_a=tall, transpose_b=not tall)
    scale = tf.maximum(tf.reduce_max(tf.linalg.trace(gram)), root)
    gram /= scale
    power = gram
    log_scale = tf.zeros_like(scale)
    for number in range(_SQUARINGS):
        power = tf.matmul(power, power)
        log_scale *= 2.0
        # After each second one: the largest eigenvalue is one over the number of all eigenvalues or
        # more, which may be a million for convolutions, and its fourth power doesn't underflow.
        if number % 2 == 1:
            trace = tf.maximum(tf.reduce_sum(tf.linalg.trace(power)), tiny)
            power /= trace
            log_scale += tf.math.log(trace)
    last = tf.maximum(tf.reduce_sum(power * gram), root)
    order = 2.0 * (2.0**_SQUARINGS + 1.0)
    bound = tf.sqrt(scale) * tf.exp((log_scale + tf.math.log(last)) / order)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        # That of the Schatten norm in closed form: no need to go back through the squarings.
        product = tf.matmul(kernel, power) if tall else tf.matmul(power, kernel)
        return upstream * bound * (product / scale / last)

    return bound, gradient


def convolution_bound(kernel: tf.Tensor) -> tf.Tensor:
    """Return an upper bound () of how much a convolution of images of any size can stretch.

    The kernel is (rows, columns, inputs, outputs), with odd sides, and images are padded by zeros.

    On images without an end, a convolution multiplies each frequency by a matrix, and stretches by
    their largest singular value; images with an end are among those. The matrices are computed on a
    grid of frequencies. Between its points they are trigonometric polynomials of the degree of the
    kernel's reach, which near their largest value fall no faster than the cosine does (M. Riesz).
    """
    rows, columns, *channels = kernel.shape
    if rows == columns == 1:
        return spectral_bound(tf.reshape(kernel, channels))
    reach = (max(rows, columns) - 1) // 2
    count = _FREQUENCIES * reach
    turns = 2.0 * np.pi * np.arange(count) / count
    # Opposite frequencies have matrices of equal size.
    across = np.multiply.outer(turns, np.arange(columns))[None, :, None, :]
    down = np.multiply.outer(turns[: count // 2 + 1], np.arange(rows))[:, None, :, None]
    phases = (across + down).reshape(-1, rows * columns)
    flat = tf.reshape(kernel, (rows * columns, math.prod(channels)))
    real, imaginary = (
        tf.reshape(tf.matmul(tf.constant(part, kernel.dtype), flat), (-1, *channels))
        for part in (np.cos(phases), np.sin(phases))
    )
    # As real matrices, which have each singular value twice.
    matrices = tf.concat(
        [
            tf.concat([real, -imaginary], axis=-1),
            tf.concat([imaginary, real], axis=-1),
        ],
        axis=-2,
    )
    return spectral_bound(matrices) / math.cos(np.pi * reach / count) ** 2


def limited(kernel: tf.Tensor, limit: float) -> tf.Tensor:
    """Scale a matrix, or a convolution, down so that it stretches by ``limit`` at most.

    A kernel whose bound is not above the limit is left as it is.
    """
    bound = spectral_bound(kernel) if len(kernel.shape) == 2 else convolution_bound(kernel)
    # Not limit / bound and then a minimum: at a kernel of zeros the gradient would be zero times
    # infinity.
    return kernel * (limit / tf.maximum(bound, limit))


LOG_DETS = ("exact", "unbiased", "truncated")
# Default tolerance of an inverse.
_TOLERANCES = {"float32": 1e-6, "float64": 1e-12}
# Largest tolerance of an inverse from which inputs can be recomputed.
_ACCURATE = 1e-4


class Residual(Bijection):
    """The map z = x + g(x, condition), g a network with slope in x of at most ``lipschitz``.

    All elements of a vector act on all others at once: there are no halves, no order, and no
    rotations in between. The inverse has no formula. It is found by iterating x = z - g(x): each
    step shrinks the error at least by the factor ``lipschitz``. Drawing takes much longer than
    evaluating the density. Evaluation always gives the exact log-determinant. Training may use an
    estimate, which pays for tens of elements.

    For images, g is made of convolutions; conditions are vectors, or maps of the same height and
    width in an entry of their own. The exact log-determinant takes as many passes through g as an
    image has elements.

    Parameters
    ----------
    hidden : sequence of int, units or filters of the hidden layers in g
    lipschitz : float
        Bound of the slope of g in x, between 0 and 1. The slope in the condition isn't limited.
    activation : {"lipswish", "elu"}
    log_det : {"exact", "unbiased", "truncated"}
        Log-determinant in training.

        - "exact": from the full Jacobian
        - "unbiased": a power series of random length, which is correct on average
        - "truncated": the first terms of that series, which is biased
    terms : int, number of terms that are always taken, if the series is used
    law : Geometric or Poisson
        Distribution of the number of further terms for ``log_det="unbiased"``.
    tolerance : float, optional
        Largest error of the inverse, relative to lengths above one. By default 1e-6 in single and
        1e-12 in double precision. With eps the spacing of numbers at one, the error can't be kept
        below 4 eps lipschitz / (1 - lipschitz): 4e-6 in single precision for a slope of 0.9.
    kernel_size : int
        Odd side, in pixels, of the kernel of the first and the last convolution.
    reads : str, entry of the condition that g sees

    References
    ----------
    Behrmann, Grathwohl, Chen, Duvenaud and Jacobsen (2019), Invertible residual networks,
    arXiv:1811.00995.
    Chen, Behrmann, Duvenaud and Jacobsen (2019), Residual flows for invertible generative modeling,
    arXiv:1906.02735.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Residual(hidden=(32, 32)).forward(tf.ones((10, 3)), condition=tf.ones((10, 5)))
    >>> z.shape, log_det.shape
    (TensorShape([10, 3]), TensorShape([10]))
    """

    event_rank = None

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        lipschitz: float = 0.9,
        activation: str = "lipswish",
        log_det: str = "exact",
        terms: int = 5,
        law: Law = Geometric(),
        tolerance: float | None = None,
        kernel_size: int = 3,
        reads: str = FEATURES,
    ) -> None:
        super().__init__()
        subject = "Residual, argument"
        for units in hidden:
            check_integer(f"{subject} 'hidden'", units, do="take (64, 64)")
        do = "take 0.9; nearer to 1, a block is more flexible and takes longer to invert"
        check_number(f"{subject} 'lipschitz'", lipschitz, above=0, below=1, do=do)
        do = (
            "take 'lipswish'; ReLU has no second derivative, and the log-determinant would give "
            "no gradient"
        )
        check_choice(f"{subject} 'activation'", activation, ACTIVATIONS, do)
        check_choice(
            f"{subject} 'log_det'",
            log_det,
            LOG_DETS,
            "take 'exact' for up to a few tens of elements",
        )
        check_integer(f"{subject} 'terms'", terms, do="take 5")
        if tolerance is not None:
            check_number(
                f"{subject} 'tolerance'",
                tolerance,
                above=0,
                below=1,
                do="leave it out, or take 1e-6",
            )
        check_integer(f"{subject} 'kernel_size'", kernel_size, do="take 3")
        if kernel_size % 2 == 0:
            raise InputError(
                f"{subject} 'kernel_size'",
                expected="an odd number",
                got=str(kernel_size),
                do="take 3",
            )
        self.hidden = tuple(hidden)
        self.lipschitz = lipschitz
        self.activation = activation
        self.log_det = log_det
        self.terms = terms
        self.law = law
        self.tolerance = tolerance
        self.kernel_size = kernel_size
        self.reads = reads
        # From a rough inverse, a reversible chain would compute wrong gradients.
        error = max(self._tolerance, least_error(lipschitz, self.variable_dtype))
        self.accurate_inverse = error <= _ACCURATE

    @property
    def _tolerance(self) -> float:
        if self.tolerance is not None:
            return self.tolerance
        return _TOLERANCES.get(self.variable_dtype, 1e-6)

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        size = self.event_shape[:-1]
        check_maps(self, size)
        # Convolutions are as fast without.
        self.xla_pays = not size
        dtype = self.variable_dtype
        self.network = LipschitzNetwork(
            self.channels,
            self.condition_dimension,
            self.hidden,
            self.lipschitz,
            self.activation,
            dtype,
            size,
            self.kernel_size,
        )
        law = self.law if self.log_det == "unbiased" else None
        self.noise = None if self.log_det == "exact" else SeriesNoise(self.terms, law, dtype)

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        vectors = as_vectors(x)
        g, linear = self.network.linearize(vectors, self.network.given(condition))
        noise = None if self.noise is None else self.noise(vectors)
        log_det = linear.log_det() if noise is None else series_log_det(linear, *noise)
        # If g is affine, the log-determinant is the same for all rows; adding zeros repeats it.
        return to_images(vectors + g, self.event_shape[:-1]), log_det + constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        linearize = self.network.linearize
        given = self.network.given(condition)
        tolerance = self._tolerance
        z = as_vectors(z)
        fixed_z, fixed = tf.nest.map_structure(tf.stop_gradient, (z, given))
        solution = fixed_point(
            lambda x: fixed_z - linearize(x, fixed)[0], fixed_z, self.lipschitz, tolerance
        )
        # One more step, which gradients flow through.
        value, linear = linearize(solution, given)
        x = with_implicit_gradient(z - value, linear, self.lipschitz, tolerance)
        log_det = constant_log_det(x) - linearize(x, given)[1].log_det()
        return to_images(x, self.event_shape[:-1]), log_det
