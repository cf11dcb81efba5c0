"""What all checks share: pilot simulations, with failed ones and timed; the results' contract."""

import copy
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from bayesinn.core import seeds
from bayesinn.core.arrays import padding
from bayesinn.core.compilation import map_tensors
from bayesinn.core.labels import Labels, columns
from bayesinn.core.progress import Progress, duration
from bayesinn.diagnosis.report import Figure
from bayesinn.simulation.simulations import Simulations, count_rows
from bayesinn.simulation.simulator import Simulator


@dataclass(frozen=True)
class Remark:
    """One thing to know before training: the finding; its meaning; what to do.

    The finding is a clause that follows its subject.
    """

    #: a problem spoils training or its result; a hint is worth a look
    severity: Literal["problem", "hint"]
    subject: str
    finding: str
    meaning: str = ""
    do: str = ""

    @property
    def text(self) -> str:
        """Finding, consequence and remedy in one paragraph."""
        return " ".join(filter(None, (f"{self.finding}.", self.meaning, self.do)))


_SAME_NOISE = "is deterministic: the same for the same parameters, whatever the seed"
_SAME_OUTPUT = (
    "is the same for the same seed, whatever the parameters are: it says nothing about them"
)
_FLOAT32 = "Use another unit."
_REPEATS = (
    "of the simulations {share:.1f} % {what}, though their parameters differ{places}",
    "The data say nothing there.",
    "Look for values that are clipped or stored, or for parameters for which nothing happens.",
)
#: Severity, finding, meaning and remedy of each remark; braces hold what was measured.
_REMARKS: dict[str, tuple[Literal["problem", "hint"], str, str, str]] = {
    # speed
    "passes": (
        "hint",
        "simulating for {steps:,} steps takes {time}, the network less",
        "",
        "Train with --passes 4, or bi.Optimization(passes=4): each simulation is used four times, "
        "and a fourth of them is needed.",
    ),
    "slow": (
        "hint",
        "simulating for {steps:,} steps of {batch_size} takes {hours:,.1f} h",
        "",
        "Use larger batches or a GPU, or simulate once into a bank (bayesinn simulate) and train "
        "on that.",
    ),
    "slow workers": (
        "hint",
        "simulating for {steps:,} steps of {batch_size} takes {hours:,.1f} h",
        "",
        "Simulate once into a bank (bayesinn simulate), with more workers or on a cluster, and "
        "train on that. A Python function may be faster with batched=True, or as TensorFlow "
        "operations.",
    ),
    # failures
    "mistake": (
        "problem",
        "{finding}",
        "This is a mistake in the program; drawing them again would hide it.",
        "Correct it.",
    ),
    "most fail": (
        "problem",
        "{finding}",
        "So most draws are lost.",
        "Fix it, or narrow the prior.",
    ),
    "raise": (
        "problem",
        "{finding}",
        "Training would stop at the first one.",
        "Fix it, narrow the prior, or declare on_nonfinite='redraw', which leaves that region out.",
    ),
    "redraw": (
        "hint",
        "{finding}",
        "They are drawn again: posteriors are correct for the prior without that region.",
        "Fix it or narrow the prior if that is not intended.",
    ),
    # noise
    "irreproducible": (
        "problem",
        "differs though parameters and seed are the same",
        "Results can't be repeated.",
        "Draw random numbers from the seed alone.",
    ),
    "deterministic": (
        "problem",
        _SAME_NOISE,
        "So the posterior is singular: it fills no volume, its density is infinite, training "
        "diverges.",
        "Draw noise from the seed.",
    ),
    "deterministic count": ("hint", _SAME_NOISE, "", "If it should be random, use the seed."),
    "shared": (
        "problem",
        "is wrong: every simulation of a batch has the same noise",
        "Simulations are not independent.",
        "Draw noise for each row of the batch.",
    ),
    "all unaffected": ("problem", _SAME_OUTPUT, "", "Use them in the function."),
    "unaffected": (
        "hint",
        _SAME_OUTPUT,
        "Posteriors are the same without it; networks have to learn to ignore it.",
        "Check for a parameter that was meant to be used there, or leave the output out.",
    ),
    # influence
    "idle": (
        "hint",
        "changes no output when it alone changes and the random numbers stay: nothing depends on "
        "it",
        "Its posterior will equal its prior.",
        "Use it in the function, or leave it out.",
    ),
    "invisible": (
        "hint",
        "goes with no output visibly in {count:,} simulations{though}",
        "The data may say little about it, or not in a simple way.",
        "See recovery after training.",
    ),
    # outputs
    "no order": ("hint", "shows no order of its {rows} rows", "", "{advice}"),
    "constant": (
        "problem",
        "is {value:.3g} in every simulation",
        "It has no information.",
        "Leave it out or fix it.",
    ),
    "constants": (
        "problem",
        "never varies",
        "It has no information.",
        "Leave it out or fix it.",
    ),
    "some constant": (
        "hint",
        "{count} of {size} elements never vary ({names})",
        "That is harmless, but they have no information.",
        "",
    ),
    "copies": (
        "hint",
        "elements are copies of others, or linear in them ({count}: {names})",
        "If that is intended, they may be left out.",
        "Look for noise that is drawn once and broadcast, and for an index that is always the "
        "same.",
    ),
    "repeats": ("hint", *_REPEATS),
    "mostly repeats": ("problem", *_REPEATS),
    # ranges
    "observed outside": (
        "hint",
        "{outside} of {known} observed numbers lie beyond all {count:,} simulations",
        "Prior or simulator can't make data like these.",
        "",
    ),
    "infinite": (
        "problem",
        "has values up to {largest:.3g}, which are infinite in float32",
        "Networks compute in float32.",
        _FLOAT32,
    ),
    "nearly infinite": (
        "hint",
        "has values up to {largest:.3g}, near the end of float32",
        "",
        _FLOAT32,
    ),
    "wide": (
        "hint",
        "ranges over many orders of magnitude (largest {largest:.3g}): networks see {scaling}",
        "{digits}",
        "Nothing to do, unless the largest are a mistake.",
    ),
    "large counts": (
        "hint",
        "has whole numbers up to {largest:.3g}; int32 ends at 2,147,483,647",
        "{digits}",
        "Subtract an offset if counts must be exact.",
    ),
    "far out": (
        "hint",
        "has a value {farthest:,.0f} standard deviations out after scaling",
        "Single simulations dominate training.",
        "Take a logarithm.",
    ),
    "lost digits": (
        "problem",
        "{finding}",
        "Posteriors can't depend on what is lost.",
        "{advice}",
    ),
}


