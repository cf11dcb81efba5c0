"""Networks with a bounded slope in their input, by spectral normalisation of linear maps."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import as_vectors
from bayesinn.bijections.residual.linearization import Linearization, product, to_images

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
