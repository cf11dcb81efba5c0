"""What a simulator is: what it does, not how it reads.

Banks, saved posteriors and checkpoints keep what a simulator declares, a few joint draws with
their log densities, and a few rows that it simulated with a fixed seed. These rows are simulated
again, and all of it is compared, before more is written, trained, loaded or resumed. Comments,
names and places of the code don't matter; constants, closures, attributes and helpers do, as far
as these rows show them.

Draws of some distributions differ between machines, those of TensorFlow's truncated normal even
with the number of threads. So the rows start from the draws that were kept, and a prior is
compared by the log density of each variable at them, given those that it depends on: a function of
numbers, the same everywhere up to rounding.
"""

import functools
import hashlib
import json
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import BayesinnError, warn
from bayesinn.core.files import check_entry, reraise_as
from bayesinn.simulation import identity_rows
from bayesinn.simulation.engines.program import Program
from bayesinn.simulation.identity_rows import Rows, plain, remember, remembering, unplain
from bayesinn.simulation.prior_text import array_text, entry_texts, same_text
from bayesinn.simulation.quantiles import check_quantiles
from bayesinn.simulation.simulations import Arrays, take
from bayesinn.simulation.simulator import Simulator

#: Entries that are there for good.
SHAPES = {"parameters": {str: [int]}, "observables": {str: [int]}, "context": {str: [int]}}
#: Present where there is no identity: see :mod:`bayesinn.simulation.quantiles`.
_QUANTILES = {"prior": {str: [[float]]}}
#: Joint draws, fewer of very many numbers; those at which distributions given others are written.
_DRAWS = 16
_MOST_NUMBERS = 20_000
_WRITTEN_DRAWS = 4
#: How declarations are called, by kind.
_WORDS = {
    "options": "option {!r}",
    "prior": "the prior of {!r}",
    "context": "the distribution of {!r}",
    "units": "the unit of {!r}",
    "coordinates": "the coordinate of {!r}",
    "places": "the selection of {!r}",
    "program": "the program's {}",
}
#: Declarations that rounding doesn't change.
_EXACT = ("options", "units", "places", "program")
#: Log densities differ by rounding.
_LOG_PROB = 1e-4

type _Texts = dict[str, dict[str, str]]
_said: weakref.WeakSet[Simulator] = weakref.WeakSet()


class Owner(NamedTuple):
    """What a simulator is checked for: its name and maker, what to do, and the error to raise."""

    name: str
    maker: str
    do: str
    error: type[BayesinnError]

    def refusal(self, simulator: Simulator, got: str) -> BayesinnError:
        """Return the error that says what another simulator does in another way."""
        subject = f"Simulator {simulator.name!r} for {self.name}"
        return self.error(
            subject, expected=f"the simulator that {self.maker}", got=f"another: {got}", do=self.do
        )


class _Known(NamedTuple):
    """What was kept of a simulator, as arrays."""

    declared: _Texts
    draws: Arrays
    log_prob: Arrays
    rows: Rows | None


@remembering()
def entries(simulator: Simulator, simulated: bool = True) -> dict[str, Any]:
    """Return what is kept of a simulator, in plain values; with rows if they are ``simulated``."""
    shapes = _shapes(simulator)
    draws, log_prob = _draws(simulator)
    identity: dict[str, Any] = {
        "declared": _declared(simulator, draws),
        "draws": {name: plain(value.reshape(len(value), -1)) for name, value in draws.items()},
        "log_prob": {name: plain(value) for name, value in log_prob.items()},
    }
    if simulated and simulator.simulates:
        rows = identity_rows.first_rows(simulator, *_parts(simulator, draws))
        identity["rows"] = identity_rows.written(rows)
        if rows.repeatable is False:
            _warn_once(simulator)
    return {**shapes, "identity": identity}


