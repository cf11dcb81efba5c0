"""Pair plot of one posterior; ArviZ draws the pairs into our axes."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import MaxNLocator

from bayesinn.core.labels import Labels
from bayesinn.plots.arrays import Draws, Given, choose, gather
from bayesinn.plots.histograms import are_whole, equal_bins, marginal
from bayesinn.plots.panels import PAGE, canvas, legend_below, plain_numbers
from bayesinn.plots.style import BLACK, BLUE, GREY, ORANGE, PLAIN, RED, Canvas, styled, tint
from bayesinn.plots.text import wrapped

MOST_COLUMNS = 12  #: more are illegible on one page
_BY_ITSELF = 8  # columns that are drawn if none are named
_MOST_LINES = 2  # breaks of lines in a label
_MOST_DRAWN = 2000  # enough for a contour, and for points
_LEAST_DRAWN = 100  # fewer have no contours, which would take minutes and show the kernel alone
_BINS = 30
_FEW_VALUES = 12  # up to so many whole numbers, contours would lie between them
_SCATTER = 0.15  # of points around whole numbers
# Size of letters in points, for panels wider than these inches.
_LETTERS = ((1.6, 10.0), (1.1, 9.0), (0.8, 8.0), (0.0, 7.0))


@styled
def pairs(
    draws: Draws,
    *,
    prior: Draws | None = None,
    reference: Draws | None = None,
    truth: Mapping[str, np.ndarray] | None = None,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    contours: bool = True,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw each pair of parameters, each parameter on the diagonal, and correlations above it.

    - Regions of highest density hold 50 and 90 % of the draws. Orange outlines enclose those of the
      reference; grey points are prior draws.
    - Draws are points if ``contours`` is False, if there are fewer than 100, or if parameters do
      not vary or determine each other. So they are in the pairs of a parameter of few whole
      numbers, such as a switch: there, points are scattered around each number, those of a
      reference on its other side.
    - Parameters whose prior ranges over decades are drawn as logarithms.
    - ``shown`` names the columns to draw, such as ``["rate", "beta[0]"]``, at most 12. By default
      all up to 8; else the 8 with the strongest correlations, which the title names.
    """
    given = gather(draws, prior, reference, truth)
    logs = [name for name in given.posterior if given.spans_decades(name)]
    given = given.logarithms(logs)
    columns = list(given.posterior)
    chosen = [columns[index] for index in choose(columns, shown, MOST_COLUMNS)]
    names, strongest = _strongest(given) if shown is None else (chosen, [])
    size = len(names)
    width = 4.6 if size == 1 else min(2.0 * size + 0.8, PAGE)
    pitch = (width if figure is None else float(figure.bbox.width / figure.dpi)) / size
    full = [
        f"log$_{{10}}$ {labels.axis(name)}" if name in logs else labels.axis(name) for name in names
    ]
    texts = _choose_texts(full, [labels.label(name) for name in names], pitch)
    title = texts.key
    if strongest:
        said = _in_words(strongest, dict(zip(names, texts.called, strict=True)))
        which = f"{size} of {len(columns)} parameters, those of the strongest correlations"
        title = [f"{which}, such as {said}", *title]
    heading = wrapped("\n".join(title), pitch * size - 0.2, 9.0)
    figure = canvas(figure, width, width + 0.3 + 0.16 * len(heading.split("\n")))
    if heading:
        figure.suptitle(heading, fontsize=9.0)
    grid = figure.subplots(size, size, squeeze=False)
    edges = {name: equal_bins(given.posterior[name], *_range(given, name), _BINS) for name in names}
    ranges = {name: (float(bins[0]), float(bins[-1])) for name, bins in edges.items()}
    inside = Given(
        posterior=_inside(given.posterior, ranges),
        prior=_inside(given.prior, ranges),
        reference=_inside(given.reference, ranges),
        truth=_points(given.truth, names),
    )
    _draw_all(grid, ranges, inside, contours)
    # Before marginals, which take their vertical axes away.
    _label_axes(grid, texts, pitch)
    for place, name in enumerate(names):
        marginal(grid[place, place], edges[name], given, name)
    for row, column in zip(*np.tril_indices(size, -1), strict=True):
        grid[row, column].set(xlim=ranges[names[column]], ylim=ranges[names[row]])
    correlations = _correlations(given.posterior, names)
    for row, column in zip(*np.triu_indices(size, 1), strict=True):
        _write_correlation(grid[row, column], float(correlations[row, column]), texts.letters + 1.0)
    figure.align_labels()
    return legend_below(figure)


