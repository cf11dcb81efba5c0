"""Dependence: whether pairs of parameters are correlated in the posterior as they are in truth."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.arrays import Arrays, paired
from bayesinn.diagnostics.sbc import SBCResult, rank_test
from bayesinn.diagnostics.uniformity import ranks


@dataclass(frozen=True, eq=False, repr=False)
class DependenceResult(SBCResult):
    """SBC of the products of pairs of parameters; a column is a pair."""

    title = "Dependence"
    shown = ("p_value", "inside", "excess", "reading")

    pairs: tuple[tuple[str, str], ...]  #: two names for each column
    parameters: tuple[str, ...]  #: names of the columns that were paired

    @property
    def excess(self) -> np.ndarray:
        """Array (k,): mean PIT minus one half, in its standard errors; positive where the correlation is too low."""
        return (self.values.mean(axis=0) - 0.5) * np.sqrt(12.0 * self.simulations)

    @property
    def reading(self) -> tuple[str, ...]:
        """What each pair says, in words; empty where it passes."""
        words = np.select(
            [self.inside, self.excess > 2.0, self.excess < -2.0],
            ["", "correlation below the truth", "correlation above the truth"],
            default="wrong joint shape",
        )
        return tuple(map(str, words))


def dependence(truth: Arrays, draws: Arrays, *, seed: int, level: float = 0.99) -> DependenceResult:
    """Check each pair of parameters, two columns at least, by the rank of the product of their standardised values.

    Marginal ranks are blind to correlations. The product of two standardised values is a test quantity (Modrak et al.
    2023, "Simulation-based calibration checking for Bayesian computation: the choice of test quantities shapes
    sensitivity", arXiv:2211.02383) that is not. Truth and draws are standardised together, which keeps ranks exactly
    uniform for a correct posterior.
    """
    given = paired(truth, draws)
    if len(given.columns) < 2:
        got = str(list(given.columns))
        raise InputError("parameters", expected="two columns or more, for pairs", got=got, do="leave dependence out")
    together = np.concatenate([given.truth[:, None], given.draws], axis=1)
    # Medians and quartiles: one draw from a heavy tail must not decide the scale of a data set.
    low, middle, high = np.quantile(together, [0.25, 0.5, 0.75], axis=1)
    standard = (together - middle[:, None]) / np.where(high > low, high - low, 1.0)[:, None]
    products = (first * second for first, second in combinations(np.moveaxis(standard, -1, 0), 2))
    rank = np.stack([ranks(product[:, 0], product[:, 1:], seed=seed) for product in products], axis=-1)
    pairs = tuple(combinations(given.columns, 2))
    result = rank_test(tuple(map(" x ".join, pairs)), rank, given.draws.shape[1], seed, level)
    return DependenceResult(**vars(result), pairs=pairs, parameters=given.columns)
