"""The command line: parse, call the library, print.

Heavy modules are imported inside the commands.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesinn.cli import options as cl
from bayesinn.cli.inputs import (
    check_file,
    collect_options,
    find_simulator,
    load_posterior,
    new_strategy,
    open_posterior,
    open_run,
    read_observation,
    start_tensorflow,
)
from bayesinn.cli.options import Group, Sizes, check_group
from bayesinn.core.errors import BayesinnError, InputError
from bayesinn.core.files import read_manifest
from bayesinn.core.process import interrupt_on_termination
from bayesinn.core.run_folder import find_runs, run_of, runs_text, summarise_run
from bayesinn.simulation.installed import check_name, descriptions, split_name

if TYPE_CHECKING:
    from bayesinn.cli.run import Run
    from bayesinn.diagnosis.diagnosis import Diagnosis
    from bayesinn.posterior.amortized import AmortizedPosterior

    Observation = dict[str, Any] | None


# Posterior draws for each simulated data set, as in bi.diagnose.
_DRAWS = 200

app = typer.Typer(
    cls=cl.Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def options(version: cl.Version = False) -> None:
    """Amortized simulation-based Bayesian inference.

    NAME is a registered simulator, or file.py:object, or file.py with one simulator alone.
    """


@app.command(name="list")
def list_simulators() -> None:
    """List the installed simulators."""
    lines = descriptions()
    width = max(map(len, lines)) + 2
    for name, line in lines.items():
        typer.echo(f"{name:<{width}}{line}")


@app.command()
def train(
    name: cl.OptionalName = None,
    output: cl.Output = None,
    steps: cl.Steps = None,
    minutes: cl.Minutes = None,
    batch_size: cl.BatchSize = None,
    passes: cl.Passes = None,
    bank: cl.BankToTrainOn = None,
    prior: cl.PriorOfArrays = [],  # noqa: B006
    reuse: cl.Reuse = None,
    fresh: cl.Fresh = None,
    summary: cl.SummaryNetwork = [],  # noqa: B006
    flow: cl.FlowNetwork = None,
    networks: cl.NetworkCount = None,
    group: Group = None,
    sizes: Sizes = None,
    strategy: cl.Strategy = None,
    accumulate: cl.Accumulate = 1,
    seed: cl.Seed = 1,
    resume: cl.Resume = False,
) -> None:
    """Train a posterior into a run folder, or an existing one longer, by --steps or --minutes."""
    cl.check_length(minutes, steps, passes, resume, bank)
    cl.check_bank(name, bank, prior)
    levels = check_group(group, sizes, bank, networks)
    if name is not None and not prior:
        check_name(name)
    shared = {"strategy": strategy and new_strategy(strategy), "accumulate": accumulate}
    simulator = None if prior or name is None else find_simulator(name)
    start_tensorflow()
    from bayesinn.cli.long_commands import train_or_say, training_data
    from bayesinn.cli.networks import named_model

    simulator, data, held_out = training_data(simulator, name, bank, prior, reuse, fresh)
    folder = open_run(output, simulator).folder
    options = {"steps": steps, "minutes": minutes, "batch_size": batch_size, "passes": passes}
    posterior = train_or_say(
        folder,
        simulator,
        named_model(summary, flow, networks, levels),
        resume=resume,
        longer=True,
        data=data,
        held_out=held_out,
        seed=seed,
        **shared,
        **options,
    )
    state = ", of a training that is NOT FINISHED, see above" if posterior.unfinished else ""
    typer.echo(f"saved {folder}/posterior{state}")


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
    simulator = find_simulator(name)
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
    simulator = find_simulator(name)
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
    refine: cl.Refine = False,
    fix: cl.Fixed = [],  # noqa: B006
    prior: cl.OtherPrior = [],  # noqa: B006
    combine: cl.Combined = False,
    region: cl.Region = None,
    predictive: cl.Predictive = True,
    seed: cl.Seed = 2,
) -> None:
    """Infer the parameters of an observation, or of each of several, with a trained posterior.

    With one that was trained with --group, infer those of the population and of each member. The
    answers of --fix, --prior and --combine are another posterior's, and need a folder of their own:
    --output.
    """
    check_file(data)
    if (fix or prior or combine) and output is None:
        raise typer.BadParameter("--fix, --prior and --combine need a new folder: --output FOLDER")
    folder, posterior = open_posterior(run, output, simulator, trust)
    from bayesinn.cli.answers import Question, answer

    question = Question(
        data, by, context, draws, seed, exact, refine, predictive, fix, prior, combine, region
    )
    typer.echo(answer(posterior, folder, question))


@app.command()
def designs(
    run: cl.RunFolder,
    design: cl.Designs,
    output: cl.Results = None,
    simulator: cl.Source = None,
    trust: cl.Trust = False,
    seed: cl.Seed = 5,
) -> None:
    """Rank designs of an experiment by the information that their data are expected to give.

    The design is context of the simulator. The table has nats, and is saved as designs.csv.
    """
    folder, posterior = open_posterior(run, output, simulator, trust)
    from bayesinn.cli.data_files import parse_context
    from bayesinn.guidance import rank_designs

    values = {
        name: [value] if isinstance(value, float) else value
        for name, value in parse_context(design).items()
    }
    table = rank_designs(posterior, values, seed=seed)
    with folder.files.write("designs.csv") as file:
        table.to_csv(file)
    typer.echo(
        f"{table.to_string(float_format='{:.3g}'.format)}\nsaved {folder.folder}/designs.csv"
    )


@app.command()
def check(
    name: cl.Name,
    output: cl.Report = None,
    simulations: cl.CheckSimulations = 2_000,
    seed: cl.Seed = 0,
) -> None:
    """Look at a simulator before training; the exit status is 1 if something must change.

    It is 3 if nothing must, but an output depends on no parameter, or no output on a parameter. The
    report shows speed, failures and ranges.
    """
    simulator = find_simulator(name)
    from bayesinn.guidance.simulator_report import simulator_report

    result = simulator_report(simulator, simulations=simulations, seed=seed)
    typer.echo(repr(result))
    if output is not None:
        result.to_html(output)
        typer.echo(f"saved {output}")
    if not result.ok:
        raise typer.Exit(1)
    if result.unrelated:
        raise typer.Exit(3)


def _diagnosing(
    finish: Callable[[Run, AmortizedPosterior, Observation, Diagnosis], None],
) -> Callable[..., None]:
    """Return a command that diagnoses a trained posterior, then calls ``finish``.

    The command takes its name and docstring from ``finish``.
    """

    def command(
        run: cl.RunFolder,
        data: cl.Data = None,
        context: cl.Context = [],  # noqa: B006
        output: cl.Results = None,
        simulator: cl.Source = None,
        trust: cl.Trust = False,
        held_out: cl.HeldOut = None,
        simulations: cl.Simulations = None,
        draws: cl.DiagnosisDraws = _DRAWS,
        seed: cl.Seed = 3,
    ) -> None:
        check_file(data)
        folder, posterior = open_posterior(run, output, simulator, trust)
        from bayesinn.cli.long_commands import command_with
        from bayesinn.cli.run import check_observation
        from bayesinn.cli.tables import held_out_rows

        observation = read_observation(data, posterior.simulator, context)
        check_observation(posterior.simulator, observation)
        options = collect_options(
            context,
            data=data,
            simulator=simulator,
            seed=seed,
            output=output,
            draws=None if draws == _DRAWS else draws,
            simulations=simulations,
        )
        rows = held_out_rows(run, held_out, posterior.simulator)
        if rows is not None:
            # Rows that a run holds out by itself need no option.
            options["held-out"] = [] if held_out is None else [held_out]
        words = [finish.__name__, "--trust"] if trust else [finish.__name__]
        again = partial(command_with, words, run, options)
        result = folder.diagnose(
            posterior,
            observation,
            held_out=rows,
            simulations=simulations,
            draws=draws,
            seed=seed,
            again=again,
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
    from bayesinn.cli.answers import print_diagnosis

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
    from bayesinn.cli.answers import write_verdict

    path = folder.report(posterior, result, observation)
    typer.echo(write_verdict(result))
    typer.echo(f"saved {path}")


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
    networks: cl.NetworkCount = None,
    seed: cl.Seed = 1,
    resume: cl.Resume = False,
) -> None:
    """Train, diagnose, infer and report, all into one run folder."""
    cl.check_length(minutes, steps, passes, resume)
    check_file(data)
    simulator = find_simulator(name)
    from bayesinn.cli.answers import print_diagnosis
    from bayesinn.cli.long_commands import command_with, keeping_posterior, train_or_say
    from bayesinn.cli.networks import named_model
    from bayesinn.cli.run import check_observation

    run = open_run(output, simulator)
    observation = read_observation(data, simulator, context)
    checked = check_observation(simulator, observation)
    if checked is not None:
        run.refuse_other_answer(simulator, checked)
    training = {
        "steps": steps,
        "minutes": minutes,
        "batch_size": batch_size,
        "passes": passes,
        "seed": seed,
    }
    wanted = named_model(summary, flow, networks)
    posterior = train_or_say(run.folder, simulator, wanted, resume=resume, **training)
    typer.echo("")
    # A registered simulator is known by its name.
    source = None if split_name(name) is None else name
    given = collect_options(context, data=data, simulator=source, seed=seed + 2)
    again = partial(command_with, ["report"], run.folder, given)
    with keeping_posterior(run.folder, resume):
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


def main() -> None:
    """Run the command line; print the library's deliberate errors without a traceback."""
    interrupt_on_termination()
    for stream in (sys.stdout, sys.stderr):
        # A console without UTF-8, as on Windows, has no lines for tables.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except BayesinnError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from error
    except MemoryError as error:
        typer.echo(f"error: not enough memory: {str(error) or 'ask for less'}", err=True)
        raise SystemExit(2) from error
    except PermissionError as error:
        # Status 1 would mean that a diagnosis is outside tolerance.
        typer.echo(f"error: no permission to read or write: {error}", err=True)
        raise SystemExit(2) from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            typer.echo(f"error: {error.strerror}: {str(error.filename)[:60]!r}", err=True)
            raise SystemExit(2) from error
        if error.errno != errno.ENOSPC:
            raise
        typer.echo(f"error: output can't be written: {error}", err=True)
        # Without another try to write what is left.
        os._exit(2)


