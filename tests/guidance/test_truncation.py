"""The truncated prior: its regions, mass and draws, with exact posteriors, not trained ones."""

import numpy as np
import pytest
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.guidance import rounds
from bayesinn.guidance.rounds import Truncation
from bayesinn.simulators import linear

DATA = {"y": np.array(1.5)}
MASS = 0.01


class Exact(bi.Posterior):
    """The exact posterior of the linear toy, shifted and widened."""

    simulator = linear.linear

    def __init__(self, shift=0.0, width=1.0):
        mean, covariance = linear.posterior_moments(np.array([1.5]))
        self.law = stats.multivariate_normal(mean[0] + shift, width**2 * covariance)

    def sample(self, data, *, draws, seed):
        return dict(zip(("x1", "x2"), self.law.rvs(draws, random_state=seed).T, strict=True))

    def log_prob(self, parameters, data):
        return self.law.logpdf(stack(parameters))

    def squared_radius(self, values):
        return (
            (values - self.law.mean) @ np.linalg.inv(self.law.cov) * (values - self.law.mean)
        ).sum(axis=1)


prior = stats.multivariate_normal(np.zeros(2), np.eye(2))


def stack(values):
    return np.stack([values["x1"], values["x2"]], axis=-1)


def narrowed(*posteriors):
    found = Truncation(linear.linear, DATA)
    for number, posterior in enumerate(posteriors):
        found = found.narrowed(posterior, MASS, 1, number)
    return found


def test_region_is_the_ellipse_with_all_but_the_mass():
    exact = Exact()
    draws = exact.sample(DATA, draws=200_000, seed=5)
    inside = narrowed(exact).contains(draws)
    assert 1.0 - inside.mean() == pytest.approx(MASS, abs=0.002)
    # The boundary is a line of equal density: chi squared with two degrees of freedom.
    squared = exact.squared_radius(stack(draws))
    assert squared[inside].max() == pytest.approx(squared[~inside].min(), abs=0.02)
    assert squared[inside].max() == pytest.approx(stats.chi2.isf(MASS, 2), abs=0.4)


def test_mass_is_that_of_the_prior():
    values = prior.rvs(400_000, random_state=3)
    region = narrowed(Exact())
    assert region.share == pytest.approx(
        region.contains({"x1": values[:, 0], "x2": values[:, 1]}).mean(), rel=0.03
    )


@pytest.mark.parametrize("least", [0.0, 1.0], ids=["from the prior", "from the posterior"])
def test_draws_are_prior_draws_inside(least, monkeypatch):
    """From either proposal: the same law as of many prior draws of which those inside are kept."""
    monkeypatch.setattr(rounds, "_LEAST_SHARE", least)
    region = narrowed(Exact(shift=0.3, width=0.7))
    values = prior.rvs(400_000, random_state=3)
    kept = values[region.contains({"x1": values[:, 0], "x2": values[:, 1]})]
    assert region.share == pytest.approx(len(kept) / len(values), rel=0.03)
    draws = stack(region.sample(4_000, 1, 0, 0))
    assert draws.shape == (4_000, 2)
    for direction in ([1.0, 0.0], [1.0, 1.0], [1.0, -1.0]):
        assert stats.ks_2samp(draws @ direction, kept @ direction).pvalue > 1e-3
    # The posterior itself, in place of the prior, has another law.
    other = stack(region.parts[0].posterior.sample(DATA, draws=4_000, seed=9))
    assert stats.ks_2samp(other @ [1.0, -1.0], kept @ [1.0, -1.0]).pvalue < 1e-6


def test_each_region_lies_inside_of_those_before():
    first = Exact()
    second = Exact(shift=0.5, width=2.0)
    values = prior.rvs(100_000, random_state=3)
    points = {"x1": values[:, 0], "x2": values[:, 1]}
    both = narrowed(first, second)
    alone = [narrowed(first), narrowed(second)]
    np.testing.assert_array_equal(
        both.contains(points), alone[0].contains(points) & alone[1].contains(points)
    )
    assert both.contains(points).sum() < alone[1].contains(points).sum()


def test_draws_are_a_function_of_seed_round_and_attempt():
    region = narrowed(Exact())
    first, again, *others = (
        region.sample(50, *keys)["x1"] for keys in ((1, 0, 0), (1, 0, 0), (2, 0, 0), (1, 0, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert all(not np.array_equal(first, other) for other in others)


def test_regions_that_nothing_reaches_are_refused(monkeypatch):
    with pytest.raises(InputError, match="none of 50,000 posterior draws"):
        narrowed(Exact(), Exact(shift=50.0))
    monkeypatch.setattr(rounds, "_MOST_BATCHES", 1)
    monkeypatch.setattr(rounds, "_BATCH", 1_000)
    # More for more parameters.
    with pytest.raises(InputError, match="of 5,000 that were proposed"):
        narrowed(Exact()).sample(5_000, 1, 0, 0)
