"""The command line: parse, call the library, print.

Heavy modules are imported inside the commands.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bayesinn.cli import options as cl
from bayesinn.core.errors import BayesinnError
from bayesinn.core.manifest import read_manifest
from bayesinn.core.startup import import_tensorflow, new_strategy
from bayesinn.simulation.installed import check_name, descriptions

if TYPE_CHECKING:
    from bayesinn.cli.run import Run
    from bayesinn.diagnosis.diagnosis import Diagnosis
    from bayesinn.posterior.amortized import AmortizedPosterior
    from bayesinn.simulation.simulator import Simulator

    Observation = dict[str, Any] | None

# Posterior draws for each simulated data set, as in bi.diagnose.
_DRAWS = 200

app = typer.Typer(
    cls=cl.Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def options(version: cl.Version = False) -> None:
    """Amortized simulation-based Bayesian inference.

    NAME is a registered simulator, or file.py:object.
    """


@app.command(name="list")
def list_simulators() -> None:
    """List the installed simulators."""
    for name, line in descriptions().items():
        typer.echo(f"{name:<20}{line}")


@app.command()
def train(
    name: cl.Name,
    output: cl.Output = None,
    steps: cl.Steps = None,
    minutes: cl.Minutes = None,
    batch_size: cl.BatchSize = None,
    passes: cl.Passes = None,
    bank: cl.BankToTrainOn = None,
    reuse: cl.Reuse = None,
    fresh: cl.Fresh = None,
    summary: cl.SummaryNetwork = [],  # noqa: B006
    flow: cl.FlowNetwork = None,
    strategy: cl.Strategy = None,
    accumulate: cl.Accumulate = 1,
    seed: cl.Seed = 1,
    resume: cl.Resume = False,
) -> None:
    """Train a posterior into a run folder, or an existing one longer, by --steps or --minutes."""
    check_name(name)
    shared = {"strategy": strategy and new_strategy(strategy), "accumulate": accumulate}
    simulator = _simulator(name)
    from bayesinn.cli.long_commands import train_or_say, training_bank

    folder = _run(output, simulator).folder
    data = training_bank(bank, reuse, fresh)
    options = {
        "steps": steps,
        "minutes": minutes,
        "batch_size": batch_size,
        "passes": passes,
        "seed": seed,
    }
    train_or_say(
        folder, simulator, summary, flow, resume=resume, longer=True, data=data, **shared, **options
    )
    typer.echo(f"saved {folder}/posterior")


@app.command()
def simulate(
    name: cl.Name,
    n: cl.Count,
    out: cl.Bank,
    chunk: cl.Chunk = None,
    cluster: cl.Cluster = None,
    seed: cl.Seed = 0,
) -> None:
    """Write simulations into a bank on disk or in an object store.

    An existing bank is continued, up to --n.
    """
    simulator = _simulator(name)
    from bayesinn.cli.long_commands import simulate_or_say

    typer.echo(repr(simulate_or_say(simulator, n, out, seed=seed, chunk=chunk, cluster=cluster)))


@app.command()
def advise(
    name: cl.Name,
    bank: cl.GivenBank,
    summary: cl.SummaryNetwork = [],  # noqa: B006
    flow: cl.FlowNetwork = None,
) -> None:
    """Tell what doubling the simulations would gain, from networks fitted to parts of a bank.

    This takes 12 trainings.
    """
    simulator = _simulator(name)
    from bayesinn.cli.long_commands import advise_on

    typer.echo(repr(advise_on(simulator, bank, summary, flow)))


@app.command()
def infer(
    run: cl.RunFolder,
    data: cl.Data = None,
    by: cl.By = None,
    context: cl.Context = [],  # noqa: B006
    output: cl.Results = None,
    simulator: cl.Source = None,
    trust: cl.Trust = False,
    draws: cl.Draws = 4_000,
    exact: cl.Exact = False,
    predictive: cl.Predictive = True,
    seed: cl.Seed = 2,
) -> None:
    """Infer the parameters of an observation, or of each of several, with a trained posterior."""
    folder, posterior = _open(run, output, simulator, trust)
    from bayesinn.cli.answers import answer_text

    observation = _observation(data, posterior.simulator, context, by)
    tree, table = folder.infer(
        posterior, observation, draws=draws, seed=seed, exact=exact, predictive=predictive
    )
    typer.echo(answer_text(tree, table, exact))
    typer.echo(
        f"saved {folder.folder}/posterior.nc, posterior.csv"
        + " and figures" * (table.index.nlevels == 1)
    )


@app.command()
def check(
    name: cl.Name,
    output: cl.Report = None,
    simulations: cl.CheckSimulations = 2_000,
    seed: cl.Seed = 0,
) -> None:
    """Look at a simulator before training; the exit status is 1 if something must change.

    It shows speed, failures and ranges.
    """
    simulator = _simulator(name)
    from bayesinn.guidance.simulator_report import simulator_report

    result = simulator_report(simulator, simulations=simulations, seed=seed)
    typer.echo(repr(result))
    if output is not None:
        result.to_html(output)
        typer.echo(f"saved {output}")
    if not result.ok:
        raise typer.Exit(1)


def _diagnosing(
    finish: Callable[[Run, AmortizedPosterior, Observation, Diagnosis], None],
) -> Callable[..., None]:
    """Return a command that diagnoses a trained posterior, then calls ``finish``.

    It takes its name and docstring from ``finish``.
    """

    def command(
        run: cl.RunFolder,
        data: cl.Data = None,
        context: cl.Context = [],  # noqa: B006
        output: cl.Results = None,
        simulator: cl.Source = None,
        trust: cl.Trust = False,
        simulations: cl.Simulations = None,
        draws: cl.DiagnosisDraws = _DRAWS,
        seed: cl.Seed = 3,
    ) -> None:
        folder, posterior = _open(run, output, simulator, trust)
        from bayesinn.cli.long_commands import command_with

        observation = _observation(data, posterior.simulator, context)
        folder.check_data(posterior.simulator, observation)
        options = _collect_options(data, context, simulator, seed) | {
            "output": [output] * (output is not None)
        }
        options |= {
            "draws": [draws] * (draws != _DRAWS),
            "simulations": [simulations] * (simulations is not None),
        }
        again = partial(command_with, f"{finish.__name__}{' --trust' * trust}", run, options)
        result = folder.diagnose(
            posterior, observation, simulations=simulations, draws=draws, seed=seed, again=again
        )
        finish(folder, posterior, observation, result)
        raise typer.Exit(result.grade == "outside")

    command.__name__ = finish.__name__
    command.__doc__ = finish.__doc__
    return command


@app.command()
@_diagnosing
def diagnose(
    folder: Run, posterior: AmortizedPosterior, observation: Observation, result: Diagnosis
) -> None:
    """Find out how wrong a trained posterior is; the exit status is 1 outside tolerance."""
    from bayesinn.cli.verdict_text import print_diagnosis

    print_diagnosis(result)
    typer.echo(f"saved {folder.folder}/verdict.csv, diagnosis.csv and figures")


@app.command()
@_diagnosing
def report(
    folder: Run, posterior: AmortizedPosterior, observation: Observation, result: Diagnosis
) -> None:
    """Diagnose, and write report.html from a run folder; the exit status is 1 outside tolerance.

    The report shows all there is in the folder.
    """
    from bayesinn.cli.verdict_text import write_verdict

    path = folder.report(posterior, result, observation)
    typer.echo(write_verdict(result))
    typer.echo(f"saved {path}")


@app.command()
def explore(
    run: cl.RunFolder,
    port: cl.Port = 0,
    draws: cl.ExplorerDraws = 500,
    simulator: cl.Source = None,
    trust: cl.Trust = False,
) -> None:
    """Open a page on this machine to play with a trained posterior: drag, simulate, drop data."""
    _, posterior = _open(run, None, simulator, trust)
    from bayesinn.cli.explorer.answers import Answers
    from bayesinn.cli.explorer.server import serve

    typer.echo("preparing the first answer")
    serve(Answers(posterior, draws), port, lambda url: typer.echo(f"open {url} (Ctrl+C ends)"))


@app.command(name="run")
def run_all(
    name: cl.Name,
    output: cl.Output = None,
    data: cl.Data = None,
    context: cl.Context = [],  # noqa: B006
    steps: cl.Steps = None,
    minutes: cl.Minutes = None,
    batch_size: cl.BatchSize = None,
    passes: cl.Passes = None,
    draws: cl.Draws = 4_000,
    simulations: cl.Simulations = None,
    exact: cl.Exact = False,
    predictive: cl.Predictive = True,
    summary: cl.SummaryNetwork = [],  # noqa: B006
    flow: cl.FlowNetwork = None,
    seed: cl.Seed = 1,
    resume: cl.Resume = False,
) -> None:
    """Train, diagnose, infer and report, all into one run folder."""
    simulator = _simulator(name)
    from bayesinn.cli.long_commands import command_with, train_or_say
    from bayesinn.cli.verdict_text import print_diagnosis

    run = _run(output, simulator)
    observation = _observation(data, simulator, context)
    run.check_data(simulator, observation, answers=True)
    training = {
        "steps": steps,
        "minutes": minutes,
        "batch_size": batch_size,
        "passes": passes,
        "seed": seed,
    }
    posterior = train_or_say(run.folder, simulator, summary, flow, resume=resume, **training)
    typer.echo("")
    given = _collect_options(data, context, name if ":" in name else None, seed + 2)
    again = partial(command_with, "report", run.folder, given)
    diagnosis = run.diagnose(
        posterior, observation, simulations=simulations, seed=seed + 2, again=again
    )
    print_diagnosis(diagnosis)
    if observation is not None or simulator.observed is not None:
        from bayesinn.cli.answers import answer_text

        typer.echo("\ninferring")
        options: dict[str, Any] = {
            "draws": draws,
            "seed": seed + 1,
            "exact": exact,
            "predictive": predictive,
        }
        typer.echo(answer_text(*run.infer(posterior, observation, **options), exact))
    typer.echo(f"\nsaved {run.report(posterior, diagnosis, observation)}")
    raise typer.Exit(diagnosis.grade == "outside")


def _collect_options(
    data: Path | None, context: list[str], simulator: str | None, seed: int
) -> dict[str, list[Any]]:
    """Return the options of a command that diagnoses, with their values."""
    given = {"data": data, "simulator": simulator, "seed": seed}
    return {"context": list(context)} | {
        name: [value] * (value is not None) for name, value in given.items()
    }


def _simulator(name: str) -> Simulator:
    check_name(name)  # before TensorFlow is imported, which takes seconds
    import_tensorflow()
    from bayesinn.simulation.registry import get

    return get(name)


def _run(folder: Path | None, simulator: Simulator) -> Run:
    from bayesinn.cli.run import Run

    return Run(folder or Path("runs") / simulator.name)


def _open(
    run: Path, output: Path | None, name: str | None, trust: bool
) -> tuple[Run, AmortizedPosterior]:
    """Return the folder for results, and a posterior: of a run folder, or saved by itself."""
    run = Path(os.path.expanduser(run))
    saved = cl.saved_posterior(run)
    read_manifest(saved)  # before TensorFlow is imported
    simulator = None if name is None else _simulator(name)
    import_tensorflow()
    from bayesinn.estimators.loading import load

    posterior = load(saved, simulator, trust)
    return _run(output or (None if saved == run else run), posterior.simulator), posterior


def _observation(
    data: Path | None, simulator: Simulator, context: list[str], by: str | None = None
) -> Observation:
    from bayesinn.cli.data_files import parse_context, read_data

    if data is None and (context or by):
        raise typer.BadParameter("--context and --by need data: --data FILE")
    return (
        None if data is None else read_data(data, simulator, context=parse_context(context), by=by)
    )


def main() -> None:
    """Run the command line; print the library's deliberate errors without a traceback."""
    try:
        app()
    except BayesinnError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from error
