"""The map between parameters, each on its prior's support, and the unconstrained vector that the flow sees.

It comes from the prior alone: no draw can leave the support, and nothing has to be rejected.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn import seeds
from bayesinn.errors import SimulatorError
from bayesinn.simulation.prior import Prior, Values

tfd, tfb = tfp.distributions, tfp.bijectors

_PILOT_DRAWS = 8192
# Past this many units an unconstrained value only asks for the edge of a simplex, where densities are infinite.
_SIMPLEX_LIMIT = 20.0


class ParameterSpace:
    """Dict of parameters <-> standardised unconstrained vector of ``dimension`` elements, with log-det.

    Parameters
    ----------
    prior : Prior
    seed : int
        Decides the prior draws whose moments standardise the vector.

    Attributes
    ----------
    names : tuple of str
    event_shapes : dict of name to tuple of int
    dimension : int
        Number of unconstrained elements; a simplex of k shares has k - 1.
    discrete : tuple of str
        Integer parameters. They are spread over the unit interval above each integer (:meth:`dequantise`) and
        rounded down on the way back.
    mean, scale : arrays (dimension,)

    Examples
    --------
    >>> space = ParameterSpace(Prior({"share": tfd.Beta(2.0, 2.0)}), seed=1)
    >>> vector, log_det = space.to_vector({"share": tf.constant([0.25, 0.75])})
    >>> space.from_vector(vector)["share"].numpy().round(6).tolist()
    [0.25, 0.75]
    """

    def __init__(self, prior: Prior, seed: int) -> None:
        self.prior = prior
        self.names = prior.names
        self.event_shapes = prior.event_shapes
        pilot = prior.sample(_PILOT_DRAWS, seeds.tensor_seed(seed, "pilot"))
        supports = {name: _support(name, prior.distribution(name, pilot)) for name in self.names}
        self.discrete = tuple(name for name in self.names if supports[name][1])
        self._vector_shapes = {
            name: tuple(supports[name][0].inverse_event_shape(shape)) for name, shape in self.event_shapes.items()
        }
        self._sizes = [int(np.prod(self._vector_shapes[name], dtype=int)) for name in self.names]
        self.dimension = sum(self._sizes)
        self.mean = np.zeros(self.dimension, np.float32)
        self.scale = np.ones(self.dimension, np.float32)
        raw = self._raw(pilot, seed)
        self._check_finite(raw)
        # Of the same draws whatever the seed: a saved posterior brings moments along, but not these.
        fixed = raw if seed == 0 else self._raw(prior.sample(_PILOT_DRAWS, seeds.tensor_seed(0, "pilot")), 0)
        self._lowest, self._highest = np.min(fixed, axis=0), np.max(fixed, axis=0)
        self.mean = np.mean(raw, axis=0)
        self.scale = np.maximum(np.std(raw, axis=0), 1e-6)

    @property
    def reach(self) -> np.ndarray:
        """Twice as far from zero as any of 8,192 prior draws, for each element of the vector (dimension,)."""
        return 2.0 * np.maximum(self._highest - self.mean, self.mean - self._lowest) / self.scale

    def _raw(self, pilot: Values, seed: int) -> np.ndarray:
        """Vectors (n, dimension) of draws, not yet standardised."""
        vector, _ = self.to_vector(self.dequantise(pilot, seeds.tensor_seed(seed, "dequantise")))
        return np.asarray(vector)

    def _check_finite(self, raw: np.ndarray) -> None:
        owners = np.repeat(self.names, self._sizes)
        broken = sorted({str(name) for name in owners[~np.isfinite(raw).all(axis=0)]})
        if broken:
            raise SimulatorError(
                f"Prior of {', '.join(map(repr, broken))}",
                expected="draws well inside the support, which map to finite unconstrained values",
                got="non-finite values for some draws",
                do="check the bounds, and that dependent bounds never coincide",
            )

    def dequantise(self, parameters: Mapping[str, tf.Tensor], seed: tf.Tensor) -> Values:
        """Parameters as floats, integers spread evenly over [k, k + 1)."""
        values = {name: _as_float(parameters[name]) for name in self.names}
        for number, name in enumerate(self.discrete):
            noise = tf.random.stateless_uniform(tf.shape(values[name]), seeds.fold_in(seed, number))
            values[name] = values[name] + noise
        return values

    def to_vector(
        self, parameters: Mapping[str, tf.Tensor], names: Collection[str] | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Parameters to the flow's vector.

        Parameters
        ----------
        parameters : dict of name to tensor (n, *event), discrete ones dequantised
        names : collection of str, optional
            Of those that are wanted, which saves time; all if left out.

        Returns
        -------
        vector : tensor (n, dimension), with zeros for what isn't wanted
        log_det : tensor (n,), log absolute determinant of d vector / d parameters, of those that are wanted
        """
        values = {name: _as_float(parameters[name]) for name in self.names}
        given = self._rounded_down(values)
        elements, log_dets = [], []
        wanted = self.elements_of(self.names if names is None else names)
        for name, size in zip(self.names, self._sizes, strict=True):
            if names is not None and name not in names:
                elements.append(tf.zeros((tf.shape(values[name])[0], size)))
                continue
            bijector, _ = _support(name, self.prior.distribution(name, given))
            value = _inside(bijector, values[name])
            rank = len(self.event_shapes[name])
            log_det = bijector.inverse_log_det_jacobian(value, event_ndims=rank)
            log_det += _surface_correction(bijector, self.event_shapes[name])
            log_dets.append(tf.broadcast_to(log_det, tf.shape(value)[:1]))
            elements.append(tf.reshape(bijector.inverse(value), (tf.shape(value)[0], -1)))
        vector = (tf.concat(elements, axis=-1) - self.mean) / self.scale * wanted
        return tf.ensure_shape(vector, (None, self.dimension)), tf.add_n(log_dets) - np.sum(wanted * np.log(self.scale))

    def elements_of(self, names: Collection[str]) -> np.ndarray:
        """One for each element of the vector (dimension,) that belongs to these parameters, zero for the others."""
        return np.repeat([np.float32(name in names) for name in self.names], self._sizes)

    def prior_log_prob(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Log prior density (n,) of parameters (n, *event), dequantised or not; -inf outside the support."""
        values = self._rounded_down({name: _as_float(parameters[name]) for name in self.names})
        terms = []
        for name in self.names:
            distribution = self.prior.distribution(name, values)
            value, inside = values[name], tf.constant(True)
            if name in self.discrete:
                # Outside their bounds some TFP distributions fail instead of returning -inf.
                low, high = _integer_bounds(_elementwise(distribution)[0]) or (0.0, None)
                value = tf.maximum(value, low) if high is None else tf.clip_by_value(value, low, high)
                inside = tf.reduce_all(value == values[name], axis=tuple(range(1, value.shape.rank)))
            terms.append(tf.where(inside, distribution.log_prob(tf.cast(value, distribution.dtype)), -np.inf))
        return tf.add_n(terms)

    def from_vector(
        self, vector: tf.Tensor, names: Collection[str] | None = None, given: Values | None = None
    ) -> Values:
        """The flow's vector to parameters, all inside the support of the prior.

        Parameters
        ----------
        vector : tensor (n, dimension)
        names : collection of str, optional
            Of those that are wanted, which saves time; all if left out.
        given : dict of name to tensor (n, *event), optional
            Others on which the prior makes these depend.

        Returns
        -------
        dict of name to tensor (n, *event)
        """
        names = self.names if names is None else names
        parts = dict(zip(self.names, tf.split(vector * self.scale + self.mean, self._sizes, axis=-1), strict=True))
        parameters = dict(given or {})
        for name in [name for name in self.prior.order if name in names]:
            bijector, _ = _support(name, self.prior.distribution(name, self._rounded_down(parameters)))
            part = tf.reshape(parts[name], (-1, *self._vector_shapes[name]))
            if bijector.forward_min_event_ndims > 0:
                part = tf.clip_by_value(part, -_SIMPLEX_LIMIT, _SIMPLEX_LIMIT)
            parameters[name] = _inside(bijector, bijector.forward(part))
        parameters = self._rounded_down(parameters)
        return {name: parameters[name] for name in self.names if name in names}

    def _rounded_down(self, values: Mapping[str, tf.Tensor]) -> Values:
        """Integers without what :meth:`dequantise` added, as others depend on them."""
        return {name: tf.floor(value) if name in self.discrete else value for name, value in values.items()}


def _support(name: str, distribution: tfd.Distribution) -> tuple[tfb.Bijector, bool]:
    """The bijector from unconstrained values to the support, and whether the variable is discrete."""
    distribution, constants = _elementwise(distribution)
    bounds = _integer_bounds(distribution)
    if bounds is not None:
        low, high = bounds
        return (tfb.Exp() if high is None else tfb.Sigmoid(low, high + 1.0)), True
    bijector = _half_line(distribution, constants) or distribution.experimental_default_event_space_bijector()
    if bijector is None:
        raise SimulatorError(
            f"Parameter {name!r}",
            expected="a continuous prior, or a discrete one over a range of integers",
            got=type(distribution).__name__,
            do="use Poisson, Geometric, NegativeBinomial, Binomial, Bernoulli, Categorical, or FiniteDiscrete over "
            "consecutive integers; or make it part of the context",
        )
    return _logarithmic(bijector), False


def _elementwise(distribution: tfd.Distribution) -> tuple[tfd.Distribution, tfd.Distribution]:
    """Vectors of independent elements as a batch of numbers, whose bijectors broadcast against the vectors.

    The second is the same without the axes added, whose constants can still be read in a graph.
    """
    constants = distribution
    while isinstance(distribution, tfd.Independent | tfd.Sample) and distribution.distribution.event_shape.rank == 0:
        new_axes = distribution.event_shape.rank if isinstance(distribution, tfd.Sample) else 0
        distribution = constants = distribution.distribution
        if new_axes and distribution.batch_shape.rank:
            distribution = distribution[(..., *new_axes * [tf.newaxis])]
    return distribution, constants


def _surface_correction(bijector: tfb.Bijector, event_shape: tuple[int, ...]) -> float:
    """TFP's bijector measures a simplex by its surface, but its Dirichlet, as everyone, by all shares but the last."""
    simplex = getattr(bijector, "bijector", bijector)  # that of one simplex among many in tfd.Sample
    if not isinstance(simplex, tfb.SoftmaxCentered):
        return 0.0
    return 0.5 * float(np.prod(event_shape[:-1]) * np.log(event_shape[-1]))


def _half_line(distribution: tfd.Distribution, constants: tfd.Distribution) -> tfb.Bijector | None:
    """For truncation on one side, where TFP's own sigmoid between the bounds gives NaN."""
    if isinstance(distribution, tfd.TruncatedNormal):
        low, high = tf.get_static_value(constants.low), tf.get_static_value(constants.high)
        if high is not None and np.all(high == np.inf):
            return tfb.Chain([tfb.Shift(distribution.low), tfb.Exp()])
        if low is not None and np.all(low == -np.inf):
            return tfb.Chain([tfb.Shift(distribution.high), tfb.Scale(-1.0), tfb.Exp()])
    return None


def _logarithmic(bijector: tfb.Bijector) -> tfb.Bijector:
    """Exp in place of Softplus on a half line.

    Softplus is linear above one unit whatever the prior's scale: with a Gamma(2, scale 20) the vector would keep the
    gamma's sharp edge at zero, which a flow has to bend around. The logarithm has no edge at any scale.
    """
    if isinstance(bijector, tfb.Softplus):
        return tfb.Exp()
    if isinstance(bijector, tfb.Chain):
        return tfb.Chain([_logarithmic(part) for part in bijector.bijectors])
    return bijector


# AutoGraph can't read a match statement, and warns of it.
@tf.autograph.experimental.do_not_convert
def _integer_bounds(distribution: tfd.Distribution) -> tuple[tf.Tensor | float, tf.Tensor | float | None] | None:
    match distribution:
        case tfd.Poisson() | tfd.Geometric() | tfd.NegativeBinomial():
            return 0.0, None
        case tfd.Bernoulli():
            return 0.0, 1.0
        case tfd.Binomial():
            return 0.0, distribution.total_count
        case tfd.Categorical():
            return 0.0, distribution._num_categories() - 1.0
        case tfd.FiniteDiscrete():
            outcomes = np.asarray(distribution.outcomes, float)
            if np.all(outcomes == np.round(outcomes)) and np.all(np.diff(np.sort(outcomes)) == 1):
                return float(outcomes.min()), float(outcomes.max())
    return None


def _inside(bijector: tfb.Bijector, value: tf.Tensor) -> tf.Tensor:
    """Keep rounding from putting an elementwise value on or past the edge of its support."""
    if bijector.forward_min_event_ndims > 0:
        return value
    tiny, largest, spacing = np.finfo(np.float32).tiny, np.finfo(np.float32).max, np.finfo(np.float32).eps
    infinity = tf.constant(np.inf, value.dtype)
    ends = bijector.forward(-infinity), bijector.forward(infinity)
    low, high = tf.minimum(*ends), tf.maximum(*ends)
    low = tf.where(tf.math.is_finite(low), low + tf.maximum(tf.abs(low) * spacing, tiny), -largest)
    high = tf.where(tf.math.is_finite(high), high - tf.maximum(tf.abs(high) * spacing, tiny), largest)
    return tf.clip_by_value(value, low, high)


def _as_float(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(value, tf.float32)
