"""Bands over time, dates and logarithmic axes: the parts of predictive figures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.plots.style import BLACK, BLUE, POINTS, tint

_MOST_DECADES = {"x": 4, "y": 6}


def places(
    labels: Labels, name: str, steps: int, times: np.ndarray | None, text: str | None
) -> tuple[np.ndarray, str]:
    """Return places of steps, and their axis text: as given, else as declared, else 0, 1, 2, ..."""
    declared = labels.coordinates.get(name)
    if times is not None:
        found = np.asarray(times)
        text = text or "time step"
    elif declared is not None:
        found = declared.values
        text = text or labels.axis(declared.name)
    else:
        found = np.arange(steps)
        text = text or "time step"
    if found.shape != (steps,):
        raise InputError(
            f"series of {name!r}",
            expected=f"one of {steps} steps for each place",
            got=f"{len(found)} places, as given or declared",
            do="pass the places of these: times=...",
        )
    if times is not None and np.any(np.isnan(found)):
        raise InputError(
            f"series of {name!r}",
            expected="a known place of each step",
            got=f"NaN among the {steps} places",
            do="leave out steps without a place: times=...",
        )
    if np.issubdtype(found.dtype, np.datetime64):
        first, last = (str(end.astype("datetime64[D]")) for end in (found[0], found[-1]))
        text += f", {first}" if first == last else f", {first} to {last}"
    return found, text


def quantiles(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Return ends of central intervals of values (n, steps) without NaN, median in the middle.

    The widest interval comes first.
    """
    tails = [0.5 * (1.0 - share) for share in shares]
    return (
        pd.DataFrame(values)
        .quantile([*tails, 0.5, *(1.0 - tail for tail in reversed(tails))])
        .to_numpy()
    )


def intervals(
    curves: np.ndarray, shares: Sequence[float]
) -> list[tuple[np.ndarray, np.ndarray, str, str]]:
    """Return lower end, upper end, opaque colour and name of each interval of :func:`quantiles`."""
    shades = [tint(BLUE, shade) for shade in (0.2, 0.42, 0.7)]
    names = [f"{100 * share:.0f} % interval" for share in shares]
    return list(zip(curves, reversed(curves), shades, names, strict=False))


def bands(ax: Axes, times: np.ndarray, values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Draw intervals and median of ``values`` (n, steps) over times or dates; return all curves."""
    curves = quantiles(values, shares)
    for low, high, colour, name in intervals(curves, shares):
        ax.fill_between(times, low, high, color=colour, linewidth=0, label=name)
    ax.plot(times, curves[len(shares)], color=BLUE, linewidth=1.4, label="median")
    if np.issubdtype(times.dtype, np.datetime64):
        locator = AutoDateLocator(minticks=2, maxticks=_most_ticks(ax, "x"))
        # The label of the axis says which year it is. A bare number of a day reads as a month.
        short = ConciseDateFormatter(locator, show_offset=False)
        short.formats[2] = short.zero_formats[2] = "%-d %b"
        ax.xaxis.set(major_locator=locator, major_formatter=short)
    elif np.issubdtype(times.dtype, np.integer):
        ax.xaxis.set_major_locator(MaxNLocator(nbins=min(6, _most_ticks(ax, "x")), integer=True))
    return curves


def observed_points(ax: Axes, times: np.ndarray, observed: np.ndarray, size: float) -> None:
    """Draw observed values, if there are any."""
    if np.isfinite(observed).any():
        smaller = 1.0 if len(times) <= 100 else 0.6
        ax.plot(times, observed, color=BLACK, markersize=smaller * size, label="observed", **POINTS)


def linear_width(values: np.ndarray) -> float | None:
    """Return the size up to which a log axis must be linear; None if all values are positive."""
    values = values[np.isfinite(values)]
    sizes = np.abs(values[values != 0.0])
    if np.all(values > 0.0) or not sizes.size:
        return None if sizes.size else 1.0
    # Counts are resolved to one.
    smallest = float(np.quantile(sizes, 0.1))
    return max(smallest, 1.0) if np.all(values == np.round(values)) else smallest


def decades(ax: Axes, which: str, low: float, high: float) -> None:
    """Make an axis ("x" or "y") of positive numbers logarithmic, with few ticks in this range."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    ax.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    few = high < 100.0 * low
    axis.set_major_locator(
        LogLocator(subs=(1.0, 3.0) if few else (1.0,), numticks=_most_ticks(ax, which))
    )
    axis.set_minor_formatter(NullFormatter())
    if few:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _most_ticks(ax: Axes, which: str) -> int:
    """Return how many numbers or dates have room along an axis that is not laid out yet."""
    room = ax.bbox.width / 0.6 if which == "x" else ax.bbox.height / 0.3
    return int(np.clip(room / ax.figure.dpi, 2, 8))


def logarithmic_axis(ax: Axes, which: str, values: np.ndarray) -> None:
    """Make an axis ("x" or "y") logarithmic.

    The axis is linear around zero if values of zero or less must show.
    """
    linear = linear_width(values)
    scale, axis = (ax.set_xscale, ax.xaxis) if which == "x" else (ax.set_yscale, ax.yaxis)
    if linear is None:
        scale("log")
        return
    scale("symlog", linthresh=linear)
    # Matplotlib marks every decade of both signs, which overlap; marks of both signs keep their
    # distance from zero.
    ends = [side.max(initial=0.0) for side in (values[values > 0.0], -values[values < 0.0])]
    first = int(np.ceil(np.log10(linear) + 0.5 * (min(ends) > 0.0)))
    decades = [
        list(range(first, int(np.floor(np.log10(end))) + 1)) if end > 0.0 else [] for end in ends
    ]
    stride = max(1, -(-sum(map(len, decades)) // _MOST_DECADES[which]))
    ticks = [
        sign * 10.0**power
        for sign, side in zip((1, -1), decades, strict=True)
        for power in side[::-stride]
    ]
    if ticks:
        axis.set_major_locator(FixedLocator(sorted([*ticks, 0.0])))
        axis.set_minor_locator(NullLocator())
