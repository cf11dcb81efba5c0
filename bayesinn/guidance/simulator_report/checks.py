"""Checks of a simulator: failures, noise, influence, outputs, ranges.

With the same seed every draw sees the same random numbers, so that any difference in the output is
caused by the parameters, however noisy the simulator is.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from textwrap import shorten

import numpy as np
import pandas as pd
from scipy import stats

from bayesinn.core import seeds
from bayesinn.core.arrays import fill_padding
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import BayesinnError
from bayesinn.core.labels import columns
from bayesinn.diagnosis.report import Figure
from bayesinn.guidance.simulator_report.pilot import (
    FEWEST,
    FEWEST_ROWS,
    MOST_ROWS,
    Pilot,
    Region,
    Remark,
    Result,
    associations,
    bounds,
    copies,
    regions,
    remark,
    repeats,
)
from bayesinn.plots.predictive import prior_predictive
from bayesinn.posterior.defaults import FEW_NUMBERS
from bayesinn.simulation.checks import finite
from bayesinn.simulation.digits import lost_digits
from bayesinn.simulation.order import advice_on_order, has_order
from bayesinn.spaces.data import DataSpace, Scaling

_MOST_REDRAWN = 0.5
# Of an error that is told, and of a list of names.
_MOST_CHARACTERS = 200
_MOST_NAMES = 60
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


def check_failures(pilot: Pilot) -> Failures:
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
    places = "; ".join(box.describe("fail", "failures") for box in boxes)
    if not places:
        few = marked.sum() < FEWEST
        places = "too few to say where" if few else "from no particular region of a simple form"
    names = _list(shares.index[shares["failed"] > 0.0])
    what = f"fail, the last by {error}" if error else f"have NaN or infinity in {names}"
    finding = f"{100.0 * marked.mean():.1f} % of the simulations {what} ({places})"
    kind = "most fail" if marked.mean() > _MOST_REDRAWN else pilot.simulator.on_nonfinite
    if error.startswith(_MISTAKES):
        kind = "mistake"
    advice = [remark(kind, "failures", finding=finding)]
    table = _compare(pilot, marked)
    return Failures(marked, shares, boxes, advice=advice, title="Failures", text=text, table=table)


def _list(names: Iterator[str] | pd.Index) -> str:
    """Write names one after the other, the first ones if they are many."""
    return shorten(", ".join(names), _MOST_NAMES)


def _without_padding(pilot: Pilot, name: str) -> np.ndarray:
    """Return an observable (n, ...) with zeros where its numbers may be anything, or missing."""
    value = pilot.drawn.observables[name]
    if name in pilot.simulator.lengths:
        counts = pilot.drawn.context[pilot.simulator.lengths[name]]
        value = fill_padding(value, counts, 0)
    return value if pilot.simulator.missing is None else np.where(np.isnan(value), 0, value)


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


# Simulations that are made again in an experiment, and copies of each that may share noise.
_FEWEST_AGAIN = 8
_MOST_AGAIN = 32
_COPIES = 4
# Independent draws that are equal more often than this can't tell shared noise from chance.
_MOST_EQUAL = 0.5
_FEWEST_UNUSUAL = 3
_ASSOCIATED = 0.01


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


def check_noise(pilot: Pilot) -> Noise:
    """See how observables depend on seed and parameters, from simulations that are finite."""
    simulator = pilot.raw
    seed = pilot.seed
    # Few compared with the simulations of the report, since some are slow.
    rows = min(len(pilot) // 2, _MOST_AGAIN, max(_FEWEST_AGAIN, len(pilot) // 16))
    if rows < _FEWEST_AGAIN:
        return Noise()
    theta, context = map_tensors(lambda value: value[:rows], pilot.drawn[:2])
    # Whole rows are turned, because the supports of parameters may depend on one another.
    turned = map_tensors(lambda value: np.roll(value, rows // 2, axis=0), theta)
    first = simulator.simulate(theta, seed, context)
    again, other_seed, other_theta = (
        map_tensors(_equal_rows, simulator.simulate(values, number, context), first)
        for values, number in ((theta, seed), (theta, seed + 1), (turned, seed))
    )
    varied = [name for name, value in first.items() if _varied(value)]
    irreproducible = tuple(name for name in first if not again[name].all())
    unaffected = tuple(name for name in varied if other_theta[name].all())
    deterministic = tuple(
        name
        for name in varied
        if other_seed[name].all() and name not in irreproducible + unaffected
    )

    def shares_noise(name: str) -> bool:
        """Whether rows of equal parameters are equal in a batch, yet differ with another seed."""
        bases = np.flatnonzero(~other_seed[name])[:_FEWEST_AGAIN]
        if other_seed[name].mean() > _MOST_EQUAL or len(bases) < 2:
            return False
        repeated = map_tensors(
            lambda value: np.repeat(value[bases], _COPIES, axis=0), [theta, context]
        )
        value = simulator.simulate(repeated[0], seed, repeated[1])[name]
        return bool(_equal_rows(value, np.repeat(value[::_COPIES], _COPIES, axis=0)).all())

    shared = tuple(name for name in first if simulator.engine.batched and shares_noise(name))
    whole = "all unaffected" if len(unaffected) == len(first) else "unaffected"
    advice = [
        *(remark("irreproducible", name) for name in irreproducible),
        *(
            remark("deterministic count" if pilot.whole_numbers(name) else "deterministic", name)
            for name in deterministic
        ),
        *(remark("shared", name) for name in shared),
        *(remark(whole, name) for name in unaffected),
    ]
    return Noise(rows, irreproducible, deterministic, shared, unaffected, advice=advice)


@dataclass(frozen=True, eq=False)
class Influence(Result):
    """p-values of parameters, small if some output goes with them; :func:`_responds` results."""

    associations: Mapping[str, float]
    responses: Mapping[str, bool | None]


def check_influence(pilot: Pilot, noise: Noise) -> Influence:
    """Test whether each parameter is associated with some output.

    If a parameter is not, simulate again with this parameter alone changed.
    """
    if len(pilot) < FEWEST_ROWS or len(noise.unaffected) == len(pilot.observables):
        return Influence({}, {})
    tested = associations(columns(pilot.drawn.parameters, batch_ndim=1), pilot.observables)
    responses = {}
    advice = []
    for column in [name for name, p_value in tested.items() if p_value >= _ASSOCIATED]:
        # Random numbers that change by themselves would pass for an effect.
        if not noise.irreproducible:
            responses[column] = _responds(pilot, column, noise.rows)
        responds = responses.get(column)
        kind = "idle" if responds is False else "invisible"
        though = ", though outputs do change with it" if responds else ""
        advice.append(remark(kind, column, count=len(pilot), though=though))
    return Influence(tested, responses, advice=advice)


def _responds(pilot: Pilot, column: str, rows: int) -> bool | None:
    """Return whether any output changes if one parameter takes other values.

    The values are those of other draws; the seed is the same.

    None if that can't be tested: the simulator may raise for combinations that its prior doesn't
    draw.
    """
    theta, context = map_tensors(lambda value: value[:rows], pilot.drawn[:2])
    changed = map_tensors(np.copy, theta)
    # Columns are views of the arrays that they come from.
    columns(changed, batch_ndim=1)[column][:] = pilot.inputs[column][rows : 2 * rows]
    if all(np.array_equal(changed[name], theta[name]) for name in theta):
        return None
    try:
        before, after = (
            pilot.simulator.simulate(values, pilot.seed, context) for values in (theta, changed)
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


_FEWEST_REPEATS = 5
_REPEATED = 0.01
_MOSTLY_REPEATED = 0.5
# Repeats of whole numbers are natural: only one frequent outcome among many is worth a hint.
_LUMP = 0.2
_DISTINCT = 0.1


@dataclass(frozen=True, eq=False)
class Outputs(Result):
    """Elements that copy (or are linear in) others; share and origin of repeated simulations."""

    copies: tuple[tuple[str, str], ...]
    repeats: float
    regions: tuple[Region, ...]


def check_outputs(pilot: Pilot) -> Outputs:
    """Look for constants, copies and repeats among simulations that are finite."""
    pairs = copies(pilot.observables, pilot.seed)
    marked, counts = repeats(pilot.observables)
    rows = len(marked)
    inputs = {name: column[:rows] for name, column in pilot.inputs.items()}
    boxes = regions(inputs, marked, pilot.simulator.labels)
    advice = list(_constants(pilot.observables))
    if pairs:
        names = _list(f"{copy} of {original}" for copy, original in pairs)
        advice.append(remark("copies", "copies", count=len(pairs), names=names))
    advice += _repeats(pilot, marked, counts, boxes)
    advice += _lacking_order(pilot)
    return Outputs(pairs, marked.sum() / max(rows, 1), boxes, advice=advice)


def _lacking_order(pilot: Pilot) -> Iterator[Remark]:
    """Hint at observables whose rows may be exchangeable, where nothing declares an order."""
    declared = {*pilot.simulator.labels.coordinates, *pilot.simulator.lengths}
    for name, array in pilot.observables.items():
        if name in declared or array.ndim not in (2, 3) or array[0].size <= FEW_NUMBERS:
            continue
        parameters = {key: value[: len(array)] for key, value in pilot.drawn.parameters.items()}
        if has_order(array, parameters, seeds.generator(pilot.seed, "order")) is False:
            rows = array.shape[1]
            yield remark("no order", name, rows=rows, advice=advice_on_order(name, rows))


def _constants(observables: Mapping[str, np.ndarray]) -> Iterator[Remark]:
    for name, array in observables.items():
        low, high = map(np.ravel, bounds(array))
        constant = (low == high) & (np.isfinite(array).sum(axis=0).ravel() > 1)
        if constant.any() and constant.all():
            yield remark("constant" if len(low) == 1 else "constants", name, value=low[0])
        elif constant.any():
            names = _list(itertools.compress(columns({name: array}, batch_ndim=1), constant))
            yield remark("some constant", name, count=constant.sum(), size=len(low), names=names)


def _repeats(
    pilot: Pilot, marked: np.ndarray, counts: np.ndarray, boxes: tuple[Region, ...]
) -> Iterator[Remark]:
    rows = max(len(marked), 1)
    whole_numbers = all(map(pilot.whole_numbers, pilot.observables))
    if whole_numbers:
        share = counts.max(initial=0) / rows
        many = share >= _LUMP and len(counts) >= _DISTINCT * len(marked)
        what = "are one and the same"
    else:
        share = marked.sum() / rows
        many = share >= _REPEATED and marked.sum() >= _FEWEST_REPEATS
        what = "equal another one in every number"
    if many:
        told = "; ".join(box.describe("come again", "repeats") for box in boxes)
        severe = not whole_numbers and share >= _MOSTLY_REPEATED
        kind = "mostly repeats" if severe else "repeats"
        facts = {"share": 100.0 * share, "what": what, "places": f" ({told})" if told else ""}
        yield remark(kind, "repeats", **facts)


_LEVELS = {
    "minimum": 0.0,
    "1 %": 0.01,
    "25 %": 0.25,
    "50 %": 0.5,
    "75 %": 0.75,
    "99 %": 0.99,
    "maximum": 1.0,
}
# Axes of an observable, and how many elements (of a vector) or channels (of a series) get rows of
# their own.
_FEW = {1: 8, 2: 12}
_OUTSIDE = 0.05
# Beyond it float32 can't tell n from n + 1.
_LAST_COUNTED = 2**24
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_NEAR_THE_END = 1e-2
_FAR_OUT = 100.0


def describe_prior(pilot: Pilot) -> Result:
    """Describe parameters and context."""
    quantiles: dict[str, pd.Series] = {}
    for name, value in {**pilot.drawn.parameters, **pilot.drawn.context}.items():
        parts = columns({name: value}, batch_ndim=1)
        # Of many columns, all together.
        parts = parts if len(parts) <= MOST_ROWS else {name: value}
        quantiles |= {part: _quantiles(values) for part, values in parts.items()}
    text = "Quantiles of parameters and context: does the prior mean what it should?"
    return Result(title="Prior", text=text, table=pd.DataFrame(quantiles).T)


def check_ranges(pilot: Pilot, good: Pilot, failed: pd.Series) -> Result:
    """Describe data, as networks see those of good simulations; real data are shown among them."""
    scalings: Mapping[str, Scaling] = {}
    # Overflow in float32 is one of the findings.
    with np.errstate(over="ignore"):
        if len(good) > 1:
            names = tuple(pilot.observables)
            scalings = DataSpace.fit(good.drawn.data, names, (), pilot.simulator.lengths).scalings
    advice = [item for name in scalings for item in _scaled(good, name, scalings[name])]
    advice += _lost(good) if scalings else []
    rows = {}
    observed = {}
    for name, array in pilot.observables.items():
        for part, values in _parts(name, array).items():
            rows[part] = {
                **_quantiles(values),
                "zeros": pd.Series(values[np.isfinite(values)] == 0.0).mean(),
                "failed": failed[name],
                "type": str(pilot.drawn.observables[name].dtype),
                "scaling": str(scalings.get(name, "")),
            }
        real = (pilot.simulator.observed or {}).get(name)
        shape = array.shape[1:]
        # Real data may be the beginning of what is simulated.
        if (
            real is not None
            and real.ndim == len(shape)
            and np.all(np.less_equal(real.shape, shape))
        ):
            seen = np.full(shape, np.nan)
            seen[tuple(map(slice, real.shape))] = real
            observed[name] = seen
            low, high = bounds(array)
            outside = int(np.sum((seen < low) | (seen > high)))
            known = int(np.isfinite(seen).sum())
            if outside > _OUTSIDE * known:
                facts = {"outside": outside, "known": known, "count": len(pilot)}
                advice.append(remark("observed outside", name, **facts))
    text = (
        "Quantiles of finite simulated data. Real data should be among them, impossible data "
        "should be rare."
    )
    return Result(
        advice=advice,
        title="Prior predictive",
        text=text,
        table=pd.DataFrame.from_dict(rows, orient="index"),
        figures=partial(_figures, pilot, observed),
    )


def _parts(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of an observable (n, ...) by name where they are few, or all of it."""
    if not 1 < array.shape[-1] <= _FEW.get(array.ndim - 1, 0):
        return {name: array}
    return {f"{name}[{index}]": array[..., index] for index in range(array.shape[-1])}


