"""Daily reproduction number of Germany in spring 2020: a path beside fourteen parameters.

The reproduction number R(t) is how many people someone infected at that time infects. Its logarithm
is an autoregressive path, of daily steps of unknown size, from about exp(1). Infections follow the
renewal equation, over the last 21 days,

    infections(t) = R(t) susceptible(t) sum_s w(s) infections(t - s),

where w is the distribution of the generation time. Before the first day they grow exponentially, at
the rate that belongs to R(0). Each infection is reported after a delay: ``confirmed`` on day t has
the mean

    weekday(t) sum_d k(d) infections(t - d),

and people who recover, or die with a probability, are reported after a further delay. Counts have
noise around their means: Student's t of four degrees of freedom with the scale
sqrt(1 + mean + (noise * mean)^2), as authorities count late, twice, or correct downwards.

All infections are those that get reported sooner or later; a share that is never reported changes
nothing as long as it stays the same. What R is depends on the generation time, which is fixed here.

Sources: C. Fraser (2007), Estimating individual and household reproduction numbers in an emerging
epidemic, PLOS ONE 2(8), for the renewal equation; J. Wallinga and M. Lipsitch (2007), How
generation intervals shape the relationship between growth rates and reproductive numbers,
Proceedings of the Royal Society B 274, for the growth before the first day; the reporting by delay,
weekday and heavy tails follows J. Dehning et al. (2020), Inferring change points in the spread of
COVID-19, Science 369. The counts are those of Johns Hopkins CSSE as published at the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

from .case_counts import read_case_counts

tfd = tfp.distributions

FIRST_DAY = "2020-03-02"
DAYS = 81
POPULATION = 83e6
SERIES = ("confirmed", "recovered", "dead")

GENERATION_MEAN = 5.0
GENERATION_SHAPE = 4.0
"""Shape of the gamma distribution of the generation time, of mean 5 and sd 2.5 days."""
DELAY_SHAPE = 5.0
"""Shape of the gamma distribution of each delay: its sd is 0.45 of its mean."""
GENERATION_DAYS = 21
DELAY_DAYS = 35
# Infections that two delays in a row lead to reports on the first day; they include its own.
_LEAD = 2 * (DELAY_DAYS - 1) + 1

PERSISTENCE = 0.97
"""log R(t) = 0.97 log R(t - 1) + step: without new steps it is halved in 23 days."""


def log_r(step: tf.Tensor) -> tfd.Distribution:
    """Return the prior of the path log R (n, 81) given the sd (n,) of its daily steps."""
    days = np.arange(DAYS)
    lag = days[:, None] - days
    # The effect of each step on each day, and of the start, whose mean is one and sd 0.5.
    effect = np.where(lag >= 0, PERSISTENCE ** np.maximum(lag, 0), 0.0).astype("f4")
    first = tf.one_hot(0, DAYS)
    sd = 0.5 * first + (1.0 - first) * step[..., None, None]
    return tfd.MultivariateNormalTriL(tf.constant(effect[:, 0]), effect * sd)


PRIOR: dict[str, Any] = {
    "step": tfd.LogNormal(np.float32(np.log(0.08)), 0.5),
    "log_R": log_r,
    "infections": tfd.LogNormal(np.float32(np.log(100.0)), 1.0),
    "delay": tfd.LogNormal(np.float32(np.log(7.0)), 0.4),
    "weekday": tfd.MultivariateNormalDiag(np.zeros(6, "f4"), np.full(6, 0.4, "f4")),
    "delay_recovered": tfd.LogNormal(np.float32(np.log(12.0)), 0.3),
    "delay_dead": tfd.LogNormal(np.float32(np.log(10.0)), 0.3),
    "fatality": tfd.LogNormal(np.float32(np.log(0.03)), 0.5),
    "noise_confirmed": tfd.LogNormal(np.float32(np.log(0.15)), 0.5),
    "noise_recovered": tfd.LogNormal(np.float32(np.log(0.4)), 0.5),
    "noise_dead": tfd.LogNormal(np.float32(np.log(0.2)), 0.5),
}
DATES = np.datetime64(FIRST_DAY) + np.arange(DAYS)
LABELS = {
    "log_R": r"$\log R$",
    "step": r"daily step of $\log R$",
    "infections": "infections on the first day",
    "delay": "infection to report",
    "weekday": "effect of the weekday",
    "delay_recovered": "report to recovery",
    "delay_dead": "report to death",
    "fatality": "share of reported who die",
    "noise_confirmed": "noise of confirmed",
    "noise_recovered": "noise of recovered",
    "noise_dead": "noise of dead",
}
UNITS = {
    **dict.fromkeys(("delay", "delay_recovered", "delay_dead"), "days"),
    **dict.fromkeys(("infections", *SERIES), "people"),
}
COORDINATES = {
    "log_R": {"date": DATES},
    "weekday": {"iso_weekday": range(2, 8)},
    **{name: {"date": DATES} for name in SERIES},
}


def _observed() -> dict[str, np.ndarray]:
    file = Path(__file__).parent / "data" / "germany_national.csv"
    columns = {"confirmed": "confirmed", "recovered": "recovered", "dead": "deaths"}
    return read_case_counts(file, columns, cumulative=False).window(FIRST_DAY, DAYS)


def _gamma_weights(mean: tf.Tensor, shape: float, lags: np.ndarray) -> tf.Tensor:
    """Return the probabilities (n, k) of k lags in days: a gamma distribution of means (n,)."""
    days = tf.constant(lags, mean.dtype)
    return tf.nn.softmax((shape - 1.0) * tf.math.log(days) - shape * days / mean[:, None], axis=1)


def _delayed(flow: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return what is seen of a flow (n, t) after delays (n, d): (n, t - d + 1)."""
    days = weights.shape[1]
    last = np.arange(days - 1, flow.shape[1])
    return tf.einsum(
        "ntd,nd->nt", tf.gather(flow, last[:, None] - np.arange(days), axis=1), weights
    )


