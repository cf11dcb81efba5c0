"""The command line: parse, call the library, print. Heavy modules are imported inside the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import bayesinn as bi
from bayesinn.core.errors import BayesinnError
from bayesinn.core.startup import import_tensorflow

if TYPE_CHECKING:
    import pandas as pd
    import xarray

    from bayesinn.workflow.diagnosis import Diagnosis
    from bayesinn.workflow.run import Run

    Observation = dict[str, Any] | None

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A registered simulator, or file.py:object.")]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder; or a saved posterior, whose results then go to runs/NAME.")
]
Output = Annotated[Path | None, typer.Option(help="Run folder to write.", show_default="runs/NAME")]
Data = Annotated[
    Path | None, typer.Option(help="Observation: .csv, .json or .npz.", show_default="what ships with the simulator")
]
Steps = Annotated[int | None, typer.Option(help="Training steps.", min=1, show_default="the simulator's, else 5,000")]
Minutes = Annotated[float | None, typer.Option(help="Minutes to train for, about, in place of --steps.", min=0.01)]
BatchSize = Annotated[
    int | None, typer.Option(help="Simulations per step.", min=1, show_default="the simulator's, else 256")
]
_PASSES = "Passes through simulations that are drawn first; 0: new ones at each step."
Passes = Annotated[int | None, typer.Option(help=_PASSES, min=0, show_default="the simulator's")]
Seed = Annotated[int, typer.Option(help="Decides every random number.", min=0)]
Draws = Annotated[int, typer.Option(help="Posterior draws for the observation.", min=2)]
Simulations = Annotated[int, typer.Option(help="Simulated observations to diagnose on.", min=20)]
CheckSimulations = Annotated[int, typer.Option("--simulations", help="Simulations to look at.", min=50)]
Report = Annotated[Path | None, typer.Option("--output", help="HTML report to write.")]
_SOURCE = "FILE.py:NAME of the posterior's simulator; the file is run."
Source = Annotated[str | None, typer.Option("--simulator", help=_SOURCE, show_default="an installed one")]
Trust = Annotated[bool, typer.Option("--trust", help="Run the source that the posterior names as its simulator's.")]
Exact = Annotated[bool, typer.Option("--exact", help="Draw from the exact posterior, too, where that is possible.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint in the run folder.")]

_DIAGNOSIS_DRAWS = 250


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bayesinn {bi.__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
]


@app.callback()
def options(version: Version = False) -> None:
    """Amortized simulation-based Bayesian inference. NAME is a registered simulator, or file.py:object."""


@app.command(name="list")
def list_simulators() -> None:
    """List the installed simulators."""
    from bayesinn.simulation.installed import descriptions

    for name, line in descriptions().items():
        typer.echo(f"{name:<20}{line}")


@app.command()
def train(
    name: Name,
    output: Output = None,
    steps: Steps = None,
    minutes: Minutes = None,
    batch_size: BatchSize = None,
    passes: Passes = None,
    seed: Seed = 1,
    resume: Resume = False,
) -> None:
    """Train a posterior into a run folder."""
    simulator = _simulator(name)
    run = _run(output, simulator)
    run.train(simulator, seed=seed, resume=resume, steps=steps, minutes=minutes, batch_size=batch_size, passes=passes)
    typer.echo(f"saved {run.folder}/posterior")


@app.command()
def infer(
    run: RunFolder,
    data: Data = None,
    simulator: Source = None,
    trust: Trust = False,
    draws: Draws = 4_000,
    exact: Exact = False,
    seed: Seed = 2,
) -> None:
    """Infer the parameters of an observation, with a trained posterior."""
    folder, posterior = _opened(run, simulator, trust)
    observation = _observation(data, posterior.simulator)
    tree, table = folder.infer(posterior, observation, draws=draws, seed=seed, exact=exact)
    _print_posterior(table, tree)
    typer.echo(f"saved {folder.folder}/posterior.nc, posterior.csv and figures")


@app.command()
def check(name: Name, output: Report = None, simulations: CheckSimulations = 2_000, seed: Seed = 0) -> None:
    """Look at a simulator before training: speed, failures, ranges; the exit status is 1 if something must change."""
    simulator = _simulator(name)
    result = bi.simulator_report(simulator, simulations=simulations, seed=seed)
    typer.echo(repr(result))
    if output is not None:
        typer.echo(f"saved {result.to_html(output)}")
    if not result.ok:
        raise typer.Exit(1)


def _diagnosing(finish: Callable[[Run, bi.AmortizedPosterior, Observation, Diagnosis], None]) -> Callable[..., None]:
    """Return a command that diagnoses a trained posterior, then calls ``finish``, whose name and docstring it takes."""

    def command(
        run: RunFolder,
        data: Data = None,
        simulator: Source = None,
        trust: Trust = False,
        simulations: Simulations = 1_000,
        seed: Seed = 3,
    ) -> None:
        folder, posterior = _opened(run, simulator, trust)
        observation = _observation(data, posterior.simulator)
        result = folder.diagnose(posterior, observation, simulations=simulations, draws=_DIAGNOSIS_DRAWS, seed=seed)
        finish(folder, posterior, observation, result)
        if not result.passed:
            raise typer.Exit(1)

    command.__name__, command.__doc__ = finish.__name__, finish.__doc__
    return command


@app.command()
@_diagnosing
def diagnose(folder: Run, posterior: bi.AmortizedPosterior, observation: Observation, result: Diagnosis) -> None:
    """Check a trained posterior on fresh simulations and around an observation; the exit status is 1 if it fails."""
    typer.echo(repr(result))
    typer.echo(f"saved {folder.folder}/verdict.csv, diagnosis.csv and figures")


@app.command()
@_diagnosing
def report(folder: Run, posterior: bi.AmortizedPosterior, observation: Observation, result: Diagnosis) -> None:
    """Diagnose, and write report.html from all there is in a run folder; the exit status is 1 if it fails."""
    typer.echo(f"{'passed' if result.passed else 'FAILED'}: saved {folder.report(posterior, result, observation)}")


@app.command(name="run")
def run_all(
    name: Name,
    output: Output = None,
    data: Data = None,
    steps: Steps = None,
    minutes: Minutes = None,
    batch_size: BatchSize = None,
    passes: Passes = None,
    draws: Draws = 4_000,
    simulations: Simulations = 1_000,
    exact: Exact = False,
    seed: Seed = 1,
    resume: Resume = False,
) -> None:
    """Train, diagnose, infer and report, all into one run folder."""
    simulator = _simulator(name)
    run, observation = _run(output, simulator), _observation(data, simulator)
    posterior = run.train(
        simulator, seed=seed, resume=resume, steps=steps, minutes=minutes, batch_size=batch_size, passes=passes
    )
    typer.echo("")
    diagnosis = run.diagnose(posterior, observation, simulations=simulations, draws=_DIAGNOSIS_DRAWS, seed=seed + 2)
    typer.echo(repr(diagnosis))
    if observation is not None or simulator.observed is not None:
        typer.echo("\ninferring")
        tree, table = run.infer(posterior, observation, draws=draws, seed=seed + 1, exact=exact)
        _print_posterior(table, tree)
    typer.echo(f"\nsaved {run.report(posterior, diagnosis, observation)}")


def _simulator(name: str) -> bi.Simulator:
    import_tensorflow()
    return bi.get(name)


def _run(folder: Path | None, simulator: bi.Simulator) -> Run:
    from bayesinn.workflow.run import Run

    return Run(folder or Path("runs") / simulator.name)


def _opened(run: Path, name: str | None, trust: bool) -> tuple[Run, bi.AmortizedPosterior]:
    """Return a run folder and its posterior; results of a posterior saved by itself go to ``runs/NAME``."""
    import_tensorflow()
    alone = (run / "manifest.json").is_file()
    posterior = bi.load(run if alone else run / "posterior", None if name is None else bi.get(name), trust)
    return _run(None if alone else run, posterior.simulator), posterior


def _observation(data: Path | None, simulator: bi.Simulator) -> Observation:
    from bayesinn.workflow.data_files import read_data

    return None if data is None else read_data(data, simulator)


def _print_posterior(table: pd.DataFrame, tree: xarray.DataTree) -> None:
    from bayesinn.posterior.draws import FLAG_LEVEL

    p_value = float(tree["sample_stats"]["out_of_distribution_p"])
    typer.echo(table.to_string(float_format=lambda value: f"{value:.4g}"))
    typer.echo(f"how typical the observation is of the simulations: p = {p_value:.2g}")
    if p_value < FLAG_LEVEL:
        typer.echo("WARNING: it is out of distribution, the posterior is an extrapolation", err=True)


def main() -> None:
    """Run the command line; errors that the library raises on purpose are printed without a traceback."""
    try:
        app()
    except BayesinnError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
