"""Checks of arrays against what a simulator declares, in the user's own names."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np

from bayesinn.core.errors import BayesinnError, InputError, SimulatorError
from bayesinn.core.labels import Labels
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.prior import Prior
from bayesinn.simulation.simulations import MOST_REDRAWS, Arrays, Simulations


class Declared(Protocol):
    """The part of a simulator that arrays are checked against."""

    name: str
    prior: Prior
    context: Prior | None
    observable_shapes: dict[str, tuple[int, ...]]
    labels: Labels
    lengths: dict[str, str]
    on_nonfinite: str


def numbers(subject: str, value: Any, error: type[BayesinnError] = InputError) -> np.ndarray:
    """Return real numbers as an array; refuse masked, complex, ragged, empty or missing values, and text."""
    try:
        array = np.asarray(value)
    except ValueError as ragged:
        raise error(subject, expected="a rectangular array", got=str(ragged), do="pad the rows") from ragged
    if np.ma.is_masked(value):
        do = "fill or drop them the way the simulator does"
        raise error(subject, expected="real numbers", got="masked values", do=do)
    if array.dtype.kind not in "fiub" or array.size == 0:
        got = "None" if value is None else "an empty array" if array.size == 0 else f"dtype {array.dtype}"
        do = "convert it with numpy.asarray(values, float); pass real and imaginary part apart"
        raise error(subject, expected="real numbers", got=got, do=do)
    # TensorFlow has no other floats.
    return array if array.dtype.kind != "f" or array.dtype in ("f2", "f4", "f8") else array.astype(np.float64)


def check_keys(subject: str, values: Any, needed: Collection[str], allowed: Collection[str] | None = None) -> None:
    """Raise unless ``values`` is a dict with the names needed, and with no others than those allowed; None for any."""
    got, faults = type(values).__name__, ["no dict"]
    if isinstance(values, Mapping):
        missing = [name for name in needed if name not in values]
        unknown = [name for name in values if allowed is not None and name not in allowed]
        faults = [f"{missing} missing"] * bool(missing) + [f"{unknown} unknown"] * bool(unknown)
        got = f"{list(values)}: {', '.join(faults)}"
    if faults:
        example = f"{{{next(iter(needed))!r}: values}}"
        do = f"use the names that the simulator returns or that its prior or its context declares, as in {example}"
        raise InputError(subject, expected=f"a dict with {list(needed)}", got=got, do=do)


def check_arrays(variables: Prior, values: Mapping[str, Any]) -> Arrays:
    """Return values of all variables as arrays with one common number of rows; other names are ignored."""
    subject = f"Values of the {variables.subject}"
    check_keys(subject, values, variables.names)
    return _rows(subject, values, variables.event_shapes)


def check_simulations(simulator: Declared, data: Mapping[str, Any], subject: str) -> Arrays:
    """Return arrays to train on: every name, the declared shapes, equal numbers of rows, finite numbers."""
    context = {} if simulator.context is None else simulator.context.event_shapes
    shapes = {**simulator.prior.event_shapes, **simulator.observable_shapes, **context}
    check_keys(subject, data, shapes, shapes)
    arrays = _rows(subject, data, shapes)
    for name, finite in finite_rows(arrays, arrays, simulator.lengths).items():
        if not finite.all():
            got = f"NaN or infinity in {np.sum(~finite)} of {len(finite)} rows, the first is row {np.argmin(finite)}"
            do = "drop those rows (which conditions the prior on success) or correct the simulator"
            raise InputError(f"{subject}, {name!r}", expected="finite numbers", got=got, do=do)
    return arrays


def check_finite(simulator: Declared, simulations: Simulations) -> None:
    """Raise for simulations that are not finite, with the parameters of the first."""
    observables = {name: np.asarray(value) for name, value in simulations.observables.items()}
    for name, finite in finite_rows(observables, simulations.context, simulator.lengths).items():
        if not finite.all():
            subject, row = f"Observable {name!r} of simulator {simulator.name!r}", int(np.argmin(finite))
            culprit = {key: np.asarray(array)[row].tolist() for key, array in simulations.parameters.items()}
            tried = f"after {MOST_REDRAWS} redraws" if simulator.on_nonfinite == "redraw" else "of the simulations"
            got = f"NaN or infinity in {np.mean(~finite):.1%} {tried}; the first with parameters {culprit}"
            do = "correct the simulator, narrow the prior, or declare on_nonfinite='redraw' to draw such rows again"
            raise SimulatorError(subject, expected="finite numbers", got=got, do=do)


def _rows(subject: str, values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    arrays = {name: numbers(f"{subject}, {name!r}", values[name]) for name in shapes}
    rows = max(len(array) if array.ndim else 0 for array in arrays.values())
    for name, array in arrays.items():
        if array.shape != (rows, *shapes[name]):
            expected = f"shape {(rows, *shapes[name])}: one row for each of {rows}"
            raise InputError(f"{subject}, {name!r}", expected=expected, got=f"shape {array.shape}", do="reshape it")
    return arrays
