"""Ranges of prior and prior predictive distribution, and what float32 and scaling lose of them."""

import re
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd

from bayesinn.core.labels import columns
from bayesinn.diagnosis.report import Figure
from bayesinn.guidance.simulator_report.pilot import MOST_ROWS, Pilot, Remark, Result, bounds
from bayesinn.plots.predictive import prior_predictive
from bayesinn.simulation.digits import lost_digits
from bayesinn.simulation.missing import finite
from bayesinn.spaces.data import DataSpace, Scaling

_LEVELS = {
    "minimum": 0.0,
    "1 %": 0.01,
    "25 %": 0.25,
    "50 %": 0.5,
    "75 %": 0.75,
    "99 %": 0.99,
    "maximum": 1.0,
}
# Axes of an observable, and how many elements (of a vector) or channels (of a series) get rows of
# their own.
_FEW = {1: 8, 2: 12}
_OUTSIDE = 0.05
# Beyond it float32 can't tell n from n + 1.
_LAST_COUNTED = 2**24
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_NEAR_THE_END = 1e-2
_FAR_OUT = 100.0


def check(pilot: Pilot, good: Pilot, failed: pd.Series) -> tuple[Result, Result]:
    """Describe parameters and context in one result, and data in another.

    Data are described as networks see those of good simulations; real data are shown among them.
    """
    text = "Quantiles of parameters and context: does the prior mean what it should?"
    inputs = {**pilot.drawn.parameters, **pilot.drawn.context}
    quantiles = {
        part: _quantiles(values)
        for name, value in inputs.items()
        for part, values in _columns(name, value).items()
    }
    table = pd.DataFrame(quantiles).T
    prior = Result(title="Prior", text=text, table=table)
    # Overflow in float32 is one of the findings.
    with np.errstate(over="ignore"):
        data = good.drawn.data
        names = tuple(pilot.observables)
        scalings = (
            DataSpace.fit(data, names, (), pilot.simulator.lengths).scalings
            if len(good) > 1
            else {}
        )
    advice = [item for name in scalings for item in _scaled(good, name, scalings[name])]
    advice += _lost(good) if scalings else []
    rows = {}
    observed = {}
    for name, array in pilot.observables.items():
        for part, values in _parts(name, array).items():
            rows[part] = {
                **_quantiles(values),
                "zeros": pd.Series(values[np.isfinite(values)] == 0.0).mean(),
                "failed": failed[name],
                "type": str(pilot.drawn.observables[name].dtype),
                "scaling": str(scalings.get(name, "")),
            }
        real = (pilot.simulator.observed or {}).get(name)
        if real is not None and _fits(real.shape, array.shape[1:]):
            observed[name] = _padded(real, array.shape[1:])
            advice += _outside(pilot, name, observed[name])
    text = (
        "Quantiles of finite simulated data. Real data should be among them, impossible data "
        "should be rare."
    )
    table = pd.DataFrame.from_dict(rows, orient="index")
    drawn = partial(_figures, pilot, observed)
    return prior, Result(
        advice=advice, title="Prior predictive", text=text, table=table, figures=drawn
    )


