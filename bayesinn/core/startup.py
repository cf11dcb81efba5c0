"""Start-up of the command line: TensorFlow is imported without its notes."""

import os
import sys


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
