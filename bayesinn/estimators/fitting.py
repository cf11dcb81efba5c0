"""Fit an estimator: plan, new model, training."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import released_graphs
from bayesinn.core.configuration import building
from bayesinn.core.errors import warn
from bayesinn.core.validation import check_type
from bayesinn.estimators.fitting_data import (
    PILOT_SIMULATIONS,
    Length,
    TrainingData,
    draw_pilot,
    pilot_rows,
    refuse_ignored,
    training_data,
)
from bayesinn.simulation import identity as simulator_identity
from bayesinn.simulation.engines.kept import KeptBlocks
from bayesinn.simulation.from_arrays import warn_of_other_prior
from bayesinn.simulation.prior_text import prior_text
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.callbacks import (
    blocks_of,
    check_place,
    check_record,
    check_scalings,
    forget,
    has_ended,
    known_run,
    prepare_folder,
)
from bayesinn.training.settings import Checkpoint, Optimization, TrainingSettings, resolve_settings
from bayesinn.training.sources import ArraySource, Source, fingerprint
from bayesinn.training.step import Devices
from bayesinn.training.train import TrainingResult, train
from bayesinn.training.trainable import Trainable

if TYPE_CHECKING:
    from bayesinn.estimators.estimator import Estimator

#: Number of rows, at most, that a network is initialised on.
FIRST_ROWS = PILOT_SIMULATIONS // 2


@contextlib.contextmanager
def unchanged_on_error(estimator: object) -> Iterator[None]:
    """Keep what was trained before, and what was chosen for it, if the block raises."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


class Plan(NamedTuple):
    """What is to be trained, on what, and how, all of it checked.

    ``identity`` says in plain values, for checkpoints and manifests, what decides the run beside
    the settings. ``simulator_record`` is what the simulator does, if it or a bank has told.
    Training ends at ``ends_at`` of the monotonic clock, whatever else the time was spent on.
    ``seed`` is the user's; that of the settings follows from it and from ``start``, if any.
    """

    data: TrainingData
    settings: TrainingSettings
    optimization: Optimization
    checkpoint: Checkpoint | None
    identity: dict[str, Any]
    start: Estimator | None
    devices: Devices
    simulator_record: dict[str, Any] | None
    ends_at: float | None
    seed: int

    @property
    def folder(self) -> Path | None:
        """Folder of the state that this process writes."""
        return self.checkpoint.folder if self.checkpoint and self.devices.chief else None

    def first_rows(self, simulator: Simulator | None) -> Arrays:
        """Return rows (n, ...) to measure scalings on: those given, or pilot simulations."""
        if self.data.pilot is not None or simulator is None:
            return self.data.pilot or {}
        settings = self.settings
        # Pilot simulations cost time too: no more of them than training draws.
        most = settings.simulations if settings.passes else PILOT_SIMULATIONS
        return draw_pilot(simulator, settings.seed, most)


def plan_fit(
    estimator: Estimator,
    data: Any,
    length: Length,
    *,
    seed: int,
    start: Estimator | None,
    validation: float | Mapping[str, Any] | None,
    optimization: Optimization,
    checkpoint: Checkpoint | None,
) -> Plan:
    """Check what the user chose, and fill in what the simulator recommends."""
    started = time.monotonic()
    simulator = estimator.simulator
    own_seed = seeds.check_seed(seed)
    refuse_ignored(data, validation, optimization)
    # Split by the user's seed, with a start, too: what was held out then must be held out now.
    given = training_data(data, simulator, validation, own_seed)
    estimator.adapt(given.rows, start)
    if start is not None and given.held_out is not None and not isinstance(validation, Mapping):
        _warn_of_other_split(start, given.held_out)
    if data is None and checkpoint is not None and checkpoint.resume:
        length, optimization = _as_before(checkpoint.folder, length, optimization)
    length, optimization = given.fill_in(length, optimization)
    optimization = optimization.with_defaults(given.recommended.learning_rate, given.passes)
    settings = resolve_settings(given.rows, *length, training_seed(own_seed, start), optimization)
    if data is None and simulator is not None:
        simulator.check_count(settings.batch_size, "Argument 'batch_size'")
    identity = {
        **_model_in_words(simulator),
        "network": estimator.network_configuration(),
        "optimizer": optimization.optimizer_configuration,
        "data": given.fingerprint,
        "held_out": None if given.held_out is None else fingerprint(given.held_out),
        "start_from": None if start is None else start.fingerprint,
    }
    if checkpoint is not None:
        # Before anything is simulated or written.
        check_place(checkpoint.folder, given.location)
    simulator_record = given.simulator_record
    wanted = data is None or checkpoint is not None
    if simulator is not None and simulator_record is None and wanted:
        # Now: a program may be edited while training goes on.
        simulated = checkpoint is None or checkpoint.check_simulator
        simulator_record = simulator_identity.entries(simulator, simulated)
    minutes = optimization.minutes
    return Plan(
        data=given,
        settings=settings,
        optimization=optimization,
        checkpoint=checkpoint,
        identity=identity,
        start=start,
        devices=Devices(optimization.strategy),
        simulator_record=simulator_record,
        ends_at=None if minutes is None else started + 60.0 * minutes,
        seed=own_seed,
    )


def _as_before(
    folder: Path, length: Length, optimization: Optimization
) -> tuple[Length, Optimization]:
    """Return how a run that is resumed was trained, where nothing else is asked for.

    Passes may have been chosen for the time that there was, and steps and batches for them.
    """
    known = known_run(folder) or {}
    if optimization.passes is not None or not known.get("passes"):
        return length, optimization
    before = {
        name: known[name] for name in ("steps", "batch_size") if getattr(length, name) is None
    }
    return length._replace(**before), replace(optimization, passes=known["passes"])


