"""Start training from the weights of another posterior."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.posterior.learner import Learner

if TYPE_CHECKING:
    from bayesinn.posterior.amortized import AmortizedPosterior


def check_start(posterior: AmortizedPosterior, start: AmortizedPosterior) -> None:
    """Refuse to start from what can't be started from.

    Parameters
    ----------
    posterior : AmortizedPosterior that is to be trained
    start : AmortizedPosterior whose weights are wanted

    Raises
    ------
    InputError
        If it is no posterior, was not trained, or has other networks, parameters, observables or context.
    """
    from bayesinn.posterior.amortized import AmortizedPosterior  # which imports this module

    if not isinstance(start, AmortizedPosterior):
        raise InputError(
            "Argument 'start_from'",
            expected="a trained AmortizedPosterior",
            got=type(start).__name__,
            do="load a saved one with bi.load(folder)",
        )
    for what, ours, theirs in zip(("networks", "shapes"), _layout(posterior), _layout(start), strict=True):
        # Their order is that of the network's inputs and outputs.
        if list(ours.items()) != list(theirs.items()):
            _refuse(f"the same {what}, in this order: {ours}", f"{theirs}")
    start._require_trained()


def take_over(learner: Learner, trained: Learner) -> None:
    """Give a built learner the weights of a trained one, and the scalings with which they were trained."""
    sizes = learner.parameters.dimension, trained.parameters.dimension
    if sizes[0] != sizes[1]:
        _refuse(f"a prior of {sizes[0]} unconstrained parameters", f"one of {sizes[1]}")
    learner.parameters.mean, learner.parameters.scale = trained.parameters.mean, trained.parameters.scale
    learner.data.scalings = dict(trained.data.scalings)
    for variable, value in zip(learner.network.variables, trained.network.variables, strict=True):
        variable.assign(value)


def later_seed(seed: int, start: AmortizedPosterior) -> int:
    """A seed for training on: that of the user would give the simulations again that ``start`` was trained on."""
    return seeds.check_seed(int(hashlib.sha256(f"{seed} {start.fingerprint}".encode()).hexdigest()[:8], 16))


def _layout(posterior: AmortizedPosterior) -> tuple[dict[str, Any], dict[str, Any]]:
    """The networks as they were made, and the shapes of what goes in and comes out."""
    simulator = posterior.simulator
    shapes = {kind: list(shapes.items()) for kind, shapes in simulator.shapes.items()}
    return posterior.network_configuration(), {**shapes, "lengths": dict(simulator.lengths)}


def _refuse(expected: str, got: str) -> None:
    raise InputError(
        "Argument 'start_from'",
        expected=f"a posterior with {expected}",
        got=got,
        do="start from a posterior of the same networks, parameters and data, or from new weights",
    )
