"""Parameters that are series: densities that integrate, laws that are exact, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulation.prior import Prior
from bayesinn.spaces.parameters import ParameterSpace
from tests.helpers.untrained import untrained

tfd = tfp.distributions
STEPS = 20
STEP_SD = 0.3
NOISE = 0.5
ROOT = STEP_SD * np.tri(STEPS)


@bi.simulator(
    prior={"level": tfd.MultivariateNormalTriL(scale_tril=ROOT.astype("f4"))},
    context={
        "days": tfd.FiniteDiscrete(np.arange(5.0, STEPS + 1.0, dtype="f4"), probs=16 * [1 / 16])
    },
    coordinates={"level": {"day": range(STEPS)}, "y": {"day": range(STEPS)}},
    lengths={"y": "days"},
)
def walk(parameters, context, seed):
    """A random walk, and noisy values of its first days."""
    level = parameters["level"]
    return {"y": level + NOISE * tf.random.stateless_normal(tf.shape(level), seed)}


@pytest.fixture(scope="module")
def trained() -> bi.AmortizedPosterior:
    posterior = bi.AmortizedPosterior(walk)
    return posterior.fit(steps=400, batch_size=256, seed=1, progress=False)


def exact(y: np.ndarray, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Return means (n, steps) and covariance of levels, as a Kalman smoother does."""
    seen = np.diag((np.arange(STEPS) < days) / NOISE**2)
    covariance = np.linalg.inv(np.linalg.inv(ROOT @ ROOT.T) + seen)
    return y @ seen @ covariance, covariance


@pytest.mark.parametrize("days", [STEPS, 8])
def test_smoothing_and_forecasts_are_those_of_the_kalman_smoother(trained, days: int) -> None:
    sets, draws = 40, 1_000
    context = {"days": np.full(sets, days)}
    level = walk.prior.sample(sets, tf.constant([1, 2]))["level"].numpy()
    y = walk.simulate({"level": level}, seed=3, context=context)["y"]
    means, covariance = exact(np.where(np.arange(STEPS) < days, y, 0.0).astype(float), days)
    drawn = trained.sample({"y": y, **context}, draws=draws, seed=4)["level"]
    sd = np.sqrt(np.diag(covariance))
    scaled = (drawn - means[:, None]) / sd
    ks = [
        scipy.stats.kstest(each, "norm").statistic
        for each in scaled.transpose(0, 2, 1).reshape(-1, draws)
    ]
    # Exact draws have .027.
    assert np.mean(ks) < 0.06
    assert np.abs(scaled.std(axis=(0, 1)) - 1.0).max() < 0.1
    neighbours = np.mean([np.diag(np.corrcoef(each.T), 1) for each in drawn], axis=0)
    expected = np.diag(covariance, 1) / (sd[1:] * sd[:-1])
    assert np.abs(neighbours - expected).max() < 0.13


def test_the_density_is_that_of_the_draws(trained) -> None:
    sets = walk.sample(400, seed=5)
    found = trained.log_prob({"level": sets["level"]}, {name: sets[name] for name in ("y", "days")})
    nats = []
    for level, y, days in zip(sets["level"], sets["y"], sets["days"], strict=True):
        seen = np.where(np.arange(STEPS) < days, y, 0.0).astype(float)
        mean, covariance = exact(seen, int(days))
        nats.append(scipy.stats.multivariate_normal(mean, covariance).logpdf(level))
    assert 0.0 < np.mean(nats) - np.mean(found) < 0.12