def remark(kind: str, subject: str, **facts: Any) -> Remark:
    """Return a remark of a kind, with what was measured."""
    severity, *texts = _REMARKS[kind]
    return Remark(severity, subject, *(text.format(**facts) for text in texts))


#: Numbers of a parameter that have a row each in a table, and rows of a comparison.
MOST_ROWS = 32
# 2,000 simulations of 10,000 numbers each, 160 MB. Larger observables are checked on their first
# rows.
_MOST_NUMBERS = 20_000_000
_FEWEST_ROWS = 200
# Single-precision numbers beyond have no fraction.
_NO_FRACTION = 2.0**23
# Training steps that costs are stated for: the default of ``fit``.
_TRAINING_STEPS = 5_000
_SLOW_HOURS = 0.5
# Minutes of simulating in workers from which on it takes longer than the network does.
_LONG_MINUTES = 2.0
_SECONDS_BEFORE_PROGRESS = 3.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What one check observed, and its section of terminal and HTML report.

    Subclasses add their numbers.
    """

    advice: Sequence[Remark] = ()
    title: str = ""  #: without it there is no section
    text: str = ""
    #: its index has names of parameters, context variables or observables
    table: pd.DataFrame | None = None
    #: draws the figures of the section, by file name
    figures: Callable[[], Mapping[str, Figure]] = dict


@dataclass(frozen=True, eq=False)
class Speed(Result):
    """Finite simulations a second, median over the timed batches, and the batches' size."""

    per_second: float
    batch_size: int


