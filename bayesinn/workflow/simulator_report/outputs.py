"""Outputs that say nothing new: constants, copies of one another, and whole simulations that come again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.spatial import cKDTree

from bayesinn.workflow.simulator_report.values import Values

_EQUAL = 0.999999
_DIRECTIONS = 8
_MOST_NUMBERS = 5_000_000
_STREAM = 7_301
# So many simulations, or this share of them, must differ from the usual value before "equal" means anything.
_FEWEST_VARYING, _LEAST_VARYING = 10, 0.01


@dataclass(frozen=True, eq=False)
class Repeats:
    """Simulations whose observables all equal those of another one.

    Parameters
    ----------
    marked : boolean array (n,)
    distinct : int, number of different simulations
    largest : float, share of the most frequent one
    whole_numbers : bool, whether all observables are integers, where repeats are natural
    """

    marked: np.ndarray
    distinct: int
    largest: float
    whole_numbers: bool

    @property
    def share(self) -> float:
        """Share of simulations that are not unique."""
        return float(self.marked.mean()) if len(self.marked) else 0.0


def constants(observable: Values) -> np.ndarray:
    """Boolean array (elements,): which never vary over the simulations that have them (two or more)."""
    known = np.isfinite(observable.matrix)
    low = np.min(np.where(known, observable.matrix, np.inf), axis=0)
    high = np.max(np.where(known, observable.matrix, -np.inf), axis=0)
    return (low == high) & (known.sum(axis=0) > 1)


def copies(observables: Sequence[Values], seed: int) -> tuple[tuple[str, str], ...]:
    """Pairs of elements that are linear in one another: |correlation| above 0.999999, of values and of their ranks.

    Ranks, because one extreme simulation would give any two elements a correlation of one.

    Parameters
    ----------
    observables : sequence of Values
    seed : int
        Decides random directions, along which neighbours are looked for in place of all pairs.

    Returns
    -------
    tuple of (element, other element), each element at most once as the first

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=(100, 2))
    >>> copies([Values("x", (3,), np.column_stack([x, 1 - 2 * x[:, 0]]))], seed=1)
    (('x[2]', 'x[0]'),)
    """
    names, matrices = [], []
    total = sum(observable.matrix.shape[1] for observable in observables)
    rows = min(max(50, _MOST_NUMBERS // max(total, 1)), *(len(observable.matrix) for observable in observables))
    for observable in observables:
        matrix = observable.matrix[:rows]
        keep = _varies(matrix)
        names += [observable.element(int(index)) for index in np.flatnonzero(keep)]
        matrices.append(matrix[:, keep])
    if len(names) < 2:
        return ()
    matrix = np.concatenate(matrices, axis=1)
    ranks = centred_ranks(matrix)
    ranks /= np.linalg.norm(ranks, axis=0)
    generator = np.random.default_rng([seed, _STREAM])
    points = ranks.T @ (generator.normal(size=(rows, _DIRECTIONS)) / np.sqrt(_DIRECTIONS))
    tree = cKDTree(points)
    pairs: dict[int, int] = {}
    for sign in (1.0, -1.0):
        for index, near in enumerate(tree.query(sign * points, k=2)[1]):
            for other in near:
                first, second = sorted((index, int(other)))
                if first != second and second not in pairs and _linear(matrix, ranks, first, second):
                    pairs[second] = first
    return tuple((names[second], names[first]) for second, first in sorted(pairs.items()))


def repeats(observables: Sequence[Values], good: np.ndarray) -> Repeats:
    """Find simulations that come again, among the good ones; ``good`` (n,) is boolean."""
    rows = min(len(observable.matrix) for observable in observables)
    good = good[:rows]
    whole = np.concatenate([observable.matrix[:rows][good] for observable in observables], axis=1) + 0.0
    _, inverse, counts = np.unique(
        np.array([hash(row.tobytes()) for row in whole], np.int64), return_inverse=True, return_counts=True
    )
    marked = np.zeros(rows, bool)
    marked[np.flatnonzero(good)] = counts[inverse] > 1
    return Repeats(
        marked=marked,
        distinct=len(counts),
        largest=float(counts.max() / len(whole)) if len(whole) else 0.0,
        whole_numbers=all(observable.whole_numbers for observable in observables),
    )


def centred_ranks(matrix: np.ndarray) -> np.ndarray:
    """Ranks within each column, mean zero; zero where NaN, which takes part in no sum of products."""
    ranks = stats.rankdata(matrix, axis=0, nan_policy="omit")
    known = np.isfinite(matrix)
    mean = np.sum(ranks, axis=0, where=known) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, ranks - mean, 0.0)


def _varies(matrix: np.ndarray) -> np.ndarray:
    """Which columns have enough values beside their most frequent one."""
    ordered = np.sort(matrix, axis=0)  # NaN last
    known = np.isfinite(matrix).sum(axis=0)
    needed = np.maximum(_FEWEST_VARYING, _LEAST_VARYING * len(matrix)).astype(int)
    # A value that fills all but fewer than `needed` places also fills one of the windows of known - needed + 1 places.
    varying = np.zeros(matrix.shape[1], bool)
    for column in np.flatnonzero(known >= 2 * needed):
        window = known[column] - needed + 1
        starts = ordered[: known[column] - window + 1, column]
        varying[column] = bool(np.all(starts != ordered[window - 1 : known[column], column]))
    return varying


def _linear(matrix: np.ndarray, ranks: np.ndarray, first: int, second: int) -> bool:
    if abs(float(ranks[:, first] @ ranks[:, second])) < _EQUAL:
        return False
    both = np.isfinite(matrix[:, first]) & np.isfinite(matrix[:, second])
    pair = matrix[both][:, [first, second]]
    # Scaled first: squares of large values overflow.
    pair = pair / np.abs(pair).max(axis=0)
    return abs(float(np.corrcoef(pair, rowvar=False)[0, 1])) > _EQUAL
