"""Simulations of proposed parameters: one context, failure policy, missing values, repeatable."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import SimulatorError
from bayesinn.simulation.bank.simulate import draw_proposed

tfd = tfp.distributions
PRIOR = {"mean": tfd.Normal(0.0, 1.0)}


def fails_below_zero(parameters, seed):
    """A third of the proposals fails."""
    mean = tf.where(parameters["mean"] > 0.0, parameters["mean"], np.nan)
    return {"x": mean + 0.1 * tf.random.stateless_normal(tf.shape(mean), seed)}


redrawn = bi.simulator(prior=PRIOR, on_nonfinite="redraw")(fails_below_zero)
raising = bi.simulator(prior=PRIOR | {"mean": tfd.Normal(9.0, 1.0)})(fails_below_zero)


@bi.simulator(prior=PRIOR, engine="python", workers=1, on_nonfinite="redraw")
def in_python(parameters, generator):
    if parameters["mean"] < 0.0:
        raise ValueError("negative")
    return {"x": parameters["mean"] + 0.1 * generator.normal()}


lossy = bi.simulator(prior=PRIOR, engine="python", workers=1, on_nonfinite="redraw", missing=0.5)(
    in_python.function
)


@bi.simulator(prior=PRIOR, context={"scale": tfd.Uniform(1.0, 5.0)}, missing=0.5)
def with_context(parameters, context, seed):
    noise = tf.random.stateless_normal((tf.shape(parameters["mean"])[0], 20), seed)
    return {"x": (parameters["mean"] + context["scale"])[:, None] + 1e-3 * noise}


def from_minus_one_to_two(n, attempt):
    return {"mean": np.random.default_rng([1, attempt]).uniform(-1.0, 2.0, n).astype(np.float32)}


@pytest.mark.parametrize("simulator", [redrawn, in_python, lossy])
def test_failed_simulations_are_proposed_again_and_counted(simulator):
    drawn = draw_proposed(simulator, from_minus_one_to_two, {}, 300, 1, 0)
    assert len(drawn.observables["x"]) == len(drawn.parameters["mean"]) == 300
    assert (drawn.parameters["mean"] > 0.0).all()
    # Each belongs to its parameters, and a third of 450 proposals failed.
    assert np.nanmax(np.abs(drawn.observables["x"] - drawn.parameters["mean"])) < 0.6
    assert 110 < drawn.failed < 200
    again = draw_proposed(simulator, from_minus_one_to_two, {}, 300, 1, 0)
    np.testing.assert_array_equal(again.observables["x"], drawn.observables["x"])
    other = draw_proposed(simulator, from_minus_one_to_two, {}, 300, 1, 1)
    assert not np.array_equal(other.observables["x"], drawn.observables["x"])


def test_failures_are_errors_where_they_are_declared_to_be():
    with pytest.raises(SimulatorError, match="NaN or infinity"):
        draw_proposed(raising, from_minus_one_to_two, {}, 300, 1, 0)


def test_a_failure_is_not_a_missing_value():
    given = {"mean": np.array([1.0, -1.0], np.float32)}
    assert np.isinf(lossy.simulate(given, seed=1)["x"]).tolist() == [False, True]
    gaps = bi.simulator(
        prior=PRIOR, engine="python", workers=1, on_nonfinite="redraw", missing="mask"
    )
    report = bi.simulator_report(gaps(in_python.function), simulations=200, seed=1)
    assert report["failures"].share == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("simulator", [redrawn, in_python, lossy])
def test_simulators_that_always_fail_are_told(simulator):
    def always_negative(n, attempt):
        return {"mean": np.full(n, -1.0, np.float32)}

    with pytest.raises(SimulatorError, match="after 100 redraws"):
        draw_proposed(simulator, always_negative, {}, 5, 1, 0)


def test_context_is_that_of_the_observation_and_values_are_lost():
    drawn = draw_proposed(
        with_context, from_minus_one_to_two, {"scale": np.array([3.0])}, 200, 1, 0
    )
    assert drawn.context["scale"].shape == (200,)
    assert (drawn.context["scale"] == 3.0).all()
    x = drawn.observables["x"]
    assert np.nanmax(np.abs(x - drawn.parameters["mean"][:, None] - 3.0)) < 0.01
    # From none to half of each row, uniformly.
    assert np.isnan(x).mean() == pytest.approx(0.25, abs=0.03)
