"""A run folder: everything about one posterior, from training to report.

posterior/      saved posterior, for bayesinn.load
checkpoint/     state of training, to resume from
history.csv     loss by step
posterior.nc    inference data of the observation, for ArviZ
posterior.csv   table of the posterior, beside the exact one where asked for
figures/        PNG
verdict.csv     each check of the diagnosis
errors.csv      each error that it found, with interval and tolerance
diagnosis.csv   each parameter in these checks
report.html     verdict, tables and figures in one file
"""

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
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.draws import simulated
from bayesinn.posterior.loading import load
from bayesinn.reference import exact_draws
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import check_observations
from bayesinn.training.progress import StepClock
from bayesinn.training.settings import Checkpoint, Optimization
from bayesinn.workflow.diagnosing import diagnose
from bayesinn.workflow.diagnosis import Diagnosis
from bayesinn.workflow.observed import posterior_figures, posterior_table, predictive_figures

_TRIAL_STEPS = 100


@dataclass(frozen=True)
class Run:
    """A folder with the results of one posterior."""

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
    ) -> AmortizedPosterior:
        """Train with the simulator's own networks and settings, for ``steps`` or about ``minutes``, and save all."""
        if minutes is not None:
            if steps is not None or resume:
                expected = "either minutes, for a new run, or steps"
                got = "minutes together with steps, or with a run to resume"
                do = "resume with the number of steps that was printed"
                raise InputError("Length of training", expected=expected, got=got, do=do)
            steps = steps_in(minutes, simulator, batch_size, passes)
            print(f"{minutes:g} minutes are about {steps:,} steps")
        posterior = AmortizedPosterior(simulator)
        optimization, checkpoint = Optimization(passes=passes), Checkpoint(self.folder / "checkpoint", resume)
        posterior.fit(steps=steps, batch_size=batch_size, seed=seed, optimization=optimization, checkpoint=checkpoint)
        posterior.save(self.folder / "posterior")
        posterior.history.to_csv(self.folder / "history.csv", index=False)
        self._save(plots.loss(posterior.history), "loss")
        return posterior

    def posterior(self, simulator: Simulator | None = None, trust_source: bool = False) -> AmortizedPosterior:
        """Load the saved posterior; see :func:`bayesinn.load`."""
        return load(self.folder / "posterior", simulator, trust_source)

    def infer(
        self,
        posterior: AmortizedPosterior,
        data: Mapping[str, Any] | None,
        *,
        draws: int,
        seed: int,
        exact: bool = False,
    ) -> tuple[xarray.DataTree, pd.DataFrame]:
        """Infer from an observation (the simulator's own if None) and return inference data and table, both saved.

        ``exact`` asks for draws from the exact posterior beside, which may take minutes.
        """
        simulator = posterior.simulator
        data = simulator.observed if data is None else data
        if data is None:
            subject, got = f"Observation for simulator {simulator.name!r}", "none, and the simulator ships none"
            raise InputError(subject, expected="data to infer from", got=got, do="give a file: --data FILE")
        tree = posterior.infer(data, draws=draws, seed=seed)
        sizes, do = tree["posterior"].sizes, "use bi.load(...).infer(...) for many"
        if "observation" in sizes:
            raise InputError("Data for a run", expected="one observation", got=f"{sizes['observation']}", do=do)
        self.folder.mkdir(parents=True, exist_ok=True)
        reference, labels = exact_draws(simulator, data, seed=seed) if exact else None, simulator.labels
        values, prior, predicted = (_arrays(tree, name) for name in ("posterior", "prior", "posterior_predictive"))
        table = posterior_table(values, labels, reference)
        table.to_csv(self.folder / "posterior.csv", index_label="parameter")
        if reference is not None:
            exact_values = {name: value[None] for name, value in reference.items()}
            tree["exact_posterior"] = az.from_dict({"exact_posterior": exact_values})["exact_posterior"]
        tree.to_netcdf(self.folder / "posterior.nc", engine="h5netcdf")
        observed = _arrays(tree, "observed_data")
        replicated = simulated(predicted, observed, simulator.on_nonfinite)
        if replicated is None:
            # Far out of distribution simulations may overflow; the posterior is returned all the same.
            warnings.warn("no predictive figures: data simulated from the posterior are not finite", stacklevel=2)
        for name in observed:
            (self.folder / "figures" / f"predictive_{name}.png").unlink(missing_ok=True)
        figures = posterior_figures(values, prior, labels, reference)
        for name, figure in (figures | predictive_figures(replicated, observed, labels)).items():
            self._save(figure, name)
        return tree, table

    def diagnose(
        self,
        posterior: AmortizedPosterior,
        data: Mapping[str, Any] | None = None,
        *,
        simulations: int | None = None,
        draws: int = 200,
        seed: int,
    ) -> Diagnosis:
        """Check on fresh simulations and around an observation, the simulator's own if None, and save the outcome."""
        self.folder.mkdir(parents=True, exist_ok=True)
        diagnosis = diagnose(posterior, simulations=simulations, draws=draws, seed=seed, observed=data)
        diagnosis.verdict.to_csv(self.folder / "verdict.csv")
        diagnosis.errors.to_csv(self.folder / "errors.csv")
        diagnosis.to_dataframe().to_csv(self.folder / "diagnosis.csv", index_label="parameter")
        diagnosis.plot(self.folder / "figures")
        return diagnosis

    def report(
        self, posterior: AmortizedPosterior, diagnosis: Diagnosis, data: Mapping[str, Any] | None = None
    ) -> Path:
        """Write ``report.html`` from the diagnosis, beside the exact posterior of these data if it is in the folder."""
        reference, file = None, self.folder / "posterior.nc"
        if file.is_file():
            with az.from_netcdf(file, engine="h5netcdf") as tree:
                seen = {**_arrays(tree, "observed_data"), **_arrays(tree, "constant_data")}
                exact = _arrays(tree, "exact_posterior")
            given = posterior.simulator.observed if data is None else data
            if exact and given is not None and _same(seen, check_observations(posterior.simulator, given).arrays):
                reference = exact
        return diagnosis.to_html(self.folder / "report.html", reference=reference)

    def _save(self, figure: plots.Canvas, name: str) -> None:
        folder = self.folder / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        plots.save(figure, folder / f"{name}.png")


def _arrays(tree: xarray.DataTree, group: str) -> dict[str, np.ndarray]:
    """Return the arrays of a group, without its one chain; nothing if there is no such group."""
    if group not in tree.children:
        return {}
    chains = "chain" in tree[group].dims
    return {str(name): value.values[0] if chains else value.values for name, value in tree[group].data_vars.items()}


def _same(seen: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]) -> bool:
    """Whether observables and context (...), with NaN for padding, are those of one observation (1, ...)."""
    pairs = [(value, np.where(np.isnan(value), np.nan, given[name][0])) for name, value in seen.items()]
    return all(np.allclose(first, second, equal_nan=True) for first, second in pairs)


def steps_in(minutes: float, simulator: Simulator, batch_size: int | None = None, passes: int | None = None) -> int:
    """Estimate from a short trial how many steps take this long on this machine, all preparation included."""
    clock, trial = StepClock(), AmortizedPosterior(simulator)
    options = Optimization(passes=passes, callbacks=[clock])
    trial.fit(steps=_TRIAL_STEPS, epochs=2, batch_size=batch_size, optimization=options, progress=False)
    return max(1, round(60.0 * minutes / clock.seconds_per_step))
