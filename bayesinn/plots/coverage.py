"""Coverage of central posterior intervals."""

from __future__ import annotations

import numpy as np

from bayesinn.diagnostics import CoverageResult
from bayesinn.naming import Labels
from bayesinn.plots.style import BLACK, BLUE, GREY, LIGHT_GREY, PLAIN, RED, Canvas, legend_below, outer, panels, styled


@styled
def coverage(result: CoverageResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw the coverage found against the coverage promised, in percent.

    On the diagonal: intervals keep their promise. Below: posteriors too narrow or shifted; above: too wide.

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
    size, nominal = result.simulations, 100.0 * result.nominal
    figure, axes, across = panels(figure, len(result.columns), width=2.8, height=2.8)
    for index, (ax, column) in enumerate(zip(axes, result.columns, strict=True)):
        ax.fill_between(
            np.concatenate([[0.0], nominal, [100.0]]),
            np.concatenate([[0.0], 100.0 * result.band.lower / size, [100.0]]),
            np.concatenate([[0.0], 100.0 * result.band.upper / size, [100.0]]),
            color=LIGHT_GREY,
            linewidth=0,
            label=f"{result.level:.0%} band, all levels",
        )
        ax.plot(nominal, 100.0 * result.lower, color=GREY, linewidth=0.8, linestyle=":")
        ax.plot(
            nominal,
            100.0 * result.upper,
            color=GREY,
            linewidth=0.8,
            linestyle=":",
            label=f"{result.level:.0%} band, each level",
        )
        ax.plot([0, 100], [0, 100], color=BLACK, linewidth=0.8, linestyle="--")
        colour = BLUE if result.inside[index] else RED
        name = "found" if result.inside[index] else "found, outside the band"
        ax.plot(nominal, 100.0 * result.empirical[:, index], color=colour, marker="o", markersize=3, label=name)
        ax.set(xlim=(0, 100), ylim=(0, 100), xticks=range(0, 101, 25), yticks=range(0, 101, 25), aspect="equal")
        ax.set_title(f"{labels.label(column)}   error {result.calibration_error[index]:.3f}")
        left, bottom = outer(index, len(axes), across)
        ax.set_xlabel("promised coverage [%]" if bottom else "")
        ax.set_ylabel("coverage found [%]" if left else "")
    legend_below(figure, axes)
    return figure
