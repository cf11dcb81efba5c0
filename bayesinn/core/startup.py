"""Start-up: import TensorFlow without its notes, and keep compiled programs on disk."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import platformdirs

from bayesinn.core.private_api import has_started

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
            execute = _no_standard_error()(spec.loader.exec_module)
            spec.loader.exec_module = execute  # type: ignore[method-assign]
        return spec


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


#: Environment variable: a folder, or "off".
SETTING = "BAYESINN_CACHE"
_FLAGS = "TF_XLA_FLAGS"
_FOLDER_FLAG = "--tf_xla_persistent_cache_directory="
#: A program for another kind of device depends on more than the name of its folder says.
_DEVICES = "--tf_xla_persistent_cache_device_types=CPU"
#: Flags that :func:`keep_programs` has set.
_OWN = re.compile(rf"\s*{_FOLDER_FLAG}\S*/[0-9a-f]{{16}} {_DEVICES}$")
#: Names of XLA's files, and of the folders of machines: nothing else is ever removed.
_PROGRAM = "xla_compile_cache_*.pb"
_MACHINE = "[0-9a-f]" * 16
#: Bytes that programs may take; those written first go first.
_MOST_BYTES = 500_000_000
#: Free bytes without which nothing is kept.
_LEAST_FREE = 200_000_000


def keep_programs() -> None:
    """Let XLA keep its programs for processors, if TensorFlow has not computed anything yet.

    They are kept in the user's cache folder, or in the one that BAYESINN_CACHE names;
    BAYESINN_CACHE=off keeps none. Flags of the user's own come first. TensorFlow writes each
    program to a file of its own and renames it, so that processes may share the folder.
    """
    if has_started():
        return
    try:
        _name_folder()
    except (OSError, RuntimeError):
        # A home that is unknown, or may not be read: programs are compiled anew.
        return


def _name_folder() -> None:
    """Tell XLA the folder, if it has one."""
    # Without those of a parent process, which may use another number of threads.
    flags = _OWN.sub("", os.environ.get(_FLAGS, ""))
    folder = _folder()
    if folder is not None and _FOLDER_FLAG not in flags and _has_space(folder):
        _remove_oldest(folder.parent)
        flags = f"{flags} {_FOLDER_FLAG}{folder} {_DEVICES}".strip()
    if flags or _FLAGS in os.environ:
        os.environ[_FLAGS] = flags


def clear_programs() -> bool:
    """Remove the kept programs that this process uses; return whether there were any."""
    for flag in os.environ.get(_FLAGS, "").split():
        if flag.startswith(_FOLDER_FLAG):
            programs = list(Path(flag.removeprefix(_FOLDER_FLAG)).glob(_PROGRAM))
            for path in programs:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            return bool(programs)
    return False


def _folder() -> Path | None:
    """Return the folder of this machine's programs; None if they are not to be kept."""
    chosen = os.environ.get(SETTING, "")
    if chosen.lower() == "off":
        return None
    root = Path(chosen or platformdirs.user_cache_dir("bayesinn", appauthor=False))
    folder = root.expanduser().absolute() / _machine()
    # XLA splits its flags at spaces, and ends the process if it doesn't know one.
    return None if " " in str(folder) else folder


def _machine() -> str:
    """Return a name of what a program depends on beside itself.

    Processors without an instruction that was compiled for would stop the process, and the number
    of threads decides in which order sums are taken.
    """
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    processors = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        instructions = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        instructions = platform.processor()
    parts = [platform.machine(), instructions, version("tensorflow"), threads, str(processors)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _has_space(folder: Path) -> bool:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        free = shutil.disk_usage(existing).free
    except OSError:
        return False
    return existing.is_dir() and os.access(existing, os.W_OK) and free > _LEAST_FREE


def _remove_oldest(root: Path) -> None:
    """Remove the programs that were written first until the others take few enough bytes."""
    files = []
    for path in root.glob(f"{_MACHINE}/{_PROGRAM}"):
        # Other processes remove files, too, and other users have theirs.
        with contextlib.suppress(OSError):
            found = path.stat()
            files.append((found.st_mtime, found.st_size, path))
    left = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if left <= _MOST_BYTES:
            break
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        left -= size
