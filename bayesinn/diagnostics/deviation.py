"""How far a posterior is off: a number with a unit for each column, with a joint interval.

The interval holds for all columns at once. A p-value measures how certain an error is; it falls
with the number of simulations, however small the error. A deviation measures how large the error
is, and how precisely that is known. Its interval narrows as one over the root of the number of
simulations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from bayesinn.core.errors import check_integer
from bayesinn.diagnostics import beyond
from bayesinn.diagnostics.arrays import check_level
from bayesinn.diagnostics.bands import Blur, blur, simultaneous_band

#: Probability that the intervals of all columns of one measure hold.
CONFIDENCE = 0.95
#: Names of columns that stand for all parameters together.
TOGETHER = ("joint", "all parameters")
# If more than this many times the simulations were needed, an error is reported to be about as
# large as its tolerance.
_MOST_TIMES = 50.0
# Ranks among more draws hide less than 1 % of an error.
_MANY_DRAWS = 2_000

Words = tuple[str, str]
Columns = tuple[str, ...]


class Interval(NamedTuple):
    """Estimates, and the ends of their intervals."""

    estimate: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True, eq=False)
class Deviation:
    """One measure of error.

    The estimates of a correct posterior are zero, up to chance. They have a sign where the sign
    means something.
    """

    measure: str  #: what is measured, for example ``shift``
    unit: str
    #: name of a field of :class:`bayesinn.diagnosis.Tolerances`, or a number in the unit
    tolerance: str | float
    columns: Columns
    estimate: np.ndarray  #: (k,)
    lower: np.ndarray  #: (k,)
    upper: np.ndarray  #: (k,), inf where nothing bounds the error from above
    simulations: int
    words: Words = ("too low", "too high")  #: what a negative and a positive estimate say
    #: factor of the tolerance: the number of parameters, if errors add up over them
    scale: float = 1.0
    #: half the distance of two bounds; more draws reduce it, more simulations don't
    gap: float = 0.0
    #: whether an error without upper bound is only compared with the tolerance from below
    one_sided: bool = False
    #: Takes a tolerance, in the unit; returns p-values (k,) of errors up to this size, each by
    #: itself.
    beyond: Callable[[float], np.ndarray] | None = None

    @property
    def deviations(self) -> "tuple[Deviation]":
        """The measure itself: it may be the result of a check."""
        return (self,)

    @property
    def summary(self) -> str:
        """The errors of all columns in words."""
        return "; ".join(map(self.text, range(len(self.columns))))

    @property
    def ranking(self) -> Columns:
        """The columns: all have errors, by whose sizes a diagnosis sorts them."""
        return self.columns

    def to_dataframe(self) -> pd.DataFrame:
        """Return a table with one row for each column."""
        numbers = {"estimate": self.estimate, "lower": self.lower, "upper": self.upper}
        return pd.DataFrame(numbers, index=pd.Index(self.columns, name="column"))

    @property
    def least(self) -> np.ndarray:
        """Array (k,): smallest size of the error in its interval."""
        return np.where(
            (self.lower < 0.0) & (self.upper > 0.0),
            0.0,
            np.minimum(abs(self.lower), abs(self.upper)),
        )

    @property
    def most(self) -> np.ndarray:
        """Array (k,): largest size of the error in its interval."""
        return np.maximum(abs(self.lower), abs(self.upper))

    def p_values(self, tolerance: float) -> np.ndarray:
        """Return p-values (k,) of errors no larger than the tolerance, each column by itself.

        If ``beyond`` is None, they are computed from the interval, as if it came from Student's t.
        """
        if self.beyond is not None:
            return self.beyond(tolerance)
        size = abs(self.estimate)
        half = np.where(self.estimate > 0.0, self.estimate - self.lower, self.upper - self.estimate)
        quantile = _quantile(len(self.columns), max(self.simulations, 2))
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = quantile * np.nan_to_num(
                (size - tolerance) / half, nan=-np.inf, posinf=np.inf
            )
        return np.asarray(np.minimum(2.0 * stats.t.sf(distance, max(self.simulations - 1, 1)), 1.0))

    def simulations_needed(self, tolerance: float, error: float = 1.0 - CONFIDENCE) -> np.ndarray:
        """Estimate how many simulations (k,) tell on which side of the tolerance each error lies.

        Half the interval is then as wide as the distance of the estimate from the tolerance. As
        long as it is wider than the tolerance, the estimate is too uncertain: then it shall be half
        the tolerance. Infinite if the error is about as large as its tolerance, or if simulations
        don't narrow the interval enough. An error beyond the tolerance must be told from it with a
        probability of ``error`` of being wrong in any column.
        """
        size = abs(self.estimate)
        with np.errstate(divide="ignore", invalid="ignore"):
            inner = self._stretch(error) * (size - self.least)
            outer = self.most - size
            # The half that faces the tolerance, and what simulations can narrow of it.
            narrowing = np.where(size > tolerance, inner, outer) - self.gap
            too_uncertain = (narrowing > tolerance) & ~(self.least > tolerance)
            aim = np.where(too_uncertain, 0.5 * tolerance, abs(size - tolerance) - self.gap)
            factor = (np.maximum(narrowing, 0.0) / aim) ** 2
            factor = np.maximum(factor, self._until_sure(tolerance, error))
        about_the_tolerance = ~too_uncertain & (factor > _MOST_TIMES)
        # Not "aim <= 0": NaN is hopeless, too.
        no_use = ~(aim > 0.0) | np.isnan(factor)
        return np.where(about_the_tolerance | no_use, np.inf, self.simulations * factor)

    def _until_sure(self, tolerance: float, error: float) -> np.ndarray:
        """Return how many times the simulations (k,) make p-values beyond the tolerance small.

        They must be small enough for a probability of ``error`` of being wrong in any column. Zero
        where the interval holds the tolerance, or where p-values are small enough.
        """
        beyond_it = self.least > tolerance
        if not beyond_it.any():
            return np.zeros(len(self.columns))
        needed = error / len(self.columns)
        p_values = self.p_values(tolerance)
        # The distance from the tolerance, in standard errors, grows with the root of the number.
        times = (stats.norm.isf(0.5 * needed) / stats.norm.isf(0.5 * p_values)) ** 2
        # Where the interval excludes the tolerance, the error is larger, and some number will do.
        return np.where(beyond_it & (p_values > needed), np.minimum(times, _MOST_TIMES), 0.0)

    def _stretch(self, error: float) -> float:
        """Return how much wider intervals are whose columns together err by ``error`` at most."""
        count = len(self.columns)
        quantile = _quantile(count, max(self.simulations, 2))
        return max(float(stats.norm.isf(0.5 * error / count)) / quantile, 1.0)

    def text(self, column: int) -> str:
        """Write the error of one column, its size, and the interval."""
        word = self.words[int(self.estimate[column] > 0.0)]
        size, low, high = (
            digits(part[column]) for part in (abs(self.estimate), self.least, self.most)
        )
        interval = f"at least {low}" if np.isinf(self.most[column]) else f"{low} to {high}"
        name = "" if self.columns[column] in TOGETHER else f"{self.columns[column]}: "
        if np.isinf(self.estimate[column]):
            # Of draws that are all equal, for example.
            least = "" if np.isinf(self.least[column]) else f" ({interval} {self.unit})"
            return f"{name}{word}, infinitely{least}"
        return f"{name}{word}, by {size} ({interval}) {self.unit}".rstrip()


def digits(value: float) -> str:
    """Write the size of an error: two digits, or all before the point."""
    return f"{value:.0f}" if value >= 10.0 else f"{value:.2g}"


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Turn values in [0, 1), uniform if a posterior is correct, into standard normal ones.

    For a normal posterior they are (truth - mean) / sd, whatever its mean and sd are.
    """
    return np.asarray(special.ndtri(np.clip(values, 1e-9, 1.0 - 1e-9)))


