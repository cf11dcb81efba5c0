"""Histograms, drawn as densities of all values, also of those outside the panel."""

import numpy as np
from matplotlib.axes import Axes

from bayesinn.plots.arrays import Given
from bayesinn.plots.panels import BARS, BLUE, DASHED, GREY, ORANGE, bare, tint

_MOST_BARS = 60


def outline(
    ax: Axes, values: np.ndarray, edges: np.ndarray, label: str, weights: np.ndarray | None = None
) -> None:
    """Draw the outline of a histogram."""
    ax.stairs(_density(ax, values, edges, weights), edges, color=ORANGE, linewidth=1.8, label=label)


def bars(ax: Axes, values: np.ndarray, edges: np.ndarray, label: str, color: str = BLUE) -> None:
    """Draw a filled histogram, opaque as its swatch in the legend."""
    ax.stairs(_density(ax, values, edges), edges, fill=True, color=tint(color, 0.6), label=label)


def marginal(ax: Axes, edges: np.ndarray, given: Given, column: str) -> None:
    """Draw a parameter's posterior, over its prior and below reference and truth where given."""
    if given.prior:
        # Few prior draws may fall into the window.
        wider = np.union1d(edges[:: max(1, len(edges) // 20)], edges[-1:])
        prior = _density(ax, given.prior[column], wider)
        ax.stairs(prior, wider, label="prior", **BARS)
    bars(ax, given.posterior[column], edges, "posterior")
    if given.prior:
        ax.stairs(prior, wider, color=GREY, linewidth=BARS["linewidth"])
    if given.reference:
        outline(ax, given.reference[column], edges, "reference")
    if column in given.truth:
        ax.axvline(float(given.truth[column]), label="truth", **DASHED)
    bare(ax, edges)


def bin_edges(
    values: np.ndarray, low: float | None = None, high: float | None = None
) -> np.ndarray:
    """Return bin edges from low to high.

    Values that are few and evenly spaced, such as counts, have one bin each. Other bins have the
    width of Freedman & Diaconis 1981; edges lie between whole numbers if all values are whole. The
    range is that of nearly all values if left out.

    >>> bin_edges(np.array([0, 1, 1, 3])).tolist()
    [-0.5, 0.5, 1.5, 2.5, 3.5]
    """
    distinct = np.unique(values).astype(float)
    least = distinct[0]
    gap = float(np.min(np.diff(distinct), initial=np.inf))
    if len(distinct) == 1 and low is None:
        # One bar in the middle of a wide panel.
        return least + 0.05 * max(abs(least), 1.0) * np.arange(-5.5, 6.0)
    start = least if low is None else low
    end = distinct[-1] if high is None else high
    if len(distinct) > 1 and end - start <= _MOST_BARS * gap:
        first = np.floor((start - least) / gap + 1e-9)
        last = np.ceil((end - least) / gap - 1e-9)
        return least + gap * (np.arange(first, last + 2) - 0.5)
    near, lower, upper, far = np.quantile(values, [0.001, 0.25, 0.75, 0.999])
    if near < far:
        start = near if low is None else low
        end = far if high is None else high
    width = 2.0 * (upper - lower) / len(values) ** (1 / 3)
    bins = int(np.clip((end - start) / width, 20, 200)) if width > 0 else 40
    if are_whole(values):
        # Bins that differ by a part of a whole number would have false gaps between them.
        first = np.floor(start)
        beyond = np.ceil(end) + 1.0
        bins = min(bins, int(beyond - first))
        return np.rint(np.linspace(first, beyond, bins + 1)) - 0.5
    return np.linspace(start, end, bins + 1)


def equal_bins(values: np.ndarray, low: float, high: float, bins: int) -> np.ndarray:
    """Return edges of equal bins from low to high; whole numbers have those of bin_edges."""
    first = np.ceil(low)
    last = np.floor(high)
    if are_whole(values) and first < last:
        return bin_edges(values, first, last)
    return np.linspace(low, high, bins + 1)


def are_whole(values: np.ndarray) -> bool:
    """Tell whether all values are whole numbers."""
    return bool(np.all(values == np.rint(values)))


def _density(
    ax: Axes, values: np.ndarray, edges: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    total = len(values) if weights is None else weights.sum()
    # Areas are probabilities on the axis that is drawn.
    widths = np.diff(np.log(edges) if ax.get_xscale() == "log" else edges)
    return np.histogram(values, edges, weights=weights)[0] / (total * widths)
