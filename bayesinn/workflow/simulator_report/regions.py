"""Where in parameter space simulations of a kind come from, as a rule that a person can read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

_DEEPEST = 3
FEWEST = 10
_MOST_REGIONS = 3

Bounds = dict[int, tuple[float, float]]


@dataclass(frozen=True)
class Region:
    """A box in parameter space.

    Parameters
    ----------
    rule : str, such as ``"rate > 0.83 and size < 2.1"``
    inside : float, share of the simulations in the box that are of the kind
    caught : float, share of all simulations of the kind that lie in the box
    """

    rule: str
    inside: float
    caught: float

    def describe(self, verb: str, kind: str) -> str:
        """In words, such as ``"rate > 0.83: 94 % of them fail (87 % of all failures)"``."""
        return f"{self.rule}: {self.inside:.0%} of them {verb} ({self.caught:.0%} of all {kind})".replace("%", " %")


def regions(columns: Mapping[str, np.ndarray], marked: np.ndarray, units: Mapping[str, str]) -> tuple[Region, ...]:
    """Find boxes that hold marked simulations: the leaves of a shallow decision tree.

    The tree is as shallow as predicts held-out simulations about best, at most three questions deep. If even that
    predicts no better than chance could, there is no region.

    Parameters
    ----------
    columns : dict of name to array (n,)
        Parameters and context.
    marked : boolean array (n,)
    units : dict of name to text

    Returns
    -------
    tuple of Region
        At most three, that with most marked simulations first.

    Examples
    --------
    >>> rate = np.linspace(0.0, 1.0, 1001)
    >>> print(regions({"rate": rate}, rate > 0.8, {"rate": "1/day"})[0].describe("fail", "failures"))
    rate > 0.8 1/day: 100 % of them fail (100 % of all failures)
    """
    count = int(marked.sum())
    if min(count, len(marked) - count) < FEWEST:
        return ()
    names = list(columns)
    table = np.stack([np.asarray(column, np.float64) for column in columns.values()], axis=-1)
    # Trees take values nearer than 1e-7 for equal, whatever the unit: they get the order of the values alone.
    steps, orders = zip(*(np.unique(column, return_inverse=True) for column in table.T), strict=True)
    order = np.stack(orders, axis=-1)
    depth = _depth(order, marked)
    if depth is None:
        return ()
    unbounded: Bounds = {}
    found = []
    for bounds in _boxes(_classifier(depth, count).fit(order, marked).tree_, 0, unbounded)[0]:
        box = {key: tuple(_value(end, steps[key], table[:, key]) for end in ends) for key, ends in bounds.items()}
        inside = np.all([(low < table[:, key]) & (table[:, key] <= high) for key, (low, high) in box.items()], axis=0)
        if np.any(inside & marked):
            rule = " and ".join(_words(names[key], ends, units.get(names[key], "")) for key, ends in box.items())
            found.append(Region(rule, float(marked[inside].mean()), float(inside[marked].mean())))
    found.sort(key=lambda region: -region.caught)
    return tuple(found[:_MOST_REGIONS])


def contrast(columns: Mapping[str, np.ndarray], marked: np.ndarray) -> pd.DataFrame:
    """Quantiles of failing against good simulations, and the p-value of a Kolmogorov-Smirnov test, by column.

    Examples
    --------
    >>> rate = np.linspace(0.0, 1.0, 1001)
    >>> contrast({"rate": rate}, rate > 0.8).loc["rate", "failing 50 %"].round(2)
    np.float64(0.9)
    """
    rows = {}
    for name, column in columns.items():
        row = {}
        for kind, part in (("failing", column[marked]), ("good", column[~marked])):
            for level in (0.05, 0.5, 0.95):
                row[f"{kind} {level * 100:.0f} %"] = np.quantile(part, level) if len(part) else np.nan
        few = min(marked.sum(), (~marked).sum()) < 2
        row["p_value"] = np.nan if few else stats.ks_2samp(column[marked], column[~marked], method="asymp").pvalue
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")


def _classifier(depth: int, count: int) -> DecisionTreeClassifier:
    # Balanced: failures are rare, and a tree that finds nobody failing would be right nearly always.
    return DecisionTreeClassifier(
        max_depth=depth, min_samples_leaf=max(5, count // 20), class_weight="balanced", random_state=0
    )


def _depth(table: np.ndarray, marked: np.ndarray) -> int | None:
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    count = int(marked.sum())
    scores = [
        balanced_accuracy_score(marked, cross_val_predict(_classifier(depth, count), table, marked, cv=folds))
        for depth in range(1, _DEEPEST + 1)
    ]
    # Half the sum of two shares: by chance 0.5, with at most this standard deviation.
    deviation = 0.25 * math.sqrt(1.0 / count + 1.0 / (len(marked) - count))
    best = max(scores)
    if best < 0.5 + max(0.1, 3.5 * deviation):
        return None
    return 1 + next(index for index, score in enumerate(scores) if score >= best - 0.01)


def _boxes(tree: object, node: int, bounds: Bounds) -> tuple[list[Bounds], bool]:
    """Boxes below a node whose weighted majority is marked, and whether that is all of the node."""
    left, right = tree.children_left[node], tree.children_right[node]  # type: ignore[attr-defined]
    if left < 0:
        whole = bool(np.argmax(tree.value[node][0]) == 1)  # type: ignore[attr-defined]
        return ([bounds] if whole else []), whole
    key, threshold = int(tree.feature[node]), float(tree.threshold[node])  # type: ignore[attr-defined]
    low, high = bounds.get(key, (-math.inf, math.inf))
    below, below_whole = _boxes(tree, left, {**bounds, key: (low, threshold)})
    above, above_whole = _boxes(tree, right, {**bounds, key: (threshold, high)})
    if below_whole and above_whole:
        return [bounds], True
    return below + above, False


def _value(end: float, steps: np.ndarray, column: np.ndarray) -> float:
    """The end of a box between two steps, to a hundredth of the spread of most draws: more digits say nothing."""
    if math.isinf(end):
        return end
    value = float(np.mean(steps[[math.floor(end), math.floor(end) + 1]]))
    spread = float(np.subtract(*np.quantile(column, [0.95, 0.05])))
    return round(value, 2 - math.floor(math.log10(spread))) if spread > 0.0 else value


def _words(name: str, ends: tuple[float, ...], unit: str) -> str:
    low, high = ends
    after = f" {unit}" if unit else ""
    if math.isinf(low):
        return f"{name} < {high:.6g}{after}"
    if math.isinf(high):
        return f"{name} > {low:.6g}{after}"
    return f"{low:.6g} < {name} < {high:.6g}{after}"