def interval_of_mean(values: np.ndarray) -> Interval:
    """Return the mean of values (n, k) with intervals that hold together."""
    half = (
        _quantile(values.shape[1], len(values)) * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    )
    mean = values.mean(axis=0)
    return Interval(mean, mean - half, mean + half)


def shift_and_spread(
    values: np.ndarray, columns: Columns, draws: int | None = None
) -> tuple[Deviation, Deviation]:
    """Return how far draws lie above truths, in sd of the draws, and how much wider they spread.

    The error of spread is that of the standard deviation of the draws, in % of it.

    ``values`` (n, k) are ranks of truths among a number of draws, spread over [0, 1); or exact
    probabilities, without ``draws``. What ranks among few draws hide of the errors is added (see
    :mod:`bayesinn.diagnostics.bands`).
    """
    few = draws is not None and draws <= _MANY_DRAWS
    blurred = blur(draws) if few else None
    scores = normal_scores(values)
    size = len(values)
    words = "draws too low", "draws too high"
    # Where truths lie too high, draws lie too low.
    means = interval_of_mean(-scores)
    if blurred is not None:
        means = Interval(*map(blurred.shift, means))
    shift = Deviation(
        "shift",
        "sd",
        "shift",
        columns,
        *means,
        size,
        words,
        beyond=partial(_beyond_shift, scores, blurred),
    )
    centred = scores - scores.mean(axis=0)
    variance = np.mean(centred**2, axis=0)
    # Standard error of the logarithm of a standard deviation, by its fourth moment. A few
    # simulations may have a small one by chance, two always: not below that of normal scores.
    error = np.sqrt(np.maximum(np.mean(centred**4, axis=0) / variance**2 - 1.0, 0.0) / size) / 2.0
    error = np.maximum(error, 1.0 / np.sqrt(2.0 * (size - 1)))
    sd = scores.std(axis=0, ddof=1)
    factor = np.exp(_quantile(len(columns), size) * error)
    sds = Interval(sd, sd * factor, sd / factor)
    if blurred is not None:
        sds = Interval(*map(blurred.sd, sds))
    # Truths that scatter more than draws say are draws that spread too little.
    ends = Interval(*(100.0 * (1.0 - end) for end in sds))
    words = "draws too narrow", "draws too wide"
    spread = Deviation(
        "error of spread",
        "%",
        "spread",
        columns,
        *ends,
        size,
        words,
        beyond=partial(_beyond_spread, sd, error, size, blurred),
    )
    return shift, spread


