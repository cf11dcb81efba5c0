"""Long commands of the command line: if interrupted, they say what is saved and how to go on."""

import contextlib
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import typer

from bayesinn.cli.data_files import parse_context, read_data
from bayesinn.cli.networks import Wanted, named_flow, named_summary
from bayesinn.cli.options import is_array_file, saved_posterior
from bayesinn.cli.tables import (
    arrays_model,
    few_held_out,
    held_out_rows,
    hold_out,
    read_arrays,
)
from bayesinn.cli.training import train_into
from bayesinn.core import process
from bayesinn.core.errors import BankError, TrainingError
from bayesinn.core.run_folder import run_of
from bayesinn.diagnosis.run_comparison import compare_runs
from bayesinn.diagnostics import Advice
from bayesinn.estimators.fitting_data import Stream
from bayesinn.estimators.loading import load
from bayesinn.guidance.advise import advise
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.simulation.bank import Bank, open_bank
from bayesinn.simulation.bank.bank import is_awaited
from bayesinn.simulation.bank.simulate import simulate_bank
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.simulations import count_rows
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.callbacks import describe_checkpoint, known_run

# How often, and how many times, a bank is looked for that another program begins.
_SECONDS_BETWEEN_LOOKS = 0.5
_LOOKS_BEFORE_A_NOTE = 10
_MOST_LOOKS = 600


def train_or_say(folder: Path, simulator: Simulator, wanted: Wanted, **options: Any) -> Any:
    """Train into a run folder."""
    checkpoint = folder / "checkpoint"
    before = known_run(checkpoint)
    try:
        return train_into(folder, simulator, wanted=wanted, **options)
    except KeyboardInterrupt:
        again = sys.argv[1:]
        known = known_run(checkpoint)
        # That of an earlier run is no state of this one.
        if known is not None and (options["resume"] or known != before):
            again = _resuming(again, options["resume"])
        _interrupted(f"{folder} keeps {describe_checkpoint(checkpoint)}", again)
    except TrainingError:
        kept = describe_checkpoint(checkpoint)
        typer.echo(f"{folder} has no new posterior; its checkpoint keeps {kept}", err=True)
        raise


