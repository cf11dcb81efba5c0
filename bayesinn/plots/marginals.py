"""Marginal posteriors of one observation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayesinn.core.labels import Labels, columns
from bayesinn.plots.arrays import Draws, check_draws, check_same_columns, plain_draws
from bayesinn.plots.style import (
    BLACK,
    BLUE,
    GREY,
    LIGHT_GREY,
    ORANGE,
    PLAIN,
    Canvas,
    legend_below,
    outer,
    panels,
    styled,
)


@styled
def marginals(
    draws: Draws,
    *,
    prior: Draws | None = None,
    reference: Draws | None = None,
    truth: Mapping[str, np.ndarray] | None = None,
    labels: Labels = PLAIN,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw the histogram of each parameter's posterior, given one observation.

    Histograms, because a kernel density estimate would leak beyond the prior's support.

    Parameters
    ----------
    draws : dict of name to array (draws, *event), or a DataTree of ``posterior.infer``
        Given one observation.
    prior : dict of name to array (m, *event), or a DataTree, optional
        Prior draws.
    reference : dict of name to array (r, *event), or a DataTree, optional
        Draws of an exact or classical posterior to compare with.
    truth : dict of name to array (*event), optional
    labels : Labels
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        Names or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.random.default_rng(1).normal(size=(2, 500))
    >>> len(marginals({"rate": values[0] / 3}, prior={"rate": values[1]}, truth={"rate": np.array(0.1)}).axes)
    1
    """
    draws = plain_draws(draws, "posterior")
    check_draws("draws", draws)
    posterior = columns(draws, batch_ndim=1)
    before = None if prior is None else plain_draws(prior, "prior")
    exact = None if reference is None else plain_draws(reference, "posterior")
    others = {}
    for role, given, batch in (("prior", before, 1), ("reference", exact, 1), ("truth", truth, 0)):
        others[role] = columns(given, batch_ndim=batch) if given is not None else {}
        if given is not None:
            check_same_columns(role, posterior, others[role])
    figure, axes, across = panels(figure, len(posterior))
    for index, (ax, (column, values)) in enumerate(zip(axes, posterior.items(), strict=True)):
        low, high = _window(values, others["prior"].get(column), others["truth"].get(column))
        edges = _edges(values, low, high)
        if prior is not None:
            prior_values = others["prior"][column]
            # Few prior draws may fall into the window: bins of their own, and wider.
            prior_edges = edges if _discrete(prior_values) else np.linspace(edges[0], edges[-1], 21)
            heights = _density(prior_values, prior_edges)
            ax.stairs(heights, prior_edges, fill=True, color=LIGHT_GREY, label="prior")
            ax.stairs(heights, prior_edges, color=GREY, linewidth=0.8)
        ax.stairs(_density(values, edges), edges, fill=True, color=BLUE, alpha=0.5, label="posterior")
        if reference is not None:
            ax.stairs(
                _density(others["reference"][column], edges), edges, color=ORANGE, linewidth=1.8, label="reference"
            )
        if truth is not None:
            ax.axvline(float(others["truth"][column]), color=BLACK, linestyle="--", linewidth=1.4, label="truth")
        ax.set_xlim(edges[0], edges[-1])
        ax.set_ylim(bottom=0.0)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(labels.axis(column))
        ax.set_ylabel("density" if outer(index, len(axes), across)[0] else "")
    legend_below(figure, axes)
    return figure


def _window(values: np.ndarray, prior: np.ndarray | None, truth: np.ndarray | None) -> tuple[float, float]:
    """The range to show: the prior's, but never so wide that the posterior shrinks below a fifth of the panel."""
    low, high = np.quantile(values, [0.001, 0.999])
    width = (high - low) or max(abs(float(low)), 1.0) * 1e-3
    start, end = low - 0.15 * width, high + 0.15 * width
    if prior is not None:
        prior_low, prior_high = np.quantile(prior, [0.001, 0.999])
        start = min(start, max(prior_low, low - 2.0 * width))
        end = max(end, min(prior_high, high + 2.0 * width))
    if truth is not None:
        start, end = min(start, float(truth) - 0.1 * width), max(end, float(truth) + 0.1 * width)
    return float(start), float(end)


def _edges(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Edges of bins: one bin a value for integers, otherwise of the width of Freedman & Diaconis 1981."""
    if _discrete(values) and high - low <= 60:
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    quartiles = np.subtract(*np.quantile(values, [0.75, 0.25]))
    bins = int(np.clip((high - low) * len(values) ** (1 / 3) / (2.0 * quartiles), 20, 200)) if quartiles > 0 else 40
    return np.linspace(low, high, bins + 1)


def _discrete(values: np.ndarray) -> bool:
    return np.issubdtype(values.dtype, np.integer)


def _density(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Histogram as a density over all values, also those beyond the edges."""
    return np.histogram(values, edges)[0] / (len(values) * np.diff(edges))
