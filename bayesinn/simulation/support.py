"""Supports of distributions: the map from unconstrained numbers, and its ends.

Values that lie outside of a support are found here, too.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core.errors import SimulatorError

tfd = tfp.distributions
tfb = tfp.bijectors

#: Past this many units an unconstrained value only asks for the edge of a simplex, where densities
#: are infinite.
SIMPLEX_LIMIT = 40.0
# Between values at both limits, the ratio of two shares.
_SMALLEST_SHARE = float(np.exp(-2.0 * SIMPLEX_LIMIT))
# What a part of a map gets, and maps of the whole line, or of vectors of such numbers, onto itself.
_LINE = "line"
_ABOVE_ZERO = "above zero"
_ONTO_THE_LINE = (
    tfb.Shift,
    tfb.Scale,
    tfb.ScaleMatvecDiag,
    tfb.ScaleMatvecLinearOperator,
    tfb.ScaleMatvecLU,
    tfb.ScaleMatvecTriL,
    tfb.Permute,
    tfb.Cumsum,
    tfb.SinhArcsinh,
)


class Support(NamedTuple):
    """The support of a parameter, or of numbers side by side: the image of unconstrained values.

    Its ends, the lowest and highest value, are elementwise; None where elements depend on one
    another.
    """

    bijector: tfb.Bijector
    ends: tuple[tf.Tensor, tf.Tensor] | None
    discrete: bool

    def clip(self, value: tf.Tensor) -> tf.Tensor:
        """Return values, moved inside where rounding put them on or past an edge."""
        if self.is_simplex:
            lowest = tf.constant(_SMALLEST_SHARE, value.dtype)
            inside = tf.maximum(value, lowest)
            inside /= tf.reduce_sum(inside, axis=-1, keepdims=True)
            on_edge = tf.reduce_any(value < lowest, axis=-1, keepdims=True)
            return tf.where(on_edge, inside, value)
        return value if self.ends is None else tf.clip_by_value(value, *self.ends)

    @property
    def is_simplex(self) -> bool:
        """Whether it is shares that add up to one."""
        bijector = getattr(self.bijector, "bijector", self.bijector)
        return isinstance(bijector, tfb.SoftmaxCentered)

    def holds(self, value: tf.Tensor) -> tf.Tensor:
        """Tell which elements of values (n, *event) lie inside, up to rounding."""
        if self.ends is None:
            if not self.is_simplex:
                return tf.ones_like(value, bool)
            total = tf.reduce_sum(value, axis=-1, keepdims=True)
            return (value >= 0.0) & (tf.abs(total - 1.0) < 2e-3)
        low, high = (tf.cast(limit, value.dtype) for limit in _limits(self.bijector))
        if self.discrete:
            high -= 1.0
        rounding = tf.constant(1e-6, value.dtype)
        return (value >= low - rounding * tf.abs(low)) & (value <= high + rounding * tf.abs(high))

    def comes_back(self, value: tf.Tensor) -> tf.Tensor:
        """Tell which elements come back from unconstrained numbers.

        Of the elements of matrices that are made of vectors, some are fixed.
        """
        if self.bijector.forward_min_event_ndims == self.bijector.inverse_min_event_ndims:
            return tf.constant(True)
        # A copy, or the bijector would remember what it came from.
        back = self.bijector.forward(tf.identity(self.bijector.inverse(value)))
        largest = tf.reduce_max(tf.abs(value), axis=-1, keepdims=True)
        return tf.abs(back - value) <= 1e-3 * largest

    @property
    def closed(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether the support ends where unconstrained values become -inf, and where inf.

        Arrays of elements, or numbers for all.
        """
        if self.ends is None:
            return np.array(self.is_simplex), np.array(self.is_simplex)
        infinity = tf.constant(np.inf, tf.float32)
        ends = self.bijector.forward(-infinity), self.bijector.forward(infinity)
        return np.isfinite(ends[0]), np.isfinite(ends[1])

    @property
    def family(self) -> tuple[type, ...] | None:
        """Kind of the map of single numbers, for :func:`together` to join; None for other maps."""
        kinds = tuple(type(part) for part in _parts(self.bijector))
        return kinds if kinds in ((), (tfb.Exp,), (tfb.Sigmoid,)) else None


def together(supports: Sequence[Support]) -> Support:
    """Join supports of numbers of one family into a vector's: as cheap in a graph as one number."""
    first = _parts(supports[0].bijector)
    bijector = first[0] if first else tfb.Identity()
    # Computed now, whatever graph is being traced.
    with tf.init_scope():
        if isinstance(bijector, tfb.Sigmoid):
            parts = [_parts(support.bijector)[0] for support in supports]
            bounds = [
                (0.0, 1.0) if part.low is None else (float(part.low), float(part.high))
                for part in parts
            ]
            bijector = tfb.Sigmoid(*np.transpose(bounds).astype(np.float32))
        lows, highs = zip(*(support.ends for support in supports), strict=True)
        ends = (tf.stack(lows), tf.stack(highs))
    return Support(bijector, ends, any(support.discrete for support in supports))


