"""Comparison with a reference: the ECDF of the draws minus that of the reference draws."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import Comparison
from bayesinn.plots.panels import Panels
from bayesinn.plots.style import BAND, DASHED, PLAIN, Canvas, styled, verdict


@styled
def comparison(result: Comparison, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw the ECDF difference of each parameter's draws and reference draws.

    Draws of the same law stay within the grey band everywhere with the probability ``result.level``
    (Kolmogorov-Smirnov). A curve above zero throughout: draws too low; below: too high; above then below: too wide;
    below then above: too narrow. Its height is the probability that lies on the wrong side of a value.
    """
    critical = result.ks_critical
    reach = 1.1 * max(critical, np.max(result.ks))
    panels = Panels(figure, result.columns, labels, height=2.8)
    for index, ax in enumerate(panels.axes):
        ax.axhspan(-critical, critical, label=f"{result.level:.0%} band", **BAND)
        ax.axhline(0.0, **DASHED)
        points, difference = result.points[:, index], np.pad(result.ecdf_difference[:, index], 1)
        low, high = _limits(points)
        # An ECDF is a staircase: lines between its points would be wrong for a discrete parameter. Outside of all
        # draws the difference is zero.
        steps = np.concatenate([[min(low, points[0])], points, [max(high, points[-1])]])
        ax.step(steps, difference, where="post", linewidth=1.4, **verdict(result.inside[index], "draws - reference"))
        ax.set(xlim=(low, high), ylim=(-reach, reach))
        ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        panels.title(index, f"KS = {result.ks[index]:.2g}, p = {result.p_value[index]:.2g}", unit=True)
    return panels.finish("value", "ECDF difference")


def _limits(points: np.ndarray) -> tuple[float, float]:
    """Return limits without the outermost half per cent on either side: a few far draws would stretch the axis."""
    # The points are quantiles in steps of half a per cent.
    low, high = points[1], points[-2]
    if low == high:
        low, high = points[0], points[-1]
    margin = 0.04 * (high - low) or 0.5 * abs(low) or 0.5
    return low - margin, high + margin
