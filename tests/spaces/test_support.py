"""No draw leaves the prior's support, whatever the family and the weights."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.families import FAMILIES
from tests.helpers.untrained import of_family, typical, untrained


@pytest.mark.parametrize("name", FAMILIES)
def test_draws_stay_inside_the_support(name: str) -> None:
    posterior = untrained(of_family(name))
    data = typical(posterior)
    draws = posterior.sample(data, draws=2000, seed=1)
    prior = posterior.simulator.prior
    for parameter, event in prior.event_shapes.items():
        assert draws[parameter].shape == (3, 2000, *event)
    space = posterior.model.parameters
    flat = {
        key: tf.constant(value.reshape(-1, *prior.event_shapes[key]))
        for key, value in draws.items()
    }
    assert np.isfinite(space.prior_log_prob(flat)).all()
    if (
        len(space.discrete)
        and sum(np.prod(prior.event_shapes[key], dtype=int) for key in space.discrete) > 3
    ):
        return
    density = posterior.log_prob(draws, data)
    assert density.shape == (3, 2000)
    assert np.isfinite(density).all()


def test_draws_that_explode_go_twice_as_far_as_the_prior() -> None:
    posterior = untrained(of_family("log-normal"), scale=10.0)
    learner = posterior.model
    data = typical(posterior)
    draws = posterior.sample(data, draws=2000, seed=1)["a"]
    latent = learner.network.flow.sample(2000, tf.constant(posterior.summarize(data)), seed=(1, 2))
    # Else there would be nothing to see.
    assert np.abs(latent).max() > 2.0 * learner.parameters.reach
    vector = learner.parameters.to_vector({"a": tf.constant(draws.ravel())})[0].numpy()
    assert np.abs(vector).max() == pytest.approx(learner.parameters.reach[0], rel=1e-4)