@dataclass(frozen=True, eq=False)
class Pilot:
    """Pilot simulations of one simulator, as NumPy arrays.

    ``raw`` is the simulator without its policy: it leaves failed simulations in place, as NaN.
    """

    simulator: Simulator
    drawn: Simulations
    seed: int
    raw: Simulator

    def __len__(self) -> int:
        return count_rows(self.drawn.parameters)

    def only(self, rows: np.ndarray) -> Self:
        """Return the simulations that are marked in a boolean array (n,)."""
        parameters, context, observables = map_tensors(lambda value: value[rows], self.drawn[:3])
        return replace(self, drawn=Simulations(parameters, context, observables, 0))

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """Parameters and context, one array (n,) a column."""
        return columns({**self.drawn.parameters, **self.drawn.context}, batch_ndim=1)

    @cached_property
    def observables(self) -> dict[str, np.ndarray]:
        """Observables (n, *event) as floats, NaN for padding and for values that are not finite."""
        observables = {}
        for name, value in self.drawn.observables.items():
            rows = max(_FEWEST_ROWS, _MOST_NUMBERS // max(int(np.prod(value.shape[1:])), 1))
            array = value[:rows].astype(np.float64)
            array[~np.isfinite(array)] = np.nan
            if name in self.simulator.lengths:
                counts = self.drawn.context[self.simulator.lengths[name]][:rows]
                array[padding(array, counts)] = np.nan
            observables[name] = array
        return observables

    def whole_numbers(self, name: str) -> bool:
        """Return whether all values of an observable are integers: counts, classes, booleans."""
        kind = self.drawn.observables[name].dtype.kind
        array = self.observables[name]
        telling = array[np.abs(array) < _NO_FRACTION]
        return kind in "iub" or bool(telling.size and np.all(telling == np.round(telling)))


def draw(simulator: Simulator, n: int, seed: int, batch_size: int) -> tuple[Pilot, Speed]:
    """Draw n simulations, 21 or more, failed ones included, and measure the speed."""
    # The simulator's policy would hide failures by drawing them again, so an engine without policy
    # draws. It does so without XLA, which compiles some simulators for 20 s.
    simulator.check_count(n)
    raw = copy.copy(simulator)
    engine = simulator.engine.without_policy()
    raw.engine = engine
    most = batch_size if engine.batched else 64
    # Few rows first: they trace the graph or start the workers, and give an early estimate. Sizes
    # that adapted to the speed would make the simulations depend on it.
    ends = [0, 4, 20, *range(20 + most, n, most), n]
    generator = seeds.generator(seed, "pilot")
    parts = []
    seconds = []
    with Progress("simulating", n, delay=_SECONDS_BEFORE_PROGRESS) as progress:
        for start, end in itertools.pairwise(ends):
            started = time.perf_counter()
            parts.append(raw.draw(end - start, int(generator.integers(2**31)), "pilot"))
            seconds.append(time.perf_counter() - started)
            progress.update(end)
    parameters, context, observables = map_tensors(
        lambda *values: np.concatenate(values), *(part[:3] for part in parts)
    )
    failed = sum(part.failed for part in parts)
    rows = np.diff(ends)
    rate = _rate(raw, rows, np.array(seconds), seed)
    # A failed simulation that is drawn again costs its time.
    kept = max(1.0 - failed / n, 1e-9) if simulator.on_nonfinite == "redraw" else 1.0
    speed = describe(kept * rate, int(rows.max()), seconds[0], engine.workers, batch_size)
    simulations = Simulations(parameters, context, observables, failed)
    return Pilot(simulator, simulations, seed, raw), speed


def _rate(raw: Simulator, rows: np.ndarray, seconds: np.ndarray, seed: int) -> float:
    """Return simulations a second, from batches of some rows and the seconds that each took."""
    # The first batch of a size traces the graph, and says nothing about the speed.
    timed = (rows > 0.5 * rows.max()) & np.array(
        [not raw.engine.in_graph or size in rows[:place] for place, size in enumerate(rows)]
    )
    if timed.any():
        return float(np.median((rows / seconds)[timed]))
    started = time.perf_counter()
    raw.draw(int(rows.max()), seed, "pilot")
    return float(rows.max() / (time.perf_counter() - started))


def describe(rate: float, size: int, first: float, workers: int, batch_size: int) -> Speed:
    """Return the speed in words, and its meaning for training."""
    seconds = _TRAINING_STEPS * batch_size / rate
    where = (
        f"in {workers} worker process{'es' * (workers > 1)}" if workers else "in the plain graph"
    )
    text = (
        f"{f'{rate:,.0f}' if rate >= 100.0 else f'{rate:.3g}'} simulations/s in batches of {size} "
        f"({where}; first call {first:.2g} s). {_TRAINING_STEPS:,} training steps of {batch_size} "
        f"take {duration(seconds)} of simulation."
    )
    advice = []
    if workers and seconds > 60.0 * _LONG_MINUTES:
        advice.append(remark("passes", "speed", steps=_TRAINING_STEPS, time=duration(seconds)))
    if seconds > 3600.0 * _SLOW_HOURS:
        facts = {"steps": _TRAINING_STEPS, "batch_size": batch_size, "hours": seconds / 3600.0}
        advice.append(remark("slow workers" if workers else "slow", "speed", **facts))
    return Speed(rate, size, advice=advice, title="Speed", text=text)


def bounds(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return minimum and maximum along the first axis; infinity and -infinity where all is NaN."""
    return np.nanmin(array, axis=0, initial=np.inf), np.nanmax(array, axis=0, initial=-np.inf)


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
_MOST_COMPARED = 5_000_000
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
    rows = min(max(50, _MOST_COMPARED // len(elements)), *map(len, elements.values()))
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
