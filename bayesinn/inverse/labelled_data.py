"""Labelled vectors or images: checks, class numbers, the split into training and validation."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_number
from bayesinn.core.warning import warn
from bayesinn.simulation.digits import FEWEST_STEPS, SINGLE, resolution, statistics
from bayesinn.training import arrays

# Rows that tell how much elements vary.
_MOST_ROWS = 512

#: The name of a class.
Label = int | str
#: Events "x" (n, *event), float32, and "labels" (n,), the numbers of their classes, int32.
Labelled = dict[str, np.ndarray]


def split_labelled(
    x: Any, labels: Any, validation: float | tuple[Any, Any] | None, seed: int
) -> tuple[tuple[Label, ...], Labelled, Labelled | None]:
    """Check data; return classes, training data, and validation data.

    Validation data are a random share of the data, or a given pair (x, labels).
    """
    given = x
    x = check_events(given, None, "Argument 'x'")
    _warn_of_lost_digits(np.asarray(given))
    labels = _check_labels(labels, len(x), "Argument 'labels'")
    if isinstance(validation, tuple):
        held_x = check_events(validation[0], x.shape[1:], "Validation data")
        held_labels = validation[1]
    else:
        do = "pass for example validation=0.1, or a pair (x, labels)"
        share = 0.1 if validation is None else validation
        kept, apart = arrays.split(
            len(x), check_number("Argument 'validation'", share, least=0, below=1, do=do), seed
        )
        held_x = x[apart]
        held_labels = labels[apart]
        x = x[kept]
        labels = labels[kept]
    names, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise InputError(
            "Argument 'labels'",
            expected="two or more training vectors of each class, to estimate its scale",
            got=f"one of class {names[counts.argmin()].item()!r}",
            do="leave that class out, or find more examples of it",
        )
    classes = tuple(names.tolist())
    held = {
        "x": held_x,
        "labels": class_indices(held_labels, classes, len(held_x), "Validation labels"),
    }
    return classes, {"x": x, "labels": numbers.astype(np.int32)}, held if len(held_x) else None


def check_events(x: Any, shape: Sequence[int] | None, subject: str) -> np.ndarray:
    """Return finite vectors, or images, of a shape as a float32 array (n, *event)."""
    array = np.asarray(x)
    fit = array.ndim in (2, 4) if shape is None else array.shape[1:] == tuple(shape)
    if not fit or array.dtype.kind not in "fiub":
        known = "d" if shape is None else ", ".join(map(str, shape))
        raise InputError(
            subject,
            expected=f"numbers in an array of shape (n, {known}), one vector or image a row",
            got=f"shape {array.shape} of {array.dtype}",
            do="give images a last axis of channels, x[..., None], or flatten them, "
            "x.reshape(len(x), -1)"
            if array.ndim > 2
            else "give one row for each vector",
        )
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    bad = int(np.sum(~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))))
    if array.size == 0 or bad:
        raise InputError(
            subject,
            expected="at least one vector or image, of numbers that are finite in single precision",
            got=f"{bad} rows with NaN or infinity" if bad else "none",
            do="leave those rows out",
        )
    return array


def _warn_of_lost_digits(x: np.ndarray) -> None:
    """Warn of elements of which single precision, as networks compute, keeps few digits."""
    some = x[:: max(len(x) // _MOST_ROWS, 1)]
    sizes, deviations, varies = statistics(some, resolution(x))
    if np.any(varies & (deviations < FEWEST_STEPS * SINGLE * sizes)):
        warn(
            "x varies so little beside its size that single precision keeps few digits of that: "
            "subtract an offset, here and whenever the model is asked"
        )


def class_indices(labels: Any, classes: Sequence[Label], rows: int, subject: str) -> np.ndarray:
    """Return the position of each label among the classes, (rows,), int32."""
    names = _check_labels(labels, rows, subject).tolist()
    position = {name: number for number, name in enumerate(classes)}
    if unknown := set(names) - set(position):
        raise InputError(
            subject,
            expected=f"classes of the training data: {', '.join(map(repr, classes))}",
            got=", ".join(sorted(map(str, unknown))),
            do="pass one of these, or fit again with data of that class",
        )
    return np.array([position[name] for name in names], np.int32)


def _check_labels(labels: Any, rows: int, subject: str) -> np.ndarray:
    array = np.asarray(labels)
    if array.dtype == object and all(isinstance(label, str) for label in array.ravel()):
        array = array.astype(str)
    if array.shape != (rows,) or array.dtype.kind not in "iuU":
        raise InputError(
            subject,
            expected=f"integers or strings in an array of shape ({rows},), one label for each "
            "vector",
            got=f"shape {array.shape} of {array.dtype}",
            do="give the class of each row of x, not one-hot and not as fractions",
        )
    return array
