"""Simulators and summaries of a user: small, and importable from a fresh process."""

from __future__ import annotations

import keras
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi

tfd = tfp.distributions


def small_flow(**options) -> bi.flows.Flow:
    return bi.flows.coupling(**{"blocks": 2, "hidden": (16,), **options})


@bi.simulator(
    prior={"rate": tfd.LogNormal(-0.9, 0.5), "size": tfd.Uniform(1.0, 9.0)},
    labels={"rate": r"$\lambda$"},
    units={"rate": "1/day"},
)
def series(parameters, seed):
    """Eight noisy steps of exponential growth."""
    mean = parameters["size"][:, None] * tf.exp(0.3 * parameters["rate"][:, None] * tf.range(8.0))
    return {"cases": mean + tf.sqrt(mean) * tf.random.stateless_normal(tf.shape(mean), seed)}


@bi.simulator(
    prior={"mean": tfd.Normal(0.0, 1.0), "share": tfd.Dirichlet([2.0, 2.0, 2.0])},
    context={
        "n": tfd.FiniteDiscrete(tf.range(2, 7), logits=tf.zeros(5)),
        "dose": tfd.Uniform([0.0, 0.0], 1.0),
    },
    lengths={"x": "n"},
    units={"mean": "mm"},
)
def survey(parameters, context, seed):
    """A set of varying size, counts, and context."""
    rows = tf.shape(parameters["mean"])[0]
    first, second = tf.unstack(tf.random.split(seed, 2))
    x = parameters["mean"][:, None] + tf.random.stateless_normal((rows, 6), first)
    x = tf.where(tf.range(6) < context["n"][:, None], x, 99.0)
    rate = 20.0 * parameters["share"] * (1.0 + context["dose"][:, :1])
    return {"x": x, "counts": tf.random.stateless_poisson((rows, 3), second, rate, tf.int32)}


class Dropping(bi.summaries.Summary):
    """Dropout."""

    def __init__(self, units: int = 4, share: float = 0.5) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(units)
        self.dropout = keras.layers.Dropout(share)

    def call(self, x, mask=None, training=False):
        return self.dropout(self.dense(x), training=training)


class NormalisedNumber(bi.summaries.Identity):
    """Batch normalisation of an observable that is one number."""

    def __init__(self) -> None:
        super().__init__()
        self.normalisation = keras.layers.BatchNormalization()

    def call(self, x, mask=None, training=False):
        return self.normalisation(tf.reshape(x, (-1, 1)), training=training)


class Normalising(bi.summaries.Summary):
    """Moving statistics, which are weights that no gradient reaches."""

    def __init__(self, units: int = 4) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(units)
        self.normalisation = keras.layers.BatchNormalization(momentum=0.5)

    def call(self, x, mask=None, training=False):
        return self.normalisation(self.dense(x), training=training)
