"""Coverage of central posterior intervals."""

import numpy as np

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import CoverageResult
from bayesinn.plots.panels import Panels
from bayesinn.plots.style import BAND, DASHED, GREY, PLAIN, Canvas, styled, verdict


@styled
def coverage(result: CoverageResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw observed minus nominal coverage, in percentage points.

    At zero, intervals hold the truth as often as they should. Below: posteriors too narrow or shifted; above: too wide.
    All panels share their vertical limits; a curve beyond five times the band runs out of its panel. The error in the
    titles is ``result.calibration_error``, in percentage points.
    """
    nominal, difference = 100.0 * result.nominal, 100.0 * (result.empirical - result.nominal[:, None])
    # The coverage of no interval, and of the interval over everything, is exact by definition.
    points = np.pad(nominal, 1, constant_values=(0.0, 100.0))
    band = result.band.lower / result.simulations, result.band.upper / result.simulations
    low, high, *single = (np.pad(100.0 * (x - result.nominal), 1) for x in (*band, result.lower, result.upper))
    widest = max(np.max(high), -np.min(low))
    reach = 1.1 * np.clip(np.max(np.abs(difference)), widest, 5.0 * widest)
    panels = Panels(figure, result.columns, labels)
    for index, ax in enumerate(panels.axes):
        ax.fill_between(points, low, high, label=f"{result.level:.0%} band, all levels", **BAND)
        for bound in single:
            ax.plot(
                points, bound, color=GREY, linewidth=0.9, linestyle=":", label=f"{result.level:.0%} band, each level"
            )
        ax.axhline(0.0, **DASHED)
        ax.plot(nominal, difference[:, index], marker="o", markersize=3, **verdict(result.inside[index], "observed"))
        ax.set(xlim=(0, 100), ylim=(-reach, reach), xticks=range(0, 101, 25))
        panels.title(index, f"error {100.0 * result.calibration_error[index]:.1f}")
    return panels.finish("nominal coverage [%]", "observed - nominal\n[percentage points]")
