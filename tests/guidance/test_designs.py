"""Designs of a linear normal experiment: their order, gains and errors against exact ones."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BayesinnError
from bayesinn.core.labels import Labels
from bayesinn.guidance import rank_designs

tfd = tfp.distributions
VARIANCES = np.array([4.0, 1.0])
NOISE = 0.25
ANGLES = np.array([0.9, 0.0, 1.5, 0.3, 0.6], np.float32)


@bi.simulator(
    prior={"a": tfd.Normal(0.0, 2.0), "b": tfd.Normal(0.0, 1.0)},
    context={"angle": tfd.Uniform(0.0, 1.6)},
    name="turned",
)
def turned(parameters, context, seed):
    """Return one coordinate of a point, in a turned system."""
    angle = context["angle"]
    mean = parameters["a"] * tf.cos(angle) + parameters["b"] * tf.sin(angle)
    return {"y": mean + np.sqrt(NOISE) * tf.random.stateless_normal(tf.shape(mean), seed)}


def moments(data):
    """Return exact means (n, 2) and covariances (n, 2, 2)."""
    loading = np.stack([np.cos(data["angle"]), np.sin(data["angle"])], axis=-1)
    gain = VARIANCES * loading
    total = np.sum(gain * loading, axis=-1) + NOISE
    covariance = np.diag(VARIANCES) - gain[:, :, None] * gain[:, None] / total[:, None, None]
    return gain * (data["y"] / total)[:, None], covariance


def sample(data, draws, seed):
    mean, covariance = moments(data)
    noise = np.random.default_rng(seed).normal(size=(len(mean), draws, 2))
    values = mean[:, None] + noise @ np.swapaxes(np.linalg.cholesky(covariance), 1, 2)
    return {"a": values[..., 0], "b": values[..., 1]}


def log_prob(parameters, data):
    mean, covariance = moments(data)
    away = np.stack([parameters["a"], parameters["b"]], axis=-1) - mean[:, None]
    inverse = np.linalg.inv(covariance)
    squares = np.einsum("nki,nij,nkj->nk", away, inverse, away)
    return -0.5 * squares - np.log(2.0 * np.pi) - 0.5 * np.linalg.slogdet(covariance)[1][:, None]


@pytest.fixture(scope="module")
def exact() -> bi.SampledPosterior:
    return bi.SampledPosterior(turned, sample, log_prob)


def information(variances):
    loading = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=-1)
    return 0.5 * np.log1p((loading**2 * variances).sum(axis=1) / NOISE)


def test_gains_are_exact_ones_within_their_errors(exact) -> None:
    table = rank_designs(exact, {"angle": ANGLES}, simulations=3_000, draws=100, seed=1)
    assert table.index.tolist() == np.argsort(-information(VARIANCES)).tolist()
    truth = information(VARIANCES)[table.index]
    assert np.all(np.abs(table["information"] - truth) < 4.0 * table["error"])
    assert np.all(np.abs(table["behind"] - truth.max() + truth) <= 4.0 * table["behind_error"])
    assert table["behind_error"].max() < 0.05
    data = {"y": np.zeros(5), "angle": ANGLES[table.index]}
    left = np.diagonal(moments(data)[1], axis1=1, axis2=2)
    shrinks = 0.5 * np.log(VARIANCES / left)
    np.testing.assert_allclose(table[["shrinks a", "shrinks b"]], shrinks, atol=0.05)


def test_after_data_the_next_design_is_another_one(exact) -> None:
    """The first one tells nearly all of `a`: what is left to learn is `b`."""
    first = exact.sample({"y": 1.0, "angle": 0.0}, draws=2_000, seed=1)
    table = rank_designs(exact, {"angle": ANGLES}, after=first, draws=500, seed=2)
    left = np.array([4.0 * NOISE / (4.0 + NOISE), 1.0])
    truth = information(left)[table.index]
    assert table.index[0] == 2
    assert np.all(np.abs(table["information"] - truth) < 0.02 + 4.0 * table["error"])
    assert table.loc[2, "shrinks b"] == pytest.approx(0.5 * np.log(1.0 + 1.0 / NOISE), abs=0.1)


@pytest.mark.slow
def test_a_trained_network_finds_the_best_design_of_95_in_100_seeds() -> None:
    posterior = bi.AmortizedPosterior(turned, flow=bi.flows.coupling(blocks=2, hidden=(32,)))
    posterior.fit(steps=1_500, batch_size=128, seed=1, progress=False)
    best = int(np.argmax(information(VARIANCES)))
    tables = [
        rank_designs(posterior, {"angle": ANGLES}, simulations=300, draws=20, seed=seed)
        for seed in range(100)
    ]
    assert sum(table.index[0] == best for table in tables) >= 95
    means = np.mean([table["information"].sort_index() for table in tables], axis=0)
    # A bound from below, that training brings close.
    assert np.all(means < information(VARIANCES) + 0.02)
    assert np.all(means > information(VARIANCES) - 0.15)


@pytest.mark.parametrize(
    ("designs", "after", "words"),
    [
        ({"angel": [0.1]}, None, "did you mean 'angle'"),
        ({"angle": 0.1}, None, "as many designs"),
        ({"angle": [[0.1]]}, None, "as many designs"),
        ({}, None, "pass for example"),
        ({"angle": [9.0]}, None, "angle"),
        ({"angle": [0.1]}, {"a": [1.0, 2.0]}, "posterior.sample"),
        ({"angle": [0.1]}, {"a": [1.0], "b": [1.0, 2.0]}, "as many draws"),
    ],
)
def test_what_can_not_be_ranked_is_refused(exact, designs, after, words: str) -> None:
    with pytest.raises(BayesinnError, match=f"(?s){words}"):
        rank_designs(exact, designs, after=after)


def test_a_posterior_without_designs_or_densities_is_refused(exact) -> None:
    with pytest.raises(BayesinnError, match="no context"):
        rank_designs(
            bi.SampledPosterior(bi.get_simulator("linear"), sample, log_prob), {"y": [1.0]}
        )
    with pytest.raises(BayesinnError, match="exact density"):
        rank_designs(bi.SampledPosterior(turned, sample), {"angle": [0.1]})


@pytest.mark.parametrize("names", [["angle"], ["angle", "distance"]])
def test_the_picture_shows_each_design_where_it_is(exact, names) -> None:
    table = rank_designs(exact, {"angle": ANGLES}, simulations=100, draws=20)
    table.insert(1, "distance", table["angle"] + 1.0)
    table = table.drop(columns={"distance"} - {*names})
    labels = Labels({"angle": "phi"}, {"angle": "rad"})
    left, right = bi.plots.designs(table, labels=labels).axes
    points = left.lines[0].get_xydata()
    if len(names) == 1:
        expected = np.stack([table["angle"], table["information"]], axis=1)
        np.testing.assert_allclose(points, expected[np.argsort(expected[:, 0])])
        assert left.get_xlabel() == "phi [rad]"
    else:
        np.testing.assert_allclose(points, np.stack([table["information"], range(5)], axis=1))
        assert left.get_yticklabels()[0].get_text() == "phi 0, distance 1"
    assert right.get_legend_handles_labels()[1] == ["a", "b"]
