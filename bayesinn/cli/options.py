"""Arguments and options of the command line, by type, and how commands end.

Nothing heavy is imported.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from bayesinn._version import __version__
from bayesinn.core import process
from bayesinn.core.errors import InputError
from bayesinn.core.number_text import read_number
from bayesinn.core.run_folder import is_about_posterior, run_of


def is_array_file(place: str | None) -> bool:
    """Whether a bank is a file of arrays, or two: ``PARAMETERS.npy,DATA.npy``."""
    return place is not None and place.lower().endswith((".npz", ".npy"))


def named_files(place: str) -> list[Path]:
    """Return the files that a text names: one, whose path may have commas, or two."""
    whole = Path(place).expanduser()
    return [whole] if whole.is_file() else [Path(part).expanduser() for part in place.split(",")]


_FEWEST_MINUTES = 0.01
_MOST_MINUTES = 525_600

_WHOLE_NUMBER = re.compile(r"\d+(_\d+)*|\d{1,3}(,\d{3})+|\d+(\.\d+)?[eE]\+?\d+", re.ASCII)


def whole_number(least: int = 1) -> Callable[[Any], int]:
    """Return a function that reads whole numbers, also 1e6 or 1,000,000; neither 1,5 nor 1.000."""

    def read(text: Any) -> int:
        text = str(text)
        digits = text.replace(",", "").replace("_", "")
        number = math.nan
        if _WHOLE_NUMBER.fullmatch(text):
            number = float(digits)
        if not least <= number < math.inf or number != int(number):
            raise typer.BadParameter(
                f"{text!r} is no whole number of {least} or more, such as 1000000 or 1e6"
            )
        # A float has 53 bits.
        return int(digits) if digits.isdigit() else int(number)

    return read


Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A registered simulator, or file.py:object.")
]
OptionalName = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="A registered simulator, or file.py:object; with --prior a name for your arrays.",
        show_default="the name of the file with --prior",
    ),
]
RunFolder = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="A run folder, or a saved posterior.", callback=run_of),
]


def written(text: str) -> Path:
    """Read a path to write to; an empty text would be the current folder."""
    if not text.strip():
        raise typer.BadParameter("an empty text is no path: name a folder, or . for this one")
    return Path(text)


Results = Annotated[
    Path | None,
    typer.Option(
        "--output",
        parser=written,
        metavar="PATH",
        help="Folder for the results.",
        show_default="RUN; runs/NAME of a saved posterior",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        parser=written, metavar="PATH", help="Run folder to write.", show_default="runs/NAME"
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="Observation: .csv, .json or .npz.", show_default="what ships with the simulator"
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        help="Column of a .csv file that tells several observations apart.",
        show_default="id or observation, if the file has one",
    ),
]
Context = Annotated[
    list[str],
    typer.Option(
        help="Context that the file doesn't hold: NAME=NUMBER, or NAME=NUMBER,NUMBER for a vector.",
        show_default=False,
    ),
]
Designs = Annotated[
    list[str],
    typer.Option(
        "--design",
        help="Values of a context to compare: NAME=NUMBER,NUMBER. Of several names, the first "
        "values make one design, and so on.",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        help="Training steps.",
        parser=whole_number(1),
        metavar="N",
        show_default="the simulator's, else 5,000; for simulations in memory by their number",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        help="Simulations per step.",
        parser=whole_number(1),
        metavar="N",
        show_default="the simulator's, else 256; for simulations in memory by their number",
    ),
]
Passes = Annotated[
    int | None,
    typer.Option(
        help="Passes through simulations that are drawn first; 0: new ones at each step.",
        parser=whole_number(0),
        metavar="N",
        show_default="the simulator's, else 0",
    ),
]
Strategy = Annotated[
    Literal["mirrored", "multi-worker"] | None,
    typer.Option(
        help=(
            "Share each batch among all devices of this machine, or among the processes in "
            "TF_CONFIG."
        ),
        show_default="one device",
    ),
]
Accumulate = Annotated[
    int,
    typer.Option(
        help="Parts of a batch on each device, one after another.",
        parser=whole_number(1),
        metavar="N",
    ),
]
Seed = Annotated[
    int, typer.Option(help="Decides every random number.", parser=whole_number(0), metavar="N")
]
Draws = Annotated[
    int,
    typer.Option(help="Posterior draws for the observation.", parser=whole_number(2), metavar="N"),
]
BankToTrainOn = Annotated[
    str | None,
    typer.Option(
        "--bank",
        help=(
            "Simulation bank to train on, in place of new simulations: a folder, an address "
            "such as s3://bucket/bank, arrays in FILE.npz, or in PARAMETERS.npy,DATA.npy."
        ),
        show_default=False,
    ),
]
Reuse = Annotated[
    int | None,
    typer.Option(
        help="Train while the bank is still written, and use each simulation so many times.",
        parser=whole_number(1),
        metavar="N",
        show_default="a bank that is finished",
    ),
]
Fresh = Annotated[
    float | None,
    typer.Option(
        help="Share of each batch that is simulated anew, beside those from the bank.",
        min=0.0,
        max=0.99,
        show_default=False,
    ),
]
PriorOfArrays = Annotated[
    list[str],
    typer.Option(
        "--prior",
        metavar="NAME=DISTRIBUTION",
        help=(
            "Prior of a parameter in --bank FILE.npz, such as 'rate=LogNormal(-0.9, 0.5)', for "
            "arrays without a simulator; all other arrays are data."
        ),
        show_default=False,
    ),
]
HeldOut = Annotated[
    Path | None,
    typer.Option(
        "--held-out",
        help="Arrays, .npz, that training has not seen, to use in place of new simulations.",
        show_default="held_out.npz in RUN (the first of several), without a simulator",
    ),
]
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
    int | None,
    typer.Option(
        help="Simulations in a chunk.",
        parser=whole_number(1),
        metavar="N",
        show_default="8 MB, or fewer",
    ),
]
Simulations = Annotated[
    int | None,
    typer.Option(
        help="Simulated data sets to diagnose on.",
        parser=whole_number(20),
        metavar="N",
        show_default="10,000; of Python simulators as many as take five minutes, 1,000 at least",
    ),
]
DiagnosisDraws = Annotated[
    int,
    typer.Option(
        "--draws", help="Posterior draws for each data set.", parser=whole_number(5), metavar="N"
    ),
]
CheckSimulations = Annotated[
    int,
    typer.Option(
        "--simulations", help="Simulations to look at.", parser=whole_number(50), metavar="N"
    ),
]


def _report(text: str) -> Path:
    """Read the name of a report, which takes its simulations first."""
    path = Path(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"{text!r} doesn't end in .html: name it report.html, for example")
    return path


Report = Annotated[
    Path | None,
    typer.Option("--output", parser=_report, metavar="FILE.html", help="HTML report to write."),
]
Source = Annotated[
    str | None,
    typer.Option(
        "--simulator",
        help="FILE.py:NAME of the posterior's simulator; the file is run.",
        show_default="an installed one",
    ),
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Run the source that the posterior names as its simulator's."),
]
Exact = Annotated[
    bool,
    typer.Option("--exact", help="Draw from the exact posterior, too, where that is possible."),
]
Refine = Annotated[
    bool,
    typer.Option(
        "--refine",
        help="Correct draws by the simulator's log likelihood, so that they are from the exact "
        "posterior.",
    ),
]
Fixed = Annotated[
    list[str],
    typer.Option(
        "--fix",
        metavar="NAME=NUMBER",
        help="A parameter whose value is known, NAME=NUMBER,NUMBER for a vector; infer the others.",
        show_default=False,
    ),
]
OtherPrior = Annotated[
    list[str],
    typer.Option(
        "--prior",
        metavar="NAME=DISTRIBUTION",
        help="Another prior of a parameter than that of the training, such as 'rate=Gamma(2, 1)'.",
        show_default=False,
    ),
]
Combined = Annotated[
    bool,
    typer.Option(
        "--combine", help="All observations of the file have the same parameters: one answer."
    ),
]
Region = Annotated[
    Literal["conformal"] | None,
    typer.Option(
        help="Add 95 % intervals whose coverage is guaranteed, from held-out simulations.",
        show_default=False,
    ),
]
Predictive = Annotated[
    bool, typer.Option(help="Simulate data from each draw, for the predictive figures.")
]
SummaryNetwork = Annotated[
    list[str],
    typer.Option(
        "--summary",
        help=(
            "Network of the data, such as set-transformer or conv-lstm:units=64; "
            "OBSERVABLE=NETWORK for one of several."
        ),
        show_default="the simulator's, else chosen by the data",
    ),
]
FlowNetwork = Annotated[
    str | None,
    typer.Option(
        "--flow",
        help="Flow, such as autoregressive or coupling:blocks=8,transform=spline.",
        show_default="the simulator's, else chosen by the number of parameters",
    ),
]
NetworkCount = Annotated[
    int | None,
    typer.Option(
        "--networks",
        help="Networks that are trained side by side; the posterior is their mean.",
        parser=whole_number(1),
        metavar="N",
        show_default="3 for up to 200,000 stored simulations, else 1",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue from the checkpoint in the run folder.")
]


def _minutes(text: str) -> float:
    """Read minutes; typer's own bounds let NaN through."""
    try:
        number = read_number(text)
    except ValueError:
        number = math.nan
    if not _FEWEST_MINUTES <= number <= _MOST_MINUTES:
        raise typer.BadParameter(
            f"{text!r} is no number from {_FEWEST_MINUTES:g} to {_MOST_MINUTES:,}, a year"
        )
    return number


