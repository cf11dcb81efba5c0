"""Simulations that are not finite: how many, of which observable, from where in parameter space."""

from dataclasses import dataclass
from textwrap import shorten

import numpy as np
import pandas as pd
from scipy import stats

from bayesinn.core.masks import fill_padding
from bayesinn.guidance.simulator_report.pilot import MOST_ROWS, Pilot, Remark, Result
from bayesinn.guidance.simulator_report.regions import FEWEST, Region, regions

_MOST_REDRAWN = 0.5
# Of an error that is told.
_MOST_CHARACTERS = 200
#: Errors of a program, not of numbers that it can't compute.
_MISTAKES = ("NameError", "KeyError", "AttributeError", "TypeError", "IndexError", "ImportError")


@dataclass(frozen=True, eq=False)
class Failures(Result):
    """Simulations with NaN or infinity, before the policy for failures replaces them.

    ``marked`` (n,) says which they are; ``shares`` are their shares by observable.
    """

    marked: np.ndarray
    shares: pd.DataFrame
    regions: tuple[Region, ...]

    @property
    def share(self) -> float:
        """Share of failed simulations."""
        return float(self.marked.mean())


def check(pilot: Pilot) -> Failures:
    """Find failed simulations and where they come from. Padding doesn't count."""
    n = len(pilot)
    rows = {}
    failed = []
    for name in pilot.drawn.observables:
        value = _without_padding(pilot, name).reshape(n, -1)
        nan = np.isnan(value).any(axis=1)
        infinite = np.isinf(value).any(axis=1)
        failed.append(nan | infinite)
        rows[name] = {"nan": nan.mean(), "infinite": infinite.mean(), "failed": failed[-1].mean()}
    marked = np.any(failed, axis=0)
    shares = pd.DataFrame(rows).T
    boxes = regions(pilot.inputs, marked, pilot.simulator.labels)
    policy = f"on_nonfinite={pilot.simulator.on_nonfinite!r}"
    if not marked.any():
        # If a share of 3 / n failed, n simulations would show it with a probability of 95 %.
        text = f"All {n:,} simulations are finite; up to {3.0 / n:.2g} may fail ({policy})."
        return Failures(marked, shares, boxes, title="Failures", text=text)
    text = (
        f"{marked.sum():,} of {n:,} simulations have NaN or infinity ({100 * marked.mean():.2f} %; "
        f"{policy}). The table compares them with the good ones: quantiles, and p-values of "
        "Kolmogorov-Smirnov tests."
    )
    if len(pilot.inputs) > MOST_ROWS:
        text += f" It has {MOST_ROWS} of {len(pilot.inputs)} numbers, those that differ most."
    error = shorten(pilot.raw.engine.policy.error, _MOST_CHARACTERS)
    if error:
        text += f" The last that gave no result: {error}."
    advice = [_advise(pilot.simulator.on_nonfinite, marked, shares, boxes, error)]
    table = _compare(pilot, marked)
    return Failures(marked, shares, boxes, advice=advice, title="Failures", text=text, table=table)


def _without_padding(pilot: Pilot, name: str) -> np.ndarray:
    """Return an observable (n, ...) with zeros where its numbers may be anything, or missing."""
    value = pilot.drawn.observables[name]
    if name in pilot.simulator.lengths:
        counts = pilot.drawn.context[pilot.simulator.lengths[name]]
        value = fill_padding(value, counts, 0)
    return value if pilot.simulator.missing is None else np.where(np.isnan(value), 0, value)


def _advise(
    policy: str,
    marked: np.ndarray,
    shares: pd.DataFrame,
    boxes: tuple[Region, ...],
    error: str,
) -> Remark:
    """Say how many fail, how and where; ``error`` is the last one, empty if all gave a result."""
    unknown = "from no particular region of a simple form"
    if marked.sum() < FEWEST:
        unknown = "too few to say where"
    places = "; ".join(box.describe("fail", "failures") for box in boxes) or unknown
    names = shorten(", ".join(shares.index[shares["failed"] > 0.0]), 60)
    finding = f"{100.0 * marked.mean():.1f} % of the simulations have NaN or infinity in {names} "
    if error:
        finding = f"{100.0 * marked.mean():.1f} % of the simulations fail, the last by {error} "
    finding += f"({places})"
    if error.startswith(_MISTAKES):
        meaning = "This is a mistake in the program; drawing them again would hide it."
        return Remark("problem", "failures", finding, meaning, "Correct it.")
    if marked.mean() > _MOST_REDRAWN:
        do = "Fix it, or narrow the prior."
        return Remark("problem", "failures", finding, "So most draws are lost.", do)
    if policy == "raise":
        do = (
            "Fix it, narrow the prior, or declare on_nonfinite='redraw', which leaves that "
            "region out."
        )
        return Remark("problem", "failures", finding, "Training would stop at the first one.", do)
    meaning = "They are drawn again: posteriors are correct for the prior without that region."
    do = "Fix it or narrow the prior if that is not intended."
    return Remark("hint", "failures", finding, meaning, do)


def _compare(pilot: Pilot, marked: np.ndarray) -> pd.DataFrame:
    """Return quantiles of the inputs of failed and good simulations, and whether they differ."""
    inputs = pd.DataFrame(pilot.inputs, dtype=float)
    table = inputs.groupby(np.where(marked, "failing", "good")).quantile([0.05, 0.5, 0.95]).T
    table.columns = [f"{kind} {100 * level:.0f} %" for kind, level in table.columns]
    if 1 < marked.sum() < len(pilot) - 1:
        table["p-value"] = stats.ks_2samp(inputs[marked], inputs[~marked], method="asymp").pvalue
        if len(table) > MOST_ROWS:
            return table.nsmallest(MOST_ROWS, "p-value")
    return table.head(MOST_ROWS)
