"""One summary network for several observables."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.posterior.model import PosteriorNetwork
from bayesinn.summaries.summary import disagreement, side_by_side

tfd = tfp.distributions
STEPS = 12
# What compiles fast.
SMALL = bi.summaries.ConvLSTM(4, filters=(4,), lstm_units=4)
FLOW = bi.flows.coupling(blocks=1, hidden=(8,))
PLAIN = bi.Optimization(xla=False)


@bi.simulator(
    prior={"level": tfd.Normal(0.0, 1.0)},
    context={"steps": tfd.FiniteDiscrete(tf.range(6, STEPS + 1), logits=tf.zeros(7))},
    lengths={"padded": "steps", "also_padded": "steps"},
    coordinates={"cases": np.arange(STEPS), "short": {"days": np.arange(9)}},
)
def series(parameters, context, seed):
    noise = tf.random.stateless_normal((tf.shape(parameters["level"])[0], STEPS), seed)
    mean = parameters["level"][:, None]
    return {
        "cases": mean + noise,
        "number": parameters["level"],
        "deaths": tf.stack([mean - noise, noise], axis=-1),
        "short": mean + noise[:, :9],
        "padded": mean + noise,
        "also_padded": mean - noise,
    }


def test_series_with_the_same_steps_share_a_network_by_default():
    posterior = bi.AmortizedPosterior(series)
    assert list(posterior.summaries) == ["cases, deaths", "number", "short", "padded, also_padded"]


def test_a_network_for_several_leaves_the_others_to_the_defaults():
    posterior = bi.AmortizedPosterior(series, {"deaths,cases": bi.summaries.MLP(5), "short": None})
    assert list(posterior.summaries) == ["deaths, cases", "number", "short", "padded, also_padded"]
    assert isinstance(posterior.summaries["deaths, cases"], bi.summaries.MLP)


def test_the_network_sees_channels_in_the_order_of_its_key():
    class Spy(bi.summaries.Summary):
        def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
            self.seen = x
            self.mask = mask
            return tf.reshape(x, (2, -1))[:, :3]

    network = PosteriorNetwork({"b, a": Spy(), "c": Spy()}, bi.flows.coupling(blocks=1))
    one = tf.ones((2, 3))
    two = tf.fill((2, 3, 2), 2.0)
    mask = tf.constant([[True, True, False]] * 2)
    inputs = {"a": one, "b": two, "c": one, "known": tf.zeros((2, 1))}
    condition = network.condition(inputs, {"a": mask, "b": mask})
    spy = network.summaries["b, a"]
    # Masked steps are zeros.
    seen = tf.concat([two, one[..., None]], axis=-1) * [[[1.0], [1.0], [0.0]]]
    np.testing.assert_array_equal(spy.seen, seen)
    np.testing.assert_array_equal(spy.mask, mask)
    np.testing.assert_array_equal(condition["features"][0], [2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 0.0])


def test_training_saving_and_flags_of_a_shared_network(tmp_path):
    posterior = bi.AmortizedPosterior(
        series, {"cases, deaths": SMALL, "padded, also_padded": SMALL}, flow=FLOW
    )
    posterior.fit(steps=4, batch_size=32, seed=1, optimization=PLAIN, progress=False)
    data = series.sample(3, seed=2)
    observed = {name: value for name, value in data.items() if name != "level"}
    draws = posterior.sample(observed, draws=5, seed=3)["level"]
    posterior.save(tmp_path / "posterior")
    loaded = bi.load(tmp_path / "posterior", series)
    np.testing.assert_array_equal(loaded.sample(observed, draws=5, seed=3)["level"], draws)


@pytest.mark.parametrize(
    ("names", "because"),
    [
        (["cases", "number"], "not all (steps,) or (steps, channels)"),
        (["cases", "short"], "different numbers of steps"),
        (["cases", "padded"], "steps counted by"),
    ],
)
def test_what_cannot_stand_side_by_side_is_refused(names, because):
    assert because in disagreement(names, series.observable_shapes, series.lengths)
    with pytest.raises(InputError) as error:
        bi.AmortizedPosterior(series, {", ".join(names): bi.summaries.ConvLSTM(4)})
    assert because in str(error.value)


def test_one_observable_is_left_as_it_is():
    value = tf.ones((2, 3))
    assert side_by_side([value]) is value


def test_an_observable_in_two_networks_is_refused():
    with pytest.raises(InputError, match="each once"):
        bi.AmortizedPosterior(
            series, {"cases, deaths": bi.summaries.MLP(4), "cases": bi.summaries.MLP(4)}
        )


class DeepSum(bi.summaries.Summary):
    """The sum of a padded series, as it is."""

    standardised = False

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return tf.reduce_sum(x, axis=1, keepdims=True)


class SeesTheDataAsTheyAre(bi.summaries.Summary):
    """Returns what it was given."""

    standardised = False

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return tf.reshape(x, (-1, x.shape[1] * x.shape[2]))


def test_a_network_may_ask_for_data_that_are_not_standardised(tmp_path, capsys):
    posterior = bi.AmortizedPosterior(
        series, {"cases, deaths": SeesTheDataAsTheyAre(), "padded": DeepSum()}, flow=FLOW
    )
    posterior.fit(steps=4, batch_size=32, seed=1, optimization=PLAIN)
    plan = capsys.readouterr().out
    assert "deaths: as simulated; network of cases, deaths" in plan
    assert "short: standardised" in plan
    data = series.sample(50, seed=2)
    observed = {name: value for name, value in data.items() if name != "level"}
    posterior.save(tmp_path / "posterior")
    for fitted in (posterior, bi.load(tmp_path / "posterior", series)):
        learner = fitted.model
        raw, _ = learner.data.to_network(observed)
        standardised = learner.data.standardise(observed)
        np.testing.assert_array_equal(raw["cases"], data["cases"])
        assert 0.8 < float(tf.math.reduce_std(standardised["deaths"])) < 1.2
        np.testing.assert_array_equal(raw["short"], standardised["short"])
        padding = np.arange(STEPS) >= data["steps"][:, None]
        assert padding.any()
        assert (raw["padded"].numpy()[padding] == 0.0).all()
        condition, compared = fitted.evaluator.condition(observed)
        together = np.concatenate([data["cases"][..., None], data["deaths"]], axis=-1)
        np.testing.assert_array_equal(
            condition["features"][:, : 3 * STEPS], together.reshape(50, -1)
        )
        np.testing.assert_allclose(compared["cases"], standardised["cases"], atol=1e-6)
