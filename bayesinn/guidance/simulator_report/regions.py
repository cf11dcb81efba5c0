"""Where in parameter space simulations of a kind come from, as a rule that a person can read."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from bayesinn.core.labels import Labels

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
