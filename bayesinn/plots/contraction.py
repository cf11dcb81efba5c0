"""Contraction and z-scores: how much posteriors learn, and how far they are from the truth."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from bayesinn.core.labels import Labels
from bayesinn.diagnostics.recovery import RecoveryResult
from bayesinn.plots.style import BLACK, BLUE, GREY, PLAIN, RED, Canvas, legend_below, outer, panels, styled

#: z-scores beyond are drawn at the edge, so that a few do not squeeze the others flat.
MOST_DEVIATIONS = 5.0

_GUIDE = 2.0


@styled
def contraction(result: RecoveryResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw the z-score of each data set against the contraction of its posterior.

    The sensitivity plot of Schad, Betancourt & Vasishth 2021, "Toward a principled Bayesian workflow in cognitive
    science", arXiv:1904.12765, after Betancourt. Contraction is 1 - posterior variance / prior variance, the z-score
    (posterior mean - truth) / posterior standard deviation. Points on the right between the dashed lines: the data
    identify the parameter. On the left between them: the data say little. Many beyond the lines on the right:
    posteriors overfit, sure and wrong; on the left: the prior conflicts with the truth. Where posteriors are right and
    nearly normal, 5 % of the points are beyond.

    Parameters
    ----------
    result : RecoveryResult
    labels : Labels
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Examples
    --------
    >>> from bayesinn.diagnostics.recovery import recovery
    >>> truth = {"rate": np.random.default_rng(1).normal(size=100)}
    >>> draws = {"rate": truth["rate"][:, None] + np.random.default_rng(2).normal(size=(100, 50))}
    >>> len(contraction(recovery(truth, draws, truth)).axes)
    1
    """
    shrunk, deviation = _contraction(result), result.z_score
    left_end = _left_end(shrunk)
    reach = 1.1 * MOST_DEVIATIONS
    figure, axes, across = panels(figure, len(result.columns))
    for index, (ax, column) in enumerate(zip(axes, result.columns, strict=True)):
        for height in (-_GUIDE, _GUIDE):
            ax.axhline(height, color=BLACK, linewidth=0.8, linestyle="--", label=f"z = \N{PLUS-MINUS SIGN}{_GUIDE:.0f}")
        ax.axhline(0.0, color=GREY, linewidth=0.6)
        ax.vlines(0.0, -reach, reach, color=GREY, linewidth=0.6)
        _draw_points(ax, np.maximum(shrunk[:, index], left_end), deviation[:, index])
        margin = 0.03 * (1.0 - left_end)
        # The words above take the room of 1.3 more deviations.
        ax.set(xlim=(left_end - margin, 1.0 + margin), ylim=(-reach, reach + 1.3), yticks=range(-4, 5, 2))
        beyond = np.mean(np.abs(deviation[:, index]) > _GUIDE)
        ax.set_title(f"{labels.label(column)}   beyond {_GUIDE:.0f}: {beyond:.0%}")
        left, bottom = outer(index, len(axes), across)
        ax.set_xlabel("posterior contraction\n0: nothing learnt, 1: known" if bottom else "")
        ax.set_ylabel("posterior z-score" if left else "")
        for x, side, word in ((0.02, "left", "prior conflict"), (0.98, "right", "overfit")):
            ax.text(x, 0.98, word, transform=ax.transAxes, ha=side, va="top", color=GREY, fontsize=8.5)
    legend_below(figure, axes)
    return figure


def _contraction(result: RecoveryResult) -> np.ndarray:
    """Array (n, k), NaN where a parameter does not vary."""
    varies = np.where(result.prior_variance > 0.0, result.prior_variance, np.nan)
    return 1.0 - result.standard_deviation**2 / varies


def _left_end(shrunk: np.ndarray) -> float:
    """Zero, or less where more than a few posteriors of a parameter are wider than the prior."""
    varying = shrunk[:, np.all(np.isfinite(shrunk), axis=0)]
    return float(np.clip(np.min(np.quantile(varying, 0.01, axis=0), initial=0.0), -1.0, 0.0))


def _draw_points(ax: Axes, across: np.ndarray, upwards: np.ndarray) -> None:
    known = np.isfinite(across) & np.isfinite(upwards)
    if not known.any():
        ax.text(0.5, 0.5, "does not vary", transform=ax.transAxes, ha="center", va="center", color=GREY)
    inside = known & (np.abs(upwards) <= MOST_DEVIATIONS)
    ax.plot(
        across[inside],
        upwards[inside],
        linestyle="none",
        marker="o",
        markersize=3.5,
        color=BLUE,
        alpha=0.45,
        markeredgewidth=0,
        label="data set",
        rasterized=True,
    )
    for sign, marker in ((1.0, "^"), (-1.0, "v")):
        outside = known & (sign * upwards > MOST_DEVIATIONS)
        if outside.any():
            height = np.full(int(outside.sum()), sign * MOST_DEVIATIONS)
            ax.plot(
                across[outside],
                height,
                linestyle="none",
                marker=marker,
                markersize=4,
                color=RED,
                label=f"|z| above {MOST_DEVIATIONS:.0f}",
            )
