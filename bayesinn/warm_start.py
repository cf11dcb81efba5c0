"""Start training from the weights of another posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayesinn.errors import InputError
from bayesinn.learner import Learner

if TYPE_CHECKING:
    from bayesinn.amortizer import AmortizedPosterior


def take_over(learner: Learner, posterior: AmortizedPosterior, start: AmortizedPosterior) -> None:
    """Give a built learner the weights of another posterior, and the scalings with which they were trained.

    Parameters
    ----------
    learner : Learner
    posterior : AmortizedPosterior that the learner is for
    start : AmortizedPosterior, trained

    Raises
    ------
    InputError
        If it is no posterior, was not trained, or has other networks, parameters, observables or context.
    """
    from bayesinn.amortizer import AmortizedPosterior  # which imports this module

    if not isinstance(start, AmortizedPosterior):
        raise InputError(
            "Argument 'start_from'",
            expected="a trained AmortizedPosterior",
            got=type(start).__name__,
            do="load a saved one with bi.load(folder)",
        )
    for what, ours, theirs in zip(("networks", "shapes"), _layout(posterior), _layout(start), strict=True):
        if ours != theirs:
            raise InputError(
                "Argument 'start_from'",
                expected=f"a posterior with the same {what}: {ours}",
                got=f"{theirs}",
                do="start from a posterior of the same networks, parameters and data, or from new weights",
            )
    trained = start._require_trained().learner
    learner.parameters.mean, learner.parameters.scale = trained.parameters.mean, trained.parameters.scale
    learner.data.scalings = dict(trained.data.scalings)
    for variable, value in zip(learner.network.variables, trained.network.variables, strict=True):
        variable.assign(value)


def _layout(posterior: AmortizedPosterior) -> tuple[dict[str, Any], dict[str, dict[str, tuple[int, ...]]]]:
    """What decides the shapes of all weights."""
    simulator = posterior.simulator
    shapes = {
        "parameters": dict(simulator.prior.event_shapes),
        "observables": dict(simulator.observable_shapes),
        "context": {} if simulator.context is None else dict(simulator.context.event_shapes),
    }
    return posterior.network_configuration(), shapes