# Compiled as a whole: its chain of small operations takes ten times as long in the plain graph.
@tf.function(jit_compile=True)
def expected_counts(parameters: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return the means (n, 81) of all counts, for parameters (n, ...)."""
    log_r = parameters["log_R"]
    # Wallinga and Lipsitch (2007): growth at a constant R, for generation times that are gamma.
    shape = GENERATION_SHAPE
    growth = shape / GENERATION_MEAN * tf.math.expm1(log_r[:, :1] / shape)
    days_before = tf.range(-_LEAD + 1, 1, dtype=log_r.dtype)
    before = parameters["infections"][:, None] * tf.exp(growth * days_before)
    mean = tf.constant([GENERATION_MEAN], log_r.dtype)
    generation = _gamma_weights(mean, shape, np.arange(1, GENERATION_DAYS + 1))[0]

    def next_day(
        state: tuple[tf.Tensor, tf.Tensor], reproduction: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        recent, total = state
        susceptible = tf.nn.relu(1.0 - total / POPULATION)
        new = reproduction * susceptible * tf.linalg.matvec(recent, generation)
        return tf.concat([new[:, None], recent[:, :-1]], axis=1), total + new

    start = (before[:, : -GENERATION_DAYS - 1 : -1], tf.reduce_sum(before, axis=1))
    recent, _ = tf.scan(next_day, tf.transpose(tf.exp(log_r[:, 1:])), start)
    flow = tf.concat([before, tf.transpose(recent[:, :, 0])], axis=1)

    def after(flow: tf.Tensor, delay: str) -> tf.Tensor:
        lags = np.arange(DELAY_DAYS)
        return _delayed(flow, _gamma_weights(parameters[delay], DELAY_SHAPE, lags))

    confirmed = after(flow, "delay")
    weekday = 7.0 * tf.nn.softmax(
        tf.concat([tf.zeros_like(log_r[:, :1]), parameters["weekday"]], axis=1), axis=1
    )
    # The first day is a Monday.
    weekly = tf.gather(weekday, np.arange(DAYS) % 7, axis=1)
    return {
        "confirmed": weekly * confirmed[:, -DAYS:],
        "recovered": after((1.0 - parameters["fatality"][:, None]) * confirmed, "delay_recovered"),
        "dead": weekly * after(parameters["fatality"][:, None] * confirmed, "delay_dead"),
    }


def _laws(parameters: Mapping[str, tf.Tensor]) -> dict[str, tfd.Distribution]:
    means = expected_counts(parameters)
    laws = {}
    for name in SERIES:
        mean = means[name]
        noise = parameters[f"noise_{name}"][:, None] * mean
        laws[name] = tfd.StudentT(4.0, mean, tf.sqrt(1.0 + mean + noise**2))
    return laws


def log_likelihood(parameters: Mapping[str, tf.Tensor], data: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the log density (n,) of all counts for parameters (n, ...)."""
    parameters = {name: tf.convert_to_tensor(parameters[name], tf.float32) for name in PRIOR}
    terms = [
        tf.reduce_sum(law.log_prob(tf.cast(data[name], tf.float32)), axis=1)
        for name, law in _laws(parameters).items()
    ]
    return tf.add_n(terms)


@bi.simulator(
    prior=PRIOR,
    labels=LABELS,
    units=UNITS,
    coordinates=COORDINATES,
    observed=_observed(),
    on_nonfinite="redraw",
    log_likelihood=log_likelihood,
)
def reproduction_number(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Simulate daily counts of confirmed, recovered and dead people over 81 days."""
    seeds = tf.random.experimental.stateless_split(seed, len(SERIES))
    laws = _laws(parameters)
    return {name: laws[name].sample(seed=seeds[k]) for k, name in enumerate(SERIES)}
