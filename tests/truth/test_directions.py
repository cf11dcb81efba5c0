"""Posteriors of angles and unit vectors, against exact ones, at the cut and elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import InputError

tfd = tfp.distributions
NOISE = 0.1
ANGLE = {"phase": tfd.VonMises(0.0, 0.0)}
AROUND = np.linspace(-np.pi, np.pi, 9, dtype=np.float32)[:-1]


def point_on_circle(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)


def exact(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return concentrations and locations (n,) of von Mises posteriors, given data (n, 2)."""
    return np.hypot(*data.T) / NOISE**2, np.arctan2(data[:, 1], data[:, 0])


def log_likelihood(parameters: dict[str, tf.Tensor], data: dict[str, tf.Tensor]) -> tf.Tensor:
    point = tf.stack([tf.cos(parameters["phase"]), tf.sin(parameters["phase"])], axis=-1)
    return -0.5 * tf.reduce_sum(tf.square((data["point"] - point) / NOISE), axis=-1)


@bi.simulator(prior=ANGLE, log_likelihood=log_likelihood)
def noisy_point(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    point = tf.stack([tf.cos(parameters["phase"]), tf.sin(parameters["phase"])], axis=-1)
    return {"point": point + NOISE * tf.random.stateless_normal(tf.shape(point), seed)}


@pytest.fixture(scope="module")
def posterior() -> bi.AmortizedPosterior:
    fitted = bi.AmortizedPosterior(noisy_point)
    return fitted.fit(steps=2_000, batch_size=256, seed=1, progress=False)


def test_no_place_on_the_circle_differs(posterior: bi.AmortizedPosterior) -> None:
    data = {"point": point_on_circle(AROUND)}
    raw = posterior.sample(data, draws=8_000, seed=2)["phase"]
    assert np.abs(raw).max() <= np.float32(np.pi)
    assert np.ptp(raw[0]) > 6.0
    drawn = noisy_point.prior.unwrapped({"phase": raw})["phase"]
    # Deviations are 1.02 to 1.09 of the exact one, those at the cut and opposite differ by 2 %.
    scale = stats.vonmises(1.0 / NOISE**2).std()
    assert np.abs(drawn.std(axis=1) / scale - 1.0).max() < 0.12
    assert drawn[0].std() / drawn[4].std() == pytest.approx(1.0, abs=0.05)
    assert np.abs(np.abs(drawn.mean(axis=1)) - np.abs(AROUND)).max() < 0.02
    # Plain means and deviations of inference data are those of the circle, too.
    tree = posterior.infer(data, draws=200, seed=2, predictive=False)
    assert np.median(np.ptp(tree["posterior"]["phase"].to_numpy()[0], axis=0)) < 1.0


def test_the_density_is_continuous_and_normalised(posterior: bi.AmortizedPosterior) -> None:
    data = {"point": point_on_circle(AROUND)}
    ends = np.tile(np.array([np.pi - 1e-6, 1e-6 - np.pi, np.pi + 0.1, 0.1 - np.pi], "f4"), (8, 1))
    density = posterior.log_prob({"phase": ends}, data)
    assert np.allclose(density[:, 0], density[:, 1], atol=1e-3)
    assert np.allclose(density[:, 2], density[:, 3], atol=1e-3)
    grid = np.tile(np.linspace(-np.pi, np.pi, 201, dtype=np.float32)[:-1], (8, 1))
    total = np.exp(posterior.log_prob({"phase": grid}, data)).sum(axis=1) * 2.0 * np.pi / 200
    # With 32 nodes over the distance, within 6e-4.
    assert np.allclose(total, 1.0, atol=3e-3)
    rows = noisy_point.sample(500, seed=3)
    own = posterior.log_prob({"phase": rows["phase"]}, {"point": rows["point"]})
    concentration, location = exact(rows["point"])
    best = stats.vonmises.logpdf(rows["phase"], concentration, location)
    # 0.008 nats
    assert abs(np.mean(best - own)) < 0.03
    found = posterior.map({"point": point_on_circle(AROUND[:1])}, draws=200, seed=1)["phase"]
    assert abs(found[0]) > np.pi - 0.05


def test_a_diagnosis_sees_no_cut(posterior: bi.AmortizedPosterior) -> None:
    report = bi.diagnose(posterior, simulations=500, draws=99, seed=4, progress=False)
    assert report.evidence.truth["phase"].max() > np.pi
    # A few draws lie between: 1 of 10,000.
    assert np.quantile(np.ptp(report.evidence.draws["phase"], axis=1), 0.9) < 1.0
    # Scaled ranks over 500 data sets
    drawn, truth = report.evidence.draws["phase"], report.evidence.truth["phase"]
    ranks = (drawn < truth[:, None]).mean(axis=1)
    assert stats.kstest(ranks, "uniform").pvalue > 1e-3


def test_chains_and_corrections_move_around_the_circle(posterior: bi.AmortizedPosterior) -> None:
    data = {"point": point_on_circle(np.array(np.pi - 0.03))}
    concentration, location = exact(data["point"][None])
    refined = bi.refine(posterior, data, draws=2_000, seed=1, predictive=False)
    particles = bi.reference.tempered_smc(noisy_point, data, particles=1_000, progress=False)
    found = {
        "refined": refined["posterior"]["phase"].to_numpy(),
        "particles": particles.parameters["phase"],
    }
    for name, angles in found.items():
        turned = np.angle(np.exp(1j * (np.ravel(angles) - location)))
        assert abs(turned.mean()) < 0.015, name
        scale = stats.vonmises(concentration[0]).std()
        assert turned.std() == pytest.approx(scale, rel=0.1), name


def test_ranks_of_exact_draws_are_uniform_at_the_cut() -> None:
    generator = np.random.default_rng(1)
    truth = generator.vonmises(np.pi, 20.0, size=2_000)
    drawn = np.angle(np.exp(1j * generator.vonmises(np.pi, 20.0, size=(2_000, 99))))
    both = {"phase": np.concatenate([truth[:, None], drawn], axis=1)}
    near = noisy_point.prior.unwrapped(both)["phase"]
    assert np.ptp(near, axis=1).max() < 3.0
    ranks = (near[:, :1] > near[:, 1:]).sum(axis=1)
    assert stats.kstest((ranks + 0.5) / 100.0, "uniform").pvalue > 0.01


def test_point_estimates_refuse_angles() -> None:
    with pytest.raises(InputError, match=r"angles or unit vectors: \['phase'\]"):
        bi.PointEstimator(noisy_point)


SPREAD = 0.3
DIRECTION = tfd.VonMisesFisher([0.0, 0.0, 1.0], 3.0)


@bi.simulator(prior={"direction": DIRECTION})
def noisy_direction(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    direction = parameters["direction"]
    return {"seen": direction + SPREAD * tf.random.stateless_normal(tf.shape(direction), seed)}


def test_unit_vectors() -> None:
    posterior = bi.AmortizedPosterior(noisy_direction)
    posterior.fit(steps=1_500, batch_size=256, seed=1, progress=False)
    rows = noisy_direction.sample(500, seed=3)
    drawn = posterior.sample({"seen": rows["seen"]}, draws=500, seed=2)["direction"]
    assert np.allclose(np.linalg.norm(drawn, axis=-1), 1.0, atol=1e-5)
    natural = np.array([0.0, 0.0, 3.0]) + rows["seen"] / SPREAD**2
    kappa = np.linalg.norm(natural, axis=-1)
    own = posterior.log_prob({"direction": rows["direction"]}, {"seen": rows["seen"]})
    best = kappa * np.sum(natural / kappa[:, None] * rows["direction"], axis=-1)
    best += np.log(kappa / (2.0 * np.pi)) - kappa - np.log1p(-np.exp(-2.0 * kappa))
    # Measured 0.02 nats.
    assert abs(np.mean(best - own)) < 0.05
