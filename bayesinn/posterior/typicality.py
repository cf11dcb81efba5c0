"""How typical an observation is of the simulations: a p-value, and the most extreme statistic."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from bayesinn.posterior import damage
from bayesinn.simulation.simulations import count_rows, take

#: An observation with a smaller p-value is flagged as out of distribution.
FLAG_LEVEL = 0.01
#: Statistics, in the order of the columns of ``Reference.held_out``: in what an observation is
#: unusual, for readers who don't know them.
STATISTICS = (
    "learnt features",
    "values together",
    "largest value",
    "order in time",
    "gap in time",
    "overall size",
)

_MOST_AXES = 64
# With fewer simulations for each axis, the axis is mostly noise.
_SIMULATIONS_PER_AXIS = 10
# Relative to the longest axis: shorter ones are rounding errors of 32-bit networks.
_SHORTEST_AXIS = 1e-3


class Typicality(NamedTuple):
    """How typical observations are of the simulations that a network was trained on.

    For n observations, or one: p-values (n,), and as the reason the most extreme of ``STATISTICS``
    (n,). ``smallest`` is the smallest possible p-value with this number of simulations. ``reason``
    says which factor would make one observation typical; see :func:`bayesinn.explain_unusual`.
    """

    p_value: Any
    unusual: Any
    smallest: float = 0.0
    reason: str = ""

    def row(self, index: int) -> Typicality:
        """Return the typicality of one observation."""
        return Typicality(float(self.p_value[index]), str(self.unusual[index]), self.smallest)

    @property
    def out_of_distribution(self) -> Any:
        """Whether the p-value is below 0.01: the posterior then extrapolates; don't trust it."""
        return self.p_value < FLAG_LEVEL

    @property
    def undecided(self) -> bool:
        """Whether the simulations are too few to call any observation an extrapolation."""
        return self.smallest >= FLAG_LEVEL

    @property
    def summary(self) -> str:
        """One line for a table of verdicts, of one observation."""
        if self.undecided:
            return f"too few simulations to tell: no observation has p < {self.smallest:.2g}"
        odd = f"unlike the simulations in its {self.unusual}, " if self.out_of_distribution else ""
        return f"{odd}p = {self.p_value:.2g}{f'; {self.reason}' if self.reason else ''}"


