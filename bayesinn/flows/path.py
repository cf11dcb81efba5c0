"""Parameters that are series: each step by a flow, given the steps before it and the data."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections import Affine, Bijection, Composed, Spline
from bayesinn.bijections.bijection import EVERY, FEATURES, STEPS, map_entries
from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_integer, check_type
from bayesinn.flows.flow import Flow
from bayesinn.flows.latents import Seed, check_seed
from bayesinn.flows.recipes import coupling
from bayesinn.spaces.parameters import ParameterSpace

# Smallest standard deviation of a step given those before it, in units of its prior.
_SMALLEST_SCALE = 1e-3
# Added to the variances of steps, so that a smooth path's regression has a solution.
_RIDGE = 1e-6


class Path(Flow):
    """Parameters that are series, such as a random walk; beside them, parameters as usual.

    The density is a chain of conditionals. The other parameters come first, by a flow given the
    features. Each step follows, in order, by one flow for all steps, given the steps before it, the
    other parameters, the features, and what the summary says of that step: the entry ``steps`` of
    the condition, which :class:`~bayesinn.summaries.Steps` returns. As the summary reads the series
    in both directions, a step knows the data before and after it.

    The flow sees how much a step deviates from a linear prediction by the steps before it. The
    prediction is measured on the first batch, at each step, so that walks and smooth paths alike
    have deviations of unit size. All steps are computed in one pass in training, and one after
    another when drawing.

    Parameters
    ----------
    paths : sequence of str
        Names of parameters (steps,) or (steps, numbers), all of as many steps as the data.
    flow : Flow of vectors that reads features, for all other parameters; by default couplings
    step : Flow of vectors that reads features, for the numbers of one step; by default couplings
    lags : int, number of steps on which each step depends: 2 suffices for smooth paths

    References
    ----------
    Kitagawa (1987), Non-Gaussian state-space modeling of nonstationary time series, Journal of the
    American Statistical Association 82: smoothing by one conditional for each step.

    Examples
    --------
    >>> import bayesinn as bi
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> import tensorflow_probability as tfp
    >>> tfd = tfp.distributions
    >>> prior = {
    ...     "sd": tfd.LogNormal(-1.0, 0.5),
    ...     "level": lambda sd: tfd.MultivariateNormalTriL(
    ...         scale_tril=sd[:, None, None] * np.tri(12, dtype="f4")
    ...     ),
    ... }
    >>> @bi.simulator(prior=prior, coordinates={"level": range(12), "y": range(12)})
    ... def walk(parameters, seed):
    ...     level = parameters["level"]
    ...     return {"y": level + 0.3 * tf.random.stateless_normal(tf.shape(level), seed)}
    >>> posterior = bi.AmortizedPosterior(
    ...     walk, bi.summaries.Steps(8, lstm_units=8), bi.flows.Path(["level"])
    ... )
    >>> _ = posterior.fit(steps=1, batch_size=32, progress=False)
    >>> posterior.sample({"y": np.zeros(12)}, draws=5, seed=1)["level"].shape
    (5, 12)
    """

    reads = EVERY

    def __init__(
        self,
        paths: Sequence[str],
        flow: Flow | None = None,
        step: Flow | None = None,
        lags: int = 2,
    ) -> None:
        super().__init__()
        names = [paths] if isinstance(paths, str) else list(paths)
        if not names or not all(isinstance(name, str) for name in names):
            raise InputError(
                "Path, argument 'paths'",
                expected="names of parameters, each a series",
                got=repr(paths),
                do="pass for example ['level']",
            )
        self.lags = check_integer("Path, argument 'lags'", lags, do="pass for example 2")
        self.paths = names
        transform = Composed([Affine(), Spline()])
        if flow is None:
            flow = coupling(blocks=4, transform=transform)
        if step is None:
            step = coupling(blocks=2, hidden=(64, 64), transform=transform)
        for argument, value in (("flow", flow), ("step", step)):
            subject = f"Path, argument {argument!r}"
            do = "pass for example bi.flows.coupling()"
            check_type(subject, value, Flow, "a Flow", do)
            if value.categorical or not value.entries <= {FEATURES} or not value.draws:
                expected = "a flow with draws, which reads features alone"
                raise InputError(subject, expected=expected, got=repr(value), do=do)
        self.flow = flow
        self.step = step
        self.nats = flow.nats and step.nats
        self.rowwise = flow.rowwise and step.rowwise
        both = {flow.density, step.density}
        self.density = None if None in both else "costly" if "costly" in both else "exact"
        self._space: ParameterSpace | None = None

    @property
    def entries(self) -> frozenset[str]:
        return frozenset({FEATURES, STEPS})

    @property
    def xla_pays(self) -> bool:
        return self.flow.xla_pays and self.step.xla_pays

    def bind(self, parameters: ParameterSpace) -> None:
        self._space = parameters

    def build(self, event_shape: Sequence[int], condition_shapes: Any = None) -> None:
        super().build(event_shape, condition_shapes)
        shapes = condition_shapes or {}
        self.count, features = shapes.get(STEPS, (0, 0))
        if not self.count or FEATURES not in shapes:
            raise InputError(
                "Flow Path",
                expected=f"features, and an entry {STEPS!r} (n, steps, numbers) of the condition",
                got=f"the entries {sorted(shapes)}",
                do="summarise the series with bi.summaries.Steps()",
            )
        self._places = self._find_places()
        self._rest = np.setdiff1d(np.arange(self.event_shape[0]), self._places)
        width = self._places.shape[1]
        if not self.flow.built and len(self._rest):
            self.flow.build((len(self._rest),), shapes[FEATURES])
        before = self.lags * width
        inputs = features + shapes[FEATURES][0] + len(self._rest) + before
        if not self.step.built:
            self.step.build((width,), (inputs,))
        # Where posteriors are Gaussian, this map is all that a step needs of what it is given.
        self.direct = keras.layers.Dense(
            width, use_bias=False, kernel_initializer="zeros", dtype=self.dtype
        )
        self.direct.build((None, inputs))
        slopes = (self.count, before, width)
        self.slopes = self._add_measured("slopes", np.zeros(slopes, "f4"))
        self.scale = self._add_measured("scale", np.ones((self.count, width), "f4"))
        self.measured = self._add_measured("measured", np.zeros((), "f4"))

    def _add_measured(self, name: str, values: np.ndarray) -> keras.Variable:
        return self.add_weight(
            values.shape,
            keras.initializers.Constant(values) if values.ndim == 0 else values,
            trainable=False,
            autocast=False,
            name=name,
        )

    def _find_places(self) -> np.ndarray:
        """Return the places (steps, k) of all paths in vectors; refuse what is no path."""
        space = self._space
        known = {} if space is None else space.event_shapes
        places = []
        for name in self.paths:
            shape = known.get(name, ())
            found = np.flatnonzero(space.elements_of([name])) if space is not None else np.array([])
            if not shape or shape[0] != self.count or len(found) != np.prod(shape):
                raise InputError(
                    f"Path, parameter {name!r}",
                    expected=f"a parameter ({self.count}, ...), a number for each step of the data "
                    "or several",
                    got=f"shape {shape}" if name in known else f"parameters {list(known)}",
                    do="give paths and the data of bi.summaries.Steps() as many steps, and no "
                    "directions or shares",
                )
            places.append(found.reshape(self.count, -1))
        return np.concatenate(places, axis=1)

    def initialize(self, x: tf.Tensor, condition: Any = None) -> None:
        self.build_for(x, condition)
        path, rest = self._parts(x)
        before = self._before(path)
        # In double precision: steps of smooth paths are nearly collinear.
        now = tf.cast(path, tf.float64)
        given = tf.cast(before, tf.float64)
        rows = tf.cast(tf.shape(x)[0], tf.float64)
        ridge = _RIDGE * tf.eye(before.shape[-1], dtype=tf.float64)
        covariance = tf.einsum("nti,ntj->tij", given, given) / rows + ridge
        shared = tf.einsum("nti,ntk->tik", given, now) / rows
        slopes = tf.cast(tf.linalg.solve(covariance, shared), path.dtype)
        deviation = path - tf.einsum("nti,tik->ntk", before, slopes)
        scale = tf.maximum(tf.sqrt(tf.reduce_mean(deviation**2, axis=0)), _SMALLEST_SCALE)
        # Only once: a flag protects what was measured before, or loaded.
        keep = tf.convert_to_tensor(self.measured) > 0
        for weight, value in ((self.slopes, slopes), (self.scale, scale)):
            weight.assign(tf.where(keep, tf.convert_to_tensor(weight), value))
        self.measured.assign(1.0)
        if len(self._rest):
            self.flow.initialize(rest, condition[FEATURES])
        self.step.initialize(*self._step_inputs(path, rest, condition))

    def loss(
        self,
        x: tf.Tensor,
        condition: Any = None,
        *,
        seed: tf.Tensor | None = None,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        options = {"progress": progress, "training": training}
        of_rest, of_steps = (None, None) if seed is None else seeds.split(seed, 2)
        path, rest = self._parts(x)
        events, inputs = self._step_inputs(path, rest, condition)
        loss = self._sum(self.step(events, inputs, seed=of_steps, **options))
        if len(self._rest):
            loss += self.flow(rest, condition[FEATURES], seed=of_rest, **options)
        return loss + self._log_scale if self.nats else loss

    def log_prob(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        path, rest = self._parts(x)
        log_prob = self._sum(self.step.log_prob(*self._step_inputs(path, rest, condition)))
        if len(self._rest):
            log_prob += self.flow.log_prob(rest, condition[FEATURES])
        return log_prob - self._log_scale

    def sample(self, n: int | tf.Tensor, condition: Any = None, *, seed: Seed) -> tf.Tensor:
        self.check_built()
        of_rest, of_steps = seeds.split(check_seed(seed), 2)
        # An entry may have a single row for all.
        rows = tf.reduce_max([tf.shape(value)[0] for value in condition.values()])

        def for_each_draw(value: tf.Tensor) -> tf.Tensor:
            return tf.repeat(value, n * (rows // tf.shape(value)[0]), axis=0)

        read = {name: condition[name] for name in (FEATURES, STEPS)}
        repeated = map_entries(for_each_draw, read)
        fixed = [repeated[FEATURES]]
        if len(self._rest):
            rest = self.flow.sample(1, repeated[FEATURES], seed=of_rest)[:, 0]
            fixed.insert(0, rest)
        slopes = tf.convert_to_tensor(self.slopes)
        scale = tf.convert_to_tensor(self.scale)
        width = self._places.shape[1]

        def draw(step: tf.Tensor, before: tf.Tensor, drawn: tf.TensorArray) -> Any:
            now = tf.gather(repeated[STEPS], step, axis=1)
            inputs = tf.concat([now, *fixed, before], axis=-1)
            deviation = self.step.sample(1, inputs, seed=seeds.fold_in(of_steps, step))[:, 0]
            deviation += self.direct(inputs)
            value = tf.matmul(before, slopes[step]) + scale[step] * deviation
            # The latest step first.
            latest = tf.concat([value, before[:, :-width]], axis=-1)
            return step + 1, latest, drawn.write(step, value)

        start = (
            tf.constant(0),
            tf.zeros((rows * n, self.lags * width), scale.dtype),
            tf.TensorArray(scale.dtype, self.count, element_shape=(None, width)),
        )
        *_, drawn = tf.while_loop(
            lambda step, *_: step < self.count, draw, start, maximum_iterations=self.count
        )
        path = tf.transpose(drawn.stack(), (1, 0, 2))
        parts = [tf.reshape(path, (rows * n, self._places.size))]
        if len(self._rest):
            parts.append(rest)
        order = np.argsort(np.concatenate([self._places.reshape(-1), self._rest]))
        x = tf.gather(tf.concat(parts, axis=-1), order, axis=-1)
        return tf.reshape(x, (rows, n, *self.event_shape))

    @property
    def watched(self) -> list[Bijection]:
        return [*(self.flow.watched if self.built and len(self._rest) else []), *self.step.watched]

    def watched_inputs(
        self, x: tf.Tensor, condition: Any = None
    ) -> list[tuple[tf.Tensor, tf.Tensor | None]]:
        path, rest = self._parts(x)
        of_rest = self.flow.watched_inputs(rest, condition[FEATURES]) if len(self._rest) else []
        events, inputs = self._step_inputs(path, rest, condition)
        rows = tf.shape(x)[0]
        return [*of_rest, *self.step.watched_inputs(events[:rows], inputs[:rows])]

    @property
    def _log_scale(self) -> tf.Tensor:
        return tf.reduce_sum(tf.math.log(tf.convert_to_tensor(self.scale)))

    def _parts(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the paths (n, steps, k) and the other elements (n, r) of vectors."""
        return tf.gather(x, self._places, axis=-1), tf.gather(x, self._rest, axis=-1)

    def _before(self, path: tf.Tensor) -> tf.Tensor:
        """Return the steps before each one (n, steps, lags * k), the latest first; then zeros."""
        lagged = [
            tf.pad(path[:, : max(self.count - lag, 0)], [[0, 0], [min(lag, self.count), 0], [0, 0]])
            for lag in range(1, self.lags + 1)
        ]
        return tf.concat(lagged, axis=-1)

    def _step_inputs(
        self, path: tf.Tensor, rest: tf.Tensor, condition: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return deviations (n * steps, k) from predictions, and what the flow of steps is given.

        The rows of a data set are one after another.
        """
        before = self._before(path)

        def for_each_step(value: tf.Tensor) -> tf.Tensor:
            return tf.repeat(value[:, None], self.count, axis=1)

        shared = (rest, condition[FEATURES])
        inputs = tf.concat([condition[STEPS], *map(for_each_step, shared), before], axis=-1)
        inputs = tf.reshape(inputs, (-1, inputs.shape[-1]))
        predicted = tf.einsum("nti,tik->ntk", before, tf.convert_to_tensor(self.slopes))
        deviation = (path - predicted) / tf.convert_to_tensor(self.scale)
        deviation = tf.reshape(deviation, (-1, path.shape[-1]))
        return deviation - self.direct(inputs), inputs

    def _sum(self, each: tf.Tensor) -> tf.Tensor:
        """Return the sums (n,) of numbers (n * steps,) of all steps."""
        return tf.reduce_sum(tf.reshape(each, (-1, self.count)), axis=1)
