"""Posteriors with random weights, for laws that hold whatever the weights are."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import bayesinn as bi
from bayesinn.estimators.estimator import new_model
from bayesinn.estimators.fitting_data import draw_pilot
from bayesinn.posterior.answers import Evaluator
from bayesinn.posterior.typicality import Reference
from bayesinn.testing.contracts import perturb
from tests.helpers.families import FAMILIES
from tests.helpers.models import small_flow


def of_family(name: str) -> bi.Simulator:
    @bi.simulator(prior=FAMILIES[name])
    def noisy(parameters, seed):
        values = [tf.cast(value, tf.float32) for value in parameters.values()]
        total = tf.add_n(
            [tf.reduce_sum(value, axis=tuple(range(1, value.shape.rank))) for value in values]
        )
        return {"x": total + tf.random.stateless_normal(tf.shape(total), seed)}

    return noisy


def typical(posterior: bi.AmortizedPosterior) -> dict[str, np.ndarray]:
    return {"x": posterior.simulator.sample(3, seed=5)["x"]}


def untrained(simulator: bi.Simulator, scale: float = 0.3) -> bi.AmortizedPosterior:
    """A posterior with random weights far from the identity: laws must hold for any weights."""
    posterior = bi.AmortizedPosterior(simulator, flow=small_flow())
    pilot = draw_pilot(simulator, 1)
    model = new_model(posterior, pilot, 1)
    perturb(model.network, np.random.default_rng(1), scale)
    data = {name: value for name, value in pilot.items() if name in model.data.scalings}
    evaluator = Evaluator(model)
    condition, inputs = evaluator.condition(data)
    reference = Reference.fit(np.asarray(model.network.compared(condition)), inputs)
    posterior.adopt_parts(evaluator, reference)
    return posterior
