"""Short trainings, and whether two gave the same weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import bayesinn as bi
from bayesinn.simulators.linear import linear
from tests.helpers.models import small_flow

RARE = {field.name for field in dataclasses.fields(bi.Optimization)}


def fit(
    simulator: bi.Simulator = linear, summary=None, flow=None, **options
) -> bi.AmortizedPosterior:
    """Train for a few steps, with options as :func:`arranged` takes them."""
    posterior = bi.AmortizedPosterior(simulator, summary, flow or small_flow(blocks=1, hidden=(8,)))
    return posterior.fit(
        **arranged(**{"steps": 10, "batch_size": 32, "seed": 1, "progress": False, **options})
    )


def arranged(**options) -> dict[str, Any]:
    """Options of fit, :class:`bi.Optimization` and :class:`bi.Checkpoint` as fit takes them."""
    if rare := {name: options.pop(name) for name in RARE & set(options)}:
        options["optimization"] = bi.Optimization(**rare)
    if "resume" in options:
        options["checkpoint"] = bi.Checkpoint(options["checkpoint"], resume=options.pop("resume"))
    return options


def weights(posterior: bi.AmortizedPosterior) -> list[np.ndarray]:
    return [variable.numpy() for variable in posterior.model.network.variables]


def equal(first: bi.AmortizedPosterior, second: bi.AmortizedPosterior) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))
