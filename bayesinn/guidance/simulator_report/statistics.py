"""Statistics of pilot simulations: associations, regions of a kind, copies, repeats."""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from bayesinn.core import seeds
from bayesinn.core.labels import Labels, columns

_MOST_ELEMENTS = 2_000
_MOST_REGRESSED = 500
#: Fewest simulations in which an association can be seen.
FEWEST_ROWS = 20
_ROWS_A_DIRECTION = 10


def associations(
    parameters: Mapping[str, np.ndarray], observables: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return a p-value for each parameter: small if some output goes with it.

    Rank correlations of the parameter, and of its distance from its median, with outputs, their
    distances from medians, and level, spread and roughness of series; and its regression on all of
    these together. So effects are found that are even, or on the spread, or hidden by differences
    between simulations.
    """
    rows = min(map(len, observables.values()))
    table = np.stack([column[:rows] for column in parameters.values()], axis=-1).astype(np.float64)
    outputs = np.concatenate(
        [_features(array[:rows].reshape(rows, -1)) for array in observables.values()], axis=1
    )
    outputs = outputs[:, np.isfinite(outputs).sum(axis=0) >= FEWEST_ROWS]
    if not outputs.size:
        return dict.fromkeys(parameters, 1.0)
    table, outputs = (
        np.hstack([part, np.abs(part - np.nanmedian(part, axis=0))]) for part in (table, outputs)
    )
    ranks = [unit(stats.rankdata(part, axis=0, nan_policy="omit")) for part in (table, outputs)]
    score = np.sqrt(rows - 1) * np.abs(ranks[0].T @ ranks[1]).max(axis=1)
    single = 2.0 * stats.norm.sf(score) * outputs.shape[1]
    # Bonferroni over two tests of two forms of the parameter.
    p_value = 4.0 * np.minimum(single, _regression(table, outputs)).reshape(2, -1).min(axis=0)
    return dict(zip(parameters, np.minimum(p_value, 1.0).tolist(), strict=True))


def unit(matrix: np.ndarray) -> np.ndarray:
    """Return columns of mean 0 and norm 1, or 0 where NaN, so that products are correlations."""
    centred = np.nan_to_num(matrix - np.nanmean(matrix, axis=0))
    return centred / np.maximum(np.linalg.norm(centred, axis=0), np.finfo(float).tiny)


def _regression(parameters: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the p-value (n, k) of an F test: does a linear function of outputs explain it?

    There is one test for each parameter.
    """
    outputs = outputs[:, :: max(1, -(-outputs.shape[1] // _MOST_REGRESSED))]
    centred = outputs - np.nanmedian(outputs, axis=0)
    width = np.nanmedian(np.abs(centred), axis=0)
    # On an asinh scale, so that a few large values don't drown the rest.
    scaled = np.arcsinh(np.nan_to_num(centred) / np.where(width > 0.0, 3.0 * width, 1.0))
    basis, sizes, _ = np.linalg.svd(scaled - scaled.mean(axis=0), full_matrices=False)
    directions = min(len(outputs) // _ROWS_A_DIRECTION, int(np.sum(sizes > 1e-6 * sizes[0])))
    if directions == 0:
        return np.ones(parameters.shape[1])
    # Normal scores: residuals are then normal if nothing is explained, as the test asks.
    scores = stats.norm.ppf(stats.rankdata(parameters, axis=0) / (len(parameters) + 1))
    scores -= scores.mean(axis=0)
    explained = np.sum((basis[:, :directions].T @ scores) ** 2, axis=0) / np.maximum(
        np.sum(scores**2, axis=0), 1e-9
    )
    free = len(outputs) - 1 - directions
    return stats.f.sf(
        explained / np.maximum(1.0 - explained, 1e-12) * free / directions, directions, free
    )


def _features(matrix: np.ndarray) -> np.ndarray:
    """Return the elements, and level, spread and roughness of each row."""
    shown = matrix[:, :: max(1, -(-matrix.shape[1] // _MOST_ELEMENTS))]
    if matrix.shape[1] < 2:
        return shown
    # On an asinh scale, so that a few large values don't drown the rest.
    sizes = np.abs(matrix[np.isfinite(matrix) & (matrix != 0.0)])
    scaled = np.ma.masked_invalid(np.arcsinh(matrix / (np.median(sizes) if len(sizes) else 1.0)))
    series = (
        scaled.mean(axis=1),
        scaled.var(axis=1),
        np.abs(np.ma.diff(scaled, axis=1)).mean(axis=1),
    )
    return np.column_stack([shown, *(feature.filled(np.nan) for feature in series)])


#: Fewest simulations, marked and others, that suffice to find a region.
FEWEST = 10
_DEEPEST = 3
_MOST_REGIONS = 3

Box = dict[int, tuple[float, float]]  #: interval of each bounded column, by position


class Region(NamedTuple):
    """A box in parameter space, with two shares.

    The first is the share of the kind among simulations inside; the second is the share of the kind
    that is inside.
    """

    rule: str
    inside: float
    caught: float

    def describe(self, verb: str, kind: str) -> str:
        """Return a sentence such as ``"rate > 0.83: 94 % of them fail (87 % of all failures)"``."""
        shares = (
            f"{100 * self.inside:.0f} % of them {verb} ({100 * self.caught:.0f} % of all {kind})"
        )
        return f"{self.rule}: {shares}"


def regions(
    inputs: Mapping[str, np.ndarray], marked: np.ndarray, labels: Labels
) -> tuple[Region, ...]:
    """Find at most three boxes of marked simulations: leaves of a tree.

    There are none if no tree predicts held-out simulations.
    """
    if min(marked.sum(), (~marked).sum()) < FEWEST:
        return ()
    names = list(inputs)
    columns = list(inputs.values())
    # Trees treat values closer than 1e-7 as equal, whatever the unit, so they get ranks in place of
    # values.
    steps, orders = zip(
        *(np.unique(column, return_inverse=True) for column in columns), strict=True
    )
    tree = _tree(np.stack(orders, axis=-1), marked)
    found = []
    for box in [] if tree is None else _boxes(tree, 0, {}):
        inside = np.ones(len(marked), bool)
        rule = []
        for key, ends in box.items():
            low, high = (_value(end, steps[key], columns[key]) for end in ends)
            inside &= (low < columns[key]) & (columns[key] <= high)
            text = (
                f"{names[key]} < {high:.6g}"
                if math.isinf(low)
                else f"{low:.6g} < {names[key]} < {high:.6g}"
            )
            text = f"{names[key]} > {low:.6g}" if math.isinf(high) else text
            rule.append(f"{text} {labels.unit(names[key])}".rstrip())
        if np.any(inside & marked):
            found.append(
                Region(
                    " and ".join(rule), float(marked[inside].mean()), float(inside[marked].mean())
                )
            )
    return tuple(sorted(found, key=lambda region: -region.caught)[:_MOST_REGIONS])


def _tree(order: np.ndarray, marked: np.ndarray) -> Any:
    """Return the smallest tree that is about best on held-out simulations; None if by chance."""
    count = int(marked.sum())
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    # Balanced: failures are rare, and a tree that predicts none would be correct nearly always.
    options: dict[str, Any] = {
        "min_samples_leaf": max(5, count // 20),
        "class_weight": "balanced",
        "random_state": 0,
    }
    trees = [DecisionTreeClassifier(max_depth=depth, **options) for depth in range(1, _DEEPEST + 1)]
    scores = [
        balanced_accuracy_score(marked, cross_val_predict(tree, order, marked, cv=folds))
        for tree in trees
    ]
    # Half the sum of two shares: by chance 0.5, with at most this standard deviation.
    deviation = 0.25 * math.sqrt(1.0 / count + 1.0 / (len(marked) - count))
    if max(scores) < 0.5 + max(0.1, 3.5 * deviation):
        return None
    best = next(
        tree for tree, score in zip(trees, scores, strict=True) if score >= max(scores) - 0.01
    )
    return best.fit(order, marked).tree_


def _boxes(tree: Any, node: int, box: Box) -> list[Box]:
    """Return the boxes below a node with a marked weighted majority; the node if all is marked."""
    left = tree.children_left[node]
    right = tree.children_right[node]
    if left < 0:
        return [box] if np.argmax(tree.value[node][0]) == 1 else []
    key = int(tree.feature[node])
    threshold = float(tree.threshold[node])
    low, high = box.get(key, (-math.inf, math.inf))
    sides = [{**box, key: (low, threshold)}, {**box, key: (threshold, high)}]
    boxes = [*_boxes(tree, left, sides[0]), *_boxes(tree, right, sides[1])]
    return [box] if boxes == sides else boxes


def _value(end: float, steps: np.ndarray, column: np.ndarray) -> float:
    """Return a box's end between two steps, rounded to a hundredth of the spread of most draws."""
    if math.isinf(end):
        return end
    value = float(np.mean(steps[[math.floor(end), math.floor(end) + 1]]))
    spread = float(np.subtract(*np.quantile(column, [0.95, 0.05])))
    return round(value, 2 - math.floor(math.log10(spread))) if spread > 0.0 else value


_EQUAL = 0.999999
_MOST_NUMBERS = 5_000_000
# This many simulations, or this share of them, must differ from the usual value before "equal"
# means anything.
_FEWEST_VARYING = 10
_LEAST_VARYING = 0.01


def repeats(observables: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mark simulations (n,) whose observables all equal those of another.

    Also return how often each different simulation occurs.
    """
    # Zero is added, so that -0.0 equals 0.0.
    hashes = [
        hash(tuple((value + 0.0).tobytes() for value in row))
        for row in zip(*observables.values(), strict=False)
    ]
    _, inverse, counts = np.unique(
        np.array(hashes, np.int64), return_inverse=True, return_counts=True
    )
    return counts[inverse] > 1, counts


def copies(observables: Mapping[str, np.ndarray], seed: int) -> tuple[tuple[str, str], ...]:
    """Find elements linear in one another: |correlation| above 0.999999, of values and of ranks.

    Ranks, because one extreme simulation would give any two elements a correlation of one. Only
    those that are neighbours along a random direction, which the seed decides, are compared.
    """
    elements = columns(observables, batch_ndim=1)
    rows = min(max(50, _MOST_NUMBERS // len(elements)), *map(len, elements.values()))
    matrix = np.stack([element[:rows] for element in elements.values()], axis=-1)
    counts = [np.unique(column[np.isfinite(column)], return_counts=True)[1] for column in matrix.T]
    needed = max(_FEWEST_VARYING, _LEAST_VARYING * len(matrix))
    varying = np.array([count.sum() - count.max(initial=0) >= needed for count in counts])
    if not varying.any():
        return ()
    matrix = matrix[:, varying]
    names = list(itertools.compress(elements, varying))
    ranks = unit(stats.rankdata(matrix, axis=0, nan_policy="omit"))
    # Scaled, because squares of large values overflow.
    values = unit(matrix / np.nanmax(np.abs(matrix), axis=0))
    order = np.argsort(np.abs(seeds.generator(seed, "copies").normal(size=len(ranks)) @ ranks))
    correlations = [
        np.sum(form[:, order[:-1]] * form[:, order[1:]], axis=0) for form in (ranks, values)
    ]
    linear = np.all(np.abs(correlations) > _EQUAL, axis=0)
    pairs = sorted(
        sorted(pair, reverse=True) for pair in itertools.compress(itertools.pairwise(order), linear)
    )
    return tuple((names[second], names[first]) for second, first in pairs)
