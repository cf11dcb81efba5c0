"""A few values far from all others don't decide the scale of all."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from bayesinn.spaces.data import DataSpace, Scaling, mark_outliers


@pytest.mark.parametrize("value", [1e8, -9999.0])
def test_outliers_are_left_out_and_said(value: float) -> None:
    values = 300.0 + np.random.default_rng(1).normal(size=(4_096, 3))
    values[[7, 900], 1] = value
    with pytest.warns(UserWarning, match=r"2 of 12,288 simulated values of 'y' are more than 100"):
        space = DataSpace.fit({"y": values}, ("y",), (), {})
    scaling = space.scalings["y"]
    np.testing.assert_allclose(scaling.mean, 300.0, atol=0.1)
    np.testing.assert_allclose(scaling.scale, 1.0, atol=0.05)


@pytest.mark.parametrize("law", ["normal", "standard_cauchy", "standard_exponential", "lognormal"])
def test_heavy_tails_have_no_outliers(law: str) -> None:
    for seed in range(5):
        values = getattr(np.random.default_rng(seed), law)(size=(4_096, 2))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Scaling.fit(values)


def test_rare_events_among_zeros_are_no_outliers() -> None:
    values = np.zeros((4_096, 1))
    values[::500] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Scaling.fit(values)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_do_not_matter(unit: float) -> None:
    values = np.random.default_rng(1).normal(size=(4_096, 1))
    values[7] = 1e6
    assert np.flatnonzero(mark_outliers(unit * values)).tolist() == [7]
