"""What tests cost: read from ``tests/durations.csv``, and measured by ``make durations``.

As a plugin (``pytest -p tests.helpers.durations``) it writes the processor seconds of the tests that
ran into that file, and leaves the rows of others as they are. What fixtures cost is shared among
the tests of a file that use them.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

FILE = Path(__file__).resolve().parents[1] / "durations.csv"
#: Processor seconds from which on a test has a row, and from which on it is slow.
RECORDED = 1.0
SLOW = 2.0


def read_seconds() -> dict[str, float]:
    """Return the seconds of tests that take some, by their names."""
    with FILE.open(newline="") as file:
        return {row["test"]: float(row["seconds"]) for row in csv.DictReader(file)}


def add_fixtures(
    calls: dict[str, float],
    fixtures: dict[tuple[str, str], float],
    users: dict[str, list[str]],
) -> dict[str, float]:
    """Return the seconds of each test: its call, and its share of the fixtures that it uses.

    Fixtures go by file and name; ``users`` has the names of fixtures that a test uses.
    """
    users_of = Counter((_file(test), name) for test, names in users.items() for name in names)
    seconds = dict(calls)
    for test, names in users.items():
        for name in names:
            key = (_file(test), name)
            seconds[test] = seconds.get(test, 0.0) + fixtures.get(key, 0.0) / users_of[key]
    return seconds


def write(measured: dict[str, float]) -> None:
    """Write the rows of tests that were measured in place of older ones of theirs."""
    rows = {test: value for test, value in read_seconds().items() if test not in measured}
    rows |= {test: value for test, value in measured.items() if value >= RECORDED}
    with FILE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["test", "seconds"])
        writer.writerows((test, f"{rows[test]:.1f}") for test in sorted(rows))


_fixtures: list[tuple[str, float]] = []
_calls: dict[str, float] = {}
_costs: Counter[tuple[str, str]] = Counter()
_users: dict[str, list[str]] = {}


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
    """Measure a fixture, without those that it uses itself."""
    started = _processor_seconds()
    value = yield
    _fixtures.append((fixturedef.argname, _processor_seconds() - started))
    return value


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Measure a test."""
    started = _processor_seconds()
    value = yield
    item.user_properties.append(("seconds", _processor_seconds() - started))
    return value


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Hand on what was measured to the process that collects reports."""
    report = yield
    report.user_properties.append(("fixtures", list(_fixtures)))
    report.user_properties.append(("users", list(getattr(item, "fixturenames", ()))))
    _fixtures.clear()
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what was measured."""
    properties = dict(report.user_properties)
    if "users" not in properties:
        # The process of this test died, and measured nothing.
        return
    _users[report.nodeid] = properties["users"]
    if report.when == "call" and "seconds" in properties:
        _calls[report.nodeid] = properties["seconds"]
    for name, seconds in properties["fixtures"]:
        _costs[_file(report.nodeid), name] += seconds


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the file, in the process that collected all reports."""
    if not hasattr(session.config, "workerinput"):
        write(add_fixtures(_calls, _costs, _users))


def _file(test: str) -> str:
    """Return the file of a test."""
    return test.partition("::")[0]


def _processor_seconds() -> float:
    """Return processor seconds of this process and of all that it has started."""
    own = psutil.Process()
    times = own.cpu_times()
    seconds = times.user + times.system + times.children_user + times.children_system
    for child in own.children(recursive=True):
        try:
            other = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += other.user + other.system + other.children_user + other.children_system
    return seconds
