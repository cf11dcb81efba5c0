"""Ensembles against the exact mixture of exact posteriors."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError

tfd = tfp.distributions
SD = np.sqrt(0.5)


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})
def one_number(parameters, seed):
    return {
        "x": parameters["mean"]
        + tf.random.stateless_normal((tf.shape(parameters["mean"])[0],), seed)
    }


def shifted(shift: float) -> bi.SampledPosterior:
    """The exact posterior, N(x / 2, 1 / 2), moved."""

    def sample(data, draws, seed):
        noise = np.random.default_rng(seed).normal(size=(len(data["x"]), draws))
        return {"mean": data["x"][:, None] / 2 + shift + SD * noise}

    def log_prob(parameters, data):
        return scipy.stats.norm.logpdf(parameters["mean"], data["x"][:, None] / 2 + shift, SD)

    return bi.SampledPosterior(one_number, sample, log_prob)


def test_density_and_draws_are_those_of_the_mixture() -> None:
    ensemble = bi.Ensemble([shifted(0.0), shifted(2.0)], weights=[3.0, 1.0])
    assert ensemble.weights.tolist() == [0.75, 0.25]
    grid = np.linspace(-5.0, 8.0, 2_001)
    normal = scipy.stats.norm
    density = 0.75 * normal.pdf(grid, 0.5, SD) + 0.25 * normal.pdf(grid, 2.5, SD)
    np.testing.assert_allclose(np.exp(ensemble.log_prob({"mean": grid}, {"x": 1.0})), density)
    draws = ensemble.sample({"x": np.array([1.0, -1.0])}, draws=20_000, seed=1)["mean"]
    assert draws.shape == (2, 20_000)
    for values, x in zip(draws, (1.0, -1.0), strict=True):

        def cdf(value, x=x):
            return 0.75 * normal.cdf(value, x / 2, SD) + 0.25 * normal.cdf(value, x / 2 + 2.0, SD)

        # One in a thousand samples of this size is farther from the mixture.
        assert scipy.stats.kstest(values, cdf).pvalue > 1e-3
    again = ensemble.sample({"x": np.array([1.0, -1.0])}, draws=20_000, seed=1)["mean"]
    np.testing.assert_array_equal(draws, again)


def test_weights_go_to_the_member_that_is_correct() -> None:
    members = [shifted(0.7), shifted(0.0), shifted(-2.0)]
    ensemble = bi.Ensemble.weighted(members, one_number.sample(2_000, seed=1))
    assert ensemble.weights[1] > 0.95
    assert ensemble.weights.sum() == pytest.approx(1.0)


def test_disagreement_is_the_variance_between_members() -> None:
    ensemble = bi.Ensemble([shifted(0.0), shifted(1.0)])
    share = ensemble.disagreement({"x": np.zeros(3)}, draws=20_000, seed=1)["mean"]
    # Means half a unit from their centre, members of variance one half.
    np.testing.assert_allclose(share, 0.25 / 0.75, atol=0.02)


def test_a_correct_function_passes_and_a_shifted_one_fails() -> None:
    options = {"simulations": 1_000, "draws": 100, "seed": 1, "progress": False}
    assert bi.diagnose(shifted(0.0), **options).grade != "outside"
    wrong = bi.diagnose(bi.Ensemble([shifted(0.4), shifted(0.5)]), **options)
    assert wrong.grade == "outside"


def test_what_does_not_fit_is_explained() -> None:
    with pytest.raises(InputError, match="a list of posteriors"):
        bi.Ensemble([])
    with pytest.raises(InputError, match="a posterior"):
        bi.Ensemble([shifted(0.0), len])
    with pytest.raises(InputError, match="not all of them 0"):
        bi.Ensemble([shifted(0.0), shifted(1.0)], weights=[0.0, 0.0])
    with pytest.raises(InputError, match=r"(?s)in all shapes"):
        bi.Ensemble([shifted(0.0), bi.AmortizedPosterior(bi.get("linear"))])
    short = bi.SampledPosterior(one_number, lambda data, draws, seed: {"mean": np.zeros((1, 3))})
    with pytest.raises(InputError, match="5 draws for each of 1"):
        short.sample({"x": 0.5}, draws=5)
    with pytest.raises(InputError, match="a posterior with a density"):
        short.log_prob({"mean": 0.0}, {"x": 0.5})
