"""Prior predictive: what data a simulator makes of its prior, before any is seen."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.plots.style import BLACK, BLUE, ORANGE, PLAIN, Canvas, legend_below, outer, panels, styled

_FEW_ELEMENTS = 8
_MOST_PANELS = 40
_BANDS = ((0.98, 0.2), (0.9, 0.35), (0.5, 0.6))
# Largest over median size, as far out as 1 in 100: 4 for a Gaussian, 13 for a standard log-normal.
_HEAVY_TAIL = 30.0
_MOST_BARS = 60
_MOST_DECADES = {"x": 4, "y": 6}


@styled
def prior_predictive(
    values: np.ndarray,
    *,
    name: str = "observable",
    labels: Labels = PLAIN,
    observed: np.ndarray | None = None,
    trajectories: int = 5,
    time_label: str = "time step",
    logarithmic: bool | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw one observable of many simulations from the prior.

    Numbers, and vectors of up to eight, appear as histograms; longer vectors and series as quantile bands over their
    steps, one panel a channel, with a few simulations among them; anything with more axes (images) as the histogram of
    all its values.

    Parameters
    ----------
    values : array (n,), (n, elements), (n, steps), (n, steps, channels) or (n, ...)
        NaN where there is nothing: padding, and simulations that failed.
    name : str
        Name of the observable.
    labels : Labels
    observed : array of the shape of one simulation, optional
        Real data, NaN where nothing was observed.
    trajectories : int
        How many simulations to draw among the bands.
    time_label : str
        What the steps are, with unit: ``"time [days]"``, ``"trial"``, ``"position [mm]"``.
    logarithmic : bool, optional
        Whether values get a logarithmic axis, linear around zero where some are zero or less. If left out: where they
        range over several orders of magnitude.
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        There are fewer than two simulations with a finite value, or ``observed`` has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.random.default_rng(1).poisson(50.0, size=(200, 30, 2))
    >>> len(prior_predictive(values, name="cases").axes)
    2
    """
    values = np.asarray(values, dtype=float)
    shown = None if observed is None else np.asarray(observed, dtype=float)
    _check(values, shown, name)
    series = values.ndim == 3 or (values.ndim == 2 and values.shape[1] > _FEW_ELEMENTS)
    parts, names = _parts(values, name)
    seen = _parts(shown[None], name)[0] if shown is not None else [None] * len(parts)
    left_out = len(parts) - _MOST_PANELS
    parts, names, seen = parts[:_MOST_PANELS], names[:_MOST_PANELS], seen[:_MOST_PANELS]
    wide = 7.0 if len(parts) == 1 and series else 3.4
    figure, axes, across = panels(figure, len(parts), width=wide, height=3.2 if len(parts) == 1 else 2.7)
    for index, (ax, part, data) in enumerate(zip(axes, parts, seen, strict=True)):
        left, bottom = outer(index, len(parts), across)
        axis = labels.axis(name if len(parts) == 1 or series else names[index])
        heavy = _heavy(part) if logarithmic is None else logarithmic
        if series:
            _bands(ax, part, data, trajectories, heavy)
            ax.set_xlabel(time_label if bottom else "")
            ax.set_ylabel(axis if left else "")
            if len(parts) > 1:
                ax.set_title(labels.label(names[index]))
        else:
            _histogram(ax, part, data, heavy)
            ax.set_xlabel(axis)
            ax.set_ylabel("simulations" if left else "")
    if left_out > 0:
        figure.suptitle(f"the first {_MOST_PANELS} of {_MOST_PANELS + left_out}")
    legend_below(figure, axes)
    return figure


def _parts(values: np.ndarray, name: str) -> tuple[list[np.ndarray], list[str]]:
    """One array a panel, and its name."""
    if values.ndim == 3:
        return [values[..., channel] for channel in range(values.shape[2])], [
            f"{name}[{channel}]" for channel in range(values.shape[2])
        ]
    if values.ndim == 2 and 1 < values.shape[1] <= _FEW_ELEMENTS:
        return list(values.T), [f"{name}[{element}]" for element in range(values.shape[1])]
    return [values], [name]


def _bands(ax: Axes, part: np.ndarray, observed: np.ndarray | None, trajectories: int, heavy: bool) -> None:
    steps = np.arange(part.shape[1])
    known = np.isfinite(part)
    some = known.any(axis=0)
    drawn: list[np.ndarray] = []
    for share, shade in _BANDS:
        low, high = np.full((2, len(steps)), np.nan)
        low[some], high[some] = np.nanquantile(part[:, some], [0.5 - share / 2, 0.5 + share / 2], axis=0)
        ax.fill_between(steps, low, high, color=BLUE, alpha=shade, linewidth=0, label=f"{share:.0%} interval")
        drawn += [low, high]
    median = np.full(len(steps), np.nan)
    median[some] = np.nanmedian(part[:, some], axis=0)
    ax.plot(steps, median, color=BLUE, linewidth=1.4, label="median")
    # Those with most steps: a series of one step is no line.
    rows = np.argsort(-known.sum(axis=1), kind="stable")[:trajectories]
    for index, row in enumerate(part[rows]):
        ax.plot(steps, row, color=ORANGE, linewidth=0.9, label=None if index else "examples")
    if observed is not None:
        size = 4 if len(steps) <= 100 else 2.5
        ax.plot(steps, observed[0], color=BLACK, linestyle="none", marker="o", markersize=size, label="observed")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    if heavy:
        # Bands and lines decide, not the one simulation that goes farthest.
        _logarithmic(ax, "y", np.concatenate([part[rows].ravel(), *drawn, median]))


