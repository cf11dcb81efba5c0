"""Observations that lack more values than simulations do are warned of, others never."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.spaces.observations import check_observations, warn_of_missing
from bayesinn.summaries import MLP

tfd = tfp.distributions
PRIOR = {"a": tfd.Normal(0.0, 1.0)}
COUNT = {"n": tfd.FiniteDiscrete([3, 6], probs=[0.5, 0.5])}


def declare(**options) -> bi.Simulator:
    @bi.simulator(prior=PRIOR, **options)
    def simulate(parameters, *others):
        noise = tf.random.stateless_normal((tf.shape(parameters["a"])[0], 6), others[-1])
        return {"x": parameters["a"][:, None] + noise}

    return simulate


def without(lost: int) -> np.ndarray:
    return np.where(np.arange(6) < lost, np.nan, 1.0)


def test_a_rare_number_of_missing_values_is_warned_of() -> None:
    simulator = declare(missing=0.2)
    for lost in (5, 6):
        with pytest.warns(UserWarning, match=f"{lost} of 6 values are missing.*up to 20%"):
            warn_of_missing(simulator, check_observations(simulator, {"x": without(lost)}))
    several = {"x": np.stack([without(0), without(6), without(1)])}
    with pytest.warns(UserWarning, match="6 of 6 values of observation 1"):
        warn_of_missing(simulator, check_observations(simulator, several))


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"missing": 0.2}, {"x": without(3)}),
        ({"missing": 0.9}, {"x": without(6)}),
        # Nobody knows how often.
        ({"missing": "mask"}, {"x": without(6)}),
        # What is beyond the last step is not missing.
        ({"missing": 0.2, "context": COUNT, "lengths": {"x": "n"}}, {"x": without(0)[:3], "n": 3}),
    ],
)
def test_others_are_not(options, data) -> None:
    simulator = declare(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_missing(simulator, check_observations(simulator, data))


def test_simulations_themselves_are_rarely_warned_of() -> None:
    simulator = declare(missing=0.2)
    drawn = simulator.sample(5_000, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_missing(simulator, check_observations(simulator, {"x": drawn["x"]}))


def test_a_posterior_warns_once() -> None:
    flow = bi.flows.coupling(blocks=1, hidden=(4,))
    posterior = bi.AmortizedPosterior(declare(missing=0.2), MLP(4, hidden=(4,)), flow)
    posterior.fit(steps=2, batch_size=8, progress=False)
    for ask in (posterior.sample, posterior.infer):
        with pytest.warns(UserWarning, match="an extrapolation") as caught:
            ask({"x": without(6)}, draws=5)
        assert len([one for one in caught if "extrapolation" in str(one.message)]) == 1
