"""Supports of priors: the map from unconstrained numbers to one, and its ends; of many numbers at once, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core.errors import SimulatorError

tfd, tfb = tfp.distributions, tfp.bijectors


class Support(NamedTuple):
    """Of a parameter, or of several numbers beside each other.

    Attributes
    ----------
    bijector : from unconstrained values to the support
    ends : lowest and highest value, elementwise; none for what isn't elementwise
    discrete : bool
    """

    bijector: tfb.Bijector
    ends: tuple[tf.Tensor, tf.Tensor] | None
    discrete: bool

    def inside(self, value: tf.Tensor) -> tf.Tensor:
        """Keep rounding from putting an elementwise value on or past the edge of its support."""
        return value if self.ends is None else tf.clip_by_value(value, *self.ends)

    @property
    def family(self) -> str | None:
        """What numbers must have in common to be mapped together by :func:`together`; None if they can't be."""
        parts = _parts(self.bijector)
        simple = len(parts) <= 1 and all(type(part) in (tfb.Exp, tfb.Sigmoid) for part in parts)
        return "".join(["numbers", *(type(part).__name__ for part in parts)]) if simple else None


def together(supports: Sequence[Support]) -> Support:
    """One for vectors (n, k) of numbers whose supports are of one family: a graph needs as much for it as for one."""
    first = _parts(supports[0].bijector)
    bijector = first[0] if first else tfb.Identity()
    # Known at once, whatever graph is being made.
    with tf.init_scope():
        if isinstance(bijector, tfb.Sigmoid):
            bounds = [_bounds(_parts(support.bijector)[0]) for support in supports]
            bijector = tfb.Sigmoid(*np.transpose(bounds).astype(np.float32))
        low, high = (tf.stack(ends) for ends in zip(*(support.ends for support in supports), strict=True))
    return Support(bijector, (low, high), any(support.discrete for support in supports))


def _parts(bijector: tfb.Bijector) -> list[tfb.Bijector]:
    """What a chain does, without parts that do nothing."""
    if isinstance(bijector, tfb.Chain):
        return [part for inner in bijector.bijectors for part in _parts(inner)]
    return [] if isinstance(bijector, tfb.Identity) else [bijector]


def _bounds(sigmoid: tfb.Sigmoid) -> tuple[float, float]:
    return (0.0, 1.0) if sigmoid.low is None else (float(sigmoid.low), float(sigmoid.high))


def support_of(name: str, distribution: tfd.Distribution) -> Support:
    """The support of a prior; of numbers elementwise, where it is that of vectors of independent ones."""
    distribution, constants = elementwise(_in_single_precision(distribution))
    bounds = integer_bounds(distribution)
    if bounds is not None:
        low, high = bounds
        bijector = tfb.Exp() if high is None else tfb.Sigmoid(low, high + 1.0)
        return Support(bijector, _ends(bijector), discrete=True)
    bijector = _half_line(distribution, constants) or distribution.experimental_default_event_space_bijector()
    if bijector is None:
        raise SimulatorError(
            f"Parameter {name!r}",
            expected="a continuous prior, or a discrete one over a range of integers",
            got=type(distribution).__name__,
            do="use Poisson, Geometric, NegativeBinomial, Binomial, Bernoulli, Categorical, or FiniteDiscrete over "
            "consecutive integers; or make it part of the context",
        )
    bijector = _logarithmic(bijector)
    return Support(bijector, _ends(bijector), discrete=False)


def _in_single_precision(distribution: tfd.Distribution) -> tfd.Distribution:
    """The same, with parameters as networks have them: TensorFlow doesn't mix the two."""

    def converted(value: Any) -> Any:
        if isinstance(value, tfd.Distribution):
            return _in_single_precision(value)
        if isinstance(value, tf.Tensor | np.ndarray | np.floating) and value.dtype == np.float64:
            return tf.cast(value, tf.float32)
        return value

    if distribution.dtype != tf.float64:
        return distribution
    return distribution.copy(**{name: converted(value) for name, value in distribution.parameters.items()})


def elementwise(distribution: tfd.Distribution) -> tuple[tfd.Distribution, tfd.Distribution]:
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


def surface_correction(bijector: tfb.Bijector, event_shape: tuple[int, ...]) -> float:
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
def integer_bounds(distribution: tfd.Distribution) -> tuple[tf.Tensor | float, tf.Tensor | float | None] | None:
    """The lowest and the highest integer, or None for that one if there is no end; None for what isn't integers."""
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


def _ends(bijector: tfb.Bijector) -> tuple[tf.Tensor, tf.Tensor] | None:
    """The lowest and the highest number that are well inside what the bijector maps to."""
    if bijector.forward_min_event_ndims > 0:
        return None
    tiny, largest, spacing = np.finfo(np.float32).tiny, np.finfo(np.float32).max, np.finfo(np.float32).eps
    infinity = tf.constant(np.inf, tf.float32)
    ends = bijector.forward(-infinity), bijector.forward(infinity)
    low, high = tf.minimum(*ends), tf.maximum(*ends)
    low = tf.where(tf.math.is_finite(low), low + tf.maximum(tf.abs(low) * spacing, tiny), -largest)
    high = tf.where(tf.math.is_finite(high), high - tf.maximum(tf.abs(high) * spacing, tiny), largest)
    return low, high
