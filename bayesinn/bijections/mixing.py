"""Bijections between the blocks of a flow: ActNorm, permutations, rotations, linear maps."""

import random
from collections.abc import Sequence

import keras
import numpy as np
import scipy
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, constant_log_det, map_channels
from bayesinn.core.errors import check_number


class ActNorm(Bijection):
    """Scale and shift each channel by trained weights, z = x * exp(log_scale) + shift.

    The channels of a vector are its elements; those of an image have one scale for all pixels.
    :meth:`initialize` sets both weights so that the first batch comes out with mean zero and
    standard deviation one. Elements with one below ``minimum_std`` keep their scale, so that
    constant ones aren't amplified. It acts only once: a flag, saved with the weights, protects
    trained or loaded values. See Kingma and Dhariwal (2018), Glow, arXiv:1807.03039.

    Examples
    --------
    >>> import tensorflow as tf
    >>> x = 10.0 + 5.0 * tf.random.stateless_normal((1000, 2), seed=(1, 2))
    >>> layer = ActNorm()
    >>> layer.initialize(x)
    >>> z, log_det = layer.forward(x)
    >>> bool(abs(tf.math.reduce_std(z) - 1.0) < 1e-3)
    True
    """

    event_rank = None
    reads = None

    def __init__(self, minimum_std: float = 1e-3) -> None:
        super().__init__()
        self.minimum_std = check_number(
            "ActNorm, argument 'minimum_std'", minimum_std, above=0, do="leave it out for 0.001"
        )

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.log_scale = self.add_weight(
            shape=(self.channels,), initializer="zeros", autocast=False, name="log_scale"
        )
        self.shift = self.add_weight(
            shape=(self.channels,), initializer="zeros", autocast=False, name="shift"
        )
        self.initialized = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="initialized"
        )

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        log_scale = tf.convert_to_tensor(self.log_scale)
        z = x * tf.exp(log_scale) + tf.convert_to_tensor(self.shift)
        return z, constant_log_det(x, self.pixels * tf.reduce_sum(log_scale))

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        log_scale = tf.convert_to_tensor(self.log_scale)
        x = (z - tf.convert_to_tensor(self.shift)) * tf.exp(-log_scale)
        return x, constant_log_det(z, -self.pixels * tf.reduce_sum(log_scale))

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        axes = list(range(len(x.shape) - 1))
        std = tf.math.reduce_std(x, axis=axes)
        std = tf.where(std < self.minimum_std, tf.ones_like(std), std)
        # Chosen with where, not if, so that it also works inside a compiled function.
        keep = tf.convert_to_tensor(self.initialized) > 0
        self.log_scale.assign(
            tf.where(keep, tf.convert_to_tensor(self.log_scale), -tf.math.log(std))
        )
        self.shift.assign(
            tf.where(keep, tf.convert_to_tensor(self.shift), -tf.reduce_mean(x, axis=axes) / std)
        )
        self.initialized.assign(1.0)


class Permutation(Bijection):
    """Reorder the channels by a random permutation that is drawn once and saved with the weights.

    The channels of a vector are its elements. The permutation is never the identity, which would
    leave a small vector unmixed half the time.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Permutation().forward(tf.constant([[1.0, 2.0]]))
    >>> z.numpy().tolist(), log_det.numpy().tolist()
    ([[2.0, 1.0]], [0.0])
    """

    event_rank = None
    reads = None

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        order = list(range(self.channels))
        while self.channels > 1 and order == sorted(order):
            random.shuffle(order)
        self.order = self.add_fixed("order", np.array(order), "int32")
        self.inverse_order = self.add_fixed("inverse_order", np.argsort(order), "int32")

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(x, tf.convert_to_tensor(self.order), axis=-1), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(z, tf.convert_to_tensor(self.inverse_order), axis=-1), constant_log_det(z)


class Orthogonal(Bijection):
    """Multiply by a random orthogonal matrix that is drawn once and saved with the weights.

    It mixes the elements of a vector, or the channels of each pixel of an image: a fixed 1 x 1
    convolution.

    The matrix is uniform over all rotations and reflections (Haar measure). It isn't trained: a
    random rotation serves as well as a learned one, and its log-determinant is zero. See Mezzadri
    (2007), How to generate random matrices from the classical compact groups,
    arXiv:math-ph/0609050.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Orthogonal().forward(tf.constant([[3.0, 4.0]]))
    >>> round(float(tf.norm(z)), 3)
    5.0
    """

    event_rank = None
    reads = None

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.matrix = self.add_fixed("matrix", random_rotation(self.channels))

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        factor = self._factor()
        return map_channels(lambda rows: tf.matmul(rows, factor), x), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        factor = self._factor()
        x = map_channels(lambda rows: tf.matmul(rows, factor, transpose_b=True), z)
        return x, constant_log_det(z)

    def _factor(self) -> tf.Tensor:
        """Return the matrix (channels, channels) that vectors, as rows, are multiplied by."""
        return tf.convert_to_tensor(self.matrix)


def random_rotation(dimension: int) -> np.ndarray:
    """Draw an orthogonal matrix (d, d), uniform over all of them, from Python's random state."""
    gaussian = np.random.default_rng(random.randrange(2**32)).standard_normal(
        (dimension, dimension)
    )
    orthogonal, triangular = np.linalg.qr(gaussian)
    # Without the signs, the distribution of the result would depend on the conventions of the QR
    # algorithm.
    return orthogonal * np.sign(np.diag(triangular))


