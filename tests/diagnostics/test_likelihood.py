"""Missing sharpness lies between two bounds."""

from __future__ import annotations

import numpy as np
import pytest

from bayesinn.diagnostics.likelihood import SharpnessResult, compared_sharpness


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
