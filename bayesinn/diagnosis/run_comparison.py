"""Comparison of runs: trainings, verdicts, held-out nats, posteriors of one observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesinn import plots
from bayesinn.core.errors import InputError, check_integer
from bayesinn.core.labels import Labels
from bayesinn.core.run_folder import RunSummary, run_of, summarise_run
from bayesinn.diagnosis.evidence import check_unbatched, held_out_rows, simulate
from bayesinn.diagnosis.report import Figure, Section, render, save_all
from bayesinn.diagnosis.report.sections import posterior_table, write_posterior
from bayesinn.estimators.loading import load
from bayesinn.posterior.posterior import Posterior, check_posterior
from bayesinn.simulation.simulations import Simulations, count_rows
from bayesinn.simulation.simulator import Simulator

_SUBJECT = "Runs to compare"
_DRAWS = 4_000


@dataclass(frozen=True, eq=False, repr=False)
class RunComparison:
    """Comparison of runs; :func:`compare_runs` makes it.

    Attributes
    ----------
    table : DataFrame
        One row for each run: what ``bayesinn runs`` shows of it, and

        - ``nats``: mean log density of the true parameters of the held-out data sets
        - ``gain``: its difference to the first run; ``error``: the standard error of the gain
    posteriors : DataFrame, or None without an observation
        One row for each run and parameter: mean, sd and 95 % interval.
    histories : dict of run to DataFrame
    draws : dict of run to dict of name to array (draws, *event), empty without an observation
    """

    table: pd.DataFrame
    posteriors: pd.DataFrame | None
    histories: Mapping[str, pd.DataFrame]
    draws: Mapping[str, Mapping[str, np.ndarray]]
    data_sets: int
    labels: Labels
    nats: bool

    def figures(self) -> dict[str, plots.Canvas]:
        """Draw training curves and, with an observation, its posteriors."""
        found = {}
        if self.histories:
            found["losses"] = plots.losses(self.histories, nats=self.nats)
        if self.draws:
            found["posteriors"] = plots.overlay(self.draws, labels=self.labels)
        return found

    def plot(self, folder: str | Path) -> list[Path]:
        """Write the figures as PNG into a folder, and return their paths.

        Pictures of an earlier call are replaced; a file of somebody else is refused.
        """
        figures = ((name, Figure(figure, name)) for name, figure in self.figures().items())
        return save_all(figures, folder)

    def to_html(self, path: str | Path) -> Path:
        """Write tables and figures as one HTML file; return its path."""
        captions = {
            "losses": "Loss by step: on held-out rows where there are any.",
            "posteriors": "Posteriors of the same observation, one a run.",
        }
        drawn = [Figure(figure, captions[name]) for name, figure in self.figures().items()]
        sections = [Section("Runs", self._note, self._written.T, drawn)]
        if self.posteriors is not None:
            written = write_posterior(self.posteriors)
            sections.append(Section("Posteriors of the observation", "", written))
        return render(path, f"Comparison of {len(self.table)} runs", sections)

    @property
    def _note(self) -> str:
        return (
            f"Held-out nats: the mean log density of the true parameters of {self.data_sets:,} "
            "data sets of the first run's prior, the same for all. Higher is sharper and better; "
            "a gain of less than twice its error says nothing."
        )

    @property
    def _written(self) -> pd.DataFrame:
        written = self.table.copy()
        for name in ("loss", "nats", "gain", "error"):
            written[name] = ["" if np.isnan(value) else f"{value:.3f}" for value in written[name]]
        return written.fillna("")

    def __repr__(self) -> str:
        parts = [self._written.T.to_string(), self._note]
        if self.posteriors is not None:
            parts.append(write_posterior(self.posteriors).to_string())
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        parts = [self._written.T.to_html(), f"<p>{self._note}</p>"]
        if self.posteriors is not None:
            parts.append(write_posterior(self.posteriors).to_html())
        return "".join(parts)


def compare_runs(
    *runs: str | Path,
    data: Mapping[str, Any] | None = None,
    held_out: Mapping[str, Any] | None = None,
    simulators: Sequence[Simulator] = (),
    trust_source: bool = False,
    simulations: int = 2_000,
    seed: int = 0,
) -> RunComparison:
    """Compare runs of the command line, or saved posteriors with different priors, networks, seeds.

    Parameters
    ----------
    runs : paths, up to five
        Run folders, or folders of saved posteriors, whose simulators have the same observables.
    data : dict of name to array
        One observation whose posteriors are compared; by default the one of the simulator.
    held_out : dict of name to array (n, ...)
        Parameters and data sets that no run was trained on; by default ``simulations`` fresh ones
        of the first run's simulator.
    simulators : sequence of Simulator, one for each run, or one for all
        As for :func:`bayesinn.load`.
    trust_source : bool, as for :func:`bayesinn.load`
    simulations, seed : int, number and seed of the fresh simulations

    Examples
    --------
    >>> import tempfile
    >>> import bayesinn as bi
    >>> posterior = bi.AmortizedPosterior(
    ...     bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=1, hidden=(8,))
    ... )
    >>> folders = [f"{tempfile.mkdtemp()}/{name}" for name in "ab"]
    >>> for steps, folder in enumerate(folders, 1):
    ...     _ = posterior.fit(steps=steps, batch_size=32, progress=False).save(folder)
    >>> compare_runs(*folders, simulations=50).table["steps"].tolist()
    [1, 2]
    """
    simulations = check_integer("Argument 'simulations'", simulations, 2)
    if not 2 <= len(runs) <= len(plots.CURVES):
        raise InputError(
            _SUBJECT,
            expected=f"2 to {len(plots.CURVES)} folders",
            got=f"{len(runs)}",
            do="pass folders of runs, such as 'runs/a', 'runs/b'",
        )
    own_simulators = _one_for_each(len(runs), simulators)
    summaries = [summarise_run(run_of(Path(run))) for run in runs]
    names = _names(summaries)
    posteriors: dict[str, Any] = {
        name: load(summary.posterior, simulator, trust_source)
        for name, summary, simulator in zip(names, summaries, own_simulators, strict=True)
    }
    for name, posterior in posteriors.items():
        check_posterior(f"Run {name!r}", posterior)
    _refuse_other_observables(posteriors)
    first = posteriors[names[0]]
    simulator = first.simulator
    rows = _rows(simulator, held_out, simulations, seed)
    nats = {name: _nats(posterior, rows) for name, posterior in posteriors.items()}
    lines = {
        name: {**summary.row(), **_gain(nats[name], nats[names[0]], name == names[0])}
        for name, summary in zip(names, summaries, strict=True)
    }
    table = pd.DataFrame(lines).T.infer_objects()
    for column in ("loss", "nats", "gain", "error"):
        table[column] = table[column].astype(float)
    observed = simulator.observed if data is None else data
    draws: dict[str, Mapping[str, np.ndarray]] = {}
    tables = None
    if observed is not None:
        check_unbatched(first, observed)
        draws = {
            name: dict(posterior.sample(observed, draws=_DRAWS, seed=seed))
            for name, posterior in posteriors.items()
        }
        tables = _table_of_all(posteriors, draws)
    histories = {
        name: posterior.history
        for name, posterior in posteriors.items()
        if posterior.history is not None and len(posterior.history)
    }
    return RunComparison(
        table,
        tables,
        histories,
        draws,
        count_rows(rows.parameters),
        simulator.labels,
        all(posterior.nats for posterior in posteriors.values()),
    )


def _one_for_each(runs: int, simulators: Sequence[Simulator]) -> list[Simulator | None]:
    """Return the simulator of each run: its own, one for all, or None for those of the folders."""
    given: list[Simulator | None] = [*simulators] or [None]
    if len(given) == 1:
        return given * runs
    if len(given) != runs:
        raise InputError(
            "Simulators",
            expected=f"{runs}",
            got=f"{len(given)}",
            do="pass one for each run, or one for all",
        )
    return given


def _refuse_other_observables(posteriors: Mapping[str, Posterior]) -> None:
    """Refuse posteriors of other observables than those of the first."""
    shapes = {name: posterior.simulator.observable_shapes for name, posterior in posteriors.items()}
    first = next(iter(shapes))
    for name, own in shapes.items():
        if own != shapes[first]:
            raise InputError(
                _SUBJECT,
                expected=f"observables {shapes[first]}, as of {first!r}",
                got=f"{own} of {name!r}",
                do="compare runs of like data",
            )


def _names(summaries: Sequence[RunSummary]) -> list[str]:
    """Return short names that differ: the last part of each path, or all of it."""
    names = [summary.folder.name for summary in summaries]
    if len(set(names)) == len(names):
        return names
    paths = [str(summary.folder) for summary in summaries]
    if len(set(paths)) == len(paths):
        return paths
    raise InputError(_SUBJECT, expected="different folders", got=str(paths), do="name each once")


def _table_of_all(
    posteriors: Mapping[str, Posterior], draws: Mapping[str, Mapping[str, np.ndarray]]
) -> pd.DataFrame:
    """Return a row for each parameter and run, the runs of a parameter below each other."""
    parts = {
        name: posterior_table(values, posteriors[name].simulator.labels)
        for name, values in draws.items()
    }
    together = pd.concat(parts, names=["run", "parameter"]).swaplevel()
    order = list(dict.fromkeys(together.index.get_level_values("parameter")))
    return together.loc[order]


def _rows(
    simulator: Simulator, held_out: Mapping[str, Any] | None, simulations: int, seed: int
) -> Simulations:
    if held_out is not None:
        return held_out_rows(simulator, held_out)
    return simulate(simulator, simulations, seed, "comparison")


def _nats(posterior: Posterior, rows: Simulations) -> np.ndarray | None:
    """Return the log density (n,) of the true parameters; None where that can't be compared."""
    if posterior.density != "exact" or set(posterior.simulator.prior.names) != set(rows.parameters):
        return None
    return np.asarray(posterior.log_prob(rows.parameters, rows.data), float)


def _gain(own: np.ndarray | None, first: np.ndarray | None, is_first: bool) -> dict[str, float]:
    found = {"nats": np.nan, "gain": np.nan, "error": np.nan}
    if own is None:
        return found
    found["nats"] = float(np.mean(own))
    if first is not None and not is_first:
        with np.errstate(invalid="ignore"):
            difference = own - first
        found["gain"] = float(np.mean(difference))
        found["error"] = float(np.std(difference, ddof=1) / np.sqrt(len(difference)))
    return found
