"""The record of a simulator: what it declares, and a few rows that it simulated at a fixed seed.

Banks, saved posteriors and checkpoints keep a record. Before more is written, trained, resumed or
loaded, the rows are simulated again and compared. So comments, names and places of the code don't
matter; constants, closures, attributes and helpers do, as far as these rows show them.

The rows start from draws that are in the record: draws of some distributions differ between
machines, those of TensorFlow's truncated normal even with the number of threads.
"""

import hashlib
import json
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.arrays import fill_padding
from bayesinn.core.errors import BayesinnError, warn
from bayesinn.core.files import check_entry, reraise_as
from bayesinn.simulation.engines.program import Program
from bayesinn.simulation.prior_text import array_text, entry_texts, same_text
from bayesinn.simulation.simulations import Arrays, count_rows, take
from bayesinn.simulation.simulator import Simulator

#: Entries with the shapes of all variables.
SHAPES = {"parameters": {str: [int]}, "observables": {str: [int]}, "context": {str: [int]}}
_SCHEMA = {"declared": {str: str}, "draws": {str: [[float]]}}
_ROWS = {"observables": {str: [[(float, str, type(None))]]}, "costly": [int]}
#: Joint draws, fewer of very many numbers; those at which distributions given others are written.
_DRAWS = 16
_MOST_NUMBERS = 20_000
_WRITTEN_DRAWS = 4
_SEED = 0
#: Rows where a simulation is one call, and where a call takes many; a single one if it takes long.
_FEW_ROWS = 3
_ROWS_IN_GRAPH = 16
_LONG_SECONDS = 1.0
#: Columns that are kept of a row: all of its cells or, of more, some and signed sums over all.
_MOST_COLUMNS = 64
_CELLS = 48
_SUMS = 16
#: Largest share of whole numbers, in a graph, that rounding on another machine may flip.
_MOST_FLIPS = 0.02
#: Tolerance, in standard deviations of a number between rows. TensorFlow sums in another order on
#: another machine, in single precision. NumPy's exponentials and products of matrices differ in the
#: last bit between processors, which long simulations amplify.
_TOLERANCE_IN_GRAPH = 1e-4
_TOLERANCE = 1e-9

_not_deterministic: weakref.WeakSet[Simulator] = weakref.WeakSet()


class Refusal(NamedTuple):
    """How another simulator than the one of a record is refused, or warned of if it ``warns``.

    ``place`` names where the record is kept, and ``deed`` what the simulator did there. One of
    other shapes is an error in any case.
    """

    place: str
    deed: str
    do: str
    error: type[BayesinnError]
    warns: bool = False

    def of(self, simulator: Simulator, difference: str) -> BayesinnError:
        """Return the error for a simulator that does something in another way."""
        return self.error(
            f"Simulator {simulator.name!r} for {self.place}",
            expected=f"the simulator that {self.deed}",
            got=f"another: {difference}",
            do=self.do,
        )


def entries(simulator: Simulator, simulated: bool = True) -> dict[str, Any]:
    """Return the record of a simulator, in plain values; with rows if they are ``simulated``."""
    draws = _draws(simulator)
    record: dict[str, Any] = {
        "declared": _declared(simulator, draws),
        "draws": {name: _plain(value) for name, value in draws.items()},
    }
    if simulated and simulator.simulates:
        record["rows"] = _first_rows(simulator, draws)
    return {**_shapes(simulator), "identity": record}


