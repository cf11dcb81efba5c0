"""A run folder: everything about one posterior, from training to report.

posterior/      saved posterior, for bayesinn.load
checkpoint/     state of training, to resume from
history.csv     loss by step
held_out.npz    simulations that training has not seen, of arrays without a simulator
posterior.nc    inference data of the observation, for ArviZ
posterior.csv   table of the posterior, beside the exact one where asked for
observations.csv  of several observations, a row for each
figures/        PNG
verdict.csv     each check of the diagnosis
errors.csv      each error that it found, with interval and tolerance
diagnosis.csv   each parameter in these checks
grade.txt       the verdict in a word: within, outside or undecided
methods.txt     paragraph on methods for a paper
report.html     verdict, tables and figures in one file
run.json        what tables and reports runs wrote here, and of which posterior; no other file is
                replaced
"""

import contextlib
import functools
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import arviz_base
import numpy as np
import pandas as pd
import xarray

from bayesinn import plots
from bayesinn.cli.data_files import names_of
from bayesinn.core.errors import InputError, SavedPosteriorError, check_path, warn
from bayesinn.core.files import lock_folder
from bayesinn.core.html import facts_html
from bayesinn.core.labels import columns
from bayesinn.core.progress import Progress
from bayesinn.core.run_folder import (
    ANSWER,
    DIAGNOSIS,
    REGIONS,
    REPORT,
    ROWS,
    RunFiles,
    saved_fingerprint,
    summarise_run,
)
from bayesinn.diagnosis.diagnosis import Diagnosis, diagnose
from bayesinn.diagnosis.regions import conformal_regions
from bayesinn.diagnosis.report.sections import (
    P_VALUE,
    posterior_figures,
    posterior_table,
    posterior_tables,
    predictive_figures,
    row_per_observation,
    write_posterior,
)
from bayesinn.diagnosis.verdict import Again
from bayesinn.estimators.loading import load
from bayesinn.plots.panels import check_own
from bayesinn.posterior.amortized import AmortizedPosterior, TrainedPosterior
from bayesinn.posterior.answers import finite_predictions, mask_padding
from bayesinn.posterior.posterior import Posterior
from bayesinn.reference import exact_draws, refine
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import Observations, check_observations, refuse_batch

# Level of the intervals in tables.
_REGION = 0.95


def check_data(simulator: Simulator, data: Mapping[str, Any] | None) -> Observations | None:
    """Return checked data, by default the simulator's own; None if it has none."""
    data = simulator.observed if data is None else data
    return None if data is None else check_observations(simulator, data)


def check_observation(simulator: Simulator, data: Mapping[str, Any] | None) -> Observations | None:
    """Return what :func:`check_data` does; refuse several observations."""
    observations = check_data(simulator, data)
    if observations is not None:
        do = "give one; 'bayesinn infer' answers them all, once the posterior is trained"
        refuse_batch(observations, "Data for a run", do)
    return observations


def open_answer(file: Path) -> Any:
    """Open a file of inference data; used in a ``with`` block, it is closed again."""
    # A parameter in days is a number: older versions of xarray take it for a time span.
    return xarray.open_datatree(file, engine="h5netcdf", decode_timedelta=False)


def arrays_of(tree: xarray.DataTree, group: str) -> dict[str, np.ndarray]:
    """Return the arrays of a group, chains one after another; nothing if there is no such group."""
    if group not in tree.children:
        return {}
    chains = "chain" in tree[group].dims
    return {
        str(name): value.values.reshape(-1, *value.shape[2:]) if chains else value.values
        for name, value in tree[group].data_vars.items()
    }


def same_data(simulator: Simulator, seen: Mapping[str, np.ndarray], given: Arrays) -> bool:
    """Tell whether saved observables and context are those of n checked observations (n, ...).

    Those that were ``seen`` are (...) or (n, ...), NaN where there is padding or no value.
    """
    known = {**given, **mask_padding(simulator, given, given)}
    for name, value in seen.items():
        other = known[name] if value.ndim == known[name].ndim else known[name][0]
        # To the last bit: data may differ by little, and be of any unit.
        if not np.array_equal(value, other.astype(value.dtype), equal_nan=True):
            return False
    return True


