"""Coverage of central posterior intervals."""

from __future__ import annotations

import numpy as np

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import CoverageResult
from bayesinn.plots.style import BLACK, BLUE, GREY, LIGHT_GREY, PLAIN, RED, Canvas, legend_below, outer, panels, styled


@styled
def coverage(result: CoverageResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw how far the coverage found is from the coverage promised, in percentage points.

    At zero: intervals keep their promise. Below: posteriors too narrow or shifted; above: too wide. All panels share
    their vertical limits; a curve beyond five times the band runs out of its panel. The error in the titles is
    ``result.calibration_error``, in percentage points.

    Parameters
    ----------
    result : CoverageResult
    labels : Labels
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics import coverage as measure
    >>> values = np.random.default_rng(1).normal(size=(2, 300, 99))
    >>> figure = coverage(measure({"rate": values[0, :, 0]}, {"rate": values[1]}, seed=1))
    >>> len(figure.axes)
    1
    """
    nominal, difference = 100.0 * result.nominal, 100.0 * (result.empirical - result.nominal[:, None])
    # No interval, and the interval over everything, keep their promises by definition.
    points = np.pad(nominal, 1, constant_values=(0.0, 100.0))
    low = np.pad(100.0 * (result.band.lower / result.simulations - result.nominal), 1)
    high = np.pad(100.0 * (result.band.upper / result.simulations - result.nominal), 1)
    single_low = np.pad(100.0 * (result.lower - result.nominal), 1)
    single_high = np.pad(100.0 * (result.upper - result.nominal), 1)
    figure, axes, across = panels(figure, len(result.columns))
    widest = max(np.max(high), -np.min(low))
    reach = 1.1 * np.clip(np.max(np.abs(difference)), widest, 5.0 * widest)
    for index, (ax, column) in enumerate(zip(axes, result.columns, strict=True)):
        ax.fill_between(points, low, high, color=LIGHT_GREY, linewidth=0, label=f"{result.level:.0%} band, all levels")
        ax.plot(points, single_low, color=GREY, linewidth=0.9, linestyle=":")
        ax.plot(
            points, single_high, color=GREY, linewidth=0.9, linestyle=":", label=f"{result.level:.0%} band, each level"
        )
        ax.axhline(0.0, color=BLACK, linewidth=0.8, linestyle="--")
        colour = BLUE if result.inside[index] else RED
        name = "found" if result.inside[index] else "found, outside the band"
        ax.plot(nominal, difference[:, index], color=colour, marker="o", markersize=3, label=name)
        ax.set(xlim=(0, 100), ylim=(-reach, reach), xticks=range(0, 101, 25))
        ax.set_title(f"{labels.label(column)}   error {100.0 * result.calibration_error[index]:.1f}")
        left, bottom = outer(index, len(axes), across)
        ax.set_xlabel("promised coverage [%]" if bottom else "")
        ax.set_ylabel("found minus promised\n[percentage points]" if left else "")
    legend_below(figure, axes)
    return figure
