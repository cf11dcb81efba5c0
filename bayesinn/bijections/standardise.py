"""Standardise vectors by an estimate that comes with the condition, then map them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.bijections.bijection import Bijection
from bayesinn.core.errors import InputError

tfb = tfp.bijectors

Map = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# Between lower triangular matrices and their elements, with the logarithm of the diagonal.
_ROOTS = tfb.FillScaleTriL(diag_bijector=tfb.Exp(), diag_shift=None)


class Standardise(Bijection):
    """Subtract a location and turn the rest by a root of its covariance, both part of the condition; then another map.

    With a location m and a lower triangular root L of a covariance, the inner bijection sees z = L^-1 (x - m): what
    the estimate tells of the widths of a posterior, and of its directions, however thin it is, need not be learned.

    Of a condition (n, c) for vectors (n, d), the first d elements are a first estimate of the vector, the next
    d (d + 1) / 2 are the root as :func:`from_root` writes it, and the next d the location, as
    :class:`bayesinn.summaries.Scoring` gives them. The inner bijection sees the condition from the location onwards.
    The first estimate has no part in the result, but it is taught: to the log density comes minus half its squared
    distance from the vector, as a gradient without a value.

    Parameters
    ----------
    inner : Bijection
        Usually a :class:`Chain`.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.bijections import ActNorm
    >>> start, location = tf.zeros((1, 2)), tf.constant([[1.0, 2.0]])
    >>> root = from_root(tf.constant([[[1.0, 0.0], [1.0, 0.5]]]))
    >>> standardise = Standardise(ActNorm())
    >>> z, _ = standardise.forward(tf.constant([[4.0, 4.0]]), tf.concat([start, root, location], axis=-1))
    >>> z.numpy().tolist()
    [[3.0, -2.0]]
    """

    def __init__(self, inner: Bijection) -> None:
        super().__init__()
        self.inner = inner
        self._straighten: Map = _difference
        self._bend: Map = _sum

    def bind(self, straighten: Map, bend: Map) -> None:
        """Other differences from locations than those of the elements.

        Parameters
        ----------
        straighten : callable
            Of vectors (n, d) and what the inner bijection sees (n, c), or (1, c) for all, which begins with locations,
            to differences (n, d), and the log determinant (n,).
        bend : callable
            Of differences and the same to vectors, and the log determinant.
        """
        self._straighten, self._bend = straighten, bend

    @property
    def accurate_inverse(self) -> bool:  # type: ignore[override]
        """As the inner one's."""
        return self.inner.accurate_inverse

    def build(self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None) -> None:
        super().build(event_shape, condition_shape)
        dimension, condition_dimension = self.dimension, self.condition_dimension
        rest = condition_dimension - dimension - dimension * (dimension + 1) // 2
        if rest < dimension:
            raise InputError(
                "Condition for Standardise",
                expected=f"{condition_dimension - rest + dimension} elements or more: estimate, root and location",
                got=f"{condition_dimension}",
                do="summarise with Scoring, as the first of the summaries",
            )
        self.inner.build((dimension,), (rest,))

    def forward(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        start, _, rest = self._parts(condition)
        # For the network that estimates; gradients by x are those of the density.
        lesson = -0.5 * tf.reduce_sum((tf.stop_gradient(x) - start) ** 2, axis=-1)
        lesson = tf.where(tf.math.is_finite(lesson), lesson, 0.0)
        x, log_det_outer = self.standardised(x, condition)
        z, log_det = self.inner.forward(x, rest)
        # The difference first: it is zero exactly, beside whatever log determinant.
        return z, log_det + log_det_outer + (lesson - tf.stop_gradient(lesson))

    def inverse(self, z: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        x, log_det = self.inner.inverse(z, self._parts(condition)[-1])
        x, log_det_outer = self.restored(x, condition)
        return x, log_det + log_det_outer

    def inverse_of_draws(self, z: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        _, root, rest = self._parts(condition)
        x = tf.matmul(self.inner.inverse_of_draws(z, rest), root, transpose_b=True)
        # A single row serves all draws as it is.
        repeats = tf.where(tf.shape(z)[0] == 1, 1, tf.shape(z)[1])
        x, _ = self._bend(tf.reshape(x, (-1, self.dimension)), tf.repeat(rest, repeats, axis=0))
        return tf.reshape(x, tf.shape(z))

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        self.inner.initialize(*self.inner_inputs(x, condition))

    def inner_inputs(self, x: tf.Tensor, condition: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What the inner bijection sees of vectors (n, d) and conditions (n, c)."""
        return self.standardised(x, condition)[0], self._parts(condition)[-1]

    def standardised(self, x: tf.Tensor, condition: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What the inner bijection sees of vectors (n, d), and the log determinant (n,) of what comes before it.

        Conditions are (n, c), or (1, c) for all.
        """
        _, root, rest = self._parts(condition)
        x, log_det = self._straighten(x, rest)
        return tf.linalg.triangular_solve(root, x[..., None])[..., 0], log_det - _log_det(root)

    def restored(self, x: tf.Tensor, condition: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The inverse of :meth:`standardised`."""
        _, root, rest = self._parts(condition)
        x, log_det = self._bend(tf.linalg.matvec(root, x), rest)
        return x, log_det + _log_det(root)

    def _parts(self, condition: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """First estimate, root, and all that the inner bijection sees."""
        sizes = self.dimension, self.dimension * (self.dimension + 1) // 2
        start, root, rest = tf.split(condition, [*sizes, -1], axis=-1)
        return start, _ROOTS.forward(root), rest


def from_root(root: tf.Tensor) -> tf.Tensor:
    """Lower triangular matrices (n, d, d) with positive diagonals as any numbers, (n, d (d + 1) / 2)."""
    return _ROOTS.inverse(root)


def _difference(x: tf.Tensor, rest: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return x - rest[:, : x.shape[-1]], tf.zeros_like(x[:, 0])


def _sum(difference: tf.Tensor, rest: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return rest[:, : difference.shape[-1]] + difference, tf.zeros_like(difference[:, 0])


def _log_det(root: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.math.log(tf.linalg.diag_part(root)), axis=-1)