@dataclass(frozen=True, eq=False)
class Reference:
    """Simulated observations with which new ones are compared, by six statistics.

    Each statistic gives the share of held-out simulations that are at least as extreme. The
    smallest share is ranked among those of held-out simulations; the mean logarithm of all six
    shares breaks ties. The statistics overlap: Bonferroni would halve the rate of false alarms, and
    the power. Observation and simulations are exchangeable if the model is correct, so that the
    rank is a p-value: never too small. It is at least ``smallest``.

    learnt features
        Distance in the space of the flow's condition (summaries and context), which training made
        sensitive to the parameters. It is a Mahalanobis distance along the leading principal
        components; outside them, all components together have one scale, from simulations.
    values together
        The same distance among the standardised inputs: a network may suppress what parameters do
        not explain. Exchangeable elements enter by their mean and sd, which don't depend on order
        or padding.
    largest value
        Largest absolute value among the standardised inputs: one wrong number does not change a
        distance in hundreds of dimensions.
    order in time, gap in time
        Output of boosted trees for each time series. They learned to tell simulations from the same
        ones in a wrong order, or with a gap of zeros, such as at the peak. If scatter is large,
        distances don't see such damage.
    overall size
        Output of such trees for all data, context included: they learned cases in which one
        variable, or all observables, are ten times too large or too small.

    If the prior allows extreme scatter, nearly any data are typical, even wrong ones. With the
    dispersion psi ~ Exponential(mean 5) of the SIR model, the German counts times 20 pass, like an
    outbreak that began earlier: by the exact evidence, a wrong unit is only 12 times as likely as
    none. Of simulations times 0.1 or 10, 15 % are flagged there, and 97 % or more for a
    pharmacokinetic model. :func:`bayesinn.diagnose_observations` tests several data sets together.

    One half of the simulations gives means, orthonormal axes, sds along each and outside of them,
    and trees. The other half gives ``held_out`` (m, 6), the sorted columns of statistics, and
    ``scores`` (m,), sorted. A score is the number of simulations at least as extreme (itself
    included), by the statistic for which they are fewest, plus a fraction that breaks ties.
    ``pooled`` and ``series`` are flags for each input, in alphabetical order.

    References
    ----------
    Schmitt, Buerkner, Koethe and Radev (2023), Detecting model misspecification in amortized
    Bayesian inference with neural networks, arXiv:2112.08866 (summary space as the place to look).
    Lopez-Paz and Oquab (2017), Revisiting classifier two-sample tests, arXiv:1610.06545 (a
    classifier as a statistic). Tipping and Bishop (1999), Probabilistic principal component
    analysis (the distance).

    Examples
    --------
    >>> import numpy as np
    >>> inputs = np.random.default_rng(1).normal(size=(2000, 5))
    >>> reference = Reference.fit(inputs[:, :1], {"x": inputs})
    >>> odd = np.array([[0.0, 0.0, 9.0, 0.0, 0.0]])
    >>> found = reference.compare(odd[:, :1], {"x": odd})
    >>> bool(found.p_value[0] < 0.01), str(found.unusual[0])
    (True, 'values together')
    """

    summary_mean: np.ndarray
    summary_axes: np.ndarray
    summary_sds: np.ndarray
    inputs_mean: np.ndarray
    inputs_axes: np.ndarray
    inputs_sds: np.ndarray
    pooled: np.ndarray
    series: np.ndarray
    order_trees: np.ndarray
    gap_trees: np.ndarray
    scale_trees: np.ndarray
    held_out: np.ndarray
    scores: np.ndarray

    @property
    def smallest(self) -> float:
        """The p-value of an observation more extreme than all simulations.

        It is 1 / (1 + m), unless ties change it.
        """
        return self._p_value(1.0)

    @classmethod
    def fit(
        cls,
        condition: np.ndarray,
        inputs: Mapping[str, np.ndarray],
        pooled: Collection[str] = (),
        series: Collection[str] = (),
        trees: Sequence[np.ndarray] = (damage.NO_TREES,) * len(damage.KINDS),
    ) -> Reference:
        """Measure on conditions (n, c) and inputs (n, ...), standardised, with zeros in padding.

        Elements of ``pooled`` inputs (n, elements, ...) are exchangeable or vary in number;
        ``trees`` are those of :func:`grow_trees` on the same inputs.
        """
        half = _first_half(len(condition))
        flags = _flags(inputs, pooled)
        ordered = _flags(inputs, series)
        order, gap, scale = trees
        summary_mean, summary_axes, summary_sds = _axes(condition[:half].astype(np.float64))
        inputs_mean, inputs_axes, inputs_sds = _axes(_flat(inputs, flags)[:half])
        unfinished = cls(
            summary_mean=summary_mean,
            summary_axes=summary_axes,
            summary_sds=summary_sds,
            inputs_mean=inputs_mean,
            inputs_axes=inputs_axes,
            inputs_sds=inputs_sds,
            pooled=flags,
            series=ordered,
            order_trees=order,
            gap_trees=gap,
            scale_trees=scale,
            held_out=np.zeros((0, len(STATISTICS))),
            scores=np.zeros(0),
        )
        rest = take(inputs, slice(half, None))
        statistics = unfinished._statistics(condition[half:], rest)
        held_out = np.sort(statistics, axis=0)
        return replace(
            unfinished, held_out=held_out, scores=np.sort(_score(_at_least(held_out, statistics)))
        )

    def compare(self, condition: np.ndarray, inputs: Mapping[str, np.ndarray]) -> Typicality:
        """Return how typical observations with condition (n, c) and inputs (n, ...) are.

        The inputs are standardised.
        """
        counts = 1 + _at_least(self.held_out, self._statistics(condition, inputs))
        # Some counts of simulations would grow by one if the observation were among them: counting
        # as though none did errs on the side of larger p-values.
        unusual = np.array(STATISTICS)[counts.argmin(axis=1)]
        return Typicality(self._p_value(_score(counts)), unusual, self.smallest)

    def check(self, condition: np.ndarray, inputs: Mapping[str, np.ndarray]) -> None:
        """Raise a ValueError unless the fields fit each other and such observations (n, ...)."""
        _require(
            self.held_out.shape[1] in range(1, len(STATISTICS) + 1), "held_out has no statistics"
        )
        _require(len(self.scores) == len(self.held_out), "scores are not as many as held_out")
        for name in ("held_out", "scores"):
            _require(bool(np.all(np.diff(vars(self)[name], axis=0) >= 0)), f"{name} is not sorted")
        for name in ("summary_sds", "inputs_sds"):
            _require(bool(np.all(vars(self)[name] > 0)), f"{name} is not positive")
        widths = [rows.shape[1] for rows in _judged(inputs, self.pooled, self.series)]
        for name, width in zip(("order_trees", "gap_trees", "scale_trees"), widths, strict=True):
            trees = vars(self)[name]
            for field, below in (
                ("feature", width),
                ("left", trees.shape[1]),
                ("right", trees.shape[1]),
            ):
                known = bool(np.all((trees[field] >= 0) & (trees[field] < below)))
                _require(known, f"{name} points to a {field} beyond the last of {below}")
        self.compare(condition, inputs)

    #: Number of axes and type of each field.
    FIELDS: ClassVar[Mapping[str, tuple[int, Any]]] = {
        **dict.fromkeys(("summary_mean", "summary_sds", "inputs_mean", "inputs_sds"), (1, float)),
        **dict.fromkeys(("summary_axes", "inputs_axes", "held_out"), (2, float)),
        **dict.fromkeys(("pooled", "series"), (1, bool)),
        **dict.fromkeys(("order_trees", "gap_trees", "scale_trees"), (2, damage.NODE)),
        "scores": (1, float),
    }

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all fields by name, to be saved."""
        return dict(vars(self))

    def _p_value(self, score: Any) -> Any:
        return (1.0 + np.searchsorted(self.scores, score, side="right")) / (1.0 + len(self.scores))

    def _statistics(self, condition: np.ndarray, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        # Far out, 32-bit networks and squares overflow.
        judged = _judged(inputs, self.pooled, self.series)
        trees = self.order_trees, self.gap_trees, self.scale_trees
        with np.errstate(over="ignore", invalid="ignore"):
            statistics = [
                _distance(
                    condition.astype(np.float64),
                    self.summary_mean,
                    self.summary_axes,
                    self.summary_sds,
                ),
                _distance(
                    _flat(inputs, self.pooled), self.inputs_mean, self.inputs_axes, self.inputs_sds
                ),
                np.max([np.abs(_rows(value)).max(axis=1) for value in inputs.values()], axis=0),
                *(damage.score(grown, rows) for grown, rows in zip(trees, judged, strict=True)),
            ]
        # What overflowed is as far out as can be. Posteriors saved before there was the last
        # statistic lack it.
        known = statistics[: self.held_out.shape[1]]
        return np.nan_to_num(np.stack(known, axis=1), nan=np.inf, posinf=np.inf)


def learnable_damage(
    inputs: Mapping[str, np.ndarray], pooled: Collection[str], series: Collection[str]
) -> list[str]:
    """Return the kinds of damage of inputs (n, ...) that trees can learn to detect."""
    judged = _judged(inputs, _flags(inputs, pooled), _flags(inputs, series))
    sizes = [rows.shape[1] for rows in judged]
    return [
        kind for kind, size in zip(damage.KINDS, sizes, strict=True) if damage.is_learnable(size)
    ]


def grow_trees(
    inputs: Mapping[str, np.ndarray],
    damaged: Mapping[str, Mapping[str, np.ndarray]],
    pooled: Collection[str] = (),
    series: Collection[str] = (),
) -> list[np.ndarray]:
    """Train trees to detect each kind of damage, on the first half of inputs (n, ...).

    ``damaged`` has a copy of the inputs for each kind that is to be detected.
    """
    if not damaged:
        return [damage.NO_TREES] * len(damage.KINDS)
    flags = _flags(inputs, pooled)
    ordered = _flags(inputs, series)
    intact = _judged(inputs, flags, ordered)
    half = _first_half(len(intact[0]))
    trees = []
    for number, kind in enumerate(damage.KINDS):
        if kind not in damaged:
            trees.append(damage.NO_TREES)
            continue
        copy = _judged(damaged[kind], flags, ordered)
        trees.append(damage.grow(intact[number][:half], copy[number][:half]))
    return trees


def _first_half(rows: int) -> int:
    """Return how many rows axes and trees see; p-values come from the others."""
    return (rows + 1) // 2


def _flags(inputs: Mapping[str, np.ndarray], names: Collection[str]) -> np.ndarray:
    return np.array([name in names for name in sorted(inputs)], bool)


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise ValueError(f"reference: {fault}")


def _flat(inputs: Mapping[str, np.ndarray], pooled: np.ndarray) -> np.ndarray:
    """Return inputs side by side, (n, d); mean and sd over the elements of pooled inputs."""
    parts = []
    for name, pool in zip(sorted(inputs), pooled, strict=True):
        value = inputs[name].astype(np.float64)
        parts.extend(_moments(value) if pool else [_rows(value)])
    return np.concatenate(parts, axis=1)


def _judged(
    inputs: Mapping[str, np.ndarray], pooled: np.ndarray, series: np.ndarray
) -> list[np.ndarray]:
    """Return what trees of each kind of damage see, (n, d): series side by side, or all inputs."""
    names = [name for name, flag in zip(sorted(inputs), series, strict=True) if flag]
    empty = np.zeros((count_rows(inputs), 0), np.float32)
    ordered = np.concatenate([empty, *(_rows(inputs[name]) for name in names)], axis=1)
    return [ordered, ordered, _flat(inputs, pooled)]


def _moments(value: np.ndarray) -> list[np.ndarray]:
    # Padding is exactly zero, standardised data practically never.
    present = value != 0.0
    count = np.maximum(present.sum(axis=1, keepdims=True), 1)
    mean = value.sum(axis=1, keepdims=True) / count
    variance = np.square(np.where(present, value - mean, 0.0)).sum(axis=1, keepdims=True) / count
    return [_rows(mean), _rows(np.sqrt(variance))]


def _rows(value: np.ndarray) -> np.ndarray:
    return value.reshape(len(value), math.prod(value.shape[1:]))


def _axes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (d,), leading axes (d, k) and sds (k + 1,) of values (n, d)."""
    size, dimension = values.shape
    mean = values.mean(axis=0)
    count = min(_MOST_AXES, dimension, size // _SIMULATIONS_PER_AXIS)
    axes = np.zeros((dimension, 0))
    along = np.zeros(0)
    if count > 0 and np.ptp(values, axis=0).any():
        from sklearn.decomposition import PCA

        # For images it finds the axes by random projections; the seed makes training reproducible.
        found = PCA(count, random_state=0).fit(values)
        axes = found.components_.T
        along = np.sqrt(np.maximum(found.explained_variance_, 0.0))
    centred = values - mean
    outside = np.square(centred - centred @ axes @ axes.T).sum() / (
        size * max(1, dimension - count)
    )
    sds = np.append(along, np.sqrt(outside))
    return mean, axes, np.maximum(sds, _SHORTEST_AXIS * sds.max() or 1.0)


def _distance(
    values: np.ndarray, mean: np.ndarray, axes: np.ndarray, sds: np.ndarray
) -> np.ndarray:
    centred = values - mean
    scores = centred @ axes
    outside = centred - scores @ axes.T
    return np.sqrt(
        np.square(scores / sds[:-1]).sum(axis=1) + np.square(outside).sum(axis=1) / sds[-1] ** 2
    )


def _at_least(held_out: np.ndarray, statistics: np.ndarray) -> np.ndarray:
    """Count (n, k) the values of each sorted column (m, k) that are at least statistics (n, k)."""
    below = [
        np.searchsorted(known, new, side="left")
        for known, new in zip(held_out.T, statistics.T, strict=True)
    ]
    return len(held_out) - np.stack(below, axis=1)


def _score(counts: np.ndarray) -> np.ndarray:
    """Return the smallest of counts (n, k), all at least one, plus a fraction that breaks ties."""
    # 64 is far above any mean of logarithms: the fraction stays below one.
    return counts.min(axis=1) + np.log(counts).mean(axis=1) / 64.0
