"""The first wave of Covid-19 in Germany and its states: 30 to 34 parameters, 81 daily counts.

The counts are series.

A compartment model (susceptible, exposed, carrier, infected, recovered, dead;
:mod:`simulators.covid19_disease`) whose transmission rate changes at four interventions
(:mod:`simulators.covid19_interventions`). Confirmed cases, recoveries and deaths are reported late,
less on some days of the week, and with heavy-tailed noise (:mod:`simulators.covid19_reporting`).
Parameters that violate the constraints on change points and delays, 11 % of the prior's draws, give
NaN and are drawn again together with their data: the prior is truncated to what is feasible.

``covid19``: The first wave of Covid-19 in Germany: 34 parameters, 3 x 81 counts, published noise.
``covid19_regular``: The same with noise whose scale is never zero, so that exact posteriors exist.
``covid19_states``: The same for a state, whose population is context: 30 parameters, 2 x 81 counts.

Source: S. T. Radev, F. Graw, S. Chen, N. T. Mutters, V. M. Eichel, T. Baernighausen, U. Koethe
(2021), OutbreakFlow: Model-based Bayesian inference of disease outbreak dynamics with invertible
neural networks and its application to the COVID-19 pandemics in Germany, PLOS Computational Biology
17(10) e1009472; details follow the authors' published code.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

import bayesinn as bi
from bayesinn.core.errors import InputError

from .covid19_networks import recommended
from .covid19_options import FIRST_DAY, FIT_DAYS, GERMANY_POPULATION, SERIES, Covid19Options
from .covid19_prior import LABELS, UNITS, covid19_context, covid19_prior
from .covid19_reporting import expected_counts, log_density, simulate_counts

__all__ = [
    "VARIANTS",
    "Covid19Options",
    "covid19",
    "covid19_model",
    "expected_counts",
    "germany",
    "log_likelihood",
]

_PUBLISHED = Covid19Options()
_NATIONAL_FILE = Path(__file__).parent / "data" / "germany_national.csv"

VARIANTS = {
    "covid19_regular": Covid19Options(regular_noise=True),
    # From the smallest to the largest of the sixteen federal states, which report no recoveries.
    "covid19_states": Covid19Options(
        population=(682_986.0, 17_932_651.0), series=("confirmed", "deaths"), median_lambda4=0.15
    ),
    "covid19_regions": Covid19Options(population=(5e5, 1e8), days=(75, 102)),
    "covid19_no_carrier": Covid19Options(carrier=False),
    "covid19_no_interventions": Covid19Options(interventions=False),
    "covid19_no_observation_model": Covid19Options(delay=False, weekly=False, noise=False),
    "covid19_no_delay": Covid19Options(delay=False),
    "covid19_no_weekly": Covid19Options(weekly=False),
    "covid19_no_noise": Covid19Options(noise=False),
}
"""Options of further models.

