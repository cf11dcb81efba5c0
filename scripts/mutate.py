"""Change the code in one place at a time, and see whether the nearest tests notice.

    scripts/mutate.py                  the sample; goes on where it was stopped
    scripts/mutate.py --again          run once more what survived without an argument
    scripts/mutate.py --only NAME      mutants of files whose path has NAME in it
    scripts/mutate.py --quick          three of known fate, which checks the script itself

The sample has equally many mutants of each room, and takes files and kinds of change in turn; the
seed decides which. Nothing in the work tree changes: a mutant is written into a copy. Its tests run
in a process that is forked from one that has imported TensorFlow but not used it, which saves five
seconds each time. Those that call the changed function run, the quickest first; those that are
marked slow or take more than some seconds are left out.

``scripts/mutants.csv`` has a row for each mutant. One that survives needs a test, or its
``argument`` there, why nothing that is promised has changed; arguments are kept when mutants are
run again.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import importlib
import inspect
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from mutations import Mutant, mutants_of
from nearest_tests import ROOMS, nearest_tests

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("mutants.csv")
COLUMNS = (
    "file",
    "line",
    "source",
    "kind",
    "before",
    "after",
    "number",
    "outcome",
    "test",
    "argument",
)
#: A test that takes more processor seconds is left out; trainings are traced and compiled first.
SLOWEST = {"training": 6.0}
SLOWEST_ELSEWHERE = 4.0
#: Packages that are imported once. The last name makes TensorFlow Probability import the rest of
#: itself.
LARGE = (
    *(
        "pytest",
        "keras",
        "scipy.stats",
        "sklearn",
        "matplotlib.pyplot",
        "pandas",
        "xarray",
        "zarr",
        "arviz",
        "loky",
    ),
    *("tensorflow", "tensorflow_probability", "tensorflow_probability.python.distributions"),
)
#: For the quick mode: lines of one file, of which each has one mutant of the kind. The last one's
#: stream of random numbers is as good as another.
KNOWN = (
    ("directions /= np.linalg.norm(directions, axis=0)", "statement removed"),
    ("if len(reference) < 4:", "comparison"),
    (
        'shuffled = seeds.generator(seed, "sliced wasserstein", 1).permutation(reference)',
        "constant",
    ),
)
KNOWN_FILE = "bayesinn/diagnostics/two_samples.py"
KNOWN_TESTS = ("tests/diagnostics/test_sliced_wasserstein.py",)
Row = dict[str, Any]


def sample(per_room: int, seed: int) -> list[Mutant]:
    """Choose as many mutants of each room: files in turn, and of each file kinds in turn."""
    chosen = []
    for files in ROOMS.values():
        piles = [_kinds_in_turn(mutants_of(ROOT, file), seed) for file in _by_hash(files, seed)]
        turns = itertools.chain.from_iterable(itertools.zip_longest(*piles))
        chosen += list(itertools.islice(filter(None, turns), per_room))
    return chosen


def _by_hash(values: Iterable[Any], seed: int) -> list[Any]:
    # Neither lines nor places: a mutant stays in the sample when code elsewhere in its file
    # changes.
    return sorted(
        values, key=lambda value: hashlib.sha256(f"{seed} {_name(value)}".encode()).digest()
    )


def _name(value: Mutant | str) -> str:
    return value if isinstance(value, str) else " ".join(key(value.row()))


def _kinds_in_turn(mutants: list[Mutant], seed: int) -> list[Mutant]:
    """Return mutants so that the first of each kind come first, then the second of each."""
    counts: Counter[str] = Counter()
    turns = []
    for mutant in _by_hash(mutants, seed):
        counts[mutant.kind] += 1
        turns.append((counts[mutant.kind], mutant))
    return [mutant for _, mutant in sorted(turns, key=lambda pair: pair[0])]


class Copy:
    """A copy of what tests need, in which one file at a time is another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("bayesinn", "simulators", "tests"):
            shutil.rmtree(folder / name, ignore_errors=True)
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy2(ROOT / "pyproject.toml", folder)
        # Only read: too large to be copied.
        results = folder / "paper_results"
        results.unlink(missing_ok=True)
        results.symlink_to(ROOT / "paper_results")
        # Found inside the library, as if installed, before what is installed.
        (folder / "bayesinn" / "simulators").symlink_to("../simulators")
        self._writes = 0

    def write(self, file: str, text: str) -> None:
        """Write a file with a time of its own, so that no compiled version of another is taken for it."""
        self._writes += 1
        path = self.folder / file
        path.write_text(text)
        moment = int(time.time()) + self._writes
        os.utime(path, (moment, moment))

    def run_tests(
        self, files: Iterable[str], order: dict[str, float], limit: float, *options: str
    ) -> Row:
        """Run tests in a forked process, in ``order`` if there is one; return what failed, and of each test a record.

        It has ``limit`` processor seconds.
        """
        answer = self.folder / "answer.json"
        answer.unlink(missing_ok=True)
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            self._run_in_child([*options, *files], order, limit, answer)
        # A test that hangs takes no processor seconds; on a busy machine these take longer.
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() - started > 8 * limit:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.05)
        # What tests have left behind, such as workers.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        return json.loads(answer.read_text()) if answer.exists() else {"failed": "time limit"}

    def _run_in_child(
        self, arguments: list[str], order: dict[str, float], limit: float, answer: Path
    ) -> None:
        import pytest

        os.setsid()
        os.chdir(self.folder)
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 1))
        with (self.folder / "log.txt").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        sys.path[0] = str(self.folder)
        os.environ["PYTHONPATH"] = str(self.folder)
        recorder = Recorder(self.folder, order)
        fixed = [
            "--quiet",
            "-m",
            "not slow",
            "-p",
            "no:cacheprovider",
            "--basetemp",
            str(self.folder / "tmp"),
        ]
        code = pytest.main([*fixed, *arguments], plugins=[recorder])
        failed = recorder.failed or ("" if code in (0, 5) else f"pytest ends with {code!r}")
        answer.write_text(json.dumps({"failed": failed, "tests": recorder.tests}))
        os._exit(0)


