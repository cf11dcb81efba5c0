"""Posteriors of many observations: one panel for each parameter, one row for each observation."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels, columns
from bayesinn.plots.arrays import Draws, check_numbers, draws_of_observations
from bayesinn.plots.panels import MOST_PANELS, PAGE, SMALL, canvas, legend_below, plain_numbers
from bayesinn.plots.style import CURVES, PLAIN, POINTS, Canvas, styled, tint
from bayesinn.plots.text import inches, shortened, wrapped

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
        _draw(ax, values[order], chosen, kinds, 72.0 * (height - 0.7) / count)
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


def _draw(
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
