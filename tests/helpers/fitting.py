"""Short trainings, and whether two gave the same weights."""

from __future__ import annotations

import numpy as np

import bayesinn as bi
from bayesinn.simulators.linear import linear
from tests.helpers.models import small_flow


def fit(simulator: bi.Simulator = linear, summary=None, flow=None, **options) -> bi.AmortizedPosterior:
    posterior = bi.AmortizedPosterior(simulator, summary, flow or small_flow(blocks=1, hidden=(8,)))
    return posterior.fit(**{"steps": 10, "batch_size": 32, "seed": 1, "progress": False, **options})


def weights(posterior: bi.AmortizedPosterior) -> list[np.ndarray]:
    return [variable.numpy() for variable in posterior._trained.learner.network.variables]


def equal(first: bi.AmortizedPosterior, second: bi.AmortizedPosterior) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))