def _beyond_shift(scores: np.ndarray, blurred: Blur | None, tolerance: float) -> np.ndarray:
    shown = tolerance if blurred is None else blurred.shown_shift(tolerance)
    return beyond.of_mean(scores, shown)


def _beyond_spread(
    sd: np.ndarray, error: np.ndarray, size: int, blurred: Blur | None, tolerance: float
) -> np.ndarray:
    least = max(1.0 - tolerance / 100.0, np.finfo(float).tiny)
    most = 1.0 + tolerance / 100.0
    if blurred is not None:
        least = blurred.shown_sd(least)
        most = blurred.shown_sd(most)
    return beyond.of_spread(sd, error, size, least, most)


def of_distribution(
    difference: np.ndarray,
    points: Sequence[float],
    size: int,
    columns: Columns,
    words: Words,
    measure: str,
) -> Deviation:
    """Return the largest difference of two distribution functions, in percentage points.

    ``difference`` (points, k) are their differences at all points.

    Each distribution function lies inside a simultaneous band around the observed one, so that the
    largest difference lies between that of the nearest and that of the farthest function in the
    band.
    """
    band = simultaneous_band(tuple(points), size, 1.0 - (1.0 - CONFIDENCE) / len(columns))
    half = 0.5 * (band.upper - band.lower)[:, None] / size
    magnitude = np.abs(difference)
    # Not zero where the difference is: its interval is as wide as others.
    sign = np.copysign(
        1.0, np.take_along_axis(difference, np.argmax(magnitude, axis=0)[None], axis=0)[0]
    )
    near = np.maximum(magnitude - half, 0.0).max(axis=0)
    far = (magnitude + half).max(axis=0)
    # An interval that reaches zero holds both signs.
    near = np.where(near > 0.0, near, -far)
    lower, upper = 100.0 * np.sort([sign * near, sign * far], axis=0)
    estimate = 100.0 * sign * magnitude.max(axis=0)
    counts = np.rint(size * (difference.T + band.points)).astype(int)
    exact = partial(beyond.of_distribution, counts, band.points, size)
    unit = "percentage points"
    return Deviation(
        measure, unit, "coverage", columns, estimate, lower, upper, size, words, beyond=exact
    )


def of_median(
    values: np.ndarray, column: str, measure: str, unit: str, words: Words, scale: float
) -> Deviation:
    """Return the median of values (n,) with a distribution-free interval of order statistics."""
    ordered = np.sort(values)
    size = len(values)
    low = int(stats.binom.ppf(0.5 * (1.0 - CONFIDENCE), size, 0.5))
    ends = np.array(
        [[np.median(values)], [ordered[max(low - 1, 0)]], [ordered[min(size - low, size - 1)]]]
    )
    by_signs = partial(beyond.of_median, values)
    return Deviation(
        measure, unit, "nats", (column,), *Interval(*ends), size, words, scale, beyond=by_signs
    )


