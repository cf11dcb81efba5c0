"""Simulations of parameters from a proposal instead of the prior, at one context; their banks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import BankError
from bayesinn.simulation import checks
from bayesinn.simulation.bank.bank import Bank, bank_attributes, check_settings, check_simulator
from bayesinn.simulation.bank.store import (
    BankStore,
    bank_coordinates,
    bank_variables,
    open_group,
    refuse_foreign_files,
)
from bayesinn.simulation.engines.worker import Outcome
from bayesinn.simulation.missing import lose_values
from bayesinn.simulation.simulations import Arrays, Simulations, count_rows
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
    types = {name: variable.dtype for name, variable in bank_variables(simulator).items()}

    def state(attempt: int) -> np.ndarray:
        entropy = seeds.entropy(seed, "rounds", *keys, attempt)
        return np.random.SeedSequence(entropy).generate_state(3)

    def draw_rows(count: int, attempt: int) -> tuple[Arrays, Arrays, Outcome]:
        parameters = checks.check_arrays(simulator.prior, propose(count, attempt))
        given = {
            name: np.repeat(value, count, axis=0).astype(types[name])
            for name, value in context.items()
        }
        entropy = seeds.entropy(int(state(attempt)[0]), "predictive")
        outcome = simulator.engine.simulate(simulator.prior.cast(parameters), given, entropy)
        # In the types of a bank, so that it makes no difference whether they are kept in one.
        observables = {
            name: np.asarray(value, types[name]) for name, value in outcome.observables.items()
        }
        return parameters, given, outcome._replace(observables=observables)

    def lose(observables: Arrays, attempt: int) -> Arrays:
        lost = lose_values(
            observables, simulator.missing or 0.0, state(attempt)[1:].astype(np.int32)
        )
        return {name: value.numpy() for name, value in lost.items()}

    policy = simulator.engine.policy
    drawn = policy.draw(n, draw_rows, lose if simulator.missing else None, in_place=False)
    checks.check_finite(simulator, drawn)
    simulator.check_failures(n, drawn.failed)
    return drawn


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
    rows = count_rows(simulations.parameters)
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

    A BankError says if the bank is damaged, or has another seed or, if ``compared``, another
    simulator, or if something else is there.
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