Each is an attribute of this module under its name, created on first access.
"""


def germany(days: int = FIT_DAYS, first: int = 0) -> dict[str, np.ndarray]:
    """Return new cases, recoveries and deaths per day in Germany, each (days,).

    Parameters
    ----------
    days : int
        At most 102 - first; 81 days were fitted, 21 forecast.
    first : int
        First day; 0 is 2 March 2020.

    Examples
    --------
    >>> germany(4)["confirmed"].tolist()
    [29, 37, 66, 220]
    """
    table = pd.read_csv(_NATIONAL_FILE)
    if not (first >= 0 and days >= 1 and first + days <= len(table)):
        raise InputError(
            "Days of the German counts",
            expected=f"days within 0 to {len(table) - 1}",
            got=f"{days} days from day {first}",
            do="pass days=81 (the fitted days), or days=21, first=81 (the forecast days)",
        )
    return {name: table[name].to_numpy()[first : first + days] for name in SERIES}


def log_likelihood(
    parameters: Mapping[str, np.ndarray],
    data: Mapping[str, np.ndarray],
    options: Covid19Options = _PUBLISHED,
) -> np.ndarray:
    """Return the log density (n,) of one observation for parameters (n,), in closed form.

    Parameters in double precision give a density in double precision. Within a graph, arguments and
    result are tensors; see :func:`simulators.covid19_reporting.log_density`.

    Examples
    --------
    >>> parameters = covid19.sample(3, seed=1)
    >>> log_likelihood(parameters, germany()).shape
    (3,)
    """
    known = {name: data[name] for name in ("population", "days") if name in data}
    if not tf.executing_eagerly():
        return log_density(
            parameters, {name: data[name] for name in options.series}, known, options
        )
    names = covid19_prior(options)
    dtype = np.result_type(*(np.asarray(parameters[name]) for name in names))
    dtype = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    tensors = {name: tf.convert_to_tensor(np.asarray(parameters[name], dtype)) for name in names}
    observables = {
        name: tf.convert_to_tensor(np.asarray(data[name], dtype)) for name in options.series
    }
    known = {name: tf.convert_to_tensor(value) for name, value in known.items()}
    return _compiled_log_density(options)(tensors, observables, known).numpy()


@functools.cache
def _compiled_log_density(options: Covid19Options) -> Callable[..., tf.Tensor]:
    return tf.function(
        functools.partial(log_density, options=options), reduce_retracing=True, autograph=False
    )


def covid19_model(
    options: Covid19Options = _PUBLISHED,
    *,
    name: str = "covid19_model",
    observed: Mapping[str, np.ndarray] | None = None,
) -> bi.Simulator:
    """Build a simulator of the Covid-19 model.

    Parameters
    ----------
    options : Covid19Options
        The published model by default.
    name : str
        Name of the simulator. A saved posterior finds it if a module has the simulator as an
        attribute of this name.
    observed : dict of arrays
        Real data to ship with the simulator.

    Returns
    -------
    Simulator
        ``confirmed``, ``recovered`` and ``deaths`` (or the series of the options) are observables
        (n, days); ``population`` and ``days`` are context where they vary.

    Examples
    --------
    >>> model = covid19_model(Covid19Options(population=(1e6, 2e7), series=("confirmed", "deaths")))
    >>> model.context_names, len(model.prior.names), model.observable_shapes
    (('population',), 30, {'confirmed': (81,), 'deaths': (81,)})
    """
    context = covid19_context(options)
    count = options.days if not isinstance(options.days, tuple) else f"up to {options.most_days}"

    def with_context(
        parameters: dict[str, tf.Tensor], context: dict[str, tf.Tensor], seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return simulate_counts(parameters, context, seed, options)

    def without_context(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return simulate_counts(parameters, None, seed, options)

    function: Callable[..., dict[str, tf.Tensor]] = (
        without_context if context is None else with_context
    )
    # Saved posteriors find a simulator as an attribute of its module.
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Covid-19 model: {', '.join(options.series)} on {count} days."
    prior = covid19_prior(options)
    names = {*prior, *(context or {}), *options.series}
    dates = np.datetime64(FIRST_DAY) + np.arange(options.most_days)
    counted = isinstance(options.days, tuple)
    likelihood = functools.partial(log_likelihood, options=options)
    return bi.simulator(
        prior=prior,
        context=context,
        name=name,
        labels={key: label for key, label in LABELS.items() if key in names},
        units={key: unit for key, unit in UNITS.items() if key in names},
        coordinates={key: {"date": dates} for key in options.series},
        lengths=dict.fromkeys(options.series, "days") if counted else None,
        on_nonfinite="redraw",
        observed=observed,
        log_likelihood=likelihood if options.noise else None,
        recommended=recommended(options),
    )(function)


covid19 = covid19_model(name="covid19", observed=germany())


def __getattr__(name: str) -> bi.Simulator:
    """Create a variant on first access: each takes seconds to trace."""
    if name not in VARIANTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    options = VARIANTS[name]
    observed: dict[str, Any] | None = germany()
    if isinstance(options.days, tuple):
        observed = {**germany(), "population": GERMANY_POPULATION, "days": FIT_DAYS}
    elif isinstance(options.population, tuple):
        observed = None
    globals()[name] = covid19_model(options, name=name, observed=observed)
    return globals()[name]