# The command that compares models.
#
# Heavy modules are imported inside.

_Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...",
        help="Two or more registered simulators, or file.py:object.",
        show_default="with --saved, those that it names",
    ),
]
_Saved = Annotated[
    Path | None,
    typer.Option(
        "--saved",
        help="Folder of a comparison that --output wrote: it is asked, and nothing is trained.",
        show_default=False,
    ),
]
_Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        parser=cl.written,
        metavar="PATH",
        help="Folder to save the trained comparison in.",
    ),
]
_SIMULATIONS = 20_000
_Simulations = Annotated[
    int | None,
    typer.Option(
        "--simulations",
        parser=cl.whole_number(100),
        metavar="N",
        help="Simulations of all models to train on.",
        show_default=f"{_SIMULATIONS:,}",
    ),
]


def _read_weights(text: str) -> list[float]:
    """Return numbers that are separated by commas."""
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as failed:
        raise typer.BadParameter(f"{text!r} is not numbers such as 3,1") from failed


_Weights = Annotated[
    Any,
    typer.Option(
        "--weights",
        parser=_read_weights,
        metavar="NUMBER,NUMBER...",
        help="Prior probabilities of the models, in their order, or numbers in their ratio.",
        show_default="equal",
    ),
]
_Data = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Observation: .csv, .json or .npz.", show_default="what ships with the first"
    ),
]


