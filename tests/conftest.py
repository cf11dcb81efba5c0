"""What all tests share."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.durations import SLOW, read_seconds

ROOT = Path(__file__).resolve().parents[1]
# Before any test imports TensorFlow; fresh interpreters inherit it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Most programs of tests are compiled once: writing them to the disk would cost more than it saves.
os.environ.setdefault("BAYESINN_CACHE", "off")
# Graphs are many small objects that live long. Python's own threshold, 2,000 new ones, took a tenth
# of the time.
gc.set_threshold(100_000, 20, 20)
# Shells start what runs in the background with Ctrl-C ignored: tests that press it would not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Folders and files whose tests always run.
ALWAYS = ("scripts", "test_docs", "test_how_to")
#: Rooms and files whose tests judge how typical observations are.
TYPICALITY = ("diagnosis", "truth", "tutorials", "test_typicality", "test_amortized")


@pytest.fixture(scope="session", autouse=True)
def frozen_imports() -> None:
    """Never look for garbage among what imports leave: half a million objects."""
    import bayesinn  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def memory_given_back() -> Iterator[None]:
    """Give back what a file's networks and graphs took, or a process grows to 8 GB."""
    from tests.helpers.memory import released_memory

    with released_memory():
        yield


@pytest.fixture(scope="module", autouse=True)
def few_trees(request: pytest.FixtureRequest) -> Iterator[None]:
    """Judge typicality by few trees: growing all of them is a third of a short training."""
    from bayesinn.posterior import damage

    with pytest.MonkeyPatch.context() as patch:
        if not {request.path.stem, request.path.parent.name} & set(TYPICALITY):
            patch.setattr(damage, "_TREES", 4)
        yield


@pytest.fixture(scope="session")
def fresh_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a new interpreter, from the root of the repository; its output as text."""

    def run(
        code: str | Path, *arguments: object, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            *(["-c", code] if isinstance(code, str) else [str(code)]),
            *map(str, arguments),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"{done.args[1][:200]}\n{done.stdout}\n{done.stderr}")
        return done

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Draw the same initial weights in each run, for the test and for fixtures that it makes.

    Keras takes the seeds of its initializers from here.
    """
    random.seed(item.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests, by what they took before, and let the longest files start first.

    Each file runs in one process; started last, a long one would run alone. Quick modes of
    reproductions and benchmarks, and the documentation, are never slow: nothing else shows that
    they still work. Examples of docstrings are documentation.
    """
    seconds = read_seconds()
    totals: Counter[Path] = Counter()
    for item in items:
        taken = seconds.get(item.nodeid, 0.0)
        totals[item.path] += taken
        named = {item.path.parent.name, item.path.stem} & set(ALWAYS)
        example = ROOT / "bayesinn" in item.path.parents
        if taken > SLOW and not (named or example):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: totals[item.path], reverse=True)
