"""A queue with one server (M/G/1): the times between departures tell about service and arrivals.

    shortest ~ Uniform(0, 10),    range ~ Uniform(0, 10),    rate ~ Uniform(0, 1/3)
    service_i ~ Uniform(shortest, shortest + range)
    arrival_i - arrival_{i-1} ~ Exponential(rate)
    gap_i = service_i + max(0, arrival_i - departure_{i-1}),    departure_i = sum of gaps

for 50 customers. Arrivals are not seen. No service, and so not the shortest, is longer than the
shortest gap.

The likelihood is an integral over all arrivals, yet exact. Given the departures, a customer's
service is possible if the arrival is early enough, and not too early where the gap is longer than
the longest service. So the integral is the probability that a Poisson process of arrivals stays
between two bounds, divided by the range for each customer; a recursion over the number of arrivals
has it, in which nothing is subtracted.

Source: Blum and Francois (2010), Statistics and Computing 20; Fearnhead and Prangle (2012), JRSS B
74. Noe (1972), Annals of Mathematical Statistics 43, for such recursions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

CUSTOMERS = 50


def log_likelihood(parameters: Mapping[str, tf.Tensor], data: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the log density (n,) of gaps, (50,) or (n, 50), for parameters (n,); double."""
    names = ("shortest", "range", "rate")
    shortest, span, rate = (tf.cast(parameters[name], tf.float64) for name in names)
    gaps = tf.cast(data["gap"], tf.float64) + tf.zeros_like(shortest)[:, None]
    customers = gaps.shape[1]
    possible = tf.reduce_min(gaps, axis=1) > shortest
    # A customer arrives no later than the shortest service before departing: from one such time to
    # the next.
    steps = tf.concat([tf.nn.relu(gaps[:, :1] - shortest[:, None]), gaps[:, 1:]], axis=1)
    idle = gaps > (shortest + span)[:, None]
    counts = tf.range(customers + 1, dtype=tf.float64)
    more = counts[None] - counts[:, None]

    def chances(mean: tf.Tensor) -> tf.Tensor:
        """Return those (n, from, to) of numbers of arrivals, the last of which is all or more."""
        lag = tf.nn.relu(more)
        mean = mean[:, None, None]
        each = tf.exp(lag * tf.math.log(mean) - mean - tf.math.lgamma(lag + 1.0))
        left = tf.maximum(customers - counts, 1.0)[:, None]
        rest = tf.where(counts[:, None] < customers, tf.math.igamma(left, mean), 1.0)
        return tf.concat([tf.where(more >= 0.0, each, 0.0)[..., :-1], rest], axis=-1)

    def serve(index: tf.Tensor, shares: tf.Tensor, log_total: tf.Tensor) -> tuple[tf.Tensor, ...]:
        alone = idle[:, index]
        # If nobody else has arrived by then, nobody did until the longest service was short enough.
        one = tf.one_hot(index, customers + 1, dtype=shares.dtype)
        shares = tf.where(alone[:, None], one * shares, shares)
        step = steps[:, index]
        without = tf.where(alone, step - span, 0.0)
        after = tf.linalg.matvec(chances(rate * (step - without)), shares, transpose_a=True)
        after = tf.where(counts > tf.cast(index, counts.dtype), after, 0.0)
        total = tf.reduce_sum(after, axis=1)
        log_total += tf.math.log(total) - rate * without
        return index + 1, after / total[:, None], log_total

    nobody = tf.one_hot(tf.zeros_like(shortest, tf.int32), customers + 1, dtype=tf.float64)
    log_total = tf.while_loop(
        lambda *_: True,
        serve,
        (0, nobody, -customers * tf.math.log(span)),
        maximum_iterations=customers,
    )[2]
    return tf.where(possible, log_total, tf.constant(-math.inf, tf.float64))


@bi.simulator(
    prior={
        "shortest": tfd.Uniform(0.0, 10.0),
        "range": tfd.Uniform(0.0, 10.0),
        "rate": tfd.Uniform(0.0, 1.0 / 3.0),
    },
    labels={"shortest": r"$\theta_1$", "range": r"$\theta_2 - \theta_1$", "rate": r"$\theta_3$"},
    units={"shortest": "min", "range": "min", "rate": "1/min", "gap": "min"},
    coordinates={"gap": {"customer": np.arange(1, CUSTOMERS + 1)}},
    log_likelihood=log_likelihood,
)
def mg1_queue(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Simulate the times between departures of 50 customers."""
    service_seed, arrival_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    shape = (CUSTOMERS, tf.shape(parameters["rate"])[0])
    service = parameters["shortest"]
    service += parameters["range"] * tf.random.stateless_uniform(shape, service_seed)
    # From above zero, as its logarithm is taken.
    uniform = 1.0 - tf.random.stateless_uniform(shape, arrival_seed)
    arrival = tf.cumsum(-tf.math.log(uniform) / parameters["rate"], axis=0)

    def serve(departure: tf.Tensor, customer: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return tf.maximum(departure, customer[0]) + customer[1]

    departure = tf.scan(serve, (arrival, service), tf.zeros_like(parameters["rate"]))
    before = tf.pad(departure[:-1], [(1, 0), (0, 0)])
    return {"gap": tf.transpose(service + tf.nn.relu(arrival - before))}
