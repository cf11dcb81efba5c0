"""Simulation-based calibration (SBC): whether the ranks of the truths among their posterior draws are uniform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bayesinn.diagnostics.arrays import check_fraction, paired
from bayesinn.diagnostics.ranks import ranks, uniform_ranks
from bayesinn.diagnostics.uniformity import UniformityResult, uniformity


@dataclass(frozen=True, eq=False, repr=False)
class SBCResult(UniformityResult):
    """Ranks of the truths, and how far from uniform they are.

    Parameters
    ----------
    columns : names of the k columns
    values : array (n, k)
        PIT values: the ranks spread over the unit interval, uniform for a right posterior.
    band : Band, of the number of ranks below 1, ..., L (the same for all columns)
    p_value : array (k,), one minus the smallest level whose simultaneous ECDF band holds the ranks
    ranks : integer array (n, k), each between 0 and ``draws``
    draws : int, the number L of posterior draws for each data set
    counts : integer array (bins, k), the rank histogram
    edges : integer array (bins + 1,): bin b holds the ranks edges[b], ..., edges[b + 1] - 1
    chi_square_p_value : array (k,), of the rank histogram
    """

    ranks: np.ndarray
    draws: int
    counts: np.ndarray
    edges: np.ndarray
    chi_square_p_value: np.ndarray

    @property
    def expected_counts(self) -> np.ndarray:
        """Array (bins,): the histogram of uniform ranks. Bins differ by one rank where L + 1 does not divide."""
        return self.simulations * np.diff(self.edges) / (self.draws + 1)

    @property
    def reading(self) -> tuple[str, ...]:
        """In words what the ranks of each column say about its posterior; empty where the column is inside."""
        return tuple(
            "" if inside else _reading(column, self.draws)
            for inside, column in zip(self.inside, self.ranks.T, strict=True)
        )

    def to_dataframe(self) -> pd.DataFrame:
        """One row a column: p-values, whether it is inside the band, and what a failure means."""
        return pd.DataFrame(
            {
                "p_value": self.p_value,
                "chi_square_p_value": self.chi_square_p_value,
                "inside": self.inside,
                "reading": self.reading,
            },
            index=pd.Index(self.columns, name="column"),
        )


def sbc(
    truth: Mapping[str, np.ndarray], draws: Mapping[str, np.ndarray], *, seed: int, level: float = 0.99
) -> SBCResult:
    """Check calibration by the ranks of the truths among their posterior draws.

    Talts et al. 2018, arXiv:1804.06788; the band is that of Saeilynoja, Buerkner & Vehtari 2022 (see
    :mod:`bayesinn.diagnostics.bands`). The draws given one data set must be independent: thin those of MCMC.

    Parameters
    ----------
    truth : dict of name to array (n, *event)
        The parameters that made each of the n data sets, drawn from the prior.
    draws : dict of name to array (n, L, *event)
        Posterior draws given each data set.
    seed : int
        Decides how ties break (discrete parameters).
    level : float
        Probability that the ranks of one column of a right posterior stay inside the band.

    Returns
    -------
    SBCResult

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
    >>> sbc({"mean": truth}, {"mean": draws}, seed=1).passed
    True
    >>> sbc({"mean": truth}, {"mean": draws + 0.5}, seed=1).reading
    ('posterior too high',)
    """
    check_fraction("level of SBC", level)
    pairs = paired(truth, draws)
    return rank_test(pairs.columns, ranks(pairs.truth, pairs.draws, seed=seed), pairs.draws.shape[1], seed, level)


def rank_test(columns: tuple[str, ...], rank: np.ndarray, draws: int, seed: int, level: float) -> SBCResult:
    """Test whether ranks (n, k) are uniform on 0, ..., ``draws``."""
    size = len(rank)
    points = tuple(np.arange(1, draws + 1) / (draws + 1))
    uniform = uniformity(columns, uniform_ranks(rank, draws, seed=seed), level=level, points=points)
    bins = min(draws + 1, max(2, min(20, size // 10)))
    edges = np.rint(np.linspace(0, draws + 1, bins + 1)).astype(int)
    counts = np.stack([np.histogram(column, edges - 0.5)[0] for column in rank.T], axis=-1)
    expected = size * np.diff(edges) / (draws + 1)
    return SBCResult(
        columns=uniform.columns,
        values=uniform.values,
        band=uniform.band,
        p_value=uniform.p_value,
        ranks=rank,
        draws=draws,
        counts=counts,
        edges=edges,
        chi_square_p_value=stats.chisquare(counts, expected[:, None], axis=0).pvalue,
    )


def _reading(rank: np.ndarray, draws: int) -> str:
    """Name the larger of two effects: a shift moves the mean of the ranks, a wrong width moves their spread."""
    centred = (rank + 0.5) / (draws + 1) - 0.5
    shift = np.mean(centred) * np.sqrt(12.0 * len(rank))
    # The square of a centred uniform value has mean 1/12 and variance 1/180.
    width = (np.mean(centred**2) - 1.0 / 12.0) * np.sqrt(180.0 * len(rank))
    if max(abs(shift), abs(width)) < 2.0:
        return "posterior of the wrong shape"
    if abs(shift) > abs(width):
        return "posterior too low" if shift > 0.0 else "posterior too high"
    return "posterior too narrow" if width > 0.0 else "posterior too wide"
