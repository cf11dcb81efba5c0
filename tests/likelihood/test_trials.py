"""Many trials: errors that add up against closed forms, sums and slopes of any number of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.likelihood.posterior import Score, TrialErrors, padded
from bayesinn.spaces.parameters import ParameterSpace

tfd = tfp.distributions


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})
def one(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    noise = tf.random.stateless_normal(tf.shape(parameters["mean"]), seed)
    return {"y": parameters["mean"] + noise}


class Shifted(Score):
    """The likelihood of data that are larger by a number."""

    def __init__(self, shift: float) -> None:
        super().__init__(ParameterSpace(one.prior, seed=0))
        self.shift = shift

    def encode(self, data: dict[str, np.ndarray]) -> Any:
        return {"y": np.asarray(data["y"])}

    def term(self, vector: tf.Tensor, encoded: Any) -> tf.Tensor:
        mean = self.parameters.from_vector(vector)["mean"]
        return -0.5 * (encoded["y"] + self.shift - mean) ** 2


def test_a_bias_shifts_posteriors_of_many_trials() -> None:
    errors = TrialErrors(Shifted(0.05), one)
    for trials in (10, 100):
        # n times the bias, divided by n and the prior's precision of one, in units of the sd.
        exact = 0.05 * trials / np.sqrt(trials + 1.0)
        shift, least = errors.shift(trials)
        assert shift == pytest.approx(exact, rel=0.15)
        assert least < 0.2
    # The shift is 0.2 at 17 trials.
    assert errors.most_trials in (10, 15, 20)
    with pytest.warns(
        UserWarning, match=r"'one' holds for up to \d\d trials: .* 100 shift .* 0\.\d+"
    ):
        errors.warn(100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        errors.warn(10)
        unbiased = TrialErrors(Shifted(0.0), one)
        assert unbiased.most_trials == 200
        for trials in (1, 200, 10_000):
            unbiased.warn(trials)


def test_stored_simulations_measure_no_errors() -> None:
    rows = one.sample(100, seed=1)
    stored = bi.from_arrays({"mean": tfd.Normal(0.0, 1.0)}, rows)
    flow = bi.flows.coupling(blocks=1, hidden=(4,))
    trained = bi.AmortizedLikelihood(stored, flow, networks=1)
    trained.fit(rows, steps=2, batch_size=16, progress=False)
    with pytest.raises(InputError, match=r"(?s)that can be run.*stored simulations.*trials"):
        trained.trial_errors()
    with pytest.raises(InputError, match=r"(?s)'observed'.*a dict of name to array"):
        trained.posterior(lambda: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("trials", [1, 8, 100, 130])
def test_a_loop_over_trials_sums_values_and_slopes(trials: int) -> None:
    score = Shifted(0.3)
    encoded = {"y": np.random.default_rng(1).normal(size=(2, trials)).astype("f4")}
    mean = tf.constant([-1.0, 0.0, 0.5, 2.0])
    filled, count = padded(encoded)
    assert filled["y"].shape[1] == (128 if trials <= 128 else 128**2)
    assert count == trials
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(mean)
        looped = score.of_parameters({"mean": mean}, (filled, tf.constant(count)))
        vector = score.parameters.to_vector({"mean": mean})[0]
        direct = score.total(vector, encoded)
    np.testing.assert_allclose(looped, direct, rtol=1e-4)
    slopes = tape.gradient(looped, mean), tape.gradient(direct, mean)
    np.testing.assert_allclose(*slopes, rtol=1e-3, atol=1e-3)
