"""Conformal regions: coverage that holds for broken posteriors, too, and costs little for good ones."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.diagnosis import conformal_regions

tfd = tfp.distributions
FRESH = 4_000


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0), "sd": tfd.Uniform(0.5, 1.5)}, name="two")
def two(parameters, seed):
    noise = tf.random.stateless_normal((tf.shape(parameters["mean"])[0], 2), seed)
    return {"x": parameters["mean"][:, None] + parameters["sd"][:, None] * noise}


def posterior(width: float, shift: float) -> bi.SampledPosterior:
    """A crude posterior: normal around the mean of the data, uniform for the other."""

    def centre(data):
        return data["x"].mean(axis=1, keepdims=True) * 0.7 + shift

    def sample(data, draws, seed):
        generator = np.random.default_rng(seed)
        shape = (len(data["x"]), draws)
        return {
            "mean": centre(data) + width * generator.normal(size=shape),
            "sd": generator.uniform(0.5, 1.5, shape),
        }

    def log_prob(parameters, data):
        return stats.norm.logpdf(parameters["mean"], centre(data), width)

    return bi.SampledPosterior(two, sample, log_prob)


@pytest.mark.parametrize(("width", "shift"), [(0.6, 0.0), (0.2, 0.0), (2.0, 0.0), (0.5, 0.8)])
def test_coverage_is_the_level_whatever_the_posterior(width: float, shift: float) -> None:
    regions = conformal_regions(posterior(width, shift), simulations=2_000, draws=200, seed=1)
    fresh = two.sample(FRESH, seed=2)
    truth = {name: fresh.pop(name) for name in ("mean", "sd")}
    # Of the level's own noise, and of the calibration's.
    tolerance = 4.0 * np.sqrt(0.25 / FRESH + 0.25 / 2_000)
    for level in (0.5, 0.8, 0.95):
        for name, interval in regions.intervals(fresh, level=level).items():
            inside = (interval[:, 0] <= truth[name]) & (truth[name] <= interval[:, 1])
            assert abs(inside.mean() - level) < tolerance, (name, level)
        points = {name: value[:, None] for name, value in truth.items()}
        joint = regions.contains(points, fresh, level=level)
        assert abs(joint.mean() - level) < tolerance, level


def test_the_posterior_that_it_repairs_does_not_cover() -> None:
    table = conformal_regions(posterior(0.2, 0.0), simulations=1_000, draws=200, seed=1).table
    row = table[(table["level"] == 0.9) & (table["column"] == "mean")].iloc[0]
    assert row["coverage of the posterior"] < 0.6
    assert row["width ratio"] > 1.5


def test_intervals_follow_the_data_and_end_with_the_prior() -> None:
    regions = conformal_regions(posterior(0.6, 0.0), simulations=500, draws=200, seed=1)
    one = regions.intervals({"x": np.array([1.0, 2.0], np.float32)}, level=0.9)
    assert one["mean"].shape == (2,)
    assert one["mean"][0] < 1.05 < one["mean"][1]
    assert one["sd"][0] >= 0.5
    assert one["sd"][1] <= 1.5
    assert "guaranteed on average" in repr(regions)


def test_held_out_simulations_of_ones_own_and_what_is_refused() -> None:
    held_out = two.sample(60, seed=5)
    regions = conformal_regions(posterior(0.6, 0.0), held_out, draws=50)
    assert regions.simulations == 60
    with pytest.raises(InputError, match="99 held-out simulations or more"):
        regions.intervals({"x": held_out["x"]}, level=0.99)
    with pytest.raises(InputError, match="above 0"):
        regions.intervals({"x": held_out["x"]}, level=1.5)
    drawn_only = bi.SampledPosterior(two, posterior(0.6, 0.0)._sample)
    with pytest.raises(InputError, match="exact density"):
        conformal_regions(drawn_only, held_out, draws=50).contains(
            {"mean": 0.0, "sd": 1.0}, {"x": held_out["x"][0]}
        )
