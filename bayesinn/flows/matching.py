"""Flows without invertible layers: a network learns how noise becomes events."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.compilation import Dropout
from bayesinn.core.configuration import Configured, clone
from bayesinn.core.errors import InputError, check_choice, check_integer, check_number, check_type
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents import Normal, Seed, check_seed

# Frequencies of the sines and cosines of time; times lie within -2 and 2.
_FREQUENCIES = 0.5 * np.pi * 2.0 ** np.arange(6, dtype=np.float32)


class TimeNetwork(Configured, keras.layers.Layer):
    """The contract of networks inside matching flows.

    An author derives from this class, makes weights in ``build(event_shape, condition_shape)``, and
    writes :meth:`call`, optionally also :meth:`embed`.
    """

    def __init__(self) -> None:
        super().__init__(autocast=False)

    def embed(self, condition: tf.Tensor | None) -> tf.Tensor | None:
        """Return what :meth:`call` needs of conditions (n, c); computed once for many times."""
        return condition

    def call(
        self,
        x: tf.Tensor,
        time: tf.Tensor,
        embedded: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Return a tensor like the events x (n, *event), at times (n,), or (1,) for all of them."""
        raise NotImplementedError


class ResidualMLP(TimeNetwork):
    """A residual perceptron; the time scales and shifts the units of each block.

    The last layer starts at zero.

    Parameters
    ----------
    units : int, width of every layer
    blocks : int, number of hidden layers, each added to its input
    activation : str, name of a Keras activation
    dropout : float, share of hidden units dropped in training

    Examples
    --------
    >>> import tensorflow as tf
    >>> network = ResidualMLP(units=32, blocks=2)
    >>> network.build((3,), (5,))
    >>> network(tf.ones((10, 3)), tf.zeros((1,)), network.embed(tf.ones((10, 5)))).shape
    TensorShape([10, 3])
    """

    def __init__(
        self, units: int = 128, blocks: int = 3, activation: str = "silu", dropout: float = 0.0
    ) -> None:
        super().__init__()
        # Plain integers, which Keras wants.
        self.units = int(units)
        self.blocks = int(blocks)
        self.activation = keras.activations.get(activation)
        self.dropout = Dropout(dropout)

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        size = math.prod(event_shape)
        self.first = _dense(size, self.units)
        self.conditions = (
            None if condition_shape is None else _dense(condition_shape[0], self.units)
        )
        times = 1 + 2 * len(_FREQUENCIES)
        self.modulations = [
            _dense(times, 2 * self.units, kernel_initializer="zeros") for _ in range(self.blocks)
        ]
        self.hidden = [_dense(self.units, self.units) for _ in range(self.blocks)]
        self.last = _dense(self.units, size, kernel_initializer="zeros")

    def embed(self, condition: tf.Tensor | None) -> tf.Tensor | None:
        return None if self.conditions is None else self.conditions(condition)

    def call(
        self,
        x: tf.Tensor,
        time: tf.Tensor,
        embedded: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        values = self.first(tf.reshape(x, (-1, math.prod(x.shape[1:]))))
        if embedded is not None:
            values = values + embedded
        features = _time_features(time)
        for modulation, hidden in zip(self.modulations, self.hidden, strict=True):
            scale, shift = tf.split(modulation(features), 2, axis=-1)
            active = self.activation(values * (1.0 + scale) + shift)
            values = values + hidden(self.dropout(active, training=training))
        outputs = self.last(self.activation(values))
        return tf.cast(tf.reshape(outputs, tf.shape(x)), x.dtype)


def _dense(
    inputs: int, units: int, kernel_initializer: str = "glorot_uniform"
) -> keras.layers.Dense:
    layer = keras.layers.Dense(units, kernel_initializer=kernel_initializer)
    layer.build((None, inputs))
    return layer


def _time_features(time: tf.Tensor) -> tf.Tensor:
    """Return times (n,) with their sines and cosines (n, features)."""
    column = time[:, None]
    angles = column * tf.cast(_FREQUENCIES, time.dtype)
    return tf.concat([column, tf.sin(angles), tf.cos(angles)], axis=-1)


class NoiseFlow(Flow):
    """A flow whose network sees a noisy event, the time (its noise level) and the condition.

    Events should be standardised, as an :class:`~bayesinn.AmortizedPosterior` does.
    """

    nats = False
    density: Literal["exact", "costly"] | None = None

    def __init__(self, network: TimeNetwork | None) -> None:
        super().__init__()
        do = "pass for example bi.flows.ResidualMLP(units=256), or leave it out"
        kinds = (TimeNetwork, type(None))
        check_type(f"{type(self).__name__}, argument 'network'", network, kinds, "a network", do)
        self.network = ResidualMLP() if network is None else network
        self.latent = Normal()

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.network.build(self.event_shape, self.condition_shape)

    def embedded(
        self, condition: tf.Tensor | None, repeats: int | tf.Tensor = 1
    ) -> tf.Tensor | None:
        """Return the network's input from conditions (m, c), each row ``repeats`` times."""
        self.check_condition(condition)
        if condition is None:
            return None
        return tf.repeat(self.network.embed(condition), repeats, axis=0)

    def loss(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        for_times, for_noise = split_seed(seed, 2, training)
        return self.noisy_loss(
            x,
            spread_uniforms(x, for_times),
            normal_like(x, for_noise),
            self.embedded(condition),
            progress,
            training,
        )

    def noisy_loss(
        self,
        x: tf.Tensor,
        uniforms: tf.Tensor,
        noise: tf.Tensor,
        embedded: tf.Tensor | None,
        progress: tf.Tensor | float,
        training: bool,
    ) -> tf.Tensor:
        """Return the losses (n,) for events, and noise of the same shape.

        ``uniforms`` (n,) determine the times; ``embedded`` is the network's input from the
        condition.
        """
        raise NotImplementedError

    def sample(
        self, n: int | tf.Tensor, condition: tf.Tensor | None = None, *, seed: Seed
    ) -> tf.Tensor:
        embedded = self.embedded(condition, n)
        rows = 1 if condition is None else tf.shape(condition)[0]
        for_start, for_path = seeds.split(check_seed(seed), 2)
        z = self.latent.sample((rows * n, *self.event_shape), for_start)
        x = self.from_noise(z, embedded, for_path)
        x = tf.reshape(x, (rows, n, *self.event_shape))
        return x[0] if condition is None else x

    def from_noise(self, z: tf.Tensor, embedded: tf.Tensor | None, seed: tf.Tensor) -> tf.Tensor:
        """Return the events (n, *event) at the ends of paths from standard normal noise."""
        raise NotImplementedError

    def sum_event(self, values: tf.Tensor) -> tf.Tensor:
        """Return the sums (n,) over all axes of an event."""
        return tf.reduce_sum(values, axis=tuple(range(1, values.shape.rank)))

    def as_column(self, times: tf.Tensor) -> tf.Tensor:
        """Return times (n,) with as many axes as events have."""
        return tf.reshape(times, (-1, *(1 for _ in self.event_shape)))


def spread_uniforms(like: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return one number in [0, 1) for each row of a tensor, (n,): an even grid, shifted at random.

    Each number is uniform. The mean of a batch is less noisy than with independent numbers.
    """
    n = tf.shape(like)[0]
    shift = tf.random.stateless_uniform((), seed, dtype=like.dtype, alg="philox")
    return tf.math.floormod(
        shift + tf.cast(tf.range(n), like.dtype) / tf.cast(tf.maximum(n, 1), like.dtype), 1.0
    )


def normal_like(x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return standard normal numbers of the shape of a tensor."""
    return tf.random.stateless_normal(tf.shape(x), seed, dtype=x.dtype, alg="philox")


def split_seed(seed: tf.Tensor | None, number: int, training: bool) -> list[tf.Tensor]:
    """Split the seed of a loss; without one, noise is always the same, which is no training."""
    if seed is None and training:
        raise InputError(
            "Argument 'seed' of the loss",
            expected="a seed, as each step of a training needs noise of its own",
            got="none",
            do="pass seed=tf.constant([step, 0])",
        )
    return seeds.split(tf.zeros((2,), tf.int32) if seed is None else seed, number)


#: Takes a time () and a state, any structure of tensors; returns the same structure.
Velocity = Callable[[tf.Tensor, Any], Any]

FIXED_STEPS = ("midpoint", "heun", "rk4")
SOLVERS = (*FIXED_STEPS, "adaptive")
# Errors in units of the state that the adaptive solver allows in each of its steps.
_TOLERANCE = 1e-5


def integrate(velocity: Velocity, state: Any, times: Any, solver: str) -> Any:
    """Return the state at the last of the times, from that at the first.

    Steps go from time to time (k,), forwards or backwards, or from times of each row to others, (k,
    n, 1, ...). The adaptive solver chooses its own, the same ones for all rows.
    """
    if solver == "adaptive":
        return _adaptive(velocity, state, times)
    slope = {"midpoint": _midpoint, "heun": _heun, "rk4": _rk4}[solver]
    knots = tf.convert_to_tensor(times, tf.float32)
    steps = knots.shape[0] - 1

    def advance(number: tf.Tensor, current: Any) -> tuple[tf.Tensor, Any]:
        time = knots[number]
        step = knots[number + 1] - time
        return number + 1, _step_along(current, slope(velocity, time, step, current), step)

    _, end = tf.while_loop(
        lambda number, _: number < steps,
        advance,
        (tf.constant(0), state),
        maximum_iterations=steps,
    )
    return end


def _step_along(state: Any, slope: Any, step: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda value, rate: value + step * rate, state, slope)


def _midpoint(velocity: Velocity, time: tf.Tensor, step: tf.Tensor, state: Any) -> Any:
    half = 0.5 * step
    return velocity(time + half, _step_along(state, velocity(time, state), half))


def _heun(velocity: Velocity, time: tf.Tensor, step: tf.Tensor, state: Any) -> Any:
    first = velocity(time, state)
    second = velocity(time + step, _step_along(state, first, step))
    return tf.nest.map_structure(lambda a, b: 0.5 * (a + b), first, second)


def _rk4(velocity: Velocity, time: tf.Tensor, step: tf.Tensor, state: Any) -> Any:
    half = 0.5 * step
    first = velocity(time, state)
    second = velocity(time + half, _step_along(state, first, half))
    third = velocity(time + half, _step_along(state, second, half))
    fourth = velocity(time + step, _step_along(state, third, step))
    return tf.nest.map_structure(
        lambda a, b, c, d: (a + 2.0 * b + 2.0 * c + d) / 6.0, first, second, third, fourth
    )


def _adaptive(velocity: Velocity, state: Any, times: np.ndarray) -> Any:
    """Integrate with steps of the Dormand-Prince method that keep to a tolerance."""
    start = float(times[0])
    length = float(times[-1]) - start
    direction = np.sign(length)
    solver = tfp.math.ode.DormandPrince(
        rtol=_TOLERANCE, atol=_TOLERANCE, first_step_size=0.01 * abs(length)
    )

    # TFP's clock only runs forwards.
    def rate(clock: tf.Tensor, current: Any) -> Any:
        slope = velocity(start + direction * clock, current)
        return tf.nest.map_structure(lambda value: direction * value, slope)

    result = solver.solve(rate, 0.0, state, solution_times=[abs(length)])
    return tf.nest.map_structure(lambda values: values[-1], result.states)


# Above so many elements the trace is estimated from so many directions.
_MOST_DIRECTIONS = 20


def directions(event_shape: tuple[int, ...]) -> np.ndarray:
    """Return directions (k, *event) whose mean quadratic form is the trace of a matrix.

    Up to 20 elements they are scaled unit vectors, and the trace is exact. Above, they are 20
    random vectors of signs (Hutchinson 1990), the same ones in every call: a density is a function.
    """
    size = math.prod(event_shape)
    if size <= _MOST_DIRECTIONS:
        vectors = math.sqrt(size) * np.eye(size)
    else:
        vectors = np.random.default_rng(1990).choice([-1.0, 1.0], (_MOST_DIRECTIONS, size))
    return vectors.reshape(-1, *event_shape).astype(np.float32)


def with_divergence(
    velocity: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, vectors: np.ndarray
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return velocities of events x (n, *event), and their divergence (n,)."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        value = velocity(x)
    axes = tuple(range(1, x.shape.rank))
    forms = []
    for vector in vectors:
        along = tf.broadcast_to(tf.cast(vector, x.dtype), tf.shape(x))
        forms.append(tf.reduce_sum(along * tape.gradient(value, x, along), axis=axes))
    return value, tf.add_n(forms) / len(forms)


class Transport(NoiseFlow):
    """A flow along a differential equation, from noise at one time to events at another."""

    density = "costly"
    #: Standard deviation of the noise at the first time.
    start: float = 1.0
    solvers: tuple[str, ...] = SOLVERS

    def __init__(
        self, network: TimeNetwork | None, solver: str, steps: int, density_steps: int
    ) -> None:
        super().__init__(network)
        owner = type(self).__name__
        check_choice(f"{owner}, argument 'solver'", solver, self.solvers)
        self.solver = solver
        self.steps = check_integer(f"{owner}, argument 'steps'", steps)
        self.density_steps = check_integer(f"{owner}, argument 'density_steps'", density_steps)

    def times(self, steps: int) -> np.ndarray:
        """Return the times (steps + 1,) between steps, from noise to events."""
        raise NotImplementedError

    def velocity(
        self, x: tf.Tensor, time: tf.Tensor, embedded: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return dx/dt (n, *event) at events x and a time (); diffusions also allow times (n,)."""
        raise NotImplementedError

    def from_noise(self, z: tf.Tensor, embedded: tf.Tensor | None, seed: tf.Tensor) -> tf.Tensor:
        return integrate(
            lambda time, x: self.velocity(x, time, embedded),
            self.start * z,
            self.times(self.steps),
            self.solver,
        )

    def decode(self, z: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Return the events (n, *event) at the ends of paths from noise (n, *event)."""
        return self.from_noise(z, self.embedded(condition), tf.zeros((2,), tf.int32))

    def encode(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Return the noise (n, *event) whose paths end in events (n, *event)."""
        embedded = self.embedded(condition)
        noise = integrate(
            lambda time, state: self.velocity(state, time, embedded),
            x,
            self.times(self.density_steps)[::-1],
            self.solver,
        )
        return noise / self.start

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Return log densities (n,), from the divergence of the velocity along the path to noise.

        The divergence is exact for events of up to 20 elements, and estimated for more.
        """
        embedded = self.embedded(condition)
        vectors = directions(self.event_shape)

        def velocity(time: tf.Tensor, state: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
            return with_divergence(lambda x: self.velocity(x, time, embedded), state[0], vectors)

        x = tf.convert_to_tensor(x)
        state = (x, tf.zeros_like(self.sum_event(x)))
        times = self.times(self.density_steps)[::-1]
        noise, log_det = integrate(velocity, state, times, self.solver)
        size = math.prod(self.event_shape)
        return self.latent.log_prob(noise / self.start) - size * math.log(self.start) + log_det


class FlowMatching(Transport):
    r"""The flow along the mean velocity of straight lines from noise (t = 0) to events (t = 1).

    Training minimises :math:`|v(x_t, t) - (x_1 - x_0)|^2` at :math:`x_t = (1-t)\,x_0 + t\,x_1`. The
    loss is not in nats. With uniform times its least value is
    :math:`\frac{\pi}{2}\,\mathrm{tr}\,S^{1/2}` for a Gaussian posterior with covariance S.

    Parameters
    ----------
    network : TimeNetwork, by default ``ResidualMLP()``
    late_times : float
        Exponent: training times have a density proportional to ``t ** late_times``. 0 is uniform; 1
        to 4 train more on late times, where the posterior's details form.
    solver : {"midpoint", "heun", "rk4", "adaptive"}
        Solver for draws and densities. "adaptive" chooses its steps, and takes a few times as long.
    steps : int
        Number of steps from noise to a draw; they are shorter towards the event. Each step calls
        the network twice, or four times with "rk4".
    density_steps : int
        Number of steps for a density or a code.

    References
    ----------
    Lipman et al. (2023), Flow matching for generative modeling, arXiv:2210.02747.
    Wildberger et al. (2023), Flow matching for scalable simulation-based inference,
    arXiv:2305.17161.

    Examples
    --------
    >>> import tensorflow as tf
    >>> flow = FlowMatching()
    >>> flow.loss(tf.ones((10, 3)), tf.ones((10, 2)), seed=tf.constant([1, 2])).shape
    TensorShape([10])
    >>> flow.sample(100, condition=tf.ones((4, 2)), seed=(1, 2)).shape
    TensorShape([4, 100, 3])
    """

    def __init__(
        self,
        network: TimeNetwork | None = None,
        late_times: float = 0.0,
        solver: str = "midpoint",
        steps: int = 8,
        density_steps: int = 32,
    ) -> None:
        super().__init__(network, solver, steps, density_steps)
        self.late_times = check_number(
            "FlowMatching, argument 'late_times'", late_times, least=0, do="pass 0, 1 or 4"
        )

    def times(self, steps: int) -> np.ndarray:
        # The velocity changes fastest where the posterior's details form.
        return 1.0 - np.linspace(1.0, 0.0, steps + 1) ** 2

    def velocity(
        self, x: tf.Tensor, time: tf.Tensor, embedded: tf.Tensor | None = None
    ) -> tf.Tensor:
        return self.network(x, tf.reshape(tf.cast(time, x.dtype), (1,)), embedded=embedded)

    def noisy_loss(
        self,
        x: tf.Tensor,
        uniforms: tf.Tensor,
        noise: tf.Tensor,
        embedded: tf.Tensor | None,
        progress: tf.Tensor | float,
        training: bool,
    ) -> tf.Tensor:
        times = uniforms ** (1.0 / (1.0 + self.late_times))
        share = self.as_column(times)
        place = (1.0 - share) * noise + share * x
        velocity = self.network(place, times, embedded=embedded, training=training)
        return self.sum_event((velocity - (x - noise)) ** 2)


# Standard deviations of the noise, for events of unit scale. For "variance preserving", the log of
# the signal-to-noise ratio goes to +-15.
_LEAST_NOISE = 2e-3
_MOST_NOISE = 80.0
_LOG_RATIO = 15.0
_SCHEDULES = ("edm", "variance preserving")


class Diffusion(Transport):
    r"""The flow along the probability-flow equation of a diffusion, from noise to events.

    The network F sees :math:`(x + \sigma n) / \sqrt{1 + \sigma^2}` and the logarithm of
    :math:`\sigma`. Training minimises :math:`|F - (\sigma x - n) / \sqrt{1 + \sigma^2}|^2`, the
    loss of Karras et al. for data of unit scale. It is not in nats; for standard normal events its
    minimum is 1 per element, at every noise level.

    Parameters
    ----------
    network : TimeNetwork, by default ``ResidualMLP()``
    schedule : {"edm", "variance preserving"}
        Noise levels of training and draws. Draws end at a noise of 0.002 ("edm") or 0.0006 of the
        prior's scale: a posterior that is as narrow comes out too wide.

        - "edm": in training, the logarithm of the noise level is normal with mean -1.2 and sd 1.2.
          Draws start from a level of 80.
        - "variance preserving": signal and noise are the cosine and sine of an angle, which is
          uniform in training. Draws follow it.
    solver : {"midpoint", "heun", "rk4"}
        Solver for draws and densities. With equal steps, "midpoint" was several times nearer to
        exact Gaussian posteriors than "heun", the authors' choice.
    steps : int, number of steps from noise to a draw
    density_steps : int, number of steps for a density or a code

    References
    ----------
    Karras et al. (2022), Elucidating the design space of diffusion-based generative models,
    arXiv:2206.00364.
    Salimans and Ho (2022), Progressive distillation for fast sampling of diffusion models,
    arXiv:2202.00512.

    Examples
    --------
    >>> import tensorflow as tf
    >>> flow = Diffusion(schedule="variance preserving")
    >>> flow.loss(tf.ones((10, 3)), tf.ones((10, 2)), seed=tf.constant([1, 2])).shape
    TensorShape([10])
    >>> flow.sample(100, condition=tf.ones((4, 2)), seed=(1, 2)).shape
    TensorShape([4, 100, 3])
    """

    # Noise levels span five orders of magnitude: too many for a clock in single precision.
    solvers = FIXED_STEPS

    def __init__(
        self,
        network: TimeNetwork | None = None,
        schedule: str = "edm",
        solver: str = "midpoint",
        steps: int = 18,
        density_steps: int = 64,
    ) -> None:
        super().__init__(network, solver, steps, density_steps)
        check_choice("Diffusion, argument 'schedule'", schedule, _SCHEDULES)
        self.schedule = schedule
        self.start = math.sqrt(1.0 + _MOST_NOISE**2) if schedule == "edm" else 1.0

    def times(self, steps: int) -> np.ndarray:
        """Return noise levels, or angles whose tangents are noise levels, from noise to events."""
        if self.schedule == "edm":
            ends = (_MOST_NOISE ** (1 / 7), _LEAST_NOISE ** (1 / 7))
            return np.linspace(*ends, steps + 1) ** 7
        least = math.atan(math.exp(-0.5 * _LOG_RATIO))
        return least + (0.5 * np.pi - 2.0 * least) * np.linspace(1.0, 0.0, steps + 1) ** 2

    def velocity(
        self, x: tf.Tensor, time: tf.Tensor, embedded: tf.Tensor | None = None
    ) -> tf.Tensor:
        times = tf.reshape(time, (-1,))
        if self.schedule == "variance preserving":
            return -self.output(x, tf.tan(times), embedded)
        level = self.as_column(times)
        scale = tf.sqrt(1.0 + level**2)
        return (x * level / scale - self.output(x / scale, times, embedded)) / scale

    def output(
        self,
        x: tf.Tensor,
        levels: tf.Tensor,
        embedded: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Return the network's output for noisy events of unit scale, at noise levels (n,)."""
        time = 0.25 * tf.math.log(tf.cast(levels, x.dtype))
        return self.network(x, time, embedded=embedded, training=training)

    def levels(self, uniforms: tf.Tensor) -> tf.Tensor:
        """Return noise levels for training (n,), from uniform numbers."""
        if self.schedule == "edm":
            # Next to 0 and 1 the normal quantile has no bound.
            inner = tf.clip_by_value(uniforms, 1e-6, 1.0 - 1e-6)
            return tf.exp(1.2 * tf.math.ndtri(inner) - 1.2)
        least = math.atan(math.exp(-0.5 * _LOG_RATIO))
        return tf.tan(least + (0.5 * np.pi - 2.0 * least) * uniforms)

    def noisy_loss(
        self,
        x: tf.Tensor,
        uniforms: tf.Tensor,
        noise: tf.Tensor,
        embedded: tf.Tensor | None,
        progress: tf.Tensor | float,
        training: bool,
    ) -> tf.Tensor:
        levels = self.levels(uniforms)
        level = self.as_column(levels)
        scale = tf.sqrt(1.0 + level**2)
        output = self.output((x + level * noise) / scale, levels, embedded, training)
        return self.sum_event((output - (level * x - noise) / scale) ** 2)


# Smallest time, at which the path has ended: the noise level of a draw.
_LEAST_TIME = 1e-3
# Distances well below it are squared, for each element; larger distances are not.
_CORNER = 0.03
# Share of training times that are the largest one, where each draw begins.
_AT_LARGEST = 0.2
# Steps of a path, each by the midpoint rule. With this number, paths from the largest time end 1 %
# of a Gaussian posterior's sd off.
_PATH_STEPS = 12


class Consistency(NoiseFlow):
    r"""The map from any point of a diffusion's path to its end, for draws in one or few calls.

    Two networks of the same shape are trained at once. The teacher learns to remove noise, as in a
    :class:`Diffusion`; its probability-flow equation leads from x + t z, with standard normal z, to
    an event. The network for draws learns the end of this path, for all times t. There is no
    density. The loss is the sum of both losses and is not in nats. A training step takes several
    times as long as that of :class:`FlowMatching`: the teacher's path takes 24 more network calls.

    One call shrinks the posterior: for a Gaussian one with mean m and sd s it gives the mean
    :math:`m\,(1 - r)` and the sd :math:`T r`, with :math:`r = s / \sqrt{s^2 + T^2}` and T the
    largest time.

    Parameters
    ----------
    network : TimeNetwork, by default ``ResidualMLP()``
        The teacher has a copy of it.
    largest_time : float
        Time at which draws start from noise. Larger times shrink the posterior less.
    steps : int
        Number of calls for a draw; between calls, noise is added again.

    Notes
    -----
    Training without a teacher makes outputs at neighbouring times agree. Standard deviations of
    Gaussian posteriors then shrank by 2 to 4 %: the noise between the times leaves the event open,
    and each output is a mean. After 2,000 steps, means were 0.2 sd off where the posterior is
    narrow: what is learned at small times must pass through all intervals to the largest time. With
    the teacher's paths, draws of two calls are 0.03 sd off, and their standard deviations 1 %.

    References
    ----------
    Song et al. (2023), Consistency models, arXiv:2303.01469 (distillation).
    Luhman and Luhman (2021), Knowledge distillation in iterative generative models for improved
    sampling speed, arXiv:2101.02388 (whole paths).
    Schmitt et al. (2023), Consistency models for scalable and fast simulation-based inference,
    arXiv:2312.05440.

    Examples
    --------
    >>> import tensorflow as tf
    >>> flow = Consistency(steps=2)
    >>> flow.loss(tf.ones((10, 3)), tf.ones((10, 2)), seed=tf.constant([1, 2])).shape
    TensorShape([10])
    >>> flow.sample(100, condition=tf.ones((4, 2)), seed=(1, 2)).shape
    TensorShape([4, 100, 3])
    """

    def __init__(
        self, network: TimeNetwork | None = None, largest_time: float = 40.0, steps: int = 2
    ) -> None:
        super().__init__(network)
        self.teacher = Diffusion(clone(self.network))
        subject = "Consistency, argument"
        self.largest_time = check_number(
            f"{subject} 'largest_time'", largest_time, least=1, do="pass a number from 1 to 80"
        )
        self.steps = check_integer(f"{subject} 'steps'", steps)

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.teacher.build(event_shape, condition_shape)

    def clean(
        self,
        x: tf.Tensor,
        times: tf.Tensor,
        embedded: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Return the ends (n, *event) of paths through x (n, *event) at times (n,) or (1,).

        At the least time, 0.001, they are x itself.
        """
        column = self.as_column(times)
        rest = column - _LEAST_TIME
        scale = tf.sqrt(1.0 + column**2)
        output = self.network(
            x / scale, 0.25 * tf.math.log(times), embedded=embedded, training=training
        )
        return x / (1.0 + rest**2) + output * rest / scale

    def from_noise(self, z: tf.Tensor, embedded: tf.Tensor | None, seed: tf.Tensor) -> tf.Tensor:
        x = self.largest_time * z
        times = self.time(np.linspace(1.0, 0.0, self.steps + 1))
        for number, time in enumerate(times[:-1]):
            if number:
                noise = normal_like(x, seeds.fold_in(seed, number))
                x += math.sqrt(time**2 - _LEAST_TIME**2) * noise
            x = self.clean(x, tf.constant([time], x.dtype), embedded)
        return x

    def time(self, place: tf.Tensor) -> tf.Tensor:
        """Return the times of places between 0 (the least time) and 1 (the largest)."""
        least = _LEAST_TIME ** (1 / 7)
        return (least + place * (self.largest_time ** (1 / 7) - least)) ** 7

    def loss(
        self,
        x: tf.Tensor,
        condition: tf.Tensor | None = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        for_teacher, for_times, for_noise = split_seed(seed, 3, training)
        taught = self.teacher.loss(x, condition, seed=for_teacher, training=training)
        places = tf.minimum(spread_uniforms(x, for_times) / (1.0 - _AT_LARGEST), 1.0)
        times = self.time(places)
        noisy = x + self.as_column(times) * normal_like(x, for_noise)
        end = self.clean(noisy, times, self.embedded(condition), training)
        squares = self.sum_event((end - self.end_of_path(noisy, places, condition)) ** 2)
        # The pseudo-Huber distance.
        corner = _CORNER * math.sqrt(math.prod(self.event_shape))
        return taught + tf.sqrt(squares + corner**2) - corner

    def end_of_path(
        self, x: tf.Tensor, places: tf.Tensor, condition: tf.Tensor | None
    ) -> tf.Tensor:
        """Return the teacher's ends of paths from x (n, *event) at places (n,); no gradients."""
        embedded = self.teacher.embedded(condition)

        def velocity(time: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
            return self.teacher.velocity(state, time, embedded)

        shares = np.linspace(1.0, 0.0, _PATH_STEPS + 1)
        times = tf.stack([self.as_column(self.time(share * places)) for share in shares])
        return tf.stop_gradient(integrate(velocity, x, times, "midpoint"))
