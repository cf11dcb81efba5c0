"""Start-up of the command line: TensorFlow is imported without its notes, and what must be made first is made."""

import json
import os
import sys
from typing import Any

from bayesinn.core.errors import InputError


def import_tensorflow() -> None:
    """Import TensorFlow without its start-up notes, unless they are asked for by TF_CPP_MIN_LOG_LEVEL=0.

    TensorFlow writes them to the standard error of the process, before it looks at any setting.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if level == "0" or "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def new_strategy(name: str) -> Any:
    """Return a strategy of tf.distribute, ``"mirrored"`` over all devices of this process, or ``"multi-worker"``.

    The latter must be made before TensorFlow is used, as simulators do when they are imported.
    """
    config = os.environ.get("TF_CONFIG", "")
    try:
        if name != "mirrored" and not {"cluster", "task"} <= json.loads(config).keys():
            raise ValueError("without cluster or task")
        import_tensorflow()
        import tensorflow as tf

        return tf.distribute.MirroredStrategy() if name == "mirrored" else tf.distribute.MultiWorkerMirroredStrategy()
    except (AttributeError, ValueError) as error:
        expected = 'TF_CONFIG={"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": NUMBER}}'
        got = f"{config}: {error}" if config else "no TF_CONFIG"
        do = "set it for each process, or give --strategy mirrored for the devices of one machine"
        raise InputError(f"Option --strategy {name}", expected=expected, got=got, do=do) from error
