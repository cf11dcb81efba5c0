"""Least losses, draws and densities of flows whose networks are exact."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.flows import Consistency, Diffusion, FlowMatching, ResidualMLP
from bayesinn.flows.matching import _LEAST_TIME, Transport
from bayesinn.testing.contracts import perturb
from tests.flows.matching.exact_networks import (
    ExactConsistency,
    ExactDenoiser,
    ExactVelocity,
    shrunk_by_consistency,
)

MEAN = 0.7
SD = 0.3
ROWS = 200_000


def mean_loss(flow, mean: float, sd: float, elements: int = 1) -> float:
    x = mean + sd * tf.random.stateless_normal((ROWS, elements), (3, 4))
    return float(tf.reduce_mean(flow.loss(x, seed=tf.constant([1, 2]))))


@pytest.mark.parametrize("elements", [1, 3])
@pytest.mark.parametrize("sd", [0.1, 0.3, 1.0])
def test_least_loss_of_flow_matching(sd: float, elements: int) -> None:
    loss = mean_loss(FlowMatching(ExactVelocity(MEAN, sd)), MEAN, sd, elements)
    assert loss == pytest.approx(elements * np.pi / 2.0 * sd, rel=0.01)


@pytest.mark.parametrize(("late_times", "least"), [(0.0, 0.47124), (1.0, 0.66584), (4.0, 0.9118)])
def test_late_times_move_the_least_loss(late_times: float, least: float) -> None:
    flow = FlowMatching(ExactVelocity(MEAN, SD), late_times=late_times)
    assert mean_loss(flow, MEAN, SD) == pytest.approx(least, rel=0.01)


@pytest.mark.parametrize("schedule", ["edm", "variance preserving"])
def test_least_loss_of_diffusion(schedule: str) -> None:
    flow = Diffusion(ExactDenoiser(0.0, 1.0), schedule)
    assert mean_loss(flow, 0.0, 1.0, elements=3) == pytest.approx(3.0, rel=0.01)
    flow = Diffusion(ExactDenoiser(MEAN, SD), schedule)
    levels = flow.levels((tf.range(ROWS, dtype=tf.float32) + 0.5) / ROWS).numpy().astype(float)
    least = np.mean(SD**2 * (1.0 + levels**2) / (SD**2 + levels**2))
    assert mean_loss(flow, MEAN, SD) == pytest.approx(least, rel=0.01)


def test_levels_of_noise() -> None:
    uniforms = tf.constant([0.0, 0.5, 1.0 - 1e-7])
    levels = Diffusion(schedule="edm").levels(uniforms)
    assert float(levels[1]) == pytest.approx(np.exp(-1.2), rel=1e-5)
    levels = Diffusion(schedule="variance preserving").levels(uniforms)
    np.testing.assert_allclose(-2.0 * np.log(levels), [15.0, 0.0, -15.0], atol=0.01)


TRANSPORTS = [
    FlowMatching(ExactVelocity(MEAN, SD)),
    FlowMatching(ExactVelocity(MEAN, SD), solver="adaptive"),
    Diffusion(ExactDenoiser(MEAN, SD)),
    Diffusion(ExactDenoiser(MEAN, SD), "variance preserving"),
    Diffusion(ExactDenoiser(MEAN, SD), solver="heun", steps=64, density_steps=128),
]


@pytest.mark.parametrize("flow", TRANSPORTS, ids=repr)
def test_draws_and_densities(flow: Transport) -> None:
    flow.build((2,))
    law = scipy.stats.norm(MEAN, SD)
    draws = flow.sample(20_000, seed=(1, 2)).numpy()
    assert draws.shape == (20_000, 2)
    # Two means over the noise; the solver's error is far below.
    assert scipy.stats.kstest(draws[:, 0], law.cdf).statistic < 0.015
    x = tf.constant(law.rvs((200, 2), random_state=1), tf.float32)
    log_prob = tf.function(flow.log_prob)(x)
    np.testing.assert_allclose(log_prob, law.logpdf(x).sum(axis=1), atol=0.08)
    codes = flow.encode(x)
    np.testing.assert_allclose(codes, (x - MEAN) / SD, atol=0.03)
    np.testing.assert_allclose(flow.decode(codes), x, atol=0.02)


def test_nothing_is_left_to_do_at_the_least_time() -> None:
    flow = Consistency(ResidualMLP(units=16, blocks=2))
    flow.build((3,), (2,))
    perturb(flow, np.random.default_rng(1), 0.5)
    x = tf.random.stateless_normal((50, 3), (1, 2))
    embedded = flow.embedded(tf.ones((50, 2)))
    np.testing.assert_array_equal(flow.clean(x, tf.constant([0.001]), embedded), x)
    assert not np.allclose(flow.clean(x, tf.constant([0.01]), embedded), x, atol=1e-4)


@pytest.mark.parametrize("largest_time", [1.0, 10.0, 80.0])
def test_one_step_shrinks_by_a_known_share(largest_time: float) -> None:
    flow = Consistency(ExactConsistency(MEAN, SD), largest_time=largest_time, steps=1)
    flow.build((1,))
    draws = flow.sample(100_000, seed=(1, 2)).numpy()
    share = shrunk_by_consistency(SD, largest_time)
    sd = largest_time * share
    assert draws.mean() == pytest.approx(MEAN * (1.0 - share), abs=4.0 * sd / np.sqrt(len(draws)))
    assert draws.std() == pytest.approx(sd, rel=0.01)


def test_each_further_step_shrinks_by_its_time() -> None:
    flow = Consistency(ExactConsistency(MEAN, SD), largest_time=1.0, steps=4)
    flow.build((1,))
    draws = flow.sample(100_000, seed=(1, 2)).numpy()
    bias = MEAN
    variance = 0.0
    for time in flow.time(np.linspace(1.0, 0.0, 5))[:-1]:
        share = shrunk_by_consistency(SD, time)
        bias *= share
        variance = share**2 * (variance + time**2)
    assert draws.mean() == pytest.approx(MEAN - bias, abs=4e-3)
    assert draws.std() == pytest.approx(np.sqrt(variance), rel=0.01)


@pytest.mark.parametrize("largest_time", [5.0, 40.0])
def test_a_path_of_the_teacher_ends_where_it_should(largest_time: float) -> None:
    flow = Consistency(ExactDenoiser(MEAN, SD), largest_time=largest_time)
    flow.build((2,))
    places = tf.constant([0.2, 0.5, 0.8, 1.0])
    times = flow.time(places)[:, None]
    x = MEAN + tf.sqrt(SD**2 + times**2) * tf.constant([[-1.0, 1.5]])
    exact = MEAN + (x - MEAN) * tf.sqrt((SD**2 + _LEAST_TIME**2) / (SD**2 + times**2))
    # In standard deviations; the error is that of twelve steps.
    np.testing.assert_allclose((flow.end_of_path(x, places, None) - exact) / SD, 0.0, atol=0.03)


def test_least_loss_of_consistency() -> None:
    flow = Consistency(ExactConsistency(MEAN, SD))
    flow.teacher.network = ExactDenoiser(MEAN, SD)
    flow.build((3,))
    x = MEAN + SD * tf.random.stateless_normal((ROWS, 3), (3, 4))
    seed = tf.constant([1, 2])
    taught = flow.teacher.loss(x, seed=seeds.split(seed, 3)[0])
    # All of the loss is the teacher's: the exact map ends where its paths do.
    assert np.mean(flow.loss(x, seed=seed) - taught) == pytest.approx(0.0, abs=1e-3)
