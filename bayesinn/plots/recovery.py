"""Recovery: posterior medians and intervals against the truth."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from bayesinn.core.labels import Labels
from bayesinn.diagnostics import RecoveryResult
from bayesinn.plots.style import BLACK, BLUE, PLAIN, Canvas, legend_below, outer, panels, styled


@styled
def recovery(
    result: RecoveryResult, *, labels: Labels = PLAIN, most: int = 300, figure: Canvas | None = None
) -> Canvas:
    """Draw the posterior of each data set, as median and interval, against the truth.

    Parameters
    ----------
    result : RecoveryResult
    labels : Labels
    most : int
        Draw the first ``most`` data sets only, so that intervals stay apart; numbers in titles use all of them.
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics import recovery as measure
    >>> truth = {"rate": np.random.default_rng(1).normal(size=100)}
    >>> draws = {"rate": truth["rate"][:, None] + np.random.default_rng(2).normal(size=(100, 50))}
    >>> len(recovery(measure(truth, draws, truth)).axes)
    1
    """
    figure, axes, across = panels(figure, len(result.columns), width=2.8, height=2.9)
    many = min(most, result.simulations)
    for index, (ax, column) in enumerate(zip(axes, result.columns, strict=True)):
        truth, median = result.truth[:many, index], result.median[:many, index]
        ax.vlines(
            truth,
            result.lower[:many, index],
            result.upper[:many, index],
            color=BLUE,
            alpha=0.25,
            linewidth=0.9,
            label=f"{result.interval:.0%} interval",
        )
        ax.plot(
            truth, median, linestyle="none", marker="o", markersize=3, color=BLUE, markeredgewidth=0, label="median"
        )
        ends = [min(truth.min(), median.min()), max(truth.max(), median.max())]
        ax.plot(ends, ends, color=BLACK, linewidth=1.0, linestyle="--", label="median = truth")
        ax.set_title(
            f"{labels.axis(column)}\n$R^2$ = {result.r_squared[index]:.2f}, r = {result.correlation[index]:.2f}"
        )
        left, bottom = outer(index, len(axes), across)
        ax.set_xlabel("truth" if bottom else "")
        ax.set_ylabel("posterior" if left else "")
        _limits(ax, truth, result.lower[:many, index], result.upper[:many, index])
    legend_below(figure, axes)
    return figure


def _limits(ax: Axes, truth: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
    """Let a few very long intervals run out of the panel instead of squeezing all others flat."""
    low, high = min(truth.min(), np.quantile(lower, 0.02)), max(truth.max(), np.quantile(upper, 0.98))
    margin = 0.05 * (high - low) or 1.0
    ax.set_ylim(low - margin, high + margin)
