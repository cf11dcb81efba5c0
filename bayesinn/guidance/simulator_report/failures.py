"""Simulations that are not finite: how many, of which observable, from where in parameter space."""

from dataclasses import dataclass
from textwrap import shorten

import numpy as np
import pandas as pd
from scipy import stats

from bayesinn.core.masks import broadcast_mask, padding
from bayesinn.guidance.simulator_report.pilot import Advice, Pilot, Result
from bayesinn.guidance.simulator_report.regions import FEWEST, Region, regions

_MOST_REDRAWN = 0.5


@dataclass(frozen=True, eq=False)
class Failures(Result):
    """Simulations with NaN or infinity before any policy: which (n,), and shares by observable.

    The policy would replace them.
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
    lengths = pilot.simulator.lengths
    policy = pilot.simulator.on_nonfinite
    rows = {}
    failed = []
    for name, value in pilot.drawn.observables.items():
        if name in lengths:
            value = np.where(
                broadcast_mask(padding(value, pilot.drawn.context[lengths[name]]), value),
                0,
                value,
            )
        if pilot.simulator.missing is not None:
            value = np.where(np.isnan(value), 0, value)
        nan, infinite = (test(value).reshape(n, -1).any(axis=1) for test in (np.isnan, np.isinf))
        failed.append(nan | infinite)
        rows[name] = {"nan": nan.mean(), "infinite": infinite.mean(), "failed": failed[-1].mean()}
    marked = np.any(failed, axis=0)
    shares = pd.DataFrame(rows).T
    boxes = regions(pilot.inputs, marked, pilot.simulator.labels)
    if not marked.any():
        # If a share of 3 / n failed, n simulations would show it with a probability of 95 %.
        text = (
            f"All {n:,} simulations are finite; up to {3.0 / n:.2g} may fail "
            f"(on_nonfinite={policy!r})."
        )
        return Failures(marked, shares, boxes, title="Failures", text=text)
    unknown = (
        "too few to say where"
        if marked.sum() < FEWEST
        else "from no particular region of a simple form"
    )
    places = "; ".join(box.describe("fail", "failures") for box in boxes) or unknown
    names = shorten(", ".join(shares.index[shares["failed"] > 0.0]), 60)
    finding = f"{100.0 * marked.mean():.1f} % of the simulations have NaN or infinity in {names} "
    finding += f"({places})"
    if marked.mean() > _MOST_REDRAWN:
        advice = Advice(
            "problem",
            "failures",
            finding,
            "So most draws are lost.",
            "Fix it, or narrow the prior.",
        )
    elif policy == "raise":
        do = (
            "Fix it, narrow the prior, or declare on_nonfinite='redraw', which leaves that "
            "region out."
        )
        advice = Advice("problem", "failures", finding, "Training would stop at the first one.", do)
    else:
        meaning = "They are drawn again: posteriors are correct for the prior without that region."
        advice = Advice(
            "hint",
            "failures",
            finding,
            meaning,
            "Fix it or narrow the prior if that is not intended.",
        )
    text = (
        f"{marked.sum():,} of {n:,} simulations have NaN or infinity ({100 * marked.mean():.2f} %; "
        f"on_nonfinite={policy!r}). "
        "The table compares them with the good ones: quantiles, and p-values of "
        "Kolmogorov-Smirnov tests."
    )
    inputs = pd.DataFrame(pilot.inputs, dtype=float)
    table = inputs.groupby(np.where(marked, "failing", "good")).quantile([0.05, 0.5, 0.95]).T
    table.columns = [f"{kind} {100 * level:.0f} %" for kind, level in table.columns]
    if 1 < marked.sum() < n - 1:
        table["p-value"] = stats.ks_2samp(inputs[marked], inputs[~marked], method="asymp").pvalue
    return Failures(
        marked, shares, boxes, advice=[advice], title="Failures", text=text, table=table
    )