def _histogram(ax: Axes, part: np.ndarray, observed: np.ndarray | None, heavy: bool) -> None:
    known = part[np.isfinite(part)]
    span = known.max() - known.min()
    whole = bool(np.all(known == np.round(known)))
    if whole and span <= _MOST_BARS:
        edges = np.arange(known.min(), known.max() + 2) - 0.5
    elif heavy:
        linear = _linear_width(known)
        # Equal bins on the axis that is drawn.
        inner, outside = (np.log, np.exp) if linear is None else (np.arcsinh, np.sinh)
        unit = 1.0 if linear is None else linear
        edges = unit * outside(np.linspace(inner(known.min() / unit), inner(known.max() / unit), 41))
        edges[0], edges[-1] = known.min(), known.max()
        _logarithmic(ax, "x", known)
    else:
        low, high = np.quantile(known, [0.001, 0.999])
        width = (high - low) or max(abs(float(low)), 1.0) * 1e-3
        edges = np.linspace(low - 0.02 * width, high + 0.02 * width, 41)
    ax.stairs(np.histogram(known, edges)[0], edges, fill=True, color=BLUE, alpha=0.6, label="simulations")
    if whole and span <= _MOST_BARS:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    elif not heavy:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    data = np.zeros(0) if observed is None else observed[np.isfinite(observed)]
    for index, value in enumerate(data[: 2 if data.size > _FEW_ELEMENTS else None]):
        if data.size > _FEW_ELEMENTS:
            # Too many for lines of their own: the range of all.
            value = data.min() if index == 0 else data.max()
        text = "observed" if data.size <= _FEW_ELEMENTS else "least and largest observed"
        ax.axvline(value, color=BLACK, linestyle="--", linewidth=1.4, label=None if index else text)


def _heavy(part: np.ndarray) -> bool:
    sizes = np.abs(part[np.isfinite(part) & (part != 0.0)])
    return bool(len(sizes) and np.quantile(sizes, 0.99) > _HEAVY_TAIL * np.median(sizes))


def _linear_width(values: np.ndarray) -> float | None:
    """Up to where the axis is linear; None where all values are positive."""
    values = values[np.isfinite(values)]
    if np.all(values > 0.0):
        return None
    sizes = np.abs(values[values != 0.0])
    if not sizes.size:
        return 1.0
    # Counts are resolved to one.
    smallest = float(np.quantile(sizes, 0.1))
    return max(smallest, 1.0) if np.all(values == np.round(values)) else smallest


def _logarithmic(ax: Axes, which: str, values: np.ndarray) -> None:
    linear = _linear_width(values)
    scale, axis = (ax.set_yscale, ax.yaxis) if which == "y" else (ax.set_xscale, ax.xaxis)
    if linear is None:
        scale("log")
        return
    scale("symlog", linthresh=linear)
    # Matplotlib marks every decade of both signs, which overlap.
    ends = [side.max(initial=0.0) for side in (values[values > 0.0], -values[values < 0.0])]
    first = int(np.ceil(np.log10(linear) + 0.5))
    decades = [list(range(first, int(np.floor(np.log10(end))) + 1)) if end > 0.0 else [] for end in ends]
    stride = max(1, -(-sum(map(len, decades)) // _MOST_DECADES[which]))
    ticks = [sign * 10.0**power for sign, side in zip((1, -1), decades, strict=True) for power in side[::-stride]]
    axis.set_major_locator(FixedLocator(sorted([*ticks, 0.0])))
    axis.set_minor_locator(NullLocator())


def _check(values: np.ndarray, observed: np.ndarray | None, name: str) -> None:
    finite = int(np.isfinite(values).reshape(len(values), -1).any(axis=1).sum()) if values.ndim else 0
    if finite < 2:
        raise InputError(
            f"prior predictive of {name!r}",
            expected="two or more simulations with finite values, the first axis",
            got=f"shape {values.shape} with {finite} such simulations",
            do="simulate more, or mend the simulator",
        )
    if observed is not None and observed.shape != values.shape[1:]:
        raise InputError(
            f"observed data of {name!r}",
            expected=f"the shape of one simulation, {values.shape[1:]}",
            got=f"shape {observed.shape}",
            do="pass one observation, padded with NaN where it is shorter",
        )
