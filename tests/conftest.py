"""What all tests share."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Before any test imports TensorFlow; fresh interpreters inherit it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Most programs of tests are compiled once: writing them to the disk would cost more than it saves.
os.environ.setdefault("BAYESINN_CACHE", "off")
# Graphs are many small objects that live long. Python's own threshold, 2,000 new ones, took a tenth
# of the time.
gc.set_threshold(100_000, 20, 20)

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


# Files of half a minute and more, longest first. Each runs in one process; started last, one would
# run alone.
LONG_FILES = (
    "test_paper_results",
    "test_bijections",
    "test_images",
    "test_benchmarks",
    "test_tutorials",
    "test_sir",
    "test_covid19_germany",
    "test_how_to",
    "test_docs",
    "test_split_latent",
    "test_conjugate",
    "test_saved_bits",
    "test_diagnose",
    "test_cli",
    "test_stored",
    "test_amortized",
    "test_round_trip",
    "test_offline",
    "test_smc",
    "test_contract_script",
    "test_latent_mixture",
    "test_recommended",
    "test_autoregressive",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort long files to the front, and leave the order of all others."""
    items.sort(
        key=lambda item: (
            LONG_FILES.index(item.path.stem) if item.path.stem in LONG_FILES else len(LONG_FILES)
        )
    )
