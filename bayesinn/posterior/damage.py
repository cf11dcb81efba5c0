"""Simulated data damaged on purpose, as real ones by mistake, and classifiers that detect it."""

from collections.abc import Collection, Mapping

import numpy as np

from bayesinn.core.arrays import padding
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Arrays

#: The kinds of damage, each with a detector of its own: one for all would see each kind less well.
KINDS = ("order", "gap", "scale")

# Trees on many more numbers than this take minutes; a series so long shows a gap in other ways.
_MOST_NUMBERS = 1000
_TREES = 100
_DEPTH = 6
_RATE = 0.1
# Factors of wrong units, such as mg for g; larger ones look like these.
_FACTORS = np.array([0.1, 10.0])

#: A binary tree as rows of nodes; a leaf is its own child, so that walking on from it stays there.
NODE = np.dtype(
    [("feature", "i4"), ("threshold", "f4"), ("left", "i4"), ("right", "i4"), ("value", "f4")]
)
#: A detector that detects nothing.
NO_TREES = np.zeros((0, 0), NODE)


def is_learnable(numbers: int) -> bool:
    """Tell whether trees learn from so many numbers a row: some, and not too many."""
    return 0 < numbers <= _MOST_NUMBERS


def damaged_copies(
    data: Arrays,
    observables: Collection[str],
    series: Collection[str],
    lengths: Mapping[str, str],
    kinds: Collection[str] = KINDS,
) -> dict[str, Arrays]:
    """Return copies of raw data by kind of damage.

    Each of the ``series`` is in a wrong order, or has a gap. Either is done to all channels of a
    row (n, steps[, channels]), or to one of them, half of the time each. ``lengths`` names the
    number of valid steps in each row of series of varying length. On a wrong scale is one variable
    of a row, or all observables.
    """
    generator = np.random.default_rng(0)
    copies = {}
    if "scale" in kinds:
        copies["scale"] = _rescaled(data, observables, lengths, generator)
    for kind, damage in (("order", _shuffle), ("gap", _empty)):
        if kind not in kinds:
            continue
        copy = {name: np.asarray(value) for name, value in data.items()}
        for name in series:
            values = copy[name]
            valid = np.full(len(values), values.shape[1])
            if name in lengths:
                valid = copy[lengths[name]].astype(int)
            channels = values.reshape(*values.shape[:2], -1)
            touched = _touched(len(values), channels.shape[2], generator)
            changed = damage(channels, valid, generator)
            copy[name] = np.where(touched[:, None, :], changed, channels).reshape(values.shape)
        copies[kind] = copy
    return copies


def _touched(rows: int, channels: int, generator: np.random.Generator) -> np.ndarray:
    """Mark the channels (rows, channels) to damage: a random one, or all, half of the time each."""
    chosen = generator.integers(channels, size=rows)
    one = chosen[:, None] == np.arange(channels)
    every = generator.random((rows, 1)) < 0.5
    return one | every


def _shuffle(values: np.ndarray, valid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    keys = generator.random(values.shape[:2])
    # Padding stays at the end.
    keys[padding(values, valid)] = 2.0
    return np.take_along_axis(values, np.argsort(keys, axis=1, kind="stable")[:, :, None], axis=1)


def _rescaled(
    data: Arrays,
    observables: Collection[str],
    lengths: Mapping[str, str],
    generator: np.random.Generator,
) -> Arrays:
    rows = count_rows(data)
    names = [name for name in data if name not in lengths.values()]
    chosen = generator.integers(len(names) + 1, size=rows)
    factor = generator.choice(_FACTORS, rows)
    scaled = dict(data)
    for number, name in enumerate(names):
        touched = (chosen == number) | ((chosen == len(names)) & (name in observables))
        factors = np.where(touched, factor, 1.0).astype(np.float32)
        scaled[name] = np.asarray(data[name]) * factors.reshape(
            -1, *(1,) * (np.ndim(data[name]) - 1)
        )
    return scaled


def _empty(values: np.ndarray, valid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Put zeros over a quarter to half of the steps; in every other row fewer, at the peak.

    The peak is the largest value.
    """
    step = np.arange(values.shape[1])
    sizes = np.where(step < valid[:, None], np.nan_to_num(np.abs(values)).sum(axis=2), -1.0)
    at_peak = generator.random(len(values)) < 0.5
    share = np.where(
        at_peak,
        generator.uniform(0.0, 0.25, len(values)),
        generator.uniform(0.25, 0.5, len(values)),
    )
    width = np.maximum(1.0, np.round(valid * share))
    start = np.floor(generator.random(len(values)) * (valid - width + 1))
    around = sizes.argmax(axis=1) - np.floor(generator.random(len(values)) * width)
    start = np.where(at_peak, np.clip(around, 0, np.maximum(valid - width, 0)), start)
    gap = (step >= start[:, None]) & (step < (start + width)[:, None])
    return np.where(gap[:, :, None], np.zeros_like(values), values)


def grow(intact: np.ndarray, damaged: np.ndarray) -> np.ndarray:
    """Train boosted trees to tell damaged from intact rows (n, d); return ``NODE`` (trees, nodes).

    All rows are finite.

    There are no trees if there is nothing to learn from, or too much. See Friedman (2002),
    Stochastic gradient boosting, Computational Statistics and Data Analysis 38.
    """
    if min(len(intact), len(damaged)) < 2 or not is_learnable(intact.shape[1]):
        return NO_TREES
    from sklearn.ensemble import GradientBoostingClassifier

    # Ten times a large number may overflow.
    rows = np.nan_to_num(np.concatenate([intact, damaged]).astype(np.float32))
    labels = np.repeat([0, 1], [len(intact), len(damaged)])
    model = GradientBoostingClassifier(
        n_estimators=_TREES,
        max_depth=_DEPTH,
        learning_rate=_RATE,
        subsample=0.5,
        max_features="sqrt",
        random_state=0,
    ).fit(rows, labels)
    trees = [estimator.tree_ for estimator in model.estimators_[:, 0]]
    nodes = np.zeros((len(trees), max(tree.node_count for tree in trees)), NODE)
    for row, tree in zip(nodes, trees, strict=True):
        row = row[: tree.node_count]
        own = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        row["feature"] = np.where(leaf, 0, tree.feature)
        row["threshold"] = np.where(leaf, 0.0, tree.threshold)
        row["left"] = np.where(leaf, own, tree.children_left)
        row["right"] = np.where(leaf, own, tree.children_right)
        row["value"] = tree.value[:, 0, 0]
    return nodes


def score(trees: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return how damaged rows (n, d) look to ``trees``, (n,): larger is more; zero if none."""
    if not trees.size:
        return np.zeros(len(rows))
    rows = rows.astype(np.float32)
    number = np.arange(len(trees))[None, :]
    row = np.arange(len(rows))[:, None]
    node = np.zeros((len(rows), len(trees)), np.intp)
    for _ in range(_DEPTH):
        at = trees[number, node]
        node = np.where(rows[row, at["feature"]] <= at["threshold"], at["left"], at["right"])
    return trees[number, node]["value"].sum(axis=1)
