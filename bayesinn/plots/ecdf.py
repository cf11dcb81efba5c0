"""The ECDF of values that should be uniform, minus that of uniform ones, with its simultaneous band."""

from __future__ import annotations

import numpy as np

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import UniformityResult
from bayesinn.plots.style import BLACK, BLUE, LIGHT_GREY, PLAIN, RED, Canvas, legend_below, outer, panels, styled


@styled
def ecdf(
    result: UniformityResult,
    *,
    labels: Labels = PLAIN,
    value: str = "rank of truth / (draws + 1)",
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the ECDF difference of each column.

    The values of a right posterior stay within the grey band everywhere with the probability ``result.level``
    (Saeilynoja, Buerkner & Vehtari 2022). Of ranks, a curve above zero throughout: posteriors too high; below: too low;
    above then below: too narrow; below then above: too wide.

    Parameters
    ----------
    result : UniformityResult, such as that of SBC or TARP
    labels : Labels
    value : str
        What the values are, for the axis.
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics import sbc
    >>> values = np.random.default_rng(1).normal(size=(2, 300, 99))
    >>> figure = ecdf(sbc({"rate": values[0, :, 0]}, {"rate": values[1]}, seed=1))
    >>> len(figure.axes)
    1
    """
    points = np.concatenate([[0.0], result.band.points, [1.0]])
    low = result.band.lower / result.simulations - result.band.points
    high = result.band.upper / result.simulations - result.band.points
    figure, axes, across = panels(figure, len(result.columns))
    difference = np.pad(result.ecdf_difference, ((1, 1), (0, 0)))
    reach = 1.1 * max(np.max(np.abs(difference)), np.max(high), -np.min(low))
    for index, (ax, column) in enumerate(zip(axes, result.columns, strict=True)):
        ax.fill_between(
            points, np.pad(low, 1), np.pad(high, 1), color=LIGHT_GREY, linewidth=0, label=f"{result.level:.0%} band"
        )
        ax.axhline(0.0, color=BLACK, linewidth=0.8, linestyle="--")
        colour = BLUE if result.inside[index] else RED
        name = "inside the band" if result.inside[index] else "outside the band"
        ax.plot(points, difference[:, index], color=colour, linewidth=1.6, label=name)
        ax.set(xlim=(0.0, 1.0), ylim=(-reach, reach))
        ax.set_title(f"{labels.label(column)}   p = {result.p_value[index]:.2g}")
        left, bottom = outer(index, len(axes), across)
        ax.set_xlabel(value if bottom else "")
        ax.set_ylabel("ECDF difference" if left else "")
    legend_below(figure, axes)
    return figure