def _quantile(columns: int, size: int) -> float:
    """Half width, in estimated standard errors, of intervals that hold together: Bonferroni.

    The standard errors are estimated from the given number of values.
    """
    return float(stats.t.isf(0.5 * (1.0 - CONFIDENCE) / columns, size - 1))


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """A result with a one-line ``summary`` for a table of verdicts, and a table of its columns."""

    shown: ClassVar[tuple[str, ...]]  #: names of the attributes that the table shows
    #: names of the k parameters, pairs, observations, ... that the result is about
    columns: tuple[str, ...]

    if TYPE_CHECKING:

        @property
        def summary(self) -> str: ...
        @property
        def _heading(self) -> str: ...

    @property
    def ranking(self) -> tuple[str, ...]:
        """The columns, sorted: look at the first ones first."""
        return self.columns

    def to_dataframe(self) -> pd.DataFrame:
        """Return a table with one row for each column."""
        table = {name: getattr(self, name) for name in self.shown}
        return pd.DataFrame(table, index=pd.Index(self.columns, name="column"))

    def __repr__(self) -> str:
        return (
            f"{self._heading}\n{self.to_dataframe().to_string(float_format='%.3g', sparsify=False)}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Tested(Result):
    """A result that can fail."""

    title: ClassVar[str]
    shown: ClassVar[tuple[str, ...]] = ("p_value", "inside")
    p_value: np.ndarray  #: (k,)
    level: float  #: probability that one column of a correct posterior passes

    if TYPE_CHECKING:

        @property
        def simulations(self) -> int: ...

    @property
    def ranking(self) -> tuple[str, ...]:
        return sort_columns(self.columns, self.p_value)

    @property
    def inside(self) -> np.ndarray:
        """Boolean array (k,): whether each column passes by itself."""
        # Not 1 - level: with 0.9, that is slightly less than the 0.1 of 9 repetitions, which would
        # never fail.
        return self.p_value + self.level > 1.0

    @property
    def passed(self) -> bool:
        """Whether all k columns pass.

        A correct posterior fails with probability k (1 - level) at most.
        """
        return bool(np.all(self.inside))

    @property
    def family_p_value(self) -> float:
        """One p-value for all columns together: the smallest one, after Bonferroni."""
        return float(min(1.0, len(self.columns) * np.min(self.p_value)))

    @property
    def passed_family_wise(self) -> bool:
        """Whether all columns pass together.

        A correct posterior fails with probability 1 - level at most.
        """
        return self.family_p_value + self.level > 1.0

    @property
    def summary(self) -> str:
        worst = int(np.argmin(self.p_value))
        if len(self.columns) == 1:
            return f"p = {self.p_value[0]:.2g}"
        return (
            f"{self._passing}; smallest p-value {self.p_value[worst]:.2g} ({self.columns[worst]})"
        )

    @property
    def _passing(self) -> str:
        return f"{np.sum(self.inside)} of {len(self.columns)} pass at {100 * self.level:.4g} %"

    @property
    def _verdict(self) -> str:
        if self.passed:
            return "passed"
        return (
            "doubtful (one test fails, all together pass)" if self.passed_family_wise else "FAILED"
        )

    @property
    def _heading(self) -> str:
        return f"{self.title} {self._verdict}, {self.simulations} simulations"


def sort_columns(columns: tuple[str, ...], values: np.ndarray) -> tuple[str, ...]:
    """Return columns by their values (k,), the smallest first."""
    return tuple(columns[index] for index in np.argsort(values, kind="stable"))


def fewest_repetitions(level: float) -> int:
    """Return the number of random repetitions needed to fail at a level."""
    return int(np.ceil(1.0 / (1.0 - check_level(level)) - 1e-6)) - 1


#: Random repetitions at most, which are kept side by side.
MOST_REPETITIONS = 100_000


def check_repetitions(name: str, number: int, level: float) -> None:
    """Refuse fewer random repetitions than are needed to fail at a level."""
    check_integer(
        f"Argument {name!r}",
        number,
        fewest_repetitions(level),
        MOST_REPETITIONS,
        do=f"take 1,000, or more at a higher level: too few can't fail at {level:g}",
    )


def repetitions_for(level: float, least: int) -> int:
    """Return ``least`` random repetitions, or more: twice the p-value must be able to fail."""
    return max(least, int(np.ceil(round(2.0 / (1.0 - level), 6))))


def p_values(observed: np.ndarray, null: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """Return exact p-values (k,) of numbers (k,), given exchangeable repetitions (r, k).

    A p-value is the share of repetitions that are as large, up to the tolerance. The observed
    number counts as one of them: no p-value is below 1 / (1 + r) (Phipson & Smyth 2010,
    arXiv:1603.05766).
    """
    return np.asarray((1 + np.sum(null >= observed - tolerance, axis=0)) / (1 + len(null)))
