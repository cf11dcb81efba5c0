"""The result of looking at a simulator before training."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from bayesinn.core.labels import Labels
from bayesinn.workflow.simulator_report.advice import TRAINING_STEPS, Advice, advise
from bayesinn.workflow.simulator_report.draws import Speed
from bayesinn.workflow.simulator_report.failures import Failures
from bayesinn.workflow.simulator_report.outputs import Repeats
from bayesinn.workflow.simulator_report.probes import Noise
from bayesinn.workflow.simulator_report.ranges import Scale
from bayesinn.workflow.simulator_report.regions import Region
from bayesinn.workflow.simulator_report.values import Values

_WIDTH = 110


@dataclass(frozen=True, eq=False, repr=False)
class SimulatorReport:
    """Whether a simulator is fit to train on, and what to change.

    Parameters
    ----------
    name : str
    labels : Labels
    simulations, seed, batch_size : int
    in_graph : bool
    on_nonfinite : str, the declared policy; all numbers here are from before it acts
    speed : Speed
    failures : Failures
    ranges : DataFrame
        One row a parameter, context variable and observable (elements of short vectors and channels of series apart):
        unit, dtype, quantiles, share of zeros.
    observables : tuple of Values, NaN for padding and failures
    observed : dict of name to array of the shape of one simulation, NaN where nothing was observed
    scales : dict of observable to Scale
    copies : tuple of (element, element that it is a copy of or linear in)
    repeats : Repeats, simulations that come again
    repeat_regions : tuple of Region
    noise : Noise
    associations : dict of parameter to p-value, small where some output goes with it
    responses : dict of parameter to bool or None
        For those without association: whether outputs change with it, the random numbers being the same.
    """

    name: str
    labels: Labels
    simulations: int
    seed: int
    batch_size: int
    in_graph: bool
    on_nonfinite: str
    speed: Speed
    failures: Failures
    ranges: pd.DataFrame
    observables: tuple[Values, ...]
    observed: Mapping[str, np.ndarray]
    scales: Mapping[str, Scale]
    copies: tuple[tuple[str, str], ...]
    repeats: Repeats
    repeat_regions: tuple[Region, ...]
    noise: Noise
    associations: Mapping[str, float]
    responses: Mapping[str, bool | None]

    @property
    def simulations_per_second(self) -> float:
        """Good simulations a second in training's batches; median, the first call not counted."""
        return self.speed.per_second

    @cached_property
    def advice(self) -> tuple[Advice, ...]:
        """What was found and what to change, problems first."""
        return advise(self)

    @property
    def problems(self) -> tuple[Advice, ...]:
        """The advice that must be followed."""
        return tuple(item for item in self.advice if item.severity == "problem")

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """One sentence."""
        count = len(self.problems)
        if not count:
            return "fit to train on"
        return f"NOT fit to train on, {count} problem{'s' if count > 1 else ''}"

    @property
    def speed_text(self) -> str:
        """The speed in words, and what it means for training."""
        rate = self.speed.per_second
        seconds = self.speed.training_seconds(TRAINING_STEPS, self.batch_size)
        return (f"{rate:,.0f}" if rate >= 100.0 else f"{rate:.3g}") + (
            f" simulations/s in batches of {self.speed.batch_size} ({self.speed.where}; first call "
            f"{self.speed.first_seconds:.2g} s). {TRAINING_STEPS:,} training steps of {self.batch_size} take "
            f"{_duration(seconds)} of simulation."
        )

    @property
    def failures_text(self) -> str:
        """The failures in words."""
        policy = f"on_nonfinite={self.on_nonfinite!r}"
        if self.failures.count:
            share = f"{self.failures.count:,} of {self.simulations:,} simulations are not finite"
            return f"{share} ({self.failures.share:.2%}; {policy})."
        # None of n: a share of 3 / n would have shown itself with a probability of 95 %.
        return (
            f"All {self.simulations:,} simulations are finite; up to {3.0 / self.simulations:.2g} may fail ({policy})."
        )

    def to_dataframe(self) -> pd.DataFrame:
        """One row a parameter, context variable or observable: ranges, failures, scaling."""
        table = self.ranges.copy()
        names = [str(name).partition("[")[0] for name in table.index]
        observables = self.failures.by_observable
        table["failed"] = [observables["failed"].get(name, np.nan) for name in names]
        table["scaling"] = [
            str(self.scales[name].scaling) if name in self.scales and self.scales[name].scaling else ""
            for name in names
        ]
        return table

    def plot(self, folder: str | Path) -> list[Path]:
        """Save the prior predictive figures, one PNG an observable.

        Parameters
        ----------
        folder : path, made if need be

        Returns
        -------
        list of Path
        """
        from bayesinn.plots.prior_predictive import prior_predictive
        from bayesinn.plots.save import save

        Path(folder).mkdir(parents=True, exist_ok=True)
        paths = []
        for values in self.drawable:
            figure = prior_predictive(
                values.array, name=values.name, labels=self.labels, observed=self.observed.get(values.name)
            )
            name = re.sub(r"[^\w.-]", "_", values.name)
            paths.append(save(figure, Path(folder) / f"prior_predictive_{name}.png"))
        return paths

    @property
    def drawable(self) -> list[Values]:
        """Observables with at least two simulations to draw."""
        return [value for value in self.observables if np.isfinite(value.matrix).any(axis=1).sum() > 1]

    def to_html(self, path: str | Path) -> Path:
        """Write the report as one HTML file; see :func:`bayesinn.workflow.report.simulator.write_simulator_report`."""
        from bayesinn.workflow.report.simulator import write_simulator_report

        return write_simulator_report(self, path)

    def __repr__(self) -> str:
        lines = [f"Simulator {self.name!r}: {self.verdict}"]
        for text in (self.speed_text, self.failures_text, "", *map(str, self.advice), ""):
            lines += textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="      ") or [""]
        if not self.advice:
            lines.pop()
        table = self.to_dataframe().drop(columns=["dtype"])
        table["failed"] = table["failed"].map(lambda value: "" if np.isnan(value) else f"{value:.2%}")
        if not self.failures.count:
            table = table.drop(columns="failed")
        lines.append(_table(table))
        if not self.failures.where.empty:
            lines += ["", "Parameters of failing and of good simulations", _table(self.failures.where)]
        return "\n".join(lines)


def _table(frame: pd.DataFrame) -> str:
    return frame.rename_axis(None).to_string(float_format=lambda value: f"{value:.4g}", na_rep="")


def _duration(seconds: float) -> str:
    if seconds < 120.0:
        return f"{seconds:.3g} s"
    return f"{seconds / 60.0:,.0f} min" if seconds < 7200.0 else f"{seconds / 3600.0:,.1f} h"
