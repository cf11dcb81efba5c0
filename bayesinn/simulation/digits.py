"""Digits of what varies: how many a type of numbers resolves, and single precision keeps.

Networks compute in single precision, with 24 binary digits. Of numbers that vary little beside
their size, such as times in seconds since 1970, it keeps few digits of what varies, or none.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from bayesinn.core.arrays import fill_padding
from bayesinn.core.errors import warn
from bayesinn.simulation.checks import Declared

#: Distance of neighbours in single precision, beside their size.
SINGLE = float(np.finfo(np.float32).eps)
#: What varies by less, whatever its size, is lost in single precision.
SMALLEST = 1e-36
#: Fewer such distances in a standard deviation lose what data may say.
FEWEST_STEPS = 1e3
# What varies by so many of its own type may be the rounding of a constant.
_ROUNDING = 4.0
# Three rows tell a standard deviation to a factor of ten; from a million on, steps are a sixteenth.
_FEW_ROWS = 10.0
_LARGE = 2.0**20
_MOST_ROWS = 512
# A number may have a fraction if its type resolves so much of a unit, or less.
_STEP_OF_FRACTIONS = 0.01


def resolution(values: np.ndarray) -> float:
    """Return the distance of neighbours in an array's type, beside their size; 0 for integers."""
    return float(np.finfo(values.dtype).eps) if values.dtype.kind == "f" else 0.0


def are_whole(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return whether numbers along an axis, or all of them, are whole numbers, such as counts.

    Numbers so large that their type has no digits for a fraction say nothing about this, nor does
    NaN. If there are no others, the result is False.
    """
    may_have_fraction = np.abs(values) * resolution(values) < _STEP_OF_FRACTIONS
    whole = values == np.round(values)
    none_has_one = np.all(whole | ~may_have_fraction, axis=axis)
    return np.asarray(none_has_one & np.any(may_have_fraction, axis=axis))


def observable_type(values: np.ndarray) -> np.dtype:
    """Return the type to keep an observable of a Python function in, from a few rows (n, ...).

    Single precision, as networks compute in, unless numbers are large, too small for it, or vary
    little beside their size.
    """
    size, deviation, varies = statistics(values, resolution(values))
    least = np.maximum(FEWEST_STEPS * SINGLE * size, SMALLEST)
    few = varies & (deviation < _FEW_ROWS * least)
    return np.dtype(np.float64 if few.any() or np.max(size) >= _LARGE else np.float32)


class Loss(NamedTuple):
    """A variable of which single precision keeps few digits, or none: it is ``constant`` then."""

    name: str
    kind: str
    finding: str
    do: str
    constant: bool


def lost_digits(
    simulator: Declared, arrays: Mapping[str, np.ndarray], raw: Collection[str] = ()
) -> Iterator[Loss]:
    """Look for losses in simulations (n, ...), in the types in which training has them.

    Observables and context of a finer type are centred before they are rounded, and lose nothing,
    unless networks see them ``raw``.
    """
    context = () if simulator.context is None else simulator.context.names
    for name, value in arrays.items():
        own_resolution = resolution(value)
        rounded = name in simulator.prior.names or name in raw
        size, deviation, varies = statistics(
            _valid(simulator, arrays, name), max(own_resolution, SINGLE * rounded)
        )
        steps = deviation / np.maximum(SINGLE * size, np.finfo(float).tiny)
        few = varies & (steps < FEWEST_STEPS) & (rounded or own_resolution >= SINGLE)
        do = "declare its difference from a constant in its place"
        kind = "context" if name in context else "parameter"
        if name in simulator.observable_shapes:
            kind = "observable"
            do = (
                "subtract an offset from it, in the simulator and in data, or compute it in "
                "double precision"
            )
        if few.any():
            worst = int(np.argmin(np.where(few, steps, np.inf)))
            left = int(np.log10(max(steps[worst], 1.0)))
            finding = f"varies by {deviation[worst]:.2g} around {size[worst]:.10g}, "
            finding += f"of which single precision keeps {left or 'no'} digit{'s' * (left != 1)}"
            yield Loss(name, kind, finding, do, constant=False)
        elif kind != "context" and not varies.any():
            finding = f"is {size[0]:.10g} in all simulations, as far as single precision tells"
            if not size.any():
                # Zeros have no digits that an offset could hide.
                finding = "is 0 in all simulations"
                do = "look for a mistake in the simulator, unless this is on purpose"
            yield Loss(name, kind, finding, do, constant=True)


def warn_of_lost_digits(
    simulator: Declared, pilot: Mapping[str, np.ndarray], raw: Collection[str]
) -> None:
    """Warn of losses."""
    for loss in lost_digits(simulator, pilot, raw):
        lost = "it" if loss.constant else "what is lost"
        text = f"{loss.kind} {loss.name!r} {loss.finding}: posteriors can't depend on {lost}; "
        text += loss.do
        warn(text)


def _valid(simulator: Declared, arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return a variable as floats, NaN for its padding."""
    values = np.asarray(arrays[name][:_MOST_ROWS], np.float64)
    if name not in simulator.lengths:
        return values
    counts = arrays[simulator.lengths[name]][:_MOST_ROWS]
    return fill_padding(values, counts, np.nan)


def statistics(values: np.ndarray, own: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return size and standard deviation of each cell of values (n, ...), and whether it varies.

    A cell varies if its values differ by more than rounding with the resolution ``own``.
    """
    cells = values.reshape(len(values), -1).astype(np.float64)
    # What isn't finite is another fault.
    cells[~np.isfinite(cells)] = np.nan
    cells[:, np.isnan(cells).all(axis=0)] = 0.0
    size = np.abs(np.nanmean(cells, axis=0))
    spread = np.nanmax(cells, axis=0) - np.nanmin(cells, axis=0)
    return size, np.nanstd(cells, axis=0), spread > _ROUNDING * own * size
