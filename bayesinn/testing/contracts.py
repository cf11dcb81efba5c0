"""Requirements of bijections, simulators and summaries, as tests that authors call."""

import contextlib
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import EVERY, STEPS, Bijection, entry
from bayesinn.core import seeds
from bayesinn.core.arrays import broadcast_mask
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.simulation.checks import finite_rows
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import check_observations
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary


def perturb(layer: keras.layers.Layer, generator: np.random.Generator, scale: float) -> None:
    """Move every trainable weight away from its initial value, which is often a special one."""
    for variable in layer.trainable_variables:
        fan_in = int(np.prod(variable.shape[:-1])) if len(variable.shape) > 1 else 1
        noise = generator.standard_normal(tuple(variable.shape)) * scale / np.sqrt(fan_in)
        variable.assign(keras.ops.convert_to_numpy(variable) + noise)


def demand(holds: Any, message: str) -> None:
    """Raise if a requirement isn't met."""
    if not holds:
        raise AssertionError(message)


def demand_equal(got: tf.Tensor, expected: tf.Tensor, tolerance: float, law: str) -> None:
    """Raise if two arrays differ by more than ``tolerance``, relative to values above one."""
    got = np.asarray(got)
    expected = np.asarray(expected)
    demand(got.shape == expected.shape, f"{law}\n  shape {got.shape}, expected {expected.shape}")
    worst = np.max(np.abs(got - expected) / np.maximum(1.0, np.abs(expected)), initial=0.0)
    demand(worst <= tolerance, f"{law}\n  largest error {worst:.3g}, allowed {tolerance:g}")


def demand_finite(value: tf.Tensor, law: str) -> None:
    """Raise if there is a NaN or an infinity."""
    demand(np.all(np.isfinite(value)), f"{law}\n  contains NaN or infinity")


def demand_compiles(
    function: Callable[[], list[tf.Tensor]], subject: str, tolerance: float
) -> None:
    """Raise if the plain graph or XLA gives another result than eager execution.

    The function is traced once and without AutoGraph, as in training.
    """
    expected = function()
    plain = tf.function(function, autograph=False).get_concrete_function()

    @tf.function(autograph=False, jit_compile=True)
    def fused() -> Any:
        return plain()

    for mode, compiled in (("tf.function", plain), ("XLA", fused)):
        for got, value in zip(compiled(), expected, strict=True):
            demand_equal(got, value, tolerance, f"{subject}: {mode} and eager results differ.")


def demand_gradients(
    layer: keras.layers.Layer, loss: Callable[[], tf.Tensor], subject: str, *, zeros: bool = False
) -> None:
    """Raise if the gradient of a loss is missing, zero or not finite for some weight.

    It may be zero where ``zeros`` allows it.
    """
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, [variable.value for variable in layer.trainable_variables])
    for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
        demand(gradient is not None, f"{subject}: no gradient reaches the weight {variable.path}.")
        demand_finite(
            gradient, f"{subject}: the gradient of the weight {variable.path} is not finite."
        )
        demand(
            zeros or np.any(gradient != 0), f"{subject}: the gradient of {variable.path} is zero."
        )


