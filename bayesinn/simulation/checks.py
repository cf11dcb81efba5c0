"""Checks of arrays against what a simulator declares, in the user's own names."""

from __future__ import annotations

import os
import statistics
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.arrays import broadcast_mask, numbers, padding
from bayesinn.core.errors import InputError, SimulatorError, check_number
from bayesinn.core.labels import Labels
from bayesinn.simulation.prior import Prior, Values
from bayesinn.simulation.simulations import MOST_REDRAWS, Arrays, Simulations


def check_missing(subject: str, value: Any) -> float | None:
    """Return the largest share of values that are lost at random, or None.

    The share is 0.0 if the simulator itself decides which values are missing.
    """
    if value is None:
        return None
    if isinstance(value, str) and value == "mask":
        return 0.0
    return check_number(
        subject,
        value,
        above=0,
        below=1,
        do="pass missing='mask' where the simulator itself returns NaN, or the largest share that "
        "is lost, such as 0.3",
    )


def missing_option(share: float | None) -> Any:
    """Return the option that declares what :func:`check_missing` returned."""
    return "mask" if share == 0.0 else share


def lose_values(
    observables: Mapping[str, tf.Tensor], share: float, seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Return observables (n, ...) as floats, each row without a random share of its values.

    This share is drawn anew for each row, uniformly from 0 to ``share``.
    """
    first, *others = seeds.split(seed, 1 + len(observables))
    rows = tf.shape(next(iter(observables.values())))[:1]
    shares = tf.random.stateless_uniform(rows, first, 0.0, share, alg="philox")
    kept = {}
    for (name, value), lose_seed in zip(observables.items(), others, strict=True):
        value = tf.convert_to_tensor(value)
        value = value if value.dtype.is_floating else tf.cast(value, tf.float32)
        threshold = tf.reshape(shares, tf.concat([rows, (value.shape.rank - 1) * [1]], axis=0))
        lost = tf.random.stateless_uniform(tf.shape(value), lose_seed, alg="philox") < threshold
        kept[name] = tf.where(lost, tf.constant(float("nan"), value.dtype), value)
    return kept


# Which numbers are finite in single precision, as networks compute; padding may hold anything.
#
# Where missing values are declared, NaN stands for one; infinity is never allowed.


class DeclaredFinite(Protocol):
    """Declarations that decide which numbers must be finite."""

    @property
    def lengths(self) -> Mapping[str, str]: ...

    @property
    def missing(self) -> float | None: ...


def finite(
    value: np.ndarray, counts: np.ndarray | None = None, missing: bool = False
) -> np.ndarray:
    """Return which cells of an array (n, ...) are finite, padding, or may be ``missing``.

    Padding lies beyond the ``counts`` (n,).
    """
    if value.dtype.kind != "f":
        return np.ones(value.shape, bool)
    with np.errstate(over="ignore", invalid="ignore"):
        cells = np.isfinite(value.astype(np.float32)) | (missing & np.isnan(value))
    return cells if counts is None else cells | broadcast_mask(padding(value, counts), value)


def finite_rows(
    observables: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray], declared: DeclaredFinite
) -> dict[str, np.ndarray]:
    """Return which rows (n,) of each observable are finite where they must be.

    Counts of observables of varying length are among the ``known`` arrays.
    """
    rows: dict[str, np.ndarray] = {}
    for name, value in observables.items():
        counts = known.get(declared.lengths.get(name, ""))
        # A wrong declaration of lengths is reported elsewhere.
        counted = counts is not None and np.ndim(counts) == 1 and value.ndim > 1
        cells = finite(value, counts if counted else None, declared.missing is not None)
        rows[name] = np.all(cells.reshape(len(value), -1), axis=1)
    return rows


class Declared(Protocol):
    """The part of a simulator that arrays are checked against."""

    name: str
    prior: Prior
    context: Prior | None
    observable_shapes: dict[str, tuple[int, ...]]
    labels: Labels
    lengths: dict[str, str]
    missing: float | None
    on_nonfinite: str
    per_trial: tuple[str, ...]


# Names that a message lists.
_MOST_NAMES = 12


def may_miss(simulator: Declared, name: str) -> bool:
    """Tell whether values of a variable may be missing, as those of one of several trials may."""
    losing = simulator.missing is not None or name in simulator.per_trial
    return losing and name in simulator.observable_shapes


def check_keys(
    subject: str, values: Any, needed: Collection[str], allowed: Collection[str] | None = None
) -> None:
    """Raise unless ``values`` is a dict with the names needed, and only those allowed.

    None allows any name.
    """
    got = type(values).__name__
    faults = ["no dict"]
    lacking: list[str] = []
    if isinstance(values, Mapping):
        lacking = [name for name in needed if name not in values]
        unknown = [name for name in values if allowed is not None and name not in allowed]
        faults = []
        if lacking:
            faults.append(f"{_list_names(lacking)} missing")
        if unknown:
            faults.append(f"{_list_names(unknown)} unknown")
        got = f"{_list_names(values)}: {', '.join(faults)}"
    if faults:
        expected = "nothing: the simulator declares none"
        do = "leave it out"
        if needed:
            expected = f"a dict with {_list_names(needed)}"
            do = (
                "use the names that the simulator returns or that its prior or its context "
                f"declares, as in {{{next(iter(lacking or needed))!r}: values}}"
            )
            if hasattr(values, "columns"):
                do = _how_to_pass_a_table(values.columns, needed)
            elif isinstance(values, str | os.PathLike):
                do = "read the file first, as in dict(numpy.load(path))"
        raise InputError(subject, expected=expected, got=got, do=do)


def _how_to_pass_a_table(columns: Collection[str], needed: Collection[str]) -> str:
    """Say how a dict is made of a table, whose other columns are left out."""
    for name in needed:
        if name not in columns:
            return f"pass a dict of arrays; columns of one: {{{name!r}: table[columns].to_numpy()}}"
    return f"pass {{name: table[name].to_numpy() for name in {list(needed)}}}"


def _list_names(names: Iterable[str]) -> str:
    """Return names as they are written in a list; of many, the first and how many there are."""
    names = list(names)
    if len(names) <= _MOST_NAMES:
        return f"{names}"
    return f"{names[:_MOST_NAMES]} and {len(names) - _MOST_NAMES} more"


def check_arrays(variables: Prior, values: Mapping[str, Any]) -> Arrays:
    """Return values of all variables as arrays with a common row number; ignore other names."""
    subject = f"Values of the {variables.subject}"
    check_keys(subject, values, variables.names)
    return _rows(subject, values, variables.event_shapes, ())


def check_inputs(
    simulator: Declared, parameters: Mapping[str, Any], context: Mapping[str, Any] | None
) -> Arrays:
    """Return parameters, and context if the simulator has any, as arrays with one row number."""
    arrays = check_arrays(simulator.prior, parameters)
    names = () if simulator.context is None else simulator.context.names
    check_keys("Argument 'context'", {} if context is None else context, names, names)
    if simulator.context is None:
        return arrays
    arrays |= check_arrays(simulator.context, context or {})
    shapes = {**simulator.prior.event_shapes, **simulator.context.event_shapes}
    return _rows("Parameters and context", arrays, shapes, ())


def check_simulations(
    simulator: Declared,
    data: Mapping[str, Any],
    subject: str,
    events: Mapping[str, tuple[int, ...]] | None = None,
) -> Arrays:
    """Return arrays to train on: all names, declared shapes, equal row numbers, finite numbers.

    What is learned is of the shapes ``events``, by default the parameters.
    """
    context = {} if simulator.context is None else simulator.context.event_shapes
    learned = simulator.prior.event_shapes if events is None else events
    shapes = {**learned, **simulator.observable_shapes, **context}
    check_keys(subject, data, shapes, shapes)
    arrays = _rows(subject, data, shapes, [name for name in shapes if may_miss(simulator, name)])
    observed = {name: arrays[name] for name in simulator.observable_shapes}
    complete = finite_rows(observed, arrays, simulator)
    # Of parameters and context no value may be missing.
    for name in shapes:
        if name not in observed:
            cells = finite(arrays[name])
            complete[name] = np.all(cells.reshape(len(cells), -1), axis=1)
    for name, rows in complete.items():
        if not rows.all():
            raise InputError(
                f"{subject}, {name!r}",
                expected="finite numbers",
                got=(
                    f"NaN or infinity in {np.sum(~rows)} of {len(rows)} rows, the first is row "
                    f"{np.argmin(rows)}"
                ),
                do=(
                    "drop those rows (which conditions the prior on success) or correct the "
                    "simulator"
                ),
            )
    # Truth values can't be scaled.
    boolean = [name for name in learned if arrays[name].dtype == bool]
    return arrays | {name: arrays[name].astype(np.float32) for name in boolean}


def check_finite(simulator: Declared, simulations: Simulations) -> None:
    """Raise for simulations that are not finite, with the parameters of the first."""
    observables = {name: np.asarray(value) for name, value in simulations.observables.items()}
    for name, rows in finite_rows(observables, simulations.context, simulator).items():
        if not rows.all():
            row = int(np.argmin(rows))
            culprit = {
                key: np.asarray(array)[row].tolist()
                for key, array in simulations.parameters.items()
            }
            tried = (
                f"after {MOST_REDRAWS} redraws"
                if simulator.on_nonfinite == "redraw"
                else "of the simulations"
            )
            raise SimulatorError(
                f"Observable {name!r} of simulator {simulator.name!r}",
                expected="finite numbers",
                got=(
                    f"NaN or infinity in {100 * np.mean(~rows):.1f} % {tried}; the first "
                    f"with parameters {culprit}"
                ),
                do=(
                    "correct the simulator, narrow the prior, or declare on_nonfinite='redraw' to "
                    "draw such rows again"
                ),
            )


def _rows(
    subject: str,
    values: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    missing: Collection[str],
) -> Arrays:
    arrays = {
        name: numbers(f"{subject}, {name!r}", values[name], missing=name in missing)
        for name in shapes
    }
    for name, array in arrays.items():
        # A column is the usual form of single numbers in other libraries.
        if shapes[name] == () and array.ndim == 2 and array.shape[1] == 1:
            arrays[name] = array[:, 0]
    sizes = {name: len(array) if array.ndim else 1 for name, array in arrays.items()}
    fitting = [name for name in arrays if arrays[name].shape == (sizes[name], *shapes[name])]
    # What most arrays of the declared shape say; the odd one out is blamed.
    rows = max(statistics.multimode(sizes[name] for name in fitting or arrays))
    for name, array in arrays.items():
        expected = (rows, *shapes[name])
        if array.shape != expected:
            do = "give the same rows under each name" if name in fitting else "reshape it"
            if array.ndim > 1 and array.T.shape == expected:
                do = f"transpose it: {name}.T"
            raise InputError(
                f"{subject}, {name!r}",
                expected=f"shape {expected}: one row for each of {rows}",
                got=f"shape {array.shape}",
                do=do,
            )
    return arrays


def without_padding_in_graph(lengths: Mapping[str, str], data: Values, context: Values) -> Values:
    """Do to tensors what :func:`bayesinn.core.arrays.without_padding` does to arrays."""
    blank = dict(data)
    for name, counter in lengths.items():
        value = data[name]
        valid = tf.sequence_mask(tf.cast(context[counter], tf.int32), value.shape[1])
        blank[name] = tf.where(broadcast_mask(valid, value), value, tf.zeros_like(value))
    return blank
