"""Particles that start from an approximate posterior, whitened as its flow whitens, if it does."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.bijections.condition import FEATURES, Condition
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError
from bayesinn.flows import Flow
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.posterior import Posterior
from bayesinn.reference.smc_moves import StudentT
from bayesinn.reference.smc_target import Population, Target, Tensors, finite_or_never
from bayesinn.simulation.simulator import Arrays
from bayesinn.spaces.observations import check_observations
from bayesinn.spaces.parameters import ParameterSpace


class Start(NamedTuple):
    """Distribution of the first particles, whitened, and the condition (1, ...) that whitens."""

    law: StudentT
    condition: Condition


def start_from(
    start: Mapping[str, Any] | Posterior,
    space: ParameterSpace,
    data: Arrays,
    count: int,
    seed: int,
) -> Start:
    """Fit a Student t to draws, ``count`` of them if a posterior must make them."""
    if not isinstance(start, Posterior):
        return Start(StudentT.fit(_vectors(start, space)), {FEATURES: tf.zeros((1, 0))})
    drawn = start.given(data).sample(max(count, 2 * space.dimension + 1), seed)
    vectors = _vectors({name: value[0] for name, value in drawn.items()}, space)
    model = whitening_model(start)
    if model is None:
        return Start(StudentT.fit(vectors), {FEATURES: tf.zeros((1, 0))})
    assert isinstance(start, AmortizedPosterior)
    arrays = check_observations(start.simulator, data).arrays
    condition = map_tensors(tf.convert_to_tensor, start.evaluator.condition(arrays)[0])
    whitened = np.asarray(model.network.flow.whiten(vectors, condition)[0])
    # Draws that overflow where they are whitened would spoil the fit.
    finite = whitened[np.isfinite(whitened).all(axis=1)]
    if len(finite) <= 2 * space.dimension:
        raise InputError(
            "Posterior to start from",
            expected=f"more than {2 * space.dimension} draws that are finite where its flow "
            "whitens them",
            got=f"{len(finite)} of {len(whitened)}",
            do="start from draws of it, or from the prior",
        )
    return Start(StudentT.fit(finite), condition)


def whitening_model(start: object) -> PosteriorModel | None:
    """Return the model whose flow whitens parameters; one program serves all other starts."""
    if not isinstance(start, AmortizedPosterior):
        return None
    whitens = type(start.model.network.flow).whiten is not Flow.whiten
    return start.model if whitens else None


def unwhiten(
    model: PosteriorModel | None, z: tf.Tensor, condition: Condition
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return vectors for whitened ones, and the log determinant (n,)."""
    return (
        (z, tf.zeros_like(z[:, 0])) if model is None else model.network.flow.unwhiten(z, condition)
    )


def bridge(
    target: Target, model: PosteriorModel | None, whitened: tf.Tensor, given: tuple[Tensors, Start]
) -> Population:
    """Evaluate whitened vectors with the start's distribution as prior.

    The likelihood is what remains: the target's density divided by that of the start.
    """
    data, start = given
    vector, log_det = unwhiten(model, whitened, start.condition)
    _, log_prior, log_likelihood = target(vector, data)
    log_start = start.law.log_prob(whitened)
    return Population(
        whitened, log_start, finite_or_never(log_prior + log_det + log_likelihood - log_start)
    )


def _vectors(draws: Mapping[str, Any], space: ParameterSpace) -> np.ndarray:
    """Return draws as vectors (n, d), after checking names, shapes, number and support."""
    subject = "Draws to start from"
    events = space.prior.event_shapes
    least = 2 * space.dimension
    shapes: dict[str, tuple[int, ...]] = {}
    if isinstance(draws, Mapping):
        shapes = {name: np.shape(value) for name, value in draws.items()}
    rows = next((shape[0] for shape in shapes.values() if shape), 0)
    if rows <= least or shapes != {name: (rows, *event) for name, event in events.items()}:
        raise InputError(
            subject,
            expected=f"an array (n, *event) for each of {list(events)}, n > {least} draws of one "
            "observation",
            got=f"shapes {shapes}" if isinstance(draws, Mapping) else f"a {type(draws).__name__}",
            do="pass draws of a single observation, as posterior.sample gives them, or a posterior "
            "that bi.load gives",
        )
    vector = np.asarray(
        space.to_vector({name: tf.constant(value) for name, value in draws.items()})[0]
    )
    finite = np.isfinite(vector).all(axis=1)
    if not finite.all():
        raise InputError(
            subject,
            expected="finite numbers inside the prior's support",
            got=f"{np.sum(~finite)} of {len(vector)} draws that are not",
            do="leave these out",
        )
    return vector
