"""Fit a posterior: plan, training, and what is measured at the end."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError
from bayesinn.posterior.damage import damaged_copies
from bayesinn.posterior.evaluator import Evaluator
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.trained import TrainedPosterior
from bayesinn.posterior.training_data import Length, TrainingData, refuse_ignored, training_data
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation import identity as simulator_identity
from bayesinn.simulation.prior_text import prior_text
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.summaries.joint import observables_of
from bayesinn.training.arrays import ArraySource, fingerprint
from bayesinn.training.checkpoint import has_ended, prepare_folder
from bayesinn.training.devices import Devices
from bayesinn.training.drawn_simulations import check_place, forget
from bayesinn.training.settings import Checkpoint, Optimization, TrainingSettings, resolve_settings
from bayesinn.training.sources import Source
from bayesinn.training.train import TrainingResult, train


class Plan(NamedTuple):
    """What is to be trained, on what, and how, all of it checked.

    ``identity`` says in plain values, for checkpoints and manifests, what decides the run beside
    the settings. ``simulator_record`` is what the simulator does, if it or a bank has told.
    """

    data: TrainingData
    settings: TrainingSettings
    optimization: Optimization
    checkpoint: Checkpoint | None
    identity: dict[str, Any]
    start: TrainedPosterior | None
    devices: Devices
    simulator_record: dict[str, Any] | None

    @property
    def folder(self) -> Path | None:
        """Folder of the state that this process writes."""
        return self.checkpoint.folder if self.checkpoint and self.devices.chief else None


def plan_fit(
    posterior: TrainedPosterior,
    data: Any,
    length: Length,
    *,
    seed: int,
    start: TrainedPosterior | None,
    validation: float | Mapping[str, Any] | None,
    optimization: Optimization,
    checkpoint: Checkpoint | None,
) -> Plan:
    """Check what the user chose, and fill in what the simulator recommends."""
    simulator = posterior.simulator
    seed = seeds.check_seed(seed)
    refuse_ignored(data, validation, optimization)
    given = training_data(data, simulator, validation, seed)
    if start is not None:
        # The start must not be trained again on its own simulations. The split comes first, with
        # the user's seed: what was held out then must be held out now.
        seed = int(hashlib.sha256(f"{seed} {start.fingerprint}".encode()).hexdigest()[:8], 16)
    length, optimization = given.fill_in(length, optimization)
    optimization = optimization.filled(simulator.recommended.learning_rate, given.passes)
    settings = resolve_settings(given.rows, *length, seed, optimization)
    identity = {
        "simulator": simulator.name,
        "prior": prior_text(simulator.prior),
        "context": None if simulator.context is None else prior_text(simulator.context),
        "network": posterior.network_configuration(),
        "optimizer": optimization.optimizer_configuration,
        "data": given.fingerprint,
        "held_out": None if given.held_out is None else fingerprint(given.held_out),
        "start_from": None if start is None else start.fingerprint,
    }
    if checkpoint is not None:
        # Before anything is simulated or written.
        check_place(checkpoint.folder, given.location)
    simulator_record = given.simulator_record
    if simulator_record is None and (data is None or checkpoint is not None):
        # Now: a program may be edited while training goes on.
        simulated = checkpoint is None or checkpoint.check_simulator
        simulator_record = simulator_identity.entries(simulator, simulated)
    devices = Devices(optimization.strategy)
    return Plan(
        given, settings, optimization, checkpoint, identity, start, devices, simulator_record
    )


def _describe(simulator: Simulator, model: PosteriorModel, settings: TrainingSettings) -> str:
    """Write what is about to be trained: scalings, networks, number of weights, simulations.

    The simulations are those drawn first.
    """
    lines = [f"{simulator.name}: {model.parameters.dimension} unconstrained parameters"]
    summaries = model.network.summaries
    networks = {name: key for key in summaries for name in observables_of(key)}
    for name, scaling in model.data.scalings.items():
        key = networks.get(name)
        network = (
            "context"
            if key is None
            else f"network of {key}"
            if key != name
            else repr(summaries[key])
        )
        seen = "as simulated" if name in model.data.raw else str(scaling)
        lines.append(f"  {name}: {seen}; {network}")
    lines += [f"  {key}: {summary!r}" for key, summary in summaries.items() if key not in networks]
    weights = sum(int(np.prod(variable.shape)) for variable in model.network.trainable_variables)
    lines.append(f"  flow: {model.network.flow!r}; {weights:,} weights in all")
    if settings.passes:
        lines.append(
            f"  {settings.simulations:,} simulations, drawn first, {settings.passes} passes "
            f"through them"
        )
    return "\n".join(lines)


def run_training(
    plan: Plan, simulator: Simulator, model: PosteriorModel, pilot: Arrays, progress: bool
) -> TrainingResult:
    """Train a model with new weights, or with those of another."""
    settings = plan.settings
    checkpoint = plan.checkpoint
    data = plan.data
    if plan.start is not None:
        model.copy_weights(plan.start.model)
    for part in (data.pilot, data.held_out):
        if part is not None:
            _check_support(model, part)
    if progress:
        print(_describe(simulator, model, settings), flush=True)
    # Before simulations are drawn, which may take minutes.
    resumes = checkpoint is not None and prepare_folder(
        checkpoint,
        settings,
        plan.identity,
        drawn=False,
        write=plan.devices.chief,
        simulator=simulator,
    )
    # All have looked into the folder before simulations are written there.
    plan.devices.check_agreement([asdict(settings), plan.identity, resumes], np.empty(0))
    if checkpoint is not None and resumes and has_ended(checkpoint.folder, settings):
        if settings.passes or data.rows is not None:
            # As in the run that has ended: the state holds the weights that were trained.
            model.freeze()
        source: Source = ArraySource(pilot, settings)
    else:
        source = data.source(model, settings, plan.start is not None, progress, plan.folder)
    first = map_tensors(tf.convert_to_tensor, pilot)
    result = train(
        model,
        source,
        settings,
        identity=plan.identity,
        validation=data.validation(model, settings),
        optimizer=plan.optimization.optimizer,
        callbacks=[*model.monitors(first, settings.seed), *plan.optimization.callbacks],
        progress=progress,
        checkpoint=checkpoint,
        devices=plan.devices,
        simulator_record=plan.simulator_record,
    )
    if plan.folder is not None and settings.passes and result.error is None:
        forget(plan.folder)
    return result


def measure_reference(evaluator: Evaluator, pilot: Arrays) -> Reference:
    """Return, from simulations, the reference that new observations are compared with.

    The simulations hold at least observables and context (n, ...).
    """
    space = evaluator.model.data
    summaries = evaluator.model.network.summaries
    data = {name: pilot[name] for name in space.scalings}
    sets, series = (
        [
            name
            for key, summary in summaries.items()
            if summary.order == order
            for name in observables_of(key)
        ]
        for order in ("set", "series")
    )
    damaged = {
        kind: map_tensors(np.asarray, space.standardise(map_tensors(tf.convert_to_tensor, copy)))
        for kind, copy in damaged_copies(data, space.observables, series, space.lengths).items()
    }
    condition, inputs = evaluator.condition(data)
    return Reference.fit(
        np.asarray(evaluator.model.network.compared(condition)),
        inputs,
        pooled=sets,
        series=series,
        damaged=damaged,
    )


def _check_support(model: PosteriorModel, arrays: Arrays) -> None:
    """Refuse parameters outside the prior's support: they would be moved to its edge unseen.

    The prior can't have drawn them.
    """
    space = model.parameters
    outside = ~space.possible(arrays).numpy()
    if outside.any():
        culprit = {name: arrays[name][np.argmax(outside)].tolist() for name in space.names}
        got = f"{int(outside.sum())} of {len(outside)} rows outside, one of them {culprit}"
        do = "drop those rows, or widen the prior to the one they were drawn from"
        raise InputError(
            "Training data", expected="parameters inside the prior's support", got=got, do=do
        )
