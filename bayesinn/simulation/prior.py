"""Priors: named distributions in order, their supports, and priors that are samples."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.errors import (
    BayesinnError,
    InputError,
    SimulatorError,
    check_memory,
    check_number,
)
from bayesinn.core.private_api import mend_padding
from bayesinn.simulation.scipy_priors import as_tfp

tfd = tfp.distributions
Entry = tfd.Distribution | Callable[..., tfd.Distribution]
Values = dict[str, tf.Tensor]


class Prior:
    """A joint distribution of named variables.

    An entry is a distribution, or a function whose argument names are other entries: it gets their
    values and returns a distribution with batch shape (n,). Messages call the whole ``subject``.

    ``names`` are in the order of declaration; in ``order`` each comes after its ``needs``, the
    names it depends on; ``entries`` are as declared. ``event_shapes`` and ``dtypes`` (NumPy's) are
    those of draws.

    Examples
    --------
    >>> prior = Prior({"low": tfd.Uniform(0.0, 1.0), "high": lambda low: tfd.Uniform(low, 2.0)})
    >>> draws = prior.sample(4, seeds.tensor_seed(1, "prior"))
    >>> bool(tf.reduce_all(draws["high"] > draws["low"]))
    True
    """

    def __init__(
        self,
        distributions: Mapping[str, Entry] | tfd.JointDistributionNamed,
        subject: str = "prior",
    ) -> None:
        mend_padding()
        if isinstance(distributions, tfd.JointDistributionNamed):
            model = distributions.model
            distributions = model if isinstance(model, Mapping) else model._asdict()
        if not isinstance(distributions, Mapping) or not distributions:
            raise SimulatorError(
                f"The {subject}",
                expected=(
                    "a dict of TFP distributions with at least one entry, or a "
                    "tfd.JointDistributionNamed"
                ),
                got="an empty dict" if isinstance(distributions, Mapping) else repr(distributions),
                do='write for example prior={"rate": tfd.LogNormal(0.0, 1.0)}',
            )
        self.subject = subject
        self.entries = {
            name: as_tfp(f"Entry {name!r} of the {subject}", entry)
            for name, entry in distributions.items()
        }
        self.names = tuple(self.entries)
        self.needs: dict[str, tuple[str, ...]] = {}
        for name, entry in self.entries.items():
            fixed = isinstance(entry, tfd.Distribution)
            joint = isinstance(entry, tfd.JointDistribution)
            if not isinstance(name, str) or joint or not (fixed or callable(entry)):
                raise SimulatorError(
                    f"Entry {name!r} of the {subject}",
                    expected="a name with a distribution of TFP or SciPy, or with a function that "
                    "returns one of TFP",
                    got=type(entry).__name__,
                    do="use tfp.distributions, for example tfd.Normal(0.0, 1.0)",
                )
            self.needs[name] = () if fixed else tuple(inspect.signature(entry).parameters)
        self.order = self._dependency_order()
        self._check_sizes()
        try:
            # No vector has as many elements as both numbers of draws.
            trials = {n: self.sample(n, tf.constant([0, 0], tf.int32)) for n in (3, 2)}
        except BayesinnError:
            raise
        except Exception as error:  # whatever a distribution, or a function of the user, raises
            raise SimulatorError(
                f"The {self.subject}",
                expected="distributions that two and three draws can be taken from",
                got=f"{type(error).__name__}: {str(error)[:200]}",
                do="draw from each of them by itself",
            ) from error
        for n, trial in trials.items():
            for name in self.names:
                shape = trial[name].shape
                if shape.rank == 0 or shape[0] != n:
                    raise SimulatorError(
                        f"Entry {name!r} of the {self.subject}",
                        expected=f"draws of shape (n, ...), here ({n}, ...)",
                        got=f"{tuple(shape)}",
                        do="let the function return a distribution with the batch shape () or "
                        "(n,); for vectors, spread a parent along them: "
                        "tfd.Normal(a[:, None] + [0.0, 1.0], 1.0)",
                    )
        self.event_shapes = {name: tuple(trial[name].shape[1:]) for name in self.names}
        self.dtypes = {name: trial[name].dtype.as_numpy_dtype for name in self.names}
        #: Names of angles, in radians.
        self.angles = tuple(
            name for name in self.names if _direction(self.distribution(name, trials[2])) == "angle"
        )

    def distribution(self, name: str, given: Mapping[str, tf.Tensor]) -> tfd.Distribution:
        """Return the distribution, batch shape () or (n,), of one variable given its parents.

        The parents are the variables that it depends on.
        """
        distribution = self.entries[name]
        batch_axes = 0
        if not isinstance(distribution, tfd.Distribution):
            distribution = distribution(**{need: given[need] for need in self.needs[name]})
            batch_axes = 1
            if not isinstance(distribution, tfd.Distribution):
                raise SimulatorError(
                    f"Entry {name!r} of the {self.subject}",
                    expected="a function that returns a TFP distribution",
                    got=type(distribution).__name__,
                    do="return for example tfd.Normal(mean, 1.0)",
                )
        # tfd.Normal([0.0, 0.0], 1.0) is one vector variable, not a batch of priors.
        extra = distribution.batch_shape.rank - batch_axes
        return tfd.Independent(distribution, extra) if extra > 0 else distribution

    def sample(self, n: int | tf.Tensor, seed: tf.Tensor) -> Values:
        """Draw n times from the joint distribution; the seed is a tensor (2,)."""
        drawn: Values = {}
        for name, own_seed in zip(self.order, seeds.split(seed, len(self.order)), strict=True):
            distribution = self.distribution(name, drawn)
            sample_shape = [n] if distribution.batch_shape.rank == 0 else []
            drawn[name] = distribution.sample(sample_shape, seed=own_seed)
        return {name: drawn[name] for name in self.names}

    def cast(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return values in the dtypes of draws."""
        return {name: values[name].astype(dtype) for name, dtype in self.dtypes.items()}

    def unwrapped(
        self, draws: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Return values (n, m, *event), by default the draws, with angles near those of draws.

        The angles are within half a turn of the mean direction of the draws (n, L, *event), so that
        means, ranks and quantiles are those on the circle, wherever it was cut.

        >>> prior = Prior({"phase": tfd.VonMises(0.0, 1.0)})
        >>> prior.unwrapped({"phase": np.array([[3.0, -3.0, 3.1]])})["phase"].round(2).tolist()
        [[3.0, 3.28, 3.1]]
        """
        result = dict(draws if values is None else values)
        for name in self.angles:
            turn = np.exp(1j * draws[name].astype(float))
            middle = np.angle(turn.mean(axis=1, keepdims=True))
            beyond = np.round((result[name] - middle) / (2.0 * np.pi))
            moved = result[name] - 2.0 * np.pi * beyond
            result[name] = moved.astype(result[name].dtype)
        return result

    def refuse_fractions(self, values: Mapping[str, np.ndarray]) -> None:
        """Raise for fractions where draws are integers."""
        for name, dtype in self.dtypes.items():
            fractions = values[name] != np.floor(values[name])
            if np.issubdtype(dtype, np.integer) and np.any(fractions):
                raise InputError(
                    f"Values of {name!r}",
                    expected="integers, as the prior draws",
                    got=f"{values[name][fractions][0]}, and {np.sum(fractions)} fractions in all",
                    do="round them",
                )

    def _check_sizes(self) -> None:
        """Refuse variables of which three draws don't fit into memory."""
        for name, entry in self.entries.items():
            if isinstance(entry, tfd.Distribution):
                shape = entry.batch_shape.concatenate(entry.event_shape)
                numbers = shape.num_elements() or 0
                check_memory(
                    f"Entry {name!r} of the {self.subject}",
                    3 * numbers * entry.dtype.size,
                    got=f"{numbers:,} numbers in each of three draws",
                    do="declare fewer",
                    error=SimulatorError,
                )

    def _dependency_order(self) -> tuple[str, ...]:
        order: list[str] = []
        while left := {name: needs for name, needs in self.needs.items() if name not in order}:
            ready = [name for name, needs in left.items() if set(needs) <= set(order)]
            if not ready:
                raise SimulatorError(
                    f"Entries {sorted(left)} of the {self.subject}",
                    expected="functions whose argument names are other entries, without a circle",
                    got=f"arguments {left}",
                    do=f"name the arguments after the entries {list(self.names)}",
                )
            order.extend(ready)
        return tuple(order)


# Supports of distributions: the map from unconstrained numbers, and its ends.
#
# Values that lie outside of a support are found here, too.

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


#: Distributions of unit vectors.
DIRECTIONS = (tfd.SphericalUniform, tfd.VonMisesFisher, tfd.PowerSpherical)


# Most values of an integer with a probability for each, and of all integers of a parameter.
_MOST_VALUES = 256
_MOST_VALUES_OF_ALL = 1024


class Support(NamedTuple):
    """The support of a parameter, or of numbers side by side: the image of unconstrained values.

    Its ends, the lowest and highest value, are elementwise; None where elements depend on one
    another. A ``direction`` is "angle", in radians, or "vector", of length one: its unconstrained
    values are points, whose direction from the origin it is.
    """

    bijector: tfb.Bijector
    ends: tuple[tf.Tensor, tf.Tensor] | None
    discrete: bool
    direction: str = ""

    def clip(self, value: tf.Tensor) -> tf.Tensor:
        """Return values, moved inside where rounding put them on or past an edge."""
        if self.is_simplex:
            lowest = tf.constant(_SMALLEST_SHARE, value.dtype)
            inside = tf.maximum(value, lowest)
            inside /= tf.reduce_sum(inside, axis=-1, keepdims=True)
            on_edge = tf.reduce_any(value < lowest, axis=-1, keepdims=True)
            return tf.where(on_edge, inside, value)
        return value if self.ends is None else tf.clip_by_value(value, *self.ends)

    def categories(self, event_shape: tuple[int, ...]) -> range | None:
        """Return the values of integers (*event), if a network can have a probability for each.

        None for other numbers, if integers have no end, or ends that depend on other parameters,
        or if there are too many values.
        """
        if not self.discrete:
            return None
        low, high = (np.asarray(limit, float) for limit in _limits(self.bijector))
        if max(low.ndim, high.ndim) > len(event_shape) or not np.isfinite(high).all():
            return None
        values = range(int(low.min()), int(high.max()))
        all_values = len(values) * math.prod(event_shape)
        few = len(values) <= _MOST_VALUES and all_values <= _MOST_VALUES_OF_ALL
        return values if few else None

    @property
    def is_simplex(self) -> bool:
        """Whether it is shares that add up to one."""
        bijector = getattr(self.bijector, "bijector", self.bijector)
        return isinstance(bijector, tfb.SoftmaxCentered)

    def holds(self, value: tf.Tensor) -> tf.Tensor:
        """Tell which elements of values (n, *event) lie inside, up to rounding."""
        if self.direction == "angle":
            return tf.math.is_finite(value)
        if self.direction:
            length = tf.norm(value, axis=-1, keepdims=True)
            return tf.broadcast_to(tf.abs(length - 1.0) < 1e-3, tf.shape(value))
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
        if self.direction:
            return None
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
    if direction := _direction(distribution):
        return Support(tfb.Identity(), None, discrete=False, direction=direction)
    if isinstance(distribution, tfd.MixtureSameFamily | tfd.Mixture):
        return _support_of_components(name, distribution)
    bounds = _integer_bounds(distribution)
    if bounds is None:
        bijector = (
            _half_line(distribution, constants)
            or _onto_matrices(distribution)
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
    if len({support.direction for support in supports}) == 1 and supports[0].direction:
        return supports[0]
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
        typed = tf.cast(values, distribution.dtype)
        cells &= np.isclose(typed, values)
        rows = np.asarray(distribution.log_prob(typed) > -np.inf)
    else:
        cells &= (values == np.floor(values)) | (not support.discrete)
        rows = np.ones(len(values), bool)
        low, high = (np.asarray(limit, np.float64) for limit in _limits(support.bijector))
        high = high - 1.0 if support.discrete else high
        words += f" from {low.min():g} to {high.max():g}"
    return ~(rows & np.all(cells.reshape(len(values), -1), axis=1)), words


def log_masses(
    name: str, distribution: tfd.Distribution, event_shape: tuple[int, ...], values: range
) -> tf.Tensor:
    """Return log probabilities (n or 1, size, k) of k values of each integer of an event.

    They are -inf outside the support.
    """
    support = support_of(name, distribution)
    numbers, _ = _elementwise(_in_single_precision(distribution))
    column = tf.reshape(np.array(values, np.float32), (-1, *numbers.batch_shape.rank * [1]))
    column += tf.zeros(numbers.batch_shape_tensor())
    # Outside their bounds some TFP distributions fail.
    inside = tf.floor(support.clip(column))
    log_prob = tf.cast(numbers.log_prob(tf.cast(inside, numbers.dtype)), tf.float32)
    possible = (inside == column) & ~tf.math.is_nan(log_prob)
    masses = tf.where(possible, log_prob, -np.inf)
    masses = tf.transpose(masses, [*range(1, masses.shape.rank), 0])
    masses += tf.zeros((*event_shape, len(values)))
    return tf.reshape(masses, (-1, math.prod(event_shape), len(values)))


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


def _direction(distribution: tfd.Distribution) -> str:
    """Return "angle" or "vector" for a distribution of directions; empty for any other."""
    while isinstance(distribution, tfd.Independent | tfd.Sample):
        distribution = distribution.distribution
    if isinstance(distribution, tfd.VonMises):
        return "angle"
    return "vector" if isinstance(distribution, DIRECTIONS) else ""


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


class _Correlations(tfb.Bijector):
    """Cholesky factors of correlation matrices <-> the matrices.

    Their volumes are those of the elements below the diagonal. TFP's own map for `tfd.LKJ` counts
    the diagonal, too, which is fixed: its log-det doesn't belong to the density.
    """

    def __init__(self, name: str = "correlations") -> None:
        super().__init__(forward_min_event_ndims=2, parameters={"name": name}, name=name)

    @classmethod
    def _parameter_properties(cls, dtype: Any) -> dict[str, Any]:
        return {}

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        # Rounding must not tell draws from those of the prior, which have ones.
        return tf.linalg.set_diag(tf.matmul(x, x, transpose_b=True), tf.ones_like(x[..., 0]))

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        return tf.linalg.cholesky(y)

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        below = tf.range(x.shape[-1] - 1, -1, -1, dtype=x.dtype)
        return tf.reduce_sum(below * tf.math.log(tf.linalg.diag_part(x)), axis=-1)


def _onto_matrices(distribution: tfd.Distribution) -> tfb.Bijector | None:
    """Return the map for matrices that TFP has no correct one for; else None.

    TFP's map for Wishart matrices leaves out those with a small diagonal.
    """
    while isinstance(distribution, tfd.Independent | tfd.Sample):
        distribution = distribution.distribution
    if isinstance(distribution, tfd.TransformedDistribution):
        inner = _onto_matrices(distribution.distribution)
        return inner and tfb.Chain([distribution.bijector, inner])
    if isinstance(distribution, tfd.LKJ):
        return tfb.Chain([_Correlations(), tfb.CorrelationCholesky()])
    if isinstance(distribution, tfd.WishartLinearOperator):
        root = tfb.FillScaleTriL(diag_bijector=tfb.Exp(), diag_shift=None)
        whole = [] if distribution.input_output_cholesky else [tfb.CholeskyOuterProduct()]
        return tfb.Chain([*whole, root])
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
        static = tf.get_static_value(distribution.outcomes)
        outcomes = np.sort(np.asarray([np.nan] if static is None else static, float))
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


class Samples(tfd.Distribution):
    """Prior defined by a data set: one of its rows at random, with Gaussian noise.

    Use it for parameters whose prior nobody can write down, such as pictures. The noise makes it a
    kernel density estimate; without noise, a network would learn to recall single rows.

    Parameters
    ----------
    values : array (n, *event)
    noise : float, standard deviation of each element around a row, above zero

    Examples
    --------
    >>> import bayesinn as bi
    >>> import numpy as np
    >>> pictures = np.random.default_rng(1).uniform(size=(100, 8, 8, 1))
    >>> @bi.simulator(prior={"picture": bi.Samples(pictures, noise=0.05)})
    ... def blurred(parameters, seed):
    ...     return {"seen": tf.nn.avg_pool2d(parameters["picture"], 3, 1, "SAME")}
    >>> blurred.sample(10, seed=1)["picture"].shape
    (10, 8, 8, 1)
    """

    def __init__(self, values: Any, noise: float, name: str = "Samples") -> None:
        self.noise = check_number("Samples, argument 'noise'", noise, above=0)
        values = np.asarray(values, np.float32)
        if values.ndim == 0 or len(values) == 0 or not np.isfinite(values).all():
            got = f"shape {values.shape}"
            if values.size:
                got += ", not all finite"
            raise InputError(
                "Samples, argument 'values'",
                expected="finite numbers, an array (n, *event)",
                got=got,
                do="leave out rows with missing values",
            )
        # Written into a graph, a data set would be copied with each of its versions.
        with tf.init_scope():
            self.values = tf.Variable(values, trainable=False)
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters={"values": self.values, "noise": noise, "name": name},
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: int | None = None) -> dict[str, Any]:
        return {}

    def _batch_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _event_shape(self) -> tf.TensorShape:
        return self.values.shape[1:]

    def _default_event_space_bijector(self) -> tfb.Bijector:
        return tfb.Identity()

    def _sample_n(self, n: int | tf.Tensor, seed: Any = None) -> tf.Tensor:
        of_rows, of_noise = tfp.random.split_seed(seed, n=2)
        rows = tf.random.stateless_uniform(
            [n], of_rows, maxval=self.values.shape[0], dtype=tf.int32, alg="philox"
        )
        drawn = tf.gather(self.values, rows)
        return drawn + self.noise * tf.random.stateless_normal(
            tf.shape(drawn), of_noise, alg="philox"
        )

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        size = math.prod(self.values.shape[1:])
        rows = tf.reshape(self.values, (-1, size))

        def density(one: tf.Tensor) -> tf.Tensor:
            squares = tf.reduce_sum(((rows - one) / self.noise) ** 2, axis=1)
            return tf.reduce_logsumexp(-0.5 * squares)

        # One after another: distances of thousands of pictures from each other would fill memory.
        densities = tf.map_fn(density, tf.reshape(value, (-1, size)))
        constant = size * (0.5 * math.log(2.0 * math.pi) + math.log(self.noise))
        log_prob = densities - constant - math.log(self.values.shape[0])
        return tf.reshape(log_prob, tf.shape(value)[: len(value.shape) - len(self.event_shape)])
