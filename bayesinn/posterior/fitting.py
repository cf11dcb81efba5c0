"""Fit a posterior: plan, training, and what is measured at the end."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_integer
from bayesinn.posterior.damage import damaged_copies
from bayesinn.posterior.evaluator import Evaluator
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.trained import TrainedPosterior
from bayesinn.posterior.training_data import Data, TrainingData, refuse_ignored, training_data
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.summaries.joint import observables_of
from bayesinn.training.arrays import ArraySource
from bayesinn.training.bank_source import BankSource
from bayesinn.training.checkpoint import has_ended, prepare_folder
from bayesinn.training.devices import Devices
from bayesinn.training.drawing import forget
from bayesinn.training.precomputation import offline_source, precomputed
from bayesinn.training.settings import Checkpoint, Optimization, TrainingSettings, resolve_settings
from bayesinn.training.sources import Source, online_source
from bayesinn.training.train import TrainingResult, train

# Arrays, chosen in paper_results/defaults: short batches, passes that make about so many steps of them, and patience.
_ARRAY_BATCH, _ARRAY_STEPS, _FEWEST_BATCHES, _FEWEST_EPOCHS, _MOST_EPOCHS, _PATIENCE = 64, 5_000, 14, 10, 300, 20
# Weight decay for fewer rows than these: with 1,000 it helps, with 10,000 it harms.
_ARRAY_DECAY, _FEW_ROWS = 0.1, 3_000


class Plan(NamedTuple):
    """What is to be trained, on what, and how, all of it checked.

    ``identity`` says in plain values, for checkpoints and manifests, what decides the run beside the settings.
    """

    data: TrainingData
    settings: TrainingSettings
    optimization: Optimization
    checkpoint: Checkpoint | None
    identity: dict[str, Any]
    start: TrainedPosterior | None
    devices: Devices

    @property
    def folder(self) -> Path | None:
        """Folder of the state that this process writes."""
        return self.checkpoint.folder if self.checkpoint and self.devices.chief else None


def plan_fit(
    posterior: TrainedPosterior,
    data: Data | None,
    *,
    steps: int | None,
    epochs: int | None,
    batch_size: int | None,
    seed: int,
    start: TrainedPosterior | None,
    validation: float | Mapping[str, Any] | None,
    optimization: Optimization,
    checkpoint: Checkpoint | None,
) -> Plan:
    """Check what the user chose, and fill in what the simulator recommends."""
    simulator, seed = posterior.simulator, seeds.check_seed(seed)
    recommended = simulator.recommended
    refuse_ignored(data, validation, optimization)
    given = training_data(simulator, data, validation, seed)
    arrays, held_out = given.arrays, given.held_out
    if start is not None:
        # The start must not be trained again on its own simulations. The split comes first, with the user's seed: what
        # was held out then must be held out now.
        seed = int(hashlib.sha256(f"{seed} {start.fingerprint}".encode()).hexdigest()[:8], 16)
    rows = None if arrays is None else len(next(iter(arrays.values())))
    steps = recommended.steps if rows is None and steps is None and (data is None or epochs is None) else steps
    optimization = optimization.filled(recommended.learning_rate, recommended.passes if data is None else 0)
    if batch_size is None:
        batch_size = recommended.batch_size
        if rows is not None:
            batch_size = min(batch_size, _ARRAY_BATCH, max(rows // _FEWEST_BATCHES, 1))
    if rows is not None and rows < _FEW_ROWS and optimization.weight_decay is None:
        optimization = replace(optimization, weight_decay=_ARRAY_DECAY)
    if rows is not None and steps is None and epochs is None:
        steps_per_pass = max(rows // check_integer("Argument 'batch_size'", batch_size), 1)
        epochs = min(max(_ARRAY_STEPS // steps_per_pass, _FEWEST_EPOCHS), _MOST_EPOCHS)
        if held_out is not None:
            optimization = replace(optimization, patience=optimization.patience or _PATIENCE)
    if given.rows is not None:
        # As long as online, and with as many reports: a pass through a large bank may never end.
        batch_size = min(check_integer("Argument 'batch_size'", batch_size), given.rows)
        steps, epochs = _streamed_steps(given.rows // batch_size, steps, epochs), None
    settings = resolve_settings(rows, steps, epochs, batch_size, seed, optimization)
    identity = {
        "simulator": simulator.name,
        "network": posterior.network_configuration(),
        "optimizer": optimization.optimizer_configuration,
        "data": given.fingerprint,
        "start_from": None if start is None else start.fingerprint,
    }
    devices = Devices(optimization.strategy)
    return Plan(given, settings, optimization, checkpoint, identity, start, devices)


def _streamed_steps(steps_per_pass: int, steps: int | None, epochs: int | None) -> int | None:
    """Return the number of steps of a run through a bank, which a user may give in passes."""
    if steps is not None and epochs is not None:
        expected, got = "one of them: steps, or passes through the data", f"steps={steps!r} and epochs={epochs!r}"
        raise InputError("Arguments 'steps' and 'epochs'", expected=expected, got=got, do="leave one out")
    return steps if epochs is None else steps_per_pass * check_integer("Argument 'epochs'", epochs)


def _describe(simulator: Simulator, model: PosteriorModel, settings: TrainingSettings) -> str:
    """Write what is about to be trained: scalings, networks, number of weights, simulations that are drawn first."""
    lines = [f"{simulator.name}: {model.parameters.dimension} unconstrained parameters"]
    summaries = model.network.summaries
    networks = {name: key for key in summaries for name in observables_of(key)}
    for name, scaling in model.data.scalings.items():
        key = networks.get(name)
        network = "context" if key is None else f"network of {key}" if key != name else repr(summaries[key])
        seen = "as simulated" if name in model.data.raw else str(scaling)
        lines.append(f"  {name}: {seen}; {network}")
    lines += [f"  {key}: {summary!r}" for key, summary in summaries.items() if key not in networks]
    weights = sum(int(np.prod(variable.shape)) for variable in model.network.trainable_variables)
    lines.append(f"  flow: {model.network.flow!r}; {weights:,} weights in all")
    if settings.passes:
        lines.append(f"  {settings.simulations:,} simulations, drawn first, {settings.passes} passes through them")
    return "\n".join(lines)


def run_training(
    plan: Plan, simulator: Simulator, model: PosteriorModel, pilot: Arrays, progress: bool
) -> TrainingResult:
    """Train a model with new weights, or with those of another."""
    settings, held_out, checkpoint, data = plan.settings, plan.data.held_out, plan.checkpoint, plan.data
    if plan.start is not None:
        model.copy_weights(plan.start.model)
    for part in (data.arrays, held_out):
        if part is not None:
            _check_support(model, part)
    if progress:
        print(_describe(simulator, model, settings), flush=True)
    # Before simulations are drawn, which may take minutes.
    resumes = checkpoint is not None and prepare_folder(
        checkpoint, settings, plan.identity, drawn=False, write=plan.devices.chief
    )
    # All have looked into the folder before simulations are written there.
    plan.devices.check_agreement([asdict(settings), plan.identity, resumes], np.empty(0))
    if checkpoint is not None and resumes and has_ended(checkpoint.folder, settings):
        model.freeze()
        source: Source = ArraySource(pilot, settings)
    elif data.bank is not None and data.rows is not None:
        source = BankSource(data.bank, data.rows, settings)
    elif data.arrays is not None or settings.passes:
        stored = simulator if data.arrays is None else data.arrays
        source = offline_source(
            model, settings, stored, pretrained=plan.start is not None, progress=progress, folder=plan.folder
        )
    else:
        source = online_source(simulator, settings, progress)
    # What is precomputed for arrays is trained on, and not fixed, where simulations are streamed.
    fixed = data.bank is None
    result = train(
        model,
        source,
        settings,
        identity=plan.identity,
        validation=precomputed(model, held_out, settings.batch_size)[0] if held_out is not None and fixed else held_out,
        optimizer=plan.optimization.optimizer,
        callbacks=[*model.monitors(_tensors(pilot), settings.seed), *plan.optimization.callbacks],
        progress=progress,
        checkpoint=checkpoint,
        devices=plan.devices,
    )
    if plan.folder is not None and result.error is None:
        forget(plan.folder)
    return result


def measure_reference(evaluator: Evaluator, pilot: Arrays) -> Reference:
    """Return what new observations are compared with, from simulations: at least observables and context (n, ...)."""
    space, summaries = evaluator.model.data, evaluator.model.network.summaries
    data = {name: pilot[name] for name in space.scalings}
    sets, series = (
        [name for key, summary in summaries.items() if summary.order == order for name in observables_of(key)]
        for order in ("set", "series")
    )
    damaged = {
        kind: {name: value.numpy() for name, value in space.standardise(_tensors(copy)).items()}
        for kind, copy in damaged_copies(data, space.observables, series, space.lengths).items()
    }
    condition, inputs = evaluator.condition(data)
    return Reference.fit(np.asarray(condition.flat()), inputs, pooled=sets, series=series, damaged=damaged)


def _tensors(arrays: Arrays) -> dict[str, tf.Tensor]:
    return {name: tf.convert_to_tensor(value) for name, value in arrays.items()}


def _check_support(model: PosteriorModel, arrays: Arrays) -> None:
    """Refuse parameters that the prior can't have drawn: they would be moved to the edge of its support unseen."""
    # An infinite density, as on an edge of a simplex, is no reason.
    space = model.parameters
    outside = ~(space.prior_log_prob({name: arrays[name] for name in space.names}).numpy() > -np.inf)
    if outside.any():
        culprit = {name: arrays[name][np.argmax(outside)].tolist() for name in space.names}
        got = f"{int(outside.sum())} of {len(outside)} rows outside, one of them {culprit}"
        do = "drop those rows, or widen the prior to the one they were drawn from"
        raise InputError("Training data", expected="parameters inside the prior's support", got=got, do=do)
