"""A few rows of a simulator, at fixed parameters and a fixed seed: simulated, written, compared."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from bayesinn.core.masks import fill_padding
from bayesinn.simulation.engines.worker import Outcome
from bayesinn.simulation.simulations import Arrays, take
from bayesinn.simulation.simulator import Simulator

SEED = 0
#: Seconds of one simulation from which on no other is kept, and it is not even timed again.
_LONG = 1.0
_TOO_LONG = 5.0
#: Rows where a simulation is one call, and where a call takes many.
_ROWS = 3
_ROWS_IN_GRAPH = 16
#: Columns that are kept of a row: all of its cells or, of more, some and signed sums over all.
_MOST_COLUMNS = 64
_CELLS = 48
_SUMS = 16
#: Largest share of whole numbers, in a graph, that rounding on another machine may flip.
_MOST_FLIPS = 0.02

type _Memory = dict[Any, tuple[Simulator, Any]]
#: What was found in the present call, by simulator and input; see :func:`remembering`.
_memory: ContextVar[_Memory | None] = ContextVar("memory", default=None)


class Rows(NamedTuple):
    """Simulated rows: columns (n, k) of each observable, and why rows failed, by number.

    ``repeatable`` tells whether the same seed gave the same again; None where that would have taken
    too long. A row that has "raised" may be compared with another; a "costly" one took the time
    limit, or its worker, which depends on the machine.
    """

    n: int
    columns: Arrays
    failed: dict[int, str]
    repeatable: bool | None = None


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """Let :func:`remember` keep what it finds until the outermost such block or call has ended."""
    if _memory.get() is not None:
        yield
        return
    token = _memory.set({})
    try:
        yield
    finally:
        _memory.reset(token)


def remember[Found](simulator: Simulator, key: Any, find: Callable[[], Found]) -> Found:
    """Return what is found out about a simulator, or was under this key in the present call."""
    memory = _memory.get()
    if memory is None:
        return find()
    place = id(simulator), key
    if place not in memory:
        # With the simulator, so that no other has its id.
        memory[place] = simulator, find()
    found: Found = memory[place][1]
    return found


def first_rows(simulator: Simulator, parameters: Arrays, context: Arrays) -> Rows:
    """Simulate the first of some parameters and contexts: several, or one where that takes long.

    In a graph 16, of which one call takes hardly longer than of one, else 3. All are simulated
    twice, if not for long, to tell whether the seed decides them.
    """
    for count in (1, _ROWS_IN_GRAPH if simulator.in_graph else _ROWS):
        given = take(parameters, slice(count)), take(context, slice(count))
        outcome = _simulate(simulator, *given)
        rows = _rows(simulator, outcome, given[1])
        if outcome.seconds > _TOO_LONG or "costly" in rows.failed.values():
            return rows
        # The first one may have imported something, on a busy machine.
        if outcome.seconds > _LONG and _simulate(simulator, *given, 2).seconds > _LONG:
            break
    return rows._replace(repeatable=repeats(simulator, *given))


def again(simulator: Simulator, parameters: Arrays, context: Arrays) -> Rows:
    """Simulate rows with parameters and contexts that were written down."""
    return _rows(simulator, _simulate(simulator, parameters, context), context)


def repeats(simulator: Simulator, parameters: Arrays, context: Arrays) -> bool:
    """Tell whether a simulator gives the same rows again."""
    first = again(simulator, parameters, context)
    second = _rows(simulator, _simulate(simulator, parameters, context, 2), context)
    return difference(first, second, simulator.in_graph) is None


def difference(known: Rows, now: Rows, in_graph: bool) -> str | None:
    """Say in which row of which observable other numbers are than there were; None if in none."""
    for row in sorted(known.failed.keys() ^ now.failed.keys()):
        # Whether time or memory are enough depends on the machine.
        if "costly" not in (known.failed.get(row), now.failed.get(row)):
            change = "fails now" if row in now.failed else "failed then, and gives a result now"
            return f"row {row} {change}"
    kept = [row for row in range(known.n) if row not in known.failed and row not in now.failed]
    for name, values in known.columns.items() if kept else ():
        other = now.columns.get(name, np.zeros((0, 0)))
        if values.shape != other.shape:
            return f"{name!r} has {other.shape} numbers in place of {values.shape}"
        before = values[kept]
        after = other[kept]
        differ = _differ(before, after, in_graph)
        most = 0.0
        # In the cells, not in sums over all.
        if in_graph and all(_whole(part[:, :_CELLS]) for part in (before, after)):
            differ = differ[:, :_CELLS]
            most = max(1.0, _MOST_FLIPS * differ.size)
        if differ.sum() > most:
            row, column = np.argwhere(differ)[0]
            what = f"row {kept[row]} of {name!r}"
            if 1 < before.shape[1] < _MOST_COLUMNS:
                what += f", element {column},"
            change = f"{after[row, column]:.6g} in place of {before[row, column]:.6g}"
            return f"{what} differs ({change})"
    return None


def columns(value: np.ndarray) -> np.ndarray:
    """Return the cells of each row (n, ...) or, of more than 64, some and sums over all: (n, k)."""
    cells = np.asarray(value, np.float64).reshape(len(value), -1)
    count = cells.shape[1]
    if count <= _MOST_COLUMNS:
        return cells
    chosen = cells[:, np.linspace(0, count - 1, _CELLS).round().astype(int)]
    # Signed and scaled so that rounding doesn't add up, and a change of one cell is still seen.
    signs = 1.0 - 2.0 * (np.bitwise_count(np.arange(count) * 0x9E3779B1) & 1)
    signed = np.where(np.isfinite(cells), cells, 0.0) * signs
    sums = [signed[:, first::_SUMS].sum(axis=1) / np.sqrt(count / _SUMS) for first in range(_SUMS)]
    return np.column_stack([chosen, *sums])


def _simulate(
    simulator: Simulator,
    parameters: Arrays,
    context: Arrays,
    time: int = 1,
) -> Outcome:
    """Simulate rows for the first or the second time, unless that has been done in this call."""
    given = (parameters | context).items()
    key = time, *((name, value.shape, value.tobytes()) for name, value in given)
    return remember(simulator, key, lambda: simulator.engine.repeat(parameters, context, SEED))


def _rows(simulator: Simulator, outcome: Outcome, context: Arrays) -> Rows:
    """Return simulated rows as they are compared: without padding, which may be anything."""
    found = {}
    for name, value in outcome.complete().items():
        if name in simulator.lengths:
            value = fill_padding(value, context[simulator.lengths[name]], 0)
        found[name] = columns(value)
    failed = {row: "costly" if f.costly else "raised" for row, f in outcome.failed.items()}
    return Rows(outcome.rows, found, failed)


def _differ(before: np.ndarray, after: np.ndarray, in_graph: bool) -> np.ndarray:
    """Return which numbers (n, k) differ by more than rounding does.

    TensorFlow sums in another order on another machine, in single precision: 1e-4 of what varies
    between rows, 3e-6 of the number itself. NumPy's exponentials and products of matrices differ in
    the last bit between processors, up to a third of the values, 3e-16 of their size, with and
    without AVX2; long simulations amplify that: 1e-10.
    """
    known = np.where(np.isfinite(before), before, 0.0)
    largest = np.max(np.abs(known), initial=0.0)
    if in_graph:
        varies = known.std(axis=0) if len(known) > 1 else np.abs(known)
        tolerance = 1e-4 * varies + 3e-6 * np.abs(known) + 3e-7 * largest
    else:
        tolerance = 1e-10 * np.max(np.abs(known), axis=0, initial=0.0) + 1e-13 * largest
    with np.errstate(invalid="ignore"):
        same = (before == after) | (np.isnan(before) & np.isnan(after))
        return ~(same | (np.abs(before - after) <= tolerance))


def _whole(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return bool(np.all(known == np.round(known)))


def written(rows: Rows) -> dict[str, Any]:
    """Return rows in plain values, for JSON."""
    return {
        "repeatable": rows.repeatable,
        "failed": {str(row): kind for row, kind in rows.failed.items()},
        "observables": {name: plain(value) for name, value in rows.columns.items()},
    }


def read(entry: Mapping[str, Any], most: int) -> Rows:
    """Return what was :func:`written`, at most ``most`` rows; other errors say if it is odd."""
    values = {str(name): unplain(value, 2) for name, value in entry["observables"].items()}
    failed = {int(row): str(kind) for row, kind in entry["failed"].items()}
    repeatable = entry["repeatable"]
    counts = {len(value) for value in values.values()} or {max(failed, default=0) + 1}
    count = counts.pop()
    if counts or not 1 <= count <= most or not set(failed) <= set(range(count)):
        raise ValueError(f"{count} rows, of which {sorted(failed)} have failed")
    if repeatable not in (True, False, None) or not set(failed.values()) <= {"raised", "costly"}:
        raise ValueError(f"repeatable {repeatable!r}, failures {sorted(set(failed.values()))}")
    return Rows(count, values, failed, repeatable)


def plain(value: np.ndarray) -> list[Any]:
    """Return nested lists for JSON: numbers, null for NaN, and text for infinity."""
    if value.ndim > 1:
        return [plain(part) for part in value]
    if value.dtype.kind != "f":
        return list(value.tolist())
    numbers = map(float, value.astype(str))
    written = [number if np.isfinite(number) else str(number) for number in numbers]
    return [None if number == "nan" else number for number in written]


def unplain(value: Any, ndim: int) -> np.ndarray:
    """Return the array of what :func:`plain` gave; a ValueError or TypeError if it is none."""
    array = np.array(value, np.float64)
    if array.ndim != ndim:
        raise ValueError(f"{array.ndim} axes in place of {ndim}")
    return array
