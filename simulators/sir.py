"""SIR model of the first two weeks of Covid-19 in Germany: five parameters, 14 daily counts.

People are susceptible (S), infected (I) or removed (R) in a population of 83 million. Each day

    new(t) = lambda I(t) S(t) / N,    S <- S - new,    I <- I + new - mu I,    R <- R + mu I

from I = ceil(I0). Cases are reported L days late, with more scatter than a Poisson count: negative
binomial with the mean of the delayed new infections and variance mean + mean^2 / psi.

Source: S. T. Radev et al. (2021), OutbreakFlow, PLOS Computational Biology 17(10), and its
BayesFlow tutorial. The counts are those of Johns Hopkins CSSE as published at the time, 2 to 15
March 2020.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

POPULATION = 83e6
DAYS = 14
GERMANY = (29, 37, 66, 220, 188, 129, 241, 136, 281, 451, 170, 1597, 910, 1210)
"""New confirmed cases per day in Germany, 2 to 15 March 2020."""

# Keeps the mean of a negative binomial above zero.
_SMALLEST_MEAN = 1e-5

PRIOR = {
    "lambda": tfd.LogNormal(np.float32(np.log(0.4)), 0.5),
    "mu": tfd.LogNormal(np.float32(np.log(1 / 8)), 0.2),
    "delay": tfd.LogNormal(np.float32(np.log(8.0)), 0.2),
    "I0": tfd.Gamma(2.0, 1 / 20),
    "psi": tfd.Exponential(1 / 5),
}
LABELS = {
    "lambda": r"$\lambda$",
    "mu": r"$\mu$",
    "delay": "$L$",
    "I0": "$I_0$",
    "psi": r"$\psi$",
    "cases": "new cases per day",
}
UNITS = {"lambda": "1/day", "mu": "1/day", "delay": "days", "I0": "people", "cases": "people"}
COORDINATES = {"cases": {"date": np.datetime64("2020-03-02") + np.arange(DAYS)}}


# Compiled as a whole: its loop of small operations takes ten times as long in the plain graph.
@tf.function(jit_compile=True)
def expected_cases(parameters: Mapping[str, tf.Tensor], *, whole: bool = True) -> tf.Tensor:
    """Return the mean of the reported cases on each day, (n, 14), for parameters (n,).

    With ``whole=False`` the delay is not rounded to whole days, nor I0 to whole people: the mean is
    then continuous in all parameters, interpolated between whole delays.
    """
    infected = parameters["I0"]
    delay = parameters["delay"]
    if whole:
        infected = tf.math.ceil(infected)
        delay = tf.round(delay)
    susceptible = POPULATION - infected
    # Day k reports the new infections of day k + delay; those of day 0 are the initial ones.
    origin = delay[:, None] + tf.range(DAYS, dtype=delay.dtype)
    reported = tf.nn.relu(1.0 - origin) * infected[:, None]
    last = tf.reduce_max(tf.math.ceil(origin))
    time = tf.ones((), delay.dtype)
    while time <= last:
        new = parameters["lambda"] * infected * susceptible / POPULATION
        recovered = parameters["mu"] * infected
        susceptible = susceptible - new
        infected = tf.clip_by_value(infected + new - recovered, 0.0, POPULATION)
        reported += tf.nn.relu(1.0 - tf.abs(origin - time)) * new[:, None]
        time += 1.0
    return tf.clip_by_value(reported, 0.0, POPULATION) + _SMALLEST_MEAN


@tf.function(jit_compile=True, reduce_retracing=True)
def _log_likelihood(parameters: dict[str, tf.Tensor], cases: tf.Tensor, whole: bool) -> tf.Tensor:
    # In single precision, differences of lgamma(k) are wrong by more than one from k = 10^6 on;
    # lbeta has none.
    parameters = {name: tf.cast(value, tf.float64) for name, value in parameters.items()}
    mean = expected_cases(parameters, whole=whole)
    psi = parameters["psi"][:, None]
    cases = tf.cast(cases, tf.float64)
    log_binomial = -tf.math.log(psi + cases) - tfp.math.lbeta(psi, cases + 1.0)
    terms = log_binomial - psi * tf.math.log1p(mean / psi) - cases * tf.math.log1p(psi / mean)
    return tf.reduce_sum(terms, axis=1)


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray], *, whole: bool = True
) -> np.ndarray:
    """Return the log probability (n,) of 14 counts for parameters (n,): a negative binomial.

    It is in closed form.

    Arguments and result are arrays; within a graph, tensors. Computed and returned in double
    precision, whatever the precision of the arguments. ``whole`` is that of :func:`expected_cases`.
    """
    result = _log_likelihood({name: parameters[name] for name in PRIOR}, data["cases"], whole)
    return result.numpy() if tf.executing_eagerly() else result


def draw_cases(mean: tf.Tensor, psi: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw negative binomial counts (n, 14) around a mean (n, 14), with psi (n,)."""
    rate_seed, count_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    psi = psi[:, None]
    # A negative binomial count is a Poisson count with a gamma rate. The gamma can underflow to
    # zero.
    rate = mean * tfd.Gamma(tf.broadcast_to(psi, tf.shape(mean)), psi).sample(seed=rate_seed)
    return tfd.Poisson(rate).sample(seed=count_seed)


@bi.simulator(
    prior=PRIOR,
    labels=LABELS,
    units=UNITS,
    coordinates=COORDINATES,
    observed={"cases": GERMANY},
    on_nonfinite="redraw",
    log_likelihood=log_likelihood,
)
def sir(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Simulate new reported cases on 14 days."""
    return {"cases": draw_cases(expected_cases(parameters), parameters["psi"], seed)}