def kept_in(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the :func:`entries` in a manifest; None if it was written without an identity."""
    if "identity" not in manifest:
        return None
    return {name: manifest[name] for name in (*SHAPES, "identity")}


def fingerprint(kept: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a simulator declares, out of :func:`entries`."""
    told = {**kept, "identity": kept["identity"]["declared"]}
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@remembering()
def check(
    kept: Mapping[str, Any],
    simulator: Simulator,
    owner: Owner,
    simulated: bool = True,
) -> None:
    """Raise unless a simulator is the one that :func:`entries` were kept of.

    What is absent is not compared. If not ``simulated``, names and shapes alone are.
    """
    key = owner.name, simulated, json.dumps(kept)
    remember(simulator, key, lambda: _compare(kept, simulator, owner, simulated))


def _compare(
    kept: Mapping[str, Any],
    simulator: Simulator,
    owner: Owner,
    simulated: bool,
) -> None:
    subject = f"What is kept of simulator {simulator.name!r} in {owner.name}"
    expected = "entries as they were written"
    do = "copy the whole folder again, or write it again"
    old = "prior" in kept and "identity" not in kept
    with reraise_as(subject, expected, do, Exception, owner.error):
        check_entry(subject, "", kept, SHAPES | _QUANTILES if old else SHAPES)
    for kind, now in _shapes(simulator).items():
        # Their order is that of the network's inputs and outputs.
        if list(now.items()) != list(kept[kind].items()):
            raise owner.refusal(simulator, f"{kind} {now} in place of {kept[kind]}")
    if simulated and old:
        check_quantiles(kept["prior"], simulator, owner.refusal)
    elif simulated and "identity" in kept:
        with reraise_as(subject, expected, do, Exception, owner.error):
            known = _read(kept["identity"], simulator)
        for got in _differences(known, simulator):
            raise owner.refusal(simulator, got)


def _shapes(simulator: Simulator) -> dict[str, dict[str, list[int]]]:
    """Return the shapes of all variables, as JSON has them."""
    shapes = simulator.shapes.items()
    return {kind: {name: list(shape) for name, shape in own.items()} for kind, own in shapes}


def _differences(known: _Known, simulator: Simulator) -> Iterator[str]:
    """Yield what a simulator does in another way than the one that is known: cheap looks first."""
    yield from _other_texts(known.declared, _declared(simulator, known.draws))
    now = _log_prob(simulator, known.draws)
    for name, before in known.log_prob.items():
        slack = _LOG_PROB * (1.0 + np.abs(before))
        with np.errstate(invalid="ignore"):
            same = (before == now[name]) | (np.abs(now[name] - before) <= slack)
        if not same.all():
            row = int(np.argmin(same))
            value = array_text(known.draws[name][row])
            change = f"{now[name][row]:.6g} in place of {before[row]:.6g}"
            yield f"the log density of {name!r} at {value} is {change}"
    if known.rows is None:
        return
    if known.rows.repeatable is False:
        _warn_once(simulator)
        return
    given = _parts(simulator, take(known.draws, slice(known.rows.n)))
    again = identity_rows.again(simulator, *given)
    got = identity_rows.difference(known.rows, again, simulator.in_graph)
    if got is None:
        return
    # Of a single row that took long, nobody knows yet.
    if known.rows.repeatable is None and not identity_rows.repeats(simulator, *given):
        _warn_once(simulator)
    else:
        yield f"simulated again, {got}"


def _other_texts(known: _Texts, now: _Texts) -> Iterator[str]:
    """Yield each declaration that is another, in the author's words."""
    for kind in known.keys() & now.keys():
        for name in {**known[kind], **now[kind]}:
            before = known[kind].get(name, "nothing")
            after = now[kind].get(name, "nothing")
            same = before == after if kind in _EXACT else same_text(before, after)
            if not same:
                yield f"{_WORDS[kind].format(name)} is {after} in place of {before}"


def _declared(simulator: Simulator, draws: Arrays) -> _Texts:
    """Return what a simulator declares, in words: by kind and name."""
    some = take(draws, slice(_WRITTEN_DRAWS))
    axes = simulator.labels.coordinates
    names = [name for shapes in simulator.shapes.values() for name in shapes]
    names += [axis.name for axis in axes.values()]
    places = {name: f"{axis.name} = {array_text(axis.values)}" for name, axis in axes.items()}
    units = {name: simulator.labels.unit(name) for name in names}
    selected = {name: str(chosen.tolist()) for name, chosen in simulator.places.items()}
    return {
        "options": {
            "engine": simulator.engine.kind,
            "on_nonfinite": simulator.on_nonfinite,
            "missing": str(simulator.missing),
            "lengths": str(simulator.lengths),
        },
        "prior": entry_texts(simulator.prior, some),
        "context": {} if simulator.context is None else entry_texts(simulator.context, some),
        "units": {name: unit for name, unit in units.items() if unit},
        "coordinates": places,
        # Absent where nothing was cut, as in folders of older versions.
        **({"places": selected} if selected else {}),
        "program": _program(simulator.function),
    }


@functools.singledispatch
def _program(function: Any) -> dict[str, str]:
    """Return command and files of an external program."""
    return {}


@_program.register
def _(function: Program) -> dict[str, str]:
    return function.identity()


def _parts(simulator: Simulator, draws: Arrays) -> tuple[Arrays, Arrays]:
    """Return draws of the parameters, and those of the context."""
    parameters = {name: draws[name] for name in simulator.prior.names}
    return parameters, {name: draws[name] for name in simulator.context_names}


def _draws(simulator: Simulator) -> tuple[Arrays, Arrays]:
    """Return joint draws of parameters and context, and their log densities; none that is zero."""
    priors = simulator.priors
    shapes = [shape for prior in priors for shape in prior.event_shapes.values()]
    numbers = sum(int(np.prod(shape)) for shape in shapes)
    count = max(1, min(_DRAWS, _MOST_NUMBERS // max(numbers, 1)))
    draws: Arrays = {}
    for number, prior in enumerate(priors):
        drawn = prior.sample(count, seeds.tensor_seed(0, "identity", number))
        draws |= {name: value.numpy() for name, value in drawn.items()}
    log_prob = _log_prob(simulator, draws)
    # Rounding may put a draw on the edge of its support.
    inside = np.all([value > -np.inf for value in log_prob.values()], axis=0)
    return take(draws, inside), take(log_prob, inside)


def _log_prob(simulator: Simulator, draws: Arrays) -> Arrays:
    """Return the log density (n,) of each variable at draws, given those that it depends on."""
    found = {}
    for prior in simulator.priors:
        given = {name: tf.convert_to_tensor(draws[name]) for name in prior.names}
        for name, value in given.items():
            density = prior.distribution(name, given).log_prob(value)
            found[name] = density.numpy().reshape(len(value))
    return found


def _read(kept: Mapping[str, Any], simulator: Simulator) -> _Known:
    """Return what was kept; a ValueError, TypeError or KeyError says if it is odd."""
    declared: _Texts = {}
    for kind, texts in kept["declared"].items():
        declared[kind] = {name: _string(text) for name, text in texts.items()}
    draws: Arrays = {}
    counts: set[int] = set()
    for prior in simulator.priors:
        for name, shape in prior.event_shapes.items():
            value = unplain(kept["draws"][name], 2)
            with np.errstate(over="ignore"):
                draws[name] = value.reshape(len(value), *shape).astype(prior.dtypes[name])
            counts.add(len(value))
    log_prob = {name: unplain(kept["log_prob"][name], 1) for name in draws}
    counts |= {len(value) for value in log_prob.values()}
    if len(counts) > 1 or not 1 <= max(counts) <= _DRAWS:
        raise ValueError(f"{sorted(counts)} draws")
    # A simulator never sees others.
    if not all(np.all(value > -np.inf) for value in log_prob.values()):
        raise ValueError("draws outside of the prior")
    rows = identity_rows.read(kept["rows"], max(counts)) if "rows" in kept else None
    expected = simulator.observable_shapes.keys()
    if rows is not None and rows.columns.keys() not in (set(), expected):
        raise ValueError(f"rows of {list(rows.columns)}")
    return _Known(declared, draws, log_prob, rows)


def _string(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{text!r} in place of a text")
    return text


def _warn_once(simulator: Simulator) -> None:
    """Warn, once, of a simulator that can't be told from another by its rows."""
    if simulator in _said:
        return
    _said.add(simulator)
    warn(
        f"simulator {simulator.name!r} is not deterministic: called again with the same seed, it "
        "gives other numbers. Whether it is the one that a bank, a posterior or a checkpoint was "
        "made with is told by what it declares alone: prior, units, coordinates, program. Let all "
        "its randomness come from the seed",
    )
