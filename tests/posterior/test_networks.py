"""Several networks of one posterior: trained alone, answered together, saved and resumed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.flows import Flow, coupling
from bayesinn.posterior import answers
from bayesinn.posterior.model import MixtureFlow, own_entries
from bayesinn.spaces.observations import check_observations
from bayesinn.summaries import MLP

OPTIMIZATION = bi.Optimization(xla=False)


def untrained(networks: int | None = None) -> bi.AmortizedPosterior:
    return bi.AmortizedPosterior(
        bi.get_simulator("linear"), MLP(4, hidden=(8,)), coupling(blocks=2, hidden=(8,)), networks
    )


@pytest.fixture(scope="module")
def simulations() -> dict[str, np.ndarray]:
    return bi.get_simulator("linear").sample(400, seed=1)


@pytest.fixture(scope="module")
def three(simulations: dict[str, np.ndarray]) -> bi.AmortizedPosterior:
    posterior = untrained(3)
    return posterior.fit(simulations, epochs=3, seed=1, optimization=OPTIMIZATION, progress=False)


def member_log_probs(
    posterior: bi.AmortizedPosterior, parameters: dict[str, np.ndarray], data: dict[str, np.ndarray]
) -> np.ndarray:
    """Return log densities (members, n) of each network, by its own flow and condition."""
    model = posterior.model
    batch = {name: np.asarray(value, np.float32) for name, value in {**parameters, **data}.items()}
    (vector, inputs, masks), log_det = model.prepare(batch, np.array([0, 0], np.int32))
    return np.stack(
        [
            (member.flow.log_prob(vector, member.condition(inputs, masks)) + log_det).numpy()
            for member in model.members
        ]
    )


def test_density_is_the_mean_of_all_and_they_differ(
    three: bi.AmortizedPosterior, simulations: dict[str, np.ndarray]
) -> None:
    parameters = {name: simulations[name][:50] for name in three.simulator.prior.names}
    data = {"y": simulations["y"][:50]}
    each = member_log_probs(three, parameters, data)
    assert len(each) == 3
    assert np.ptp(each, axis=0).min() > 1e-4
    expected = np.log(np.mean(np.exp(each.astype(float)), axis=0))
    np.testing.assert_allclose(three.log_prob(parameters, data), expected, rtol=1e-4, atol=1e-4)


def test_validation_loss_is_that_of_the_mean(simulations: dict[str, np.ndarray]) -> None:
    held_out = {name: value[:100] for name, value in simulations.items()}
    posterior = untrained(2).fit(
        simulations,
        epochs=1,
        seed=1,
        validation=held_out,
        optimization=OPTIMIZATION,
        progress=False,
    )
    parameters = {name: held_out[name] for name in posterior.simulator.prior.names}
    log_prob = posterior.log_prob(parameters, {"y": held_out["y"]})
    assert posterior.history["val_loss"].iloc[-1] == pytest.approx(-log_prob.mean(), abs=1e-4)


def test_each_member_is_trained_as_it_would_be_alone(simulations: dict[str, np.ndarray]) -> None:
    """The first network of two is the one that is trained alone: no gradient is shared."""
    options = {"epochs": 2, "seed": 1, "optimization": OPTIMIZATION, "progress": False}
    alone = untrained(1).fit(simulations, validation=0, **options)
    together = untrained(2).fit(simulations, validation=0, **options)
    first = together.model.members[0]
    for own, other in zip(alone.model.network.variables, first.variables, strict=True):
        np.testing.assert_allclose(own.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)


def test_draws_come_from_all_and_have_the_density(three: bi.AmortizedPosterior) -> None:
    data = {"y": np.array([0.3, 2.0], np.float32)}
    draws = three.sample(data, draws=9_001, seed=1)
    assert draws["x1"].shape == (2, 9_001)
    # Exact means and variances of the mixture, by its members' draws.
    condition, _ = three.evaluator.condition(data)
    for row in range(2):
        means = []
        for number, member in enumerate(three.model.members):
            own = {
                name: value[row : row + 1] for name, value in own_entries(condition, number).items()
            }
            vectors = member.flow.sample(4_000, own, seed=(1, number))[0]
            means.append(three.model.parameters.from_vector(vectors)["x1"].numpy().mean())
        assert np.ptp(means) > 1e-3
        # Standard errors of both means together are below 0.015: four of them.
        assert draws["x1"][row].mean() == pytest.approx(np.mean(means), abs=0.06)


class Constant(Flow):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def sample(self, n: int, condition: object = None, *, seed: object) -> tf.Tensor:
        return tf.fill((4, n, 1), self.value)


def test_each_third_draw_may_be_one_of_any_of_three() -> None:
    mixture = MixtureFlow([Constant(0.0), Constant(1.0), Constant(2.0)])
    drawn = mixture.sample(3_001, {}, seed=(1, 2))[..., 0].numpy().astype(int)
    assert drawn.shape == (4, 3_001)
    for row in drawn:
        assert np.ptp(np.bincount(row, minlength=3)) <= 1
        assert np.bincount(row[::3], minlength=3).min() > 250


def test_saved_and_loaded_with_the_same_bits(three: bi.AmortizedPosterior, tmp_path) -> None:
    data = {"y": np.float32(0.5)}
    loaded = bi.load(three.save(tmp_path / "three"))
    assert loaded.networks == 3
    own = three.sample(data, draws=50, seed=1)
    again = loaded.sample(data, draws=50, seed=1)
    np.testing.assert_array_equal(own["x1"], again["x1"])
    np.testing.assert_array_equal(three.log_prob(own, data), loaded.log_prob(own, data))


def test_resumed_with_the_same_bits(simulations: dict[str, np.ndarray], tmp_path) -> None:
    options = {"seed": 1, "epochs": 4, "progress": False}

    whole = untrained(2).fit(simulations, optimization=OPTIMIZATION, **options)

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    stopping = bi.Optimization(xla=False, callbacks=(Interrupt(),))
    with pytest.raises(KeyboardInterrupt):
        untrained(2).fit(simulations, optimization=stopping, checkpoint=tmp_path, **options)
    resumed = untrained(2).fit(
        simulations,
        optimization=OPTIMIZATION,
        checkpoint=bi.Checkpoint(tmp_path, resume=True),
        **options,
    )
    assert resumed.fingerprint == whole.fingerprint


def test_three_where_simulations_are_stored_and_few(simulations: dict[str, np.ndarray]) -> None:
    options = {"seed": 1, "optimization": OPTIMIZATION, "progress": False}
    assert untrained().fit(simulations, epochs=1, **options).networks == 3
    assert untrained().fit(steps=2, batch_size=8, **options).networks == 1
    assert untrained(2).fit(steps=2, batch_size=8, **options).networks == 2


def test_start_from_takes_as_many_networks(
    three: bi.AmortizedPosterior, simulations: dict[str, np.ndarray]
) -> None:
    further = untrained().fit(
        simulations, epochs=1, seed=2, start_from=three, optimization=OPTIMIZATION, progress=False
    )
    assert further.networks == 3


@pytest.mark.parametrize("networks", [0, -1, 1.5, "three"])
def test_bad_numbers_are_refused(networks: object) -> None:
    with pytest.raises(InputError, match="'networks'"):
        untrained(networks)  # type: ignore[arg-type]


def test_an_untrained_copy_leaves_the_number_open_where_it_was() -> None:
    options = {"steps": 2, "seed": 1, "optimization": OPTIMIZATION, "progress": False}
    simulations = bi.get_simulator("linear").sample(60, seed=1)
    for given, expected in ((None, 3), (2, 2)):
        copy = untrained(given).fit(batch_size=8, **options).untrained()
        assert copy.fit(simulations, **options).networks == expected


# Images have few rows a call.
@pytest.mark.parametrize("rows_per_call", [200_000, 1_000])
def test_disagreement_is_that_of_the_networks(
    three: bi.AmortizedPosterior, rows_per_call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_ROWS_PER_CALL", rows_per_call)
    data = {"y": np.array([0.3, 2.0], np.float32)}
    given = three.given(check_observations(three.simulator, data))
    shares = given.disagreement(4_000, seed=1)
    assert shares is not None
    condition, _ = three.evaluator.condition(data)
    drawn = []
    for number, member in enumerate(three.model.members):
        own = own_entries(condition, number)
        vectors = member.flow.sample(8_000, own, seed=(1, number)).numpy()
        parameters = three.model.parameters.from_vector(vectors.reshape(-1, 2))
        drawn.append(parameters["x1"].numpy().reshape(2, 8_000))
    stacked = np.stack(drawn)
    between = stacked.mean(axis=2).var(axis=0)
    expected = between / (between + stacked.var(axis=2).mean(axis=0))
    np.testing.assert_allclose(shares["x1"], expected, atol=0.01)
    assert expected.max() > 0.002


def test_one_network_has_nothing_to_disagree_with(simulations: dict[str, np.ndarray]) -> None:
    alone = untrained(1).fit(steps=2, batch_size=8, optimization=OPTIMIZATION, progress=False)
    given = alone.given(check_observations(alone.simulator, {"y": np.float32(1.0)}))
    assert given.disagreement(100, seed=1) is None


class Frozen(bi.summaries.Summary):
    """Fixed random products of its own, computed once for each simulation."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def build(self, x_shape) -> None:
        self.products = self.add_weight((1, 4), "glorot_normal", trainable=False, name="products")

    def precompute(self, x, training=False):
        return {"h": x[:, None] * tf.convert_to_tensor(self.products)}

    def call(self, x, mask=None, precomputed=None):
        known = self.precompute(x) if precomputed is None else precomputed
        return self.dense(known["h"])


@pytest.mark.parametrize("networks", [1, 2])
def test_networks_with_fixed_weights_precompute_for_themselves(networks: int) -> None:
    linear = bi.get_simulator("linear")
    posterior = bi.AmortizedPosterior(linear, {"y": Frozen()}, coupling(1, (8,)), networks)
    batch = linear.sample(8, seed=1)
    model = posterior.trainable(batch, 1)
    model.initialize({name: tf.convert_to_tensor(value) for name, value in batch.items()}, 1)
    assert bool(model.precompute(batch)) == (networks == 1)
