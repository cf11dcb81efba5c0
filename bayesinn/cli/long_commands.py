"""Long commands of the command line: if interrupted, they say what is saved and how to go on."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import typer

from bayesinn.cli.networks import named_flow, named_summary
from bayesinn.cli.run_training import train_into
from bayesinn.diagnostics import Advice
from bayesinn.estimators.streaming import Stream
from bayesinn.guidance.advise import advise
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.simulation.bank import Bank, open_bank
from bayesinn.simulation.bank.simulate import simulate
from bayesinn.simulation.simulator import Simulator
from bayesinn.training.checkpoint import describe_checkpoint


def train_or_say(
    folder: Path, simulator: Simulator, summary: list[str], flow: str | None, **options: Any
) -> AmortizedPosterior:
    """Train into a run folder."""
    networks = named_summary(summary), named_flow(flow)
    try:
        return train_into(folder, simulator, networks=networks, **options)
    except KeyboardInterrupt:
        minutes = "; give the number of steps, --steps, in place of --minutes" * (
            options["minutes"] is not None
        )
        resume = " --resume" * (not options["resume"])
        _interrupted(
            f"{folder} keeps {describe_checkpoint(folder / 'checkpoint')}", f"{resume}{minutes}"
        )


def training_bank(
    place: str | None, reuse: int | None, fresh: float | None
) -> Bank | Stream | None:
    """Open the bank to train on, and say how."""
    if place is None:
        if reuse is not None or fresh is not None:
            raise typer.BadParameter("--reuse and --fresh need a bank: --bank BANK")
        return None
    bank = open_bank(place)
    return bank if reuse is None and fresh is None else Stream(bank, reuse, fresh or 0.0)


def simulate_or_say(simulator: Simulator, n: int, place: str, **options: Any) -> Bank:
    """Write a bank, or go on with one."""
    try:
        return simulate(simulator, n, place, **options)
    except KeyboardInterrupt:
        bank = open_bank(place)
        _interrupted(
            f"{place} keeps {bank.chunks - len(bank.missing):,} of {bank.chunks:,} chunks", ""
        )


def advise_on(simulator: Simulator, place: str, summary: list[str], flow: str | None) -> Advice:
    """Fit networks to parts of a bank, return what more simulations would gain; save nothing."""
    posterior = AmortizedPosterior(simulator, named_summary(summary), named_flow(flow))
    return advise(posterior, open_bank(place))


def command_with(
    command: str, folder: Path, options: Mapping[str, list[Any]], name: str, value: int
) -> str:
    """Write a command with its options, each as often as it has values.

    One of them gets another value.
    """
    words = ["bayesinn", command, str(folder)]
    for option, values in {**options, name: [value]}.items():
        words += [word for each in values for word in (f"--{option}", str(each))]
    return shlex.join(words)


def _interrupted(keeps: str, more: str) -> NoReturn:
    """Print what is saved and the command to go on; exit like a program ended by a signal."""
    typer.echo(f"\ninterrupted; {keeps}", err=True)
    typer.echo(f"to go on: {shlex.join(['bayesinn', *sys.argv[1:]])}{more}", err=True)
    raise typer.Exit(130)