def _columns(name: str, value: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of a parameter (n, ...) by name where they are not many, or all of it."""
    parts = columns({name: value}, batch_ndim=1)
    return parts if len(parts) <= MOST_ROWS else {name: value}


def _parts(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of an observable (n, ...) by name where they are few, or all of it."""
    if not 1 < array.shape[-1] <= _FEW.get(array.ndim - 1, 0):
        return {name: array}
    return {f"{name}[{index}]": array[..., index] for index in range(array.shape[-1])}


def _fits(real: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Tell whether real data of a shape are simulated data, or the beginning of such."""
    return len(real) == len(shape) and not any(np.greater(real, shape))


def _padded(real: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    padded = np.full(shape, np.nan)
    padded[tuple(map(slice, real.shape))] = real
    return padded


def _outside(pilot: Pilot, name: str, real: np.ndarray) -> list[Remark]:
    """Tell of real data of an observable that lie beyond all its simulations."""
    low, high = bounds(pilot.observables[name])
    outside = int(np.sum((real < low) | (real > high)))
    known = int(np.isfinite(real).sum())
    if outside <= _OUTSIDE * known:
        return []
    finding = f"{outside} of {known} observed numbers lie beyond all {len(pilot):,} simulations"
    return [Remark("hint", name, finding, "Prior or simulator can't make data like these.")]


def _figures(pilot: Pilot, observed: Mapping[str, np.ndarray]) -> dict[str, Figure]:
    """Draw each observable that has two simulations."""
    figures = {}
    for name, array in pilot.observables.items():
        if np.isfinite(array).reshape(len(array), -1).any(axis=1).sum() > 1:
            drawn = prior_predictive(
                array, name=name, labels=pilot.simulator.labels, observed=observed.get(name)
            )
            caption = (
                f"{name}: simulations from the prior. Bands and histograms show how often "
                "values occur"
            )
            real = "; black: the data that ship with the simulator" if name in observed else ""
            figures[f"prior_predictive_{re.sub(r'[^\w.-]', '_', name)}"] = Figure(
                drawn, f"{caption}{real}."
            )
    return figures


def _scaled(pilot: Pilot, name: str, scaling: Scaling) -> Iterator[Remark]:
    """Say what float32 and the scaling lose."""
    array = pilot.observables[name]
    unit = "Use another unit."
    largest = float(np.nanmax(np.abs(array), initial=0.0))
    if largest > _LARGEST_FLOAT32:
        finding = f"has values up to {largest:.3g}, which are infinite in float32"
        yield Remark("problem", name, finding, "Networks compute in float32.", unit)
        return
    if largest > _NEAR_THE_END * _LARGEST_FLOAT32:
        yield Remark(
            "hint", name, f"has values up to {largest:.3g}, near the end of float32", do=unit
        )
    uncounted = pilot.whole_numbers(name) and largest >= _LAST_COUNTED
    digits = f"Beyond {_LAST_COUNTED:,} float32 can't tell n from n + 1." if uncounted else ""
    if scaling.compress is not None:
        finding = (
            f"ranges over many orders of magnitude (largest {largest:.3g}): networks see {scaling}"
        )
        yield Remark(
            "hint", name, finding, digits, "Nothing to do, unless the largest are a mistake."
        )
        array = np.arcsinh(array / scaling.compress)
    elif uncounted:
        finding = f"has whole numbers up to {largest:.3g}; int32 ends at 2,147,483,647"
        yield Remark("hint", name, finding, digits, "Subtract an offset if counts must be exact.")
    # A vector has a scale for each element, other arrays one for each channel; 1 where variation is
    # mere rounding.
    low, high = bounds(array.reshape(-1, *scaling.mean.shape))
    measured = scaling.scale != 1.0
    ends = np.maximum(high - scaling.mean, scaling.mean - low) / scaling.scale
    if (farthest := np.max(ends, initial=0.0, where=measured)) > _FAR_OUT:
        finding = f"has a value {farthest:,.0f} standard deviations out after scaling"
        do = "Take a logarithm."
        yield Remark("hint", name, finding, "Single simulations dominate training.", do)


def _lost(pilot: Pilot) -> Iterator[Remark]:
    """Say of what single precision keeps few digits; constants have a check of their own."""
    # As training has them; infinity is another finding.
    drawn = pilot.drawn.cast(pilot.simulator.observable_types)
    observables = drawn.observables
    held = {name: value for name, value in observables.items() if finite(value, missing=True).all()}
    for loss in lost_digits(pilot.simulator, {**drawn.parameters, **drawn.context, **held}):
        if not loss.constant:
            do = f"{loss.do[0].upper()}{loss.do[1:]}."
            yield Remark(
                "problem", loss.name, loss.finding, "Posteriors can't depend on what is lost.", do
            )


def _quantiles(values: np.ndarray) -> pd.Series:
    return (
        pd.Series(values.ravel().astype(np.float64))
        .quantile(list(_LEVELS.values()))
        .set_axis(list(_LEVELS))
    )
