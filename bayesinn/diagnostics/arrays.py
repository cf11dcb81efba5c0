"""Check the arrays that diagnostics receive and lay them out by column, so that no diagnostic does it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.labels import columns


@dataclass(frozen=True, eq=False)
class Pairs:
    """Truths and draws that belong together, one column for each scalar.

    Parameters
    ----------
    columns : names of the k columns
    truth : array (n, k)
    draws : array (n, draws, k)
    """

    columns: tuple[str, ...]
    truth: np.ndarray
    draws: np.ndarray


def paired(truth: Mapping[str, np.ndarray], draws: Mapping[str, np.ndarray]) -> Pairs:
    """Match truths with draws.

    Parameters
    ----------
    truth : dict of name to array (n, *event)
    draws : dict of name to array (n, draws, *event)

    Returns
    -------
    Pairs

    Raises
    ------
    InputError
        Names or shapes do not match, there is nothing to diagnose, or a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> paired({"rate": np.zeros(5)}, {"rate": np.zeros((5, 20))}).columns
    ('rate',)
    """
    truth = {name: np.asarray(value) for name, value in truth.items()}
    draws = {name: np.asarray(value) for name, value in draws.items()}
    _check_names(truth, draws, "draws")
    first = next(iter(draws))
    batch = draws[first].shape[:2]
    for name in truth:
        _check_shapes(name, truth[name], draws[name], batch, first)
        check_finite(f"truth of parameter {name!r}", truth[name])
        check_finite(f"draws of parameter {name!r}", draws[name])
    truth_columns = columns(truth, batch_ndim=1)
    draws_columns = columns({name: draws[name] for name in truth}, batch_ndim=2)
    return Pairs(
        columns=tuple(truth_columns),
        truth=np.stack([value.astype(float) for value in truth_columns.values()], axis=-1),
        draws=np.stack([value.astype(float) for value in draws_columns.values()], axis=-1),
    )


def columns_like(
    truth: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray], role: str, *, rows: int | None = None
) -> np.ndarray:
    """Values of the same parameters by column, in the order of ``truth``.

    Parameters
    ----------
    truth : dict of name to array (n, *event)
    values : dict of name to array (m, *event)
    role : str
        What the values are, for errors: for example ``"prior"``.
    rows : int, optional
        The m expected; any number of two or more if left out.

    Returns
    -------
    array (m, k)
    """
    values = {name: np.asarray(value) for name, value in values.items()}
    truth = {name: np.asarray(value) for name, value in truth.items()}
    _check_names(truth, values, role)
    size = len(np.atleast_1d(next(iter(values.values())))) if rows is None else rows
    for name, value in values.items():
        if value.shape != (size, *truth[name].shape[1:]) or size < 2:
            raise InputError(
                f"{role} of parameter {name!r}",
                expected=f"shape {(max(size, 2), *truth[name].shape[1:])}: two or more rows, then the event",
                got=f"shape {value.shape}",
                do="pass equally many values of every parameter",
            )
        check_finite(f"{role} of parameter {name!r}", value)
    split = columns({name: values[name] for name in truth}, batch_ndim=1)
    return np.stack([value.astype(float) for value in split.values()], axis=-1)


def check_fraction(subject: str, value: float) -> None:
    """Refuse a probability outside the open interval (0, 1)."""
    if not 0.0 < value < 1.0:
        raise InputError(
            subject, expected="a number between 0 and 1, ends excluded", got=repr(value), do="pass for example 0.99"
        )


def check_finite(subject: str, value: np.ndarray) -> None:
    """Refuse NaN and infinity: a rank against NaN would be silently wrong."""
    if value.dtype.kind not in "biuf":
        raise InputError(subject, expected="real numbers", got=f"dtype {value.dtype}", do="convert to numbers first")
    bad = int(np.size(value) - np.count_nonzero(np.isfinite(value)))
    if bad:
        raise InputError(
            subject,
            expected="finite values",
            got=f"{bad} of {np.size(value)} values NaN or infinite",
            do="leave out the data sets concerned and count them, or mend the posterior or simulator that made them",
        )


def _check_names(truth: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], role: str) -> None:
    if not truth:
        raise InputError("truth", expected="at least one parameter", got="an empty dict", do="pass the parameters")
    if set(truth) != set(other):
        missing, extra = sorted(set(truth) - set(other)), sorted(set(other) - set(truth))
        found = [f"no {missing}"] if missing else []
        found += [f"{extra} too many"] if extra else []
        raise InputError(
            f"names in {role}",
            expected=f"those of truth: {sorted(truth)}",
            got=", ".join(found),
            do=f"pass the same parameters in truth and {role}",
        )


def _check_shapes(name: str, truth: np.ndarray, draws: np.ndarray, batch: tuple[int, ...], first: str) -> None:
    subject = f"parameter {name!r}"
    if truth.ndim < 1 or draws.ndim != truth.ndim + 1 or draws.shape[:1] + draws.shape[2:] != truth.shape:
        raise InputError(
            subject,
            expected="truth (n, *event) and draws (n, draws, *event)",
            got=f"truth {truth.shape} and draws {draws.shape}",
            do="put data sets on the first axis of both, draws on the second axis of draws",
        )
    if draws.shape[:2] != batch:
        raise InputError(
            subject,
            expected=f"{batch[0]} data sets with {batch[1]} draws, as for {first!r}",
            got=f"{draws.shape[0]} data sets with {draws.shape[1]} draws",
            do="draw all parameters together",
        )
    if draws.shape[0] < 2 or draws.shape[1] < 2:
        raise InputError(
            subject,
            expected="at least 2 data sets and 2 draws (a useful answer needs some hundreds of both)",
            got=f"{draws.shape[0]} data sets and {draws.shape[1]} draws",
            do="simulate more data sets and draw more",
        )
