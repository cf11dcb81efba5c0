"""Priors of every family that a posterior must respect, by name."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def mixture(components: tfd.Distribution) -> tfd.Distribution:
    return tfd.MixtureSameFamily(tfd.Categorical(probs=[0.3, 0.7]), components)


CONTINUOUS = {
    "uniform": {"a": tfd.Uniform(-3.0, 7.0)},
    "uniform, far from zero": {"a": tfd.Uniform(1000.0, 1001.0)},
    "log-normal": {"a": tfd.LogNormal(-0.9, 0.5)},
    "beta": {"a": tfd.Beta(2.0, 5.0)},
    "beta with poles": {"a": tfd.Beta(0.5, 0.5)},
    "gamma": {"a": tfd.Gamma(2.0, 1 / 20)},
    "gamma with a pole": {"a": tfd.Gamma(0.4, 2.0)},
    "exponential": {"a": tfd.Exponential(1 / 5)},
    "half-normal": {"a": tfd.HalfNormal(3.0)},
    "truncated on both sides": {"a": tfd.TruncatedNormal(0.0, 1.0, -0.5, 2.0)},
    "truncated below": {"a": tfd.TruncatedNormal(1.0, 2.0, 0.5, np.inf)},
    "truncated above": {"a": tfd.TruncatedNormal(1.0, 2.0, -np.inf, 0.5)},
    "normal": {"a": tfd.Normal(100.0, 15.0)},
    "student-t": {"a": tfd.StudentT(3.0, 0.0, 2.0)},
    "vector normal": {"a": tfd.Normal([0.0, 10.0, -10.0], [1.0, 0.1, 5.0])},
    "vector truncated below": {
        "a": tfd.TruncatedNormal([0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [np.inf, np.inf])
    },
    "matrix of betas": {"a": tfd.Sample(tfd.Beta(2.0, 2.0), sample_shape=(2, 2))},
    "multivariate normal": {"a": tfd.MultivariateNormalTriL([1.0, -1.0], [[1.0, 0.0], [0.9, 0.3]])},
    "mixture of normals": {"a": mixture(tfd.Normal([-3.0, 2.0], [0.5, 1.0]))},
    "mixture of gammas": {"a": mixture(tfd.Gamma([2.0, 9.0], [1.0, 1.0]))},
    "mixture of several families": {
        "a": tfd.Mixture(
            tfd.Categorical(probs=[0.3, 0.7]), [tfd.Beta(2.0, 5.0), tfd.LogitNormal(0.0, 1.0)]
        )
    },
    "mixture of multivariate normals": {
        "a": mixture(tfd.MultivariateNormalDiag([[0.0, 0.0], [3.0, 3.0]]))
    },
    "dependent mixture": {
        "scale": tfd.LogNormal(0.0, 0.3),
        "place": lambda scale: mixture(tfd.Normal([-3.0, 3.0], scale[:, None])),
    },
    "dirichlet": {"a": tfd.Dirichlet([2.0, 3.0, 0.8])},
    "two dirichlets": {"a": tfd.Sample(tfd.Dirichlet([2.0, 3.0, 2.0, 2.0]), sample_shape=2)},
    "batch of dirichlets": {"a": tfd.Dirichlet([[2.0, 3.0, 2.0], [1.0, 1.0, 5.0]])},
    "dependent": {"low": tfd.Uniform(0.0, 1.0), "high": lambda low: tfd.Uniform(low, 2.0)},
    "dependent, declared backwards": {
        "child": lambda scale: tfd.HalfNormal(2.0 * scale),
        "scale": tfd.LogNormal(0.0, 0.3),
    },
    "dependent, vector": {
        "center": tfd.Normal(0.0, 3.0),
        "group": lambda center: tfd.Sample(tfd.Normal(center, 0.5), sample_shape=3),
    },
    "dependent, vector of bounded": {
        "bound": tfd.Uniform(1.0, 2.0),
        "group": lambda bound: tfd.Sample(tfd.Uniform(-bound, bound), sample_shape=3),
        "tail": lambda bound: tfd.Sample(
            tfd.TruncatedNormal(bound, 1.0, bound, np.inf), sample_shape=2
        ),
    },
    "joint distribution": tfd.JointDistributionNamed(
        {"width": tfd.Gamma(3.0, 1.0), "place": lambda width: tfd.Uniform(-width, width)}
    ),
    "many": {
        "rate": tfd.LogNormal(0.0, 1.0),
        "share": tfd.Dirichlet([1.0, 1.0, 1.0]),
        "slope": tfd.Normal([0.0, 0.0], 1.0),
        "start": tfd.Uniform(0.0, 1.0),
        "stop": lambda start: tfd.Uniform(start, start + 1.0),
    },
}

DISCRETE = {
    "poisson": {"k": tfd.Poisson(4.0)},
    "binomial": {"k": tfd.Binomial(10.0, probs=0.3)},
    "beta-binomial": {"k": tfd.BetaBinomial(10.0, 2.0, 3.0)},
    "bernoulli": {"k": tfd.Bernoulli(probs=0.3)},
    "categorical": {"k": tfd.Categorical(probs=[0.5, 0.2, 0.3])},
    "finite": {"k": tfd.FiniteDiscrete([2, 3, 4, 5], probs=[0.1, 0.2, 0.3, 0.4])},
    "vector of poissons": {"k": tfd.Poisson([1.0, 5.0])},
    "bounds from an integer": {
        "k": tfd.Poisson(4.0),
        "place": lambda k: tfd.Uniform(0.0, tf.cast(k, tf.float32) + 1.0),
    },
    "integer below an integer": {
        "trials": tfd.Binomial(9.0, probs=0.7),
        "hits": lambda trials: tfd.Binomial(tf.cast(trials, tf.float32) + 1.0, probs=0.4),
    },
}

FAMILIES = {**CONTINUOUS, **DISCRETE}
