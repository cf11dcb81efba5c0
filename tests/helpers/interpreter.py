"""Scripts run one after the other in one interpreter, which imports TensorFlow once.

Each script gets arguments, a working directory, streams and an environment of its own, as
``python script arguments`` gives it; afterwards modules, simulators and figures of it are gone.
What one script breaks for those after it can't reach the process that runs the tests, and a script
that takes too long ends with its interpreter.

``python interpreter.py CODE`` is that interpreter: it reads a JSON object a line, and answers a line.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import select
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.helpers.memory import released_memory

ROOT = Path(__file__).resolve().parents[2]
#: Seconds that one script may take: less than what pytest waits for a test (pyproject.toml).
PATIENCE = 840.0


class Interpreter:
    """An interpreter that runs scripts; it starts with the first one.

    ``prepare`` is code that it runs before.
    """

    def __init__(self, folder: Path, prepare: str = "", patience: float = PATIENCE) -> None:
        self._folder = folder
        self._prepare = prepare
        self.patience = patience
        self._process: subprocess.Popen[str] | None = None

    def run(self, script: Path, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a script as ``python script arguments`` does; return its status and its output."""
        out = self._folder / "out.txt"
        err = self._folder / "err.txt"
        # There also when the interpreter doesn't live long enough to write them.
        out.write_text("")
        err.write_text("")
        command = [str(script), *map(str, arguments)]
        request = {"command": command, "cwd": str(cwd), "out": str(out), "err": str(err)}
        status = self._answer(json.dumps(request))
        return subprocess.CompletedProcess(command, status, out.read_text(), err.read_text())

    def close(self) -> None:
        """End the interpreter."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _answer(self, request: str) -> int:
        alive = self._process is not None and self._process.poll() is None
        process = self._process if alive else self._start()
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], self.patience)
        answer = process.stdout.readline() if ready else ""
        if not answer:
            # It takes too long, or it took its interpreter with it.
            self.close()
            return process.returncode
        return int(answer)

    def _start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._prepare],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self._process


def serve(prepare: str) -> None:
    """Run what is asked for on standard input, until that ends."""
    # As in tests/conftest.py.
    gc.set_threshold(100_000, 20, 20)
    # Scripts write to files, answers go to where standard output went.
    answers = os.fdopen(os.dup(1), "w")
    requests = os.fdopen(os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    exec(prepare, {})
    for line in requests:
        request = json.loads(line)
        for number, name in ((1, "out"), (2, "err")):
            file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, number)
            os.close(file)
        with released_memory(), _surroundings(request["command"], request["cwd"]):
            status = _run(Path(request["command"][0]))
        sys.stdout.flush()
        sys.stderr.flush()
        answers.write(f"{status}\n")
        answers.flush()


def _run(script: Path) -> int:
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, int | None):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


@contextlib.contextmanager
def _surroundings(command: list[str], cwd: str) -> Iterator[None]:
    """What a new interpreter would give a script, and nothing left of it afterwards."""
    environment = dict(os.environ)
    path = list(sys.path)
    modules = set(sys.modules)
    simulators = _simulators()
    folder = Path(command[0]).parent
    sys.argv = command
    sys.path[0] = str(folder)
    os.chdir(cwd)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.chdir(ROOT)
        os.environ.clear()
        os.environ.update(environment)
        folders = [folder, *map(Path, set(sys.path) - set(path))]
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            # Of the script's folder, or of one that it added: another script's may have the same names.
            file = Path(vars(sys.modules[name]).get("__file__") or "/")
            if any(file.is_relative_to(one) for one in folders):
                del sys.modules[name]
        _forget_simulators(simulators)
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")


def _simulators() -> Iterable[str]:
    registry = sys.modules.get("bayesinn.simulation.registry")
    return () if registry is None else set(registry._registered)


def _forget_simulators(known: Iterable[str]) -> None:
    for name in set(_simulators()) - set(known):
        del sys.modules["bayesinn.simulation.registry"]._registered[name]


if __name__ == "__main__":
    serve(sys.argv[1])
