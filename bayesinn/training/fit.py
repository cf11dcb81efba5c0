"""Train anything that implements the contract on arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.precision import full_precision
from bayesinn.core.storage import held
from bayesinn.simulation.registry import refuse_while_loading
from bayesinn.training.arrays import fingerprint
from bayesinn.training.devices import Devices
from bayesinn.training.precomputation import offline_source, precomputed
from bayesinn.training.settings import Checkpoint, Optimization, resolve_settings
from bayesinn.training.train import TrainingResult, train
from bayesinn.training.trainable import Trainable

_FIRST_BATCH = 2048
_LEARNING_RATE = 2e-3


def fit_arrays(
    trainable: Trainable,
    arrays: Mapping[str, np.ndarray],
    held_out: Mapping[str, np.ndarray] | None = None,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int = 256,
    seed: int = 0,
    optimization: Optimization = Optimization(),
    checkpoint: str | Path | Checkpoint | None = None,
    network: Any = None,
    progress: bool = True,
) -> TrainingResult:
    """Initialise a network on a first batch, and train it.

    Call ``raise_error`` of the result to see what stopped it.

    The weights with the best loss on ``held_out`` arrays are kept. A checkpoint of another
    ``network``, described in plain values, is refused. For the rest see
    :meth:`bayesinn.AmortizedPosterior.fit`, offline; the learning rate is 2e-3 if left out.
    """
    refuse_while_loading("trains")
    optimization = optimization.filled(_LEARNING_RATE, passes=0)
    seed = seeds.check_seed(seed)
    rows = len(next(iter(arrays.values())))
    settings = resolve_settings(rows, steps, epochs, batch_size, seed, optimization)
    identity = {
        "network": network,
        "optimizer": optimization.optimizer_configuration,
        "data": fingerprint(arrays),
        "held_out": None if held_out is None else fingerprint(held_out),
    }
    first = {name: tf.convert_to_tensor(value[:_FIRST_BATCH]) for name, value in arrays.items()}
    place = Checkpoint.given(checkpoint)
    devices = Devices(optimization.strategy)
    with (
        full_precision(),
        held(place.folder if place and devices.chief else None, "Checkpoint folder"),
    ):
        with seeds.seeded_initial_weights(seed):
            trainable.initialize(first, seed)
        return train(
            trainable,
            offline_source(trainable, settings, arrays, progress=progress),
            settings,
            identity=identity,
            validation=None
            if held_out is None
            else precomputed(trainable, held_out, settings.batch_size)[0],
            optimizer=optimization.optimizer,
            callbacks=[*trainable.monitors(first, seed), *optimization.callbacks],
            progress=progress,
            checkpoint=place,
            devices=devices,
        )