def _figures(pilot: Pilot, observed: Mapping[str, np.ndarray]) -> dict[str, Figure]:
    """Draw each observable that has two simulations."""
    figures = {}
    for name, array in pilot.observables.items():
        if np.isfinite(array).reshape(len(array), -1).any(axis=1).sum() > 1:
            drawn = prior_predictive(
                array, name=name, labels=pilot.simulator.labels, observed=observed.get(name)
            )
            real = "; black: the data that ship with the simulator" if name in observed else ""
            caption = (
                f"{name}: simulations from the prior. Bands and histograms show how often values "
                f"occur{real}."
            )
            file = re.sub(r"[^\w.-]", "_", name)
            figures[f"prior_predictive_{file}"] = Figure(drawn, caption)
    return figures


def _scaled(pilot: Pilot, name: str, scaling: Scaling) -> Iterator[Remark]:
    """Say what float32 and the scaling lose."""
    array = pilot.observables[name]
    largest = float(np.nanmax(np.abs(array), initial=0.0))
    if largest > _LARGEST_FLOAT32:
        yield remark("infinite", name, largest=largest)
        return
    if largest > _NEAR_THE_END * _LARGEST_FLOAT32:
        yield remark("nearly infinite", name, largest=largest)
    uncounted = pilot.whole_numbers(name) and largest >= _LAST_COUNTED
    digits = f"Beyond {_LAST_COUNTED:,} float32 can't tell n from n + 1." if uncounted else ""
    if scaling.compress is not None:
        yield remark("wide", name, largest=largest, scaling=scaling, digits=digits)
        array = np.arcsinh(array / scaling.compress)
    elif uncounted:
        yield remark("large counts", name, largest=largest, digits=digits)
    # A vector has a scale for each element, other arrays one for each channel; 1 where variation is
    # mere rounding.
    low, high = bounds(array.reshape(-1, *scaling.mean.shape))
    measured = scaling.scale != 1.0
    ends = np.maximum(high - scaling.mean, scaling.mean - low) / scaling.scale
    if (farthest := np.max(ends, initial=0.0, where=measured)) > _FAR_OUT:
        yield remark("far out", name, farthest=farthest)


def _lost(pilot: Pilot) -> Iterator[Remark]:
    """Say of what single precision keeps few digits; constants have a check of their own."""
    # As training has them; infinity is another finding.
    drawn = pilot.drawn.cast(pilot.simulator.observable_types)
    observables = drawn.observables
    held = {name: value for name, value in observables.items() if finite(value, missing=True).all()}
    for loss in lost_digits(pilot.simulator, {**drawn.parameters, **drawn.context, **held}):
        if not loss.constant:
            advice = f"{loss.do[0].upper()}{loss.do[1:]}."
            yield remark("lost digits", loss.name, finding=loss.finding, advice=advice)


def _quantiles(values: np.ndarray) -> pd.Series:
    quantiles = pd.Series(values.ravel().astype(np.float64)).quantile(list(_LEVELS.values()))
    return quantiles.set_axis(list(_LEVELS))
