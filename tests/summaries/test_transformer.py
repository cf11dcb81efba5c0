"""Series and sets with time stamps: irregular sampling against the exact posterior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.points import Mean
from bayesinn.posterior.amortized import measured_data, new_summaries
from bayesinn.summaries import MLP, Noisy, Transformer
from tests.helpers.fitting import fit

tfd = tfp.distributions
MOST = 8
START = 100.0
NOISE = 0.5
SMALL = {"units": 8, "width": 16, "heads": 2, "blocks": 1}


@bi.simulator(
    prior={"slope": tfd.Normal(0.0, 1.0)},
    context={"n": tfd.FiniteDiscrete(tf.range(4, MOST + 1), logits=tf.zeros(MOST - 3))},
    lengths={"level": "n", "t": "n"},
)
def line(parameters, context, seed):
    """A line through zero at a known time, seen at random times on both sides of it."""
    rows = tf.shape(parameters["slope"])[0]
    first, second = tf.unstack(tf.random.split(seed, 2))
    times = tf.random.stateless_uniform((rows, MOST), first, -2.0, 2.0)
    level = parameters["slope"][:, None] * times
    return {
        "level": level + NOISE * tf.random.stateless_normal((rows, MOST), second),
        "t": START + times,
    }


@pytest.fixture(scope="module")
def trained() -> bi.PointEstimator:
    network = Transformer(**SMALL, times="t")
    estimator = bi.PointEstimator(line, network, estimates=[Mean()], hidden=(32,))
    return estimator.fit(steps=500, batch_size=128, seed=1, progress=False)


def exact(data: dict[str, np.ndarray]) -> np.ndarray:
    there = np.arange(MOST) < data["n"][:, None]
    times = np.where(there, data["t"] - START, 0.0)
    precision = 1.0 + (times**2).sum(axis=1) / NOISE**2
    return (times * data["level"]).sum(axis=1) / NOISE**2 / precision


def slopes(estimator: bi.PointEstimator, data: dict[str, np.ndarray]) -> np.ndarray:
    return estimator.estimate(data)["mean"]["slope"].values


def test_slopes_are_learned_from_random_times(trained, tmp_path: Path) -> None:
    data = line.sample(1_000, seed=5)
    del data["slope"]
    truth = exact(data)
    found = slopes(trained, data)
    # Without times, the sign of the slope is unknown and nothing beats an estimate of zero, which
    # is 0.94 off.
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.2 * np.sqrt(np.mean(truth**2))
    # The order of steps, and whatever stands in the padding, doesn't matter.
    few = {name: value[:20].copy() for name, value in data.items()}
    few["n"][:] = 6
    turned = {**few, "t": few["t"].copy(), "level": few["level"].copy()}
    for name in ("t", "level"):
        turned[name][:, :6] = few[name][:, 5::-1]
        turned[name][:, 6:] = 1e3
    np.testing.assert_allclose(slopes(trained, turned), slopes(trained, few), atol=1e-4)
    trained.save(tmp_path / "saved")
    np.testing.assert_array_equal(slopes(bi.load(tmp_path / "saved", line), data), found)


def test_all_steps_are_standardised_alike() -> None:
    @bi.simulator(prior={"rate": tfd.Normal(1.0, 0.1)})
    def ordered(parameters, seed):
        gaps = tf.random.stateless_uniform((tf.shape(parameters["rate"])[0], 5), seed)
        return {"t": tf.cumsum(gaps, axis=1), "level": parameters["rate"][:, None] * gaps}

    rows = ordered.sample(500, seed=2)
    data = measured_data(ordered, {"t, level": Transformer(times="t")}, rows)
    # Each by itself, later times would look like earlier ones.
    times = data.to_network(rows)[0]["t"].numpy()
    assert (np.diff(times.mean(axis=0)) > 0.3).all()


def test_context_as_times(tmp_path: Path) -> None:
    @bi.simulator(
        prior={"slope": tfd.Normal(0.0, 1.0)},
        context={
            "t": tfd.Sample(tfd.Uniform(START - 2.0, START + 2.0), MOST),
            "dose": tfd.Normal(0.0, 1.0),
        },
        missing=0.5,
    )
    def timed(parameters, context, seed):
        level = parameters["slope"][:, None] * (context["t"] - START)
        return {"level": level + NOISE * tf.random.stateless_normal(tf.shape(level), seed)}

    network = {"level": Transformer(**SMALL, times="t")}
    posterior = fit(timed, network, steps=3)
    data = timed.sample(20, seed=5)
    del data["slope"]
    features = posterior.summarize(data)
    # Beside the dose, times are seen with their steps alone, in whatever order.
    assert features.shape == (20, SMALL["units"] + 1)
    turned = {**data, "t": data["t"][:, ::-1], "level": data["level"][:, ::-1]}
    np.testing.assert_allclose(posterior.summarize(turned), features, atol=1e-5)
    apart = np.abs(posterior.summarize({**data, "t": data["t"][:, ::-1]}) - features)
    assert (apart[:, :-1].max(axis=1) > 1e-4).all()
    # One scale for all times.
    assert posterior.model.data.scalings["t"].mean.shape == ()
    again = bi.load(posterior.save(tmp_path / "saved"), timed)
    np.testing.assert_array_equal(again.summarize(data), features)
    with pytest.raises(InputError, match="data of as many steps"):
        bi.AmortizedPosterior(timed, {"level": Transformer(times="dose")})


def test_coordinates_are_the_places_of_steps() -> None:
    days = np.array(["2020-03-01", "2020-03-02", "2020-03-05"], "datetime64[D]")

    @bi.simulator(prior={"rate": tfd.Normal(0.0, 1.0)}, coordinates={"cases": days})
    def series(parameters, seed):
        return {"cases": tf.tile(parameters["rate"][:, None], [1, 3])}

    for network in (Transformer(**SMALL), Noisy(Transformer(**SMALL))):
        copy = new_summaries(series, {"cases": network})["cases"]
        places = (copy.summary if copy.missing is False else copy).places
        np.testing.assert_allclose(np.diff(places) / (places[1] - places[0]), [1.0, 3.0], rtol=1e-4)
    located = Transformer(**SMALL)
    x = tf.random.stateless_normal((4, 3), (1, 2))
    plain = located(x)
    located.locate(np.array([0.0, 1.0, 4.0]))
    assert float(tf.reduce_max(tf.abs(located(x) - plain))) > 1e-3
    again = located(x)
    located.locate(np.array([10.0, 20.0, 50.0]))
    np.testing.assert_allclose(located(x), again, atol=1e-5)


@pytest.mark.parametrize(
    "summary",
    [
        Transformer(times="time"),
        {"t, level": Transformer(times="time")},
        {"level": Transformer(times="t"), "t": MLP(2)},
        {"t": Transformer(times="t"), "level": MLP(2)},
    ],
)
def test_times_must_be_seen_beside_data(summary) -> None:
    with pytest.raises(InputError, match=r"(?s)'summary', Transformer\(times=.*and data"):
        bi.AmortizedPosterior(line, summary)


def test_the_name_of_times_is_a_text() -> None:
    with pytest.raises(InputError, match="'times'"):
        Transformer(times=["t"])
    with pytest.raises(InputError, match="Transformer, argument 'width'"):
        Transformer(width=10, heads=4)


def test_an_empty_series_is_the_same_with_any_padding() -> None:
    network = Transformer(**SMALL)
    found = [
        network(tf.zeros((1, steps, 2)), mask=tf.zeros((1, steps), bool)) for steps in (10, 20)
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
