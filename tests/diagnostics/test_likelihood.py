"""Missing sharpness lies between two bounds."""

from __future__ import annotations

import numpy as np
import pytest

import bayesinn as bi
from bayesinn.diagnostics.likelihood import SharpnessResult, compared_sharpness, sharpness


def test_the_estimate_lies_in_the_middle_of_two_bounds() -> None:
    generator = np.random.default_rng(1)
    at_least = 0.2 + 0.1 * generator.normal(size=400)
    at_most = 0.5 + 0.1 * generator.normal(size=400)
    (found,) = SharpnessResult(("all parameters",), at_least, at_most, 2).deviations
    assert found.estimate[0] == pytest.approx(0.5 * (at_least.mean() + at_most.mean()))
    # More draws would bring the bounds together; more simulations narrow each one's interval alone.
    assert found.gap == pytest.approx(0.5 * (at_most.mean() - at_least.mean()))
    assert found.lower[0] == pytest.approx(at_least.mean() - 0.01, abs=0.002)
    assert found.upper[0] == pytest.approx(at_most.mean() + 0.01, abs=0.002)
    assert not found.one_sided


def test_another_posterior_bounds_it_from_below_alone() -> None:
    densities = np.random.default_rng(1).normal(size=400)
    (found,) = compared_sharpness(densities, densities + 0.3, 2).deviations
    assert found.estimate[0] == pytest.approx(0.3)
    assert np.isinf(found.upper[0])
    assert found.one_sided


def test_a_truth_that_the_posterior_excludes_counts_for_much_but_not_for_all() -> None:
    densities = np.random.default_rng(1).normal(size=10_000)
    own = densities.copy()
    own[:50] = -np.inf
    result = compared_sharpness(own, densities, 1)
    (found,) = result.deviations
    assert found.estimate[0] == pytest.approx(50 * 50.0 / 10_000)
    assert bi.diagnosis.Tolerances().grades(found) == ["outside"]
    assert "the density of 50 truths is zero" in result.summary


def test_data_sets_without_a_likelihood_are_counted() -> None:
    generator = np.random.default_rng(1)
    prior = np.zeros(500), np.zeros((500, 20))
    likelihood = generator.normal(size=500), generator.normal(size=(500, 20))
    likelihood[0][:3] = -np.inf
    assert "without 3 data sets" in sharpness(likelihood, prior, prior, 1).summary
