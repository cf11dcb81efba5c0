"""Misspecification: whether observed data sets are like simulated ones, in the space of the learned summaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.arrays import check_finite, check_fraction
from bayesinn.diagnostics.mmd import LADDER, kernel_matrix, median_bandwidth
from bayesinn.diagnostics.point_sets import subset
from bayesinn.diagnostics.tested import Effect, Tested

#: Most simulated summaries that the kernels are evaluated at: time and memory grow with the square.
MOST_SIMULATED = 2000

_STREAM = 0x6D697373
# Relative to the longest axis: shorter ones are rounding errors of 32-bit networks.
_SHORTEST_AXIS = 1e-3
_SMALLEST_SCALE = 1e-9
# Points for the median distance; it moves by a per cent or two from one such subset to another.
_BANDWIDTH_POINTS = 500
_PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False, repr=False)
class MisspecificationResult(Tested):
    """MMD of observed to simulated summaries, beside what it is for data sets that the simulator made.

    Parameters
    ----------
    squared : float
        MMD^2 between the M observed summaries and the simulated ones, with pairs of a point with itself: never
        negative, large for few observations even if all is well, and defined for one.
    null : array (repetitions,), the same of M simulated data sets in place of the observed ones
    p_value : array (1,), share of all (the observed one included) with at least this MMD^2
    level : float, probability that well-specified data pass
    observed, simulated : ints, numbers of data sets used
    columns : ("summaries",)
    """

    squared: float
    null: np.ndarray
    p_value: np.ndarray
    level: float
    observed: int
    simulated: int
    columns: tuple[str, ...] = ("summaries",)

    @property
    def effect(self) -> Effect:
        """Squared MMD."""
        return Effect("MMD^2", self.squared, "")

    @property
    def critical(self) -> float:
        """The MMD^2 that well-specified data exceed with a probability of about 1 - level."""
        return float(np.quantile(self.null, self.level))

    @property
    def summary(self) -> str:
        """One line for a table of verdicts."""
        return f"MMD^2 = {self.squared:.2g} (below {self.critical:.2g} expected), p = {self.p_value[0]:.2g}"

    def to_dataframe(self) -> pd.DataFrame:
        """One row: MMD^2, what it may be, and the p-value."""
        return super().to_dataframe().assign(squared=self.squared, critical=self.critical)

    def __repr__(self) -> str:
        sizes = f"{self.observed} observed, {self.simulated} simulated"
        return f"Misspecification {self._verdict()} at {self.level:.0%}: {self.summary} ({sizes})"


def misspecification(
    observed: np.ndarray, simulated: np.ndarray, *, repetitions: int = 500, seed: int, level: float = 0.99
) -> MisspecificationResult:
    """Test whether observed data sets come from the simulator and its prior.

    Schmitt, Buerkner, Koethe & Radev 2023, arXiv:2112.08866, section 3.3: the MMD of M observed summaries to simulated
    ones, compared with that of M simulated data sets. Half of the simulations are the yardstick. From the other half,
    M are drawn again and again in place of the observed ones, out of the observed and these together: observed and
    simulated data sets are exchangeable if the model is right, so that the p-value is exact for every M. Drawing from
    simulations alone, as published, makes it too small if M is not small beside their number.

    One data set says little about a population, but M = 1 is allowed. MMD^2 is the biased estimate, which the null
    shares. The unbiased one leaves out pairs of a point with itself, weighs the few others more, and loses power
    for M = 2 to 5 against data that are more spread than simulated ones.

    Parameters
    ----------
    observed : array (M, c)
        Summaries (or conditions) of independent observations.
    simulated : array (N, c)
        The same of independent simulations. More than ``MOST_SIMULATED`` are not used.
    repetitions : int
        How often M are drawn; the smallest p-value is 1 / (1 + repetitions).
    seed : int
        Decides the halves and the draws.
    level : float
        Probability that well-specified data pass.

    Returns
    -------
    MisspecificationResult

    Raises
    ------
    InputError
        Shapes or values do not fit, or there are too few simulations or repetitions.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> simulated, observed = generator.normal(size=(1000, 3)), generator.normal(size=(20, 3))
    >>> misspecification(observed, simulated, seed=1).passed
    True
    >>> misspecification(observed + 1.0, simulated, seed=1).passed
    False
    """
    simulated = _checked_simulated(simulated, repetitions, level)
    observed = _checked("observed", observed, 1, simulated.shape[1])
    generator = np.random.default_rng([seed, _STREAM])
    kernels = _kernels(observed, simulated, generator)
    squared, null, p_value = _test(kernels, np.arange(len(observed)), len(observed), repetitions, generator)
    return MisspecificationResult(
        squared=squared,
        null=null,
        p_value=np.array([p_value]),
        level=level,
        observed=len(observed),
        simulated=min(len(simulated), MOST_SIMULATED),
    )


def misspecification_power(
    alternatives: Mapping[float | str, np.ndarray],
    simulated: np.ndarray,
    *,
    sizes: tuple[int, ...] = (1, 5, 20),
    tests: int = 200,
    repetitions: int = 200,
    seed: int,
    level: float = 0.95,
) -> pd.DataFrame:
    """Measure how often the test rejects, for several alternatives and numbers of observed data sets.

    The rates are those for these simulations and these alternative data sets, as chance has made them: with 2,000 and
    1,000 of the SIR model, well-specified data were rejected at 5 % in 2.7 to 10.7 % of tests, 5.6 % on average.

    Parameters
    ----------
    alternatives : dict of a number (such as a shift of the prior) or a name to array (n, c)
        Summaries of data sets made in another way. One that is made as the simulations are shows the size of the test.
    simulated : array (N, c)
    sizes : tuple of ints
        Numbers M of observed data sets; each test draws so many of the n, without replacement.
    tests : int
        Tests for each alternative and size, all with the same simulations.
    repetitions, seed, level : see :func:`misspecification`

    Returns
    -------
    DataFrame
        One row for each alternative and size: ``alternative``, ``size``, ``rejected`` (share), ``standard_error``
        (with one success and one failure added, so that it is never zero) and ``level``.

    Raises
    ------
    InputError
        Shapes or values do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.random.default_rng(1).normal(size=(600, 2))
    >>> shifted = {shift: points[:200] + shift for shift in (0.0, 2.0)}
    >>> power = misspecification_power(shifted, points[200:], sizes=(5,), tests=20, seed=1)
    >>> power["rejected"].tolist()[1]
    1.0
    """
    if not alternatives:
        raise InputError("alternatives", expected="one or more", got="none", do="pass {0.0: summaries, ...}")
    if tests < 1 or not sizes or min(sizes) < 1:
        raise InputError(
            "tests and sizes",
            expected="at least one test, of one or more sizes from 1",
            got=f"tests={tests}, sizes={sizes}",
            do="leave them out for the defaults",
        )
    simulated = _checked_simulated(simulated, repetitions, level)
    rows = []
    for number, (name, summaries) in enumerate(alternatives.items()):
        summaries = _checked(f"summaries of alternative {name!r}", summaries, max(sizes), simulated.shape[1])
        # The same halves for all alternatives.
        kernels = _kernels(summaries, simulated, np.random.default_rng([seed, _STREAM]))
        generator = np.random.default_rng([seed, _STREAM, number])
        for size in sizes:
            rejected = 0
            for _ in range(tests):
                chosen = generator.choice(len(summaries), size, replace=False)
                rejected += _test(kernels, chosen, len(summaries), repetitions, generator)[2] <= 1.0 - level
            rate = (rejected + 1) / (tests + 2)
            error = np.sqrt(rate * (1.0 - rate) / tests)
            row = {"alternative": name, "size": size, "rejected": rejected / tests, "standard_error": error}
            rows.append({**row, "level": level})
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class _Kernels:
    """Kernels that the MMD of any subset of points to the yardstick is made of.

    Parameters
    ----------
    within : array (p, p), between all points: other data sets first, then simulated ones
    between : array (p,), mean kernel of each point with the yardstick
    yardstick : float, mean kernel within the yardstick
    """

    within: np.ndarray
    between: np.ndarray
    yardstick: float

    def squared(self, members: np.ndarray) -> np.ndarray:
        """MMD^2 (r,) of the points with indices (r, M)."""
        size = members.shape[1]
        at_once = max(1, _PAIRS_AT_ONCE // size**2)
        total = np.concatenate([
            self.within[part[:, :, None], part[:, None, :]].sum(axis=(1, 2))
            for part in np.split(members, range(at_once, len(members), at_once))
        ])  # fmt: skip
        return total / size**2 - 2.0 * self.between[members].mean(axis=1) + self.yardstick


def _kernels(points: np.ndarray, simulated: np.ndarray, generator: np.random.Generator) -> _Kernels:
    """Split the simulations, bring all to the scale of the yardstick, and compare everything with everything."""
    simulated = generator.permutation(subset(simulated, MOST_SIMULATED, generator))
    yardstick, rest = np.array_split(simulated, 2)
    # The yardstick alone decides scales and bandwidths: points and the other half must not differ in that.
    # First each column to unit scale, or the shortest axis would depend on units.
    mean, scale = yardstick.mean(axis=0), yardstick.std(axis=0)
    scale = np.where(scale > _SMALLEST_SCALE * (1.0 + np.abs(mean)), scale, 1.0)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov((yardstick - mean) / scale, rowvar=False)))
    lengths = np.sqrt(np.maximum(values, 0.0))
    whitening = vectors / scale[:, None] / np.maximum(lengths, _SHORTEST_AXIS * lengths.max() or 1.0)
    pool = (np.concatenate([points, rest]) - mean) @ whitening
    yardstick = (yardstick - mean) @ whitening
    middle = median_bandwidth(yardstick[:_BANDWIDTH_POINTS])
    bandwidths = [middle * factor for factor in LADDER]
    return _Kernels(
        within=kernel_matrix(pool, pool, bandwidths),
        between=kernel_matrix(pool, yardstick, bandwidths).mean(axis=1),
        yardstick=float(kernel_matrix(yardstick, yardstick, bandwidths).mean()),
    )


def _test(
    kernels: _Kernels, chosen: np.ndarray, others: int, repetitions: int, generator: np.random.Generator
) -> tuple[float, np.ndarray, float]:
    """MMD^2, its null and the p-value of the chosen ones of ``others`` points against the simulated ones after them."""
    pool = np.concatenate([chosen, np.arange(others, len(kernels.within))])
    drawn = [generator.choice(pool, len(chosen), replace=False, shuffle=False) for _ in range(repetitions)]
    every = kernels.squared(np.stack([chosen, *drawn]))
    # The same points in another order are a tie, and ties count.
    count = np.count_nonzero(every[1:] >= every[0] - 1e-12 * len(LADDER))
    return float(every[0]), every[1:], (1 + count) / (1 + repetitions)


def _checked_simulated(simulated: np.ndarray, repetitions: int, level: float) -> np.ndarray:
    check_fraction("level of misspecification", level)
    least = int(np.ceil(1.0 / (1.0 - level) - 1e-6))
    if repetitions < least - 1:
        raise InputError(
            "repetitions of misspecification",
            expected=f"at least {least - 1}, or nothing can fail at level {level:g}",
            got=str(repetitions),
            do="take more repetitions, or a lower level",
        )
    # A single observation is ranked among half of the simulations.
    return _checked("simulated", simulated, 2 * least, None)


def _checked(name: str, points: np.ndarray, least: int, width: int | None) -> np.ndarray:
    points = np.asarray(points)
    if points.ndim != 2 or len(points) < least or points.shape[1] != (width or max(1, points.shape[-1])):
        raise InputError(
            name,
            expected=f"an array (data sets, {width or 'c'}) with at least {least} data sets",
            got=f"shape {points.shape}",
            do="put the summary of one data set in a row, in the same order in all arrays",
        )
    check_finite(name, points)
    return points.astype(float)
