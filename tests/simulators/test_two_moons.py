"""Two moons: the exact posterior against grids, weights and simulations."""

import numpy as np
import pytest
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.reference import importance
from bayesinn.simulators import two_moons as module

# Whole crescents; cut by the fold theta1 + theta2 = 0; cut by the prior's box.
OBSERVATIONS = [(0.0, 0.0), (0.3, 0.4), (-0.9, 0.2)]


@pytest.fixture(scope="module")
def fresh() -> dict[str, np.ndarray]:
    return module.two_moons.sample(30_000, seed=3)


def test_simulations_have_the_declared_density(fresh) -> None:
    """The noise, recovered from parameters and data: uniform angle, normal radius, independent."""
    first = fresh["theta1"]
    second = fresh["theta2"]
    x = fresh["x"]
    along = x[:, 0] - 0.25 + np.abs(first + second) / np.sqrt(2.0)
    across = x[:, 1] - (second - first) / np.sqrt(2.0)
    angle = np.arctan2(across, along)
    radius = np.hypot(along, across)
    assert stats.kstest(angle, stats.uniform(-np.pi / 2, np.pi).cdf).pvalue > 1e-3
    assert stats.kstest(radius, stats.norm(0.1, 0.01).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(np.abs(angle), radius)[0, 1]) < 4.0 / np.sqrt(len(angle))


def test_likelihood_is_a_density() -> None:
    side = np.linspace(-0.15, 0.15, 1201)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    given = {"theta1": np.full(len(points), 0.3), "theta2": np.full(len(points), -0.2)}
    centre = np.array([0.25 - 0.1 / np.sqrt(2.0), -0.5 / np.sqrt(2.0)])
    density = np.exp(module.log_likelihood(given, {"x": points + centre}))
    # Measured: 1.0000.
    assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("x", OBSERVATIONS)
def test_posterior_is_normalised(x: tuple[float, float]) -> None:
    middles = (np.arange(2000) + 0.5) / 1000.0 - 1.0
    first, second = np.meshgrid(middles, middles)
    density = np.exp(
        module.log_posterior(
            {"theta1": first.ravel(), "theta2": second.ravel()}, {"x": np.array(x)}
        )
    )
    # Measured: at most 9e-4 off, where the prior cuts through cells.
    assert density.mean() * 4.0 == pytest.approx(1.0, abs=2e-3)


def test_posterior_ends_with_the_prior() -> None:
    # Of points that all fit the data, those in the box of the prior.
    theta = {"theta1": np.array([-0.9, -1.1, -0.9]), "theta2": np.array([0.9, 0.9, 1.1])}
    across = (theta["theta2"] - theta["theta1"]) / np.sqrt(2.0)
    along = 0.35 - np.abs(theta["theta1"] + theta["theta2"]) / np.sqrt(2.0)
    data = {"x": np.stack([along, across], axis=-1)}
    assert np.isfinite(module.log_likelihood(theta, data)).all()
    assert np.isneginf(module.log_posterior(theta, data)).tolist() == [False, True, True]


@pytest.mark.parametrize("x", OBSERVATIONS)
def test_draws_follow_the_posterior(x: tuple[float, float]) -> None:
    """Marginal distribution functions of theta1, theta2 and theta1 + theta2, from a grid."""
    middles = (np.arange(2000) + 0.5) / 1000.0 - 1.0
    first, second = (values.ravel() for values in np.meshgrid(middles, middles))
    weights = np.exp(module.log_posterior({"theta1": first, "theta2": second}, {"x": np.array(x)}))
    draws = module.exact({"x": x}, 20_000, seed=1)
    sets = [
        (first, draws["theta1"]),
        (second, draws["theta2"]),
        (first + second, draws["theta1"] + draws["theta2"]),
    ]
    for values, drawn in sets:
        order = np.argsort(values)
        ends = values[order]
        heights = np.cumsum(weights[order]) / weights.sum()
        statistic = stats.kstest(
            drawn, lambda value, ends=ends, heights=heights: np.interp(value, ends, heights)
        )
        # Cells of 0.001 add at most 0.004 to the distance; measured at most 0.013 over three seeds.
        assert statistic.statistic < 0.016


@pytest.mark.parametrize("x", OBSERVATIONS)
def test_acceptance_is_twice_the_evidence(x: tuple[float, float]) -> None:
    found = importance(module.two_moons, {"x": x}, draws=1_000_000, seed=1)
    # Measured: within 0.04 over three seeds.
    assert found.log_evidence == pytest.approx(
        np.log(0.5 * module.acceptance(np.array(x))), abs=0.08
    )


def test_entropy(fresh) -> None:
    density = module.log_posterior(fresh, fresh)
    error = density.std() / np.sqrt(len(density))
    assert -density.mean() == pytest.approx(module.ENTROPY, abs=4.0 * error)
    # More sharply: the noise has its entropy in closed form, but for the mean log radius.
    radius = np.random.default_rng(1).normal(0.1, 0.01, 1_000_000)
    noise = np.log(np.pi) + 0.5 * np.log(2.0 * np.pi * np.e * 0.01**2) + np.mean(np.log(radius))
    log_evidence = np.log(0.5 * module.acceptance(fresh["x"]))
    error = log_evidence.std() / np.sqrt(len(log_evidence))
    assert error < 0.003
    assert np.log(4.0) + noise + log_evidence.mean() == pytest.approx(
        module.ENTROPY, abs=4.0 * error
    )


def test_ranks_are_uniform() -> None:
    """Parameters are draws from the exact posterior of their own data."""
    few = module.two_moons.sample(400, seed=5)
    for name in ("theta1", "theta2"):
        draws = [module.exact({"x": x}, 99, seed)[name] for seed, x in enumerate(few["x"])]
        ranks = np.sum(np.array(draws) < few[name][:, None], axis=1)
        assert stats.kstest((ranks + 0.5) / 100.0, "uniform").pvalue > 1e-3


def test_impossible_data_are_refused() -> None:
    with pytest.raises(InputError, match="a point that the model can produce"):
        module.exact({"x": (2.0, 0.0)}, 10, seed=1)
