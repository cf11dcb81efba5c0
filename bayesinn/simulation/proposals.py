"""Simulations of parameters that come from a proposal in place of the prior, at one context."""

from collections.abc import Callable, Mapping

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import SimulatorError
from bayesinn.simulation import checks
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.missing import lose_values
from bayesinn.simulation.simulations import MOST_REDRAWS, Arrays, Simulations
from bayesinn.simulation.simulator import Simulator

#: Draws a number of parameters (n, *event); the second argument is the number of the attempt.
Proposal = Callable[[int, int], Arrays]


def draw_proposed(
    simulator: Simulator, propose: Proposal, context: Mapping[str, np.ndarray], n: int, seed: int, *keys: int
) -> Simulations:
    """Draw n simulations of proposed parameters, all at one context, (1, ...) by name.

    Failures follow the simulator's policy: an error, or others are proposed in their place, and they are counted. A
    pure function of the proposal, the seed and the keys.
    """
    parts: list[Simulations] = []
    rows = failed = 0
    for attempt in range(1 + MOST_REDRAWS):
        parameters = propose(n - rows, attempt)
        given = {name: np.repeat(value, n - rows, axis=0) for name, value in context.items()}
        state = np.random.SeedSequence(seeds.entropy(seed, "rounds", *keys, attempt)).generate_state(3)
        observables = simulator.simulate(parameters, int(state[0]), given)
        if simulator.missing:
            lost = lose_values(observables, simulator.missing, state[1:].astype(np.int32))
            observables = {name: value.numpy() for name, value in lost.items()}
        drawn = Simulations(parameters, given, observables, 0)
        good = np.all([np.full(n - rows, bool(observables)), *finite_rows(observables, given, simulator).values()], 0)
        if simulator.on_nonfinite == "raise":
            checks.check_finite(simulator, drawn)
        failed += int(np.sum(~good))
        rows += int(np.sum(good))
        if good.any():
            parts.append(_rows(drawn, good))
        if rows == n:
            break
    else:
        subject, got = f"Simulator {simulator.name!r}", f"{rows} of {n} after {MOST_REDRAWS} redraws"
        do = "correct it, or narrow the prior, where its parameters lie: near those of the observation"
        raise SimulatorError(subject, expected=f"{n} simulations that don't fail", got=got, do=do)
    joined = [
        {name: np.concatenate([part[kind][name] for part in parts]) for name in parts[0][kind]} for kind in range(3)
    ]
    return Simulations(joined[0], joined[1], joined[2], failed)


def _rows(simulations: Simulations, chosen: np.ndarray) -> Simulations:
    kept = [{name: value[chosen] for name, value in part.items()} for part in simulations[:3]]
    return Simulations(kept[0], kept[1], kept[2], 0)
