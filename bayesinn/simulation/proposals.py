"""Simulations of parameters from a proposal instead of the prior, at one context; their banks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import BankError, SimulatorError
from bayesinn.simulation import checks
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.bank_identity import bank_attributes, check_settings, check_simulator
from bayesinn.simulation.bank_store import BankStore, open_group, refuse_foreign_files
from bayesinn.simulation.bank_variables import bank_coordinates, bank_variables
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.missing import lose_values
from bayesinn.simulation.simulations import MOST_REDRAWS, Arrays, Simulations, take
from bayesinn.simulation.simulator import Simulator

#: Draws a number of parameters (n, *event); the second argument is the number of the attempt.
Proposal = Callable[[int, int], Arrays]


def draw_proposed(
    simulator: Simulator,
    propose: Proposal,
    context: Mapping[str, np.ndarray],
    n: int,
    seed: int,
    *keys: int,
) -> Simulations:
    """Draw n simulations of proposed parameters, all at one context, (1, ...) by name.

    Failures follow the simulator's policy: an error, or others are proposed in their place, and
    they are counted. A pure function of the proposal, the seed and the keys.
    """
    parts: list[list[Arrays]] = []
    variables = bank_variables(simulator)
    rows = 0
    failed = 0
    cast = {name: variable.dtype for name, variable in variables.items()}
    for attempt in range(1 + MOST_REDRAWS):
        parameters = propose(n - rows, attempt)
        given = {
            name: np.repeat(value, n - rows, axis=0).astype(cast[name])
            for name, value in context.items()
        }
        state = np.random.SeedSequence(
            seeds.entropy(seed, "rounds", *keys, attempt)
        ).generate_state(3)
        observables = simulator.simulate(parameters, int(state[0]), given)
        # In the types of a bank, so that it makes no difference whether they are kept in one.
        drawn = Simulations(
            parameters, given, {k: np.asarray(v, cast[k]) for k, v in observables.items()}, 0
        )
        good = np.all(
            [
                np.full(n - rows, bool(observables)),
                *finite_rows(observables, given, simulator).values(),
            ],
            0,
        )
        if simulator.on_nonfinite == "raise":
            checks.check_finite(simulator, drawn)
        if simulator.missing and observables:
            # After failures are found, which would be lost, too.
            lost = lose_values(drawn.observables, simulator.missing, state[1:].astype(np.int32))
            drawn = drawn._replace(
                observables={name: value.numpy() for name, value in lost.items()}
            )
        failed += int(np.sum(~good))
        rows += int(np.sum(good))
        simulator.check_failures(rows, failed)
        if good.any():
            parts.append([take(part, good) for part in drawn[:3]])
        if rows == n:
            break
    else:
        raise SimulatorError(
            f"Simulator {simulator.name!r}",
            expected=f"{n} simulations that don't fail",
            got=f"{rows} of {n} after {MOST_REDRAWS} redraws",
            do=(
                "correct it, or narrow the prior, where its parameters lie: near those of the "
                "observation"
            ),
        )
    parameters, given, observables = map_tensors(lambda *values: np.concatenate(values), *parts)
    return Simulations(parameters, given, observables, failed)


def write_proposed(
    simulator: Simulator,
    simulations: Simulations,
    folder: Path,
    seed: int,
    proposal: Mapping[str, Any],
    compared: bool = True,
) -> None:
    """Write simulations of a proposal into a bank of one chunk, the proposal as an attribute.

    The attribute holds the proposal in plain values.
    """
    rows = len(next(iter(simulations.parameters.values())))
    variables = bank_variables(simulator)
    attributes = bank_attributes(simulator, seed, rows, compared) | {"proposal": dict(proposal)}
    store = BankStore(str(folder), open_group(str(folder), "a", attributes))
    store.prepare(rows, variables, bank_coordinates(simulator))
    store.write(0, simulations)


def read_proposed(
    simulator: Simulator,
    folder: Path,
    seed: int,
    compared: bool = True,
) -> tuple[Arrays, int] | None:
    """Return what :func:`write_proposed` wrote and the number of failures; None if unfinished.

    A BankError says if it is damaged, or that of another seed or, if ``compared``, simulator, or
    something else is there.
    """
    group = open_group(str(folder), "r") if folder.exists() else None
    if group is None:
        refuse_foreign_files(str(folder))
        return None
    store = BankStore(str(folder), group)
    _check_proposed(store.location, store.attributes)
    if "chunk" not in group:
        return None
    bank = Bank(store)
    check_simulator(bank.location, bank.attributes, simulator, compared)
    check_settings(bank.location, bank.attributes, seed, None)
    return None if bank.missing else (bank.read(), bank.failed)


def _check_proposed(location: str, attributes: Mapping[str, Any]) -> None:
    """Raise unless the parameters of a bank were drawn from a proposal."""
    if "proposal" not in attributes:
        raise BankError(
            f"Bank {location!r}",
            expected="simulations from a proposal, as rounds write them",
            got="those from the prior",
            do="choose another folder, or move that bank away",
        )
