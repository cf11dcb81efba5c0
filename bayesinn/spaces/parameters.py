"""The map between parameters on their prior's support and the flow's vector in R^d.

No draw leaves the support.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.simulation.prior import (
    SIMPLEX_LIMIT,
    Prior,
    Support,
    Values,
    log_masses,
    support_of,
    surface_correction,
    together,
)

# Standard deviations of a normal distribution in its interquartile range.
_QUARTILES = 1.349
# Largest scale, in standard deviations of the normal distribution with the same quartiles.
_MOST = 3.0
_SMALLEST = 1e-6


def moments(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and scales (d,) of numbers (n, d), of any unit; the scale of constants is 1e-6.

    Scales are standard deviations. Where these are far larger than the quartiles say, as with a
    Cauchy distribution, the farthest draws decide them and the mean: scales are then made of the
    quartiles, and the median is the mean.

    Examples
    --------
    >>> mean, scale = moments(np.array([[0.0], [2.0], [4.0]]))
    >>> float(mean[0]), round(float(scale[0]), 3)
    (2.0, 1.633)
    """
    mean = np.mean(raw, axis=0)
    deviation = np.std(raw, axis=0)
    low, median, high = np.quantile(raw, (0.25, 0.5, 0.75), axis=0)
    most = _MOST * (high - low) / _QUARTILES
    heavy = (most > 0.0) & (deviation > most)
    mean = np.where(heavy, median, mean)
    scale = np.where(heavy, most, deviation)
    varies = scale > _SMALLEST * np.abs(mean)
    scale = np.where((scale > _SMALLEST) | varies, scale, _SMALLEST)
    return mean.astype(np.float32), scale.astype(np.float32)


tfb = tfp.bijectors
tfd = tfp.distributions

_PILOT_DRAWS = 8192
# Prior draws of what the prior of an integer depends on.
_PARENTS = 256


