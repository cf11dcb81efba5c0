"""Information gain against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.diagnosis import Evidence
from bayesinn.diagnosis.checks import INFORMATION
from bayesinn.diagnostics import information
from bayesinn.diagnostics.information import _entropy
from tests.diagnostics.conjugate import count, normal
from tests.diagnostics.faults import case, named


def test_normal_mean() -> None:
    # Half a log two; error -0.006, 0.002, 0.010 for seeds 1, 2, 3.
    truth, draws, prior = normal(size=1000, draws=250, seed=1)
    result = information(truth, draws, prior)
    assert result.mean[0] == pytest.approx(0.5 * np.log(2.0), abs=0.02)
    assert np.isnan(result.joint_mean)


def test_correlated_parameters_together() -> None:
    given = case()
    prior = named(np.random.default_rng(5).normal(size=(4000, 2)))
    ratio = given.log_prob[0] - given.posterior.prior_log_prob(given.theta)
    result = information(given.truth, given.draws, prior, log_ratio=ratio)
    # Posterior covariance inv([[6, 4], [4, 5]]): gains 0.5 log(14/5), 0.5 log(14/6), together 0.5
    # log 14. Errors up to 0.016 (draws) and 0.054 (densities, standard error 0.034) for seeds 1, 2,
    # 3.
    assert result.mean == pytest.approx(0.5 * np.log([14 / 5, 14 / 6]), abs=0.04)
    assert result.joint_mean == pytest.approx(0.5 * np.log(14.0), abs=0.1)
    assert "all together 1.3" in result.summary


def test_integers() -> None:
    # log 3 minus the entropy of (0.6, 0.2, 0.2); found within 0.007 for seeds 1, 2, 3.
    truth, draws = count(size=1000, seed=1)
    gain = information(truth, draws, {"count": np.random.default_rng(1).integers(0, 3, 5000)}).mean[
        0
    ]
    assert gain == pytest.approx(np.log(3.0) + 0.6 * np.log(0.6) + 0.4 * np.log(0.2), abs=0.015)


def test_a_discrete_prior_returned_gains_nothing() -> None:
    # About 40 values. From all prior draws at once, the gain would be 0.18.
    prior, draws = (np.random.default_rng(1).poisson(30.0, size) for size in (5_000, (500, 100)))
    gain = information({"count": draws[:, 0]}, {"count": draws}, {"count": prior}).mean
    assert gain == pytest.approx(0.0, abs=0.02)


def test_entropies_take_five_draws() -> None:
    truth, draws, prior = normal(size=50, draws=5)
    assert np.isfinite(information(truth, draws, prior).mean).all()
    with pytest.raises(InputError, match=r"(?s)Number of draws.*5 or more.*4"):
        information(truth, {"mean": draws["mean"][:, :4]}, prior)


def test_the_prior_returned_gains_nothing() -> None:
    given = case("prior")
    prior = named(np.random.default_rng(5).normal(size=(4000, 2)))
    assert information(given.truth, given.draws, prior).mean == pytest.approx(0.0, abs=0.03)


def test_draws_on_the_edge_of_a_support_are_not_infinitely_dense() -> None:
    generator = np.random.default_rng(1)
    draws = generator.uniform(-1.0, 1.0, size=(100, 250))
    draws[0] = np.minimum(draws[0], -0.5)
    truth = generator.uniform(-1.0, 1.0, size=100)
    prior = generator.uniform(-1.0, 1.0, size=5000)
    gain = information({"x": truth}, {"x": draws}, {"x": prior}).gain[:, 0]
    assert np.all(np.isfinite(gain))
    # Three in four draws of the first data set are one number.
    assert gain[0] > 5.0 > np.abs(gain[1:]).max()


def test_integers_of_many_values() -> None:
    """Two hundred draws say little about the frequency of each of 3,000 values."""
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 1_500, 400)
    draws = generator.integers(0, 1_500, (400, 200))
    prior = generator.integers(0, 3_000, 5_000)
    gain = information({"count": truth}, {"count": draws}, {"count": prior}).mean[0]
    assert gain == pytest.approx(np.log(2.0), abs=0.03)


def test_the_error_of_the_prior_counts() -> None:
    """Posteriors that are the prior, for twenty sets of draws from a prior with heavy tails."""
    generator = np.random.default_rng(1)
    draws = generator.lognormal(sigma=2.0, size=(1_000, 100))
    found = []
    for _ in range(20):
        prior = {"a": generator.lognormal(sigma=2.0, size=5_000)}
        found.append(information({"a": draws[:, 0]}, {"a": draws}, prior))
    spread = np.std([one.mean[0] for one in found], ddof=1)
    # The spread of twenty has an error of a sixth.
    assert np.mean([one.standard_error[0] for one in found]) == pytest.approx(spread, rel=0.4)
    assert all(one.below(0.2) == ("a",) for one in found)


def test_a_rare_event_that_is_known_is_learnt() -> None:
    """Its entropy, 0.03 nats, is less than what counts as nothing."""
    generator = np.random.default_rng(1)
    truth = generator.random(2_000) < 0.005
    prior = generator.random(5_000) < 0.005
    known = np.repeat(truth[:, None], 200, axis=1)
    result = information({"event": truth}, {"event": known}, {"event": prior})
    assert 0.02 < result.mean[0] < 0.04
    assert result.below(0.05) == ()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.0])
def test_an_event_about_which_nothing_is_known(share: float) -> None:
    generator = np.random.default_rng(1)
    truth = generator.random(2_000) < share
    prior = generator.random(5_000) < share
    draws = generator.random((2_000, 200)) < share
    result = information({"event": truth}, {"event": draws}, {"event": prior})
    assert result.below(0.05) == ("event",)


@pytest.mark.parametrize("ratio", [np.zeros(49), np.zeros((50, 1)), np.full(50, np.nan)])
def test_a_joint_gain_needs_a_number_for_each_truth(ratio: np.ndarray) -> None:
    truth, draws, prior = normal(size=50, draws=20)
    with pytest.raises(InputError, match=r"(?s)'log_ratio'.*\(50,\)"):
        information(truth, draws, prior, log_ratio=ratio)
    # A truth may be impossible.
    assert information(truth, draws, prior, log_ratio=np.full(50, -np.inf)).joint_mean == -np.inf


def test_a_truth_that_prior_and_posterior_exclude_leaves_the_joint_gain_unknown() -> None:
    truth, draws, prior = normal(size=50, draws=20)
    density = np.where(np.arange(50) == 3, -np.inf, 0.0), np.zeros((50, 20))
    given = Evidence(truth, draws, prior, log_prob=density, prior_log_prob=density)
    assert INFORMATION.run(given).joint is None


def test_numbers_of_any_size_keep_their_distances() -> None:
    """Log-uniform over twelve decades: spreading equal draws must not push small ones apart."""
    draws = 10.0 ** np.random.default_rng(1).uniform(-12.0, 0.0, (200, 250))
    expected = stats.differential_entropy(draws, axis=-1, method="ebrahimi")
    np.testing.assert_allclose(_entropy(draws), expected, atol=1e-3)
