"""Simulators made of arrays, or of another one: several trials, another prior, part of the data."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.arrays import numbers, without_padding
from bayesinn.core.errors import (
    InputError,
    check_draws,
    check_integer,
    check_memory,
    check_type,
    warn,
)
from bayesinn.core.labels import columns
from bayesinn.simulation import declaration
from bayesinn.simulation.checks import missing_option, without_padding_in_graph
from bayesinn.simulation.declaration import TRIAL_ROWS
from bayesinn.simulation.engines.engine import NoEngine, NoFunction
from bayesinn.simulation.prior import Entry, Prior
from bayesinn.simulation.prior_text import (
    prior_text,
    read_distribution,
    same_laws,
    write_distribution,
)
from bayesinn.simulation.simulator import (
    Recommended,
    Simulator,
    check_simulator,
    simulator,
    simulator as declare,
)

tfd = tfp.distributions

_MOST_AXES = 16


def from_arrays(
    prior: Mapping[str, Entry] | tfd.JointDistributionNamed,
    observables: Mapping[str, Any],
    *,
    name: str = "arrays",
    context: Mapping[str, Entry] | tfd.JointDistributionNamed | None = None,
    labels: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    coordinates: Mapping[str, Any] | None = None,
    lengths: Mapping[str, str] | None = None,
    missing: Literal["mask"] | None = None,
    observed: Mapping[str, Any] | None = None,
    recommended: Recommended | None = None,
) -> Simulator:
    """Return a simulator without a function, for simulations that already exist as arrays.

    Its posterior trains on arrays (``fit(arrays)``) and is diagnosed on held-out arrays
    (``bi.diagnose(posterior, data=held_out)``). A saved posterior keeps prior and names, so that it
    can be loaded where nothing is declared. Predictive checks, online training and banks need new
    simulations: they are left out, or say that they need a function.

    Parameters
    ----------
    prior : as in :class:`bayesinn.simulator`
        The prior that the parameters were drawn from. If it has functions in place of
        distributions, loading elsewhere needs ``bi.load(folder, simulator=...)``.
    observables : dict of name to array (n, ...) of all data sets, or to shape of one
        The training arrays, also as lists or columns of a table; parameters and context among
        these are ignored. A tuple of integers is the shape of one data set, such as
        ``{"cases": (14,)}``, or ``()`` for a single number.
    name : str, for reports and figures
    context, labels, units, coordinates, lengths, missing, observed, recommended
        As in :class:`bayesinn.simulator`.

    Examples
    --------
    >>> import bayesinn as bi
    >>> model = bi.from_arrays({"mean": tfd.Normal(0.0, 1.0)}, {"y": (3,)})
    >>> model
    Simulator 'arrays', from arrays
      parameters:  mean
      observables: y[3]
    """
    options = simulator(
        prior=prior,
        context=context,
        name=name,
        labels=labels,
        units=units,
        coordinates=coordinates,
        lengths=lengths,
        missing=missing,
        observed=observed,
        recommended=recommended,
    )
    if not isinstance(observables, Mapping):
        raise InputError(
            "Argument 'observables'",
            expected="a dict of name to shape, or to array",
            got=type(observables).__name__,
            do="pass {'y': (14,)}, or the arrays: {'y': array of shape (n, 14)}, which is "
            "table[columns].to_numpy() for columns of a table that are one vector",
        )
    inputs = {*Prior(prior).names, *(() if context is None else Prior(context).names)}
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, np.dtype] = {}
    for key, value in observables.items():
        check_type("Name in 'observables'", key, str, "a text", "rename it, such as 'y'")
        if key in inputs:
            continue
        shape = _given_shape(key, value)
        if shape is None:
            array = _all_rows(key, value)
            shape = array.shape[1:]
            if array.dtype.kind in "fiu":
                dtypes[key] = array.dtype
        shapes[key] = shape
    return Simulator(NoFunction(name), options, partial(NoEngine, shapes=shapes, dtypes=dtypes))


def written_declaration(simulator: Simulator) -> dict[str, Any] | None:
    """Return a model without a function in plain values.

    None for a model with a function, and for one whose prior has functions.
    """
    if simulator.simulates:
        return None
    context = {} if simulator.context is None else simulator.context.entries
    laws = {"prior": simulator.prior.entries, "context": context}
    try:
        written = {
            kind: {key: write_distribution(entry) for key, entry in entries.items()}
            for kind, entries in laws.items()
        }
    except (TypeError, ValueError):
        return None
    labels = simulator.labels
    coordinates = {
        key: {axis.name: axis.values.astype(str if axis.dates else float).tolist()}
        for key, axis in labels.coordinates.items()
    }
    return {
        **written,
        "observables": {
            key: [list(shape), np.dtype(simulator.observable_types[key]).name]
            for key, shape in simulator.observable_shapes.items()
        },
        "labels": dict(labels.labels),
        "units": dict(labels.units),
        "coordinates": coordinates,
        "lengths": dict(simulator.lengths),
        "missing": None if simulator.missing is None else "mask",
        "places": {key: places.tolist() for key, places in simulator.places.items()},
    }


def read_declaration(name: str, kept: Mapping[str, Any]) -> Simulator:
    """Return the model without a function that :func:`written_declaration` has written."""
    laws = {
        kind: {
            key: read_distribution(f"Prior of {key!r}", text) for key, text in kept[kind].items()
        }
        for kind in ("prior", "context")
    }
    for key, (shape, _) in kept["observables"].items():
        _check_size(key, shape)
    observables = {
        key: np.zeros((1, *map(int, shape)), dtype)
        for key, (shape, dtype) in kept["observables"].items()
    }
    coordinates = {
        key: {axis: _numbers_or_dates(values)}
        for key, places in kept["coordinates"].items()
        for axis, values in places.items()
    }
    model = from_arrays(
        laws["prior"],
        observables,
        name=name,
        context=laws["context"] or None,
        labels=kept["labels"],
        units=kept["units"],
        coordinates=coordinates,
        lengths=kept["lengths"],
        missing=kept["missing"],
    )
    # Folders of older versions don't tell.
    for key, places in kept.get("places", {}).items():
        model.places[key] = np.array([int(place) for place in places])
    return model


def _numbers_or_dates(values: list[Any]) -> np.ndarray:
    dates = any(isinstance(value, str) for value in values)
    return np.array(values, "datetime64" if dates else None)


def _given_shape(name: str, value: Any) -> tuple[int, ...] | None:
    """Return the shape of one data set, a tuple; None if ``value`` is an array of all of them."""
    if not isinstance(value, tuple):
        return None
    check_integer(f"Observable {name!r}, axes of its shape", len(value), 0, _MOST_AXES)
    do = "pass for example (14,), () for a single number, or all data sets as a list or an array"
    subject = f"Observable {name!r}"
    sizes = [check_integer(f"{subject}, each size of its shape", size, do=do) for size in value]
    _check_size(name, sizes)
    return tuple(sizes)


def _check_size(name: str, sizes: Sequence[int]) -> None:
    """Refuse a shape of data sets, the few of a trial included, that no memory holds."""
    size = 8 * TRIAL_ROWS * math.prod(map(int, sizes))
    got = f"data sets of shape {tuple(sizes)}"
    check_memory(f"Observable {name!r}", size, got=got, do="pass the shape of one data set")


def _all_rows(name: str, value: Any) -> np.ndarray:
    """Return an array (n, ...) of all data sets; columns of a table and lists are made one."""
    subject = f"Observable {name!r}"
    array = numbers(subject, value, missing=True)
    if array.ndim == 0:
        raise InputError(
            subject,
            expected="an array (n, ...), or a shape",
            got=repr(value),
            do=f"pass a tuple for a shape, ({value},), or () if a data set is one number",
        )
    return array


_DRAWS = 20_000
_LEVELS = (0.05, 0.5, 0.95)
# A shift by a quarter of a standard deviation, of Gaussians. What fails and is drawn again, or the
# last digit of rounded numbers, moves distribution functions less.
_DISTANCE = 0.1
_CHANCE = 1e-6


class PriorWarning(UserWarning):
    """Arrays to train on contradict the declared prior."""


def warn_of_other_prior(prior: Prior, rows: Mapping[str, np.ndarray]) -> None:
    """Warn of parameters (n, *event) whose distribution is not the prior's, by quantiles.

    One warning shows the farthest number of each parameter, and counts the others.
    """
    drawn = prior.sample(_DRAWS, seeds.tensor_seed(0, "prior"))
    for name in prior.names:
        expected = columns({name: drawn[name].numpy()}, 1)
        values_of = columns({name: rows[name]}, 1)
        other = {}
        for part, values in values_of.items():
            distance, p_value = _distance(values, expected[part])
            if distance > _DISTANCE and p_value < _CHANCE:
                other[part] = distance
        if other:
            farthest = max(other, key=other.__getitem__)
            data_quantiles = _quantiles(values_of[farthest])
            prior_quantiles = _quantiles(expected[farthest])
            more = f", the farthest of {len(other)} numbers" if len(other) > 1 else ""
            warn(
                f"training data contradict the prior of {farthest!r}{more}: their 5, 50 and 95 % "
                f"quantiles are {data_quantiles}, the prior's are {prior_quantiles}. The posterior "
                "learns the prior of its training data: declare the one that these were drawn from",
                PriorWarning,
            )


def _distance(values: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Return the distance of two distribution functions, and its p-value."""
    # Here, as declaring a model needs no statistics.
    from scipy import stats

    # In the precision of draws, or numbers that are equal but for rounding would differ.
    test = stats.ks_2samp(values.astype(np.float32), expected, method="asymp")
    return float(test.statistic), float(test.pvalue)


