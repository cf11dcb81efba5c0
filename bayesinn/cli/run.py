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
import math
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import arviz_base
import numpy as np
import pandas as pd
import tensorflow as tf
import xarray

from bayesinn import plots
from bayesinn.cli.data_files import names_of
from bayesinn.cli.networks import Wanted
from bayesinn.cli.tables import HELD_OUT
from bayesinn.core.compilation import XLA
from bayesinn.core.errors import InputError, SavedPosteriorError, TrainingError, check_path, warn
from bayesinn.core.files import lock_folder
from bayesinn.core.html import facts_html
from bayesinn.core.progress import Progress
from bayesinn.core.run_folder import (
    ANSWER,
    DIAGNOSIS,
    REPORT,
    ROWS,
    TRAINING,
    RunFiles,
    saved_fingerprint,
    summarise_run,
)
from bayesinn.diagnosis.diagnosis import Diagnosis, diagnose
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
from bayesinn.estimators.fitting_data import Stream, reuse
from bayesinn.estimators.loading import load
from bayesinn.plots.panels import check_own
from bayesinn.posterior.amortized import AmortizedPosterior, TrainedPosterior
from bayesinn.posterior.answers import finite_predictions, mask_padding
from bayesinn.reference import exact_draws, refine
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import Observations, check_observations, refuse_batch
from bayesinn.training.callbacks import known_run, remove_checkpoint
from bayesinn.training.settings import STEPS_WORTH_COMPILING, Checkpoint, Optimization
from bayesinn.training.step import Devices
from bayesinn.training.train import FEWEST_STEPS, StepClock


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
    """Return the arrays of a group, without its one chain; nothing if there is no such group."""
    if group not in tree.children:
        return {}
    chains = "chain" in tree[group].dims
    return {
        str(name): value.values[0] if chains else value.values
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
                reference = exact_draws(simulator, data, seed=seed)
                if reference is not None:
                    table = self._save_one(posterior, tree, reference)
        return tree, table

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
        with self.files.write("posterior.csv") as file:
            write_posterior(table).to_csv(file)
        # In memory: on a full disk, HDF5 ends the process once its files are collected.
        memory = io.BytesIO()
        tree.to_netcdf(memory, engine="h5netcdf")
        with self.files.write("posterior.nc") as file:
            file.write_bytes(memory.getvalue())
        self._note_posterior(ANSWER)

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


_TRIAL_STEPS = 100
_TRIAL_EPOCHS = 10
# Share of the minutes that the trial may take, if that is two epochs of it; and with tracing, if
# there is to be another one of a compiled step.
_TRIAL_SHARE = 0.1
_MOST_TRACING = 0.2
# Steps that are planned for each that the trial promised; minutes after the last one; the least
# share of the minutes for training itself.
_SPARE = 1.3
_FINISHING = 0.05
_LEAST = 0.3
# Factor of the learning rate of a posterior that is trained longer.
_SLOWER = 0.2


def train_into(
    folder: Path,
    simulator: Simulator,
    *,
    seed: int,
    resume: bool = False,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    passes: int | None = None,
    wanted: Wanted = Wanted(),
    longer: bool = False,
    data: Bank | Stream | Arrays | None = None,
    held_out: Arrays | None = None,
    strategy: tf.distribute.Strategy | None = None,
    accumulate: int = 1,
) -> TrainedPosterior:
    """Train for ``steps`` or about ``minutes``, and save all; defaults are the simulator's own.

    A posterior that the folder has already is trained on, with fresh simulations, if ``longer``
    allows that. Of a bank, simulations are not fresh. Of several processes, the first one writes,
    to a folder that all of them read. Rows that are ``held_out`` of arrays are kept in the folder.
    """
    started = time.monotonic()
    devices = Devices(strategy)
    if minutes is not None and devices.processes > 1:
        raise InputError(
            "Length of training",
            expected="the same number of steps in all processes",
            got="minutes, by the clock of each",
            do="give --steps in place of --minutes",
        )
    with lock_folder(folder if devices.chief else None, "Run folder"):
        written = (*TRAINING, *DIAGNOSIS, *ANSWER, *REPORT, *([HELD_OUT] if held_out else []))
        RunFiles(folder).check(*written)
        check_own(folder / "figures" / "loss.png")
        checkpoint = folder / "checkpoint"
        with devices.chief_first():
            state = known_run(checkpoint) or {}
            own = _load_own(folder, simulator)
        start = own
        if resume and start is None and not state:
            print(f"nothing to resume in {folder}: a new training begins")
        if start is not None and resume:
            _check_steps(folder, state, steps)
            if _has_ended(start, state, steps):
                if devices.chief and state:
                    # Training may have been killed before it wrote all.
                    _complete(folder, start, held_out)
                return start
            if _is_first(state):
                start = None
        elif start is not None:
            _check_longer(folder, start, state, longer and (steps or minutes) is not None)
        if resume and steps is None and (data is None or start is not None):
            # Minutes were turned into steps.
            steps = state.get("steps")
        # As for the minutes that there were.
        xla: XLA = state["xla"] if resume and "xla" in state else "auto"
        options = Optimization(passes=passes, strategy=strategy, accumulate=accumulate, xla=xla)
        posterior = (wanted if start is None else wanted.like(start)).posterior(simulator)
        if minutes is not None:
            steps, batch_size, options = _plan(minutes, started, posterior, batch_size, options)
        if start is not None:
            length = f"{steps:,} steps" if minutes is None else f"{minutes:g} minutes"
            print(f"training the posterior in {folder} longer: {length} from its weights on")
            own_rate = posterior.simulator.recommended.learning_rate
            options = replace(options, learning_rate=_SLOWER * own_rate)
            # Before the checkpoint of the run that made the posterior is removed.
            posterior.check_start(start)
            if not resume:
                with devices.chief_first():
                    remove_checkpoint(checkpoint)
        posterior.fit(
            data,
            steps=steps,
            batch_size=batch_size,
            seed=seed,
            start_from=start,
            optimization=options,
            checkpoint=Checkpoint(checkpoint, resume),
        )
        if minutes is not None:
            _refuse_few_steps(minutes, posterior, known_run(checkpoint) is not None)
        with devices.chief_first():
            if devices.chief:
                # The same again would be newer than its own diagnosis and answer.
                if own is None or own.fingerprint != posterior.fingerprint:
                    posterior.save(folder / "posterior")
                _complete(folder, posterior, held_out)
    return posterior


def _plan(
    minutes: float,
    started: float,
    posterior: TrainedPosterior,
    batch_size: int | None,
    options: Optimization,
) -> tuple[int, int | None, Optimization]:
    """Return the most steps in about ``minutes``, the size of batches, and options for the time.

    How many steps the time is enough for is known, and told, once some are done.
    """

    def left() -> float:
        return max(minutes - (time.monotonic() - started) / 60.0 - _FINISHING, _LEAST * minutes)

    reused = None
    if options.passes is None:
        reused = reuse(posterior.simulator, None, batch_size, 60.0 * left())
    if reused is not None:
        print(reused.note)
        options = replace(options, passes=reused.passes, minutes=left())
        return reused.steps, reused.batch_size, options
    recommended = posterior.simulator.recommended
    passes = recommended.passes if options.passes is None else options.passes
    options = replace(options, passes=passes)
    print("timing some trial steps", flush=True)
    about, compiles = _try(minutes, posterior, batch_size, options)
    options = options if compiles else replace(options, xla=False)
    steps = about
    if not passes:
        # The learning rate falls with the time that is left: of more steps, the last ones are done
        # if there is time for them. Of passes, they would have to be simulated first.
        steps = math.ceil(_SPARE * about)
    return steps, batch_size, replace(options, minutes=left())


def steps_in(
    minutes: float,
    posterior: TrainedPosterior,
    batch_size: int | None = None,
    options: Optimization = Optimization(),
) -> int:
    """Estimate by a short trial how many steps take this time, preparation included.

    The estimate holds for this machine.
    """
    return _try(minutes, posterior, batch_size, options)[0]


def _try(
    minutes: float, posterior: TrainedPosterior, batch_size: int | None, options: Optimization
) -> tuple[int, bool]:
    """Return how many steps take this time, and whether they are worth compiling for XLA.

    They are not if the plain graph alone takes much of the time to trace: XLA takes longer.
    """

    def steps(options: Optimization) -> int:
        clock = StepClock(most_seconds=60.0 * _TRIAL_SHARE * minutes)
        options = replace(options, callbacks=[clock])
        with warnings.catch_warnings():
            # That a trial is not finished is no news.
            warnings.filterwarnings("ignore", "Training is not finished")
            posterior.untrained().fit(
                steps=_TRIAL_STEPS,
                epochs=_TRIAL_EPOCHS,
                batch_size=batch_size,
                optimization=options,
                progress=False,
            )
        return max(1, round(60.0 * minutes / clock.seconds_per_step))

    started = time.monotonic()
    found = steps(options)
    short = time.monotonic() - started > 60.0 * _MOST_TRACING * minutes
    if found < STEPS_WORTH_COMPILING or short or options.xla != "auto":
        return found, False
    # Such a run is compiled, where XLA can.
    with contextlib.suppress(TrainingError):
        return steps(replace(options, xla=True)), True
    return found, True


def _refuse_few_steps(minutes: float, posterior: TrainedPosterior, resumes: bool) -> None:
    """Refuse a posterior that time ended before it has learned anything."""
    done = posterior.steps_done
    do = "go on with --resume in place of --minutes, or " if resumes else ""
    if done < min(FEWEST_STEPS, posterior.training["settings"]["steps"]):
        raise TrainingError(
            f"Training for {minutes:g} minutes",
            expected=f"time for {FEWEST_STEPS} steps or more, with what comes before them",
            got=f"{done:,}" + " step" + "s" * (done != 1),
            do=f"{do}give more --minutes; a smaller --batch-size, --flow coupling:blocks=2 or a "
            "smaller --summary makes steps shorter",
        )


def _complete(folder: Path, posterior: TrainedPosterior, held_out: Arrays | None) -> None:
    """Write what belongs to a posterior: its history with a figure, and rows that were held out."""
    files = RunFiles(folder)
    with files.write("history.csv") as file:
        posterior.history.to_csv(file, index=False)
    if held_out is not None:
        with files.write(HELD_OUT) as file, open(file, "wb") as content:
            np.savez(content, allow_pickle=False, **held_out)
    figure = plots.loss(posterior.history, nats=posterior.nats)
    plots.save(figure, folder / "figures" / "loss.png")


def _load_own(folder: Path, simulator: Simulator) -> TrainedPosterior | None:
    """Return the posterior of a folder, if any; say where another simulator's may go."""
    if not (folder / "posterior" / "manifest.json").is_file():
        return None
    try:
        return load(folder / "posterior", simulator)
    except SavedPosteriorError as error:
        if "another: " not in str(error):
            raise
        changed = str(error).partition("another: ")[2].partition("\n")[0]
        raise InputError(
            f"Run folder {str(folder)!r}",
            expected=f"a new folder, or a posterior of this simulator {simulator.name!r}",
            got=f"one of another: {changed}",
            do=f"give another folder, --output {folder}-2, or delete this one",
        ) from error


def _is_first(state: Mapping[str, Any]) -> bool:
    """Tell whether a run began with new weights, not with those of a posterior."""
    return state.get("start_from", "") is None


def _check_steps(folder: Path, state: Mapping[str, Any], steps: int | None) -> None:
    """Refuse to go on with a first run for another number of steps."""
    if _is_first(state) and steps not in (None, state["steps"]):
        raise InputError(
            f"Run folder {str(folder)!r}, to resume",
            expected=f"its own number of steps, {state['steps']:,}",
            got=f"{steps:,}",
            do=(
                "train its posterior longer, without --resume: bayesinn train NAME --output "
                f"RUN --steps {steps}"
            ),
        )


def _has_ended(posterior: TrainedPosterior, state: Mapping[str, Any], steps: int | None) -> bool:
    """Tell whether the posterior is the result of the run that is asked to go on.

    A first run that has done all its steps is not told: it is compared with what is asked for.
    """
    if not state:
        return steps is None
    if _is_first(state):
        # It ended by time.
        return posterior.steps_done < state["steps"] and _is_result_of(state, posterior)
    return state.get("start_from", posterior.fingerprint) != posterior.fingerprint


def _check_longer(
    folder: Path, posterior: TrainedPosterior, state: Mapping[str, Any], longer: bool
) -> None:
    """Refuse to train a posterior longer where that was not asked for, or would cost a run."""
    if state.get("start_from") == posterior.fingerprint:
        raise InputError(
            f"Run folder {str(folder)!r}",
            expected="--resume, or a new folder",
            got="a longer training of its posterior that was interrupted",
            do="go on with --resume, or choose another folder with --output",
        )
    if not longer:
        do = (
            "train it longer with: bayesinn train NAME --output RUN --steps MORE; or go on where "
            "a run was interrupted"
        )
        do += " or after training, with --resume; or choose another folder with --output"
        raise InputError(
            f"Run folder {str(folder)!r}",
            expected="a new folder for a new run",
            got="a trained posterior",
            do=do,
        )
    if state and not _is_result_of(state, posterior):
        raise InputError(
            f"Run folder {str(folder)!r}",
            expected="the checkpoint of its posterior",
            got="a checkpoint of another run",
            do="move the folder 'checkpoint' away, or choose another folder with --output",
        )


def _is_result_of(state: Mapping[str, Any], posterior: TrainedPosterior) -> bool:
    """Tell whether the run of a checkpoint is the one that made a posterior."""
    record = {**posterior.training["settings"], **posterior.training}
    return all(record.get(name) == value for name, value in state.items())