@app.command()
def models(
    names: _Names = [],  # noqa: B006
    data: _Data = None,
    by: cl.By = None,
    context: cl.Context = [],  # noqa: B006
    output: _Output = None,
    saved: _Saved = None,
    trust: cl.Trust = False,
    simulations: _Simulations = None,
    steps: cl.Steps = None,
    summary: cl.SummaryNetwork = [],  # noqa: B006
    weights: _Weights = None,
    seed: cl.Seed = 1,
) -> None:
    """Compare models by the probability of each, given an observation or several."""
    check_file(data)
    read = partial(read_observation, data, context=context, by=by)
    if saved is not None:
        _refuse_training(simulations, steps, summary, weights, output)
        saved = saved.expanduser()
        read_manifest(saved)  # before TensorFlow is imported
    simulators = [find_simulator(name) for name in names]
    start_tensorflow()
    from bayesinn.cli.answers import ask_saved, compare_models

    if saved is not None:
        typer.echo(ask_saved(saved, simulators, read, trust))
        return
    if not simulators:
        raise typer.BadParameter("NAME: two or more simulators, or --saved FOLDER")
    size = simulations or _SIMULATIONS
    observed = read(simulators[0])
    for told in compare_models(simulators, observed, summary, weights, size, steps, seed, output):
        typer.echo(told)