def kept_in(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record in a manifest; None if it was written without one."""
    if "identity" not in manifest:
        return None
    return {name: manifest[name] for name in (*SHAPES, "identity")}


def fingerprint(kept: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a simulator declares, out of its record."""
    declared = {**kept, "identity": kept["identity"]["declared"]}
    return hashlib.sha256(json.dumps(declared).encode()).hexdigest()


def check(
    kept: Mapping[str, Any], simulator: Simulator, refusal: Refusal, simulated: bool = True
) -> None:
    """Raise, or warn, unless a simulator is the one of a record.

    What is absent is not compared. If not ``simulated``, names and shapes alone are.
    """
    subject = f"Record of simulator {simulator.name!r} in {refusal.place}"
    do = "copy the whole folder again, or write it again"
    check_entry(subject, "", kept, SHAPES, do, refusal.error)
    for kind, now in _shapes(simulator).items():
        # Their order is that of the network's inputs and outputs.
        if list(now.items()) != list(kept[kind].items()):
            raise refusal.of(simulator, f"{kind} {now} in place of {kept[kind]}")
    if not simulated or "identity" not in kept:
        return
    with reraise_as(subject, "entries as they were written", do, Exception, refusal.error):
        record = kept["identity"]
        check_entry(subject, "identity", record, _SCHEMA, do, refusal.error)
        if "rows" in record:
            check_entry(subject, "identity.rows", record["rows"], _ROWS, do, refusal.error)
        draws, rows = _read(record, simulator)
    for difference in _differences(record, rows, simulator, draws):
        error = refusal.of(simulator, difference)
        if not refusal.warns:
            raise error
        warn(str(error))
        return


def _shapes(simulator: Simulator) -> dict[str, dict[str, list[int]]]:
    """Return the shapes of all variables, as JSON has them."""
    shapes = simulator.shapes.items()
    return {kind: {name: list(shape) for name, shape in part.items()} for kind, part in shapes}


def _declared(simulator: Simulator, draws: Arrays) -> dict[str, str]:
    """Return what a simulator declares, in words."""
    some = take(draws, slice(_WRITTEN_DRAWS))
    labels = simulator.labels
    function = simulator.function
    texts = {
        "option 'engine'": simulator.engine.kind,
        "option 'on_nonfinite'": simulator.on_nonfinite,
        "option 'missing'": str(simulator.missing),
        "option 'lengths'": str(simulator.lengths),
    }
    for prior in simulator.priors:
        for name, text in entry_texts(prior, some).items():
            texts[f"the {prior.subject} of {name!r}"] = text
    names = [name for shapes in simulator.shapes.values() for name in shapes]
    for name in (*names, *(axis.name for axis in labels.coordinates.values())):
        if unit := labels.unit(name):
            texts[f"the unit of {name!r}"] = unit
    for name, axis in labels.coordinates.items():
        texts[f"the coordinate of {name!r}"] = f"{axis.name} = {array_text(axis.values)}"
    for name, places in simulator.places.items():
        texts[f"the selection of {name!r}"] = str(places.tolist())
    if isinstance(function, Program):
        texts |= {f"the program's {name}": text for name, text in function.identity().items()}
    return texts


def _differences(
    record: Mapping[str, Any], rows: Arrays, simulator: Simulator, draws: Arrays
) -> Iterator[str]:
    """Yield what a simulator does in another way than that of a record: cheap looks first."""
    before: dict[str, str] = record["declared"]
    now = _declared(simulator, draws)
    for name in before | now:
        texts = before.get(name, "nothing"), now.get(name, "nothing")
        if not same_text(*texts):
            yield f"{name} is {texts[1]} in place of {texts[0]}"
    if not rows:
        return
    repeatable = record["rows"].get("repeatable")
    draws = take(draws, slice(count_rows(rows)))
    again, costly, _ = _simulate(simulator, draws) if repeatable is not False else (rows, [], 0.0)
    difference = _difference(rows, again, {*record["rows"]["costly"], *costly}, simulator.in_graph)
    # Of a single row that took long, nobody knows yet.
    if difference is not None and repeatable is None:
        repeatable = _repeats(simulator, again, draws)
    if repeatable is False:
        _warn_once(simulator)
    elif difference is not None:
        yield f"simulated again, {difference}"


def _draws(simulator: Simulator) -> Arrays:
    """Return joint draws of parameters and context."""
    shapes = [shape for prior in simulator.priors for shape in prior.event_shapes.values()]
    numbers = sum(int(np.prod(shape)) for shape in shapes)
    count = max(1, min(_DRAWS, _MOST_NUMBERS // max(numbers, 1)))
    draws: Arrays = {}
    for number, prior in enumerate(simulator.priors):
        drawn = prior.sample(count, seeds.tensor_seed(0, "identity", number))
        draws |= {name: value.numpy() for name, value in drawn.items()}
    return draws


def _first_rows(simulator: Simulator, draws: Arrays) -> dict[str, Any]:
    """Simulate the first of some draws, in plain values: several, or one where that takes long.

    In a graph 16, of which one call takes hardly longer than of one, else 3. All are simulated
    twice, if not for long, to tell whether the seed decides them.
    """
    repeatable = None
    rows, costly, seconds = _simulate(simulator, take(draws, slice(1)))
    if seconds <= _LONG_SECONDS and not costly:
        draws = take(draws, slice(_ROWS_IN_GRAPH if simulator.in_graph else _FEW_ROWS))
        rows, costly, _ = _simulate(simulator, draws)
        repeatable = _repeats(simulator, rows, draws)
        if not repeatable:
            _warn_once(simulator)
    observables = {name: _plain(value) for name, value in rows.items()}
    return {"observables": observables, "costly": costly, "repeatable": repeatable}


def _simulate(simulator: Simulator, draws: Arrays) -> tuple[Arrays, list[int], float]:
    """Simulate rows at given draws: columns (n, k) of each observable; failed rows are NaN.

    Also return the rows that took the time limit or a worker, which depends on the machine, and the
    seconds that all took.
    """
    parameters = {name: draws[name] for name in simulator.prior.names}
    context = {name: draws[name] for name in simulator.context_names}
    outcome = simulator.engine.repeat(parameters, context, _SEED)
    arrays = outcome.complete(np.nan) or {
        name: np.full((outcome.rows, *shape), np.nan)
        for name, shape in simulator.observable_shapes.items()
    }
    for name, counter in simulator.lengths.items():
        # Padding may be anything.
        arrays[name] = fill_padding(arrays[name], context[counter], 0)
    columns = {name: _columns(value) for name, value in arrays.items()}
    costly = [row for row, failure in outcome.failed.items() if failure.costly]
    return columns, costly, outcome.seconds


def _columns(value: np.ndarray) -> np.ndarray:
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


def _repeats(simulator: Simulator, rows: Arrays, draws: Arrays) -> bool:
    """Tell whether a simulator gives the same rows again."""
    again, costly, _ = _simulate(simulator, draws)
    return _difference(rows, again, costly, simulator.in_graph) is None


def _difference(rows: Arrays, now: Arrays, ignored: Any, in_graph: bool) -> str | None:
    """Say in which row of which observable other numbers are than there were; None if in none."""
    for name, values in rows.items():
        after = now[name]
        if values.shape != after.shape:
            return f"{name!r} has {after.shape} numbers in place of {values.shape}"
        differ = _differ(values, after, in_graph)
        differ[list(ignored)] = False
        most = 0.0
        # In the cells, not in sums over all.
        if in_graph and all(_whole(part[:, :_CELLS]) for part in (values, after)):
            differ = differ[:, :_CELLS]
            most = max(1.0, _MOST_FLIPS * differ.size)
        if differ.sum() > most:
            row, column = np.argwhere(differ)[0]
            element = f", element {column}," if 1 < values.shape[1] < _MOST_COLUMNS else ""
            change = f"{after[row, column]:.6g} in place of {values[row, column]:.6g}"
            return f"row {row} of {name!r}{element} differs ({change})"
    return None


def _differ(before: np.ndarray, after: np.ndarray, in_graph: bool) -> np.ndarray:
    """Return which numbers (n, k) differ by more than rounding does."""
    finite = np.where(np.isfinite(before), before, 0.0)
    spread = finite.std(axis=0) if len(finite) > 1 else np.abs(finite)
    scale = spread + 0.03 * np.abs(finite) + 0.003 * np.max(np.abs(finite), initial=0.0)
    tolerance = (_TOLERANCE_IN_GRAPH if in_graph else _TOLERANCE) * scale
    with np.errstate(invalid="ignore"):
        same = (before == after) | (np.isnan(before) & np.isnan(after))
        return ~(same | (np.abs(before - after) <= tolerance))


def _whole(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return bool(np.all(finite == np.round(finite)))


def _plain(value: np.ndarray) -> list[Any]:
    """Return rows (n, ...) as lists of numbers for JSON: null for NaN, and text for infinity."""
    # The digits of their own precision.
    numbers = value.reshape(len(value), -1).astype(str).astype(np.float64)
    plain = numbers.astype(object)
    plain[np.isinf(numbers)] = numbers[np.isinf(numbers)].astype(str)
    plain[np.isnan(numbers)] = None
    return list(plain.tolist())


def _read(record: Any, simulator: Simulator) -> tuple[Arrays, Arrays]:
    """Return the draws and the rows of a record; other errors say if they are odd."""
    draws: Arrays = {}
    for prior in simulator.priors:
        for name, shape in prior.event_shapes.items():
            value = np.array(record["draws"][name], np.float64).reshape(-1, *shape)
            with np.errstate(over="ignore"):
                draws[name] = value.astype(prior.dtypes[name])
    if len({len(value) for value in draws.values()}) > 1 or not 1 <= count_rows(draws) <= _DRAWS:
        raise ValueError(f"draws of {[len(value) for value in draws.values()]} rows")
    if "rows" not in record:
        return draws, {}
    lists = record["rows"]["observables"]
    rows = {name: np.array(lists[name], np.float64) for name in simulator.observable_shapes}
    count = count_rows(rows)
    shapes = [value.shape for value in rows.values()]
    numbers = set(record["rows"]["costly"])
    if not all(len(shape) == 2 and shape[0] == count for shape in shapes) or not (
        1 <= count <= count_rows(draws) and numbers <= set(range(count))
    ):
        raise ValueError(f"rows of shapes {shapes}, {sorted(numbers)} of them costly")
    return draws, rows


def _warn_once(simulator: Simulator) -> None:
    """Warn, once, of a simulator that can't be told from another by its rows."""
    if simulator in _not_deterministic:
        return
    _not_deterministic.add(simulator)
    warn(
        f"simulator {simulator.name!r} is not deterministic: called again with the same seed, it "
        "gives other numbers. Whether it is the one that a bank, a posterior or a checkpoint was "
        "made with is told by what it declares alone: prior, units, coordinates, program. Let all "
        "its randomness come from the seed",
    )