def _quantiles(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in np.quantile(values, _LEVELS))


def derived_simulator(
    simulator: Simulator,
    trials: int | None = None,
    prior: Mapping[str, Entry] | tfd.JointDistributionNamed | None = None,
    elements: Mapping[str, np.ndarray] | None = None,
    fixed: Mapping[str, np.ndarray] | None = None,
    per_trial: Collection[str] = (),
) -> Simulator:
    """Return a simulator of data sets of independent ``trials``, (trials, ...), or the same one.

    All trials of a data set have its parameters and context. Context that is named in ``per_trial``
    is (trials, ...), too. ``prior`` replaces that of the simulator. Of observables that
    ``elements`` names, which must be vectors, only the elements at these places are left.
    Parameters that are ``fixed``, (*event), are no parameters any more, and the prior of the others
    is the one given their values; neither other trials, another prior nor fewer elements go with
    it.

    Examples
    --------
    >>> import bayesinn as bi
    >>> derived_simulator(bi.get_simulator("linear"), trials=10).observable_shapes
    {'y': (10,)}
    """
    if trials is None and prior is None and not elements and not fixed:
        return simulator
    if trials is not None:
        shapes = simulator.observable_shapes
        check_draws(trials, shapes, declaration.TRIAL_ROWS, subject="Argument 'trials'")
    name = simulator.name
    if trials is not None:
        name += f" x {trials}"
    if prior is not None:
        name += ", another prior"
    if elements:
        name += f", {sum(map(len, elements.values()))} elements"
    fixed = fixed or {}
    if fixed:
        name += f", {', '.join(fixed)} fixed"
    laws = conditional_entries(simulator.prior, fixed) if prior is None else prior
    # The first axis of data is then that of trials; coordinates have names of their own.
    placed = simulator.prior.names if trials is not None else simulator.labels.coordinates
    places = {
        key: place
        for key, place in simulator.labels.coordinates.items()
        if key in placed and key not in fixed
    }
    known = {key for kind in simulator.shapes.values() for key in kind if key not in fixed}
    known |= {place.name for place in places.values()}
    labels = simulator.labels.of(known)
    declared: dict[str, Any] = {
        "context": _context_of_trials(simulator, trials, per_trial),
        "name": name,
        "labels": labels.labels,
        "units": labels.units,
        "coordinates": {key: {place.name: place.values} for key, place in places.items()},
        # Lengths count steps along the first axis.
        "lengths": simulator.lengths if trials is None else {},
        "missing": missing_option(simulator.missing),
    }
    elements = elements or {}
    if trials is None:
        declared |= _of_one_trial(simulator, elements)
    if simulator.simulates:
        if trials is None and not elements:
            # The same data, whatever the prior.
            likelihood = simulator.log_likelihood
            if fixed and likelihood is not None:
                likelihood = _insert_in_likelihood(likelihood, fixed)
            declared["log_likelihood"] = likelihood
        function = _function(simulator, trials, prior, elements, per_trial)
        if fixed:
            insert = _insert_in_graph
            if not simulator.in_graph:
                insert = _insert_rows if simulator.engine.batched else _insert_numbers
            function = functools.wraps(function)(insert(function, fixed))
        derived = declare(prior=laws, **declared, **_policy(simulator, trials or 1))(function)
    else:
        derived = from_arrays(laws, _one_row(simulator, trials, elements), **declared)
    if trials is not None:
        derived.per_trial = (*simulator.observable_shapes, *per_trial)
    derived.places = dict(simulator.places)
    for key, chosen in elements.items():
        every = np.arange(simulator.observable_shapes[key][0])
        derived.places[key] = simulator.places.get(key, every)[chosen]
    return derived


