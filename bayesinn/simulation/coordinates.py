"""Coordinates of observables, as an author declares them: times, dates, wavelengths of steps."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesinn.core.errors import SimulatorError
from bayesinn.core.labels import Coordinate
from bayesinn.simulation.declaration import check_known

_DATES = "write dates as np.array(['2020-03-01', ...], dtype='datetime64[D]')"


def check_coordinates(
    simulator: str, declared: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Coordinate]:
    """Return coordinates of observables of these shapes: a number or date for each step.

    The steps are those of the first axis. A coordinate is declared as an array, whose axis is
    called "time", or as a dict of the name of an axis to an array.
    """
    option = f"Option 'coordinates' of simulator {simulator!r}"
    check_known(option, declared, shapes)
    found: dict[str, Coordinate] = {}
    for name, given in declared.items():
        subject = f"{option}, {name!r}"
        shape = shapes[name]
        named = given if isinstance(given, Mapping) else {"time": given}
        if len(named) != 1:
            raise SimulatorError(
                subject,
                expected="an array, or a dict of one name to an array",
                got=f"a dict of {len(named)} names",
                do="declare those of the first axis: {'hours': ...}",
            )
        ((axis, values),) = named.items()
        array = np.array(values)
        expected = f"an array of shape {shape[:1]}, for an observable of shape {shape}"
        if not shape or array.shape != shape[:1]:
            raise SimulatorError(
                subject,
                expected=expected,
                got=f"shape {array.shape}",
                do=(
                    "pass one number or date for each step along the first axis"
                    if shape
                    else "leave it out"
                ),
            )
        if array.dtype.kind not in "iufM":
            raise SimulatorError(
                subject, expected="numbers or dates", got=f"dtype {array.dtype}", do=_DATES
            )
        _check_order(subject, array)
        same = next((other for other, known in found.items() if known.name == axis), None)
        if same and not np.array_equal(found[same].values, array):
            raise SimulatorError(
                subject,
                expected=f"the {axis!r} of {same!r}",
                got="other values",
                do=(f"rename one of them: coordinates={{{name!r}: {{'{axis} of {name}': ...}}}}"),
            )
        found[name] = Coordinate(axis, array, len(shape))
    return found


def _check_order(subject: str, array: np.ndarray) -> None:
    known = np.isfinite(array)
    ahead = np.diff(array if array.dtype.kind == "M" else array.astype(float)).astype(float)
    right = known[1:] & known[:-1] & (ahead * ahead[:1] > 0.0)
    if not (known.all() and right.all()):
        at = int(np.argmin(right)) if len(right) else 0
        raise SimulatorError(
            subject,
            expected="finite values that increase, or decrease, throughout",
            got=", ".join(
                f"{value} at step {index}" for index, value in enumerate(array[at : at + 2], at)
            ),
            do="sort the steps, and leave out missing ones",
        )
