"""A run folder: everything about one posterior, from training to report.

posterior/      saved posterior, for bayesinn.load
checkpoint/     state of training, to resume from
history.csv     loss by step
posterior.nc    inference data of the observation, for ArviZ
posterior.csv   table of the posterior, beside the exact one where asked for
figures/        PNG
verdict.csv     each check of the diagnosis
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
from bayesinn.core.labels import Labels, columns
from bayesinn.plots.pairs import MOST_COLUMNS
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.draws import FLAG_LEVEL, simulated
from bayesinn.posterior.loading import load
from bayesinn.reference import exact_draws
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import check_observations
from bayesinn.training.progress import StepClock
from bayesinn.training.settings import Checkpoint, Optimization
from bayesinn.workflow.diagnosing import diagnose
from bayesinn.workflow.diagnosis import Diagnosis
from bayesinn.workflow.report import Figure, Section

# Largest over smallest positive count, above which a linear axis hides most of the data.
_LOGARITHMIC_RATIO = 20.0
_TRIAL_STEPS = 100

_FIGURES = {
    "marginals": "Posterior, prior, and the exact posterior where it is known.",
    "pairs": "Pairs of parameters: contours hold 50 and 90 % of the posterior, the orange ones of the exact posterior, "
    "where it is known.",
}
_PREDICTIVE = "Data simulated from the posterior, and the observed {}: the observation should look like one of them."


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
        tree.to_netcdf(self.folder / "posterior.nc", engine="h5netcdf")
        self._save(plots.marginals(values, prior=prior, reference=reference, labels=labels), "marginals")
        if len(table) > 1:
            shown = list(table.index)[:MOST_COLUMNS]
            self._save(plots.pairs(values, reference=reference, labels=labels, shown=shown), "pairs")
        observed = _arrays(tree, "observed_data")
        replicated = simulated(predicted, observed, simulator.on_nonfinite)
        if replicated is None:
            # Far out of distribution simulations may overflow; the posterior is returned all the same.
            warnings.warn("no predictive figures: data simulated from the posterior are not finite", stacklevel=2)
        for name, seen in observed.items():
            (self.folder / "figures" / f"predictive_{name}.png").unlink(missing_ok=True)
            if replicated is not None:
                options: dict[str, Any] = {"name": name, "labels": labels, "logarithmic": _wide(seen)}
                self._save(plots.posterior_predictive(replicated[name], seen, **options), f"predictive_{name}")
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
        """Check on fresh simulations and around an observation, the simulator's own if None, and save the outcome."""
        self.folder.mkdir(parents=True, exist_ok=True)
        diagnosis = diagnose(posterior, simulations=simulations, draws=draws, seed=seed, observed=data)
        diagnosis.verdict.to_csv(self.folder / "verdict.csv")
        diagnosis.to_dataframe().to_csv(self.folder / "diagnosis.csv", index_label="parameter")
        diagnosis.plot(self.folder / "figures")
        return diagnosis

    def report(
        self, posterior: AmortizedPosterior, diagnosis: Diagnosis, data: Mapping[str, Any] | None = None
    ) -> Path:
        """Write ``report.html`` from the diagnosis with these data, and from the results in the folder."""
        caption = "The loss flattens as the learning rate decays; only a longer run shows what more steps gain."
        text = "The loss is the mean of -log q(parameters | data) over fresh simulations, in nats."
        sections = [Section("Training", text, figures=[Figure(plots.loss(posterior.history), caption)])]
        if (self.folder / "posterior.csv").is_file():
            sections.insert(0, self._posterior_section(posterior.simulator, data))
        title = f"Posterior of {posterior.simulator.name}"
        return diagnosis.to_html(self.folder / "report.html", title=title, sections=sections)

    def _posterior_section(self, simulator: Simulator, data: Mapping[str, Any] | None) -> Section:
        title = "Posterior of the observed data"
        with az.from_netcdf(self.folder / "posterior.nc", engine="h5netcdf") as tree:
            p_value = float(tree["sample_stats"]["out_of_distribution_p"])
            seen = {**_arrays(tree, "observed_data"), **_arrays(tree, "constant_data")}
        diagnosed = simulator.observed if data is None else data
        if diagnosed is not None and not _same(seen, check_observations(simulator, diagnosed).arrays):
            text = (
                "Left out: the posterior in the run folder is that of other data than those that were diagnosed. "
                "Infer from the same data first (bayesinn infer RUN --data FILE)."
            )
            return Section(title, text)
        typical = f"The observation is typical of the simulations the network was trained on (p = {p_value:.2g})."
        if p_value < FLAG_LEVEL:
            typical = (
                f"The observation is unlike the simulations the network was trained on (p = {p_value:.2g}): the "
                "posterior is an extrapolation, and not to be trusted."
            )
        captions = _FIGURES | {f"predictive_{name}": _PREDICTIVE.format(name) for name in simulator.observable_shapes}
        files = {self.folder / "figures" / f"{name}.png": caption for name, caption in captions.items()}
        table = pd.read_csv(self.folder / "posterior.csv", index_col="parameter", keep_default_na=False)
        figures = [Figure(file.read_bytes(), caption) for file, caption in files.items() if file.is_file()]
        return Section(title, typical, table=table, figures=figures)

    def _save(self, figure: plots.Canvas, name: str) -> None:
        folder = self.folder / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        plots.save(figure, folder / f"{name}.png")


def posterior_table(
    draws: Mapping[str, np.ndarray], labels: Labels, exact: Mapping[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """Tabulate mean, sd and 95 % interval of draws (n, *event), a row for each scalar, and of exact ones beside them.

    Examples
    --------
    >>> table = posterior_table({"rate": np.linspace(0.0, 2.0, 101)}, Labels({}, {"rate": "1/day"}))
    >>> table.loc["rate", "unit"], round(float(table.loc["rate", "97.5 %"]), 3)
    ('1/day', 1.95)
    """
    table = _moments(draws)
    table.insert(0, "unit", [labels.unit(name) for name in table.index])
    return table if exact is None else table.join(_moments(exact).add_prefix("exact "))


def _moments(draws: Mapping[str, np.ndarray]) -> pd.DataFrame:
    frame = pd.DataFrame(columns(draws, batch_ndim=1), dtype=float)
    low, high = frame.quantile([0.025, 0.975]).to_numpy()
    return pd.DataFrame({"mean": frame.mean(), "sd": frame.std(ddof=0), "2.5 %": low, "97.5 %": high})


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


def _wide(observed: np.ndarray) -> bool:
    """Whether the observed values need a logarithmic axis."""
    positive = observed[np.isfinite(observed) & (observed > 0)]
    return bool(positive.size > 0 and not np.any(observed < 0) and positive.max() > _LOGARITHMIC_RATIO * positive.min())


def steps_in(minutes: float, simulator: Simulator, batch_size: int | None = None, passes: int | None = None) -> int:
    """Estimate from a short trial how many steps take this long on this machine, all preparation included."""
    clock, trial = StepClock(), AmortizedPosterior(simulator)
    options = Optimization(passes=passes, callbacks=[clock])
    trial.fit(steps=_TRIAL_STEPS, epochs=2, batch_size=batch_size, optimization=options, progress=False)
    return max(1, round(60.0 * minutes / clock.seconds_per_step))
