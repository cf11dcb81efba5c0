"""Prior predictive: data that a simulator makes from its prior."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.diagnostics.predictive_statistics import FEW_ELEMENTS
from bayesinn.plots.histograms import bin_edges
from bayesinn.plots.panels import MOST_PANELS, Panels
from bayesinn.plots.series import bands, linear_width, logarithmic_axis, observed_points, places
from bayesinn.plots.style import BLUE, DASHED, ORANGE, PLAIN, Canvas, styled, tint

_SHARES = (0.98, 0.9, 0.5)
# Largest over median size, except for 1 in 100: 4 for a Gaussian, 13 for a standard log-normal.
_HEAVY_TAIL = 30.0


@styled
def prior_predictive(
    values: np.ndarray,
    *,
    name: str = "observable",
    labels: Labels = PLAIN,
    observed: np.ndarray | None = None,
    trajectories: int = 5,
    times: np.ndarray | None = None,
    time_label: str | None = None,
    logarithmic: bool | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw one observable of many simulations from the prior.

    - numbers, and vectors of up to eight: histograms
    - longer vectors, series, and data with a coordinate: quantile bands over steps, one panel for
      each channel, with a few simulations
    - data with more axes (images): the histogram of all values

    Parameters
    ----------
    values : array (n,), (n, elements), (n, steps), (n, steps, channels) or (n, ...)
        NaN for padding and failures.
    observed : array of the shape of one simulation
    trajectories : int, number of simulations drawn over the bands
    times : array (steps,) of numbers or dates
        By default the coordinate of ``labels``, else 0, 1, 2, ...
    time_label : str, name of the steps with unit
        In place of the coordinate's: ``"time [days]"``, ``"trial"``.
    logarithmic : bool, whether values get a logarithmic axis
        It is linear around zero if some values are zero or less. By default if they range over
        several orders of magnitude.
    """
    if any(isinstance(given, Mapping | str) for given in (values, observed)):
        raise InputError(
            f"prior predictive of {name!r}",
            expected="arrays of one observable",
            got=f"{type(values).__name__}; observed: {type(observed).__name__}",
            do="pass simulations['x'] for an observable x, and name='x'",
        )
    values = np.asarray(values, dtype=float)
    shape = values.shape[1:]
    real = np.full(shape, np.nan) if observed is None else np.asarray(observed, dtype=float)
    known = sum(bool(np.isfinite(value).any()) for value in values) if values.ndim else 0
    if known < 2 or real.shape != shape:
        raise InputError(
            f"prior predictive of {name!r}",
            expected="two or more simulations with finite values; observed: the shape of one "
            f"simulation, {shape}",
            got=f"shape {values.shape} with {known} such simulations; observed: {real.shape}",
            do="simulate more, mend the simulator, or pad the observation with NaN where it is "
            "shorter",
        )
    placed = times is not None or name in labels.coordinates
    elements = values.shape[1] if values.ndim == 2 else 1
    one_series = values.ndim == 2 and (placed or elements > FEW_ELEMENTS)
    series = values.ndim == 3 or one_series
    split = values.ndim == 3 or (elements > 1 and not one_series)
    if not split:
        values = values[..., None]
        real = real[..., None]
    count = values.shape[-1]
    names = [f"{name}[{index}]" if split else name for index in range(count)][:MOST_PANELS]
    wide = 7.0 if count == 1 and series else 3.4
    panels = Panels(figure, names, labels, width=wide, height=3.2 if count == 1 else 2.7)
    where, across = (
        places(labels, name, shape[0], times, time_label) if series else (np.empty(0), "")
    )
    for index, ax in enumerate(panels.axes):
        part = values[..., index]
        data = real[..., index]
        heavy = _heavy(part) if logarithmic is None else logarithmic
        if series:
            _bands(ax, where, part, data, trajectories, heavy)
            if split:
                panels.title(index, "")
        else:
            _histogram(ax, part, data, heavy)
            panels.name(index)
    if count > MOST_PANELS:
        panels.figure.suptitle(f"the first {MOST_PANELS} of {count}")
    counted = "simulations" if len(shape) < 2 else "values"
    return panels.finish(across, labels.axis(name) if series else counted)


def _bands(
    ax: Axes,
    steps: np.ndarray,
    part: np.ndarray,
    observed: np.ndarray,
    trajectories: int,
    heavy: bool,
) -> None:
    curves = bands(ax, steps, part, _SHARES)
    # Simulations with most steps: a series of one step is no line.
    longest = part[np.argsort(-np.isfinite(part).sum(axis=1), kind="stable")[:trajectories]]
    for index, row in enumerate(longest):
        ax.plot(steps, row, color=ORANGE, linewidth=0.9, label=None if index else "examples")
    observed_points(ax, steps, observed, size=4.0)
    if heavy:
        # Bands and lines decide, not the one extreme simulation.
        logarithmic_axis(ax, "y", np.append(longest, curves))


def _histogram(ax: Axes, part: np.ndarray, observed: np.ndarray, heavy: bool) -> None:
    known = part[np.isfinite(part)]
    data = observed[np.isfinite(observed)]
    edges = bin_edges(known)
    whole = bool(np.all(known == np.round(known)) and edges[1] - edges[0] == 1.0)
    if heavy and not whole:
        # Equal bins on the drawn axis.
        linear = linear_width(known)
        inner, outside = (np.log, np.exp) if linear is None else (np.arcsinh, np.sinh)
        ends = np.array([known.min(), known.max()])
        low, high = inner(ends / (linear or 1.0))
        edges = outside(np.linspace(low, high, 41)) * (linear or 1.0)
        edges[[0, -1]] = ends
        logarithmic_axis(ax, "x", known)
    elif whole:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    ax.stairs(
        np.histogram(known, edges)[0], edges, fill=True, color=tint(BLUE, 0.6), label="simulations"
    )
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    text = "observed"
    if len(data) > FEW_ELEMENTS:
        # Too many for lines of their own: the range of all.
        data = np.array([data.min(), data.max()])
        text = "least and largest observed"
    for value in data:
        ax.axvline(value, label=text, **DASHED)


def _heavy(part: np.ndarray) -> bool:
    sizes = np.abs(part[np.isfinite(part) & (part != 0.0)])
    return bool(len(sizes) and np.quantile(sizes, 0.99) > _HEAVY_TAIL * np.median(sizes))
