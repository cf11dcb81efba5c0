"""Fit a posterior: plan, training, and what is measured at the end."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_integer, check_number
from bayesinn.posterior.damage import damaged_copies
from bayesinn.posterior.evaluator import Evaluator
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.trained import TrainedPosterior
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation import checks
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.summaries.joint import observables_of
from bayesinn.training.arrays import ArraySource, fingerprint, split
from bayesinn.training.checkpoint import has_ended, prepare_folder
from bayesinn.training.devices import Devices
from bayesinn.training.drawing import forget
from bayesinn.training.precomputation import offline_source, precomputed
from bayesinn.training.settings import Checkpoint, Optimization, TrainingSettings, resolve_settings
from bayesinn.training.sources import Source, online_source
from bayesinn.training.train import TrainingResult, train

_VALIDATION_SHARE = 0.1
# Arrays, chosen in paper_results/defaults: short batches, passes that make about so many steps of them, and patience.
_ARRAY_BATCH, _ARRAY_STEPS, _FEWEST_BATCHES, _FEWEST_EPOCHS, _MOST_EPOCHS, _PATIENCE = 64, 5_000, 14, 10, 300, 20
# Weight decay for fewer rows than these: with 1,000 it helps, with 10,000 it harms.
_ARRAY_DECAY, _FEW_ROWS = 0.1, 3_000


class Plan(NamedTuple):
    """What is to be trained, on what, and how, all of it checked; online there are no arrays.

    ``identity`` says in plain values, for checkpoints and manifests, what decides the run beside the settings.
    """

    arrays: Arrays | None
    held_out: Arrays | None
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
    data: Mapping[str, Any] | None,
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
    _refuse_ignored(data, validation, optimization)
    arrays, held_out = _training_arrays(simulator, data, validation, seed)
    if start is not None:
        # The start must not be trained again on its own simulations. The split comes first, with the user's seed: what
        # was held out then must be held out now.
        seed = int(hashlib.sha256(f"{seed} {start.fingerprint}".encode()).hexdigest()[:8], 16)
    rows = None if arrays is None else len(next(iter(arrays.values())))
    steps = recommended.steps if rows is None and steps is None else steps
    optimization = optimization.filled(recommended.learning_rate, recommended.passes if rows is None else 0)
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
    settings = resolve_settings(rows, steps, epochs, batch_size, seed, optimization)
    identity = {
        "simulator": simulator.name,
        "network": posterior.network_configuration(),
        "optimizer": optimization.optimizer_configuration,
        "data": None if arrays is None else fingerprint(arrays),
        "start_from": None if start is None else start.fingerprint,
    }
    devices = Devices(optimization.strategy)
    return Plan(arrays, held_out, settings, optimization, checkpoint, identity, start, devices)


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
    settings, held_out, checkpoint = plan.settings, plan.held_out, plan.checkpoint
    if plan.start is not None:
        model.copy_weights(plan.start.model)
    for part in (plan.arrays, held_out):
        if part is not None:
            _check_support(model, part)
    if progress:
        print(_describe(simulator, model, settings), flush=True)
    # Before simulations are drawn, which may take minutes.
    resumes = checkpoint is not None and prepare_folder(
        checkpoint, settings, plan.identity, drawn=False, write=plan.devices.chief
    )
    if checkpoint is not None and resumes and has_ended(checkpoint.folder, settings):
        model.freeze()
        source: Source = ArraySource(pilot, settings)
    elif plan.arrays is not None or settings.passes:
        data = simulator if plan.arrays is None else plan.arrays
        source = offline_source(
            model,
            settings,
            data,
            pretrained=plan.start is not None,
            progress=progress,
            folder=plan.folder,
        )
    else:
        source = online_source(simulator, settings, progress)
    result = train(
        model,
        source,
        settings,
        identity=plan.identity,
        validation=None if held_out is None else precomputed(model, held_out, settings.batch_size)[0],
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


def _refuse_ignored(
    data: Mapping[str, Any] | None, validation: float | Mapping[str, Any] | None, optimization: Optimization
) -> None:
    for name, value in (("validation", validation), ("patience", optimization.patience)):
        if data is None and value is not None:
            got = f"{name}={value!r} in online training, where every batch is new"
            do = f"leave {name!r} out, or pass data=simulator.sample(n, seed)"
            raise InputError(f"Argument {name!r}", expected="training data to hold some out of", got=got, do=do)
    if data is not None and optimization.passes is not None:
        got = f"passes={optimization.passes!r} together with training data"
        do = "say epochs, which are passes through the data"
        raise InputError("Argument 'passes'", expected="a simulator to draw from", got=got, do=do)


def _training_arrays(
    simulator: Simulator, data: Mapping[str, Any] | None, validation: float | Mapping[str, Any] | None, seed: int
) -> tuple[Arrays | None, Arrays | None]:
    """Return training and validation arrays, checked; the seed decides the split."""
    if data is None:
        return None, None
    arrays = checks.check_simulations(simulator, data, "Training data")
    if isinstance(validation, Mapping):
        return arrays, checks.check_simulations(simulator, validation, "Validation data")
    subject, do = "Argument 'validation'", "pass for example validation=0.1"
    share = _VALIDATION_SHARE if validation is None else validation
    share = check_number(subject, share, least=0, below=1, do=f"{do}, or a dict of arrays")
    rows = len(next(iter(arrays.values())))
    if share and not 0 < round(share * rows) < rows:
        expected = f"a share that leaves both parts some of the {rows} rows"
        raise InputError(subject, expected=expected, got=repr(validation), do=do)
    kept, apart = split(rows, share, seed)
    training, held_out = ({name: value[chosen] for name, value in arrays.items()} for chosen in (kept, apart))
    return training, held_out if len(apart) else None


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
