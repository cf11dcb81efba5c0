"""Sets of points: checked arrays with one point a row, on one scale, not too many."""

from __future__ import annotations

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.arrays import check_finite


def check_points(subject: str, points: np.ndarray, *, least: int = 2, width: int | None = None) -> np.ndarray:
    """Return points (n, d) as floats: at least so many, with ``width`` columns or any number of them."""
    points = np.asarray(points)
    if points.ndim != 2 or len(points) < least or points.shape[1] != (width or max(1, points.shape[-1])):
        raise InputError(
            subject,
            expected=f"shape (n, {width or 'columns'}) with n of at least {least}",
            got=f"shape {points.shape}",
            do="put one point in a row, with the same columns in all arrays; a single column is values[:, None]",
        )
    check_finite(subject, points)
    return points.astype(float)


def check_sets(
    first: np.ndarray, second: np.ndarray, names: tuple[str, str] = ("first", "second")
) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of points (m, d) and (n, d) as floats."""
    first = check_points(names[0], first)
    return first, check_points(names[1], second, width=first.shape[1])


def subset(points: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """Return the points (n, d), or a random ``most`` of them if there are more."""
    return points if len(points) <= most else generator.choice(points, most, replace=False)


def standardised(points: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points and reference in standard deviations of the reference from its mean.

    A column that the reference holds constant has no standard deviation; the distance of the points from the constant
    takes its place (root mean square), so that the constant becomes 0 and any departure from it about 1. Without a
    departure all become 0.
    """
    constant = np.ptp(reference, axis=0) == 0.0
    # The mean of equal numbers may differ from them by rounding, and their deviation from zero.
    centre = np.where(constant, reference[0], np.mean(reference, axis=0))
    departure = np.sqrt(np.mean((points - centre) ** 2, axis=0))
    scale = np.where(constant, departure, np.std(reference, axis=0, ddof=1))
    scale = np.where(scale > 0.0, scale, 1.0)
    return (points - centre) / scale, (reference - centre) / scale