@contextlib.contextmanager
def default_dtype(name: str) -> Iterator[None]:
    """Make new layers with weights of this dtype."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def maker_of(given: Any, kind: type, text: str) -> Callable[[], Any]:
    """Return a function without arguments that makes new layers of a kind.

    What is given is such a function, a class, or a layer, which is copied.
    """
    if isinstance(given, kind):
        return partial(clone, given)
    got = repr(given)
    try:
        inspect.signature(given).bind()
    except (TypeError, ValueError) as error:
        got = f"{got}: {error}"
    else:
        made = given()
        if isinstance(made, kind):
            return given
        got = f"one that makes a {type(made).__name__}"
    raise InputError(
        f"What to check as a {kind.__name__}",
        expected=f"a class of {kind.__name__} without required arguments, a function that makes "
        "one, or one as an example",
        got=got,
        do=f"pass for example {text}, or lambda: {text}(...)",
    )


TOLERANCES = {"float32": 1e-4, "float64": 1e-9}
ROWS = 16


def check_bijection(
    bijection: Callable[[], Bijection] | Bijection,
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
    bijection : class, function that makes a new bijection without weights, or a bijection to copy
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
    make = maker_of(bijection, Bijection, "MyBijection")
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
        case = _Case(make, seed, *setting)
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

    def conditions(self, rows: slice, repeats: int = 1) -> tf.Tensor | None:
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
            draws = self.bijection.inverse_of_draws(some, self.conditions(rows))
            each, _ = self.bijection.inverse(
                tf.reshape(some, (-1, *self.z.shape[1:])), self.conditions(rows, 2)
            )
            self.demand_equal(
                tf.reshape(draws, each.shape), each, "inverse_of_draws isn't inverse."
            )

    def check_log_det(self) -> None:
        # Each row once for each element: as rows don't influence each other, the gradient of the
        # sum of one element of each repetition has a row of the Jacobian for each, in one pass.
        size = self.bijection.dimension
        condition = self.conditions(slice(ROWS), size)
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
        alone = self.bijection.forward(self.x[row], self.conditions(row))
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


SIMULATIONS = 64


def check_simulator(simulator: Simulator, *, finite_share: float = 0.5, seed: int = 1) -> None:
    """Check that a simulator keeps its contract; an AssertionError names what is broken.

    - It is a pure function of the seed, also when traced anew or run by another number of workers.
    - Names, shapes and dtypes are the same for every number of rows.
    - Simulations are finite.
    - Parameters lie inside the prior's support, and survive the map to the flow's vector and back.
    - The data, likelihood and exact posterior that it ships fit.

    ``finite_share`` is the smallest share of simulations that must be finite at the first attempt.

    Examples
    --------
    >>> import bayesinn as bi
    >>> check_simulator(bi.get_simulator("linear"))
    """
    name = f"Simulator {simulator.name!r}"
    batch = simulator.draw(SIMULATIONS, seed)
    for variable, good in finite_rows(batch.observables, batch.context, simulator).items():
        demand(
            good.all(), f"{name}: {variable!r} has NaN or infinity after {SIMULATIONS} simulations."
        )
    share = SIMULATIONS / (SIMULATIONS + int(batch.failed))
    law = f"{name}: only {100 * share:.0f} % of the simulations are finite, "
    law += f"expected {100 * finite_share:.0f} %."
    demand(share >= finite_share, law)
    for check in (_check_seeds, _check_shapes, _check_support, _check_attachments):
        check(simulator, batch, seed, name)


def _check_seeds(simulator: Simulator, batch: Simulations, seed: int, name: str) -> None:
    draws = {f"{name}: the same seed gives other simulations.": simulator.draw(SIMULATIONS, seed)}
    engine = simulator.engine
    if engine.in_graph:
        # Random numbers of NumPy, or of tf.random.normal, would be drawn while tracing, or ignore
        # the seed.
        law = (
            f"{name}: traced anew, the same seed gives other simulations; use "
            "tf.random.stateless_* with the seed."
        )
        draws[law] = engine.renew(engine.declared).sample(SIMULATIONS, seed, "simulations")
    else:
        for workers in (1, 2):
            crew = engine.renew(engine.declared, workers)
            law = (
                f"{name}: {workers} workers give other simulations; use no random numbers but "
                "the generator's."
            )
            draws[law] = crew.sample(SIMULATIONS, seed, "simulations")
    for law, got in draws.items():
        for variable, value in batch.flat().items():
            law_broken = f"{law}\n  first observed in {variable!r}"
            demand_equal(_filled(got.flat()[variable]), _filled(value), 0.0, law_broken)
    other = simulator.draw(SIMULATIONS, seed + 1).flat()
    for variable, value in {**batch.parameters, **batch.observables}.items():
        differs = not np.array_equal(_filled(value), _filled(other[variable])) or np.all(
            value == value[:1]
        )
        demand(
            differs,
            f"{name}: {variable!r} is the same for different seeds; use the seed it is given.",
        )
    given = batch.context or None
    first, second, third = (
        simulator.simulate(batch.parameters, s, given) for s in (seed, seed, seed + 1)
    )
    for variable, value in first.items():
        law = f"{name}: {variable!r} for given parameters changes, though the seed is the same."
        demand_equal(_filled(value), _filled(second[variable]), 0.0, law)
    demand(set(third) == set(first), f"{name}: the names of observables change with the seed.")


def _filled(value: np.ndarray) -> np.ndarray:
    """Return an array with zero in place of NaN, which equals nothing, and whether it is there."""
    lost = np.isnan(value)
    return np.stack([np.where(lost, 0, value), ~lost])


def _check_shapes(simulator: Simulator, batch: Simulations, seed: int, name: str) -> None:
    for rows in (1, 7):
        few = simulator.draw(rows, seed)
        for kind, shapes in simulator.shapes.items():
            values = getattr(few, kind)
            demand(
                set(values) == set(shapes),
                f"{name}: {kind} are {list(values)}, declared {list(shapes)}.",
            )
            for variable, shape in shapes.items():
                value = np.asarray(values[variable])
                usual = np.asarray(batch.flat()[variable]).dtype
                law = f"{name}: {variable!r} of {rows} simulations has"
                demand(
                    value.shape == (rows, *shape),
                    f"{law} shape {value.shape}, expected {(rows, *shape)}.",
                )
                demand(
                    value.dtype == usual,
                    f"{law} dtype {value.dtype}, that of {SIMULATIONS} simulations has {usual}.",
                )
                demand(
                    value.dtype.kind in "fiub", f"{law} dtype {value.dtype}, expected real numbers."
                )


def _check_support(simulator: Simulator, batch: Simulations, seed: int, name: str) -> None:
    space = ParameterSpace(simulator.prior, seed)
    tensors = {
        variable: tf.convert_to_tensor(value) for variable, value in batch.parameters.items()
    }
    inside = np.isfinite(space.prior_log_prob(tensors))
    demand(
        inside.all(),
        f"{name}: {100 * np.mean(~inside):.0f} % of the prior's draws have no density "
        "under the prior.",
    )
    vector, log_det = space.to_vector(
        space.dequantise(tensors, seeds.tensor_seed(seed, "dequantise"))
    )
    finite = np.isfinite(vector).all() and np.isfinite(log_det).all()
    demand(finite, f"{name}: some parameters map to vectors that are not finite.")
    for variable, value in space.from_vector(vector).items():
        law = f"{name}: parameter {variable!r} doesn't come back from the flow's vector."
        demand_equal(value, np.asarray(batch.parameters[variable], np.float32), 1e-4, law)


def _check_attachments(simulator: Simulator, batch: Simulations, seed: int, name: str) -> None:
    if simulator.observed is not None:
        check_observations(simulator, simulator.observed)
    one = {variable: value[0] for variable, value in batch.data.items()}
    if simulator.log_likelihood is not None:
        density = np.asarray(simulator.log_likelihood(batch.parameters, one))
        demand(
            density.shape == (SIMULATIONS,),
            f"{name}: log_likelihood has shape {density.shape}, expected ({SIMULATIONS},).",
        )
        law = f"{name}: log_likelihood of data under the parameters they come from is {density[0]}."
        demand(np.isfinite(density[0]), law)
    if simulator.exact is not None:
        exact = simulator.exact(one, 10, seed)
        for variable, shape in simulator.prior.event_shapes.items():
            got = np.shape(exact.get(variable, ()))
            demand(
                got == (10, *shape),
                f"{name}: exact draws of {variable!r} have shape {got}, not {(10, *shape)}.",
            )


DATA_SETS = 6


def check_summary(
    summary: Callable[[], Summary] | Summary,
    shape: Sequence[int],
    masks: bool | None = None,
    permutation_invariant: bool | None = None,
    seed: int = 1,
    weight_scale: float = 0.3,
    parameters: ParameterSpace | None = None,
) -> None:
    """Check that a summary keeps its contract; an AssertionError names what is broken.

    The error also says by how much. With random weights:

    - one finite vector for each row; rows don't influence each other
    - a gradient for every weight
    - equal results when compiled, and for a copy from the configuration
    - with masks: masked values, and the amount of padding, don't matter
    - for sets: the order of elements doesn't matter, their number does

    Parameters
    ----------
    summary : class, function that makes a new summary without weights, or a summary to copy
    shape : sequence of int, shape of one observation: (steps,) or (steps, channels), ...
    masks : bool, whether observations may have varying length; by default as declared
    permutation_invariant : bool, whether the observation is a set; by default as declared
    weight_scale : float, how far weights are moved from their initial values
    parameters : ParameterSpace, optional, to bind the summary to if it needs the parameters

    Examples
    --------
    >>> from bayesinn.summaries import DeepSet
    >>> check_summary(DeepSet(units=4, hidden=(16, 16)), shape=(9, 2))
    """
    generator = np.random.default_rng(seed)
    x = tf.constant(generator.standard_normal((DATA_SETS, *shape)), tf.float32)
    make = maker_of(summary, Summary, "MySummary")
    with seeded_initial_weights(seed):
        tested = make()
        numbers = functools.partial(_numbers, tested)
        if parameters is not None:
            tested.bind(parameters)
        first = numbers(x)
    masks = tested.masks if masks is None else masks
    if permutation_invariant is None:
        permutation_invariant = tested.order == "set"
    name = repr(tested)
    perturb(tested, generator, weight_scale)
    result = numbers(x)
    demand_finite(first, f"{name}: the result of new weights.")
    demand_finite(result, f"{name}: the result.")
    demand_equal(
        numbers(x[2:3]),
        result[2:3],
        1e-5,
        f"{name}: a row alone and in a batch give different results.",
    )
    weights = tf.constant(generator.standard_normal(result.shape), result.dtype)
    demand_gradients(tested, functools.partial(_weighted, tested, x, None, weights), name)
    # Where many steps follow each other, rounding errors add up: to 1.2e-5, 0.4e-5, 0.6e-5 in a
    # fit, for seeds 1, 2, 3.
    demand_compiles(lambda: [numbers(x)], name, 1e-4)
    copy = clone(tested)
    if parameters is not None:
        copy.bind(parameters)
    copy(x)
    demand(repr(copy) == name, f"{name}: a copy from the configuration is {copy!r}.")
    copy.set_weights(tested.get_weights())
    demand_equal(
        _numbers(copy, x), result, 0.0, f"{name}: a copy with the same weights gives other results."
    )
    if masks:
        _check_masks(tested, x, result, generator)
    if permutation_invariant:
        law = f"{name}: the result depends on the order of elements."
        demand_equal(
            numbers(tf.gather(x, generator.permutation(shape[0]), axis=1)), result, 1e-5, law
        )
    if masks and permutation_invariant:
        differs = tf.reduce_max(tf.abs(numbers(tf.concat([x, x], axis=1)) - result)) > 1e-4
        demand(
            differs,
            f"{name}: a set and the same set twice can't be distinguished; append its size.",
        )


def _weighted(
    summary: Summary, x: tf.Tensor, mask: tf.Tensor | None, weights: tf.Tensor
) -> tf.Tensor:
    """Return a weighted sum of squares: the gradient of a plain one may vanish by symmetry."""
    arguments = (x,) if mask is None else (x, mask)
    return tf.reduce_sum(weights * _numbers(summary, *arguments) ** 2)


def _numbers(summary: Summary, *arguments: tf.Tensor, length: int | None = None) -> tf.Tensor:
    """Return all entries of the condition as numbers (n, k); of steps, up to a length."""
    entries = dict(entry(summary(*arguments), EVERY))
    if STEPS in entries:
        entries[STEPS] = entries[STEPS][:, :length]
    parts = [
        tf.reshape(value, (-1, math.prod(value.shape[1:]))) if len(value.shape) > 2 else value
        for value in entries.values()
    ]
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)


def _check_masks(
    summary: Summary, x: tf.Tensor, result: tf.Tensor, generator: np.random.Generator
) -> None:
    steps = x.shape[1]
    law = f"{summary!r}: a mask without padding changes the result."
    demand_equal(_numbers(summary, x, tf.fill((DATA_SETS, steps), True)), result, 1e-5, law)
    # Anywhere: at the end, or missing values between others; no row is empty.
    scattered = tf.constant((generator.random((DATA_SETS, steps)) < 0.5) | (np.arange(steps) == 0))
    weights = tf.constant(generator.standard_normal(result.shape), result.dtype)
    garbage = tf.constant(generator.choice([-3e38, -1.0, 1e-30, 7.0, 3e38], x.shape), x.dtype)
    for mask in (scattered, tf.sequence_mask(1 + tf.range(DATA_SETS) % steps, steps)):
        masked = broadcast_mask(mask, x)
        law = f"{summary!r}: masked numbers change the result."
        filled = tf.where(masked, x, garbage)
        demand_equal(
            _numbers(summary, filled, mask),
            _numbers(summary, tf.where(masked, x, 0.0), mask),
            0.0,
            law,
        )
        loss = functools.partial(_weighted, summary, filled, mask, weights)
        demand_gradients(summary, loss, f"{summary!r}, with masked numbers", zeros=True)
    for length in range(1, steps):
        expected = _numbers(summary, x[:, :length])
        for padding in (steps, steps + 5):
            tail = tf.constant(
                100.0 * generator.standard_normal((DATA_SETS, padding - length, *x.shape[2:])),
                x.dtype,
            )
            mask = tf.sequence_mask(tf.fill((DATA_SETS,), length), padding)
            law = f"{summary!r}: {length} elements give another result when padded to {padding}."
            demand_equal(
                _numbers(summary, tf.concat([x[:, :length], tail], axis=1), mask, length=length),
                expected,
                1e-5,
                law,
            )
