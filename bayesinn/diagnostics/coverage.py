"""Coverage: whether posterior intervals and regions hold the truth as often as they promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bayesinn.diagnostics.arrays import check_fraction, paired
from bayesinn.diagnostics.bands import Band, band_p_values, simultaneous_band
from bayesinn.diagnostics.ranks import ranks, uniform_ranks
from bayesinn.diagnostics.tested import Effect, Tested

#: Nominal coverages checked by default: 0.05, 0.10, ..., 0.95, 0.99.
NOMINAL: tuple[float, ...] = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.99)


@dataclass(frozen=True, eq=False, repr=False)
class CoverageResult(Tested):
    """How often posterior intervals, or regions, hold the truth.

    Parameters
    ----------
    columns : names of the k columns
    nominal : array (m,), coverage promised
    empirical : array (m, k), coverage found
    lower, upper : arrays (m,), where the empirical coverage of a right posterior lies with probability ``level``, at
        each nominal coverage by itself (binomial)
    band : Band, the same for all nominal coverages at once (counts of data sets)
    p_value : array (k,), one minus the smallest level whose simultaneous band holds the empirical coverages
    """

    columns: tuple[str, ...]
    nominal: np.ndarray
    empirical: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    band: Band
    p_value: np.ndarray

    @property
    def simulations(self) -> int:
        """The number n of data sets."""
        return self.band.size

    @property
    def level(self) -> float:
        """The level of the bands."""
        return self.band.level

    @property
    def calibration_error(self) -> np.ndarray:
        """Array (k,): the median of ``|empirical - nominal|`` over nominal coverages.

        The calibration error of Radev et al. 2020, "BayesFlow", arXiv:2003.06281.
        """
        return np.median(np.abs(self.empirical - self.nominal[:, None]), axis=0)

    @property
    def effect(self) -> Effect:
        """Largest calibration error."""
        return Effect("calibration error", 100.0 * float(self.calibration_error.max()), "percentage points")

    @property
    def summary(self) -> str:
        """One line for a table of verdicts."""
        worst = int(np.argmax(self.calibration_error))
        return (
            f"{np.sum(self.inside)} of {len(self.columns)} pass at {self.level:.0%}; "
            f"largest calibration error {self.calibration_error[worst]:.2g} ({self.columns[worst]})"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """One row a column: calibration error, coverage of the 50, 90 and 95 % intervals if checked, p-value."""
        shown = [index for index, value in enumerate(self.nominal) if round(float(value), 6) in (0.5, 0.9, 0.95)]
        table = {"calibration_error": self.calibration_error}
        table |= {f"coverage_{self.nominal[index]:.0%}".rstrip("%"): self.empirical[index] for index in shown}
        table |= {"p_value": self.p_value, "inside": self.inside}
        return pd.DataFrame(table, index=pd.Index(self.columns, name="column"))

    def __repr__(self) -> str:
        table = self.to_dataframe().to_string(float_format="%.3g")
        return f"Coverage {self._verdict()}, {self.simulations} simulations\n{table}"


def coverage(
    truth: Mapping[str, np.ndarray],
    draws: Mapping[str, np.ndarray],
    *,
    seed: int,
    nominal: tuple[float, ...] = NOMINAL,
    level: float = 0.99,
) -> CoverageResult:
    """Count how often central posterior intervals hold the truth.

    An interval of coverage q holds the truth when the truth's rank lies in the central fraction q of all ranks. The
    ends fall between ranks, where a seeded random number decides: so the expected coverage of a right posterior is
    exactly q for any number of draws and for discrete parameters, and the count is exactly binomial.

    Central intervals see a wrong width well and a shift badly, as truths lost on one side are won on the other: look
    at :mod:`bayesinn.diagnostics.sbc` for that.

    Parameters
    ----------
    truth : dict of name to array (n, *event)
    draws : dict of name to array (n, draws, *event)
    seed : int
        Decides ties and interval ends.
    nominal : tuple of increasing numbers between 0 and 1, ends excluded
    level : float
        Probability that one column of a right posterior stays inside the band.

    Returns
    -------
    CoverageResult

    Raises
    ------
    InputError
        Names, shapes or values do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> truth = generator.normal(size=300)
    >>> data = truth + generator.normal(size=300)
    >>> draws = data[:, None] / 2 + np.sqrt(0.5) * generator.normal(size=(300, 99))
    >>> coverage({"mean": truth}, {"mean": draws}, seed=1).passed
    True
    >>> coverage({"mean": truth}, {"mean": 0.5 * draws}, seed=1).passed
    False
    """
    check_fraction("level of coverage", level)
    pairs = paired(truth, draws)
    number = pairs.draws.shape[1]
    uniform = uniform_ranks(ranks(pairs.truth, pairs.draws, seed=seed), number, seed=seed)
    # The central interval that just holds the truth; for a right posterior its coverage is uniform.
    return _count(pairs.columns, np.abs(2.0 * uniform - 1.0), nominal, level)


def joint_coverage(
    truth_log_prob: np.ndarray,
    draws_log_prob: np.ndarray,
    *,
    seed: int,
    nominal: tuple[float, ...] = NOMINAL,
    level: float = 0.99,
) -> CoverageResult:
    """Count how often the joint regions of highest posterior density hold the truth, all parameters together.

    The region of coverage q holds the truth when at most a share q of the draws have a higher density. A wrong
    correlation shows here and not in the intervals of single parameters: Hermans et al. 2022, "A trust crisis in
    simulation-based inference?", arXiv:2110.06581. A posterior that is no more than the prior passes.

    Parameters
    ----------
    truth_log_prob : array (n,)
        Log posterior density of the parameters that made each data set.
    draws_log_prob : array (n, draws)
        Log posterior density of the draws given that data set.
    seed : int
        Decides ties and the ends of regions.
    nominal : tuple of increasing numbers between 0 and 1, ends excluded
    level : float
        Probability that a right posterior stays inside the band.

    Returns
    -------
    CoverageResult with the one column ``joint``

    Raises
    ------
    InputError
        Shapes or values do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> truth, draws = generator.normal(size=(300, 2)), generator.normal(size=(300, 99, 2))
    >>> joint_coverage(-np.sum(truth**2, axis=-1), -np.sum(draws**2, axis=-1), seed=1).passed
    True
    """
    check_fraction("level of joint coverage", level)
    pairs = paired({"joint": truth_log_prob}, {"joint": draws_log_prob})
    number = pairs.draws.shape[1]
    uniform = uniform_ranks(ranks(pairs.truth, pairs.draws, seed=seed), number, seed=seed)
    # Share of the posterior that is denser than the truth.
    return _count(pairs.columns, 1.0 - uniform, nominal, level)


def _count(columns: tuple[str, ...], needed: np.ndarray, nominal: tuple[float, ...], level: float) -> CoverageResult:
    """From the coverage (n, k) of the smallest interval or region that holds the truth: uniform for a right one."""
    size = len(needed)
    counts = np.sum(needed < np.array(nominal)[:, None, None], axis=1)
    nominal = tuple(float(value) for value in nominal)
    tail = 0.5 * (1.0 - level)
    return CoverageResult(
        columns=columns,
        nominal=np.array(nominal),
        empirical=counts / size,
        lower=stats.binom.ppf(tail, size, nominal) / size,
        upper=stats.binom.isf(tail, size, nominal) / size,
        band=simultaneous_band(nominal, size, level),
        p_value=band_p_values(counts.T, nominal, size),
    )
