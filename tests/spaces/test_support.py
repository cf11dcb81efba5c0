"""No draw leaves the prior's support, whatever the family and the weights."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.simulation.prior import _parts, support_of
from tests.helpers.families import FAMILIES
from tests.helpers.untrained import of_family, typical, untrained

tfd = tfp.distributions
tfb = tfp.bijectors
LARGEST = float(np.finfo(np.float32).max)


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


@pytest.mark.parametrize(
    ("law", "low", "high"),
    [
        (tfb.Softplus()(tfd.Uniform(-2.0, 3.0)), np.log1p(np.exp(-2.0)), np.log1p(np.exp(3.0))),
        (tfb.Softplus()(tfd.LogNormal(0.0, 1.0)), np.log(2.0), LARGEST),
        (tfb.Softplus()(tfb.Softplus()(tfd.Normal(0.0, 1.0))), np.log(2.0), LARGEST),
        (
            tfb.Chain([tfb.Shift(-1.0), tfb.Softplus(), tfb.Scale(2.0)])(tfd.Beta(2.0, 2.0)),
            np.log(2.0) - 1.0,
            np.log1p(np.exp(2.0)) - 1.0,
        ),
        (tfb.Softplus(hinge_softness=-1.0)(tfd.Normal(0.0, 1.0)), -LARGEST, 0.0),
    ],
    ids=["interval", "half line", "twice", "inside", "reflected"],
)
def test_a_softplus_keeps_the_ends_of_what_it_gets(
    law: tfd.Distribution, low: float, high: float
) -> None:
    support = support_of("a", law)
    np.testing.assert_allclose(support.ends, [low, high], rtol=1e-5, atol=1e-6)
    draws = law.sample(2_000, seed=1)
    assert support.holds(draws).numpy().all()
    np.testing.assert_array_equal(support.clip(draws), draws)


@pytest.mark.parametrize(
    "law",
    [
        tfd.Gamma(2.0, 1.0),
        tfd.InverseGaussian(1.0, 2.0),
        tfd.Pareto(3.0, 2.0),
        tfb.Softplus(low=2.0, hinge_softness=0.5)(tfd.Normal(0.0, 1.0)),
        tfb.Chain([tfb.Softplus(), tfb.Shift(1.0), tfb.Scale(-2.0)])(tfd.Normal(0.0, 1.0)),
        tfb.Chain([tfb.Softplus(), tfb.ScaleMatvecTriL([[1.0, 0.0], [0.5, 1.0]])])(
            tfd.Sample(tfd.Normal(0.0, 1.0), 2)
        ),
    ],
    ids=["gamma", "inverse gaussian", "pareto", "lower end", "affine", "vector"],
)
def test_a_softplus_of_the_whole_line_becomes_exponential(law: tfd.Distribution) -> None:
    kinds = [type(part) for part in _parts(support_of("a", law).bijector)]
    assert tfb.Softplus not in kinds
    assert tfb.Exp in kinds
    assert support_of("a", law).holds(law.sample(2_000, seed=1)).numpy().all()


def test_a_softplus_of_several_numbers_above_zero_stays() -> None:
    law = tfb.Softplus()(tfd.Sample(tfd.Gamma(2.0, 1.0), 2))
    vector = support_of("a", law).bijector.inverse(law.sample(2_000, seed=1))
    assert np.isfinite(vector).all()