def _refuse_training(
    simulations: int | None,
    steps: int | None,
    summary: list[str],
    weights: list[float] | None,
    output: Path | None,
) -> None:
    """Refuse options of training beside a comparison that is trained."""
    given: dict[str, object] = {
        "--simulations": simulations,
        "--steps": steps,
        "--output": output,
        "--summary": summary or None,
        "--weights": weights,
    }
    for name, value in given.items():
        if value is not None:
            raise typer.BadParameter(f"{name} is for training; --saved trains nothing")


# Commands that look at runs: explore one, list and compare several, write of methods.
#
# Heavy modules are imported inside the commands.

RunFolders = Annotated[
    list[Path], typer.Argument(metavar="RUN RUN ...", help="Run folders, or saved posteriors.")
]
RunsFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that holds runs.")]
Comparison = Annotated[
    Path | None,
    typer.Option(
        "--output",
        parser=cl.written,
        metavar="PATH",
        help="HTML file, or folder of figures.",
        show_default=False,
    ),
]
ComparedSimulations = Annotated[
    int | None,
    typer.Option(
        "--simulations",
        help="Simulated data sets to compare densities on, by default 2,000.",
        parser=cl.whole_number(2),
        metavar="N",
    ),
]
Sources = Annotated[
    list[str],
    typer.Option(
        "--simulator",
        help="FILE.py:NAME of the simulator, once for all runs, or once for each.",
        show_default="installed ones",
    ),
]
Port = Annotated[
    int,
    typer.Option(
        help="Port of the page on 127.0.0.1.", min=0, max=65_535, show_default="any that is free"
    ),
]
ExplorerDraws = Annotated[
    int, typer.Option("--draws", help="Posterior draws of each answer.", min=50, max=10_000)
]


@app.command()
def explore(
    run: cl.RunFolder,
    port: Port = 0,
    draws: ExplorerDraws = 500,
    simulator: cl.Source = None,
    trust: cl.Trust = False,
) -> None:
    """Open a page on this machine to play with a trained posterior: drag, simulate, drop data."""
    posterior = load_posterior(run, simulator, trust)
    if not posterior.simulator.simulates:
        raise InputError(
            f"Run {str(run)!r}",
            expected="the posterior of a simulator, which the page runs for each drag",
            got="one of arrays alone",
            do=f"bayesinn infer {run} --data FILE answers observations",
        )
    from bayesinn.cli.explorer.answers import Answers
    from bayesinn.cli.explorer.server import serve

    typer.echo("preparing the first answer")
    serve(Answers(posterior, draws), port, lambda url: typer.echo(f"open {url} (Ctrl+C ends)"))


@app.command()
def runs(folder: RunsFolder = Path("runs")) -> None:
    """List all runs in a folder at a summary: training, verdict, answer."""
    folder = folder.expanduser()
    typer.echo(runs_text(find_runs(folder), folder))


@app.command()
def compare(
    run: RunFolders,
    data: cl.Data = None,
    context: cl.Context = [],  # noqa: B006
    held_out: cl.HeldOut = None,
    output: Comparison = None,
    simulator: Sources = [],  # noqa: B006
    trust: cl.Trust = False,
    simulations: ComparedSimulations = None,
    seed: cl.Seed = 4,
) -> None:
    """Compare runs: training, verdicts, held-out nats, posteriors of one observation.

    They may differ in prior, networks, seed; observables are the same.
    """
    if data is None and context:
        raise typer.BadParameter("--context needs data: --data FILE")
    if held_out is not None and simulations is not None:
        raise typer.BadParameter("--simulations and --held-out exclude each other")
    for each in run:
        summarise_run(run_of(each))  # before TensorFlow is imported
    simulators = [find_simulator(name) for name in simulator]
    start_tensorflow()
    from bayesinn.cli.long_commands import compare_or_say

    for told in compare_or_say(
        run,
        data,
        context,
        held_out,
        output,
        simulators,
        trust,
        simulations=simulations or 2_000,
        seed=seed,
    ):
        typer.echo(told)


@app.command()
def methods(run: cl.RunFolder, simulator: cl.Source = None, trust: cl.Trust = False) -> None:
    """Print a paragraph on methods for a paper: model, networks, training, versions, verdict."""
    text = cl.methods_of(run)
    if text is None:
        posterior = load_posterior(run, simulator, trust)
        from bayesinn.diagnosis.methods import methods_text

        text = methods_text(posterior)
        text += f"\n\n(not diagnosed yet: bayesinn diagnose {run} adds the verdict)"
    typer.echo(text)