Count = Annotated[
    int, typer.Option("--n", parser=whole_number(), metavar="N", help="Simulations, such as 1e6.")
]
Minutes = Annotated[
    float | None,
    typer.Option(
        parser=_minutes,
        metavar="MINUTES",
        help="Minutes to train for, about, in place of --steps, simulations included; those that "
        "--passes draws first are not cut short. Neither with --bank nor with --resume.",
    ),
]


def check_bank(name: str | None, bank: str | None, prior: list[str]) -> None:
    """Refuse what can't be trained on before anything heavy is imported."""
    if prior and not is_array_file(bank):
        raise typer.BadParameter("--prior needs arrays to train on: --bank FILE.npz")
    if name is None and not prior:
        hint = "see bayesinn list"
        if bank:
            hint = "or the prior of your arrays: --prior 'rate=LogNormal(-0.9, 0.5)'"
        raise typer.BadParameter(f"Missing argument 'NAME': {hint}")
    for file in named_files(bank) if bank is not None and is_array_file(bank) else ():
        if not file.is_file():
            subject = f"Option --bank {bank!r}"
            raise InputError(
                subject, expected="a file", got=f"no file {str(file)!r}", do="check the path"
            )


def check_length(
    minutes: float | None,
    steps: int | None,
    passes: int | None,
    resume: bool,
    bank: str | None = None,
) -> None:
    """Refuse lengths of training that contradict each other, or what is trained on."""
    if bank is not None and (minutes is not None or passes is not None):
        raise InputError(
            "Length of training",
            expected="the number of steps of a run from a bank",
            got="--minutes or --passes with --bank",
            do="give --steps in place of --minutes and --passes",
        )
    if minutes is not None and (steps is not None or resume):
        raise InputError(
            "Length of training",
            expected="either minutes, for a new run, or steps",
            got="--minutes with --steps or --resume",
            do="resume without --minutes: the number of steps is in the folder",
        )