def _parts(bijector: tfb.Bijector) -> list[tfb.Bijector]:
    if isinstance(bijector, tfb.Chain):
        return [part for inner in bijector.bijectors for part in _parts(inner)]
    return [] if isinstance(bijector, tfb.Identity) else [bijector]


def support_of(name: str, distribution: tfd.Distribution) -> Support:
    """Return a distribution's support.

    For vectors of independent numbers, it is the support of each number.
    """
    distribution, constants = _elementwise(_in_single_precision(distribution))
    if isinstance(distribution, tfd.MixtureSameFamily | tfd.Mixture):
        return _support_of_components(name, distribution)
    bounds = _integer_bounds(distribution)
    if bounds is None:
        bijector = (
            _half_line(distribution, constants)
            or distribution.experimental_default_event_space_bijector()
        )
    else:
        low, high = bounds
        bijector = tfb.Exp() if high is None else tfb.Sigmoid(low, high + 1.0)
    if bijector is None:
        raise SimulatorError(
            f"Parameter {name!r}",
            expected="a continuous prior, or a discrete one over a range of integers",
            got=type(distribution).__name__,
            do=(
                "use a distribution of counts or categories, FiniteDiscrete over consecutive "
                "integers, or context"
            ),
        )
    bijector = _logarithmic(bijector)
    return Support(bijector, _ends(bijector), discrete=bounds is not None)


def _support_of_components(name: str, mixture: tfd.MixtureSameFamily | tfd.Mixture) -> Support:
    if isinstance(mixture, tfd.Mixture):
        components = list(mixture.components)
    else:
        several = mixture.components_distribution
        components = [several[..., number] for number in range(several.batch_shape[-1])]
    supports = [support_of(name, component) for component in components]
    parts = [part for support in supports for part in _parts(support.bijector)]
    maps = {None if support.discrete else support.family for support in supports}
    if (
        len(maps) > 1
        or None in maps
        or any(getattr(part, "low", None) is not None for part in parts)
    ):
        raise SimulatorError(
            f"Parameter {name!r}, a mixture",
            expected=(
                "continuous components all on the real line, all above zero, or all between "
                "zero and one"
            ),
            got=", ".join(sorted({type(component).__name__ for component in components})),
            do=(
                "declare the number of the component as a discrete parameter, and let this one "
                "depend on it"
            ),
        )
    return supports[0]


def outside(
    name: str, distribution: tfd.Distribution, values: np.ndarray
) -> tuple[np.ndarray, str]:
    """Return which rows (n,) of values (n, *event) lie outside a distribution's support.

    Also return this support in words.
    """
    words = type(_elementwise(distribution)[0]).__name__
    try:
        support = support_of(name, distribution)
    except SimulatorError:  # it has no smooth map, such as integers with gaps
        support = Support(tfb.Identity(), None, discrete=False)
    cells = support.holds(tf.cast(values, tf.float64)).numpy()
    if support.ends is None:
        known = tf.cast(values, distribution.dtype)
        cells &= np.isclose(known, values)
        rows = np.asarray(distribution.log_prob(known) > -np.inf)
    else:
        cells &= (values == np.floor(values)) | (not support.discrete)
        rows = np.ones(len(values), bool)
        low, high = (np.asarray(limit, np.float64) for limit in _limits(support.bijector))
        high = high - 1.0 if support.discrete else high
        words += f" from {low.min():g} to {high.max():g}"
    return ~(rows & np.all(cells.reshape(len(values), -1), axis=1)), words


def _in_single_precision(distribution: tfd.Distribution) -> tfd.Distribution:
    """Cast a distribution's parameters to networks' precision: TensorFlow doesn't mix the two."""

    def converted(value: Any) -> Any:
        if isinstance(value, tfd.Distribution):
            return _in_single_precision(value)
        double = (
            isinstance(value, tf.Tensor | np.ndarray | np.floating) and value.dtype == np.float64
        )
        return tf.cast(value, tf.float32) if double else value

    if distribution.dtype != tf.float64:
        return distribution
    return distribution.copy(
        **{name: converted(value) for name, value in distribution.parameters.items()}
    )


def _elementwise(distribution: tfd.Distribution) -> tuple[tfd.Distribution, tfd.Distribution]:
    """Return vectors of independent elements as a batch of numbers, with broadcasting bijectors."""
    # The second one lacks the axes added, so that its constants can be read in a graph.
    constants = distribution
    while (
        isinstance(distribution, tfd.Independent | tfd.Sample)
        and distribution.distribution.event_shape.rank == 0
    ):
        new_axes = distribution.event_shape.rank if isinstance(distribution, tfd.Sample) else 0
        distribution = constants = distribution.distribution
        if new_axes and distribution.batch_shape.rank:
            distribution = distribution[(..., *new_axes * [tf.newaxis])]
    return distribution, constants


