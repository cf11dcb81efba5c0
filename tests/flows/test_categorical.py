"""Integers with a probability for each value: normalised, possible, drawn as often as they say."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError

tfd = tfp.distributions
VALUES = np.array(list(itertools.product(range(1, 5), range(5), range(-3, 3))), np.float32)


@bi.simulator(
    prior={
        "n": tfd.FiniteDiscrete([1.0, 2.0, 3.0, 4.0], probs=[0.5, 0.3, 0.0, 0.2]),
        "k": lambda n: tfd.Binomial(3.0, probs=tf.cast(n, tf.float32) / 8.0),
        "shift": tfd.FiniteDiscrete(
            np.arange(-3.0, 3.0, dtype="f4"), probs=[0.25, 0, 0, 0, 0, 0.75]
        ),
    }
)
def dependent(parameters, seed):
    """Return two numbers that depend on three integers; one integer depends on another."""
    columns = [tf.cast(parameters[name], tf.float32) for name in ("n", "k", "shift")]
    mean = tf.stack([columns[0] + columns[1], columns[1] - columns[2]], axis=-1)
    return {"x": mean + tf.random.stateless_normal(tf.shape(mean), seed)}


@pytest.fixture(scope="module")
def trained() -> bi.AmortizedPosterior:
    posterior = bi.AmortizedPosterior(dependent)
    posterior.fit(steps=30, batch_size=64, seed=1, progress=False)
    return posterior


def probabilities(posterior: bi.AmortizedPosterior, x: list[float]) -> np.ndarray:
    """Return those of all values, possible or not."""
    parameters = dict(zip(("n", "k", "shift"), VALUES.T, strict=True))
    return np.exp(posterior.log_prob(parameters, {"x": np.array(x)}))


def test_probabilities_add_up_over_the_support_alone(trained) -> None:
    n, k, shift = VALUES.T
    possible = np.isin(n, [1, 2, 4]) & (k <= 3) & np.isin(shift, [-3, 2])
    # Far from all simulations logits are large, and so is what single precision leaves of them.
    for x, error in (([0.0, 0.0], 1e-5), ([40.0, -30.0], 1e-3)):
        found = probabilities(trained, x)
        assert found.sum() == pytest.approx(1.0, abs=error)
        assert np.array_equal(found > 0.0, possible)


def test_draws_are_as_frequent_as_they_are_probable(trained) -> None:
    x = [3.0, -1.0]
    draws = trained.sample({"x": np.array(x)}, draws=20_000, seed=2)
    drawn = np.stack([draws[name] for name in ("n", "k", "shift")], axis=-1)
    found = np.array([np.mean(np.all(drawn == value, axis=1)) for value in VALUES])
    assert found.sum() == 1.0
    # Four standard errors of a share.
    np.testing.assert_allclose(found, probabilities(trained, x), atol=0.014)


def test_a_saved_posterior_answers_equally(trained, tmp_path: Path) -> None:
    trained.save(tmp_path / "saved")
    loaded = bi.load(tmp_path / "saved", dependent)
    x = [2.0, 0.5]
    np.testing.assert_array_equal(probabilities(loaded, x), probabilities(trained, x))
    ours, theirs = (one.sample({"x": np.array(x)}, draws=9, seed=1) for one in (trained, loaded))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_vectors_of_integers_beside_numbers_that_depend_on_them() -> None:
    prior = {
        "on": tfd.Sample(tfd.Bernoulli(probs=0.3), 3),
        "size": lambda on: tfd.Normal(tf.reduce_sum(tf.cast(on, tf.float32), -1), 1.0),
    }

    @bi.simulator(prior=prior)
    def switched(parameters, seed):
        on = tf.cast(parameters["on"], tf.float32)
        return {"x": on + tf.random.stateless_normal(tf.shape(on), seed)}

    posterior = bi.AmortizedPosterior(switched, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    posterior.fit(steps=2, batch_size=32, seed=1, progress=False)
    on = np.array(list(itertools.product(range(2), repeat=3)))
    sizes = np.linspace(-9.0, 12.0, 301)
    parameters = {"on": np.repeat(on, len(sizes), axis=0), "size": np.tile(sizes, len(on))}
    density = np.exp(posterior.log_prob(parameters, {"x": np.zeros(3)}))
    assert density.sum() * (sizes[1] - sizes[0]) == pytest.approx(1.0, abs=0.01)
    assert set(np.unique(posterior.sample({"x": np.zeros(3)}, draws=50, seed=1)["on"])) == {0, 1}


def test_what_has_no_integers_of_few_values_is_refused() -> None:
    flow = bi.flows.Categorical(bi.flows.coupling(blocks=1))
    posterior = bi.AmortizedPosterior(bi.get_simulator("linear"), flow=flow)
    with pytest.raises(
        InputError, match=r"(?s)integer parameters of at most 256 values.*Categorical"
    ):
        posterior.fit(steps=1, progress=False)
    with pytest.raises(InputError, match="Categorical, argument 'flow'"):
        bi.flows.Categorical("coupling")
