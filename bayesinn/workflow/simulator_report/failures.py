"""Simulations that are not finite: how many, of which observable, from where in parameter space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesinn.simulation.finite import over_all_channels, padding
from bayesinn.workflow.simulator_report.regions import Region, contrast, regions


@dataclass(frozen=True, eq=False)
class Failures:
    """Simulations with NaN or infinity, before any policy replaced them.

    Parameters
    ----------
    marked : boolean array (n,), whether each simulation failed
    by_observable : DataFrame
        One row an observable: shares of simulations with NaN, with infinity, with either.
    where : DataFrame
        One row a parameter or context variable: quantiles of failing and good draws, p-value of their difference.
        Empty without failures.
    regions : tuple of Region
    """

    marked: np.ndarray
    by_observable: pd.DataFrame
    where: pd.DataFrame
    regions: tuple[Region, ...]

    @property
    def count(self) -> int:
        """Number of failed simulations."""
        return int(self.marked.sum())

    @property
    def share(self) -> float:
        """Share of failed simulations."""
        return float(self.marked.mean())


def failures(
    columns: Mapping[str, np.ndarray],
    observables: Mapping[str, np.ndarray],
    context: Mapping[str, np.ndarray],
    lengths: Mapping[str, str],
    units: Mapping[str, str],
) -> Failures:
    """Find failed simulations and where they come from.

    Padding doesn't count, as it doesn't for the simulator's policy.

    Parameters
    ----------
    columns : dict of name to array (n,)
        Parameters and context, by column.
    observables, context : dict of name to array (n, *event)
    lengths : dict of observable to the context variable that counts its valid steps
    units : dict of column to text

    Returns
    -------
    Failures

    Examples
    --------
    >>> rate = np.linspace(0.0, 1.0, 1001)
    >>> found = failures({"rate": rate}, {"x": np.where(rate > 0.8, np.nan, rate)}, {}, {}, {})
    >>> found.count, found.regions[0].rule
    (200, 'rate > 0.8')
    """
    marked = np.zeros(len(next(iter(observables.values()))), bool)
    rows = {}
    for name, value in observables.items():
        seen = value
        if name in lengths:
            beyond = over_all_channels(padding(value, context[lengths[name]]), value)
            seen = np.where(beyond, np.zeros((), value.dtype), value)
        nan, infinite = (_any(test(seen)) for test in (np.isnan, np.isinf))
        broken = nan | infinite
        rows[name] = {"nan": nan.mean(), "infinite": infinite.mean(), "failed": broken.mean()}
        marked |= broken
    return Failures(
        marked=marked,
        by_observable=pd.DataFrame.from_dict(rows, orient="index").rename_axis("observable"),
        where=contrast(columns, marked) if marked.any() else pd.DataFrame(),
        regions=regions(columns, marked, units),
    )


def _any(cells: np.ndarray) -> np.ndarray:
    return np.any(np.reshape(cells, (len(cells), -1)), axis=1)
