"""What distances between two sets of points need: checked arrays, one scale, not too many points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.labels import columns
from bayesinn.diagnostics.arrays import check_finite


def check_sets(
    first: np.ndarray, second: np.ndarray, names: tuple[str, str] = ("first", "second")
) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of points as arrays of floats.

    Parameters
    ----------
    first : array (m, d)
    second : array (n, d)
    names : what to call them in an error

    Returns
    -------
    arrays (m, d) and (n, d)

    Raises
    ------
    InputError
        A set is no such array, has fewer than two points or values that are not finite, or columns differ in number.
    """
    first, second = np.asarray(first), np.asarray(second)
    for name, points in zip(names, (first, second), strict=True):
        if points.ndim != 2 or len(points) < 2 or points.shape[1] < 1:
            raise InputError(
                name,
                expected="an array (points, columns) with at least 2 points",
                got=f"shape {points.shape}",
                do="put one point in a row; a single column is values[:, None]",
            )
        check_finite(name, points)
    if first.shape[1] != second.shape[1]:
        raise InputError(
            " and ".join(names),
            expected="equally many columns",
            got=f"{first.shape[1]} and {second.shape[1]}",
            do="pass the same coordinates in the same order",
        )
    return first.astype(float), second.astype(float)


def named_sets(
    draws: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Two sets of named draws as sets of points.

    Parameters
    ----------
    draws : dict of name to array (m, *event)
    reference : dict of name to array (n, *event)

    Returns
    -------
    names of the k columns, array (m, k), array (n, k)

    Raises
    ------
    InputError
        Names, shapes or values do not fit.
    """
    if not draws or set(draws) != set(reference):
        raise InputError(
            "parameters of draws and reference",
            expected="the same names in both, at least one",
            got=f"draws {sorted(draws)}, reference {sorted(reference)}",
            do="pass draws of the same parameters, under the same names",
        )
    given = {"draws": draws, "reference": {name: reference[name] for name in draws}}
    split = {role: columns(_checked(role, values), batch_ndim=1) for role, values in given.items()}
    if list(split["draws"]) != list(split["reference"]):
        raise InputError(
            "columns of draws and reference",
            expected="the same event shape for each parameter",
            got=f"draws {list(split['draws'])}, reference {list(split['reference'])}",
            do="bring both to shape (draws, *event), with the draws of all chains on one axis",
        )
    first, second = (np.stack([value.astype(float) for value in parts.values()], -1) for parts in split.values())
    return tuple(split["draws"]), first, second


def subset(points: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """The points (n, d), or a random ``most`` of them if there are more."""
    return points if len(points) <= most else generator.choice(points, most, replace=False)


def standardised(points: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and reference in standard deviations of the reference from its mean.

    A column that the reference holds constant has no standard deviation; the distance of the points from the constant
    takes its place (root mean square), so that the constant becomes 0 and any departure from it about 1. Without a
    departure all become 0.

    Parameters
    ----------
    points : array (m, d)
    reference : array (n, d)

    Returns
    -------
    arrays (m, d) and (n, d)

    Examples
    --------
    >>> import numpy as np
    >>> standardised(np.array([[3.0, 5.0], [5.0, 5.0]]), np.array([[0.0, 4.0], [2.0, 4.0]]))[0].round(2)
    array([[1.41, 1.  ],
           [2.83, 1.  ]])
    """
    constant = np.ptp(reference, axis=0) == 0.0
    # The mean of equal numbers may differ from them by rounding, and their deviation from zero.
    centre = np.where(constant, reference[0], np.mean(reference, axis=0))
    departure = np.sqrt(np.mean((points - centre) ** 2, axis=0))
    scale = np.where(constant, departure, np.std(reference, axis=0, ddof=1))
    scale = np.where(scale > 0.0, scale, 1.0)
    return (points - centre) / scale, (reference - centre) / scale


def _checked(role: str, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(value) for name, value in draws.items()}
    shapes = {name: value.shape for name, value in arrays.items()}
    lengths = {shape[:1] for shape in shapes.values()}
    if len(lengths) > 1 or min(lengths) < (2,):
        raise InputError(
            role,
            expected="for every parameter an array (draws, *event), with the same 2 or more draws",
            got=str(shapes),
            do="pass the draws given one observation: draws[name][i] for observation i",
        )
    for name, value in arrays.items():
        check_finite(f"{role} of parameter {name!r}", value)
    return arrays
