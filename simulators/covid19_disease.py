"""The disease in the Covid-19 model: six compartments; cases, recoveries and deaths by day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from .covid19_interventions import transmission
from .covid19_options import Covid19Options


class Compartments(NamedTuple):
    """People in each state at the start of each day, tensors (n, 15 + days)."""

    susceptible: tf.Tensor
    exposed: tf.Tensor
    carrier: tf.Tensor
    infected: tf.Tensor
    recovered: tf.Tensor
    dead: tf.Tensor


def compartments(
    parameters: Mapping[str, tf.Tensor],
    population: tf.Tensor | float,
    options: Covid19Options,
    whole: bool = True,
) -> Compartments:
    """Simulate the epidemic, one Euler step a day from 15 days before the first observed day.

    Susceptible people are exposed by carriers, who are infectious without diagnosis, and by the
    infected, who are diagnosed. Carriers are diagnosed or recover unnoticed; the infected recover
    or die::

        dS/dt = -lambda(t) (C + beta I) S / N
        dE/dt =  lambda(t) (C + beta I) S / N - gamma E
        dC/dt =  gamma E - (1 - alpha) eta C - alpha theta C
        dI/dt =  (1 - alpha) eta C - (1 - delta) mu I - delta d I
        dR/dt =  alpha theta C + (1 - delta) mu I
        dD/dt =  delta d I

    Without carriers, the exposed are diagnosed at rate gamma. Every compartment is kept between 0
    and N: a transmission rate so high that a step would expose more people than are susceptible
    breaks the balance of people, as in the authors' code.

    Parameters
    ----------
    parameters : dict of name to tensor (n,)
    population : number, or tensor (n,)
    options : Covid19Options
    whole : bool
        Whether initially exposed people and days are rounded, see :func:`transmission`.

    Returns
    -------
    Compartments
    """
    beta = parameters["beta"]
    gamma = parameters["gamma"]
    recovery, death, diagnosis, unnoticed = _rates(parameters, options)
    population = tf.broadcast_to(tf.cast(population, beta.dtype), tf.shape(beta))
    exposed = tf.maximum(tf.round(parameters["E0"]) if whole else parameters["E0"], 1.0)
    nobody = tf.zeros_like(exposed)
    start = Compartments(population - exposed, exposed, nobody, nobody, nobody, nobody)

    def next_day(now: Compartments, rate: tf.Tensor) -> Compartments:
        infectious = now.carrier + beta * now.infected
        infections = rate * infectious * now.susceptible / population
        onsets = gamma * now.exposed
        diagnoses = diagnosis * (now.carrier if options.carrier else now.exposed)
        unnoticed_recoveries = unnoticed * now.carrier
        recoveries = recovery * now.infected
        deaths = death * now.infected
        carrier = (
            now.carrier + onsets - diagnoses - unnoticed_recoveries if options.carrier else nobody
        )
        day = (
            now.susceptible - infections,
            now.exposed + infections - onsets,
            carrier,
            now.infected + diagnoses - recoveries - deaths,
            now.recovered + unnoticed_recoveries + recoveries,
            now.dead + deaths,
        )
        return Compartments(*(tf.clip_by_value(people, 0.0, population) for people in day))

    rates = tf.transpose(transmission(parameters, options, whole))
    later = tf.scan(next_day, rates[:-1], start)
    return Compartments(
        *(
            tf.transpose(tf.concat([first[None], rest], axis=0))
            for first, rest in zip(start, Compartments(*later), strict=True)
        )
    )


def daily_flows(
    parameters: Mapping[str, tf.Tensor], states: Compartments, options: Covid19Options
) -> dict[str, tf.Tensor]:
    """Return new diagnoses, recoveries of the diagnosed, deaths by day, tensors (n, 15 + days)."""
    recovery, death, diagnosis, _ = (rate[:, None] for rate in _rates(parameters, options))
    return {
        "confirmed": diagnosis * (states.carrier if options.carrier else states.exposed),
        "recovered": recovery * states.infected,
        "deaths": death * states.infected,
    }


def _rates(
    parameters: Mapping[str, tf.Tensor], options: Covid19Options
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the rates of recovery, death, diagnosis and unnoticed recovery.

    Alpha and delta weight rates.
    """
    recovery = (1.0 - parameters["delta"]) * parameters["mu"]
    death = parameters["delta"] * parameters["d"]
    if not options.carrier:
        return recovery, death, parameters["gamma"], tf.zeros_like(recovery)
    diagnosis = (1.0 - parameters["alpha"]) * parameters["eta"]
    return recovery, death, diagnosis, parameters["alpha"] * parameters["theta"]
