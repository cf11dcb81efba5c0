"""What is about to be trained, in words: nothing that was chosen for the user goes unsaid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayesinn.posterior.learner import Learner
from bayesinn.simulation.simulator import Simulator
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import observables_of
from bayesinn.training.settings import TrainingSettings


def training_plan(
    simulator: Simulator, summaries: Mapping[str, Summary], learner: Learner, settings: TrainingSettings
) -> str:
    """Scalings, networks, the number of weights, and simulations that are drawn beforehand, a line each."""
    lines = [f"{simulator.name}: {learner.parameters.dimension} unconstrained parameters"]
    networks = {name: key for key in summaries for name in observables_of(key)}
    for name, scaling in learner.data.scalings.items():
        key = networks.get(name)
        network = "context" if key is None else f"network of {key}" if key != name else repr(summaries[key])
        seen = "as simulated" if name in learner.data.raw else str(scaling)
        lines.append(f"  {name}: {seen}; {network}")
    lines += [f"  {key}: {summary!r}" for key, summary in summaries.items() if key not in networks]
    weights = sum(int(np.prod(variable.shape)) for variable in learner.network.trainable_variables)
    lines.append(f"  flow: {learner.network.flow!r}; {weights:,} weights in all")
    if settings.passes:
        lines.append(f"  {settings.simulations:,} simulations, drawn first, {settings.passes} passes through them")
    return "\n".join(lines)
