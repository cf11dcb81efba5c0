"""Interpreters that are forked from one which has imported the large packages, and used none.

An interpreter that imports them anew takes five seconds of a processor before a script begins.
Everything else is as in a new one: memory of its own, and TensorFlow not started.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from subprocess import CompletedProcess

#: Of TensorFlow Probability, the last name imports what it would only import when used.
LARGE = [
    "arviz",
    "keras",
    "loky",
    "matplotlib.pyplot",
    "pandas",
    "scipy.stats",
    "sklearn",
    "tensorflow",
    "tensorflow_probability",
    "tensorflow_probability.python.distributions",
    "xarray",
    "zarr",
]
#: Forks of a process that is started anew, and never of the one that runs the tests.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(LARGE)


def run_warm(
    task: Callable[..., None],
    *arguments: object,
    cwd: Path,
    env: Mapping[str, str],
) -> CompletedProcess[str]:
    """Call a function in a warm interpreter; return its exit status, and what it has written."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        err = Path(folder) / "err"
        environment = {**os.environ, **env}
        process = FORKS.Process(target=_begin, args=(task, arguments, cwd, environment, out, err))
        process.start()
        process.join()
        return CompletedProcess(
            [task.__name__, *arguments], process.exitcode, out.read_text(), err.read_text()
        )


def run_script(script: Path, arguments: Iterable[object]) -> None:
    """Run a script as ``python script arguments`` does."""
    sys.argv = [str(script), *map(str, arguments)]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


def _begin(
    task: Callable[..., None],
    arguments: tuple[object, ...],
    cwd: Path,
    environment: Mapping[str, str],
    out: Path,
    err: Path,
) -> None:
    for file, stream in ((out, sys.stdout), (err, sys.stderr)):
        with file.open("w") as opened:
            os.dup2(opened.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    os.chdir(cwd)
    try:
        task(*arguments)
    finally:
        # As an interpreter ends: pools first send their workers home, then processes are joined.
        threading._shutdown()
        atexit._run_exitfuncs()