class Commands(TyperGroup):
    """Commands that Ctrl-C ends with the status of a program that a signal ended."""

    def invoke(self, context: Any) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            typer.echo("\ninterrupted", err=True)
            raise typer.Exit(process.status()) from None


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


def methods_of(run: Path) -> str | None:
    """Return the paragraph that the last diagnosis wrote; None if the posterior is a newer one."""
    file = run / "methods.txt"
    if not is_about_posterior(file):
        return None
    return file.read_text(encoding="utf-8").rstrip()


def saved_posterior(run: Path) -> Path:
    """Return the folder of the posterior in a run folder, or of one that was saved by itself."""
    if (run / "manifest.json").is_file():
        return run
    if (run / "posterior.nc").is_file() and not (run / "posterior").is_dir():
        raise InputError(
            f"Run folder {str(run)!r}",
            expected="a posterior",
            got="an answer of one",
            do=(
                "name the posterior that gave it, and this folder for the results: POSTERIOR "
                "--output RUN"
            ),
        )
    return run / "posterior"


SIZES = (5, 50)
_GROUP = re.compile(r"\s*([^\W\d]\w*)\s*=\s*([^\W\d]\w*(?:\s*,\s*[^\W\d]\w*)*)\s*")
_SIZES = re.compile(r"\s*(\d+)\s*[,-]\s*(\d+)\s*", re.ASCII)

Group = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="NAME=PARAMETER,...",
        help="Train a hierarchical posterior: NAME is repeated, such as person, and has these "
        "parameters; all others are those of the population.",
        show_default="one level",
    ),
]
Sizes = Annotated[
    str | None,
    typer.Option(
        "--sizes",
        metavar="FEWEST,MOST",
        help="Members of the group in a data set, at least and at most.",
        show_default=f"{SIZES[0]},{SIZES[1]} with --group",
    ),
]


def check_group(
    group: str | None, sizes: str | None, bank: str | None, networks: int | None
) -> dict[str, Any]:
    """Return what hierarchical training takes; refuse what can't be before TensorFlow is there."""
    if group is None:
        if sizes is not None:
            raise typer.BadParameter("--sizes needs a group: --group person=speed,threshold")
        return {}
    levels = _GROUP.fullmatch(group)
    if levels is None:
        raise typer.BadParameter(
            f"--group {group!r}: write who is repeated, and the parameters of each, as in "
            "person=speed,threshold"
        )
    if bank is not None or networks is not None:
        raise typer.BadParameter(
            "--group simulates its own sets, and trains one network: leave out --bank and "
            "--networks"
        )
    pair = _SIZES.fullmatch(sizes or f"{SIZES[0]},{SIZES[1]}")
    if pair is None:
        raise typer.BadParameter(f"--sizes {sizes!r}: write two whole numbers, such as 10,30")
    names = tuple(name.strip() for name in levels[2].split(","))
    return {"group": {levels[1]: names}, "sizes": (int(pair[1]), int(pair[2]))}