def test_densities_are_those_of_the_draws_beside_other_parameters() -> None:
    prior = Prior({"a": tfd.Normal(0.0, 1.0), "path": tfd.Sample(tfd.Normal(0.0, 1.0), 2)})
    flow = bi.flows.Path(["path"], bi.flows.coupling(blocks=1, hidden=(8,)))
    flow.bind(ParameterSpace(prior, seed=1))
    generator = np.random.default_rng(1)
    condition = {
        name: tf.constant(generator.normal(size=(1, *shape)), tf.float32)
        for name, shape in {"features": (3,), "steps": (2, 4)}.items()
    }
    rows = tf.constant(generator.normal(size=(500, 3)) @ np.tri(3), tf.float32)
    whole = {name: tf.repeat(value, 500, axis=0) for name, value in condition.items()}
    flow.initialize(rows, whole)
    for weight in flow.trainable_variables:
        weight.assign_add(0.05 * generator.normal(size=weight.shape).astype("f4"))
    draws = flow.sample(40_000, condition, seed=(1, 2))[0].numpy()
    repeated = {name: tf.repeat(value, len(draws), axis=0) for name, value in condition.items()}
    log_density = flow.log_prob(draws, repeated).numpy()
    # The mean of p / q over draws of q is one for each density p; these lie where draws are.
    spread = np.cov(draws.T)
    for shift in (np.zeros(3), [0.5, -0.5, 0.5]):
        mean = draws.mean(axis=0) + shift * np.sqrt(np.diag(spread))
        other = scipy.stats.multivariate_normal(mean, 0.3 * spread).logpdf(draws)
        ratios = np.exp(other - log_density)
        error = ratios.std() / np.sqrt(len(draws))
        assert error < 0.03
        assert abs(ratios.mean() - 1.0) < 4.0 * error


@bi.simulator(
    prior={
        "sd": tfd.LogNormal(-1.0, 0.5),
        "level": lambda sd: tfd.MultivariateNormalTriL(
            scale_tril=sd[:, None, None] * np.tri(12, dtype="f4")
        ),
        "share": tfd.Sample(tfd.Beta(2.0, 2.0), 12),
    },
    coordinates={name: {"day": range(12)} for name in ("level", "share", "y", "z")},
    labels={"level": "growth"},
    missing="mask",
)
def two_paths(parameters, seed):
    """Two series, with some values missing, of two paths and a number."""
    noise = tf.random.stateless_normal((tf.shape(parameters["level"])[0], 24), seed)
    y = parameters["level"] + 0.3 * noise[:, :12]
    return {"y": tf.where(noise[:, 12:] > 1.0, np.nan, y), "z": parameters["share"]}


def test_several_paths_beside_a_number_are_saved(tmp_path: Path) -> None:
    posterior = bi.AmortizedPosterior(two_paths)
    assert posterior.flow.paths == ["level", "share"]
    assert repr(posterior.summaries["y, z"]) == "Steps()"
    posterior.fit(steps=2, batch_size=64, seed=1, progress=False)
    data = {name: two_paths.sample(3, seed=2)[name] for name in ("y", "z")}
    draws = posterior.sample(data, draws=20, seed=3)
    assert draws["sd"].shape == (3, 20)
    assert ((draws["share"] > 0.0) & (draws["share"] < 1.0)).all()
    posterior.save(tmp_path / "saved")
    loaded = bi.load(tmp_path / "saved", two_paths)
    again = loaded.sample(data, draws=20, seed=3)
    assert all(np.array_equal(draws[name], again[name]) for name in draws)


def test_results_and_tables_have_the_coordinate_of_a_path() -> None:
    tree = untrained(two_paths).infer(
        {name: two_paths.sample(1, seed=2)[name][0] for name in ("y", "z")}, draws=5, seed=1
    )
    assert tree["posterior"]["level"].dims == ("chain", "draw", "day")
    assert tree["posterior"]["level"].attrs["long_name"] == "growth"
    assert two_paths.labels.label("level[3]") == "growth, day 3"


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(InputError, match="argument 'paths'"):
        bi.flows.Path([])
    with pytest.raises(InputError, match="reads features alone"):
        bi.flows.Path(["level"], step=bi.flows.Path(["level"]))
    refused = {
        "bi.summaries.Steps": (bi.summaries.ConvLSTM(4), bi.flows.Path(["level"])),
        "got:      shape \\(\\)": (bi.summaries.Steps(4), bi.flows.Path(["level", "sd"])),
        "got:      parameters": (bi.summaries.Steps(4), bi.flows.Path(["levels"])),
    }
    for message, (summary, flow) in refused.items():
        posterior = bi.AmortizedPosterior(two_paths, summary, flow)
        with pytest.raises(InputError, match=message):
            posterior.fit(steps=1, batch_size=8, progress=False)
