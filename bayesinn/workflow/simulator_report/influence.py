"""Parameters and the outputs that go with them, as far as marginal rank correlations can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from bayesinn.workflow.simulator_report.outputs import centred_ranks
from bayesinn.workflow.simulator_report.values import Values

_MOST_ELEMENTS = 2_000
_MOST_REGRESSED = 500
_FEWEST_ROWS = 20
_ROWS_A_DIRECTION = 10


def associations(columns: Mapping[str, np.ndarray], observables: Sequence[Values]) -> dict[str, float]:
    """One p-value for each parameter: small if some output goes with it.

    Rank correlations of the parameter, and of its distance from its median (effects that are even), with each output,
    its distance from its median (effects on the spread), and the level, spread and roughness of each simulated series
    (effects that differences between simulations would hide); and its regression on all of these together. The smallest
    p-value, after Bonferroni.

    Parameters
    ----------
    columns : dict of name to array (n,)
    observables : sequence of Values

    Returns
    -------
    dict of name to p-value

    Examples
    --------
    >>> theta = np.random.default_rng(1).normal(size=(2, 500))
    >>> found = associations({"a": theta[0], "b": theta[1]}, [Values("x", (1,), theta[:1].T ** 2)])
    >>> found["a"] < 1e-6, found["b"] > 0.01
    (True, True)
    """
    rows = min(len(observable.matrix) for observable in observables)
    parameters = np.stack([np.asarray(column[:rows], np.float64) for column in columns.values()], axis=-1)
    outputs = np.concatenate([_features(observable.matrix[:rows]) for observable in observables], axis=1)
    outputs = _with_distances(outputs[:, np.isfinite(outputs).sum(axis=0) >= min(_FEWEST_ROWS, rows)])
    basis = _basis(outputs)
    ranked = centred_ranks(outputs)
    lengths = np.linalg.norm(ranked, axis=0)
    ranked = ranked[:, lengths > 0.0] / lengths[lengths > 0.0]
    p_value = np.ones(len(columns))
    if not ranked.size:
        return dict(zip(columns, map(float, p_value), strict=True))
    for given in (parameters, np.abs(parameters - np.median(parameters, axis=0))):
        ranks = centred_ranks(given)
        deviation = np.std(ranks, axis=0, ddof=1)
        # Given the outputs, the sum of products of ranks in random order has this deviation, whatever the ties.
        score = np.abs(ranks.T @ ranked) / np.where(deviation > 0.0, deviation, np.inf)[:, None]
        single = 2.0 * stats.norm.sf(score.max(axis=1)) * ranked.shape[1]
        # Two kinds of tests of two forms of the parameter.
        p_value = np.minimum(p_value, 4.0 * np.minimum(single, _regression(ranks, basis)))
    return dict(zip(columns, map(float, p_value), strict=True))


def _basis(outputs: np.ndarray) -> np.ndarray:
    """Orthonormal columns (n, directions) that span the outputs, or where they are many, the larger part of them."""
    outputs = outputs[:, :: max(1, -(-outputs.shape[1] // _MOST_REGRESSED))]
    known = np.isfinite(outputs)
    centre, width = np.zeros((2, outputs.shape[1]))
    some = known.any(axis=0)
    centre[some] = np.nanmedian(outputs[:, some], axis=0)
    width[some] = np.nanmedian(np.abs(outputs[:, some] - centre[some]), axis=0)
    # On a scale where a few large values don't drown the rest.
    scaled = np.arcsinh(np.where(known, outputs - centre, 0.0) / np.where(width > 0.0, 3.0 * width, 1.0))
    vectors, sizes, _ = np.linalg.svd(scaled - scaled.mean(axis=0), full_matrices=False)
    keep = min(len(outputs) // _ROWS_A_DIRECTION, int(np.sum(sizes > 1e-6 * sizes.max(initial=0.0))))
    return vectors[:, :keep]


def _regression(ranks: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """p-value of an F test for each column of ranks (n, k): does a linear function of the outputs explain any of it?"""
    n, directions = basis.shape
    # Normal scores: residuals are then normal if nothing is explained, as the test asks.
    scores = stats.norm.ppf(0.5 + ranks / (n + 1))
    scores -= scores.mean(axis=0)
    total = np.sum(scores**2, axis=0)
    explained = np.sum((basis.T @ scores) ** 2, axis=0)
    free = n - 1 - directions
    if directions == 0 or free < 1:
        return np.ones(ranks.shape[1])
    left = np.maximum(total - explained, 1e-12 * np.maximum(total, 1e-300))
    return stats.f.sf(explained / directions / (left / free), directions, free)


def _features(matrix: np.ndarray) -> np.ndarray:
    elements = matrix.shape[1]
    shown = matrix[:, :: max(1, -(-elements // _MOST_ELEMENTS))]
    if elements < 2:
        return shown
    # On a scale where a few large values don't drown the rest.
    sizes = np.abs(matrix[np.isfinite(matrix) & (matrix != 0.0)])
    scaled = np.arcsinh(matrix / (np.median(sizes) if len(sizes) else 1.0))
    steps = np.diff(scaled, axis=1)
    summaries = [_row_mean(scaled), _row_mean((scaled - _row_mean(scaled)[:, None]) ** 2), _row_mean(np.abs(steps))]
    return np.column_stack([shown, *summaries])


def _with_distances(outputs: np.ndarray) -> np.ndarray:
    if not outputs.size:
        return outputs
    return np.concatenate([outputs, np.abs(outputs - np.nanmedian(outputs, axis=0))], axis=1)


def _row_mean(matrix: np.ndarray) -> np.ndarray:
    known = np.isfinite(matrix)
    count = known.sum(axis=1)
    total = np.sum(matrix, axis=1, where=known)
    return np.divide(total, count, out=np.full(len(matrix), np.nan), where=count > 0)
