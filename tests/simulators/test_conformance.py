"""Every simulator that ships keeps the contract, and the check catches those that don't."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.testing import check_simulator

tfd = tfp.distributions


@pytest.mark.parametrize("name", bi.list_simulators())
def test_simulator(name: str) -> None:
    check_simulator(bi.get_simulator(name))


def ruler(function):
    return bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})(function)


def test_numpy_noise_in_a_graph_is_caught() -> None:
    @ruler
    def frozen(parameters, seed):
        return {"x": parameters["mean"] + np.random.normal(size=1).astype(np.float32)}  # noqa: NPY002

    with pytest.raises(AssertionError, match=r"'frozen': traced anew.*stateless"):
        check_simulator(frozen)


def test_unseeded_noise_is_caught() -> None:
    @ruler
    def forgetful(parameters, seed):
        return {"x": parameters["mean"] + tf.random.normal(tf.shape(parameters["mean"]))}

    with pytest.raises(AssertionError, match="'forgetful': the same seed gives other simulations"):
        check_simulator(forgetful)


def test_a_constant_seed_is_caught() -> None:
    @ruler
    def stubborn(parameters, seed):
        return {"x": tf.random.stateless_normal(tf.shape(parameters["mean"]), (1, 2))}

    with pytest.raises(AssertionError, match="'x' is the same for different seeds"):
        check_simulator(stubborn)


def test_shapes_that_follow_the_number_of_rows_are_caught() -> None:
    @ruler
    def square(parameters, seed):
        mean = parameters["mean"]
        return {
            "x": mean[:, None]
            + tf.random.stateless_normal((tf.shape(mean)[0], tf.shape(mean)[0]), seed)
        }

    with pytest.raises(
        AssertionError, match=r"'x' of 1 simulations has shape \(1, 1\), expected \(1, 3\)"
    ):
        check_simulator(square)


def test_failing_simulations_are_caught() -> None:
    @ruler
    def brittle(parameters, seed):
        return {"x": tf.sqrt(parameters["mean"])}

    with pytest.raises(AssertionError, match="'x' has NaN or infinity"):
        check_simulator(brittle)


def test_a_small_finite_share_is_caught() -> None:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, on_nonfinite="redraw")
    def mostly_failing(parameters, seed):
        return {"x": tf.sqrt(parameters["mean"] - 1.0)}  # 16 % are finite

    with pytest.raises(AssertionError, match=r"only 1\d % of the simulations are finite"):
        check_simulator(mostly_failing)
    check_simulator(mostly_failing, finite_share=0.05)


def test_a_worker_with_its_own_noise_is_caught() -> None:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, engine="python", workers=2)
    def private(parameters, generator):
        return {"x": parameters["mean"] + np.random.default_rng().normal()}

    with pytest.raises(AssertionError, match="'private': the same seed gives other simulations"):
        check_simulator(private)


def test_a_likelihood_of_the_wrong_shape_is_caught() -> None:
    @bi.simulator(
        prior={"mean": tfd.Normal(0.0, 1.0)}, log_likelihood=lambda parameters, data: np.zeros(3)
    )
    def plain(parameters, seed):
        return {
            "x": parameters["mean"] + tf.random.stateless_normal(tf.shape(parameters["mean"]), seed)
        }

    with pytest.raises(AssertionError, match=r"log_likelihood has shape \(3,\)"):
        check_simulator(plain)