class Householder(Orthogonal):
    r"""Multiply by a random orthogonal matrix, then by reflections :math:`1 - 2 v v^T / v^T v`.

    The reflections are learned. The product is orthogonal whatever the weights, and its
    log-determinant is zero. A new one is a random rotation, uniform as in :class:`Orthogonal`. As
    many reflections as elements can reach every orthogonal matrix with the same determinant, 1 or
    -1: this is the default of ``reflections``. Fewer are cheaper. A single channel has no
    directions to learn.

    References
    ----------
    Tomczak and Welling (2016), Improving variational auto-encoders using Householder flow,
    arXiv:1611.09630.
    Joffrain et al. (2006), Accumulating Householder transformations, revisited, ACM Trans. Math.
    Software 32.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Householder(reflections=2).forward(tf.constant([[0.0, 3.0, 4.0]]))
    >>> round(float(tf.norm(z)), 3), float(log_det[0])
    (5.0, 0.0)
    """

    def __init__(self, reflections: int | None = None) -> None:
        super().__init__()
        self.reflections = reflections

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.vectors = None
        if self.channels > 1:
            shape = (self.reflections or self.channels, self.channels)
            normal = keras.initializers.RandomNormal(stddev=1.0)
            self.vectors = self.add_weight(
                shape=shape, initializer=normal, autocast=False, name="vectors"
            )

    def _factor(self) -> tf.Tensor:
        rotation = super()._factor()
        if self.vectors is None:
            return rotation
        # All reflections at once: with unit vectors as rows of V, their product is 1 - V' T^-1 V,
        # where T is the upper triangle of V V' with its diagonal halved.
        vectors = tf.math.l2_normalize(tf.convert_to_tensor(self.vectors), axis=-1)
        gram = tf.matmul(vectors, vectors, transpose_b=True)
        triangle = tf.linalg.band_part(gram, 0, -1) - 0.5 * tf.eye(gram.shape[0], dtype=gram.dtype)
        solved = tf.linalg.triangular_solve(triangle, vectors, lower=False)
        return rotation - tf.matmul(tf.matmul(rotation, vectors, transpose_b=True), solved)


class LULinear(Bijection):
    r"""Multiply by a learned matrix :math:`W = P L U`, which costs no more to invert than to apply.

    P is a permutation, L is lower triangular with a unit diagonal, and the diagonal of U is
    :math:`\pm \exp(l)`. So the matrix never becomes singular, and the log-determinant is the sum of
    l. P and the signs are drawn once and saved with the weights; L, U and l are learned. The matrix
    mixes the elements of a vector, or the channels of each pixel of an image, like the 1 x 1
    convolutions of Glow. A new one is a random rotation, uniform as in :class:`Orthogonal`. See
    Kingma and Dhariwal (2018), Glow, arXiv:1807.03039.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = LULinear().forward(tf.constant([[3.0, 4.0]]))
    >>> round(float(tf.norm(z)), 3)
    5.0
    """

    event_rank = None
    reads = None

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        permutation, lower, upper = scipy.linalg.lu(random_rotation(self.channels))
        diagonal = np.diag(upper)
        # Both triangles in one square, with the logarithm of U's diagonal; L's diagonal is one.
        packed = np.tril(lower, -1) + np.triu(upper, 1) + np.diag(np.log(np.abs(diagonal)))
        self.order = self.add_fixed("order", np.argmax(permutation, axis=0), "int32")
        self.inverse_order = self.add_fixed(
            "inverse_order", np.argmax(permutation, axis=1), "int32"
        )
        self.signs = self.add_fixed("signs", np.sign(diagonal))
        self.factors = self.add_weight(packed.shape, packed, autocast=False, name="factors")

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        lower, upper, log_det = self._triangles()
        order = tf.convert_to_tensor(self.order)

        def multiply(rows: tf.Tensor) -> tf.Tensor:
            return tf.matmul(tf.matmul(tf.gather(rows, order, axis=1), lower), upper)

        return map_channels(multiply, x), constant_log_det(x, log_det)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        lower, upper, log_det = self._triangles()
        order = tf.convert_to_tensor(self.inverse_order)

        def solve(rows: tf.Tensor) -> tf.Tensor:
            # Vectors are rows: the transposed equations are solved.
            columns = tf.transpose(rows)
            columns = tf.linalg.triangular_solve(upper, columns, lower=False, adjoint=True)
            columns = tf.linalg.triangular_solve(lower, columns, lower=True, adjoint=True)
            return tf.gather(tf.transpose(columns), order, axis=1)

        return map_channels(solve, z), constant_log_det(z, -log_det)

    def _triangles(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        factors = tf.convert_to_tensor(self.factors)
        log_diagonal = tf.linalg.diag_part(factors)
        lower = tf.linalg.set_diag(tf.linalg.band_part(factors, -1, 0), tf.ones_like(log_diagonal))
        diagonal = tf.convert_to_tensor(self.signs) * tf.exp(log_diagonal)
        upper = tf.linalg.set_diag(tf.linalg.band_part(factors, 0, -1), diagonal)
        return lower, upper, self.pixels * tf.reduce_sum(log_diagonal)
