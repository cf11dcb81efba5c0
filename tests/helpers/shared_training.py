"""Trainings on several devices or in several processes, run as a script in fresh interpreters.

``python shared_training.py FOLDER`` in a process of a cluster (TF_CONFIG is set), or on two virtual
devices (it isn't).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

STEPS = 20
BATCH = 64


def strategy() -> tf.distribute.Strategy:
    """Two processes, or two virtual devices; before TensorFlow is used for anything else."""
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    (processor,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, 2 * [tf.config.LogicalDeviceConfiguration()]
    )
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C after the second epoch."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


class End(keras.callbacks.Callback):
    """The process is gone after the second epoch, without a word."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            os._exit(9)


def shared_fit(**options):
    """The training that all compare: one flow, four epochs."""
    from tests.helpers.fitting import fit

    return fit(**{"steps": STEPS, "epochs": 4, "batch_size": BATCH, **options})


def outcome(posterior) -> dict[str, np.ndarray]:
    """Weights as one vector, and the loss curve."""
    from tests.helpers.fitting import weights

    flat = np.concatenate([np.ravel(value) for value in weights(posterior)])
    return {"weights": flat, "losses": posterior.history["loss"].to_numpy()}


def main(folder: Path) -> None:
    """Write the outcomes of some trainings to a file for each process."""
    devices = strategy()
    from bayesinn.core.errors import InputError, TrainingError
    from bayesinn.simulators.linear import linear
    from bayesinn.training import callbacks

    several = "TF_CONFIG" in os.environ
    process = json.loads(os.environ["TF_CONFIG"])["task"]["index"] if several else 0
    callbacks._SECONDS_BETWEEN_WRITES = 0.0
    writes = []
    write = callbacks.replace_file
    callbacks.replace_file = lambda *arguments: (
        writes.append(arguments[0].name),
        write(*arguments),
    )
    found = {
        "online": outcome(shared_fit(strategy=devices)),
        "accumulated": outcome(shared_fit(strategy=devices, accumulate=2)),
        "compiled": outcome(shared_fit(strategy=devices, xla=True)),
        "arrays": outcome(
            shared_fit(strategy=devices, data=linear.sample(512, seed=1), steps=None)
        ),
    }
    place = {"checkpoint": folder / "checkpoint", "resume": True, "strategy": devices}
    try:
        shared_fit(callbacks=[Interrupt()], **place)
    except KeyboardInterrupt:
        found["resumed"] = outcome(shared_fit(**place))
    errors = {"files": sorted(set(writes))}
    try:
        shared_fit(strategy=devices, seed=process + 5)
    except InputError as error:
        errors["disagree"] = str(error)
    arrays = {
        f"{name} {key}": value for name, values in found.items() for key, value in values.items()
    }
    np.savez(folder / f"{process}.npz", **arrays)
    (folder / f"{process}.json").write_text(json.dumps(errors))
    if several:
        try:
            shared_fit(strategy=devices, callbacks=[End()] if process else [])
        except TrainingError as error:
            (folder / "gone.txt").write_text(str(error))
    # TensorFlow would wait for the process that is gone, for half a minute.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
