"""Start-up of the command line: import TensorFlow without its notes, make what comes first."""

import json
import os
import sys
from typing import Any

from bayesinn.core.errors import InputError


def import_tensorflow() -> None:
    """Import TensorFlow without its start-up notes, unless TF_CPP_MIN_LOG_LEVEL=0 asks for them.

    TensorFlow writes them to the standard error of the process, before it looks at any setting.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if level == "0" or "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def new_strategy(name: str) -> Any:
    """Return a tf.distribute strategy: ``"mirrored"`` over local devices, or ``"multi-worker"``.

    The local devices are all devices of this process.

    The latter must be made before TensorFlow is used, as simulators do when they are imported.
    """
    config = os.environ.get("TF_CONFIG", "")
    try:
        if name != "mirrored" and not {"cluster", "task"} <= json.loads(config).keys():
            raise ValueError("without cluster or task")
        import_tensorflow()
        import tensorflow as tf

        return (
            tf.distribute.MirroredStrategy()
            if name == "mirrored"
            else tf.distribute.MultiWorkerMirroredStrategy()
        )
    except (AttributeError, ValueError) as error:
        raise InputError(
            f"Option --strategy {name}",
            expected='TF_CONFIG={"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": '
            '"worker", "index": NUMBER}}',
            got=f"{config}: {error}" if config else "no TF_CONFIG",
            do="set it for each process, or give --strategy mirrored for the devices of one "
            "machine",
        ) from error