class _Texts(NamedTuple):
    """Texts of columns, for panels of some width."""

    letters: float  # size in points
    short: list[str]  # beside axes
    called: list[str]  # in the title
    key: list[str]  # lines of the title that say which number is which column


def _choose_texts(full: list[str], called: list[str], pitch: float) -> _Texts:
    """Return labels of axes that fit panels of this width, and what the title calls the columns."""
    letters = next(points for least, points in _LETTERS if pitch > least)
    short = [wrapped(text, 0.8 * pitch, letters) for text in full]
    if len(full) == 1 or max(text.count("\n") for text in short) <= _MOST_LINES:
        return _Texts(letters, short, called, [])
    # Long labels would take the room of the panels, which have numbers instead.
    numbers = [f"{index}" for index in range(1, len(full) + 1)]
    key = [f"{number}: {text}" for number, text in zip(numbers, full, strict=True)]
    return _Texts(letters, numbers, numbers, key)


def _label_axes(grid: np.ndarray, texts: _Texts, pitch: float) -> None:
    """Write numbers and labels on the outside of the lower triangle."""
    last = len(grid) - 1
    for row, column in zip(*np.tril_indices(len(grid)), strict=True):
        ax = grid[row, column]
        _set_ticks(ax, pitch, texts.letters - 1.0, across=row == last, upwards=column == 0)
        if row == last:
            ax.set_xlabel(texts.short[column], fontsize=texts.letters)
        if column == 0 and (row > 0 or last == 0):
            ax.set_ylabel(texts.short[row] if row else "density", fontsize=texts.letters)


def _in_words(correlations: Sequence[tuple[str, str, float]], called: Mapping[str, str]) -> str:
    """Name pairs of columns, as in the figure, with their correlations."""
    return ", ".join(
        f"{called[one]} and {called[other]} {_signed(value)}" for one, other, value in correlations
    )


def _draw_all(
    grid: np.ndarray, ranges: Mapping[str, tuple[float, float]], given: Given, contours: bool
) -> None:
    """Draw prior, posterior, reference and truth below the diagonal, each over those before.

    All values lie in the panels: tails blur densities.
    """
    names = list(ranges)
    few = {name: _gap(given.posterior[name]) for name in names if _is_few(given.posterior[name])}
    smooth = [name for name in names if name not in few]
    # Contours are drawn in the panels of smooth parameters alone.
    places = [names.index(name) for name in smooth]
    panels = grid[np.ix_(places, places)]
    beside = 0.2 if given.reference else 0.0
    posterior = _scattered(given.posterior, few, -beside)
    reference = _scattered(given.reference, few, beside)
    points = {"marker": ".", "width": 0.0, "rasterized": True}
    dots = {"marker": ".", "s": 8.0, "linewidths": 0.0, "alpha": 0.4, "rasterized": True}
    grey = points | {"size": 12.0, "color": GREY, "zorder": 0}
    _draw(grid, names, _scattered(given.prior, few, 0.0), scatter=grey)
    if contours and _has_contours(posterior, smooth):
        regions = {"cmap": ListedColormap([tint(BLUE, 0.3), tint(BLUE, 0.6)])}
        _draw(panels, smooth, posterior, contourf=regions)
        _draw_few(grid, names, few, posterior, dots | {"color": BLUE})
    else:
        _draw(grid, names, posterior, scatter=points | _size(posterior) | {"color": BLUE})
    if reference and _has_contours(reference, smooth):
        _draw(panels, smooth, reference, contour={"color": ORANGE, "linewidths": 1.5})
        _draw_few(grid, names, few, reference, dots | {"color": ORANGE})
    else:
        _draw(grid, names, reference, scatter=points | _size(reference) | {"color": ORANGE})
    cross = {"marker": "+", "size": 110.0, "color": BLACK, "width": 1.8, "alpha": 1.0}
    _draw(grid, names, given.truth, scatter=cross)


