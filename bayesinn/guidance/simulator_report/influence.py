"""What outputs depend on: random numbers, by experiments; parameters, by experiments, statistics.

With the same seed every draw sees the same random numbers, so that any difference in the output is
caused by the parameters, however noisy the simulator is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import BayesinnError
from bayesinn.core.labels import Labels, columns
from bayesinn.core.masks import fill_padding
from bayesinn.guidance.simulator_report.pilot import MOST_ROWS, Pilot, Remark, Result

# Simulations that are made again in an experiment, and copies of each that may share noise.
_FEWEST_AGAIN = 8
_MOST_AGAIN = 32
_COPIES = 4
# Independent draws that are equal more often than this can't tell shared noise from chance.
_MOST_EQUAL = 0.5
_FEWEST_UNUSUAL = 3
_MOST_ELEMENTS = 2_000
_MOST_REGRESSED = 500
_ASSOCIATED = 0.01
_FEWEST_ROWS = 20
_ROWS_A_DIRECTION = 10


@dataclass(frozen=True, eq=False)
class Noise(Result):
    """Observables by faults of their randomness.

    ``rows`` is the number of simulations that were made again to see these faults.
    """

    rows: int = 0
    irreproducible: tuple[str, ...] = ()  #: differ though the seed is the same
    deterministic: tuple[str, ...] = ()  #: are the same for different seeds
    shared: tuple[str, ...] = ()  #: have the same noise in every row of a batch
    unaffected: tuple[str, ...] = ()  #: are the same whatever the parameters are


@dataclass(frozen=True, eq=False)
class Influence(Result):
    """p-values of parameters, small if some output goes with them; :func:`_responds` results."""

    associations: Mapping[str, float]
    responses: Mapping[str, bool | None]


def check_noise(pilot: Pilot) -> Noise:
    """See how observables depend on seed and parameters, from simulations that are finite."""
    simulator = pilot.raw
    seed = pilot.seed
    # Few compared with the simulations of the report, since some are slow.
    rows = min(len(pilot) // 2, _MOST_AGAIN, max(_FEWEST_AGAIN, len(pilot) // 16))
    if rows < _FEWEST_AGAIN:
        return Noise()
    theta, given = map_tensors(lambda value: value[:rows], pilot.drawn[:2])
    # Whole rows are moved, because the supports of parameters may depend on one another.
    turned = map_tensors(lambda value: np.roll(value, rows // 2, axis=0), theta)
    first = simulator.simulate(theta, seed, given)
    again, other, moved = (
        map_tensors(_equal_rows, simulator.simulate(values, number, given), first)
        for values, number in ((theta, seed), (theta, seed + 1), (turned, seed))
    )
    varied = [name for name, value in first.items() if _varied(value)]
    irreproducible = tuple(name for name in first if not again[name].all())
    unaffected = tuple(name for name in varied if moved[name].all())
    deterministic = tuple(
        name for name in varied if other[name].all() and name not in irreproducible + unaffected
    )

    def shares_noise(name: str) -> bool:
        """Whether rows of equal parameters are equal in a batch, yet differ with another seed."""
        bases = np.flatnonzero(~other[name])[:_FEWEST_AGAIN]
        if other[name].mean() > _MOST_EQUAL or len(bases) < 2:
            return False
        repeated = map_tensors(
            lambda value: np.repeat(value[bases], _COPIES, axis=0), [theta, given]
        )
        value = simulator.simulate(repeated[0], seed, repeated[1])[name]
        return bool(_equal_rows(value, np.repeat(value[::_COPIES], _COPIES, axis=0)).all())

    shared = tuple(name for name in first if simulator.engine.batched and shares_noise(name))
    advice = _advise_on_noise(pilot, irreproducible, deterministic, shared)
    advice += _advise_on_unaffected(unaffected, len(unaffected) == len(first))
    return Noise(rows, irreproducible, deterministic, shared, unaffected, advice=advice)


def _advise_on_noise(
    pilot: Pilot,
    irreproducible: tuple[str, ...],
    deterministic: tuple[str, ...],
    shared: tuple[str, ...],
) -> list[Remark]:
    advice = []
    for name in irreproducible:
        finding = "differs though parameters and seed are the same"
        do = "Draw random numbers from the seed alone."
        advice.append(Remark("problem", name, finding, "Results can't be repeated.", do))
    for name in deterministic:
        finding = "is deterministic: the same for the same parameters, whatever the seed"
        meaning = (
            "So the posterior is singular: it fills no volume, its density is infinite, "
            "training diverges."
        )
        problem = Remark("problem", name, finding, meaning, "Draw noise from the seed.")
        hint = Remark("hint", name, finding, do="If it should be random, use the seed.")
        advice.append(hint if pilot.whole_numbers(name) else problem)
    for name in shared:
        finding = "is wrong: every simulation of a batch has the same noise"
        meaning = "Simulations are not independent."
        do = "Draw noise for each row of the batch."
        advice.append(Remark("problem", name, finding, meaning, do))
    return advice


def _advise_on_unaffected(names: tuple[str, ...], all_of_them: bool) -> list[Remark]:
    finding = (
        "is the same for the same seed, whatever the parameters are: it says nothing about them"
    )
    if all_of_them:
        do = "Use them in the function."
        return [Remark("problem", name, finding, do=do) for name in names]
    meaning = "Posteriors are the same without it; networks have to learn to ignore it."
    do = "Check for a parameter that was meant to be used there, or leave the output out."
    return [Remark("hint", name, finding, meaning, do) for name in names]


def check_influence(pilot: Pilot, noise: Noise) -> Influence:
    """Test whether each parameter is associated with some output.

    If a parameter is not, simulate again with this parameter alone changed.
    """
    if len(pilot) < _FEWEST_ROWS or len(noise.unaffected) == len(pilot.observables):
        return Influence({}, {})
    tested = associations(columns(pilot.drawn.parameters, batch_ndim=1), pilot.observables)
    responses = {}
    advice = []
    for column in [name for name, p_value in tested.items() if p_value >= _ASSOCIATED]:
        # Random numbers that change by themselves would pass for an effect.
        if not noise.irreproducible:
            responses[column] = _responds(pilot, column, noise.rows)
        if responses.get(column) is False:
            finding = (
                "changes no output when it alone changes and the random numbers stay: "
                "nothing depends on it"
            )
            meaning = "Its posterior will equal its prior."
            do = "Use it in the function, or leave it out."
        else:
            finding = f"goes with no output visibly in {len(pilot):,} simulations"
            finding += ", though outputs do change with it" if responses.get(column) else ""
            meaning = "The data may say little about it, or not in a simple way."
            do = "See recovery after training."
        advice.append(Remark("hint", column, finding, meaning, do))
    return Influence(tested, responses, advice=advice)


def _responds(pilot: Pilot, column: str, rows: int) -> bool | None:
    """Return whether any output changes if one parameter takes other values.

    The values are those of other draws; the seed is the same.

    None if that can't be tested: the simulator may raise for combinations that its prior doesn't
    draw.
    """
    theta, given = map_tensors(lambda value: value[:rows], pilot.drawn[:2])
    changed = map_tensors(np.copy, theta)
    # Columns are views of the arrays that they come from.
    columns(changed, batch_ndim=1)[column][:] = pilot.inputs[column][rows : 2 * rows]
    if all(np.array_equal(changed[name], theta[name]) for name in theta):
        return None
    try:
        before, after = (
            pilot.simulator.simulate(values, pilot.seed, given) for values in (theta, changed)
        )
    except BayesinnError:
        return None
    return not all(_equal_rows(before[key], after[key]).all() for key in before)


def _equal_rows(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return a boolean array (n,): which rows are equal to the bit, NaN included."""
    equal = (first == second) | ((first != first) & (second != second))
    return equal.reshape(len(first), -1).all(axis=1)


