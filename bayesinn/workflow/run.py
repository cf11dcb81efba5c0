"""A run folder: everything about one posterior, from training to report.

posterior/      saved posterior, for bayesinn.load
checkpoint/     state of training, to resume from
history.csv     loss by step
posterior.nc    inference data of the observation, for ArviZ
posterior.csv   table of the posterior, beside the exact one where known
figures/        PNG
verdict.csv     each test of the diagnosis
diagnosis.csv   each parameter in these
report.html     verdict, tables and figures in one file
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import xarray

from bayesinn import plots
from bayesinn.core.errors import InputError
from bayesinn.diagnostics import Diagnosis
from bayesinn.plots.pairs import MOST_COLUMNS
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.draws import FLAG_LEVEL, simulated
from bayesinn.posterior.saving import load
from bayesinn.reference import exact_draws
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import check_observations
from bayesinn.training.progress import StepClock
from bayesinn.workflow.diagnosing import diagnose
from bayesinn.workflow.report import Figure, Section
from bayesinn.workflow.tables import posterior_table

# Where the largest count is this many times the smallest positive one, a linear axis hides most of the data.
_LOGARITHMIC_RATIO = 20.0
_TRIAL_STEPS = 100


@dataclass(frozen=True)
class Run:
    """A folder with the results of one posterior.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    def train(
        self,
        simulator: Simulator,
        *,
        seed: int,
        resume: bool,
        steps: int | None = None,
        minutes: float | None = None,
        batch_size: int | None = None,
        passes: int | None = None,
        progress: bool = True,
    ) -> AmortizedPosterior:
        """Train with the simulator's own networks and settings; keeps checkpoints, the posterior and the history.

        ``minutes`` asks for as many steps as take about so long here, in place of ``steps``.
        """
        posterior = AmortizedPosterior(simulator)
        if minutes is not None:
            if steps is not None or resume:
                raise InputError(
                    "Length of training",
                    expected="either minutes, for a new run, or steps",
                    got="minutes together with steps, or with a run to resume",
                    do="resume with the number of steps that was printed",
                )
            steps = steps_in(minutes, simulator, batch_size, passes)
            print(f"{minutes:g} minutes are about {steps:,} steps")
        posterior.fit(
            steps=steps,
            batch_size=batch_size,
            passes=passes,
            seed=seed,
            checkpoint=self.folder / "checkpoint",
            resume=resume,
            progress=progress,
        )
        posterior.save(self.folder / "posterior")
        posterior.history.to_csv(self.folder / "history.csv", index=False)
        self._save(plots.loss(posterior.history), "loss")
        return posterior

    def posterior(self, simulator: Simulator | None = None, trust_source: bool = False) -> AmortizedPosterior:
        """The saved posterior; see :func:`bayesinn.load`."""
        return load(self.folder / "posterior", simulator, trust_source)

    def infer(
        self, posterior: AmortizedPosterior, data: Mapping[str, Any] | None, *, draws: int, seed: int
    ) -> tuple[xarray.DataTree, pd.DataFrame]:
        """Posterior of an observation (the simulator's own if None): inference data and table, both saved."""
        simulator = posterior.simulator
        data = simulator.observed if data is None else data
        if data is None:
            raise InputError(
                f"Observation for simulator {simulator.name!r}",
                expected="data to infer from",
                got="none, and the simulator ships none",
                do="give a file: --data FILE",
            )
        tree = posterior.infer(data, draws=draws, seed=seed)
        if "observation" in tree["posterior"].dims:
            raise InputError(
                "Data for a run",
                expected="one observation",
                got=f"{tree['posterior'].sizes['observation']}",
                do="use bi.load(...).infer(...) for many",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        exact = exact_draws(simulator, data, seed=seed)
        values = {str(name): value.values[0] for name, value in tree["posterior"].data_vars.items()}
        table = posterior_table(values, simulator.labels, exact)
        table.to_csv(self.folder / "posterior.csv", index_label="parameter")
        tree.to_netcdf(self.folder / "posterior.nc", engine="h5netcdf")
        prior = {str(name): value.values[0] for name, value in tree["prior"].data_vars.items()}
        self._save(plots.marginals(values, prior=prior, reference=exact, labels=simulator.labels), "marginals")
        if len(table) > 1:
            shown = list(table.index)[:MOST_COLUMNS]
            self._save(plots.pairs(values, reference=exact, labels=simulator.labels, shown=shown), "pairs")
        observed = {str(name): value.values for name, value in tree["observed_data"].data_vars.items()}
        predicted = {str(name): value.values[0] for name, value in tree["posterior_predictive"].data_vars.items()}
        replicated = simulated(predicted, observed, simulator.on_nonfinite)
        if replicated is None:
            # The answer matters more than its picture: far out of distribution, simulations may well overflow.
            warnings.warn("no predictive figures: data simulated from the posterior are not finite", stacklevel=2)
        for name, seen in observed.items():
            if replicated is None:
                (self.folder / "figures" / f"predictive_{name}.png").unlink(missing_ok=True)
            else:
                self._save(_predictive(replicated[name], seen, name, simulator), f"predictive_{name}")
        return tree, table

    def diagnose(
        self,
        posterior: AmortizedPosterior,
        data: Mapping[str, Any] | None = None,
        *,
        simulations: int,
        draws: int,
        seed: int,
    ) -> Diagnosis:
        """Check on fresh simulations and around an observation, the simulator's own if None; saves what it finds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        diagnosis = diagnose(posterior, simulations=simulations, draws=draws, seed=seed, observed=data)
        diagnosis.verdict.to_csv(self.folder / "verdict.csv")
        diagnosis.to_dataframe().to_csv(self.folder / "diagnosis.csv", index_label="parameter")
        diagnosis.plot(self.folder / "figures")
        return diagnosis

    def report(
        self, posterior: AmortizedPosterior, diagnosis: Diagnosis, data: Mapping[str, Any] | None = None
    ) -> Path:
        """Write ``report.html`` from the diagnosis, around these data, and whatever the folder holds."""
        sections = []
        if (self.folder / "posterior.csv").is_file():
            sections.append(self._posterior_section(posterior.simulator, data))
        sections.append(
            Section(
                "Training",
                "The loss is the mean of -log q(parameters | data) over fresh simulations, in nats.",
                figures=[
                    Figure(
                        plots.loss(posterior.history),
                        "It flattens as the learning rate fades; a longer run shows what more steps gain.",
                    )
                ],
            )
        )
        return diagnosis.to_html(
            self.folder / "report.html", title=f"Posterior of {posterior.simulator.name}", sections=sections
        )

    def _posterior_section(self, simulator: Simulator, data: Mapping[str, Any] | None) -> Section:
        title = "Posterior of the observed data"
        table = pd.read_csv(self.folder / "posterior.csv", index_col="parameter", keep_default_na=False)
        with az.from_netcdf(self.folder / "posterior.nc", engine="h5netcdf") as tree:
            p_value = float(tree["sample_stats"]["out_of_distribution_p"])
            groups = [group for name, group in tree.children.items() if name in ("observed_data", "constant_data")]
            seen = {str(name): value.values for group in groups for name, value in group.data_vars.items()}
        diagnosed = simulator.observed if data is None else data
        if diagnosed is not None and not _same(seen, check_observations(simulator, diagnosed).arrays):
            return Section(
                title,
                "Left out: what the run folder holds is the posterior of other data than those that were diagnosed. "
                "Infer from the same data first (bayesinn infer RUN --data FILE).",
            )
        typical = (
            f"The observation is typical of the simulations the network was trained on (p = {p_value:.2g})."
            if p_value >= FLAG_LEVEL
            else f"The observation is unlike the simulations the network was trained on (p = {p_value:.2g}): "
            "the posterior is an extrapolation, and not to be trusted."
        )
        captions = {
            "marginals": "Posterior, prior, and the exact posterior where it is known.",
            "pairs": "Pairs of parameters: contours hold 50 and 90 % of the posterior, the orange ones of the exact "
            "posterior, where it is known.",
            **{
                f"predictive_{name}": f"Data simulated from the posterior beside the observed {name}: the observation "
                "should look like one of them."
                for name in simulator.observable_shapes
            },
        }
        figures = [
            Figure(file.read_bytes(), caption)
            for name, caption in captions.items()
            if (file := self.folder / "figures" / f"{name}.png").is_file()
        ]
        return Section(title, typical, table=table, figures=figures)

    def _save(self, figure: plots.Canvas, name: str) -> None:
        folder = self.folder / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        plots.save(figure, folder / f"{name}.png")


def _same(seen: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]) -> bool:
    """Whether observables and context (...), with NaN for padding, are those of one observation (1, ...)."""
    pairs = [(value, np.where(np.isnan(value), np.nan, given[name][0])) for name, value in seen.items()]
    return all(np.allclose(first, second, equal_nan=True) for first, second in pairs)


def steps_in(minutes: float, simulator: Simulator, batch_size: int | None = None, passes: int | None = None) -> int:
    """How many steps of training take so long on this machine, with what comes before them, from a short trial."""
    clock = StepClock()
    trial = AmortizedPosterior(simulator)
    trial.fit(steps=_TRIAL_STEPS, epochs=2, batch_size=batch_size, passes=passes, callbacks=[clock], progress=False)
    return max(1, round(60.0 * minutes / clock.seconds_per_step))


def _predictive(predicted: np.ndarray, observed: np.ndarray, name: str, simulator: Simulator) -> plots.Canvas:
    positive = observed[np.isfinite(observed) & (observed > 0)]
    wide = positive.size > 0 and not np.any(observed < 0) and positive.max() > _LOGARITHMIC_RATIO * positive.min()
    return plots.posterior_predictive(predicted, observed, name=name, labels=simulator.labels, logarithmic=bool(wide))
