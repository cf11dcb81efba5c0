"""Point estimates against exact posteriors; saved folders, what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.points import Estimate, Mean, Moments, Quantiles
from bayesinn.points.estimator import ParameterVector, Result, calibration_table
from bayesinn.simulation.prior import Prior
from bayesinn.simulators.linear import posterior_moments

tfd = tfp.distributions
LEVELS = (0.05, 0.25, 0.5, 0.9)
OPTIONS = {"steps": 1_200, "batch_size": 256, "seed": 1, "progress": False}


@bi.simulator(
    prior={
        "x": tfd.Sample(tfd.Normal(0.0, 1.0), 2),
        "rate": tfd.Gamma(2.0, 1.0),
        "people": tfd.Poisson(3.0),
    },
    units={"rate": "1/day"},
)
def mixed(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """The linear problem, a conjugate rate and a whole number, side by side."""
    rate = parameters["rate"]
    noise = tf.random.stateless_normal((2, tf.shape(rate)[0]), seed)
    return {
        "y": tf.reduce_sum(parameters["x"], axis=-1) + 0.5 * noise[0],
        "events": tf.random.stateless_poisson(tf.shape(rate), seed + 1, rate),
        "heads": parameters["people"] + 0.5 * noise[1],
    }


DATA = {
    "y": np.array([-1.5, 0.0, 2.0]),
    "events": np.array([0.0, 2.0, 4.0]),
    "heads": np.array([1.2, 3.4, 4.5]),
}


@pytest.fixture(scope="module")
def trained() -> bi.PointEstimator:
    estimator = bi.PointEstimator(mixed, estimates=[Moments(), Quantiles(LEVELS)], hidden=(64, 64))
    return estimator.fit(**OPTIONS)


def test_estimates_are_exact(trained) -> None:
    found = trained.estimate(DATA)
    assert found["mean"]["rate"].attrs["units"] == "1/day"
    mean, covariance = posterior_moments(DATA["y"])
    # Measured for seeds 1, 2 and 3: at most 0.011 of means, 0.013 of covariances, 0.042 of
    # quantiles of x; 0.024, 6 % of the sd, and 0.076 of the rate.
    np.testing.assert_allclose(found["mean"]["x"], mean, atol=0.03)
    np.testing.assert_allclose(
        found["covariance"]["covariance"][:, :2, :2], np.stack(3 * [covariance]), atol=0.03
    )
    rate = stats.gamma(2.0 + DATA["events"], scale=0.5)
    np.testing.assert_allclose(found["mean"]["rate"], rate.mean(), atol=0.05)
    np.testing.assert_allclose(found["standard_deviation"]["rate"], rate.std(), rtol=0.1)
    np.testing.assert_allclose(found["covariance"]["covariance"][:, 2, :2], 0.0, atol=0.05)
    quantiles = found["quantiles"]
    assert quantiles["x"].dims == ("observation", "level", "x_dim_0")
    assert quantiles["level"].values.tolist() == list(LEVELS)
    for number, level in enumerate(LEVELS):
        exact = mean + stats.norm.ppf(level) * np.sqrt(covariance[0, 0])
        np.testing.assert_allclose(quantiles["x"][:, number], exact, atol=0.07)
        np.testing.assert_allclose(quantiles["rate"][:, number], rate.ppf(level), atol=0.12)


def test_integers(trained) -> None:
    found = trained.estimate(DATA)
    whole = np.arange(15)
    weights = stats.poisson(3.0).pmf(whole) * stats.norm.pdf(DATA["heads"][:, None], whole, 0.5)
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found["mean"]["people"], weights @ whole, atol=0.1)
    exact = [np.searchsorted(row, LEVELS) for row in np.cumsum(weights, axis=1)]
    np.testing.assert_array_equal(found["quantiles"]["people"], exact)


def test_one_observation(trained) -> None:
    one = trained.estimate({name: value[1] for name, value in DATA.items()})
    found = trained.estimate(DATA)
    assert one["mean"]["x"].dims == ("x_dim_0",)
    np.testing.assert_allclose(one["quantiles"]["rate"], found["quantiles"]["rate"][1], rtol=1e-5)
    strange = trained.estimate({"y": 60.0, "events": 2.0, "heads": 3.0})
    assert float(strange["sample_stats"]["out_of_distribution_p"]) < 0.01
    assert float(one["sample_stats"]["out_of_distribution_p"]) > 0.01


def test_parameters_named_as_results_and_axes() -> None:
    @bi.simulator(prior={"level": tfd.Normal(0.0, 1.0), "covariance": tfd.Uniform([0.0] * 3, 1.0)})
    def model(parameters, seed):
        return {"y": parameters["level"] + tf.reduce_sum(parameters["covariance"], axis=-1)}

    estimator = bi.PointEstimator(model, hidden=(8,))
    estimator.fit(steps=2, batch_size=16, progress=False)
    found = estimator.estimate({"y": [0.1, 0.2]})
    assert found["quantiles"]["level"].dims == ("observation", "level_")
    assert found["mean"]["covariance"].dims == ("observation", "covariance_dim_0")
    assert found["covariance"]["covariance"].shape == (2, 4, 4)


def test_an_observation_beyond_all_leaves_others_alone() -> None:
    estimator = bi.PointEstimator(bi.get_simulator("linear"), hidden=(8,))
    estimator.fit(steps=4, batch_size=32, seed=1, progress=False)
    near = estimator.estimate({"y": [0.1, 0.2]})["standard_deviation"]
    for far in (1e30, -1e30):
        found = estimator.estimate({"y": [0.1, far, 0.2]})
        np.testing.assert_allclose(found["standard_deviation"]["x1"][[0, 2]], near["x1"])
        assert float(found["sample_stats"]["out_of_distribution_p"][1]) < 0.01


def test_calibration(trained) -> None:
    table = trained.calibration(simulations=4_000, seed=3)
    assert table.index.tolist() == ["x[0]", "x[1]", "rate", "people"]
    for level in LEVELS:
        np.testing.assert_allclose(table[f"below {level:g}"], level, atol=0.03)
    np.testing.assert_allclose(table["z_mean"], 0.0, atol=0.06)
    np.testing.assert_allclose(table["z_sd"], 1.0, atol=0.06)
    # The exact mean explains 1 - 5/9 of x.
    np.testing.assert_allclose(table["explained"].iloc[:2], 4 / 9, atol=0.05)
    # Estimates for other data are not calibrated.
    rows = mixed.sample(1_000, seed=4)
    shifted = trained.calibration({**rows, "y": rows["y"] + 2.0})
    assert (shifted["z_mean"].iloc[:2] < -0.5).all()


@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_exact_quantiles_of_integers_are_calibrated_and_others_are_not(shift: int) -> None:
    truth = stats.poisson(3.0).rvs(20_000, random_state=1).astype(float)
    exact = stats.poisson(3.0).ppf(LEVELS) + shift
    values = np.tile(exact, (len(truth), 1))
    results = {"quantiles": Result({"k": values}, {"level": LEVELS})}
    (row,) = calibration_table(results, {"k": truth}).to_numpy()
    error = row - LEVELS
    if not shift:
        # Chance: a share of 0.0498 is below the first.
        np.testing.assert_allclose(error, 0.0, atol=0.01)
    else:
        assert (shift * error >= 0.0).all()
        assert np.abs(error).max() > 0.05


@dataclasses.dataclass(frozen=True, repr=False)
class Spread(Estimate):
    """Standard deviations about the mean of the prior, without the mean of the posterior."""

    names = ("standard_deviation",)

    def size(self, dimension: int) -> int:
        return dimension

    def score(self, outputs: tf.Tensor, plain: tf.Tensor, squeezed: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum((outputs - plain**2) ** 2, axis=-1)

    def read(self, outputs: np.ndarray, vector: ParameterVector) -> dict[str, Result]:
        sd = np.sqrt(np.maximum(outputs, 1e-3)) * vector.scale
        return {"standard_deviation": Result(vector.split(sd))}


def test_deviations_alone_are_not_compared_with_means() -> None:
    alone = bi.PointEstimator(mixed, estimates=[Spread(), Quantiles((0.5,))], hidden=(8,))
    alone.fit(steps=2, batch_size=16, seed=1, progress=False)
    assert alone.calibration(simulations=20).columns.tolist() == ["below 0.5"]


def test_saved_and_loaded(trained, tmp_path: Path) -> None:
    loaded = bi.load(trained.save(tmp_path / "saved"))
    assert repr(loaded) == repr(trained)
    found = trained.estimate(DATA)
    for name, group in loaded.estimate(DATA).children.items():
        for key, value in group.data_vars.items():
            np.testing.assert_array_equal(value, found[name][key])


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


def test_resumed(tmp_path: Path) -> None:
    def fit(**options) -> bi.PointEstimator:
        new = bi.PointEstimator(mixed, estimates=[Mean()], hidden=(8,))
        return new.fit(steps=8, epochs=4, batch_size=16, seed=1, progress=False, **options)

    with pytest.raises(KeyboardInterrupt):
        fit(optimization=bi.Optimization(callbacks=[Stop()]), checkpoint=tmp_path)
    resumed = fit(checkpoint=bi.Checkpoint(tmp_path, resume=True))
    assert resumed.fingerprint == fit().fingerprint
    near = fit(start_from=resumed, optimization=bi.Optimization(learning_rate=1e-6))
    found = near.estimate(DATA)
    np.testing.assert_allclose(found["mean"]["x"], resumed.estimate(DATA)["mean"]["x"], atol=1e-4)
    assert list(found.children) == ["mean", "sample_stats"]
    assert resumed.calibration(simulations=20).columns.tolist() == ["explained"]


def test_no_density_no_draws(trained) -> None:
    for ask in (
        lambda: trained.sample(DATA),
        lambda: trained.infer(DATA),
        lambda: trained.log_prob({}, DATA),
    ):
        with pytest.raises(InputError, match=r"(?s)no density, no draws.*calibration\(\)"):
            ask()
    with pytest.raises(InputError, match=r"(?s)a posterior.*no density, no draws"):
        bi.diagnose(trained)


@bi.simulator(prior={"phase": tfd.VonMises(0.0, 1.0), "size": tfd.Normal(0.0, 1.0)})
def turned(parameters, seed):
    return {"x": tf.cos(parameters["phase"]) * parameters["size"]}


def test_what_cannot_be_estimated() -> None:
    with pytest.raises(InputError, match=r"(?s)each result once.*mean, mean"):
        bi.PointEstimator(mixed, estimates=[Mean(), Moments()])
    with pytest.raises(InputError, match="a list of estimates"):
        bi.PointEstimator(mixed, estimates=[])
    with pytest.raises(InputError, match="an Estimate"):
        bi.PointEstimator(mixed, estimates=["median"])
    with pytest.raises(InputError, match=r"(?s)angles or unit vectors: \['phase'\].*cosines"):
        bi.PointEstimator(turned)
    for levels in ((), (0.5, 0.1), (0.0, 0.5), (0.5, 0.5), ("a",), b"x", None, (0.1, [0.5])):
        with pytest.raises(InputError, match="Quantiles, argument 'levels'"):
            Quantiles(levels)


def test_quantiles_never_cross() -> None:
    outputs = 30.0 * np.random.default_rng(1).normal(size=(50, 12)).astype(np.float32)
    quantiles = Quantiles((0.1, 0.4, 0.6, 0.9))._quantiles(tf.constant(outputs)).numpy()
    assert (np.diff(quantiles, axis=-1) >= 0.0).all()
    # New networks, whose outputs are zero, tell a standard normal distribution.
    start = Quantiles((0.1, 0.4, 0.9))._quantiles(tf.zeros((1, 6)))
    np.testing.assert_allclose(start[0, 1], stats.norm.ppf([0.1, 0.4, 0.9]), rtol=1e-5)


def test_vectors_of_any_prior() -> None:
    prior = {
        "heavy": tfd.LogNormal(0.0, 2.5),
        "far": tfd.Normal(1e6, 0.1),
        "share": tfd.Dirichlet([1.0, 1.0, 1.0]),
        "low": tfd.Uniform(0.0, 1.0),
        "high": lambda low: tfd.Uniform(low, 2.0),
    }

    @bi.simulator(prior=prior)
    def model(parameters, seed):
        return {"y": parameters["low"]}

    rows = model.sample(500, seed=1)
    vector = ParameterVector.fit(model.prior, rows)
    assert vector.squeezed["heavy"].compress is not None
    plain, squeezed = np.split(vector.to_vectors(rows).numpy(), 2, axis=1)
    assert plain.shape == (500, 7)
    assert np.abs(squeezed).max() < 8.0
    for found in (vector.from_plain(plain), vector.from_squeezed(squeezed)):
        for name, value in found.items():
            np.testing.assert_allclose(value, rows[name], rtol=1e-4, atol=1e-5)
    # What is estimated stays inside the support.
    beyond = vector.from_plain(plain - 100.0)
    assert (beyond["heavy"] > 0.0).all()
    assert (beyond["low"] >= 0.0).all()


def test_integers_that_depend_on_others_are_whole() -> None:
    def crowd(rate: tf.Tensor) -> tfd.Distribution:
        return tfd.Poisson(rate)

    @bi.simulator(prior={"rate": tfd.Gamma(2.0, 1.0), "people": crowd})
    def model(parameters, seed):
        return {"y": parameters["people"]}

    vector = ParameterVector.fit(model.prior, model.sample(100, seed=1))
    found = vector.from_squeezed(np.random.default_rng(1).normal(size=(20, 2)))
    np.testing.assert_array_equal(found["people"], np.round(found["people"]))


def test_posteriors_far_narrower_than_the_prior_are_not_too_wide() -> None:
    outputs = np.array([[0.0, -8.0]], np.float32)
    root = Moments()._law(tf.constant(outputs))[1]
    assert 1.0 / float(root[0, 0, 0]) == pytest.approx(np.exp(-8.0), rel=0.2)


def test_estimates_stay_inside_supports_that_depend_on_other_parameters() -> None:
    prior = Prior(
        {
            "m": tfd.Uniform(0.0, 1.0),
            "above": lambda m: tfd.HalfNormal(m + 0.1),
            "between": lambda m: tfd.Uniform(0.0 * m, m),
            "shares": tfd.Dirichlet([1.0, 1.0, 1.0]),
        }
    )
    rows = {name: value.numpy() for name, value in prior.sample(500, tf.constant([1, 2])).items()}
    vector = ParameterVector.fit(prior, rows)
    far = np.full((2, 6), 50.0)
    far[0] = -50.0
    for name, value in vector.from_plain(far).items():
        assert np.all(value >= 0.0), name
        assert name in ("above", "between") or np.all(value <= 1.0), name


def test_a_start_lends_no_bounds_of_its_prior() -> None:
    def of_width(width: float) -> bi.Simulator:
        @bi.simulator(prior={"x": tfd.Uniform(0.0, width)}, name="spread")
        def spread(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
            x = parameters["x"]
            return {"y": x + 0.01 * tf.random.stateless_normal(tf.shape(x), seed)}

        return spread

    def new(width: float) -> bi.PointEstimator:
        return bi.PointEstimator(of_width(width), estimates=[Mean()], hidden=(16,))

    options = {"batch_size": 64, "seed": 1, "progress": False}
    start = new(1.0).fit(steps=5, **options)
    wider = new(2.0).fit(steps=300, start_from=start, **options)
    assert float(wider.estimate({"y": 1.9})["mean"]["x"]) > 1.5