class Recorder:
    """Plugin for pytest: run the tests of an order; without an order all, and record what they take and call."""

    def __init__(self, folder: Path, order: dict[str, float]) -> None:
        self.order = order
        self.folder = f"{folder}/"
        self.failed = ""
        #: Processor seconds of each test, and functions that it calls: file and first line.
        self.tests: dict[str, tuple[float, list[str]]] = {}
        self.called: set[str] = set()
        self.prepared: dict[str, set[str]] = {}
        if not order:
            sys.monitoring.use_tool_id(sys.monitoring.COVERAGE_ID, "mutate")
            sys.monitoring.register_callback(
                sys.monitoring.COVERAGE_ID, sys.monitoring.events.PY_START, self.note
            )
            sys.monitoring.set_events(sys.monitoring.COVERAGE_ID, sys.monitoring.events.PY_START)

    def note(self, code: CodeType, offset: int) -> Any:
        """Remember a function that is called."""
        file = code.co_filename.removeprefix(self.folder)
        if file.startswith(("bayesinn", "simulators")):
            self.called.add(f"{file}:{code.co_firstlineno}")
        return sys.monitoring.DISABLE

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.order:
            items[:] = sorted(
                (item for item in items if item.nodeid in self.order),
                key=lambda item: self.order[item.nodeid],
            )

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.called = set()
        self.started = sum(os.times()[:4])
        if not self.order:
            sys.monitoring.restart_events()
            signal.signal(signal.SIGPROF, _skip)
            room = nodeid.removeprefix("tests/").partition("/")[0]
            signal.setitimer(signal.ITIMER_PROF, SLOWEST.get(room, SLOWEST_ELSEWHERE))

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.failed = self.failed or (report.nodeid if report.failed else "")
        if report.when == "setup":
            # Later tests of the file may use it, too.
            self.prepared.setdefault(report.nodeid.partition("::")[0], set()).update(self.called)
        elif report.when == "call" and report.passed:
            called = self.called | self.prepared[report.nodeid.partition("::")[0]]
            self.tests[report.nodeid] = sum(os.times()[:4]) - self.started, sorted(called)

    def pytest_collectreport(self, report: Any) -> None:
        self.failed = self.failed or (f"import of {report.nodeid}" if report.failed else "")


def _skip(*_: Any) -> None:
    import pytest

    pytest.skip("takes too long")


