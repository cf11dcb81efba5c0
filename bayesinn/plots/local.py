"""The local classifier two-sample test: what it found at each observation, and where the posterior is off."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels, columns
from bayesinn.diagnostics.local import LocalC2STResult
from bayesinn.plots.arrays import Draws, check_draws, plain_draws
from bayesinn.plots.style import (
    BLACK,
    BLUE,
    GREY,
    LIGHT_GREY,
    ORANGE,
    PLAIN,
    RED,
    Canvas,
    legend_below,
    outer,
    panels,
    styled,
)

# Further below the largest value, differences mean nothing and only squeeze the rest.
_DECADES = 1e-7


@styled
def local_c2st(result: LocalC2STResult, *, labels: Labels = PLAIN, figure: Canvas | None = None) -> Canvas:
    """Draw the statistic at each observation among those of right posteriors.

    A line to the right of the grey bars: the classifier tells truths from posterior draws there better than chance.

    Parameters
    ----------
    result : LocalC2STResult
    labels : Labels
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics.local import local_c2st as test
    >>> data, latent = np.random.default_rng(1).normal(size=(2, 200, 1))
    >>> len(local_c2st(test(latent, data, data[:2], seed=1, trials=99)).axes)
    2
    """
    figure, axes, across = panels(figure, len(result.columns))
    # One scale for all panels, to compare observations.
    top = 2.0 * max(float(np.max(result.statistic)), float(np.max(result.null)), 1e-12)
    floor = _DECADES * top
    null, statistic = np.maximum(result.null, floor), np.maximum(result.statistic, floor)
    low = 0.5 * min(float(np.min(null)), float(np.min(statistic)))
    edges = np.geomspace(low, top, 31)
    for index, (ax, column) in enumerate(zip(axes, result.columns, strict=True)):
        ax.set_xscale("log")
        ax.stairs(np.histogram(null[:, index], edges)[0], edges, fill=True, color=LIGHT_GREY, label="right posteriors")
        ax.stairs(np.histogram(null[:, index], edges)[0], edges, color=GREY, linewidth=0.8)
        ax.axvline(
            np.quantile(null[:, index], result.level),
            color=BLACK,
            linewidth=1.0,
            linestyle="--",
            label=f"{result.level:.0%} of them",
        )
        inside = result.inside[index]
        name = "this posterior" if inside else "this posterior, failing"
        ax.axvline(statistic[index], color=BLUE if inside else RED, linewidth=2.0, label=name)
        ax.set_xlim(low, top)
        ax.locator_params(axis="x", numticks=5)
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.set_title(f"{labels.label(column)}   p = {result.p_value[index]:.2g}")
        left, bottom = outer(index, len(axes), across)
        ax.set_xlabel("mean (probability - 1/2)$^2$" if bottom else "")
        ax.set_ylabel("trials" if left else "")
    legend_below(figure, axes)
    return figure


@styled
def local_c2st_marginals(
    result: LocalC2STResult,
    draws: Draws,
    *,
    observation: int = 0,
    labels: Labels = PLAIN,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw where the posterior of one observation is off: its draws, and the same draws weighted by the classifier.

    The weights, probability / (1 - probability), estimate the right posterior's density divided by this one's. Where
    the test passes, the two histograms agree.

    Parameters
    ----------
    result : LocalC2STResult
    draws : dict of name to array (m, *event), or a DataTree
        What the inverse flow makes of ``result.evaluation``, row by row, given this observation.
    observation : int
        Which one, counted from 0.
    labels : Labels
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        There is no such observation, or the draws do not belong to the evaluation points.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics.local import local_c2st as test
    >>> data, latent = np.random.default_rng(1).normal(size=(2, 200, 1))
    >>> result = test(latent, data, data[:1], seed=1, trials=99)
    >>> len(local_c2st_marginals(result, {"rate": 0.5 + 0.1 * result.evaluation[:, 0]}).axes)
    1
    """
    plain = plain_draws(draws, "posterior")
    check_draws("draws", plain)
    posterior = columns(plain, batch_ndim=1)
    size = len(next(iter(posterior.values())))
    if not 0 <= observation < len(result.columns) or size != len(result.evaluation):
        raise InputError(
            "observation and draws",
            expected=f"an observation from 0 to {len(result.columns) - 1}, and {len(result.evaluation)} draws",
            got=f"observation {observation}, {size} draws",
            do="pass what the inverse flow makes of result.evaluation, given this observation",
        )
    weights = result.probability[observation] / (1.0 - result.probability[observation])
    figure, axes, across = panels(figure, len(posterior))
    for index, (ax, (column, values)) in enumerate(zip(axes, posterior.items(), strict=True)):
        low, high = np.quantile(values, [0.002, 0.998])
        margin = 0.05 * (high - low) or 1.0
        edges = np.linspace(low - margin, high + margin, 26)
        ax.stairs(
            np.histogram(values, edges)[0] / size, edges, fill=True, color=BLUE, alpha=0.5, label="this posterior"
        )
        ax.stairs(
            np.histogram(values, edges, weights=weights)[0] / weights.sum(),
            edges,
            color=ORANGE,
            linewidth=1.8,
            label="as the classifier would correct it",
        )
        ax.set_xlim(edges[0], edges[-1])
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(labels.axis(column))
        ax.set_ylabel("density" if outer(index, len(axes), across)[0] else "")
    legend_below(figure, axes)
    return figure
