"""What decides a bank's simulations, in plain values: simulator, prior, seed, chunk rows."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from bayesinn._version import __version__
from bayesinn.core.errors import BankError
from bayesinn.simulation import identity
from bayesinn.simulation.bank.store import FORMAT, VERSION
from bayesinn.simulation.prior_text import prior_text
from bayesinn.simulation.simulator import Simulator

_PACKAGES = ("tensorflow", "tensorflow-probability", "numpy", "zarr")
_DO = (
    "use the simulator, the seed and the chunk that the bank was made with, or another place "
    "for a new bank"
)
_OR_LEAVE_OUT = "; if it is the same: bi.simulate or bi.open_bank(..., check_simulator=False)"


def bank_attributes(
    simulator: Simulator,
    seed: int,
    rows: int,
    simulated: bool = True,
) -> dict[str, Any]:
    """Return the attributes of a bank: what decides its simulations, and who wrote it.

    Some rows are ``simulated`` to tell the simulator from another one.
    """
    declared = identity.entries(simulator, simulated)
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "simulator": simulator.name,
        "fingerprint": identity.fingerprint(declared),
        "prior": prior_text(simulator.prior),
        **({} if simulator.context is None else {"context": prior_text(simulator.context)}),
        "seed": seed,
        "rows_per_chunk": rows,
        "declared": declared,
        "versions": {
            "bayesinn": __version__,
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
    }


def check_simulator(
    location: str,
    attributes: Mapping[str, Any],
    simulator: Simulator,
    simulated: bool = True,
) -> None:
    """Raise unless a bank is one of this very simulator: its name, and what it does."""
    if attributes["simulator"] != simulator.name:
        raise BankError(
            f"Bank {location!r}",
            expected=f"simulations of {simulator.name!r}",
            got=f"those of {attributes['simulator']!r}",
            do=_DO,
        )
    do = _DO + _OR_LEAVE_OUT
    owner = identity.Owner(f"the bank {location!r}", "made this bank", do, BankError)
    identity.check(attributes["declared"], simulator, owner, simulated)


def check_proposal(location: str, attributes: Mapping[str, Any]) -> None:
    """Raise unless the parameters of a bank were drawn from the prior."""
    if "proposal" in attributes:
        raise BankError(
            f"Bank {location!r}",
            expected="simulations from the prior",
            got=f"those of a proposal: {attributes['proposal']}",
            do=(
                "use another bank; bank.read() returns these simulations, for one who knows what "
                "they were drawn from"
            ),
        )


def check_settings(
    location: str, attributes: Mapping[str, Any], seed: int, rows: int | None
) -> None:
    """Raise unless a bank has this seed and, if it is given, this number of rows in a chunk."""
    for name, key, value in (("seed", "seed", seed), ("chunk", "rows_per_chunk", rows)):
        if value is not None and attributes[key] != value:
            raise BankError(
                f"Bank {location!r}",
                expected=f"{name}={attributes[key]}, with which it was made",
                got=f"{name}={value}",
                do=_DO,
            )
