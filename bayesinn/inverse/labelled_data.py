"""Labelled vectors: checked, numbered, and split once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError

_VALIDATION_SHARE = 0.1

#: What a class may be called.
Label = int | str


@dataclass(frozen=True)
class LabelledData:
    """Training and validation arrays of a classifier.

    Parameters
    ----------
    classes : tuple of int or str
    training, held_out : dict with "x" (n, d), float32, and "labels" (n,), positions in ``classes``, int32
    """

    classes: tuple[Label, ...]
    training: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray] | None

    @classmethod
    def split(cls, x: Any, labels: Any, validation: float | tuple[Any, Any] | None, seed: int) -> LabelledData:
        """Check; set a share aside at random, as the seed decides, or check the pair (x, labels) given for it."""
        x = check_vectors(x, None, "Argument 'x'")
        labels = check_labels(labels, len(x), "Argument 'labels'")
        held_out: tuple[np.ndarray, np.ndarray] | None = None
        if isinstance(validation, tuple):
            held_x = check_vectors(validation[0], x.shape[1], "Validation data")
            held_out = held_x, check_labels(validation[1], len(held_x), "Validation labels")
        else:
            apart = round(_share(validation) * len(x))
            order = np.random.default_rng(seeds.entropy(seed, "validation")).permutation(len(x))
            if apart:
                held_out = x[order[:apart]], labels[order[:apart]]
            x, labels = x[order[apart:]], labels[order[apart:]]
        classes = classes_of(labels)
        training = {"x": x, "labels": indices_of(labels, classes, "Argument 'labels'")}
        if held_out is None:
            return cls(classes, training, None)
        indices = indices_of(held_out[1], classes, "Validation labels")
        return cls(classes, training, {"x": held_out[0], "labels": indices})


def check_vectors(x: Any, dimension: int | None, subject: str) -> np.ndarray:
    """Vectors as a float32 array (n, d).

    Raises
    ------
    InputError
        For anything but finite numbers in that shape.
    """
    array = np.asarray(x)
    if array.ndim != 2 or array.dtype.kind not in "fiub" or array.shape[1] != (dimension or array.shape[1]):
        width = "d" if dimension is None else str(dimension)
        raise InputError(
            subject,
            expected=f"numbers in an array of shape (n, {width}), one vector a row",
            got=f"shape {array.shape} of {array.dtype}",
            do="flatten images: x.reshape(len(x), -1)" if array.ndim > 2 else "give one row for each vector",
        )
    if array.size == 0 or not np.all(np.isfinite(array)):
        raise InputError(
            subject,
            expected="at least one vector, of finite numbers",
            got="none"
            if array.size == 0
            else f"{int(np.sum(~np.isfinite(array).all(axis=1)))} rows with NaN or infinity",
            do="leave those rows out",
        )
    return array.astype(np.float32)


def check_labels(labels: Any, rows: int, subject: str) -> np.ndarray:
    """Labels as an array (n,) of integers or strings."""
    array = np.asarray(labels)
    if array.dtype == object and all(isinstance(label, str) for label in array.ravel()):
        array = array.astype(str)
    if array.shape != (rows,) or array.dtype.kind not in "iuU":
        raise InputError(
            subject,
            expected=f"integers or strings in an array of shape ({rows},), one label for each vector",
            got=f"shape {array.shape} of {array.dtype}",
            do="give the class of each row of x, not one-hot and not as fractions",
        )
    return array


def classes_of(labels: np.ndarray) -> tuple[Label, ...]:
    """The classes that occur, in order.

    Raises
    ------
    InputError
        When a class has a single member, which can't say how it scatters.
    """
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise InputError(
            "Argument 'labels'",
            expected="two or more training vectors of each class",
            got=f"one of class {names[counts.argmin()].item()!r}",
            do="leave that class out, or find more examples of it",
        )
    return tuple(names.tolist())


def indices_of(labels: np.ndarray, classes: Sequence[Label], subject: str) -> np.ndarray:
    """Position of each label among the classes, int32."""
    position = {name: number for number, name in enumerate(classes)}
    unknown = sorted({str(name) for name in np.unique(labels).tolist() if name not in position})
    if unknown:
        raise InputError(
            subject,
            expected=f"classes of the training data: {', '.join(map(repr, classes))}",
            got=", ".join(unknown),
            do="pass one of these, or fit again with data of that class",
        )
    return np.array([position[name] for name in labels.tolist()], np.int32)


def _share(validation: float | None) -> float:
    share = _VALIDATION_SHARE if validation is None else validation
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise InputError(
            "Argument 'validation'",
            expected="a share from 0 to below 1, or a pair (x, labels)",
            got=repr(validation),
            do="pass for example validation=0.1",
        )
    return share
