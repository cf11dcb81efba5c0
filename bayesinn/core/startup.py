"""Start-up: import TensorFlow without its notes, make what comes first."""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from bayesinn.core.errors import InputError

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def silence_tensorflow() -> None:
    """Let TensorFlow be imported without its start-up notes, by whoever imports it first.

    With TF_CPP_MIN_LOG_LEVEL=0 they are shown. TensorFlow writes some of them to the standard error
    of the process before it looks at any setting.
    """
    if os.environ.setdefault(_LEVEL, "3") != "0" and "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietFinder())


def import_tensorflow() -> None:
    """Import TensorFlow, without notes after :func:`silence_tensorflow`."""
    import tensorflow  # noqa: F401


class _QuietFinder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow, once, with a loader that keeps the standard error away from it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module knows its own loader, as though nothing had happened.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with _no_standard_error():
            self._loader.exec_module(module)


@contextlib.contextmanager
def _no_standard_error() -> Iterator[None]:
    """Close the process's standard error inside, for whatever language writes to it."""
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (AttributeError, OSError):  # there is none
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def new_strategy(name: str) -> Any:
    """Return a tf.distribute strategy: ``"mirrored"`` or ``"multi-worker"``.

    The mirrored strategy trains on all devices of this process. A multi-worker strategy must be
    made before TensorFlow is used, which simulators do when they are imported.
    """
    config = os.environ.get("TF_CONFIG", "")
    try:
        if name != "mirrored" and not {"cluster", "task"} <= json.loads(config).keys():
            raise ValueError("without cluster or task")
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
