"""The map between parameters on their prior's support and the unconstrained vector that the flow sees.

It comes from the prior alone: no draw can leave the support, and nothing has to be rejected.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.errors import SimulatorError
from bayesinn.simulation.prior import Prior, Values
from bayesinn.spaces.support import Support, elementwise, integer_bounds, support_of, surface_correction, together

tfd = tfp.distributions

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
        supports = {name: support_of(name, prior.distribution(name, pilot)) for name in self.names}
        # Made once: graphs may convert parameters many times.
        self._fixed = {name: support for name, support in supports.items() if not prior.needs(name)}
        self.discrete = tuple(name for name in self.names if supports[name].discrete)
        self._poles = tuple(name for name in self.names if _has_pole(prior.distribution(name, pilot), supports[name]))
        self._vector_shapes = {
            name: tuple(supports[name].bijector.inverse_event_shape(shape)) for name, shape in self.event_shapes.items()
        }
        sizes = [int(np.prod(self._vector_shapes[name], dtype=int)) for name in self.names]
        self.dimension = sum(sizes)
        self._places = dict(zip(self.names, np.split(np.arange(self.dimension), np.cumsum(sizes)[:-1]), strict=True))
        self.mean, self.scale = np.zeros(self.dimension, np.float32), np.ones(self.dimension, np.float32)
        raw = self._pilot_vectors(pilot, seed)
        # The same draws whatever the seed: a saved posterior brings moments along, but not these.
        fixed = raw if seed == 0 else self._pilot_vectors(prior.sample(_PILOT_DRAWS, seeds.tensor_seed(0, "pilot")), 0)
        self._lowest, self._highest = np.min(fixed, axis=0), np.max(fixed, axis=0)
        self.mean, self.scale = np.mean(raw, axis=0), np.maximum(np.std(raw, axis=0), 1e-6)

    @property
    def reach(self) -> np.ndarray:
        """Twice the distance from zero that any of 8,192 prior draws has, for each element of the vector."""
        return 2.0 * np.maximum(self._highest - self.mean, self.mean - self._lowest) / self.scale

    def _pilot_vectors(self, pilot: Values, seed: int) -> np.ndarray:
        """Return the vectors (n, dimension) of prior draws, not yet standardised, and finite."""
        raw = np.asarray(self.to_vector(self.dequantise(pilot, seeds.tensor_seed(seed, "dequantise")))[0])
        broken = sorted(name for name, places in self._places.items() if not np.isfinite(raw[:, places]).all())
        if broken:
            raise SimulatorError(
                f"Prior of {', '.join(map(repr, broken))}",
                expected="draws well inside the support, which map to finite unconstrained values",
                got="non-finite values for some draws",
                do="check the bounds, and that dependent bounds never coincide",
            )
        return raw

    def dequantise(self, parameters: Mapping[str, tf.Tensor], seed: tf.Tensor) -> Values:
        """Return parameters as floats, with integers spread evenly over [k, k + 1)."""
        values = {name: _as_float(parameters[name]) for name in self.names}
        for number, name in enumerate(self.discrete):
            noise = tf.random.stateless_uniform(tf.shape(values[name]), seeds.fold_in(seed, number))
            values[name] = values[name] + noise
        return values

    def to_vector(
        self, parameters: Mapping[str, tf.Tensor], names: Collection[str] | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Map parameters to the flow's vector.

        Parameters
        ----------
        parameters : dict of tensors, discrete ones dequantised
        names : collection of str, optional
            Parameters to map, where fewer save time; all if left out.

        Returns
        -------
        vector : tensor (n, dimension), with zeros for other parameters
        log_det : tensor (n,), log absolute determinant of d vector / d parameters, without other parameters
        """
        values = {name: _as_float(parameters[name]) for name in self.names}
        given = self._rounded_down(values)
        names = self.names if names is None else [name for name in self.names if name in names]
        families, others = self._families(names)
        # In the order in which they are made, with the places where they belong.
        elements, places, log_dets = [], [], []
        for members, support in families:
            value = support.inside(tf.stack([values[name] for name in members], axis=-1))
            log_det = support.bijector.inverse_log_det_jacobian(value, event_ndims=1)
            log_dets.append(tf.broadcast_to(log_det, tf.shape(value)[:1]))
            elements.append(support.bijector.inverse(value))
            places += [self._places[name][0] for name in members]
        for name in others:
            support, shape = self._support(name, given), self.event_shapes[name]
            value = support.inside(values[name])
            log_det = support.bijector.inverse_log_det_jacobian(value, event_ndims=len(shape))
            log_det += surface_correction(support.bijector, shape)
            log_dets.append(tf.broadcast_to(log_det, tf.shape(value)[:1]))
            elements.append(tf.reshape(support.bijector.inverse(value), (tf.shape(value)[0], -1)))
            places += list(self._places[name])
        wanted = self.elements_of(names)
        vector = tf.concat([*elements, tf.zeros((tf.shape(elements[0])[0], self.dimension - len(places)))], axis=-1)
        order = np.argsort([*places, *np.flatnonzero(wanted == 0.0)])
        vector = (tf.gather(vector, order, axis=-1) - self.mean) / self.scale * wanted
        return tf.ensure_shape(vector, (None, self.dimension)), tf.add_n(log_dets) - np.sum(wanted * np.log(self.scale))

    def elements_of(self, names: Collection[str]) -> np.ndarray:
        """Return one for each element of the vector that belongs to these parameters, zero for the others."""
        return np.concatenate([np.full(len(places), name in names, "f4") for name, places in self._places.items()])

    def prior_log_prob(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the log prior density (n,) of parameters, dequantised or not; -inf outside the support."""
        values = self._rounded_down({name: _as_float(parameters[name]) for name in self.names})
        terms = []
        for name in self.names:
            distribution = self.prior.distribution(name, values)
            value, inside = values[name], tf.constant(True)
            if name in self.discrete:
                # Outside their bounds some TFP distributions fail instead of returning -inf.
                low, high = integer_bounds(elementwise(distribution)[0]) or (0.0, None)
                value = tf.maximum(value, low) if high is None else tf.clip_by_value(value, low, high)
                inside = tf.reduce_all(value == values[name], axis=tuple(range(1, value.shape.rank)))
            log_prob = tf.cast(distribution.log_prob(tf.cast(value, distribution.dtype)), tf.float32)
            if name in self._poles:
                # Rounded draws may lie on an end of the support: as dense as just inside.
                near = self._support(name, values).inside(value)
                log_prob_near = tf.cast(distribution.log_prob(tf.cast(near, distribution.dtype)), tf.float32)
                log_prob = tf.where(log_prob == np.inf, log_prob_near, log_prob)
            terms.append(tf.where(inside, log_prob, -np.inf))
        return tf.add_n(terms)

    def from_vector(
        self, vector: tf.Tensor, names: Collection[str] | None = None, given: Values | None = None
    ) -> Values:
        """Map the flow's vector (n, dimension) to parameters, all inside the support of the prior.

        Parameters
        ----------
        vector : tensor (n, dimension)
        names : collection of str, optional
            Parameters to return, where fewer save time; all if left out.
        given : dict of tensors, optional
            Other parameters on which the prior makes these depend.
        """
        names = self.names if names is None else names
        numbers, parameters = vector * self.scale + self.mean, dict(given or {})
        families, others = self._families([name for name in self.prior.order if name in names])
        for members, support in families:
            columns = tf.gather(numbers, [self._places[name][0] for name in members], axis=-1)
            values = tf.unstack(support.inside(support.bijector.forward(columns)), axis=-1)
            parameters.update(zip(members, values, strict=True))
        for name in others:
            support = self._support(name, self._rounded_down(parameters))
            part = tf.gather(numbers, self._places[name], axis=-1)
            part = tf.reshape(part, (-1, *self._vector_shapes[name]))
            if support.ends is None:
                part = tf.clip_by_value(part, -_SIMPLEX_LIMIT, _SIMPLEX_LIMIT)
            parameters[name] = support.inside(support.bijector.forward(part))
        parameters = self._rounded_down(parameters)
        return {name: parameters[name] for name in self.names if name in names}

    def _families(self, names: Sequence[str]) -> tuple[list[tuple[list[str], Support]], list[str]]:
        """Return single numbers whose prior depends on no other parameter, by family, and the names of all others."""
        by_family: dict[str | None, list[str]] = {None: []}
        for name in names:
            alone = name in self._fixed and self.event_shapes[name] == ()
            by_family.setdefault(self._fixed[name].family if alone else None, []).append(name)
        others = by_family.pop(None)
        return [(names, together([self._fixed[name] for name in names])) for names in by_family.values()], others

    def _support(self, name: str, values: Values) -> Support:
        return self._fixed.get(name) or support_of(name, self.prior.distribution(name, values))

    def _rounded_down(self, values: Mapping[str, tf.Tensor]) -> Values:
        """Return integers without what :meth:`dequantise` added, as others depend on them."""
        return {name: tf.floor(value) if name in self.discrete else value for name, value in values.items()}


def _has_pole(distribution: tfd.Distribution, support: Support) -> bool:
    """Whether a density is infinite at an end of its support."""
    if support.discrete or support.ends is None:
        return False
    infinity = tf.fill((1, *distribution.event_shape), np.float32(np.inf))
    ends = (tf.cast(support.bijector.forward(end), distribution.dtype) for end in (-infinity, infinity))
    return any(bool(np.any(distribution.log_prob(end) == np.inf)) for end in ends)


def _as_float(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(value, tf.float32)
