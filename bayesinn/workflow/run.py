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

import contextlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import xarray

from bayesinn import plots
from bayesinn.core.errors import InputError
from bayesinn.core.manifest import explained
from bayesinn.core.storage import held, replacing
from bayesinn.plots.pairs import MOST_COLUMNS
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.draws import FLAG_LEVEL, simulated
from bayesinn.posterior.loading import load
from bayesinn.reference import exact_draws
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import Observations, check_observations
from bayesinn.workflow.answers import arrays_of, logarithmic, opened, posterior_table, same_data
from bayesinn.workflow.diagnosing import diagnose
from bayesinn.workflow.diagnosis import Diagnosis
from bayesinn.workflow.report import Figure, Section

_FIGURES = {
    "marginals": "Posterior, prior, and the exact posterior where it is known.",
    "pairs": "Pairs of parameters: contours hold 50 and 90 % of the posterior, the orange ones of the exact posterior, "
    "where it is known.",
}
_PREDICTIVE = "Data simulated from the posterior, and the observed {}: the observation should look like one of them."


@dataclass(frozen=True)
class Run:
    """A folder with the results of one posterior. One process writes there at a time."""

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder).expanduser())

    def posterior(self, simulator: Simulator | None = None, trust_source: bool = False) -> AmortizedPosterior:
        """Load the saved posterior; see :func:`bayesinn.load`."""
        return load(self.folder / "posterior", simulator, trust_source)

    def check_data(
        self, simulator: Simulator, data: Mapping[str, Any] | None, answers: bool = False, posterior: str | None = None
    ) -> Observations | None:
        """Return one observation, the simulator's own for None, checked before anything long begins.

        The folder may not have an answer to other data, where ``answers`` go there; nor one of another posterior than
        that with the fingerprint given, which that of the folder itself has none of.
        """
        data = simulator.observed if data is None else data
        if data is None:
            return None
        observations = check_observations(simulator, data)
        if observations.batched:
            do = "use bi.load(...).infer(...) for many"
            raise InputError("Data for a run", expected="one observation", got=f"{observations.count}", do=do)
        file = self.folder / "posterior.nc"
        if answers and file.exists():
            own = (self.folder / "posterior" / "manifest.json").is_file()
            with contextlib.suppress(OSError, ValueError, KeyError), opened(file) as tree:
                known = {**arrays_of(tree, "observed_data"), **arrays_of(tree, "constant_data")}
                same = known.keys() <= observations.arrays.keys() and same_data(known, observations.arrays)
                if same and (own or tree.attrs["posterior"] == posterior):
                    return observations
            expected = "a folder without an answer, or with one of this posterior to the same data"
            got, do = "posterior.nc with another", "choose another folder: --output FOLDER"
            raise InputError(f"Folder {str(self.folder)!r}", expected=expected, got=got, do=do)
        return observations

    def infer(
        self,
        posterior: AmortizedPosterior,
        data: Mapping[str, Any] | None,
        *,
        draws: int,
        seed: int,
        exact: bool = False,
        predictive: bool = True,
    ) -> tuple[xarray.DataTree, pd.DataFrame]:
        """Infer from an observation (the simulator's own if None) and return inference data and table, both saved.

        ``exact`` asks for draws from the exact posterior beside, which may take minutes; ``predictive`` for data
        simulated from each draw.
        """
        simulator, fingerprint = posterior.simulator, posterior.fingerprint
        with held(self.folder, "Run folder"):
            observation = self.check_data(simulator, data, answers=True, posterior=fingerprint)
            if observation is None:
                subject, got = f"Observation for simulator {simulator.name!r}", "none, and the simulator ships none"
                raise InputError(subject, expected="data to infer from", got=got, do="give a file: --data FILE")
            data = {name: value[0] for name, value in observation.arrays.items()}
            tree = posterior.infer(data, draws=draws, seed=seed, predictive=predictive, progress=True)
            tree.attrs["posterior"] = fingerprint
            reference, labels = exact_draws(simulator, data, seed=seed) if exact else None, simulator.labels
            values, prior, predicted = (
                arrays_of(tree, name) for name in ("posterior", "prior", "posterior_predictive")
            )
            table = posterior_table(values, labels, reference)
            with replacing(self.folder / "posterior.csv") as file:
                table.to_csv(file, index_label="parameter")
            with replacing(self.folder / "posterior.nc") as file:
                tree.to_netcdf(file, engine="h5netcdf")
            self._save(plots.marginals(values, prior=prior, reference=reference, labels=labels), "marginals")
            if len(table) > 1:
                shown = list(table.index)[:MOST_COLUMNS]
                self._save(plots.pairs(values, reference=reference, labels=labels, shown=shown), "pairs")
            self._save_predictive(simulator, predicted, arrays_of(tree, "observed_data"))
        return tree, table

    def _save_predictive(self, simulator: Simulator, predicted: dict[str, Any], observed: dict[str, Any]) -> None:
        replicated = simulated(predicted, observed, simulator.on_nonfinite) if predicted else None
        if predicted and replicated is None:
            # Far out of distribution simulations may overflow; the posterior is returned all the same.
            warnings.warn("no predictive figures: data simulated from the posterior are not finite", stacklevel=2)
        for name, seen in observed.items():
            (self.folder / "figures" / f"predictive_{name}.png").unlink(missing_ok=True)
            if replicated is not None:
                options: dict[str, Any] = {"name": name, "labels": simulator.labels, "logarithmic": logarithmic(seen)}
                self._save(plots.posterior_predictive(replicated[name], seen, **options), f"predictive_{name}")

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
        with held(self.folder, "Run folder"):
            diagnosis = diagnose(posterior, simulations=simulations, draws=draws, seed=seed, observed=data)
            with replacing(self.folder / "verdict.csv") as file:
                diagnosis.verdict.to_csv(file)
            with replacing(self.folder / "diagnosis.csv") as file:
                diagnosis.to_dataframe().to_csv(file, index_label="parameter")
            figures, do = self.folder / "figures", "make room or choose another folder"
            with explained(f"Folder {str(figures)!r}", "room and permission to write there", do, (OSError,)):
                diagnosis.plot(figures)
        return diagnosis

    def report(
        self, posterior: AmortizedPosterior, diagnosis: Diagnosis, data: Mapping[str, Any] | None = None
    ) -> Path:
        """Write ``report.html`` from the diagnosis with these data, and from the results in the folder."""
        caption = "The loss flattens as the learning rate decays; only a longer run shows what more steps gain."
        text = "The loss is the mean of -log q(parameters | data) over fresh simulations, in nats."
        sections = [Section("Training", text, figures=[Figure(plots.loss(posterior.history), caption)])]
        with held(self.folder, "Run folder"):
            if (self.folder / "posterior.csv").is_file():
                sections.insert(0, self._posterior_section(posterior, data))
            title = f"Posterior of {posterior.simulator.name}"
            with replacing(self.folder / "report.html") as file:
                diagnosis.to_html(file, title=title, sections=sections)
        return self.folder / "report.html"

    def _posterior_section(self, posterior: AmortizedPosterior, data: Mapping[str, Any] | None) -> Section:
        title, simulator = "Posterior of the observed data", posterior.simulator
        with opened(self.folder / "posterior.nc") as tree:
            p_value, author = float(tree["sample_stats"]["out_of_distribution_p"]), tree.attrs.get("posterior")
            seen = {**arrays_of(tree, "observed_data"), **arrays_of(tree, "constant_data")}
        diagnosed = simulator.observed if data is None else data
        if diagnosed is not None and not same_data(seen, check_observations(simulator, diagnosed).arrays):
            text = (
                "Left out: the posterior in the run folder is that of other data than those that were diagnosed. "
                "Infer from the same data first (bayesinn infer RUN --data FILE)."
            )
            return Section(title, text)
        if author != posterior.fingerprint:
            text = (
                "Left out: it was computed before the posterior was trained longer. Infer again (bayesinn infer RUN)."
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
        with replacing(self.folder / "figures" / f"{name}.png") as file:
            plots.save(figure, file)
