"""The requirements of a bijection."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

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
    condition_shape: Sequence[int] | None = None,
) -> None:
    """Check that a bijection keeps its contract; an AssertionError names what is broken.

    The error also says by how much. Wrong shapes are an InputError of the bijection itself.

    These checks have random weights, in double precision, and for the largest events also in
    single precision:

    - both round trips
    - the log-determinant against automatic differentiation; log-determinants of both directions
      cancel
    - rows don't influence each other
    - finite values and gradients for extreme inputs
    - a gradient for every weight
    - equal results when compiled, and for a copy from the configuration

    A new bijection must be the identity, up to a rotation, with equal gradients when compiled.

    Parameters
    ----------
    bijection_factory : callable that makes a new bijection without weights: a class, or a lambda
    dimensions, condition_dimensions : sequences of int, lengths to try; 0 is no condition
    weight_scale : float, how far weights are moved from their initial values
    near_identity : bool, whether a new bijection must be the identity up to a rotation
    event_shape : sequence of int
        Event shape in place of vectors: (height, width, channels) for images.
    condition_shape : sequence of int
        Condition shape in place of vectors: (height, width, c) for maps beside images.

    Examples
    --------
    >>> from bayesinn.bijections import ActNorm
    >>> check_bijection(ActNorm, dimensions=(2,))
    """
    event_shapes: list[tuple[int, ...]] = [(length,) for length in dimensions]
    if event_shape is not None:
        event_shapes = [tuple(event_shape)]
    condition_shapes: list[tuple[int, ...] | None] = [
        (length,) if length else None for length in condition_dimensions
    ]
    if condition_shape is not None:
        condition_shapes = [tuple(condition_shape)]
    # Compilation takes long, and what it may break doesn't depend on the sizes. In double
    # precision, where rounding in another order can't hide an error.
    compiled = (event_shapes[-1], condition_shapes[-1], "float64")
    largest = max(event_shapes, key=math.prod)
    conditions = itertools.cycle(condition_shapes)
    settings = [
        # Sizes of events and of conditions fail independently: not every pair is needed.
        *((shape, next(conditions), "float64") for shape in event_shapes[:-1]),
        *((event_shapes[-1], shape, "float64") for shape in condition_shapes),
        # Rounding errors grow with the size.
        (largest, condition_shapes[-1], "float32"),
    ]
    for setting in settings:
        case = _Case(bijection_factory, seed, *setting)
        if near_identity:
            case.check_new()
        if setting == compiled:
            # As training begins, where many weights are zero.
            case.check_compiled_gradients()
        perturb(case.bijection, case.generator, weight_scale)
        case.check_inverse()
        case.check_rows()
        case.check_log_det()
        case.check_extremes()
        demand_gradients(case.bijection, case.loss, case.name)
        case.check_configuration()
        if setting == compiled:
            case.check_compiled()


class _Case:
    def __init__(
        self,
        factory: Callable[[], Bijection],
        seed: int,
        event_shape: tuple[int, ...],
        condition_shape: tuple[int, ...] | None,
        dtype: str,
    ) -> None:
        self.dtype = dtype
        self.tolerance = TOLERANCES[dtype]
        with default_dtype(dtype), seeded_initial_weights(seed):
            self.bijection = factory()
            self.bijection.build(event_shape, condition_shape)
        self.generator = np.random.default_rng(seed)
        self.x = tf.constant(self.generator.standard_normal((ROWS, *event_shape)), dtype)
        self.condition = (
            None
            if condition_shape is None
            else tf.constant(self.generator.standard_normal((ROWS, *condition_shape)), dtype)
        )
        # Of vectors, the same: what is far out for one direction is for the other.
        self.z = tf.reshape(self.x, (ROWS, *self.bijection.latent_shape))
        self.forward = partial(self.bijection.forward, condition=self.condition)
        self.inverse = partial(self.bijection.inverse, condition=self.condition)
        self.directions = {"forward": (self.forward, self.x), "inverse": (self.inverse, self.z)}
        self.name = (
            f"{self.bijection!r}, events of shape {event_shape}, conditions of shape "
            f"{condition_shape}, {dtype}"
        )

    def demand_equal(self, got: tf.Tensor, expected: tf.Tensor, law: str) -> None:
        demand_equal(got, expected, self.tolerance, f"{self.name}: {law}")

    def given(self, rows: slice, repeats: int = 1) -> tf.Tensor | None:
        return None if self.condition is None else tf.repeat(self.condition[rows], repeats, axis=0)

    def check_new(self) -> None:
        z, log_det = self.forward(self.x)
        law = f"{self.name}: a new bijection must be the identity, up to a rotation"
        demand_equal(
            _inner_products(z), _inner_products(self.x), 1e-4, f"{law}; inner products change."
        )
        demand_equal(
            log_det, tf.zeros_like(log_det), 1e-4, f"{law}; the log-determinant isn't zero."
        )

    def check_inverse(self) -> None:
        z, log_det = self.forward(self.x)
        back, inverse_log_det = self.inverse(z)
        self.demand_equal(back, self.x, "inverse(forward(x)) isn't x.")
        self.demand_equal(inverse_log_det, -log_det, "log-determinants don't cancel.")
        self.demand_equal(
            self.forward(self.inverse(self.z)[0])[0], self.z, "forward(inverse(z)) isn't z."
        )
        for rows in (slice(1), slice(ROWS)):
            some = tf.stack([self.z[rows], 0.5 * self.z[rows]], axis=1)
            draws = self.bijection.inverse_of_draws(some, self.given(rows))
            each, _ = self.bijection.inverse(
                tf.reshape(some, (-1, *self.z.shape[1:])), self.given(rows, 2)
            )
            self.demand_equal(
                tf.reshape(draws, each.shape), each, "inverse_of_draws isn't inverse."
            )

    def check_log_det(self) -> None:
        # Each row once for each element: as rows don't influence each other, the gradient of the
        # sum of one element of each repetition has a row of the Jacobian for each, in one pass.
        size = self.bijection.dimension
        condition = self.given(slice(ROWS), size)
        for name, (direction, events) in self.directions.items():
            repeated = tf.repeat(events, size, axis=0)
            with tf.GradientTape() as tape:
                tape.watch(repeated)
                images, log_det = direction(repeated, condition=condition)
                elements = tf.tile(tf.eye(size, dtype=events.dtype), (ROWS, 1)) * _flat(images)
            jacobian = tf.reshape(tape.gradient(elements, repeated), (ROWS, size, size))
            expected = np.linalg.slogdet(jacobian.numpy())[1]
            self.demand_equal(
                log_det[::size], expected, f"the log_det of {name} isn't that of its Jacobian."
            )

    def check_rows(self) -> None:
        row = slice(3, 4)
        together = self.forward(self.x)
        alone = self.bijection.forward(self.x[row], self.given(row))
        for got, expected in zip(alone, together, strict=True):
            self.demand_equal(
                got, expected[row], "a row alone and in a batch give different results."
            )

    def check_extremes(self) -> None:
        for name, (direction, events) in self.directions.items():
            far = tf.reshape(1e3 * tf.math.l2_normalize(_flat(events), axis=-1), events.shape)
            with tf.GradientTape() as tape:
                tape.watch(far)
                z, log_det = direction(far)
                loss = tf.reduce_mean(z) - tf.reduce_mean(log_det)
            for kind, value in (
                ("value", z),
                ("log_det", log_det),
                ("gradient", tape.gradient(loss, far)),
            ):
                demand_finite(value, f"{self.name}: {name} of events of length 1000, {kind}.")

    def loss(self) -> tf.Tensor:
        z, log_det = self.forward(self.x)
        return tf.reduce_mean(0.5 * tf.reduce_sum(_flat(z) ** 2, axis=-1) - log_det)

    def check_compiled_gradients(self) -> None:
        def gradients() -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                loss = self.loss()
            weights = [variable.value for variable in self.bijection.trainable_variables]
            return tape.gradient(loss, weights, unconnected_gradients="zero")

        demand_compiles(gradients, f"{self.name}, gradients of a new bijection", self.tolerance)

    def check_configuration(self) -> None:
        with default_dtype(self.dtype):
            copy = clone(self.bijection)
            copy.build(self.bijection.event_shape, self.bijection.condition_shape)
        demand(
            repr(copy) == repr(self.bijection),
            f"{self.name}: a copy from the configuration is {copy!r}.",
        )
        self.bijection.initialize(self.x, self.condition)
        copy.set_weights(self.bijection.get_weights())
        # Must change nothing: loaded weights are never set from data again.
        copy.initialize(2.0 * self.x, self.condition)
        for got, expected in zip(
            copy.forward(self.x, self.condition), self.forward(self.x), strict=True
        ):
            demand_equal(
                got,
                expected,
                0.0,
                f"{self.name}: a copy with the same weights gives other results.",
            )

    def check_compiled(self) -> None:
        demand_compiles(
            lambda: [*self.forward(self.x), *self.inverse(self.z)], self.name, self.tolerance
        )


def _flat(events: tf.Tensor) -> tf.Tensor:
    return tf.reshape(events, (tf.shape(events)[0], -1))


def _inner_products(events: tf.Tensor) -> tf.Tensor:
    return tf.matmul(_flat(events), _flat(events), transpose_b=True)