def training_seed(seed: int, start: Estimator | None) -> int:
    """Return the seed of simulations and shuffling: a start must not see its own again."""
    if start is None:
        return seed
    return int(hashlib.sha256(f"{seed} {start.fingerprint}".encode()).hexdigest()[:8], 16)


def _warn_of_other_split(start: Estimator, held_out: Arrays) -> None:
    """Warn where rows that are held out now may be among those that the start was trained on."""
    before = start.training.get("held_out")
    # Online training has seen no stored simulations. One that held none out has seen all of them.
    if start.training.get("data") is None or before == fingerprint(held_out):
        return
    warn(
        "Other rows are held out than in the training that this one starts from. If the "
        "simulations are the same, it has seen them, and the validation loss is too low: pass the "
        "same rows and seed, or validation={...}, simulations of their own."
    )


def _model_in_words(simulator: Simulator | None) -> dict[str, str | None]:
    """Return what a run is told from others by, of its simulator."""
    if simulator is None:
        return dict.fromkeys(("simulator", "prior", "context"))
    context = None if simulator.context is None else prior_text(simulator.context)
    return {"simulator": simulator.name, "prior": prior_text(simulator.prior), "context": context}


def new_model(estimator: Estimator, rows: Arrays, seed: int) -> Trainable:
    """Return a model with new weights, measured and initialised on rows (n, ...).

    The same seed gives the same model.
    """
    with building(), seeds.seeded_initial_weights(seed):
        model = estimator.trainable(rows, seed)
    subject = f"{type(estimator).__name__}.trainable, result"
    do = "return an object of a class that derives from bi.estimators.Trainable"
    check_type(subject, model, Trainable, "a Trainable", do)
    with building(), seeds.seeded_initial_weights(seed):
        model.initialize(_first(rows), seed)
    check_type(
        f"{type(model).__name__}.network",
        getattr(model, "network", None),
        keras.layers.Layer,
        "a Keras layer or model, which holds all weights",
        "set self.network in initialize",
    )
    return model


@contextlib.contextmanager
def opened_checkpoint(plan: Plan, simulator: Simulator | None) -> Iterator[bool]:
    """Prepare the checkpoint's folder, and tell whether it has a state to continue from.

    Costly simulations are kept there until training has ended, the first ones, too.
    """
    if plan.checkpoint is None:
        yield False
        return
    resumes = prepare_folder(
        plan.checkpoint,
        plan.settings,
        plan.identity,
        write=plan.devices.chief,
        simulator=simulator,
    )
    blocks = None if plan.folder is None else blocks_of(plan.folder)
    if simulator is None or blocks is None:
        yield resumes
        return
    kept = KeptBlocks(blocks)
    if not resumes and plan.checkpoint.check_simulator and (told := kept.record()):
        check_record(plan.checkpoint.folder, told, simulator)
    kept.begin(plan.simulator_record)
    simulator.engine.kept = kept
    try:
        yield resumes
    finally:
        simulator.engine.kept = None


def run_training(
    plan: Plan, estimator: Estimator, model: Trainable, rows: Arrays, resumes: bool, progress: bool
) -> TrainingResult:
    """Train a model with new weights, or with those of another."""
    settings = plan.settings
    if plan.start is not None:
        model.copy_weights(plan.start.model)
    _check_data(plan.data, estimator, model)
    if progress:
        _announce(settings, estimator.describe_training(model), plan.data.note)
    if plan.checkpoint is not None and resumes:
        check_scalings(plan.checkpoint.folder, model)
    # All have looked into the folder before simulations are written there.
    plan.devices.check_agreement([asdict(settings), plan.identity, resumes], np.empty(0))
    estimator.prepare(model, rows)
    source = _open_source(plan, model, rows, resumes, progress)
    with released_graphs():
        result = train(
            model,
            source,
            settings,
            identity=plan.identity,
            validation=plan.data.validation(model, settings),
            optimizer=plan.optimization.optimizer,
            callbacks=[*model.monitors(_first(rows), settings.seed), *plan.optimization.callbacks],
            progress=progress,
            checkpoint=plan.checkpoint,
            resumes=resumes,
            devices=plan.devices,
            simulator_record=plan.simulator_record,
            ends_at=plan.ends_at,
        )
    all_done = result.record["steps_done"] >= settings.steps
    if plan.folder is not None and result.error is None and all_done:
        forget(plan.folder)
    return result


def _check_data(data: TrainingData, estimator: Estimator, model: Trainable) -> None:
    for part in (data.pilot, data.held_out):
        if part is not None:
            estimator.check_rows(model, part)
    if data.pilot is not None and estimator.simulator is not None:
        warn_of_other_prior(estimator.simulator.prior, data.pilot)


def _announce(settings: TrainingSettings, text: str, note: str) -> None:
    if settings.passes:
        text += (
            f"\n  {settings.simulations:,} simulations, drawn first, "
            f"{settings.passes} passes through them"
        )
    if note:
        text += f"\n  {note}"
    print(text, flush=True)


def _open_source(
    plan: Plan, model: Trainable, rows: Arrays, resumes: bool, progress: bool
) -> Source:
    """Return the source of batches; a training that has ended needs none but the first rows."""
    settings = plan.settings
    if not (plan.checkpoint and resumes and has_ended(plan.checkpoint.folder, settings)):
        return plan.data.source(model, settings, plan.start is not None, progress, plan.folder)
    if settings.passes or plan.data.rows is not None:
        # As in the run that has ended: the state holds the weights that were trained.
        model.freeze()
    return ArraySource(pilot_rows(rows), settings)


def _first(rows: Arrays) -> dict[str, tf.Tensor]:
    return {name: tf.convert_to_tensor(value[:FIRST_ROWS]) for name, value in rows.items()}