def _varied(value: np.ndarray) -> bool:
    """Whether enough rows differ from the most frequent: two runs may both miss rare events."""
    counts = np.unique(value.reshape(len(value), -1), axis=0, return_counts=True)[1]
    return len(value) - int(counts.max()) >= min(_FEWEST_UNUSUAL, len(value) // 2)


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
    outputs = outputs[:, np.isfinite(outputs).sum(axis=0) >= _FEWEST_ROWS]
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


_MOST_REDRAWN = 0.5
# Of an error that is told.
_MOST_CHARACTERS = 200
#: Errors of a program, not of numbers that it can't compute.
_MISTAKES = ("NameError", "KeyError", "AttributeError", "TypeError", "IndexError", "ImportError")


@dataclass(frozen=True, eq=False)
class Failures(Result):
    """Simulations with NaN or infinity, before the policy for failures replaces them.

    ``marked`` (n,) says which they are; ``shares`` are their shares by observable.
    """

    marked: np.ndarray
    shares: pd.DataFrame
    regions: tuple[Region, ...]

    @property
    def share(self) -> float:
        """Share of failed simulations."""
        return float(self.marked.mean())


def check(pilot: Pilot) -> Failures:
    """Find failed simulations and where they come from. Padding doesn't count."""
    n = len(pilot)
    rows = {}
    failed = []
    for name in pilot.drawn.observables:
        value = _without_padding(pilot, name).reshape(n, -1)
        nan = np.isnan(value).any(axis=1)
        infinite = np.isinf(value).any(axis=1)
        failed.append(nan | infinite)
        rows[name] = {"nan": nan.mean(), "infinite": infinite.mean(), "failed": failed[-1].mean()}
    marked = np.any(failed, axis=0)
    shares = pd.DataFrame(rows).T
    boxes = regions(pilot.inputs, marked, pilot.simulator.labels)
    policy = f"on_nonfinite={pilot.simulator.on_nonfinite!r}"
    if not marked.any():
        # If a share of 3 / n failed, n simulations would show it with a probability of 95 %.
        text = f"All {n:,} simulations are finite; up to {3.0 / n:.2g} may fail ({policy})."
        return Failures(marked, shares, boxes, title="Failures", text=text)
    text = (
        f"{marked.sum():,} of {n:,} simulations have NaN or infinity ({100 * marked.mean():.2f} %; "
        f"{policy}). The table compares them with the good ones: quantiles, and p-values of "
        "Kolmogorov-Smirnov tests."
    )
    if len(pilot.inputs) > MOST_ROWS:
        text += f" It has {MOST_ROWS} of {len(pilot.inputs)} numbers, those that differ most."
    error = shorten(pilot.raw.engine.policy.error, _MOST_CHARACTERS)
    if error:
        text += f" The last that gave no result: {error}."
    advice = [_advise(pilot.simulator.on_nonfinite, marked, shares, boxes, error)]
    table = _compare(pilot, marked)
    return Failures(marked, shares, boxes, advice=advice, title="Failures", text=text, table=table)


def _without_padding(pilot: Pilot, name: str) -> np.ndarray:
    """Return an observable (n, ...) with zeros where its numbers may be anything, or missing."""
    value = pilot.drawn.observables[name]
    if name in pilot.simulator.lengths:
        counts = pilot.drawn.context[pilot.simulator.lengths[name]]
        value = fill_padding(value, counts, 0)
    return value if pilot.simulator.missing is None else np.where(np.isnan(value), 0, value)


def _advise(
    policy: str,
    marked: np.ndarray,
    shares: pd.DataFrame,
    boxes: tuple[Region, ...],
    error: str,
) -> Remark:
    """Say how many fail, how and where; ``error`` is the last one, empty if all gave a result."""
    unknown = "from no particular region of a simple form"
    if marked.sum() < FEWEST:
        unknown = "too few to say where"
    places = "; ".join(box.describe("fail", "failures") for box in boxes) or unknown
    names = shorten(", ".join(shares.index[shares["failed"] > 0.0]), 60)
    finding = f"{100.0 * marked.mean():.1f} % of the simulations have NaN or infinity in {names} "
    if error:
        finding = f"{100.0 * marked.mean():.1f} % of the simulations fail, the last by {error} "
    finding += f"({places})"
    if error.startswith(_MISTAKES):
        meaning = "This is a mistake in the program; drawing them again would hide it."
        return Remark("problem", "failures", finding, meaning, "Correct it.")
    if marked.mean() > _MOST_REDRAWN:
        do = "Fix it, or narrow the prior."
        return Remark("problem", "failures", finding, "So most draws are lost.", do)
    if policy == "raise":
        do = (
            "Fix it, narrow the prior, or declare on_nonfinite='redraw', which leaves that "
            "region out."
        )
        return Remark("problem", "failures", finding, "Training would stop at the first one.", do)
    meaning = "They are drawn again: posteriors are correct for the prior without that region."
    do = "Fix it or narrow the prior if that is not intended."
    return Remark("hint", "failures", finding, meaning, do)


def _compare(pilot: Pilot, marked: np.ndarray) -> pd.DataFrame:
    """Return quantiles of the inputs of failed and good simulations, and whether they differ."""
    inputs = pd.DataFrame(pilot.inputs, dtype=float)
    table = inputs.groupby(np.where(marked, "failing", "good")).quantile([0.05, 0.5, 0.95]).T
    table.columns = [f"{kind} {100 * level:.0f} %" for kind, level in table.columns]
    if 1 < marked.sum() < len(pilot) - 1:
        table["p-value"] = stats.ks_2samp(inputs[marked], inputs[~marked], method="asymp").pvalue
        if len(table) > MOST_ROWS:
            return table.nsmallest(MOST_ROWS, "p-value")
    return table.head(MOST_ROWS)
