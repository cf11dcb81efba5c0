"""What the prior and the prior predictive distribution range over, and what float32 makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesinn.core.labels import Labels, columns
from bayesinn.spaces.data import DataSpace, Scaling
from bayesinn.workflow.simulator_report.values import Values

#: Beyond it float32 can't tell n from n + 1.
LAST_COUNTED = 2**24
LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)


@dataclass(frozen=True)
class Scale:
    """How an observable fares on its way into a network.

    Parameters
    ----------
    scaling : Scaling or None, as training would use; None if there was nothing to measure it on
    flattened : int, elements (or channels) that vary by less than a millionth of themselves, taken for constants
    farthest : float, largest absolute value after scaling
    largest : float, largest absolute raw value, without infinity
    whole_numbers : bool, whether all values are integers
    """

    scaling: Scaling | None
    flattened: int
    farthest: float
    largest: float
    whole_numbers: bool


def ranges(
    parameters: Mapping[str, np.ndarray],
    context: Mapping[str, np.ndarray],
    observables: Sequence[Values],
    dtypes: Mapping[str, np.dtype],
    labels: Labels,
) -> pd.DataFrame:
    """Quantiles of everything that a simulator draws; padding and values that are not finite left out.

    Examples
    --------
    >>> x = Values("x", (), np.arange(101.0)[:, None])
    >>> table = ranges({"rate": np.ones(5)}, {}, [x], {}, Labels({}, {"rate": "1/day"}))
    >>> table.loc["rate", "unit"], table.loc["x", "50 %"], table.loc["x", "zeros"].round(3)
    ('1/day', np.float64(50.0), np.float64(0.01))
    """
    rows = {}
    for kind, part in (("parameter", parameters), ("context", context)):
        for name, value in columns(part, batch_ndim=1).items():
            rows[name] = _row(kind, name, np.asarray(value, np.float64), dtypes, labels)
    for observable in observables:
        for name, value in observable.parts():
            rows[name] = _row("observable", name, value, dtypes, labels)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def scales(
    observables: Sequence[Values],
    raw: Mapping[str, np.ndarray],
    context: Mapping[str, np.ndarray],
    lengths: Mapping[str, str],
    good: np.ndarray,
) -> dict[str, Scale]:
    """Fit the scalings that training would fit to the good simulations, and see what they do.

    Parameters
    ----------
    observables : sequence of Values
    raw, context : dict of name to array (n, *event)
    lengths : dict of observable to the context variable that counts its valid steps
    good : boolean array (n,)

    Returns
    -------
    dict of observable to Scale
    """
    names = tuple(observable.name for observable in observables)
    fitted: dict[str, Scaling] = {}
    if np.count_nonzero(good) > 1:
        pilot = {name: value[good] for name, value in {**raw, **context}.items()}
        # float64 values that float32 can't hold are what this is to find.
        with np.errstate(over="ignore"):
            fitted = DataSpace.fit(pilot, names, (), lengths).scalings
    found = {}
    for observable in observables:
        largest = float(np.nanmax(np.abs(observable.matrix), initial=0.0))
        scaling = fitted.get(observable.name)
        flattened, farthest = (0, 0.0) if scaling is None else _after(observable, scaling, good)
        found[observable.name] = Scale(scaling, flattened, farthest, largest, observable.whole_numbers)
    return found


def _after(observable: Values, scaling: Scaling, good: np.ndarray) -> tuple[int, float]:
    """Number of varying parts that are not brought to unit scale, and the farthest value."""
    array = observable.array[good[: len(observable.matrix)]]
    # As Scaling does: one scale an element of a vector, one a channel of anything with more axes.
    array = array.reshape(-1, *scaling.mean.shape)
    if scaling.compress is not None:
        array = np.arcsinh(array / scaling.compress)
    known = np.isfinite(array)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.sum(array, axis=0, where=known) / count
    deviation = np.sqrt(np.sum((array - mean) ** 2, axis=0, where=known) / count)
    # The scale is 1 where Scaling saw a constant.
    varies = np.nanmax(array, axis=0, initial=-np.inf) > np.nanmin(array, axis=0, initial=np.inf)
    flattened = np.atleast_1d(varies & (scaling.scale == 1.0) & (deviation < 1e-3 * np.abs(mean)))
    standardised = np.abs((array - mean) / np.where(deviation > 0.0, deviation, 1.0))
    return int(flattened.sum()), float(np.nanmax(standardised, initial=0.0))


def _row(
    kind: str, name: str, value: np.ndarray, dtypes: Mapping[str, np.dtype], labels: Labels
) -> dict[str, str | float]:
    known = value[np.isfinite(value)]
    quantiles = np.quantile(known, _QUANTILES) if known.size else np.full(len(_QUANTILES), np.nan)
    return {
        "kind": kind,
        "unit": labels.unit(name),
        "dtype": str(dtypes.get(name.partition("[")[0], "")),
        "minimum": known.min() if known.size else np.nan,
        **{f"{level * 100:.0f} %": quantile for level, quantile in zip(_QUANTILES, quantiles, strict=True)},
        "maximum": known.max() if known.size else np.nan,
        "zeros": float(np.mean(known == 0.0)) if known.size else np.nan,
    }