class Baseline:
    """What tests take and call without a mutant, measured when a file of tests is first needed, and kept."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.file = copy.folder / "baseline.json"
        self.known = json.loads(self.file.read_text()) if self.file.exists() else {}

    def of(self, files: Iterable[str]) -> dict[str, tuple[float, list[str]]]:
        """Return processor seconds and called functions of each quick test in some files."""
        records = {}
        for file in files:
            # A file that was changed has other tests.
            name = f"{file} {hashlib.sha256((ROOT / file).read_bytes()).hexdigest()[:12]}"
            if name not in self.known:
                shutil.copy2(ROOT / file, self.copy.folder / file)
                result = self.copy.run_tests([file], {}, 900.0)
                if result["failed"]:
                    log = (self.copy.folder / "log.txt").read_text()
                    raise SystemExit(f"without any mutant: {result['failed']}\n{log[-3000:]}")
                self.known[name] = result["tests"]
                self.file.write_text(json.dumps(self.known))
            records.update(self.known[name])
        return records


def run(mutant: Mutant, copy: Copy, baseline: Baseline, tests: Iterable[str]) -> Row:
    """Return the row of a mutant, of which the files ``tests`` are the nearest."""
    original = (ROOT / mutant.file).read_text()
    records = baseline.of(tests)
    function = f"{mutant.file}:{first_line(compile(original, mutant.file, 'exec'), mutant.line)}"
    every = {test: seconds for test, (seconds, _) in records.items()}
    # What runs when a module is imported concerns all of them.
    order = {
        test: seconds for test, seconds in every.items() if function in records[test][1]
    } or every
    copy.write(mutant.file, mutant.text(original))
    try:
        limit = 3.0 * sum(order.values()) + 10.0
        files = {test.partition("::")[0] for test in order}
        failed = copy.run_tests(sorted(files), order, limit, "--exitfirst")["failed"]
    finally:
        copy.write(mutant.file, original)
    return {**mutant.row(), "outcome": "killed" if failed else "survived", "test": failed}


def first_line(code: CodeType, line: int) -> int:
    """Return the first line of the innermost function around a line."""
    inside = [
        part for part in _functions(code) if line in {number for *_, number in part.co_lines()}
    ]
    return max((part.co_firstlineno for part in inside), default=0)


def _functions(code: CodeType) -> Iterator[CodeType]:
    for part in code.co_consts:
        if isinstance(part, CodeType):
            # Bodies of classes are no functions.
            if part.co_flags & inspect.CO_OPTIMIZED:
                yield part
            yield from _functions(part)


def key(row: Row) -> tuple[str, ...]:
    """Return what tells a mutant from others, wherever its line has moved."""
    return tuple(str(row[name]) for name in ("file", "source", "kind", "before", "after", "number"))


def read_table(table: Path) -> dict[tuple[str, ...], Row]:
    """Return the rows of the table, by what tells them apart."""
    with table.open(newline="") as file:
        return {key(row): row for row in csv.DictReader(file)}


def write_table(rows: Iterable[Row], table: Path) -> None:
    """Write rows in the order of files and lines."""
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: (row["file"], int(row["line"]), key(row))))


def summary(rows: Iterable[Row]) -> str:
    """Say how many were caught, and list the survivors that nothing is said about."""
    rows = list(rows)
    lost = [row for row in rows if row["outcome"] == "survived"]
    lines = [
        f"{len(rows)} mutants, {len(rows) - len(lost)} caught "
        f"({1 - len(lost) / max(len(rows), 1):.1%})"
    ]
    for row in lost:
        if not row.get("argument"):
            lines.append(
                f"  {row['file']}:{row['line']} {row['kind']}: {row['before']} -> {row['after']}"
            )
    return "\n".join(lines)


def warm_up() -> None:
    """Import what is large, and use none of it: TensorFlow's threads would not follow into a fork."""
    for name in LARGE:
        importlib.import_module(name)


def main() -> None:
    """Read the command line, run mutants, and keep each result as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--per-room", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="run survivors once more")
    parser.add_argument("--only", default="", help="part of a path")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "mutants", help="for the copy"
    )
    parser.add_argument("--list", action="store_true", help="only list the sample")
    parser.add_argument("--quick", action="store_true", help="three mutants of known fate")
    options = parser.parse_args()
    chosen = sample(options.per_room, options.seed)
    table = TABLE
    if options.quick:
        chosen = [
            mutant
            for mutant in mutants_of(ROOT, KNOWN_FILE)
            if (mutant.source, mutant.kind) in KNOWN
        ]
        table = options.folder / TABLE.name
    if options.list:
        for mutant in chosen:
            print(f"{mutant.file}:{mutant.line} {mutant.kind}: {mutant.before} -> {mutant.after}")
        return
    known = read_table(table) if table.exists() else {}
    # Those of the sample; lines may have moved.
    places = {key(mutant.row()): mutant.row() for mutant in chosen}
    rows = {name: known[name] | row for name, row in places.items() if name in known}
    warm_up()
    copy = Copy(options.folder)
    baseline = Baseline(copy)
    for mutant in chosen:
        before = rows.get(key(mutant.row()), {})
        open_question = (
            options.again and before.get("outcome") == "survived" and not before["argument"]
        )
        if (before and not open_question) or options.only not in mutant.file:
            continue
        tests = KNOWN_TESTS if options.quick else nearest_tests(mutant.file)
        row = {**before, **run(mutant, copy, baseline, tests)}
        rows[key(row)] = row
        write_table(rows.values(), table)
        print(row["outcome"], *mutant.row().values(), row["test"], sep=" | ", flush=True)
    print(summary(rows.values()))


if __name__ == "__main__":
    main()
