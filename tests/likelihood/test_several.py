"""Likelihoods of several networks: the mean of their densities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import logsumexp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.posterior.model import own_entries

tfd = tfp.distributions
FIT = {"epochs": 6, "batch_size": 16, "seed": 1, "progress": False}


@bi.simulator(prior={"mean": tfd.Normal(0.0, 2.0)}, context={"noise": tfd.Uniform(0.5, 1.5)})
def measured(
    parameters: dict[str, tf.Tensor], context: dict[str, tf.Tensor], seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    mean = parameters["mean"][:, None]
    noise = tf.random.stateless_normal((tf.shape(mean)[0], 2), seed)
    return {"x": mean + context["noise"][:, None] * noise}


ROWS = measured.sample(200, seed=1)
TESTED = measured.sample(500, seed=2)
DATA = {name: TESTED[name] for name in ("x", "noise")}
PARAMETERS = {"mean": TESTED["mean"]}


def likelihood(networks: int | None = None) -> bi.AmortizedLikelihood:
    return bi.AmortizedLikelihood(measured, bi.flows.coupling(blocks=1, hidden=(8,)), networks)


@pytest.fixture(scope="module")
def three() -> bi.AmortizedLikelihood:
    return likelihood().fit(ROWS, **FIT)


def test_few_stored_simulations_train_three_networks(three) -> None:
    assert three.networks == 3
    assert len({network.variables[0].path for network in three.model.members}) == 3
    assert likelihood(1).fit(ROWS, **FIT).networks == 1
    assert likelihood().fit(steps=3, batch_size=16, progress=False).networks == 1


def test_the_density_is_the_mean_of_theirs(three) -> None:
    model = three.model
    tensors = {name: tf.constant(value) for name, value in TESTED.items()}
    x, condition, log_det = model.prepare(tensors, tf.constant([1, 2]))
    each = [
        member.log_prob(x, own_entries(condition, number)).numpy()
        for number, member in enumerate(model.members)
    ]
    assert np.abs(each[0] - each[1]).mean() > 0.01
    mean = logsumexp(each, axis=0) - np.log(3.0) + log_det.numpy()
    np.testing.assert_allclose(three.log_prob(DATA, PARAMETERS), mean, rtol=1e-4, atol=1e-4)


def test_draws_come_from_all_of_them(three) -> None:
    drawn = three.sample({"mean": np.zeros(1)}, {"noise": np.ones(1)}, draws=3_000, seed=1)["x"][0]
    repeated = {"x": drawn, "noise": np.ones(len(drawn))}
    density = three.log_prob(repeated, {"mean": np.zeros(len(drawn))})
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-8.0, 8.0, 80)]), axis=-1).reshape(-1, 2)
    every = {"x": grid, "noise": np.ones(len(grid))}
    on_grid = three.log_prob(every, {"mean": np.zeros(len(grid))})
    share = np.exp(on_grid) * (16.0 / 79) ** 2
    assert share.sum() == pytest.approx(1.0, abs=0.02)
    entropy = -np.sum(share * on_grid)
    assert -density.mean() == pytest.approx(entropy, abs=4.0 * density.std() / np.sqrt(3_000))


def test_saved_and_resumed(three, tmp_path: Path) -> None:
    def stop(epoch: int, logs: dict[str, float]) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    three.save(tmp_path / "saved")
    loaded = bi.load(tmp_path / "saved", simulator=measured)
    assert loaded.networks == 3
    expected = three.log_prob(DATA, PARAMETERS)
    np.testing.assert_array_equal(loaded.log_prob(DATA, PARAMETERS), expected)
    stopping = bi.Optimization(callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=stop)])
    with pytest.raises(KeyboardInterrupt):
        likelihood().fit(ROWS, **FIT, optimization=stopping, checkpoint=tmp_path / "run")
    checkpoint = bi.Checkpoint(tmp_path / "run", resume=True)
    resumed = likelihood().fit(ROWS, **FIT, checkpoint=checkpoint)
    np.testing.assert_array_equal(resumed.log_prob(DATA, PARAMETERS), expected)


def test_chains_move_in_the_mean_density(three) -> None:
    posterior = three.posterior({"x": [1.0, 1.2], "noise": 1.0})
    draws = posterior.sample(draws=1_000, seed=1)["mean"]
    grid = np.linspace(-6.0, 8.0, 400)
    repeated = {"x": np.tile([1.0, 1.2], (len(grid), 1)), "noise": np.ones(len(grid))}
    density = np.exp(three.log_prob(repeated, {"mean": grid}) - grid**2 / 8.0)
    mean = np.sum(grid * density) / np.sum(density)
    sd = np.sqrt(np.sum((grid - mean) ** 2 * density) / np.sum(density))
    assert draws.mean() == pytest.approx(mean, abs=0.2 * sd)
    assert draws.std() == pytest.approx(sd, rel=0.15)


def test_training_goes_on_with_as_many(three) -> None:
    again = likelihood().fit(ROWS, **{**FIT, "epochs": 1}, start_from=three)
    assert again.networks == 3
    assert again.untrained().networks == 3
    with pytest.raises(InputError, match="start_from"):
        likelihood(1).fit(ROWS, **FIT, start_from=three)


def test_numbers_that_are_none() -> None:
    with pytest.raises(InputError, match="'networks'"):
        likelihood(0)


def test_a_refused_fit_does_not_change_what_is_saved(tmp_path: Path) -> None:
    trained = likelihood().fit(steps=2, batch_size=16, progress=False, checkpoint=tmp_path / "run")
    # Stored simulations would be for three networks.
    with pytest.raises(InputError):
        trained.fit(ROWS, steps=2, progress=False, checkpoint=tmp_path / "run")
    assert trained.networks == 1
    trained.save(tmp_path / "saved")
    loaded = bi.load(tmp_path / "saved", simulator=measured)
    expected = trained.log_prob(DATA, PARAMETERS)
    np.testing.assert_array_equal(loaded.log_prob(DATA, PARAMETERS), expected)


def declared(first: str, second: str, data: str = "y") -> bi.Simulator:
    @bi.simulator(prior={first: tfd.Normal(0.0, 1.0), second: tfd.Normal(5.0, 2.0)})
    def simulate(parameters, seed):
        noise = tf.random.stateless_normal(tf.shape(parameters["a"]), seed)
        return {data: tf.stack([parameters["a"] + noise, parameters["b"] - noise], axis=-1)}

    return simulate


@pytest.mark.parametrize(
    ("names", "message"),
    [(("b", "a"), "the same parameters, in this order"), (("a", "b", "z"), "the same observables")],
)
def test_likelihoods_of_other_parameters_or_data_are_no_start(
    names: tuple[str, ...], message: str
) -> None:
    options = {"steps": 2, "batch_size": 16, "progress": False}
    flow = bi.flows.coupling(blocks=1, hidden=(8,))
    start = bi.AmortizedLikelihood(declared("a", "b"), flow).fit(**options)
    with pytest.raises(InputError, match=message):
        bi.AmortizedLikelihood(declared(*names), flow).fit(start_from=start, **options)


@pytest.mark.parametrize("change", [tf.round, lambda y: 0.0 * y], ids=["whole", "constant"])
def test_likelihoods_of_other_kinds_of_data_are_no_start(change: Callable[..., tf.Tensor]) -> None:
    def of_kind(change: Callable[..., tf.Tensor]) -> bi.AmortizedLikelihood:
        @bi.simulator(prior={"a": tfd.Normal(0.0, 1.0)}, name="two numbers")
        def simulate(parameters, seed):
            noise = tf.random.stateless_normal((tf.shape(parameters["a"])[0], 2), seed)
            y = parameters["a"][:, None] + noise
            return {"y": tf.stack([y[:, 0], change(y[:, 1])], axis=-1)}

        return bi.AmortizedLikelihood(simulate, bi.flows.coupling(blocks=1, hidden=(8,)))

    options = {"steps": 2, "batch_size": 16, "progress": False}
    start = of_kind(change).fit(**options)
    with pytest.raises(InputError, match=r"(?s)the same kind.* 1 of th.*start from new weights"):
        of_kind(tf.identity).fit(start_from=start, **options)
