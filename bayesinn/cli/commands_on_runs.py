"""Commands that look at runs: explore one, list and compare several, write of methods.

Heavy modules are imported inside the commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesinn.cli import options as cl
from bayesinn.cli.commands import app
from bayesinn.cli.glance import find_runs, look_at, runs_text
from bayesinn.cli.opening import find_simulator, load_posterior, start_tensorflow
from bayesinn.cli.run_files import run_of
from bayesinn.core.errors import InputError

RunFolders = Annotated[
    list[Path], typer.Argument(metavar="RUN RUN ...", help="Run folders, or saved posteriors.")
]
RunsFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that holds runs.")]
Comparison = Annotated[
    Path | None,
    typer.Option("--output", help="HTML file, or folder of figures.", show_default=False),
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
    """List all runs in a folder at a glance: training, verdict, answer."""
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
        look_at(run_of(each))  # before TensorFlow is imported
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
