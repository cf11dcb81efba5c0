"""Arguments and options of the command line, by type, and how commands end.

Nothing heavy is imported.
"""

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from bayesinn._version import __version__
from bayesinn.core.errors import InputError
from bayesinn.core.number_text import read_number

_FEWEST_MINUTES = 0.01
_MOST_MINUTES = 525_600

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A registered simulator, or file.py:object.")
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, or a saved posterior.")
]
Results = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="Folder for the results.",
        show_default="RUN; runs/NAME of a saved posterior",
    ),
]
Output = Annotated[Path | None, typer.Option(help="Run folder to write.", show_default="runs/NAME")]
Data = Annotated[
    Path | None,
    typer.Option(
        help="Observation: .csv, .json or .npz.", show_default="what ships with the simulator"
    ),
]
_BY = "Column of a .csv file that tells several observations apart."
By = Annotated[
    str | None, typer.Option(help=_BY, show_default="id or observation, if the file has one")
]
_CONTEXT = "Context that the file doesn't hold: NAME=NUMBER, or NAME=NUMBER,NUMBER for a vector."
Context = Annotated[list[str], typer.Option(help=_CONTEXT, show_default=False)]
Steps = Annotated[
    int | None,
    typer.Option(help="Training steps.", min=1, show_default="the simulator's, else 5,000"),
]
BatchSize = Annotated[
    int | None,
    typer.Option(help="Simulations per step.", min=1, show_default="the simulator's, else 256"),
]
_PASSES = "Passes through simulations that are drawn first; 0: new ones at each step."
Passes = Annotated[int | None, typer.Option(help=_PASSES, min=0, show_default="the simulator's")]
_STRATEGY = (
    "Share each batch among all devices of this machine, or among the processes in TF_CONFIG."
)
Strategy = Annotated[
    Literal["mirrored", "multi-worker"] | None,
    typer.Option(help=_STRATEGY, show_default="one device"),
]
Accumulate = Annotated[
    int, typer.Option(help="Parts of a batch on each device, one after another.", min=1)
]
Seed = Annotated[int, typer.Option(help="Decides every random number.", min=0)]
Draws = Annotated[int, typer.Option(help="Posterior draws for the observation.", min=2)]
_BANK = (
    "Simulation bank to train on, in place of new simulations: a folder, or an address such "
    "as s3://bucket/bank."
)
BankToTrainOn = Annotated[str | None, typer.Option("--bank", help=_BANK, show_default=False)]
_REUSE = "Train while the bank is still written, and use each simulation so many times."
Reuse = Annotated[
    int | None, typer.Option(help=_REUSE, min=1, show_default="a bank that is finished")
]
_FRESH = "Share of each batch that is simulated anew, beside those from the bank."
Fresh = Annotated[float | None, typer.Option(help=_FRESH, min=0.0, max=0.99, show_default=False)]
GivenBank = Annotated[
    str, typer.Option("--bank", help="Simulation bank to learn from: a folder, or an address.")
]
Bank = Annotated[
    str,
    typer.Option("--out", help="Bank to write: a folder, or an address such as s3://bucket/bank."),
]
Cluster = Annotated[
    str | None,
    typer.Option(help="Address of a Dask scheduler, to simulate there.", metavar="ADDRESS"),
]
Chunk = Annotated[
    int | None, typer.Option(help="Simulations in a chunk.", min=1, show_default="8 MB, or fewer")
]
_DIAGNOSED = "10,000; of Python simulators as many as take five minutes, 1,000 at least"
Simulations = Annotated[
    int | None,
    typer.Option(help="Simulated data sets to diagnose on.", min=20, show_default=_DIAGNOSED),
]
DiagnosisDraws = Annotated[
    int, typer.Option("--draws", help="Posterior draws for each data set.", min=5)
]
CheckSimulations = Annotated[
    int, typer.Option("--simulations", help="Simulations to look at.", min=50)
]
Report = Annotated[Path | None, typer.Option("--output", help="HTML report to write.")]
_SOURCE = "FILE.py:NAME of the posterior's simulator; the file is run."
Source = Annotated[
    str | None, typer.Option("--simulator", help=_SOURCE, show_default="an installed one")
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Run the source that the posterior names as its simulator's."),
]
Exact = Annotated[
    bool,
    typer.Option("--exact", help="Draw from the exact posterior, too, where that is possible."),
]
Predictive = Annotated[
    bool, typer.Option(help="Simulate data from each draw, for the predictive figures.")
]
_SUMMARY = (
    "Network of the data, such as set-transformer or conv-lstm:units=64; "
    "OBSERVABLE=NETWORK for one of several."
)
SummaryNetwork = Annotated[
    list[str], typer.Option("--summary", help=_SUMMARY, show_default="the simulator's")
]
_FLOW = "Flow, such as autoregressive or coupling:blocks=8,transform=spline."
FlowNetwork = Annotated[
    str | None, typer.Option("--flow", help=_FLOW, show_default="the simulator's")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue from the checkpoint in the run folder.")
]


_WHOLE_NUMBER = re.compile(r"\d+(_\d+)*|\d{1,3}(,\d{3})+|\d+(\.\d+)?[eE]\+?\d+", re.ASCII)


def _whole_number(text: str) -> int:
    """Read a whole number, also one such as 1e6 or 1,000,000; neither 1,5 nor 1.000 is 1."""
    number = math.nan
    if _WHOLE_NUMBER.fullmatch(text):
        number = float(text.replace(",", "").replace("_", ""))
    if not 1 <= number < math.inf or number != int(number):
        raise typer.BadParameter(
            f"{text!r} is no whole number of 1 or more, such as 1000000 or 1e6"
        )
    return int(number)


def _minutes(text: str) -> float:
    """Read minutes; typer's own bounds let NaN through."""
    try:
        number = read_number(text)
    except ValueError:
        number = math.nan
    if not _FEWEST_MINUTES <= number <= _MOST_MINUTES:
        bounds = f"from {_FEWEST_MINUTES:g} to {_MOST_MINUTES:,}, a year"
        raise typer.BadParameter(f"{text!r} is no number {bounds}")
    return number


Count = Annotated[
    int, typer.Option("--n", parser=_whole_number, metavar="N", help="Simulations, such as 1e6.")
]
_MINUTES = "Minutes to train for, about, in place of --steps."
Minutes = Annotated[float | None, typer.Option(parser=_minutes, metavar="MINUTES", help=_MINUTES)]


class Commands(TyperGroup):
    """Commands that Ctrl-C ends with the status of a program that a signal ended."""

    def invoke(self, context: Any) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            typer.echo("\ninterrupted", err=True)
            raise typer.Exit(130) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bayesinn {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
    ),
]


def saved_posterior(run: Path) -> Path:
    """Return the folder of the posterior in a run folder, or of one that was saved by itself."""
    if (run / "manifest.json").is_file():
        return run
    if (run / "posterior.nc").is_file() and not (run / "posterior").is_dir():
        do = (
            "name the posterior that gave it, and this folder for the results: POSTERIOR "
            "--output RUN"
        )
        raise InputError(
            f"Run folder {str(run)!r}", expected="a posterior", got="an answer of one", do=do
        )
    return run / "posterior"
