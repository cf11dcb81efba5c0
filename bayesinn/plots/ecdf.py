"""The ECDF of values that should be uniform, minus that of uniform ones, with its simultaneous band.

``arviz_plots.plot_ecdf_pit`` simulates its band; this one is exact.
"""

import numpy as np

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import UniformityResult
from bayesinn.plots.panels import Panels
from bayesinn.plots.style import BAND, DASHED, PLAIN, Canvas, styled, verdict

_RANK = "rank of truth / (draws + 1)"


@styled
def ecdf(
    result: UniformityResult, *, labels: Labels = PLAIN, value: str = _RANK, figure: Canvas | None = None
) -> Canvas:
    """Draw the ECDF difference of each column of SBC, TARP or the like; ``value`` names the values on the axis.

    The values of a correct posterior stay within the grey band everywhere with the probability ``result.level``
    (Saeilynoja, Buerkner & Vehtari 2022). If they are ranks, a curve above zero throughout means posteriors too high;
    below: too low; above then below: too narrow; below then above: too wide.
    """
    points = np.concatenate([[0.0], result.band.points, [1.0]])
    low, high = (np.pad(x / result.simulations - result.band.points, 1) for x in (result.band.lower, result.band.upper))
    difference = np.pad(result.ecdf_difference, ((1, 1), (0, 0)))
    reach = 1.1 * max(np.max(np.abs(difference)), np.max(high), -np.min(low))
    panels = Panels(figure, result.columns, labels)
    for index, ax in enumerate(panels.axes):
        ax.fill_between(points, low, high, label=f"{result.level:.0%} band", **BAND)
        ax.axhline(0.0, **DASHED)
        name = "inside the band" if result.inside[index] else "outside the band"
        ax.plot(points, difference[:, index], linewidth=1.6, **verdict(result.inside[index], name, ""))
        ax.set(xlim=(0.0, 1.0), ylim=(-reach, reach))
        panels.title(index, f"p = {result.p_value[index]:.2g}")
    return panels.finish(value, "ECDF difference")