@dataclass(frozen=True)
class Run:
    """A folder with the results of one posterior. One process writes there at a time."""

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", check_path("Run folder", self.folder, "runs/model"))

    def _repr_html_(self) -> str:
        return facts_html(f"Run {str(self.folder)!r}", summarise_run(self.folder).row())

    @property
    def files(self) -> RunFiles:
        """Tables and reports in the folder."""
        return RunFiles(self.folder)

    def posterior(
        self, simulator: Simulator | None = None, trust_source: bool = False
    ) -> AmortizedPosterior:
        """Load the saved posterior; see :func:`bayesinn.load`."""
        return load(self.folder / "posterior", simulator, trust_source)

    def refuse_other_answer(
        self, simulator: Simulator, observations: Observations, posterior: str | None = None
    ) -> None:
        """Refuse a folder that holds an answer to other data, or of another posterior.

        The posterior is that with the fingerprint ``posterior``, unless the folder has its own.
        """
        file = self.folder / "posterior.nc"
        if not file.exists():
            return
        own = (self.folder / "posterior" / "manifest.json").is_file()
        with contextlib.suppress(OSError, ValueError, KeyError), open_answer(file) as tree:
            known = {**arrays_of(tree, "observed_data"), **arrays_of(tree, "constant_data")}
            same = known.keys() <= observations.arrays.keys() and same_data(
                simulator, known, observations.arrays
            )
            if same and (own or tree.attrs["posterior"] == posterior):
                return
        raise InputError(
            f"Folder {str(self.folder)!r}",
            expected="a folder without an answer, or with one of this posterior to the same data",
            got="posterior.nc with another",
            do="choose another folder: --output FOLDER",
        )

    @contextlib.contextmanager
    def answering(
        self, posterior: TrainedPosterior, simulator: Simulator, data: Mapping[str, Any] | None
    ) -> Iterator[Observations]:
        """Hold the folder for an answer to the data of a simulator, which are checked first.

        If ``data`` is None, they are the simulator's own.
        """
        with lock_folder(self.folder, "Run folder"):
            self.files.check(*ANSWER)
            observations = check_data(simulator, data)
            if observations is None:
                raise InputError(
                    f"Observation for simulator {simulator.name!r}",
                    expected="data to infer from",
                    got="none, and the simulator ships none",
                    do="give a file: --data FILE",
                )
            self.refuse_other_answer(simulator, observations, posterior.fingerprint)
            yield observations

    def infer(
        self,
        posterior: AmortizedPosterior,
        data: Mapping[str, Any] | None,
        *,
        draws: int,
        seed: int,
        exact: bool = False,
        refined: bool = False,
        predictive: bool = True,
    ) -> tuple[xarray.DataTree, pd.DataFrame]:
        """Infer from an observation, save and return inference data and table.

        If ``data`` is None, the observation is the simulator's own.

        ``exact`` asks for draws from the exact posterior beside, which may take minutes;
        ``refined`` for draws that are corrected by the simulator's likelihood;
        ``predictive`` for data simulated from each draw. Several observations get neither, but a
        table with a row for each, and a figure of all.
        """
        simulator = posterior.simulator
        with self.answering(posterior, simulator, data) as observation:
            if observation.batched:
                return self._infer_many(posterior, observation, data, draws, seed, exact, refined)
            data = observation.row()
            infer = functools.partial(refine, posterior) if refined else posterior.infer
            tree = infer(data, draws=draws, seed=seed, predictive=predictive, progress=True)
            table = self._save_one(posterior, tree)
            predicted = arrays_of(tree, "posterior_predictive")
            self._save_predictive(simulator, predicted, arrays_of(tree, "observed_data"))
            if exact:
                # All else is saved by now: this may take minutes, and fail.
                print(f"saved {self.folder}/posterior.nc; drawing from the exact posterior")
                reference = exact_draws(simulator, data, seed=seed, progress=True)
                if reference is not None:
                    table = self._save_one(posterior, tree, reference)
        return tree, table

    def add_regions(
        self, posterior: Posterior, data: Mapping[str, Any] | None, table: pd.DataFrame, seed: int
    ) -> tuple[pd.DataFrame, str]:
        """Add intervals of guaranteed coverage to an answer's table; return it, and their cost."""
        regions = conformal_regions(posterior, seed=seed)
        observations = check_data(posterior.simulator, data)
        assert observations is not None, "it has been answered"
        bounds = columns(regions.intervals(observations.arrays, level=_REGION), batch_ndim=1)
        values = np.stack(list(bounds.values()), axis=1)
        for place, tail in enumerate((0.5 * (1.0 - _REGION), 0.5 * (1.0 + _REGION))):
            table[f"guaranteed {100 * tail:g} %"] = values[..., place].ravel()
        with lock_folder(self.folder, "Run folder"):
            self._save_table(table)
            with self.files.write(REGIONS) as file:
                regions.table.to_csv(file, index=False)
        return table, f"{regions!r}\n"

    def _save_one(
        self,
        posterior: TrainedPosterior,
        tree: xarray.DataTree,
        reference: Arrays | None = None,
    ) -> pd.DataFrame:
        """Save the answer to one observation with figures, beside exact draws; return its table."""
        labels = posterior.simulator.labels
        values = arrays_of(tree, "posterior")
        table = posterior_table(values, labels, reference)
        if reference is not None:
            exact_values = {name: value[None] for name, value in reference.items()}
            tree["exact_posterior"] = arviz_base.from_dict({"exact_posterior": exact_values})[
                "exact_posterior"
            ]
        self.save_answer(posterior, tree, table.rename_axis("parameter"))
        prior = arrays_of(tree, "prior")
        for name, figure in posterior_figures(values, prior, labels, reference).items():
            self._save(figure, name)
        return table

    def _infer_many(
        self,
        posterior: AmortizedPosterior,
        observations: Observations,
        data: Mapping[str, Any] | None,
        draws: int,
        seed: int,
        exact: bool,
        refined: bool,
    ) -> tuple[xarray.DataTree, pd.DataFrame]:
        if exact:
            raise InputError(
                "Option --exact",
                expected="one observation",
                got=f"{observations.count} observations",
                do="leave it out, or give one of them",
            )
        self.files.check(ROWS)
        # Data simulated from each draw of each observation may not fit into memory.
        infer = functools.partial(refine, posterior) if refined else posterior.infer
        tree = infer(observations.arrays, draws=draws, seed=seed, predictive=False)
        labels = posterior.simulator.labels
        names, by = names_of(data)
        rows = names or range(observations.count)
        for group in tree.children.values():
            if "observation" in group.dims:
                group.coords["observation"] = list(rows)
        values = arrays_of(tree, "posterior")
        table = posterior_tables(values, labels, rows, by)
        p_values = np.asarray(tree["sample_stats"][P_VALUE])
        table[P_VALUE] = np.repeat(p_values, len(table) // observations.count)
        self.save_answer(posterior, tree, table)
        with self.files.write(ROWS) as file:
            row_per_observation(write_posterior(table)).to_csv(file)
        moved = {name: np.swapaxes(value, 0, 1) for name, value in values.items()}
        figure = plots.observations(moved, list(map(str, rows)), labels=labels, by=by)
        self._save(figure, "observations")
        return tree, table

    def save_answer(
        self, posterior: TrainedPosterior, tree: xarray.DataTree, table: pd.DataFrame
    ) -> None:
        """Write inference data and table of a posterior's answer."""
        tree.attrs["posterior"] = posterior.fingerprint
        self._save_table(table)
        # In memory: on a full disk, HDF5 ends the process once its files are collected.
        memory = io.BytesIO()
        tree.to_netcdf(memory, engine="h5netcdf")
        with self.files.write("posterior.nc") as file:
            file.write_bytes(memory.getvalue())
        self._note_posterior(ANSWER)

    def _save_table(self, table: pd.DataFrame) -> None:
        with self.files.write("posterior.csv") as file:
            write_posterior(table).to_csv(file)

    def _save_predictive(
        self, simulator: Simulator, predicted: dict[str, Any], observed: dict[str, Any]
    ) -> None:
        replicated = None
        if predicted:
            missing = simulator.missing is not None
            replicated = finite_predictions(predicted, observed, simulator.on_nonfinite, missing)
        if predicted and replicated is None:
            # Far out of distribution simulations may overflow; the posterior is returned all the
            # same.
            warn(
                "no predictive figures: data simulated from the posterior are not finite",
            )
        for name in observed:
            figure = self._figure(f"predictive_{name}")
            figure.unlink(missing_ok=True)
        for name, canvas in predictive_figures(replicated, observed, simulator.labels).items():
            self._save(canvas, name)

    def diagnose(
        self,
        posterior: AmortizedPosterior,
        data: Mapping[str, Any] | None = None,
        *,
        held_out: Arrays | None = None,
        simulations: int | None = None,
        draws: int = 200,
        seed: int,
        again: Again | None = None,
    ) -> Diagnosis:
        """Check on fresh simulations and around an observation, and save the outcome.

        If ``data`` is None, the observation is the simulator's own. Rows that were held out take
        the place of fresh simulations.

        ``again`` is a command that diagnoses anew; see :class:`Diagnosis`.
        """
        with lock_folder(self.folder, "Run folder"):
            self.files.check(*DIAGNOSIS)
            diagnosis = diagnose(
                posterior,
                data=held_out,
                simulations=simulations,
                draws=draws,
                seed=seed,
                observed=data,
            )
            diagnosis = diagnosis if again is None else replace(diagnosis, again=again)
            parameters = diagnosis.to_dataframe().rename_axis("parameter")
            tables = {
                "verdict": diagnosis.verdict,
                "errors": diagnosis.errors,
                "diagnosis": parameters,
            }
            for name, table in tables.items():
                with self.files.write(f"{name}.csv") as file:
                    table.to_csv(file)
            with self.files.write("grade.txt") as file:
                file.write_text(f"{diagnosis.grade}\n", encoding="utf-8")
            with self.files.write("methods.txt") as file:
                file.write_text(f"{diagnosis.methods}\n", encoding="utf-8")
            self._note_posterior(DIAGNOSIS)
            with Progress("drawing") as progress:
                progress.stage("figures")
                diagnosis.plot(self.folder / "figures")
                for check in diagnosis.left_out:
                    self._remove_figures(check.figures)
        return diagnosis

    def report(
        self,
        posterior: AmortizedPosterior,
        diagnosis: Diagnosis,
        data: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write ``report.html`` from the diagnosis, with the folder's answer to these data, if any.

        The report shows the numbers of ``posterior.csv``, beside those of the exact posterior if
        the folder has draws from it.
        """
        with lock_folder(self.folder, "Run folder"):
            self.files.check(*REPORT)
            answer, reference = self._answer(posterior, data)
            with self.files.write("report.html") as file:
                diagnosis.to_html(file, reference=reference, draws=answer)
        return self.folder / "report.html"

    def _answer(
        self, posterior: AmortizedPosterior, data: Mapping[str, Any] | None
    ) -> tuple[dict[str, np.ndarray] | None, dict[str, np.ndarray] | None]:
        """Return draws from posterior and exact posterior of these data, if the folder has them."""
        given = posterior.simulator.observed if data is None else data
        if given is None or not (self.folder / "posterior.nc").is_file():
            return None, None
        with open_answer(self.folder / "posterior.nc") as tree:
            seen = {**arrays_of(tree, "observed_data"), **arrays_of(tree, "constant_data")}
            draws, exact = (arrays_of(tree, name) for name in ("posterior", "exact_posterior"))
            own = tree.attrs.get("posterior") == posterior.fingerprint
        observations = posterior.check_data(given)
        if observations.batched or not same_data(posterior.simulator, seen, observations.arrays):
            return None, None
        return (draws if own else None), exact or None

    def _note_posterior(self, names: Iterable[str]) -> None:
        """Note that files are about the posterior in the folder, if there is one."""
        try:
            posterior = saved_fingerprint(self.folder)
        except SavedPosteriorError:
            return
        self.files.assign(names, posterior)

    def _save(self, figure: plots.Canvas, name: str) -> None:
        plots.save(figure, self._figure(name))

    def _remove_figures(self, names: Iterable[str]) -> None:
        """Remove figures that an earlier diagnosis wrote; those of somebody else stay."""
        for name in names:
            with contextlib.suppress(InputError):
                self._figure(name).unlink(missing_ok=True)

    def _figure(self, name: str) -> Path:
        """Return the place of a figure; one that is there and somebody else's is refused."""
        path = self.folder / "figures" / f"{name}.png"
        check_own(path)
        return path
