"""Pair plot of one posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from scipy.spatial import distance

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels, columns
from bayesinn.plots.arrays import Draws, check_draws, check_same_columns, plain_draws
from bayesinn.plots.style import (
    BLACK,
    BLUE,
    GREY,
    LIGHT_GREY,
    ORANGE,
    PLAIN,
    RED,
    Canvas,
    canvas,
    legend_below,
    styled,
)

#: More columns than this are illegible on one page.
MOST_COLUMNS = 12

# Enough for a contour.
_MOST_SMOOTHED = 1500
# Blue at 30 and 60 %, opaque: the prior's points must not show through.
_PALE, _MIDDLE = "#B3D5E8", "#66AAD1"


@styled
def pairs(
    draws: Draws,
    *,
    prior: Draws | None = None,
    reference: Draws | None = None,
    truth: Mapping[str, np.ndarray] | None = None,
    labels: Labels = PLAIN,
    shown: Sequence[str] | None = None,
    contours: bool = True,
    figure: Canvas | None = None,
) -> Canvas:
    """Draw each pair of parameters, each parameter on the diagonal, and correlations above it.

    Parameters
    ----------
    draws : dict of name to array (draws, *event), or a DataTree of ``posterior.infer``
        Given one observation.
    prior : dict of name to array (m, *event), or a DataTree, optional
        Prior draws, in grey.
    reference : dict of name to array (r, *event), or a DataTree, optional
        Draws of an exact or classical posterior to compare with: orange outlines, of the regions that hold 50 and 90 %.
    truth : dict of name to array (*event), optional
    labels : Labels
    shown : sequence of column names, optional
        For example ``["rate", "beta[0]"]``; at most 12. All columns if left out.
    contours : bool
        Draw the regions of highest density that hold 50 and 90 % of the draws; otherwise the draws as points.
    figure : Figure or SubFigure, optional
        Drawn into, if given.

    Returns
    -------
    Figure

    Raises
    ------
    InputError
        Names or shapes do not fit, or there are more than 12 columns.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.random.default_rng(1).normal(size=(500, 2))
    >>> len(pairs({"rate": values[:, 0], "size": values[:, 1]}).axes)
    4
    """
    draws = plain_draws(draws, "posterior")
    check_draws("draws", draws)
    posterior = columns(draws, batch_ndim=1)
    before = columns(plain_draws(prior, "prior"), batch_ndim=1) if prior is not None else {}
    exact = columns(plain_draws(reference, "posterior"), batch_ndim=1) if reference is not None else {}
    true = columns(truth, batch_ndim=0) if truth is not None else {}
    for role, values in (("prior", before), ("reference", exact), ("truth", true)):
        if values:
            check_same_columns(role, posterior, values)
    names = _chosen(posterior, shown)
    size = len(names)
    inches = 4.6 if size == 1 else min(2.0 * size + 0.8, 16.0)
    figure = canvas(figure, inches, inches)
    grid = [[figure.add_subplot(size, size, row * size + column + 1) for column in range(size)] for row in range(size)]
    ranges = {name: _range(posterior[name], exact.get(name), true.get(name)) for name in names}
    for row, below in enumerate(names):
        for column, across in enumerate(names):
            ax = grid[row][column]
            if column > row:
                _correlation(ax, posterior[across], posterior[below])
                continue
            ax.set_xlim(ranges[across])
            if column == row:
                _marginal(
                    ax, posterior[across], before.get(across), exact.get(across), true.get(across), ranges[across]
                )
            else:
                if before:
                    x, y = before[across][:2000], before[below][:2000]
                    ax.plot(x, y, ".", color=GREY, alpha=0.5, markersize=2, zorder=0, rasterized=True)
                _joint(ax, posterior[across], posterior[below], contours)
                if exact:
                    _outline(ax, exact[across], exact[below])
                if true:
                    ax.plot(
                        float(true[across]), float(true[below]), "+", color=BLACK, markersize=11, markeredgewidth=1.8
                    )
                ax.set_ylim(ranges[below])
            _ticks(ax, row, column, size, labels.axis(across), labels.axis(below))
    figure.align_labels()
    legend_below(figure, [grid[0][0]])
    return figure


def _chosen(posterior: Mapping[str, np.ndarray], shown: Sequence[str] | None) -> list[str]:
    names = list(posterior) if shown is None else list(shown)
    unknown = [name for name in names if name not in posterior]
    if unknown or not 1 <= len(names) <= MOST_COLUMNS or len(set(names)) < len(names):
        raise InputError(
            "columns of a pair plot",
            expected=f"1 to {MOST_COLUMNS} different columns out of {list(posterior)}",
            got=f"{len(names)} columns" + (f", unknown: {unknown}" if unknown else ""),
            do="choose with shown=[...]",
        )
    return names


def _range(values: np.ndarray, exact: np.ndarray | None, truth: np.ndarray | None) -> tuple[float, float]:
    low, high = np.quantile(values, [0.001, 0.999])
    if exact is not None:
        exact_low, exact_high = np.quantile(exact, [0.01, 0.99])
        low, high = min(low, exact_low), max(high, exact_high)
    if truth is not None:
        low, high = min(low, float(truth)), max(high, float(truth))
    margin = 0.08 * (high - low) or max(abs(float(low)), 1.0) * 1e-3
    return float(low - margin), float(high + margin)


def _marginal(
    ax: Axes,
    values: np.ndarray,
    prior: np.ndarray | None,
    exact: np.ndarray | None,
    truth: np.ndarray | None,
    limits: tuple[float, float],
) -> None:
    edges = np.linspace(*limits, 31)
    if prior is not None:
        # Density over all prior draws, most of which may lie outside the panel.
        heights = np.histogram(prior, edges)[0] / (len(prior) * np.diff(edges))
        ax.stairs(heights, edges, fill=True, color=LIGHT_GREY, label="prior")
    heights = np.histogram(values, edges, density=True)[0]
    ax.stairs(heights, edges, fill=True, color=BLUE, alpha=0.6, label="posterior")
    if exact is not None:
        heights = np.histogram(exact, edges)[0] / (len(exact) * np.diff(edges))
        ax.stairs(heights, edges, color=ORANGE, linewidth=1.6, label="reference")
    if truth is not None:
        ax.axvline(float(truth), color=BLACK, linestyle="--", linewidth=1.2, label="truth")
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_ylim(bottom=0.0)


def _joint(ax: Axes, x: np.ndarray, y: np.ndarray, contours: bool) -> None:
    if not contours or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        ax.plot(x[:2000], y[:2000], ".", color=BLUE, markersize=2.5, alpha=0.4, markeredgewidth=0, rasterized=True)
        return
    density, x_centres, y_centres = _smooth(x, y)
    levels = _levels(density)
    if levels[0] < levels[1] < density.max():
        ax.contourf(x_centres, y_centres, density.T, [*levels, density.max()], colors=[_PALE, _MIDDLE])
        ax.contour(x_centres, y_centres, density.T, levels, colors=[BLUE], linewidths=0.9)


def _outline(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """The reference over the posterior, which must stay visible."""
    if np.ptp(x) > 0.0 and np.ptp(y) > 0.0:
        density, x_centres, y_centres = _smooth(x, y)
        levels = _levels(density)
        if levels[0] < levels[1]:
            ax.contour(x_centres, y_centres, density.T, levels, colors=[ORANGE], linewidths=1.5)


def _levels(density: np.ndarray) -> list[float]:
    """Densities around the smallest regions that hold 90 and 50 %."""
    ordered = np.sort(density.ravel())[::-1]
    mass = np.cumsum(ordered) / ordered.sum()
    return [float(ordered[np.searchsorted(mass, share)]) for share in (0.9, 0.5)]


def _smooth(x: np.ndarray, y: np.ndarray, cells: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Density on a grid, with the kernel width of Scott 1992 but a robust spread: tails must not blur the centre.

    The kernel has the draws' own correlation; one along the axes would fatten a narrow ridge.
    """
    x, y = x[:_MOST_SMOOTHED], y[:_MOST_SMOOTHED]
    widths, centres = [], []
    for values in (x, y):
        quartiles = float(np.subtract(*np.quantile(values, [0.75, 0.25]))) / 1.34
        spread = min(float(values.std()), quartiles) or float(values.std())
        widths.append(0.9 * spread * len(values) ** (-1 / 6))
        low, high = np.quantile(values, [0.005, 0.995])
        centres.append(np.linspace(low - 4.0 * widths[-1], high + 4.0 * widths[-1], cells))
    # In units of the widths, and with the correlation turned out of them, the kernel is round.
    correlation = float(np.clip(np.corrcoef(x, y)[0, 1], -0.999, 0.999))
    unmix = np.linalg.inv(np.linalg.cholesky([[1.0, correlation], [correlation, 1.0]]))
    points = unmix @ (np.stack([x, y]) / np.array(widths)[:, None])
    grid = unmix @ (np.stack(np.meshgrid(*centres, indexing="ij")).reshape(2, -1) / np.array(widths)[:, None])
    density = np.exp(-0.5 * distance.cdist(grid.T, points.T, "sqeuclidean")).sum(axis=1)
    return density.reshape(cells, cells), *centres


def _correlation(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    known = np.ptp(x) > 0.0 and np.ptp(y) > 0.0
    value = float(np.corrcoef(x, y)[0, 1]) if known else float("nan")
    colour = GREY if not abs(value) >= 0.1 else RED if value < 0 else BLUE
    text = f"{value:+.2f}" if known else "constant"
    text = text.replace("-0.00", "0.00").replace("+0.00", "0.00").replace("-", "\N{MINUS SIGN}")
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=colour, fontsize=11)
    ax.set_axis_off()


def _ticks(ax: Axes, row: int, column: int, size: int, across: str, below: str) -> None:
    """Numbers and labels on the outside only."""
    ax.locator_params(axis="x", nbins=3)
    if row == size - 1:
        ax.set_xlabel(across)
        ax.tick_params(axis="x", labelrotation=45)
    else:
        ax.tick_params(labelbottom=False)
    if column == row:
        ax.set_ylabel("density" if size == 1 else "")
        return
    ax.locator_params(axis="y", nbins=3)
    if column == 0:
        ax.set_ylabel(below)
    else:
        ax.tick_params(labelleft=False)
