"""Training into a run folder: for steps or minutes, again from a checkpoint, or longer."""

import contextlib
import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn import plots
from bayesinn.cli.networks import Wanted
from bayesinn.cli.tables import HELD_OUT
from bayesinn.core.compilation import XLA
from bayesinn.core.errors import InputError, SavedPosteriorError, TrainingError
from bayesinn.core.files import lock_folder
from bayesinn.core.run_folder import ANSWER, DIAGNOSIS, REPORT, TRAINING, RunFiles
from bayesinn.estimators.fitting_data import Stream, reuse
from bayesinn.estimators.loading import load
from bayesinn.plots.panels import check_own
from bayesinn.posterior.amortized import TrainedPosterior
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.callbacks import known_run, remove_checkpoint
from bayesinn.training.settings import STEPS_WORTH_COMPILING, Checkpoint, Optimization
from bayesinn.training.step import Devices
from bayesinn.training.train import FEWEST_STEPS, StepClock

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
