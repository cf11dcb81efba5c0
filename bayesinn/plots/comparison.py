"""Comparison with a reference: the ECDF of the draws minus that of the reference draws."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from bayesinn.core.labels import Labels
from bayesinn.diagnostics.comparison import Comparison
from bayesinn.plots.style import BLACK, BLUE, LIGHT_GREY, PLAIN, RED, Canvas, legend_below, outer, panels, styled


@styled
def comparison(result: Comparison, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw the ECDF difference of each parameter's draws and reference draws.

    Draws of the same law stay within the grey band everywhere with the probability ``result.level``
    (Kolmogorov-Smirnov). A curve above zero throughout: draws too low; below: too high; above then below: too wide;
    below then above: too narrow. Its height is the probability that lies on the wrong side of a value.

    Parameters
    ----------
    result : Comparison
    labels : Labels
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics.comparison import compare
    >>> draws, reference = np.random.default_rng(1).normal(size=(2, 500))
    >>> figure = comparison(compare({"rate": draws}, {"rate": reference}, seed=1, c2st_draws=0))
    >>> len(figure.axes)
    1
    """
    figure, axes, across = panels(figure, len(result.columns), height=2.8)
    critical = result.ks_critical
    reach = 1.1 * max(critical, np.max(result.ks))
    for index, (ax, column) in enumerate(zip(axes, result.columns, strict=True)):
        ax.axhspan(-critical, critical, color=LIGHT_GREY, linewidth=0, label=f"{result.level:.0%} band")
        ax.axhline(0.0, color=BLACK, linewidth=0.8, linestyle="--")
        inside = result.inside[index]
        points = result.points[:, index]
        low, high = _limits(points)
        # An ECDF is a staircase: straight lines between its points would lie for a discrete parameter. Outside of all
        # draws the difference is zero.
        ax.step(
            np.concatenate([[min(low, points[0])], points, [max(high, points[-1])]]),
            np.pad(result.ecdf_difference[:, index], 1),
            where="post",
            color=BLUE if inside else RED,
            linewidth=1.4,
            label="draws - reference" if inside else "draws - reference, outside the band",
        )
        ax.set(xlim=(low, high), ylim=(-reach, reach))
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.set_title(f"{labels.axis(column)}\nKS = {result.ks[index]:.2g}, p = {result.p_value[index]:.2g}")
        left, bottom = outer(index, len(axes), across)
        ax.set_xlabel("value" if bottom else "")
        ax.set_ylabel("ECDF difference" if left else "")
    legend_below(figure, axes)
    return figure


def _limits(points: np.ndarray) -> tuple[float, float]:
    """All but the outermost half per cent on either side, which a few far draws would stretch over the panel."""
    # The points are quantiles in steps of half a per cent.
    low, high = points[1], points[-2]
    if low == high:
        low, high = points[0], points[-1]
    margin = 0.04 * (high - low) or 0.5 * abs(low) or 0.5
    return low - margin, high + margin
