"""Figures of posteriors: pairs, marginals, many observations."""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import MaxNLocator

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels, columns
from bayesinn.plots.arrays import Draws, Given, check_numbers, choose, draws_of_observations, gather
from bayesinn.plots.histograms import are_whole, bin_edges, equal_bins, marginal
from bayesinn.plots.panels import (
    BLACK,
    BLUE,
    CURVES,
    GREY,
    MOST_PANELS,
    ORANGE,
    PAGE,
    PLAIN,
    POINTS,
    RED,
    SMALL,
    Canvas,
    Panels,
    canvas,
    inches,
    legend_below,
    plain_numbers,
    shortened,
    styled,
    tint,
    wrapped,
)
from bayesinn.plots.predictive import decades

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


# Marginal posteriors of one observation.
#
# ``arviz_plots.plot_prior_posterior`` thins draws and scales the prior's histogram to the bins
# shown; here each histogram is a density of all its draws. A kernel density estimate would leak
# beyond the prior's support.


@styled
def marginals(
    draws: Draws,
    *,
    prior: Draws | None = None,
    reference: Draws | None = None,
    truth: Mapping[str, np.ndarray] | None = None,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the histogram of each parameter's posterior, given one observation.

    Axes are logarithmic if the prior ranges over decades and the panel over more than one.
    """
    given = gather(draws, prior, reference, truth)
    columns = list(given.posterior)
    panels = Panels(figure, columns, labels, shown=shown)
    for index, ax in panels:
        column = columns[index]
        edges, logarithmic = _edges(given, column)
        if logarithmic:
            decades(ax, "x", edges[0], edges[-1])
        marginal(ax, edges, given, column)
        panels.name(index)
    return panels.finish(upwards="density")


def _edges(given: Given, column: str) -> tuple[np.ndarray, bool]:
    """Return edges of bins, and whether they are equal on a logarithmic axis."""
    values = given.posterior[column]
    others = [given.prior.get(column), given.truth.get(column)]
    if given.spans_decades(column):
        low, high = _window(
            np.log(values), *(None if other is None else np.log(other) for other in others)
        )
        if high - low > np.log(10.0):
            return np.exp(bin_edges(np.log(values), low, high)), True
    return bin_edges(values, *_window(values, *others)), False


def _window(
    values: np.ndarray, prior: np.ndarray | None, truth: np.ndarray | None
) -> tuple[float, float]:
    """Return the range to show: the prior's, unless the posterior fills less than a fifth of it."""
    low, high = np.quantile(values, [0.001, 0.999])
    width = (high - low) or max(abs(float(low)), 1.0) * 1e-3
    start = low - 0.15 * width
    end = high + 0.15 * width
    drawn = values
    if prior is not None:
        drawn = np.concatenate([values, prior])
        prior_low, prior_high = np.quantile(prior, [0.001, 0.999])
        # As far as the prior reaches, within two widths of the posterior.
        start = min(start, max(prior_low, low - 2.0 * width))
        end = max(end, min(prior_high, high + 2.0 * width))
    if low < high:
        # Not beyond the support, as far as draws show it.
        start = max(start, drawn.min())
        end = min(end, drawn.max())
    if truth is not None:
        start = min(start, float(truth) - 0.1 * width)
        end = max(end, float(truth) + 0.1 * width)
    return float(start), float(end)


_ACROSS = 4
# inches for a row, and for a panel at most; with more rows, some names are left out
_ROW = 0.16
_HIGHEST = 9.0
_NAMES = 1.2
# points for a row; with fewer, lines touch
_DENSE = 4.0
_MOST_GROUPS = len(CURVES)


@styled
def observations(
    draws: Draws,
    names: Sequence[str] | None = None,
    *,
    groups: Sequence[str] | None = None,
    by: str = "observation",
    labels: Labels = PLAIN,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the median and the central 50 and 90 % of each parameter, given each observation.

    Of more than 40 columns, the first 40 are drawn; the heading says how many are not.

    Parameters
    ----------
    draws : dict of name to array (n_obs, draws, *event)
        As ``posterior.sample`` returns them for several observations; or the DataTree of
        ``posterior.infer``.
    names : sequence of n_obs texts; by default numbers from 0 on
    groups : sequence of n_obs texts, at most five different ones
        Observations of a group are drawn together, in its colour.
    by : str, name of an observation, such as "patient"

    Examples
    --------
    >>> generator = np.random.default_rng(1)
    >>> figure = observations({"rate": generator.normal(size=(5, 100))}, groups=list("aabbb"))
    >>> len(figure.axes)
    1
    """
    draws = draws_of_observations(draws)
    shapes = {name: np.shape(value) for name, value in draws.items()}
    if min(map(len, shapes.values()), default=0) < 2 or len({s[:2] for s in shapes.values()}) != 1:
        raise InputError(
            "draws",
            expected="for every parameter an array (n_obs, draws, *event), n_obs and draws the "
            "same",
            got=str(shapes),
            do="pass posterior.sample(data) of several observations; bi.plots.forest is for one",
        )
    count = next(iter(shapes.values()))[0]
    rows = _texts("names", names, count) or list(map(str, range(count)))
    members = _texts("groups", groups, count) or [""] * count
    kinds = list(dict.fromkeys(members))
    if len(kinds) > _MOST_GROUPS:
        raise InputError(
            "Argument 'groups'",
            expected=f"at most {_MOST_GROUPS} different ones, which colours tell apart",
            got=f"{len(kinds)}",
            do="join some, or draw a figure for each",
        )
    order = [row for kind in kinds for row in range(count) if members[row] == kind]
    split = columns(check_numbers("draws", draws), batch_ndim=2)
    drawn = dict(itertools.islice(split.items(), MOST_PANELS))
    across = min(len(drawn), _ACROSS)
    down = math.ceil(len(drawn) / across)
    height = min(_ROW * count, _HIGHEST / down) + 0.7
    width = min(_NAMES + 2.2 * across, PAGE)
    figure = canvas(figure, width, down * height + 0.4)
    axes = list(figure.subplots(down, across, sharey=True, squeeze=False).ravel())
    for ax in axes[len(drawn) :]:
        ax.remove()
    for ax, (name, values) in zip(axes, drawn.items(), strict=False):
        chosen = [kinds.index(members[row]) for row in order]
        _draw_rows(ax, values[order], chosen, kinds, 72.0 * (height - 0.7) / count)
        plain_numbers(ax, short=True)
        ax.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        text = wrapped(labels.axis(name), width / across - 0.3, SMALL)
        ax.set_xlabel(text, fontsize=SMALL)
    every = math.ceil(count * _ROW / (height - 0.7) - 1e-9)
    shown = range(0, count, every)
    texts = [shortened(rows[order[place]], _NAMES, SMALL) for place in shown]
    axes[0].set_yticks(list(shown), texts, fontsize=SMALL)
    axes[0].set_ylim(count - 0.5, -0.5)
    # A text that is longer than its panel would end beyond the figure's edge.
    end = "top" if inches(by, SMALL) > height - 0.7 else "center"
    for ax in axes[: len(drawn) : across]:
        ax.set_ylabel(by, fontsize=SMALL, loc=end)
    if len(split) > len(drawn):
        figure.suptitle(f"{len(split) - len(drawn)} more are not drawn", fontsize=SMALL)
    return legend_below(figure)


def _texts(option: str, values: Sequence[str] | None, count: int) -> list[str]:
    """Return texts that were given for so many observations; none if none were."""
    if values is None:
        return []
    if len(values) != count:
        raise InputError(
            f"Argument {option!r}",
            expected=f"{count} texts",
            got=f"{len(values)}",
            do="pass as many as there are observations",
        )
    return list(map(str, values))


def _draw_rows(
    ax: Axes, values: np.ndarray, kinds: Sequence[int], names: Sequence[str], room: float
) -> None:
    """Draw intervals of values (rows, draws), each in the colour and marker of its group.

    A row has ``room`` points.
    """
    width = min(1.0, max(0.15 * room, 0.2))
    ends = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1)
    for kind, name in enumerate(names):
        places = np.flatnonzero(np.array(kinds) == kind)
        low, lower, middle, upper, high = ends[:, places]
        colour, marker, _ = CURVES[kind]
        # Lines that touch would make a dark area.
        outer = colour if room > _DENSE else tint(colour, 0.25)
        ax.hlines(places, low, high, color=outer, linewidth=width)
        ax.hlines(places, lower, upper, color=tint(colour, 0.55), linewidth=3.0 * width)
        label = f"{name}: median, 50 and 90 %" if name else "median, 50 and 90 %"
        options = {**POINTS, "marker": marker}
        ax.plot(
            middle, places, color=colour, markersize=max(3.5 * width, 1.5), label=label, **options
        )
