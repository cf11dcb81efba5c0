"""Advice on more simulations: a curve that falls to the exact nats, and the gain of doubling."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulators import linear
from tests.helpers.models import small_flow

SIZES = [100, 200, 400]
STEPS = 400
REPEATS = 2


def template():
    return bi.AmortizedPosterior(linear.linear, flow=small_flow())


@pytest.fixture(scope="module")
def simulations():
    return linear.linear.sample(1_600, seed=1)


@pytest.mark.slow
def test_gain_of_doubling_is_the_one_predicted(simulations):
    own = template()
    advice = bi.advise(
        own, simulations, sizes=SIZES, repeats=REPEATS, steps=STEPS, seed=1, progress=False
    )
    assert not own.trained
    nats = advice.table["nats"].to_numpy()
    assert (np.diff(nats) < 0.0).all()
    # Not below the exact nats, and not far above: measured 0.05 with a standard error of 0.05.
    assert -3.0 * advice.table["error"].iloc[-1] < nats[-1] - linear.entropy() < 0.15
    doubled = bi.advise(
        own, simulations, sizes=[400, 800], repeats=REPEATS, steps=STEPS, seed=1, progress=False
    )
    gained = doubled.table["gain"].iloc[-1]
    error = doubled.table["gain_error"].iloc[-1]
    assert advice.gain.lower - 2.0 * error < gained < advice.gain.upper + 2.0 * error


def test_sizes_and_parts(simulations, monkeypatch):
    """A fixed tenth is held out; parts of one size are disjoint, and contain the smaller ones."""
    seen = []

    def record(self, data, **options):
        seen.append((len(data["y"]), set(data["y"].tolist()), options["seed"]))
        return self

    def nothing(self, parameters, data):
        seen[-1] += (set(data["y"].tolist()),)
        return np.zeros(len(data["y"]))

    monkeypatch.setattr(bi.AmortizedPosterior, "fit", record)
    monkeypatch.setattr(bi.AmortizedPosterior, "log_prob", nothing)
    bi.advise(template(), simulations, progress=False)
    # 1,600 rows: a quarter is held out, as a tenth would be fewer than 500.
    assert [size for size, *_ in seen] == 3 * [150, 300, 600, 1_200]
    apart = seen[0][3]
    assert len(apart) == 400
    assert all(part[3] == apart and not part[1] & apart for part in seen)
    assert len({seed for _, _, seed, _ in seen}) == 12
    for repeat in range(3):
        own = [part[1] for part in seen[4 * repeat : 4 * repeat + 4]]
        assert own[0] < own[1] < own[2] < own[3]
    assert not seen[0][1] & seen[4][1]
    assert not seen[4][1] & seen[8][1]
    assert not seen[0][1] & seen[8][1]


def test_errors_are_those_of_paired_held_out_rows(simulations, monkeypatch):
    """Parameters belong to their data; errors of gains are those of repeats and rows alone.

    What sizes share is left out.
    """
    row_of = dict(zip(simulations["y"].tolist(), range(1_600), strict=True))
    seen = []
    generator = np.random.default_rng(1)
    level = 9.0 * generator.normal(size=1_600)
    row_gain = generator.normal(size=1_600)
    shift = (0.0, 0.01)

    def record(self, data, **options):
        rows = [row_of[y] for y in data["y"].tolist()]
        assert all((data[name] == simulations[name][rows]).all() for name in simulations)
        seen.append(len(rows))
        return self

    def known(self, parameters, data):
        rows = np.array([row_of[y] for y in data["y"].tolist()])
        assert all((parameters[name] == simulations[name][rows]).all() for name in parameters)
        # What a doubling gains differs from row to row, the level far more; networks differ from
        # repeat to repeat.
        doublings = np.log2(seen[-1] / 100)
        repeat = (len(seen) - 1) // len(SIZES)
        apart.append(rows)
        return -level[rows] + doublings * (0.1 * row_gain[rows] + shift[repeat] + 0.5)

    apart = []
    monkeypatch.setattr(bi.AmortizedPosterior, "fit", record)
    monkeypatch.setattr(bi.AmortizedPosterior, "log_prob", known)
    table = bi.advise(template(), simulations, sizes=SIZES, repeats=2, progress=False).table
    rows = apart[0]
    gains = 0.1 * row_gain[rows] + 0.5 + np.mean(shift)
    assert table["nats"][0] == pytest.approx(level[rows].mean())
    assert table["gain"][1:].to_numpy() == pytest.approx([gains.mean()] * 2)
    paired = np.sqrt(np.var(shift, ddof=1) / 2 + gains.var(ddof=1) / len(rows))
    assert table["gain_error"][1:].to_numpy() == pytest.approx([paired] * 2)
    # Not paired, they would be as large as those of levels.
    assert table["error"][0] == pytest.approx(
        level[rows].std(ddof=1) / np.sqrt(len(rows)), rel=0.01
    )
    assert table["error"][0] > 20.0 * paired


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": [200, 100]}, "increasing"),
        ({"sizes": [200]}, "two or more"),
        ({"sizes": 200}, "a list"),
        ({"sizes": [200, 5_000]}, "from 20 to 1,200"),
        ({"repeats": 1}, "'repeats'"),
    ],
)
def test_bad_arguments_are_refused(simulations, options, message):
    with pytest.raises(InputError, match=message):
        bi.advise(template(), simulations, progress=False, **options)


def test_too_few_simulations_are_refused(simulations):
    few = {name: value[:100] for name, value in simulations.items()}
    with pytest.raises(InputError, match="pass more data"):
        bi.advise(template(), few, progress=False)


class Fit(bi.estimators.Trainable):
    """Normal posteriors, independent, with means and logarithms of sds linear in y."""

    def initialize(self, batch, seed):
        self.network = keras.layers.Dense(4)
        self.network.build((None, 1))

    def law(self, y):
        mean, log_sd = np.split(np.asarray(self.network(y[:, None])), 2, axis=-1)
        return mean, np.exp(log_sd)

    def loss(self, batch, seed, progress, training):
        mean, log_sd = tf.split(self.network(batch["y"][:, None]), 2, axis=-1)
        x = tf.stack([batch["x1"], batch["x2"]], axis=-1)
        return tf.reduce_sum(log_sd + 0.5 * ((x - mean) * tf.exp(-log_sd)) ** 2, axis=-1)


class NormalPosterior(bi.estimators.Estimator, bi.Posterior):
    """A posterior that shares no code with the library's own."""

    density = "exact"

    def trainable(self, rows, seed):
        return Fit()

    def sample(self, data, *, draws=1_000, seed=0):
        mean, sd = self.model.law(np.atleast_1d(data["y"]))
        noise = np.random.default_rng(seed).normal(size=(draws, *mean.shape))
        values = np.moveaxis(mean + sd * noise, 0, 1).astype(np.float32)
        values = values if np.ndim(data["y"]) else values[0]
        return {"x1": values[..., 0], "x2": values[..., 1]}

    def log_prob(self, parameters, data):
        mean, sd = self.model.law(np.atleast_1d(data["y"]))
        x = np.stack([parameters["x1"], parameters["x2"]], axis=-1)
        if x.ndim == 3:
            mean = mean[:, None]
            sd = sd[:, None]
        return np.sum(-np.log(sd) - 0.5 * ((x - mean) / sd) ** 2 - 0.5 * np.log(2 * np.pi), axis=-1)