def _size(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return size and opacity of points, which are larger where there are few."""
    many = len(next(iter(values.values()), ())) >= _LEAST_DRAWN
    return {"size": 8.0, "alpha": 0.4} if many else {"size": 60.0, "alpha": 0.7}


def _is_few(values: np.ndarray) -> bool:
    """Tell whether values are so few whole numbers that each can be seen by itself."""
    return are_whole(values) and len(np.unique(values)) <= _FEW_VALUES


def _gap(values: np.ndarray) -> float:
    """Return the least distance of different values; zero if all are equal."""
    distinct = np.unique(values)
    return float(np.min(np.diff(distinct))) if len(distinct) > 1 else 0.0


def _scattered(
    values: Mapping[str, np.ndarray], gaps: Mapping[str, float], middle: float
) -> dict[str, np.ndarray]:
    """Return draws, those of the columns in ``gaps`` scattered around a place beside their value.

    Equal draws would hide each other. Places and distances are in gaps between the values.
    """
    moved = dict(values)
    # Always the same, so that a figure can be drawn again.
    generator = np.random.default_rng(1)
    for name in gaps if values else ():
        places = generator.uniform(middle - _SCATTER, middle + _SCATTER, size=values[name].shape)
        moved[name] = values[name] + gaps[name] * places
    return moved


def _draw_few(
    grid: np.ndarray,
    names: Sequence[str],
    few: Collection[str],
    values: Mapping[str, np.ndarray],
    look: Mapping[str, Any],
) -> None:
    """Draw points in the panels of columns of few values."""
    for row, column in zip(*np.tril_indices(len(names), -1), strict=True):
        upwards = names[row]
        across = names[column]
        if values and (upwards in few or across in few):
            points = (_thinned(values[name]) for name in (across, upwards))
            grid[row, column].scatter(*points, **look)


def _thinned(values: np.ndarray) -> np.ndarray:
    """Return as many values as are drawn, evenly spaced: chains may lie one after another."""
    rows = np.linspace(0, len(values) - 1, min(len(values), _MOST_DRAWN))
    return values[np.rint(rows).astype(int)]


def _set_ticks(ax: Axes, pitch: float, points: float, *, across: bool, upwards: bool) -> None:
    """Place few ticks on a panel of this width, and numbers on the sides where there is room."""
    plain_numbers(ax, short=pitch < 1.6)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(3 if pitch > 1.1 else 2, steps=[1, 2, 5, 10]))
    ax.tick_params(axis="x", labelbottom=across, labelrotation=45 if pitch > 1.1 else 90)
    ax.tick_params(axis="y", labelleft=upwards)
    ax.tick_params(labelsize=points)


def _strongest(given: Given) -> tuple[list[str], list[tuple[str, str, float]]]:
    """Return columns of the strongest correlations, and the top three; all if columns are few."""
    columns = list(given.posterior)
    if len(columns) <= _BY_ITSELF:
        return columns, []
    correlations = np.nan_to_num(_correlations(given.posterior, columns))
    pairs = np.argwhere(np.triu(np.ones_like(correlations, dtype=bool), 1))
    ordered = pairs[np.argsort(-np.abs(correlations[*pairs.T]), kind="stable")]
    kept = list(dict.fromkeys(int(index) for index in ordered.ravel()))[:_BY_ITSELF]
    said = [
        (columns[one], columns[other], float(correlations[one, other]))
        for one, other in ordered[:3]
    ]
    return [columns[index] for index in sorted(kept)], said


def _range(given: Given, name: str) -> tuple[float, float]:
    ends = [*np.quantile(given.posterior[name], [0.001, 0.999])]
    ends += [*np.quantile(given.reference[name], [0.01, 0.99])] if given.reference else []
    ends += [float(given.truth[name])] if name in given.truth else []
    if not min(ends) < max(ends):
        margin = max(abs(float(ends[0])), 1.0) * 1e-3
        return float(ends[0] - margin), float(ends[0] + margin)
    # Some room around them, within the support as far as draws show it.
    margin = 0.08 * (max(ends) - min(ends))
    sets = [part[name] for part in given if name in part]
    least = min(np.min(values) for values in sets)
    most = max(np.max(values) for values in sets)
    return float(max(min(ends) - margin, least)), float(min(max(ends) + margin, most))


def _correlations(values: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Return the correlations (k, k); NaN for constant columns, and where there are no values."""
    return pd.DataFrame(values, columns=names, dtype=float).corr().to_numpy()


def _has_contours(values: Mapping[str, np.ndarray], names: Sequence[str]) -> bool:
    """Tell whether every pair has a density to draw.

    There are enough draws, no column is constant, and none determines another.
    """
    if not names:
        # Nothing else would be drawn with contours.
        return True
    correlations = _correlations(values, names)
    return len(values[names[0]]) >= _LEAST_DRAWN and bool(
        np.all(np.abs(correlations - np.eye(len(correlations))) < 0.9999)
    )


def _inside(
    values: Mapping[str, np.ndarray], ranges: Mapping[str, tuple[float, float]]
) -> dict[str, np.ndarray]:
    """Return the draws, each (n,), all of whose columns lie in their ranges."""
    if not values:
        return {}
    inside = np.all(
        [(low <= values[name]) & (values[name] <= high) for name, (low, high) in ranges.items()],
        axis=0,
    )
    return {name: values[name][inside] for name in ranges}


def _points(truth: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return truths as one draw, each (1,); NaN, which is not drawn, where they are unknown."""
    if not truth:
        return {}
    return {name: np.atleast_1d(truth.get(name, np.nan)) for name in names}


def _draw(
    grid: np.ndarray,
    names: Sequence[str],
    values: Mapping[str, np.ndarray],
    **visuals: Any,
) -> None:
    """Let ArviZ draw pairs below the diagonal."""
    if not values or len(names) < 2:
        return
    # Imported here: it takes a second, and pyplot with it.
    from arviz_base import rc_context
    from arviz_plots import plot_pair
    from arviz_plots.plot_matrix import PlotMatrix

    data = xarray.Dataset({name: ("sample", _thinned(values[name])) for name in names})
    # Its own backend would open a figure in pyplot; this way the matrix receives our axes.
    with rc_context({"plot.max_subplots": None}):
        matrix = PlotMatrix(data, ["__variable__"], backend="none")
    matrix.viz["plot"] = matrix.viz["plot"].copy(data=grid)
    matrix.backend = "matplotlib"
    off: Any = {"scatter": False, "label": False, "remove_axis": False}
    shape: Any = {"marginal": False, "triangle": "lower", "levels": [0.5, 0.9]}
    plot_pair(data, sample_dims=["sample"], plot_matrix=matrix, visuals=off | visuals, **shape)


def _write_correlation(ax: Axes, value: float, points: float) -> None:
    colour = RED if value < 0.0 else BLUE
    if np.isnan(value) or abs(value) < 0.1:
        colour = GREY
    text = "constant" if np.isnan(value) else _signed(value)
    ax.text(
        0.5,
        0.5,
        text,
        transform=ax.transAxes,
        ha="center",
        va="center",
        color=colour,
        fontsize=points,
    )
    ax.set_axis_off()


def _signed(value: float) -> str:
    return f"{value:+z.2f}".replace("+0.00", "0.00").replace("-", "\N{MINUS SIGN}")
