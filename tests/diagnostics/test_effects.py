"""Each result states the size of what it found, in a unit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesinn.diagnostics import (
    Effect,
    compare,
    coverage,
    dependence,
    information,
    local_c2st,
    misspecification,
    mmd,
    predictive_checks,
    recovery,
    sbc,
    tarp,
)
from tests.diagnostics.conjugate import normal


def test_distances_from_uniform_are_the_closed_ones() -> None:
    # PIT of a posterior of twice the width: Phi(2 z) against Phi(z) differ most where 2 phi(2 z) = phi(z).
    truth, draws, _ = normal(size=5000, width=2.0)
    place = np.sqrt(2.0 * np.log(2.0) / 3.0)
    expected = 100.0 * (stats.norm.cdf(2.0 * place) - stats.norm.cdf(place))
    shift, spread, distance = sbc(truth, draws, seed=1).deviations
    # Measured over seeds 1, 2, 3: within 0.8, 0.02 and 1.
    assert distance.unit == "percentage points"
    assert abs(distance.estimate[0]) == pytest.approx(expected, abs=2.0)
    assert distance.least[0] < expected < distance.most[0]
    assert shift.estimate[0] == pytest.approx(0.0, abs=0.05)
    assert spread.estimate[0] == pytest.approx(-50.0, abs=3.0)
    assert spread.lower[0] < -50.0 < spread.upper[0]


def test_coverage_error_in_percentage_points() -> None:
    truth, draws, _ = normal(event=(2,))
    draws["mean"][..., 1] *= 2.0
    result = coverage(truth, draws, seed=1)
    (error,) = result.deviations
    assert np.abs(error.estimate) == pytest.approx(100.0 * np.abs(result.ecdf_difference).max(axis=0))
    assert error.least[1] > 5.0
    assert error.text(1).startswith("mean[1]: intervals hold the truth too often, by ")
    assert str(Effect("MMD^2", 0.5, "")) == "MMD^2 0.5"
    assert str(Effect("difference", 2.345, "percentage points")) == "difference 2.3 percentage points"


def test_the_worst_column_decides() -> None:
    truth, draws, prior = normal(event=(3,))
    draws["mean"][..., 2] = -draws["mean"][..., 2]
    pairs = dependence(truth, draws, seed=1)
    assert pairs.deviations[0].measure == "error of correlation"
    assert tarp(truth, draws, seed=1).deviations[0].unit == "percentage points"
    found = recovery(truth, draws, prior)
    assert found.effect == Effect("median contraction", 100.0 * np.median(found.contraction), "%")
    gained = information(truth, draws, prior)
    assert gained.effect == Effect("information gain", float(np.median(gained.mean)), "nats")
    densities = np.full(500, 1.5)
    assert information(truth, draws, prior, log_ratio=densities).effect.value == 1.5


def test_a_parameter_that_is_fixed_has_no_contraction() -> None:
    fixed = {"fixed": np.full(20, 3.0)}
    assert np.isnan(recovery(fixed, {"fixed": np.full((20, 5), 3.0)}, fixed).effect.value)


def test_sets_of_points() -> None:
    first, second = np.random.default_rng(1).normal(size=(2, 400, 2))
    result = mmd(first, second + 1.0, seed=1)
    assert result.effect == Effect("MMD^2", result.squared, "")
    observed = misspecification(second[:20] + 1.0, first, seed=1)
    assert observed.effect == Effect("MMD^2", observed.squared, "")
    # Two normals at a distance of one: Phi(1/2) - Phi(-1/2) = 38.3 points, with a standard error of 1.6; others agree.
    first, second = np.random.default_rng(2).normal(size=(2, 1500, 2))
    shifted = compare({"x": first}, {"x": second + np.array([1.0, 0.0])}, seed=1, c2st_draws=0).effect
    assert shifted.value == pytest.approx(38.3, abs=4.0)
    assert shifted.unit == "percentage points"


def test_classifier_and_replications() -> None:
    generator = np.random.default_rng(1)
    data, latent = generator.normal(size=(2, 1000, 1))
    latent[data > 1.0] += 1.0
    result = local_c2st(latent, data, np.array([[-1.0], [2.0]]), seed=1, trials=99)
    (error,) = result.deviations
    assert result.statistic == pytest.approx(np.mean((result.probability - 0.5) ** 2, axis=1))
    assert error.estimate[1] == pytest.approx(100.0 * np.sqrt(result.statistic[1] - np.median(result.null[:, 1])))
    assert error.least[0] < 3.0 < 10.0 < error.least[1] < error.estimate[1]
    # What a classifier has not found may be there.
    assert np.isinf(error.most).all()
    replicated = generator.normal(size=(1400, 20))
    flagged = predictive_checks({"x": replicated}, {"x": np.full(20, 9.0)})
    assert flagged.effect == Effect("flagged", float(flagged.flagged.sum()), "of 7 statistics")