def test_a_posterior_of_ones_own_is_advised_and_truncated(simulations, tmp_path):
    own = NormalPosterior(linear.linear)
    options = {
        "optimization": bi.Optimization(learning_rate=0.05, average=0.9),
        "seed": 1,
        "progress": False,
    }
    advice = bi.advise(own, simulations, sizes=[200, 800], repeats=2, steps=60, **options)
    # The entropy of the exact posterior, whose correlation independent normals can't have.
    assert linear.entropy() < advice.table["nats"].iloc[-1] < linear.entropy() + 2.0
    result = bi.truncated_rounds(
        own, {"y": 2.0}, rounds=2, simulations=300, steps=60, folder=tmp_path / "own", **options
    )
    assert not own.trained
    assert result.rounds["share"].iloc[1] < 0.99
    assert abs(result.sample(draws=500, seed=1)["x1"].mean() - 1.0) < 0.4


@pytest.mark.parametrize(
    "ask",
    [
        lambda posterior, rows: bi.advise(posterior, rows, progress=False),
        lambda posterior, rows: bi.truncated_rounds(posterior, {"y": 1.0}, progress=False),
    ],
)
def test_what_only_draws_is_refused_by_name(simulations, ask):
    drawn = bi.SampledPosterior(linear.linear, lambda data, draws, seed: {})
    for posterior in (drawn, bi.Ensemble([template(), template()])):
        with pytest.raises(
            InputError, match=r"(?s)can be fitted anew, for .*of an ensemble, a mem"
        ):
            ask(posterior, simulations)
    mute = bi.AmortizedPosterior(
        linear.linear, flow=bi.flows.SplitLatentFlow(bi.bijections.Chain([]), 2, 2, 1, 3)
    )
    with pytest.raises(InputError, match=r"(?s)a density that is exact.*one without"):
        ask(mute, simulations)
    with pytest.raises(InputError, match="a posterior"):
        ask(len, simulations)