class ParameterSpace:
    """Dict of parameters <-> standardised vector of ``dimension`` elements, with log-det.

    The elements of the vector are unconstrained. A simplex of k shares has k - 1 of them. Some
    parameters need ``auxiliary`` numbers, uniform between zero and one, beside their own
    (:meth:`augment`), which the way back drops. Integers, ``discrete``, are spread over the unit
    interval above each. Angles, and vectors of length one, become points of a plane, or of a space:
    no continuous map makes a circle of a line, and a posterior at the cut would be two halves, far
    apart. Their distances from the origin are log-normal around one. If the space is
    ``categorical``, integers of few values are ``categories``, and stay what they are. The seed
    decides the prior draws whose moments, ``mean`` and ``scale``, standardise the vector.
    ``names``, by default all, limit a map to these parameters.

    Examples
    --------
    >>> space = ParameterSpace(Prior({"share": tfd.Beta(2.0, 2.0)}), seed=1)
    >>> vector, log_det = space.to_vector({"share": tf.constant([0.25, 0.75])})
    >>> space.from_vector(vector)["share"].numpy().round(6).tolist()
    [0.25, 0.75]
    """

    def __init__(self, prior: Prior, seed: int, categorical: bool = False) -> None:
        self.prior = prior
        self.names = prior.names
        self.event_shapes = prior.event_shapes
        pilot = prior.sample(_PILOT_DRAWS, seeds.tensor_seed(seed, "pilot"))
        supports = {name: support_of(name, prior.distribution(name, pilot)) for name in self.names}
        #: Values of the integers that are categories, each after those that it depends on.
        self.categories = _categories(prior, supports) if categorical else {}
        for name in self.categories:
            supports[name] = supports[name]._replace(bijector=tfb.Identity())
        # Made once: graphs may map parameters many times.
        self._fixed = {
            name: support
            for name, support in supports.items()
            if not prior.needs[name] or name in self.categories
        }
        self.discrete = tuple(name for name in self.names if supports[name].discrete)
        self._poles = tuple(
            name
            for name in self.names
            if _has_pole(prior.distribution(name, pilot), supports[name])
        )
        self._spread = tuple(name for name in self.discrete if name not in self.categories)
        self._directions = {
            name: support.direction for name, support in supports.items() if support.direction
        }
        # Shapes of augmented parameters.
        self._events = {
            name: (*shape, 2) if self._directions.get(name) == "angle" else shape
            for name, shape in self.event_shapes.items()
        }
        #: Shapes of the auxiliary numbers.
        self.auxiliary = {
            **{name: self.event_shapes[name] for name in self._spread},
            **{name: self._events[name][:-1] for name in self._directions},
        }
        shapes = {
            name: supports[name].bijector.inverse_event_shape(shape)
            for name, shape in self._events.items()
        }
        sizes = [shape.num_elements() for shape in shapes.values()]
        self.dimension = sum(sizes)
        self._places = dict(
            zip(self.names, np.split(np.arange(self.dimension), np.cumsum(sizes)[:-1]), strict=True)
        )
        self.mean = np.zeros(self.dimension, np.float32)
        self.scale = np.ones(self.dimension, np.float32)
        raw = self._pilot_vectors(pilot, seed)
        # The same draws whatever the seed: a saved posterior brings moments along, but not these.
        fixed = (
            raw
            if seed == 0
            else self._pilot_vectors(prior.sample(_PILOT_DRAWS, seeds.tensor_seed(0, "pilot")), 0)
        )
        self._lowest = np.min(fixed, axis=0)
        self._highest = np.max(fixed, axis=0)
        for name, whole in self.categories.items():
            self._lowest[self._places[name]] = whole[0]
            self._highest[self._places[name]] = whole[-1]
        self._closed = self._closed_sides(supports, shapes)
        # In single precision, squares of large numbers overflow, and those of small ones vanish.
        precise = raw.astype(np.float64)
        self.mean, self.scale = moments(precise)
        # Convolutions are equal at all pixels: of images, each channel has one mean and scale, as
        # those of data have.
        for name, shape in shapes.items():
            if len(shape) == 3:
                places = self._places[name].reshape(-1, shape[-1])
                channels = precise[:, places].reshape(-1, shape[-1])
                self.mean[places], self.scale[places] = moments(channels)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what standardises vectors, by the names under which it is saved."""
        return {"parameters/mean": self.mean, "parameters/scale": self.scale}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take what :meth:`arrays` gave."""
        self.mean = arrays["parameters/mean"]
        self.scale = arrays["parameters/scale"]

    @property
    def reach(self) -> np.ndarray:
        """Twice the largest distance from zero of 8,192 prior draws, for each vector element."""
        return 2.0 * np.maximum(self._highest - self.mean, self.mean - self._lowest) / self.scale

    def within_reach(self, vector: tf.Tensor) -> tf.Tensor:
        """Return vectors (n, dimension), moved to where draws are on sides on which supports end.

        At the end of a support, unconstrained values are infinite. Beyond those of 8,192 prior
        draws, no network has seen any, and parameters differ by nothing that matters.
        """
        low, high = self._closed
        lowest = np.where(low, (self._lowest - self.mean) / self.scale, -np.inf)
        highest = np.where(high, (self._highest - self.mean) / self.scale, np.inf)
        return tf.clip_by_value(vector, lowest.astype(np.float32), highest.astype(np.float32))

    def _closed_sides(
        self, supports: Mapping[str, Support], shapes: Mapping[str, tf.TensorShape]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return for each vector element whether a support ends at its low, and at its high side.

        ``shapes`` are those of unconstrained events.
        """
        sides = np.zeros((2, self.dimension), bool)
        for name, support in supports.items():
            shape = tuple(shapes[name])
            for side, closed in zip(sides, support.closed, strict=True):
                # Ends that depend on other parameters are those of each draw.
                ends = np.any(closed, axis=0) if closed.ndim > len(shape) else closed
                side[self._places[name]] = np.broadcast_to(ends, shape).ravel()
        return sides[0], sides[1]

    def _pilot_vectors(self, pilot: Values, seed: int) -> np.ndarray:
        """Return the vectors (n, dimension) of prior draws, not yet standardised, and finite."""
        raw = np.asarray(
            self.to_vector(self.dequantise(pilot, seeds.tensor_seed(seed, "dequantise")))[0]
        )
        broken = sorted(
            name for name, places in self._places.items() if not np.isfinite(raw[:, places]).all()
        )
        if broken:
            raise SimulatorError(
                f"Prior of {', '.join(map(repr, broken))}",
                expected="draws well inside the support, which map to finite unconstrained values",
                got="non-finite values for some draws",
                do="check the bounds, and that dependent bounds never coincide",
            )
        return raw

    def dequantise(self, parameters: Mapping[str, tf.Tensor], seed: tf.Tensor) -> Values:
        """Return parameters (n, *event) augmented by random numbers; see :meth:`augment`."""
        rows = tf.shape(parameters[self.names[0]])[0]
        noise = {
            name: tf.random.stateless_uniform(
                (rows, *shape), seeds.fold_in(seed, number), alg="philox"
            )
            for number, (name, shape) in enumerate(self.auxiliary.items())
        }
        return self.augment(parameters, noise)

    def augment(
        self, parameters: Mapping[str, tf.Tensor], uniform: Mapping[str, tf.Tensor | float]
    ) -> Values:
        """Return parameters as floats, with auxiliary numbers from [0, 1).

        Integers become numbers of [k, k + 1), directions become points.

        Parameters
        ----------
        parameters : mapping of name to tensor (n, *event)
        uniform : mapping of each name in ``auxiliary`` to numbers that broadcast to (n, *shape)
        """
        values = {name: tf.cast(parameters[name], tf.float32) for name in self.names}
        for name in self._spread:
            # Rounding must not make it the next integer.
            below = tf.math.nextafter(values[name] + 1.0, values[name])
            spread = tf.minimum(values[name] + uniform[name], below)
            values[name] = tf.maximum(spread, values[name])
        for name in self._directions:
            values[name] = self._points(name, values[name]) * _distance(uniform[name])[..., None]
        return values

    def middle(self, parameters: Mapping[str, tf.Tensor]) -> Values:
        """Return augmented parameters whose auxiliary numbers are 0.5: among those of training."""
        return self.augment(parameters, dict.fromkeys(self.auxiliary, 0.5))

    def _points(self, name: str, value: tf.Tensor) -> tf.Tensor:
        """Return directions as points at a distance of one; points as they are."""
        if value.shape.rank > len(self._events[name]):
            return value
        return tf.stack([tf.cos(value), tf.sin(value)], axis=-1)

    def plain(self, values: Mapping[str, tf.Tensor]) -> Values:
        """Return parameters without what :meth:`augment` added; other values stay as they are."""
        parameters = dict(values)
        for name in self.discrete:
            if name in values:
                whole = tf.round if name in self.categories else tf.floor
                parameters[name] = whole(values[name])
        for name, direction in self._directions.items():
            if name not in values:
                continue
            if direction == "vector":
                parameters[name] = tf.math.l2_normalize(values[name], axis=-1)
            elif values[name].shape.rank > len(self._events[name]):
                parameters[name] = tf.atan2(values[name][..., 1], values[name][..., 0])
        return parameters

    def to_vector(
        self, parameters: Mapping[str, tf.Tensor], names: Collection[str] | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Map augmented parameters to the vector (n, dimension), with its log_det (n,).

        It is that of parameters and uniform numbers. Directions without such a number are points at
        a distance of one, the median. Elements of parameters that are not among ``names`` are zero.
        """
        values = {name: tf.cast(parameters[name], tf.float32) for name in self.names}
        chosen = [name for name in self.names if names is None or name in names]
        # In the order in which they are made, with the places where they belong.
        elements = []
        places = []
        log_dets = []
        for members, support, joint in self._groups(chosen, values):
            parts = [values[name] for name in members]
            event = self._events[members[0]]
            if support.direction:
                parts = [self._points(members[0], parts[0])]
            value = support.clip(tf.stack(parts, axis=-1) if joint else parts[0])
            log_det = support.bijector.inverse_log_det_jacobian(
                value, event_ndims=1 if joint else len(event)
            )
            log_det += surface_correction(support.bijector, event)
            if support.direction:
                log_det += _log_det_of_points(value)
            log_dets.append(tf.broadcast_to(log_det, tf.shape(value)[:1]))
            own = [place for name in members for place in self._places[name]]
            elements.append(tf.reshape(support.bijector.inverse(value), (-1, len(own))))
            places += own
        wanted = self.elements_of(chosen)
        vector = tf.concat(
            [*elements, tf.zeros((tf.shape(elements[0])[0], self.dimension - len(places)))], axis=-1
        )
        order = np.argsort([*places, *np.flatnonzero(wanted == 0.0)])
        vector = (tf.gather(vector, order, axis=-1) - self.mean) / self.scale * wanted
        return tf.ensure_shape(vector, (None, self.dimension)), tf.add_n(log_dets) - np.sum(
            wanted * np.log(self.scale)
        )

    def vectors(self, parameters: Mapping[str, Any]) -> np.ndarray:
        """Return vectors (n, dimension) of parameters with random auxiliary numbers."""
        seed = seeds.tensor_seed(0, "dequantise")
        return self.to_vector(self.dequantise(parameters, seed))[0].numpy()

    def elements_of(self, names: Collection[str]) -> np.ndarray:
        """Return one for each element of the vector of these parameters, zero for the others."""
        return np.concatenate(
            [np.full(len(places), name in names, "f4") for name, places in self._places.items()]
        )

    def prior_log_prob(
        self, parameters: Mapping[str, tf.Tensor], names: Collection[str] | None = None
    ) -> tf.Tensor:
        """Return the log prior density (n,) of parameters, augmented or not; -inf outside.

        With ``names``, it is the density of these parameters given those that they depend on.
        """
        values = self.plain({name: tf.cast(parameters[name], tf.float32) for name in self.names})
        terms = [tf.zeros(tf.shape(values[self.names[0]])[:1])]
        for name in self.names if names is None else names:
            distribution = self.prior.distribution(name, self._as_drawn(values))
            value = values[name]
            # Some TFP distributions have a density outside of their support.
            inside = self._holds(name, values)
            if name in self.discrete:
                # Outside their bounds some TFP distributions fail instead of returning -inf.
                value = tf.floor(self._support(name, values).clip(value))
                inside = tf.reduce_all(
                    value == values[name], axis=tuple(range(1, value.shape.rank))
                )
            log_prob = tf.cast(
                distribution.log_prob(tf.cast(value, distribution.dtype)), tf.float32
            )
            if name in self._poles:
                # Rounded draws may lie on an end of the support: as dense as just inside.
                near = self._support(name, values).clip(value)
                log_prob_near = tf.cast(
                    distribution.log_prob(tf.cast(near, distribution.dtype)), tf.float32
                )
                log_prob = tf.where(log_prob == np.inf, log_prob_near, log_prob)
            # Outside, some distributions have NaN.
            inside &= ~tf.math.is_nan(log_prob)
            terms.append(tf.where(inside, log_prob, -np.inf))
        return tf.add_n(terms)

    def possible(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Tell which parameters (n, *event), not augmented, lie inside the support.

        Integer parameters must be whole numbers.
        """
        # Densities of images may cost much, and any finite number is on the real line.
        lines = [name for name in self._fixed if self._is_line_of_images(name)]
        # An infinite density, as on an edge of a simplex, is inside.
        others = [name for name in self.names if name not in lines]
        inside = self.prior_log_prob(parameters, others) > -np.inf
        for name in lines:
            finite = tf.math.is_finite(tf.cast(parameters[name], tf.float32))
            inside &= tf.reduce_all(finite, axis=(1, 2, 3))
        for name in self.discrete:
            value = tf.cast(parameters[name], tf.float32)
            inside &= tf.reduce_all(
                value == tf.floor(value), axis=tuple(range(1, value.shape.rank))
            )
        for name in self._directions:
            # The density is that of the direction, whatever the length.
            value = tf.cast(parameters[name], tf.float32)
            held = self._support(name, dict(parameters)).holds(value)
            inside &= tf.reduce_all(held, axis=tuple(range(1, held.shape.rank)))
        return inside

    def refuse_outside(
        self,
        rows: Mapping[str, np.ndarray],
        subject: str = "Training data",
        do: str = "drop those rows, or widen the prior to the one they were drawn from",
    ) -> None:
        """Refuse rows outside the prior's support, which would silently be moved to its edge."""
        outside = ~self.possible(rows).numpy()
        if not outside.any():
            return
        culprit = {name: rows[name][np.argmax(outside)].tolist() for name in self.names}
        raise InputError(
            subject,
            expected="parameters inside the prior's support",
            got=f"{int(outside.sum())} of {len(outside)} rows outside, one of them {culprit}",
            do=do,
        )

    def _is_line_of_images(self, name: str) -> bool:
        support = self._fixed[name]
        return len(self.event_shapes[name]) == 3 and support.family == () and not support.discrete

    def from_vector(
        self, vector: tf.Tensor, names: Collection[str] | None = None, given: Values | None = None
    ) -> Values:
        """Map the vector to parameters inside the prior's support.

        All other parameters that ``names`` depend on must be ``given``.
        """
        return self.plain(self.augmented(vector, names, given))

    def augmented(
        self, vector: tf.Tensor, names: Collection[str] | None = None, given: Values | None = None
    ) -> Values:
        """Map the vector to augmented parameters, as :meth:`to_vector` takes them.

        All other parameters that ``names`` depend on must be ``given``.
        """
        numbers = vector * self.scale + self.mean
        parameters = dict(given or {})
        chosen = [name for name in self.prior.order if names is None or name in names]
        for members, support, joint in self._groups(chosen, parameters):
            part = tf.gather(
                numbers, [place for name in members for place in self._places[name]], axis=-1
            )
            if not joint:
                event = support.bijector.inverse_event_shape(self._events[members[0]])
                part = tf.reshape(part, (-1, *event))
            if support.is_simplex:
                part = tf.clip_by_value(part, -SIMPLEX_LIMIT, SIMPLEX_LIMIT)
            value = support.clip(support.bijector.forward(part))
            parameters.update(
                zip(members, tf.unstack(value, axis=-1) if joint else [value], strict=True)
            )
        return {name: parameters[name] for name in self.names if name in chosen}

    def _groups(self, names: list[str], given: Values) -> Iterator[tuple[list[str], Support, bool]]:
        """Yield groups of parameters that are mapped at once, with their support.

        A parameter comes after those that it depends on; these must be ``given`` by then.
        """
        # Single numbers of one family whose prior depends on nothing, side by side; then all others
        # alone.
        families: dict[tuple[type, ...], list[str]] = {}
        alone: list[str] = []
        for name in names:
            family = None
            if name in self._fixed and self.event_shapes[name] == ():
                family = self._fixed[name].family
            if family is None:
                alone.append(name)
            else:
                families.setdefault(family, []).append(name)
        for members in families.values():
            yield members, together([self._fixed[name] for name in members]), True
        for name in alone:
            yield [name], self._support(name, given), False

    def _support(self, name: str, given: Values) -> Support:
        return self._fixed.get(name) or support_of(
            name, self.prior.distribution(name, self._as_drawn(self.plain(given)))
        )

    def _as_drawn(self, values: Mapping[str, tf.Tensor]) -> Values:
        """Return values of the types that the prior draws, as functions of them expect."""
        return {name: tf.cast(value, self.prior.dtypes[name]) for name, value in values.items()}

    def _holds(self, name: str, values: Values) -> tf.Tensor:
        """Tell which values (n, *event) of a continuous parameter lie in its support."""
        support = self._support(name, values)
        if name in self.discrete or support.family == ():
            return tf.constant(True)
        value = values[name]
        held = support.holds(value) & support.comes_back(value)
        return tf.reduce_all(held, axis=tuple(range(1, value.shape.rank)))


# Standard deviation of the logarithm of the distance of points from the origin.
_SPREAD = 0.3


def _distance(uniform: tf.Tensor | float) -> tf.Tensor:
    """Return the quantiles of the law of distances from the origin."""
    smallest = 2.0**-24
    inside = tf.clip_by_value(tf.cast(uniform, tf.float32), smallest, 1.0 - smallest)
    return tf.exp(_SPREAD * tf.math.ndtri(inside))


def _log_det_of_points(points: tf.Tensor) -> tf.Tensor:
    """Return the log-det (n,) of the map of directions and uniform numbers to points (n, ..., k).

    It is k - 1 times the log distance for the surface, and for the distance minus the log of its
    density.
    """
    log_distance = tf.math.log(tf.norm(points, axis=-1))
    normal = -0.5 * tf.square(log_distance / _SPREAD) - math.log(_SPREAD * math.sqrt(2.0 * math.pi))
    log_det = float(points.shape[-1]) * log_distance - normal
    return tf.reduce_sum(log_det, axis=tuple(range(1, log_det.shape.rank)))


def refuse_directions(prior: Prior, subject: str, do: str) -> None:
    """Refuse a prior of angles or unit vectors, where these are no numbers of a line."""
    pair = prior.sample(2, seeds.tensor_seed(0, "pilot"))
    found = [
        name for name in prior.names if support_of(name, prior.distribution(name, pair)).direction
    ]
    if found:
        raise InputError(
            subject,
            expected="parameters that are numbers, which have a mean and quantiles",
            got=f"angles or unit vectors: {found}",
            do=do,
        )


class Layout(NamedTuple):
    """Numbers of elements of the vector, of integers, and of all auxiliary numbers.

    Those of ``categories`` are integers that need no auxiliary number if the space is categorical.
    """

    dimension: int
    integers: int
    auxiliary: int
    categories: int = 0


def layout_of(prior: Prior) -> Layout:
    """Return the layout of a prior's vector, without the draws that standardise it.

    Examples
    --------
    >>> layout_of(Prior({"share": tfd.Beta(2.0, 2.0), "count": tfd.Poisson(3.0)}))
    Layout(dimension=2, integers=1, auxiliary=1, categories=0)
    """
    pair = prior.sample(2, seeds.tensor_seed(0, "pilot"))
    dimension = 0
    integers = 0
    auxiliary = 0
    supports = {name: support_of(name, prior.distribution(name, pair)) for name in prior.names}
    categories = sum(math.prod(prior.event_shapes[name]) for name in _categories(prior, supports))
    for name, event in prior.event_shapes.items():
        support = supports[name]
        elements = tf.TensorShape(support.bijector.inverse_event_shape(event)).num_elements()
        integers += elements * support.discrete
        auxiliary += elements * support.discrete
        if support.direction == "vector":
            auxiliary += elements // event[-1]
        elif support.direction:
            auxiliary += elements
            elements *= 2
        dimension += elements
    return Layout(dimension, integers, auxiliary, categories)


class Categories:
    """Integers of few values: their places in vectors of a space, and the prior's probabilities.

    Each has a number, after those that its prior depends on; its values have indices from zero.
    """

    def __init__(self, space: ParameterSpace) -> None:
        self._space = space
        self._prior = space.prior
        self._values = space.categories
        self._numbers: dict[str, slice] = {}
        places: list[int] = []
        for name in space.categories:
            elements = np.flatnonzero(space.elements_of([name]))
            self._numbers[name] = slice(len(places), len(places) + len(elements))
            places += elements.tolist()
        #: Places (k,) in vectors.
        self.places = np.array(places)
        self.count = len(places)
        self._lowest = np.zeros(self.count, np.float32)
        #: Numbers of values (k,).
        self.sizes = np.zeros(self.count, np.int32)
        for name, numbers in self._numbers.items():
            self._lowest[numbers] = space.categories[name][0]
            self.sizes[numbers] = len(space.categories[name])
        #: The largest number of values.
        self.width = int(self.sizes.max())
        self._constant = self._constant_masses()

    # Read when they are needed: the moments of a saved space come after its networks.
    @property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        return self._space.mean[self.places], self._space.scale[self.places]

    @property
    def log_scale(self) -> float:
        """Log volume of a unit cell of the integers, in vectors."""
        return float(np.log(self._moments[1]).sum())

    def indices(self, vector: tf.Tensor) -> tf.Tensor:
        """Return the indices (n, k) of values in vectors (n, d)."""
        mean, scale = self._moments
        elements = tf.gather(tf.cast(vector, tf.float32), self.places, axis=-1)
        indices = tf.cast(tf.round(elements * scale + mean - self._lowest), tf.int32)
        return tf.clip_by_value(indices, 0, self.sizes - 1)

    def elements(self, indices: tf.Tensor) -> tf.Tensor:
        """Return the elements (n, k) of vectors for indices (n, k) of values."""
        mean, scale = self._moments
        return (tf.cast(indices, tf.float32) + self._lowest - mean) / scale

    def log_masses(self, indices: tf.Tensor) -> tf.Tensor:
        """Return log prior probabilities (n or 1, k, width) of values; -inf of impossible ones.

        Each is given the integers before it, from ``indices`` (n, k).
        """
        before = {}
        for name, numbers in self._numbers.items():
            value = tf.cast(indices[:, numbers], tf.float32) + self._lowest[numbers]
            value = tf.reshape(value, (-1, *self._prior.event_shapes[name]))
            before[name] = tf.cast(value, self._prior.dtypes[name])
        masses = []
        for name, values in self._values.items():
            mass = self._constant.get(name)
            if mass is None:
                distribution = self._prior.distribution(name, before)
                mass = log_masses(name, distribution, self._prior.event_shapes[name], values)
            missing = self.width - len(values)
            masses.append(tf.pad(mass, [[0, 0], [0, 0], [0, missing]], constant_values=-np.inf))
        rows = 1 if len(self._constant) == len(masses) else tf.shape(indices)[0]
        return tf.concat([tf.broadcast_to(each, (rows, *each.shape[1:])) for each in masses], 1)

    def _constant_masses(self) -> dict[str, np.ndarray]:
        """Return log probabilities (1, size, values) of integers that don't depend on others alone.

        Where they depend on continuous parameters, these are means over their prior.
        """
        prior = self._prior
        masses = {}
        with tf.init_scope():
            pilot = prior.sample(_PARENTS, seeds.tensor_seed(0, "pilot"))
            for name, values in self._values.items():
                if not prior.needs[name] or not set(prior.needs[name]) <= set(self._values):
                    distribution = prior.distribution(name, pilot)
                    each = log_masses(name, distribution, prior.event_shapes[name], values)
                    total = tf.reduce_logsumexp(each, axis=0, keepdims=True)
                    masses[name] = total.numpy() - math.log(each.shape[0])
        return masses


def _categories(prior: Prior, supports: Mapping[str, Support]) -> dict[str, range]:
    known = {name: supports[name].categories(prior.event_shapes[name]) for name in prior.order}
    return {name: values for name, values in known.items() if values is not None}


def _has_pole(distribution: tfd.Distribution, support: Support) -> bool:
    if support.discrete or support.ends is None:
        return False
    infinity = tf.fill((1, *distribution.event_shape), np.float32(np.inf))
    ends = (
        tf.cast(support.bijector.forward(end), distribution.dtype) for end in (-infinity, infinity)
    )
    return any(bool(np.any(distribution.log_prob(end) == np.inf)) for end in ends)