@contextlib.contextmanager
def keeping_posterior(folder: Path, resume: bool) -> Iterator[None]:
    """Say how to go on if what follows the training into a run folder is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        _interrupted(f"{folder} keeps the trained posterior", _resuming(sys.argv[1:], resume))


def training_data(
    simulator: Simulator | None,
    name: str | None,
    place: str | None,
    prior: list[str],
    reuse: int | None,
    fresh: float | None,
) -> tuple[Simulator, Bank | Stream | Arrays | None, Arrays | None]:
    """Return the simulator, what to train on, and rows that are held out for the diagnosis.

    If ``simulator`` is None, a model of the arrays in a file, with the given priors, takes its
    place.
    """
    if place is None or not is_array_file(place):
        assert simulator is not None
        return simulator, training_bank(place, reuse, fresh), None
    if reuse is not None or fresh is not None:
        raise typer.BadParameter("--reuse and --fresh need a bank of bayesinn simulate")
    if simulator is None:
        simulator, arrays = arrays_model(name, place, prior)
    else:
        arrays = read_arrays(place, simulator.prior.names)
    arrays = check_simulations(simulator, arrays, f"File of simulations {place!r}")
    if simulator.simulates:
        return simulator, arrays, None
    kept, apart = hold_out(arrays)
    if note := few_held_out(apart, count_rows(arrays)):
        typer.echo(note)
    return simulator, kept, apart


def training_bank(
    place: str | None, reuse: int | None, fresh: float | None
) -> Bank | Stream | None:
    """Open the bank to train on, and say how."""
    if place is None:
        if reuse is not None or fresh is not None:
            raise typer.BadParameter("--reuse and --fresh need a bank: --bank BANK")
        return None
    if reuse is not None:
        _wait_for_bank(place)
    bank = open_bank(place)
    return bank if reuse is None and fresh is None else Stream(bank, reuse, fresh or 0.0)


def _wait_for_bank(place: str) -> None:
    """Wait until another program has begun a bank, five minutes at most."""
    for look in range(_MOST_LOOKS):
        if not is_awaited(place):
            return
        if look == _LOOKS_BEFORE_A_NOTE:
            begins = f"bayesinn simulate NAME --n N --out {shlex.quote(place)}"
            print(f"  note: waiting for the bank {place}, which this begins: {begins}", flush=True)
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def simulate_or_say(simulator: Simulator, n: int, place: str, **options: Any) -> Bank:
    """Write a bank, or go on with one."""
    try:
        return simulate_bank(simulator, n, place, **options)
    except KeyboardInterrupt:
        kept = "nothing"
        # In the first seconds there is no bank yet, or a part of one.
        with contextlib.suppress(BankError):
            bank = open_bank(place)
            kept = f"{bank.chunks - len(bank.missing):,} of {bank.chunks:,} chunks"
        _interrupted(f"{place} keeps {kept}", sys.argv[1:])


def advise_on(simulator: Simulator, place: str, summary: list[str], flow: str | None) -> Advice:
    """Fit networks to parts of a bank, return what more simulations would gain; save nothing."""
    posterior = AmortizedPosterior(simulator, named_summary(summary), named_flow(flow))
    return advise(posterior, open_bank(place))


def compare_or_say(
    runs: list[Path],
    data: Path | None,
    context: list[str],
    held_out: Path | None,
    output: Path | None,
    simulators: list[Simulator],
    trust: bool,
    **options: Any,
) -> Iterator[str]:
    """Compare runs; yield tables as text, then what was saved, as saving may fail."""
    folder = run_of(runs[0])
    first = load(saved_posterior(folder), next(iter(simulators), None), trust).simulator
    given: dict[str, Any] = {"data": None, "held_out": held_out_rows(folder, held_out, first)}
    if data is not None:
        given["data"] = dict(read_data(data, first, context=parse_context(context)))
    comparison = compare_runs(*runs, simulators=simulators, trust_source=trust, **given, **options)
    yield repr(comparison)
    if output is not None:
        html = output.suffix.lower() in (".html", ".htm")
        paths = [comparison.to_html(output)] if html else comparison.plot(output)
        yield f"saved {', '.join(map(str, paths))}"


def command_with(
    command: list[str], folder: Path, options: Mapping[str, list[Any]], name: str, value: Any
) -> str:
    """Write a command, with its flags, and with its options, each as often as it has values.

    The option ``name`` gets another value. If rows were held out, more simulations mean a file with
    more of these rows.
    """
    if name == "simulations" and "held-out" in options:
        again = command_with(command, folder, options, "held-out", "FILE.npz")
        return f"{again}, with {value:,} rows"
    words = ["bayesinn", *command, str(folder)]
    for option, values in {**options, name: [value]}.items():
        words += [word for each in values for word in (f"--{option}", str(each))]
    return shlex.join(words)


def _resuming(arguments: list[str], resume: bool) -> list[str]:
    """Return the arguments that go on with a run."""
    # How many steps the minutes meant is in the folder.
    return _without_option(arguments, "--minutes") + ([] if resume else ["--resume"])


def _without_option(arguments: list[str], option: str) -> list[str]:
    """Return arguments without an option and its value."""
    kept = [argument for argument in arguments if not argument.startswith(f"{option}=")]
    while option in kept:
        place = kept.index(option)
        del kept[place : place + 2]
    return kept


def _interrupted(keeps: str, again: list[str]) -> NoReturn:
    """Print what is saved and the command to go on; exit like a program ended by a signal."""
    typer.echo(f"\ninterrupted; {keeps}", err=True)
    typer.echo(f"to go on: {shlex.join(['bayesinn', *again])}", err=True)
    raise typer.Exit(process.status())