def _context_of_trials(
    simulator: Simulator, trials: int | None, per_trial: Collection[str]
) -> dict[str, Entry] | None:
    """Return the entries of the context, some of them for each trial."""
    context = simulator.context
    if context is None or not per_trial:
        return None if context is None else context.entries
    tied = {name: needs for name, needs in context.needs.items() if {name, *needs} & {*per_trial}}
    if any(tied.values()):
        raise InputError(
            f"Context of each trial, {list(per_trial)}",
            expected="distributions that depend on no other context, and no other on them",
            got=f"{ {name: needs for name, needs in tied.items() if needs} }",
            do="declare the context of a trial as one vector, or by independent distributions",
        )
    return {
        name: tfd.Sample(context.distribution(name, {}), trials) if name in per_trial else entry
        for name, entry in context.entries.items()
    }


def _of_one_trial(simulator: Simulator, elements: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return data that ship with a simulator, and what its author recommends.

    Of vectors that ``elements`` cuts, other summary networks are better, or the only ones possible.
    """
    observed = None
    if simulator.observed is not None:
        observed = {
            name: value[..., elements[name]] if name in elements else value
            for name, value in simulator.observed.items()
        }
    recommended = simulator.recommended
    if elements:
        recommended = dataclasses.replace(recommended, summary=None)
    return {"observed": observed, "recommended": recommended}


def _function(
    simulator: Simulator,
    trials: int | None,
    prior: Mapping[str, Entry] | tfd.JointDistributionNamed | None,
    elements: Mapping[str, np.ndarray],
    per_trial: Collection[str],
) -> Callable[..., dict[str, Any]]:
    """Return the forward model of a derived simulator."""
    function = simulator.function if trials is None else _repeat(simulator, trials, per_trial)
    if elements:
        select = _select_in_graph if simulator.in_graph else _select_of_arrays
        function = functools.wraps(function)(select(function, elements))
    dtypes = simulator.prior.dtypes
    # Such as of NumPy's numbers, in double precision, which TensorFlow doesn't mix.
    if prior is not None and simulator.in_graph and Prior(prior).dtypes != dtypes:
        function = _take_types(function, dtypes)
    return function


def _one_row(
    simulator: Simulator, trials: int | None, elements: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return an array (1, [trials,] ...) of each observable, for its shape and type."""
    leading = (1,) if trials is None else (1, trials)
    shapes = dict(simulator.observable_shapes)
    shapes |= {name: (len(places),) for name, places in elements.items()}
    return {
        name: np.zeros((*leading, *shape), simulator.observable_types[name])
        for name, shape in shapes.items()
    }


def _policy(simulator: Simulator, trials: int) -> dict[str, Any]:
    """Return how a simulator is run, where all trials are one simulation."""
    options: dict[str, Any] = {
        "on_nonfinite": simulator.on_nonfinite,
        "most_failures": simulator.most_failures,
    }
    if simulator.in_graph:
        return options
    limit = simulator.engine.declared.time_limit
    return options | {
        "engine": "python",
        "batched": simulator.engine.batched,
        "time_limit": limit and limit * trials,
        "workers": simulator.engine.workers,
    }


def _take_types(
    function: Callable[..., dict[str, Any]], dtypes: Mapping[str, Any]
) -> Callable[..., dict[str, Any]]:
    """Return a forward model whose parameters are cast to types before it gets them."""

    @functools.wraps(function)
    def simulate(parameters: Mapping[str, Any], *others: Any) -> dict[str, Any]:
        typed = {name: tf.cast(value, dtypes[name]) for name, value in parameters.items()}
        return function(typed, *others)

    return simulate


def conditional_entries(prior: Prior, fixed: Mapping[str, np.ndarray]) -> dict[str, Entry]:
    """Return the entries of all other parameters, given values (*event) of those that are fixed.

    The prior of these must not depend on the others.
    """
    return {
        name: _given(entry, prior.needs[name], fixed)
        for name, entry in prior.entries.items()
        if name not in fixed
    }


def _given(entry: Entry, needs: Sequence[str], fixed: Mapping[str, np.ndarray]) -> Entry:
    """Return an entry whose needs that are fixed have these values."""
    free = [need for need in needs if need not in fixed]
    values = {need: fixed[need] for need in needs if need in fixed}
    if isinstance(entry, tfd.Distribution) or not values:
        return entry
    if not free:
        # It has a batch of one row, which isn't part of the event.
        return entry(**{need: tf.constant(value)[None] for need, value in values.items()})[0]

    def law(**others: tf.Tensor) -> tfd.Distribution:
        return entry(**others, **_rows_like(others, values))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    # A prior reads there what it depends on.
    law.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(need, kind) for need in free]
    )
    return law


