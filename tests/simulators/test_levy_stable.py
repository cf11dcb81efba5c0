"""Levy-stable laws against closed forms, SciPy, draws, and differences."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import bayesinn as bi
from bayesinn.simulators import levy_stable as stable

X = np.array([-60.0, -8.0, -2.0, -0.5, 0.0, 0.3, 1.0, 3.0, 20.0, 1e3])


def standard(x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """Log densities of single numbers with location 0 and scale 1."""
    column = [[alpha]], [[beta]]
    alphas, betas = (tf.constant(values, tf.float64) for values in column)
    return stable.log_density(tf.constant(x[None]), alphas, betas).numpy()[0]


def test_closed_forms() -> None:
    np.testing.assert_allclose(
        standard(X, 2.0, 0.0), stats.norm.logpdf(X, 0.0, 2.0**0.5), atol=1e-6
    )
    # Alpha counts as 1.000001, where the integrand is a millionth as wide as its interval.
    np.testing.assert_allclose(standard(X, 1.0, 0.0), stats.cauchy.logpdf(X), atol=5e-5)
    # In S0 the point where Levy's law begins is -tan(pi / 4).
    with np.errstate(divide="ignore"):
        levy = np.where(X > -1.0, stats.levy.logpdf(np.maximum(X + 1.0, 1e-9)), -np.inf)
    np.testing.assert_allclose(standard(X, 0.5, 1.0), levy, atol=1e-6)
    # The mirror image.
    np.testing.assert_allclose(standard(-X, 0.5, -1.0), levy, atol=1e-6)


def test_light_tails_fall_without_end() -> None:
    for alpha in (1.1, 1.9, 1.9999):
        found = standard(-(10.0 ** np.arange(0.0, 7.0)), alpha, 1.0)
        assert np.all(np.diff(found) < 0.0)
        assert np.all(found < -1.5)


@pytest.mark.parametrize(
    ("alpha", "beta"), [(0.6, -0.7), (0.97, 0.5), (1.03, 0.9), (1.3, -1.0), (1.7, 0.9), (1.95, 0.2)]
)
def test_density_is_that_of_scipy(
    alpha: float, beta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = X[1:-1]
    found = np.exp(standard(x, alpha, beta))
    monkeypatch.setattr(stats.levy_stable, "parameterization", "S0")
    np.testing.assert_allclose(found, stats.levy_stable.pdf(x, alpha, beta), rtol=1e-4, atol=1e-9)
    monkeypatch.setattr(stats.levy_stable, "parameterization", "S1")
    shifted = x + beta * np.tan(0.5 * np.pi * alpha)
    np.testing.assert_allclose(
        found, stats.levy_stable.pdf(shifted, alpha, beta), rtol=1e-4, atol=1e-9
    )


def test_location_and_scale() -> None:
    values = {"alpha": 1.4, "beta": -0.3, "location": 2.0, "scale": 3.0}
    x = np.sort(2.0 + 3.0 * np.resize(X, 100))
    given = {name: np.array([value]) for name, value in values.items()}
    found = stable.log_likelihood(given, {"x": x})
    expected = 10.0 * np.sum(standard(X, 1.4, -0.3) - np.log(3.0))
    assert float(found[0]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 0.5), (1.0, 0.8), (1.7, 0.9)])
def test_draws_follow_the_density(alpha: float, beta: float) -> None:
    names = {"alpha": alpha, "beta": beta, "location": 0.0, "scale": 1.0}
    given = {name: np.full(40, value, np.float32) for name, value in names.items()}
    x = bi.get_simulator("levy_stable").simulate(given, seed=1)["x"]
    assert np.all(np.diff(x, axis=1) >= 0.0)
    # Dense in the middle, and as far out as draws are.
    grid = np.sinh(np.linspace(-16.0, 16.0, 1_601))
    density = np.exp(standard(grid, alpha, beta))
    steps = 0.5 * (density[1:] + density[:-1]) * np.diff(grid)
    heights = np.concatenate([[0.0], np.cumsum(steps)])
    # What lies beyond the ends is the power law of the tails.
    assert heights[-1] == pytest.approx(1.0, abs=2e-4)
    found = stats.kstest(x.ravel(), lambda value: np.interp(value, grid, heights))
    assert found.pvalue > 1e-3


def test_derivatives_compiled_as_for_nuts() -> None:
    rows = np.array([[1.7, 0.9, 0.2, 1.3], [1.0 + 1e-7, -0.6, 0.0, 0.8], [0.8, 0.3, -0.5, 2.0]])
    x = np.resize(X[1:], 20)

    def density(values: tf.Tensor) -> tf.Tensor:
        named = dict(zip(stable.PRIOR, tf.unstack(values, axis=1), strict=True))
        return stable.log_likelihood(named, {"x": x})

    @tf.function(jit_compile=True)
    def slopes(values: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(values)
            total = tf.reduce_sum(density(values))
        return tape.gradient(total, values)

    found = slopes(tf.constant(rows)).numpy()
    step = 1e-4 * np.eye(4)
    for column in range(4):
        moved = [density(tf.constant(rows + sign * step[column])).numpy() for sign in (1, -1)]
        difference = (moved[0] - moved[1]) / 2e-4
        # Near one, rounding and the integral's error count in the difference.
        np.testing.assert_allclose(found[:, column], difference, rtol=2e-2)
        np.testing.assert_allclose(found[::2, column], difference[::2], rtol=1e-5)
