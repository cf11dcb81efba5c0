"""The command that compares models.

Heavy modules are imported inside.
"""

from pathlib import Path
from typing import Annotated

import typer

from bayesinn.cli import options as cl
from bayesinn.cli.commands import app
from bayesinn.cli.opening import check_file, find_simulator, read_observation

_Names = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="Two or more registered simulators, or file.py:object."),
]
_Output = Annotated[
    Path | None, typer.Option("--output", help="Folder to save the trained comparison in.")
]
_Simulations = Annotated[
    int,
    typer.Option(
        "--simulations",
        parser=cl.whole_number(100),
        metavar="N",
        help="Simulations of all models to train on.",
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
    names: _Names,
    data: _Data = None,
    by: cl.By = None,
    context: cl.Context = [],  # noqa: B006
    output: _Output = None,
    simulations: _Simulations = 20_000,
    steps: cl.Steps = None,
    summary: cl.SummaryNetwork = [],  # noqa: B006
    seed: cl.Seed = 1,
) -> None:
    """Compare models by the probability of each, given an observation or several."""
    check_file(data)
    simulators = [find_simulator(name) for name in names]
    from bayesinn.cli.model_comparison import compare_models

    observation = read_observation(data, simulators[0], context, by)
    typer.echo(compare_models(simulators, observation, summary, simulations, steps, seed, output))
