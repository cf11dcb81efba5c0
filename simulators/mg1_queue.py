"""A queue with one server (M/G/1): the times between departures tell about service and arrivals.

    shortest ~ Uniform(0, 10),    range ~ Uniform(0, 10),    rate ~ Uniform(0, 1/3)
    service_i ~ Uniform(shortest, shortest + range)
    arrival_i - arrival_{i-1} ~ Exponential(rate)
    gap_i = service_i + max(0, arrival_i - departure_{i-1}),    departure_i = sum of gaps

for 50 customers. Arrivals are not seen, and the likelihood has no closed form. No service, and so
not the shortest, is longer than the shortest gap.

Source: Blum and Francois (2010), Statistics and Computing 20; Fearnhead and Prangle (2012), JRSS B
74.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions

CUSTOMERS = 50


@bi.simulator(
    prior={
        "shortest": tfd.Uniform(0.0, 10.0),
        "range": tfd.Uniform(0.0, 10.0),
        "rate": tfd.Uniform(0.0, 1.0 / 3.0),
    },
    labels={"shortest": r"$\theta_1$", "range": r"$\theta_2 - \theta_1$", "rate": r"$\theta_3$"},
    units={"shortest": "min", "range": "min", "rate": "1/min", "gap": "min"},
    coordinates={"gap": {"customer": np.arange(1, CUSTOMERS + 1)}},
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
