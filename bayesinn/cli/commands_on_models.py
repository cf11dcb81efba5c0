"""The command that compares models.

Heavy modules are imported inside.
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from bayesinn.cli import options as cl
from bayesinn.cli.commands import app
from bayesinn.cli.opening import (
    check_file,
    find_simulator,
    read_observation,
    start_tensorflow,
)
from bayesinn.core.manifest import read_manifest

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
    Path | None, typer.Option("--output", help="Folder to save the trained comparison in.")
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
    from bayesinn.cli.model_comparison import ask_saved, compare_models

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
