"""Simulation-based calibration (SBC): whether the ranks of the truths among their posterior draws are uniform."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from bayesinn.diagnostics.arrays import Arrays, paired
from bayesinn.diagnostics.uniformity import UniformityResult, ranks, uniform_ranks, uniformity


@dataclass(frozen=True, eq=False, repr=False)
class SBCResult(UniformityResult):
    """Ranks of the truths, and how far from uniform they are; ``values`` are the ranks spread over [0, 1)."""

    title = "SBC"
    shown = ("p_value", "chi_square_p_value", "inside", "reading")

    ranks: np.ndarray  #: integers (n, k), each between 0 and ``draws``
    draws: int  #: number L of posterior draws for each data set

    @property
    def edges(self) -> np.ndarray:
        """Integer array (bins + 1,): bin b of the histogram holds the ranks edges[b], ..., edges[b + 1] - 1."""
        bins = min(self.draws + 1, max(2, min(20, self.simulations // 10)))
        return np.rint(np.linspace(0, self.draws + 1, bins + 1)).astype(int)

    @property
    def counts(self) -> np.ndarray:
        """Integer array (bins, k): the rank histogram."""
        return np.stack([np.histogram(column, self.edges - 0.5)[0] for column in self.ranks.T], axis=-1)

    @property
    def expected_counts(self) -> np.ndarray:
        """Array (bins,): the histogram of uniform ranks; bins differ by one rank where L + 1 does not divide."""
        return self.simulations * np.diff(self.edges) / (self.draws + 1)

    @property
    def chi_square_p_value(self) -> np.ndarray:
        """Array (k,): p-value of the rank histogram."""
        return np.asarray(stats.chisquare(self.counts, self.expected_counts[:, None], axis=0).pvalue)

    @property
    def reading(self) -> tuple[str, ...]:
        """What the ranks of each column say about its posterior, in words; empty where the column passes.

        A shift moves the mean of the ranks, a wrong width moves their spread; the larger effect is named.
        """
        centred = (self.ranks + 0.5) / (self.draws + 1) - 0.5
        shift = np.mean(centred, axis=0) * np.sqrt(12.0 * self.simulations)
        # The square of a centred uniform value has mean 1/12 and variance 1/180.
        width = (np.mean(centred**2, axis=0) - 1.0 / 12.0) * np.sqrt(180.0 * self.simulations)
        words = {
            "": self.inside,
            "posterior of the wrong shape": np.maximum(np.abs(shift), np.abs(width)) < 2.0,
            "posterior too low": shift > np.abs(width),
            "posterior too high": -shift > np.abs(width),
            "posterior too narrow": width > 0.0,
        }
        return tuple(map(str, np.select(list(words.values()), list(words), default="posterior too wide")))


def sbc(truth: Arrays, draws: Arrays, *, seed: int, level: float = 0.99) -> SBCResult:
    """Check calibration by the ranks of the truths among their posterior draws.

    Talts et al. 2018, arXiv:1804.06788; the band is that of Saeilynoja, Buerkner & Vehtari 2022 (see
    :mod:`bayesinn.diagnostics.bands`). The draws given one data set must be independent: thin those of MCMC. The seed
    decides how ties break (discrete parameters).
    """
    pairs = paired(truth, draws)
    return rank_test(pairs.columns, ranks(pairs.truth, pairs.draws, seed=seed), pairs.draws.shape[1], seed, level)


def latent_codes(latent: np.ndarray, reference: np.ndarray, *, seed: int, level: float = 0.99) -> SBCResult:
    """Test latent codes (n, d) of the true parameters, and their distance from the centre, by SBC.

    The flow maps every posterior to the latent distribution. If the posterior is correct, the codes of the truths are
    like draws (n, L, d) from it, the reference. Column ``distance`` says how typical a pair of parameters and data is:
    too large on the whole means posteriors too narrow; a single large one, a pair unlike the simulations.
    """
    truth, draws = ({"latent": code, "distance": np.linalg.norm(code, axis=-1)} for code in (latent, reference))
    return sbc(truth, draws, seed=seed, level=level)


def rank_test(columns: tuple[str, ...], rank: np.ndarray, draws: int, seed: int, level: float) -> SBCResult:
    """Test whether ranks (n, k) are uniform on 0, ..., ``draws``."""
    points = tuple(np.arange(1, draws + 1) / (draws + 1))
    uniform = uniformity(columns, uniform_ranks(rank, draws, seed=seed), level=level, points=points)
    return SBCResult(**vars(uniform), ranks=rank, draws=draws)
