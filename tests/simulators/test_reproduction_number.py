"""The renewal model of Germany against loops over days, laws of growth, and SciPy's density."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from bayesinn.simulators import reproduction_number as model

DAYS = model.DAYS


def drawn(n: int, **changed) -> dict[str, np.ndarray]:
    simulations = model.reproduction_number.sample(n, seed=3)
    return {name: simulations[name] for name in model.PRIOR} | changed


def expected(parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tensors = {name: tf.constant(value, tf.float64) for name, value in parameters.items()}
    return {name: value.numpy() for name, value in model.expected_counts(tensors).items()}


def weights(mean: float, shape: float, lags: range) -> np.ndarray:
    density = stats.gamma(shape, scale=mean / shape).pdf(lags)
    return density / density.sum()


def by_loops(one: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    reproduction = np.exp(one["log_R"])
    shape = model.GENERATION_SHAPE
    growth = shape / model.GENERATION_MEAN * (reproduction[0] ** (1.0 / shape) - 1.0)
    infections = {day: one["infections"] * np.exp(growth * day) for day in range(-68, 1)}
    generation = weights(model.GENERATION_MEAN, shape, range(1, model.GENERATION_DAYS + 1))
    for day in range(1, DAYS):
        susceptible = max(0.0, 1.0 - sum(infections.values()) / model.POPULATION)
        force = sum(share * infections[day - 1 - lag] for lag, share in enumerate(generation))
        infections[day] = reproduction[day] * susceptible * force
    kernels = {
        name: weights(one[name], model.DELAY_SHAPE, range(model.DELAY_DAYS))
        for name in ("delay", "delay_recovered", "delay_dead")
    }

    def delayed(flow: dict[int, float], name: str) -> dict[int, float]:
        return {
            day: sum(share * flow[day - lag] for lag, share in enumerate(kernels[name]))
            for day in flow
            if day - model.DELAY_DAYS + 1 in flow
        }

    confirmed = delayed(infections, "delay")
    factors = np.exp(np.concatenate([[0.0], one["weekday"]]))
    weekday = np.resize(7.0 * factors / factors.sum(), DAYS)
    recovered, dead = (delayed(confirmed, f"delay_{name}") for name in ("recovered", "dead"))
    return {
        "confirmed": weekday * [confirmed[day] for day in range(DAYS)],
        "recovered": (1.0 - one["fatality"]) * np.array([recovered[d] for d in range(DAYS)]),
        "dead": one["fatality"] * weekday * [dead[day] for day in range(DAYS)],
    }


def test_means_are_those_of_loops_over_days() -> None:
    parameters = drawn(8)
    found = expected(parameters)
    for row in range(8):
        one = {name: value[row].astype(float) for name, value in parameters.items()}
        for name, mean in by_loops(one).items():
            np.testing.assert_allclose(found[name][row], mean, rtol=1e-9)


@pytest.mark.parametrize("reproduction", [0.7, 1.0, 1.4])
def test_a_constant_r_gives_constant_growth(reproduction: float) -> None:
    log_r = np.full((1, DAYS), np.log(reproduction))
    parameters = drawn(1, log_R=log_r, infections=[1.0], weekday=np.zeros((1, 6)))
    growth = np.diff(np.log(expected(parameters)["confirmed"][0]))
    shape = model.GENERATION_SHAPE
    law = shape / model.GENERATION_MEAN * (reproduction ** (1.0 / shape) - 1.0)
    # The law is that of continuous time; whole days leave it by less than 2 % of R.
    np.testing.assert_allclose(growth, law, atol=2e-3)


def test_weekdays_leave_the_mean_of_a_week() -> None:
    parameters = drawn(20)
    flat = parameters | {"weekday": np.zeros((20, 6))}
    # At constant infections, so that days differ by their weekday alone.
    level = {"log_R": np.zeros((20, DAYS)), "infections": np.ones(20)}
    with_effect, without = (expected(each | level)["confirmed"] for each in (parameters, flat))
    weekly = [values[:, :77].reshape(20, 11, 7).sum(axis=2) for values in (with_effect, without)]
    np.testing.assert_allclose(*weekly, rtol=2e-3)
    assert np.abs(with_effect / without - 1.0).max() > 0.3


def test_likelihood_is_that_of_students_t() -> None:
    parameters = drawn(5)
    means = expected(parameters)
    data = model.reproduction_number.observed
    total = np.zeros(5)
    for name in model.SERIES:
        scale = np.sqrt(
            1.0 + means[name] + (parameters[f"noise_{name}"][:, None] * means[name]) ** 2
        )
        total += stats.t(4.0, means[name], scale).logpdf(data[name]).sum(axis=1)
    found = model.log_likelihood(parameters, data)
    np.testing.assert_allclose(found, total, rtol=1e-4)


def test_counts_scatter_around_their_means_as_declared() -> None:
    parameters = {name: np.repeat(value[:1], 4_000, axis=0) for name, value in drawn(1).items()}
    means = expected({name: value[:1] for name, value in parameters.items()})
    data = model.reproduction_number.simulate(parameters, seed=4)
    for name in model.SERIES:
        noise = parameters[f"noise_{name}"][0] * means[name][0]
        scale = np.sqrt(1.0 + means[name][0] + noise**2)
        standard = (data[name] - means[name][0]) / scale
        distances = [stats.kstest(column, stats.t(4.0).cdf).statistic for column in standard.T]
        # The largest of 81 distances of 4,000 exact draws is .03.
        assert max(distances) < 0.04


def test_the_data_are_those_of_germany() -> None:
    data = model.reproduction_number.observed
    assert [int(data[name].sum()) for name in model.SERIES] == [178_891, 158_071, 8_203]
