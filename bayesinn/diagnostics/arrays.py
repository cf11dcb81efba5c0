"""Checks and layout of named arrays and sets of points: one column a scalar, one row a point."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_number, check_type
from bayesinn.core.labels import columns

#: Named arrays: of parameters, or of observables.
Arrays = Mapping[str, np.ndarray]

_LARGEST = 1e100


class Pairs(NamedTuple):
    """Truths (n, k) and draws (n, L, k) that belong together, and the names of their columns."""

    columns: tuple[str, ...]
    truth: np.ndarray
    draws: np.ndarray


def refuse_many_observations(draws: object, role: str = "draws") -> None:
    """Refuse draws of a posterior given many observations, where those of one are asked for.

    Their first axis would be taken for that of draws. Plain arrays don't tell.
    """
    p_value = np.asarray(getattr(draws, "p_value", 0.0))
    if p_value.ndim > 0:
        raise InputError(
            role,
            expected="those given one observation",
            got=f"those given {len(p_value)}",
            do="take one of them, {name: value[0] for name, value in draws.items()}; "
            "bi.plots.observations shows all",
        )


def paired(truth: Arrays, draws: Arrays) -> Pairs:
    """Match truths (n, *event) with draws (n, L, *event)."""
    rows = by_column("truth", truth, truth)
    drawn = by_column("draws", draws, truth, rows=len(rows), batch_ndim=2)
    return Pairs(tuple(columns(truth, batch_ndim=1)), rows, drawn)


def by_column(
    role: str, values: Arrays, like: Arrays, *, rows: int | None = None, batch_ndim: int = 1
) -> np.ndarray:
    """Lay out arrays (*batch, *event), named as ``like`` (n, *event), as one array (*batch, k).

    The arrays must have the names and events of ``like``.
    """
    for part in (like, values):
        do = "pass for example {'rate': array}"
        check_type(role, part, Mapping, "a dict of name to array", do)
    if not like:
        raise InputError(
            role, expected="at least one parameter", got="an empty dict", do="pass the parameters"
        )
    if set(values) != set(like):
        raise InputError(
            f"names in {role}",
            expected=f"the parameters {sorted(like)}",
            got=f"no {sorted(set(like) - set(values))}, {sorted(set(values) - set(like))} too many",
            do="pass the same parameters in all arguments",
        )
    arrays = {name: numbers(f"{role} of parameter {name!r}", values[name]) for name in like}
    first = next(iter(arrays))
    batch = (
        arrays[first].shape[:batch_ndim]
        if rows is None
        else (rows, *arrays[first].shape[1:batch_ndim])
    )
    for name, array in arrays.items():
        subject = f"{role} of parameter {name!r}"
        shape = (
            *batch,
            *("data sets", "draws")[len(batch) : batch_ndim],
            *np.shape(like[name])[1:],
        )
        if array.shape != shape or min(batch) < 2:
            raise InputError(
                subject,
                expected=f"shape {shape} as for {first!r}: 2 or more data sets, 2 or more draws, "
                "event",
                got=f"shape {array.shape}",
                do="put data sets on the first axis, draws on the second, equally many for all "
                "parameters",
            )
        check_finite(subject, array)
    return np.stack(
        [column.astype(float) for column in columns(arrays, batch_ndim).values()], axis=-1
    )


def check_level(level: float) -> float:
    """Return a probability between 0 and 1."""
    return check_number("Argument 'level'", level, above=0, below=1, do="pass for example 0.99")


def check_finite(subject: str, value: Any) -> np.ndarray:
    """Return finite numbers: a rank against NaN or infinity would be silently wrong."""
    value = numbers(subject, value)
    if bad := np.size(value) - np.count_nonzero(np.isfinite(value)):
        raise InputError(
            subject,
            expected="finite values",
            got=f"{bad} of {np.size(value)} values NaN or infinite",
            do="leave out the data sets or draws concerned and count them, or repair what made "
            "them",
        )
    return value


def check_points(
    subject: str, points: Any, *, least: int = 2, width: int | None = None
) -> np.ndarray:
    """Return points (n, d) as floats, with n of at least ``least`` and d = ``width`` if given."""
    points = check_finite(subject, points)
    if (
        points.ndim != 2
        or len(points) < least
        or points.shape[1] != (width or max(1, points.shape[-1]))
    ):
        raise InputError(
            subject,
            expected=f"shape (n, {width or 'columns'}) with n of at least {least}",
            got=f"shape {points.shape}",
            do="put one point in a row, with the same columns in all arrays; a single column is "
            "values[:, None]",
        )
    return _squarable(subject, points.astype(float))


def _squarable(subject: str, points: np.ndarray) -> np.ndarray:
    """Return points (n, d) of which squares can be added up."""
    if np.abs(points).max() > _LARGEST:
        raise InputError(
            subject,
            expected=f"numbers up to {_LARGEST:g}, whose squares can be added up",
            got=f"{np.abs(points).max():g}",
            do="measure them in a larger unit",
        )
    return points


def check_sets(
    first: np.ndarray, second: np.ndarray, names: tuple[str, str] = ("first", "second")
) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of points (m, d) and (n, d) as floats."""
    first = check_points(names[0], first)
    return first, check_points(names[1], second, width=first.shape[1])


def subset(points: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """Return the points (n, d), or a random ``most`` of them if there are more."""
    return points if len(points) <= most else generator.choice(points, most, replace=False)


def split_rows(values: np.ndarray, size: int) -> np.ndarray:
    """Return values (m, ...) in sets (m // size, size, ...), one at least; the rest is left out."""
    size = min(size, len(values))
    return values[: len(values) // size * size].reshape(-1, size, *values.shape[1:])


def standardised(points: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points and reference in standard deviations of the reference from its mean.

    A constant reference becomes 0; departures of the points from it count in their root mean
    square: about 1.
    """
    for values in (points, reference):
        _squarable("Values that are compared", values)
    constant = np.ptp(reference, axis=0) == 0.0
    # The mean of equal numbers may differ from them by rounding, and their deviation from zero.
    centre = np.where(constant, reference[0], np.mean(reference, axis=0))
    departure = np.sqrt(np.mean((points - centre) ** 2, axis=0))
    scale = np.where(constant, departure, np.std(reference, axis=0, ddof=1))
    scale = np.where(scale > 0.0, scale, 1.0)
    return (points - centre) / scale, (reference - centre) / scale
