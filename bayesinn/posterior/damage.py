"""Simulated series damaged on purpose, as real ones may be by mistake, and classifiers that learn to tell."""

from collections.abc import Collection, Mapping

import numpy as np

from bayesinn.simulation.finite import padding
from bayesinn.simulation.simulator import Arrays

#: The kinds of damage, each with a detector of its own: one for all would see each kind less well.
KINDS = ("order", "gap")

# Trees on many more numbers than this take minutes; a series so long shows a gap in other ways.
_MOST_NUMBERS = 1000
_TREES, _DEPTH, _RATE = 100, 6, 0.1

#: A binary tree as rows of nodes; a leaf is its own child, so that walking on from it stays there.
NODE = np.dtype([("feature", "i4"), ("threshold", "f4"), ("left", "i4"), ("right", "i4"), ("value", "f4")])


def damaged_copies(
    data: Mapping[str, np.ndarray], series: Collection[str], lengths: Mapping[str, str]
) -> dict[str, Arrays]:
    """Return copies of raw data by kind of damage: each of the ``series`` in a wrong order, or with a gap.

    Either is done to all channels of a row (n, steps[, channels]), or to one of them, half of the time each.
    ``lengths`` names the number of valid steps in each row of series of varying length.
    """
    generator = np.random.default_rng(0)
    copies = {}
    for kind, damage in zip(KINDS, (_shuffle, _empty), strict=True):
        copy = {name: np.asarray(value) for name, value in data.items()}
        for name in series:
            values = copy[name]
            steps = values.shape[1]
            valid = copy[lengths[name]].astype(int) if name in lengths else np.full(len(values), steps)
            channels = values.reshape(*values.shape[:2], -1)
            one = generator.integers(channels.shape[2], size=len(values))[:, None] == np.arange(channels.shape[2])
            touched = one | (generator.random((len(values), 1)) < 0.5)
            changed = damage(channels, valid, generator)
            copy[name] = np.where(touched[:, None, :], changed, channels).reshape(values.shape)
        copies[kind] = copy
    return copies


def _shuffle(values: np.ndarray, valid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    keys = generator.random(values.shape[:2])
    # Padding stays at the end.
    keys[padding(values, valid)] = 2.0
    return np.take_along_axis(values, np.argsort(keys, axis=1, kind="stable")[:, :, None], axis=1)


def _empty(values: np.ndarray, valid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Put zeros over a quarter to a half of the steps."""
    width = np.maximum(1.0, np.round(valid * generator.uniform(0.25, 0.5, len(values))))
    start = np.floor(generator.random(len(values)) * (valid - width + 1))
    step = np.arange(values.shape[1])
    gap = (step >= start[:, None]) & (step < (start + width)[:, None])
    return np.where(gap[:, :, None], np.zeros_like(values), values)


def grow(intact: np.ndarray, damaged: np.ndarray) -> np.ndarray:
    """Train boosted trees to tell damaged from intact rows (n, d), all finite; return ``NODE`` (trees, nodes).

    There are no trees if there is nothing to learn from, or too much. See Friedman (2002), Stochastic gradient
    boosting, Computational Statistics and Data Analysis 38.
    """
    if len(intact) < 2 or not 0 < intact.shape[1] <= _MOST_NUMBERS:
        return np.zeros((0, 0), NODE)
    from sklearn.ensemble import GradientBoostingClassifier

    rows = np.concatenate([intact, damaged])
    labels = np.repeat([0, 1], [len(intact), len(damaged)])
    model = GradientBoostingClassifier(
        n_estimators=_TREES, max_depth=_DEPTH, learning_rate=_RATE, subsample=0.5, max_features="sqrt", random_state=0
    ).fit(rows, labels)
    trees = [estimator.tree_ for estimator in model.estimators_[:, 0]]
    nodes = np.zeros((len(trees), max(tree.node_count for tree in trees)), NODE)
    for row, tree in zip(nodes, trees, strict=True):
        row, own, leaf = row[: tree.node_count], np.arange(tree.node_count), tree.children_left < 0
        row["feature"] = np.where(leaf, 0, tree.feature)
        row["threshold"] = np.where(leaf, 0.0, tree.threshold)
        row["left"] = np.where(leaf, own, tree.children_left)
        row["right"] = np.where(leaf, own, tree.children_right)
        row["value"] = tree.value[:, 0, 0]
    return nodes


def score(trees: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return how damaged rows (n, d) look to ``trees``, (n,): larger is more; zero without trees."""
    if not trees.size:
        return np.zeros(len(rows))
    rows = rows.astype(np.float32)
    number, row = np.arange(len(trees))[None, :], np.arange(len(rows))[:, None]
    node = np.zeros((len(rows), len(trees)), np.intp)
    for _ in range(_DEPTH):
        at = trees[number, node]
        node = np.where(rows[row, at["feature"]] <= at["threshold"], at["left"], at["right"])
    return trees[number, node]["value"].sum(axis=1)