def surface_correction(bijector: tfb.Bijector, event_shape: tuple[int, ...]) -> float:
    """Return the correction of the log-det that TFP's bijector gives for a simplex.

    TFP measures volumes on the surface of the simplex; the corrected log-det measures them in its
    shares but the last.
    """
    # that of one simplex among many in tfd.Sample
    simplex = getattr(bijector, "bijector", bijector)
    if not isinstance(simplex, tfb.SoftmaxCentered):
        return 0.0
    return 0.5 * float(np.prod(event_shape[:-1]) * np.log(event_shape[-1]))


def _half_line(distribution: tfd.Distribution, constants: tfd.Distribution) -> tfb.Bijector | None:
    """Return the map for a normal distribution that is truncated on one side; else None.

    TFP's own map is a sigmoid between both bounds, which gives NaN if one is infinite.
    """
    if isinstance(distribution, tfd.TruncatedNormal):
        low = tf.get_static_value(constants.low)
        high = tf.get_static_value(constants.high)
        if high is not None and np.all(high == np.inf):
            return tfb.Chain([tfb.Shift(distribution.low), tfb.Exp()])
        if low is not None and np.all(low == -np.inf):
            return tfb.Chain([tfb.Shift(distribution.high), tfb.Scale(-1.0), tfb.Exp()])
    return None


def _logarithmic(bijector: tfb.Bijector) -> tfb.Bijector:
    """Replace Softplus by Exp where it makes a half line of the whole line."""
    # Softplus is linear above one unit whatever the prior's scale: with a Gamma(2, scale 20) the
    # vector would keep the gamma's sharp edge at zero, which is hard for a flow. The logarithm has
    # no edge at any scale. Of a part of the line, the two give other ends.
    parts: list[tfb.Bijector] = []
    image: str | None = _LINE
    for part in reversed(_parts(bijector)):
        chosen = _exponential(part) if image == _LINE and isinstance(part, tfb.Softplus) else [part]
        parts = chosen + parts
        for inner in reversed(chosen):
            image = _image(inner, image)
    return parts[0] if len(parts) == 1 else tfb.Chain(parts) if parts else bijector


def _exponential(softplus: tfb.Softplus) -> list[tfb.Bijector]:
    """Return the parts, the last one first, of the exponential map onto the same half line."""
    softness = tf.get_static_value(softplus.hinge_softness)
    if softness is not None and np.any(softness < 0.0):
        # Its half line is below zero.
        return [softplus]
    shift = [] if softplus.low is None else [tfb.Shift(softplus.low)]
    return [*shift, tfb.Exp()]


def _image(part: tfb.Bijector, image: str | None) -> str | None:
    """Return what a map makes of the line, or of the numbers above zero; None for other images."""
    if image == _ABOVE_ZERO:
        return _LINE if isinstance(part, tfb.Log) else None
    if image == _LINE:
        # The one of tfd.Sample has a map inside.
        inner = _parts(getattr(part, "bijector", part))
        if all(isinstance(each, _ONTO_THE_LINE) for each in inner):
            return _LINE
        if isinstance(part, tfb.Exp):
            return _ABOVE_ZERO
    return None


def _integer_bounds(
    distribution: tfd.Distribution,
) -> tuple[tf.Tensor | float, tf.Tensor | float | None] | None:
    """Return the lowest and highest integer (None without an end), or None for other numbers."""
    if isinstance(distribution, tfd.Poisson | tfd.Geometric | tfd.NegativeBinomial):
        return 0.0, None
    if isinstance(distribution, tfd.Bernoulli):
        return 0.0, 1.0
    if isinstance(distribution, tfd.Binomial | tfd.BetaBinomial):
        return 0.0, distribution.total_count
    if isinstance(distribution, tfd.Categorical):
        return 0.0, distribution._num_categories() - 1.0
    if isinstance(distribution, tfd.FiniteDiscrete):
        # In a graph, too, though it traces the function that returns the distribution.
        known = tf.get_static_value(distribution.outcomes)
        outcomes = np.sort(np.asarray([np.nan] if known is None else known, float))
        if np.all(outcomes == np.round(outcomes)) and np.all(np.diff(outcomes) == 1):
            return float(outcomes[0]), float(outcomes[-1])
    return None


def _limits(bijector: tfb.Bijector) -> tuple[tf.Tensor, tf.Tensor]:
    infinity = tf.constant(np.inf, tf.float32)
    ends = bijector.forward(-infinity), bijector.forward(infinity)
    return tf.minimum(*ends), tf.maximum(*ends)


def _ends(bijector: tfb.Bijector) -> tuple[tf.Tensor, tf.Tensor] | None:
    """Return the lowest and the highest number that are well inside what the bijector maps to."""
    if bijector.forward_min_event_ndims > 0:
        return None
    single = np.finfo(np.float32)
    low, high = _limits(bijector)
    low = tf.where(
        tf.math.is_finite(low), low + tf.maximum(tf.abs(low) * single.eps, single.tiny), -single.max
    )
    high = tf.where(
        tf.math.is_finite(high),
        high - tf.maximum(tf.abs(high) * single.eps, single.tiny),
        single.max,
    )
    return low, high
