"""Models without a function: a prior, and arrays that somebody else has simulated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_integer, check_memory, check_type, warn
from bayesinn.core.labels import columns
from bayesinn.simulation.declaration import TRIAL_ROWS
from bayesinn.simulation.engines.engine import NoEngine, NoFunction
from bayesinn.simulation.prior import Entry, Prior
from bayesinn.simulation.prior_text import read_distribution, write_distribution
from bayesinn.simulation.simulator import Recommended, Simulator, simulator

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
