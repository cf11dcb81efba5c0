"""Prior of the Covid-19 model: 34 parameters in published order, with sources, labels and units.

Parameters are independent except for the constraints of
:func:`simulators.covid19_interventions.feasible`: parameters that violate them are drawn again,
which truncates the prior to feasible parameters.

Sources: [D] J. Dehning et al. (2020), Inferring change points in the spread of COVID-19 reveals the
effectiveness of interventions, Science 369, eabb9789; [R] S. T. Radev et al. (2021), OutbreakFlow,
PLOS Computational Biology 17(10) e1009472, with the values of the authors' published code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from .covid19_options import SERIES, Covid19Options

tfd = tfp.distributions

# The authors' moment match of mean 0.7, sd 0.17 has a slip: the sd of this Beta is 0.1615.
WEEKLY_BETA = (4.93951, 2.11693)
DELTA = (0.01, 0.3)  # [R]


def covid19_prior(options: Covid19Options) -> dict[str, tfd.Distribution]:
    """Return distributions by name, of those parameters that the options keep in the model."""
    prior: dict[str, tfd.Distribution] = {}
    letters = [SERIES[name] for name in options.series]
    if options.interventions:
        # Change points: large events cancelled on 9 March, schools closed, contact ban [D]; relaxed
        # in May [R].
        for number, (day, sd) in enumerate(((8.0, 3.0), (15.0, 1.0), (22.0, 1.0), (66.0, 1.0)), 1):
            prior[f"t{number}"] = tfd.Normal(day, sd)
        for number in range(1, 5):
            prior[f"dt{number}"] = _log_normal(3.0, 0.3)  # [D]
    # [R]; 0.4 in [D], where nobody is infectious before diagnosis
    prior["lambda0"] = _log_normal(1.2, 0.5)
    if options.interventions:
        for number, median in enumerate((0.6, 0.3, 0.1, options.median_lambda4), 1):
            prior[f"lambda{number}"] = _log_normal(median, 0.5)  # [R]
    prior["mu"] = _log_normal(1 / 8, 0.2)  # [D]
    if options.weekly:
        for letter in letters:
            prior[f"A_{letter}"] = tfd.Beta(*WEEKLY_BETA)  # [R] after [D]
            # VonMises(0, 0.01) in [D], whose density is the same within 1 %
            prior[f"phi_{letter}"] = tfd.Uniform(-math.pi, math.pi)
    if options.delay:
        for letter in letters:
            prior[f"L_{letter}"] = _log_normal(8.0, 0.2)  # [D]
    prior["E0"] = tfd.Gamma(2.0, 1 / 30)  # [R]
    if options.noise:
        for letter in letters:
            prior[f"sigma_{letter}"] = tfd.Exponential(1 / 5)  # [R]
    if options.carrier:
        prior["alpha"] = tfd.Uniform(0.005, options.largest_alpha)  # [R]
    prior["beta"] = _log_normal(0.25, 0.3)  # [R]
    prior["gamma"] = _log_normal(1 / 6.5, 0.5)  # [R]
    if options.carrier:
        prior["eta"] = _log_normal(1 / 3.2, 0.3)  # [R]
        prior["theta"] = tfd.Uniform(1 / 14, 1 / 3)  # [R]
    prior["delta"] = tfd.Uniform(*DELTA)
    prior["d"] = tfd.Uniform(1 / 14, 1 / 3)  # [R]
    return prior


def covid19_context(options: Covid19Options) -> dict[str, tfd.Distribution] | None:
    """Return the distributions of population and days where they are context; None otherwise."""
    context: dict[str, tfd.Distribution] = {}
    if isinstance(options.population, tuple):
        context["population"] = tfd.Uniform(*options.population)
    if isinstance(options.days, tuple):
        days = tf.range(options.days[0], options.days[1] + 1)
        context["days"] = tfd.FiniteDiscrete(days, logits=tf.zeros(len(days)))
    return context or None


def _log_normal(median: float, sd: float) -> tfd.Distribution:
    return tfd.LogNormal(np.float32(np.log(median)), np.float32(sd))


_CHANGES = range(1, 5)
_PHASES = range(5)
_LETTERS = tuple(SERIES.values())


def _texts(name: str, text: str, keys: Iterable[object]) -> dict[str, str]:
    """Return a text by name for each key, which takes the place of the braces in both."""
    return {name.format(key): text.format(key) for key in keys}


LABELS = {
    **_texts("t{}", "$t_{}$", _CHANGES),
    **_texts("dt{}", r"$\Delta t_{}$", _CHANGES),
    **_texts("lambda{}", r"$\lambda_{}$", _PHASES),
    "mu": r"$\mu$",
    **_texts("A_{}", "$A_{}$", _LETTERS),
    **_texts("phi_{}", r"$\phi_{}$", _LETTERS),
    **_texts("L_{}", "$L_{}$", _LETTERS),
    "E0": "$E_0$",
    **_texts("sigma_{}", r"$\sigma_{}$", _LETTERS),
    **_texts("{}", r"$\{}$", ("alpha", "beta", "gamma", "eta", "theta", "delta")),
    "d": "$d$",
    "confirmed": "new confirmed cases per day",
    "recovered": "new recoveries per day",
    "deaths": "new deaths per day",
    "population": "$N$",
    "days": "$T$",
}
UNITS = {
    **_texts("t{}", "day", _CHANGES),
    **_texts("dt{}", "days", _CHANGES),
    **_texts("lambda{}", "1/day", _PHASES),
    **dict.fromkeys(("mu", "gamma", "eta", "theta", "d"), "1/day"),
    # Shares have the unit one.
    **dict.fromkeys(("alpha", "beta", "delta"), "1"),
    **_texts("A_{}", "1", _LETTERS),
    **_texts("phi_{}", "rad", _LETTERS),
    **_texts("L_{}", "days", _LETTERS),
    **_texts("sigma_{}", "sqrt(people)", _LETTERS),
    **dict.fromkeys(("E0", "confirmed", "recovered", "deaths", "population"), "people"),
    "days": "days",
}
