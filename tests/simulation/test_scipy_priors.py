"""Priors of SciPy and of users' own classes: the same densities, and exact supports."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import SimulatorError
from bayesinn.simulation.prior import Prior
from bayesinn.spaces.parameters import ParameterSpace

CONTINUOUS = [
    stats.norm(2, 0.5),
    stats.uniform(1, 8),
    stats.lognorm(0.5, scale=np.exp(-0.9)),
    stats.lognorm(0.5, 1.0, 2.0),
    stats.loguniform(0.1, 10),
    stats.expon(scale=2),
    stats.expon(3, 2),
    stats.gamma(3, scale=2),
    stats.gamma(3, 1, 2),
    stats.invgamma(3, scale=2),
    stats.chi2(3),
    stats.chi(3),
    stats.beta(2, 5),
    stats.beta(2, 5, loc=-1, scale=4),
    stats.halfnorm(scale=2),
    stats.halfnorm(1, 2),
    stats.halfcauchy(scale=2),
    stats.cauchy(1, 2),
    stats.truncnorm(-1, 2, 1, 0.5),
    stats.t(4, 1, 2),
    stats.laplace(1, 2),
    stats.logistic(1, 2),
    stats.gumbel_r(1, 2),
    stats.weibull_min(1.5, scale=2),
    stats.pareto(2.5, scale=2),
    stats.invgauss(0.5, scale=2),
    stats.triang(0.5, 1, 4),
]


def name(frozen) -> str:
    return f"{frozen.dist.name} {frozen.args} {frozen.kwds}"


@pytest.mark.parametrize("frozen", CONTINUOUS, ids=name)
def test_law_density_and_support(frozen) -> None:
    prior = Prior({"a": frozen})
    draws = prior.sample(4_000, tf.constant([1, 2]))["a"].numpy()
    assert stats.kstest(draws, frozen.cdf).pvalue > 1e-4
    density = prior.distribution("a", {}).log_prob(draws[:200]).numpy()
    np.testing.assert_allclose(density, frozen.logpdf(draws[:200].astype(float)), atol=2e-3)
    # All of R is mapped into the support, and onto it.
    space = ParameterSpace(prior, seed=1)
    low, high = frozen.support()
    wide = np.linspace(-30.0, 30.0, 601, dtype=np.float32)[:, None]
    values = space.from_vector(tf.constant(wide))["a"].numpy()
    assert values.min() >= low - 1e-5 * abs(low)
    assert values.max() <= high * (1 + 1e-6)
    back = space.from_vector(space.to_vector({"a": draws[:200]})[0])["a"].numpy()
    np.testing.assert_allclose(back, draws[:200], rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(
    "frozen", [stats.poisson(4), stats.binom(10, 0.3), stats.nbinom(5, 0.4), stats.bernoulli(0.3)]
)
def test_counts(frozen) -> None:
    prior = Prior({"a": frozen})
    draws = prior.sample(2_000, tf.constant([1, 2]))["a"].numpy()
    assert abs(draws.mean() - frozen.mean()) < 5.0 * frozen.std() / np.sqrt(2_000)
    values = np.arange(2.0, dtype=draws.dtype)
    density = prior.distribution("a", {}).log_prob(values)
    np.testing.assert_allclose(density, frozen.logpmf(values), rtol=1e-4)


def test_vectors() -> None:
    covariance = [[2.0, 0.5], [0.5, 1.0]]
    for frozen, value in (
        (stats.dirichlet([2, 3, 4]), [0.2, 0.3, 0.5]),
        (stats.multivariate_normal([0, 1], covariance), [0.3, 0.4]),
    ):
        distribution = Prior({"a": frozen}).distribution("a", {})
        assert float(distribution.log_prob(value)) == pytest.approx(frozen.logpdf(value), rel=1e-4)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (stats.skewnorm(2), "SinhArcsinh"),
        (stats.randint(1, 5), "FiniteDiscrete"),
        (stats.norm, "freeze it"),
        (stats.poisson(4, loc=2), "add loc in the simulator"),
        (stats.wishart(3, np.eye(2)), "choose|freeze"),
    ],
)
def test_what_tfp_lacks_is_refused_with_advice(entry, words: str) -> None:
    with pytest.raises(SimulatorError, match=words):
        Prior({"a": entry})


class Wedge:
    """Density 2 x on (0, 1)."""

    low, high = 0.0, 1.0

    def sample(self, n, seed):
        return tf.sqrt(tf.random.stateless_uniform((n,), seed, alg="philox"))

    def log_prob(self, values):
        return tf.math.log(2.0 * values)


def test_a_class_of_ones_own() -> None:
    @bi.simulator(prior={"a": Wedge()}, name="wedge")
    def wedge(parameters, seed):
        noise = tf.random.stateless_normal(tf.shape(parameters["a"]), seed)
        return {"x": parameters["a"] + 0.1 * noise}

    drawn = wedge.sample(4_000, seed=1)["a"]
    assert stats.kstest(drawn, lambda x: x**2).pvalue > 1e-4
    posterior = bi.AmortizedPosterior(wedge, flow=bi.flows.coupling(blocks=2, hidden=(16,)))
    posterior.fit(steps=60, batch_size=64, seed=1, progress=False)
    draws = posterior.sample({"x": 0.95}, draws=500, seed=2)["a"]
    assert draws.min() > 0.0
    assert draws.max() < 1.0


def test_a_class_without_density_is_refused() -> None:
    class Draws:
        def sample(self, n, seed):
            return tf.zeros((n,))

    with pytest.raises(SimulatorError, match="no log_prob"):
        Prior({"a": Draws()})


def test_a_box_of_sbi() -> None:
    torch = pytest.importorskip("torch")
    utils = pytest.importorskip("sbi.utils")
    box = utils.BoxUniform(torch.zeros(2), torch.tensor([1.0, 3.0]))
    distribution = Prior({"a": box}).distribution("a", {})
    assert float(distribution.log_prob([0.5, 1.0])) == pytest.approx(-np.log(3.0))