def _rows_like(others: Mapping[str, Any], fixed: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return fixed values (*event) as tensors (n, *event), for as many rows as others have."""
    rows = tf.shape(next(iter(others.values())))[0]
    return {name: tf.repeat(value[None], rows, axis=0) for name, value in fixed.items()}


def _insert_in_graph(
    function: Callable[..., dict[str, Any]], fixed: Mapping[str, np.ndarray]
) -> Callable[..., dict[str, Any]]:
    """Give a function of tensors (n, ...) the values that are fixed."""

    def simulate(parameters: Mapping[str, Any], *others: Any) -> dict[str, Any]:
        return function({**parameters, **_rows_like(parameters, fixed)}, *others)

    return simulate


def _insert_in_likelihood(
    log_likelihood: Callable[..., Any], fixed: Mapping[str, np.ndarray]
) -> Callable[..., Any]:
    """Give a likelihood of tensors or arrays (n, ...) the values that are fixed."""

    def density(parameters: Mapping[str, Any], data: Mapping[str, Any]) -> Any:
        values = _rows_like(parameters, fixed)
        if isinstance(next(iter(parameters.values())), np.ndarray):
            values = {name: value.numpy() for name, value in values.items()}
        return log_likelihood({**parameters, **values}, data)

    return density


# Workers must not load TensorFlow: the functions that they get don't name it.
def _insert_rows(
    function: Callable[..., dict[str, Any]], fixed: Mapping[str, np.ndarray]
) -> Callable[..., dict[str, Any]]:
    """Give a function of arrays (n, ...) the values that are fixed."""

    def simulate(parameters: Mapping[str, Any], *others: Any) -> dict[str, Any]:
        rows = len(next(iter(parameters.values())))
        values = {name: np.repeat(value[None], rows, axis=0) for name, value in fixed.items()}
        return function({**parameters, **values}, *others)

    return simulate


def _insert_numbers(
    function: Callable[..., dict[str, Any]], fixed: Mapping[str, np.ndarray]
) -> Callable[..., dict[str, Any]]:
    """Give a function of the numbers of one simulation the values that are fixed."""

    def simulate(parameters: Mapping[str, Any], *others: Any) -> dict[str, Any]:
        values = {name: value[()] for name, value in fixed.items()}
        return function({**parameters, **values}, *others)

    return simulate


# Where the whole simulation fails, so does the part: both draw from the same prior, which a policy
# of drawing again has cut.
def _select_in_graph(
    function: Callable[..., dict[str, Any]], elements: Mapping[str, np.ndarray]
) -> Callable[..., dict[str, Any]]:
    """Leave only some elements of vectors (n, k), tensors."""

    def simulate(*arguments: Any) -> dict[str, Any]:
        data = dict(function(*arguments))
        for name, places in elements.items():
            whole = tf.convert_to_tensor(data[name])
            data[name] = tf.gather(whole, places, axis=-1)
            if whole.dtype.is_floating:
                good = tf.reduce_all(tf.math.is_finite(whole), axis=-1, keepdims=True)
                data[name] = tf.where(good, data[name], np.nan)
        return data

    return simulate


def _select_of_arrays(
    function: Callable[..., dict[str, Any]], elements: Mapping[str, np.ndarray]
) -> Callable[..., dict[str, Any]]:
    """Leave only some elements of vectors, arrays (n, k) or (k,)."""

    def simulate(*arguments: Any) -> dict[str, Any]:
        data = dict(function(*arguments))
        for name, places in elements.items():
            whole = np.asarray(data[name])
            data[name] = whole[..., places]
            if whole.dtype.kind == "f":
                good = np.isfinite(whole).all(axis=-1, keepdims=True)
                data[name] = np.where(good, data[name], np.nan)
        return data

    return simulate


def _repeat(
    simulator: Simulator, trials: int, per_trial: Collection[str]
) -> Callable[..., dict[str, Any]]:
    """Return the forward model of several trials, as the simulator's engine calls it."""
    if simulator.in_graph:
        repeat = _repeat_in_graph
    elif simulator.engine.batched:
        repeat = _repeat_rows
    else:
        repeat = _repeat_calls
    # Workers get the function; the simulator is of no use to them.
    simulate = repeat(simulator.function, simulator.lengths, trials, tuple(per_trial))
    return functools.wraps(simulator.function)(simulate)


def _repeat_in_graph(
    function: Callable[..., dict[str, Any]],
    lengths: Mapping[str, str],
    trials: int,
    per_trial: Collection[str],
) -> Callable[..., dict[str, Any]]:
    """Repeat a function of tensors (n, ...)."""

    def simulate(*arguments: Any) -> dict[str, Any]:
        *inputs, seed = arguments
        repeated = [
            {
                name: tf.reshape(value, (-1, *value.shape[2:]))
                if name in per_trial
                else tf.repeat(value, trials, axis=0)
                for name, value in part.items()
            }
            for part in inputs
        ]
        data = without_padding_in_graph(lengths, function(*repeated, seed), repeated[-1])
        return {
            name: tf.reshape(value, (-1, trials, *value.shape[1:])) for name, value in data.items()
        }

    return simulate


# Workers must not load TensorFlow: the functions that they get don't name it.
def _repeat_rows(
    function: Callable[..., dict[str, Any]],
    lengths: Mapping[str, str],
    trials: int,
    per_trial: Collection[str],
) -> Callable[..., dict[str, Any]]:
    """Repeat a function of arrays (n, ...)."""

    def simulate(*arguments: Any) -> dict[str, Any]:
        *inputs, generator = arguments
        repeated = [
            {
                name: np.reshape(value, (-1, *np.shape(value)[2:]))
                if name in per_trial
                else np.repeat(value, trials, axis=0)
                for name, value in part.items()
            }
            for part in inputs
        ]
        data = without_padding(lengths, function(*repeated, generator), repeated[-1])
        return {
            name: np.reshape(value, (-1, trials, *np.shape(value)[1:]))
            for name, value in data.items()
        }

    return simulate


def _repeat_calls(
    function: Callable[..., dict[str, Any]],
    lengths: Mapping[str, str],
    trials: int,
    per_trial: Collection[str],
) -> Callable[..., dict[str, Any]]:
    """Repeat a function of the numbers of one simulation."""

    def simulate(*arguments: Any) -> dict[str, Any]:
        *inputs, generator = arguments
        each = [
            [
                {name: value[trial] if name in per_trial else value for name, value in part.items()}
                for part in inputs
            ]
            for trial in range(trials)
        ]
        rows = [function(*values, generator) for values in each]
        data = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        counts = {key: np.stack([values[-1][key] for values in each]) for key in lengths.values()}
        return without_padding(lengths, data, counts)

    return simulate


class Selection:
    """Elements of observables that are kept; all estimators work with what they are part of.

    Parameters
    ----------
    simulator : Simulator
    places : dict of observable to sequence of int
        Places of the elements that are kept. The observable must be a vector without coordinates,
        varying length or missing values; others stay as they are.

    Attributes
    ----------
    whole : Simulator, the one that was given
    simulator : Simulator
        Of the same parameters, and of data that have these elements only. Its ``places`` are saved
        with whatever is trained on it. It has neither ``log_likelihood`` nor ``exact``, which need
        all elements, nor the summary networks that are recommended for all.
    places : dict of observable to array of int

    Examples
    --------
    >>> import bayesinn as bi
    >>> first = bi.Selection(bi.get_simulator("slcp_distractors"), {"x": range(10)})
    >>> first.simulator.observable_shapes
    {'x': (10,)}
    >>> first.of(bi.get_simulator("slcp_distractors").sample(3, seed=1))["x"].shape
    (3, 10)
    """

    def __init__(self, simulator: Simulator, places: Mapping[str, Any]) -> None:
        check_simulator(simulator)
        subject = "Selection, argument 'places'"
        check_type(subject, places, Mapping, "a dict", "pass for example {'x': [0, 1, 2]}")
        able = vectors(simulator)
        unknown = [name for name in places if name not in able]
        if unknown:
            raise InputError(
                subject,
                expected=f"observables that are vectors: {able}",
                got=f"{unknown}",
                do="name vectors without coordinates, varying length or missing values",
            )
        self.whole = simulator
        self.places = {
            name: _check_places(name, chosen, simulator.observable_shapes[name][0])
            for name, chosen in places.items()
        }
        self.simulator = derived_simulator(simulator, elements=self.places)

    def of(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return simulations, or observations, with these elements only; all else is unchanged."""
        do = "pass for example {'x': values}"
        check_type("Simulations or observations", data, Mapping, "a dict of name to array", do)
        kept = dict(data)
        for name, chosen in self.places.items():
            if name not in data:
                continue
            value = np.asanyarray(data[name])
            size = self.whole.observable_shapes[name][0]
            if value.ndim == 0 or value.shape[-1] != size:
                raise InputError(
                    f"Observable {name!r}",
                    expected=f"all {size} elements along the last axis",
                    got=f"shape {value.shape}",
                    do="pass data as the whole simulator returns them",
                )
            kept[name] = value[..., chosen]
        return kept

    def __repr__(self) -> str:
        sizes = self.whole.observable_shapes
        parts = [
            f"{len(chosen):,} of {sizes[name][0]:,} elements of {name!r}"
            for name, chosen in self.places.items()
        ]
        return f"Selection of {self.whole.name!r}: {', '.join(parts) or 'all elements'}"


def vectors(simulator: Simulator) -> list[str]:
    """Return the observables of which some elements may be selected."""
    if simulator.missing is not None:
        return []
    return [
        name
        for name, shape in simulator.observable_shapes.items()
        if len(shape) == 1
        and name not in simulator.lengths
        and name not in simulator.labels.coordinates
    ]


def _check_places(name: str, chosen: Any, size: int) -> np.ndarray:
    """Return places in rising order; refuse none, repeated ones, and those beyond the vector."""
    subject = f"Selection, places of {name!r}"
    do = "count elements from 0"
    expected = f"one or more different whole numbers from 0 to {size - 1}"
    check_type(subject, chosen, Iterable, expected, do)
    places = [check_integer(f"{subject}, each", place, 0, size - 1, do=do) for place in chosen]
    if not places or len(set(places)) < len(places):
        raise InputError(subject, expected=expected, got=f"{places}", do=do)
    return np.array(sorted(places))


def check_alike(
    subject: str, expected: str, simulator: Simulator, other: Simulator, do: str
) -> None:
    """Refuse another simulator that has not the same shapes, units and prior.

    ``expected`` says what the subject should be; name and declarations of the first follow.
    """
    # A mixture over other priors, or in other units, would mean nothing.
    if other is simulator or (
        simulator.shapes == other.shapes
        and simulator.labels.units == other.labels.units
        and _list_places(simulator) == _list_places(other)
        and same_laws(simulator.prior, other.prior)
    ):
        return
    raise InputError(
        subject,
        expected=f"{expected}, {simulator.name!r}, with {_declared(simulator)}",
        got=_declared(other),
        do=do,
    )


def _list_places(simulator: Simulator) -> dict[str, list[int]]:
    return {name: places.tolist() for name, places in simulator.places.items()}


def _declared(simulator: Simulator) -> str:
    """Write shapes, units, selected elements and prior of a simulator."""
    text = f"shapes {simulator.shapes}, units {simulator.labels.units}"
    if selected := _list_places(simulator):
        text += f", elements {selected}"
    return f"{text}, prior {prior_text(simulator.prior)}"
