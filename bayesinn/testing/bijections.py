"""The laws of a bijection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection
from bayesinn.core.configuration import clone
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.testing.measures import (
    default_dtype,
    demand,
    demand_compiles,
    demand_equal,
    demand_finite,
    demand_gradients,
    perturb,
)

TOLERANCES = {"float32": 1e-4, "float64": 1e-9}
ROWS = 16


def check_bijection(
    bijection_factory: Callable[[], Bijection],
    dimensions: Sequence[int] = (1, 2, 3, 7),
    condition_dimensions: Sequence[int] = (0, 4),
    seed: int = 1,
    weight_scale: float = 0.3,
    near_identity: bool = True,
    event_shape: Sequence[int] | None = None,
) -> None:
    """Check that a bijection keeps its contract.

    With random weights, in single and double precision: both round trips, the log-determinant against automatic
    differentiation, log-determinants of both directions that cancel, rows that don't influence each other, finite
    values and gradients for extreme inputs, a gradient for every weight, equal results when compiled, and a copy from
    the configuration. When new: the identity, up to a rotation.

    Parameters
    ----------
    bijection_factory : callable
        Makes a new bijection, without weights: a class, or a lambda.
    dimensions : sequence of int
        Lengths of vectors to try.
    condition_dimensions : sequence of int
        Lengths of conditions to try; 0 is no condition.
    seed : int
        Of the random weights and vectors.
    weight_scale : float
        How far weights are moved from their initial values.
    near_identity : bool
        Whether a new bijection must be the identity up to a rotation.
    event_shape : sequence of int, optional
        Shape of one event, to check in place of vectors of ``dimensions``: (height, width, channels) for images.

    Raises
    ------
    AssertionError
        With the law that was broken, by how much, and the shapes.

    Examples
    --------
    >>> from bayesinn.bijections import ActNorm
    >>> check_bijection(ActNorm, dimensions=(2,))
    """
    event_shapes = [(dimension,) for dimension in dimensions] if event_shape is None else [tuple(event_shape)]
    last = (event_shapes[-1], condition_dimensions[-1])
    for shape in event_shapes:
        for condition_dimension in condition_dimensions:
            for dtype in TOLERANCES:
                case = _Case(bijection_factory, shape, condition_dimension, dtype, seed)
                if near_identity:
                    case.check_new()
                perturb(case.bijection, case.generator, weight_scale)
                case.check_inverse()
                case.check_rows()
                case.check_log_det()
                case.check_extremes()
                case.check_gradients()
                case.check_configuration()
                # Compilation takes long, and what it may break doesn't depend on the sizes. In double precision,
                # where rounding in another order can't hide an error.
                if dtype == "float64" and (shape, condition_dimension) == last:
                    case.check_compiled()


class _Case:
    """One bijection with weights, and events to try it on."""

    def __init__(
        self,
        factory: Callable[[], Bijection],
        event_shape: tuple[int, ...],
        condition_dimension: int,
        dtype: str,
        seed: int,
    ) -> None:
        self.dtype = dtype
        self.tolerance = TOLERANCES[dtype]
        with default_dtype(dtype), seeded_initial_weights(seed):
            self.bijection = factory()
            self.bijection.build(event_shape, (condition_dimension,) if condition_dimension else None)
        self.generator = np.random.default_rng(seed)
        self.x = self._normal(*event_shape)
        self.condition = self._normal(condition_dimension) if condition_dimension else None
        self.name = f"{self.bijection!r}, events of shape {event_shape}, condition of {condition_dimension}, {dtype}"

    def _normal(self, *shape: int) -> tf.Tensor:
        return tf.constant(self.generator.standard_normal((ROWS, *shape)), self.dtype)

    def check_new(self) -> None:
        z, log_det = self.bijection.forward(self.x, self.condition)
        law = f"{self.name}: a new bijection must be the identity, up to a rotation"
        demand_equal(_inner_products(z), _inner_products(self.x), 1e-4, f"{law}; inner products change.")
        demand_equal(log_det, tf.zeros_like(log_det), 1e-4, f"{law}; the log-determinant isn't zero.")

    def check_inverse(self) -> None:
        z, log_det = self.bijection.forward(self.x, self.condition)
        demand(z.shape == self.x.shape, f"{self.name}: forward changed the shape {self.x.shape} to {z.shape}.")
        demand(log_det.shape == (ROWS,), f"{self.name}: log_det has shape {log_det.shape}, expected ({ROWS},).")
        back, inverse_log_det = self.bijection.inverse(z, self.condition)
        demand_equal(back, self.x, self.tolerance, f"{self.name}: inverse(forward(x)) isn't x.")
        demand_equal(inverse_log_det, -log_det, self.tolerance, f"{self.name}: log-determinants don't cancel.")
        x, _ = self.bijection.inverse(self.x, self.condition)
        again, _ = self.bijection.forward(x, self.condition)
        demand_equal(again, self.x, self.tolerance, f"{self.name}: forward(inverse(z)) isn't z.")
        for rows in (1, ROWS):
            some = tf.stack([self.x[:rows], 0.5 * self.x[:rows]], axis=1)
            condition = None if self.condition is None else self.condition[:rows]
            draws = self.bijection.inverse_of_draws(some, condition)
            repeated = None if condition is None else tf.repeat(condition, 2, axis=0)
            each, _ = self.bijection.inverse(tf.reshape(some, (-1, *self.x.shape[1:])), repeated)
            law = f"{self.name}: inverse_of_draws isn't inverse."
            demand_equal(tf.reshape(draws, each.shape), each, self.tolerance, law)

    def check_log_det(self) -> None:
        for direction in (self.bijection.forward, self.bijection.inverse):
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(self.x)
                z, log_det = direction(self.x, self.condition)
                columns = tf.unstack(_flat(z), axis=-1)
            jacobian = tf.stack([_flat(tape.gradient(column, self.x)) for column in columns], axis=1)
            expected = np.linalg.slogdet(jacobian.numpy())[1]
            law = f"{self.name}: the log_det of {direction.__name__} isn't that of its Jacobian."
            demand_equal(log_det, expected, self.tolerance, law)

    def check_rows(self) -> None:
        z, log_det = self.bijection.forward(self.x, self.condition)
        one = None if self.condition is None else self.condition[3:4]
        z_alone, log_det_alone = self.bijection.forward(self.x[3:4], one)
        law = f"{self.name}: a row alone and in a batch give different results."
        demand_equal(z_alone, z[3:4], self.tolerance, law)
        demand_equal(log_det_alone, log_det[3:4], self.tolerance, law)

    def check_extremes(self) -> None:
        far = tf.reshape(1e3 * tf.math.l2_normalize(_flat(self.x), axis=-1), self.x.shape)
        for direction in (self.bijection.forward, self.bijection.inverse):
            with tf.GradientTape() as tape:
                tape.watch(far)
                z, log_det = direction(far, self.condition)
                loss = tf.reduce_mean(z) - tf.reduce_mean(log_det)
            law = f"{self.name}: {direction.__name__} of events of length 1000"
            demand_finite(z, f"{law}, value.")
            demand_finite(log_det, f"{law}, log_det.")
            demand_finite(tape.gradient(loss, far), f"{law}, gradient.")

    def check_gradients(self) -> None:
        def loss() -> tf.Tensor:
            z, log_det = self.bijection.forward(self.x, self.condition)
            return tf.reduce_mean(0.5 * tf.reduce_sum(_flat(z) ** 2, axis=-1) - log_det)

        demand_gradients(self.bijection, loss, self.name)

    def check_configuration(self) -> None:
        with default_dtype(self.dtype):
            copy = clone(self.bijection)
            copy.build(self.bijection.event_shape, self.bijection.condition_shape)
        demand(repr(copy) == repr(self.bijection), f"{self.name}: a copy from the configuration is {copy!r}.")
        self.bijection.initialize(self.x, self.condition)
        copy.set_weights(self.bijection.get_weights())
        # Must change nothing: loaded weights are never set from data again.
        copy.initialize(2.0 * self.x, self.condition)
        for got, expected in zip(
            copy.forward(self.x, self.condition), self.bijection.forward(self.x, self.condition), strict=True
        ):
            demand_equal(got, expected, 0.0, f"{self.name}: a copy with the same weights gives other results.")

    def check_compiled(self) -> None:
        def both_ways() -> list[tf.Tensor]:
            return [*self.bijection.forward(self.x, self.condition), *self.bijection.inverse(self.x, self.condition)]

        demand_compiles(both_ways, self.name, self.tolerance)


def _flat(events: tf.Tensor) -> tf.Tensor:
    """Return events (n, *event) as vectors (n, d)."""
    return tf.reshape(events, (len(events), -1))


def _inner_products(events: tf.Tensor) -> tf.Tensor:
    return tf.matmul(_flat(events), _flat(events), transpose_b=True)
