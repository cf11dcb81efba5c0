"""Dependence: whether pairs of parameters are correlated in the posterior as they are in truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.arrays import paired
from bayesinn.diagnostics.ranks import ranks
from bayesinn.diagnostics.sbc import SBCResult, rank_test


@dataclass(frozen=True, eq=False, repr=False)
class DependenceResult(SBCResult):
    """SBC of the products of pairs of parameters; a column is a pair."""

    title = "Dependence"
    shown = ("p_value", "inside", "excess", "reading")

    pairs: tuple[tuple[str, str], ...]  #: two names for each column
    parameters: tuple[str, ...]  #: names of the columns that were paired

    @property
    def excess(self) -> np.ndarray:
        """Array (k,): mean PIT minus one half, in its standard errors.

        Positive: truths go together more than draws do, the posterior's correlation lies below the true one; negative:
        above.
        """
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


def dependence(
    truth: Mapping[str, np.ndarray], draws: Mapping[str, np.ndarray], *, seed: int, level: float = 0.99
) -> DependenceResult:
    """Check each pair of parameters, two columns at least, by the rank of the product of their standardised values.

    Marginal ranks are blind to correlations. The product of two standardised values is a test quantity (Modrak et al.
    2023, "Simulation-based calibration checking for Bayesian computation: the choice of test quantities shapes
    sensitivity", arXiv:2211.02383) that is not. Truth and draws are standardised together, which keeps ranks exactly
    uniform for a correct posterior.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> both = generator.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=(500, 100))
    >>> truth = {"rate": both[:, 0, 0], "size": both[:, 0, 1]}
    >>> correct = {"rate": both[:, 1:, 0], "size": both[:, 1:, 1]}
    >>> independent = {"rate": both[:, 1:, 0], "size": generator.normal(size=(500, 99))}
    >>> dependence(truth, correct, seed=1).reading, dependence(truth, independent, seed=1).reading
    (('',), ('correlation below the truth',))
    """
    given = paired(truth, draws)
    if len(given.columns) < 2:
        raise InputError(
            "parameters of dependence",
            expected="two columns or more, to make pairs",
            got=f"{list(given.columns)}",
            do="leave this diagnostic out",
        )
    together = np.concatenate([given.truth[:, None], given.draws], axis=1)
    # Medians and quartiles: one draw from a heavy tail must not decide the scale of a data set.
    low, middle, high = np.quantile(together, [0.25, 0.5, 0.75], axis=1)
    standard = (together - middle[:, None]) / np.where(high > low, high - low, 1.0)[:, None]
    rank = []
    for first, second in combinations(range(len(given.columns)), 2):
        product = standard[..., first] * standard[..., second]
        rank.append(ranks(product[:, 0], product[:, 1:], seed=seed))
    pairs = tuple(combinations(given.columns, 2))
    names = tuple(f"{one} x {other}" for one, other in pairs)
    result = rank_test(names, np.stack(rank, axis=-1), given.draws.shape[1], seed, level)
    return DependenceResult(**vars(result), pairs=pairs, parameters=given.columns)
