"""Options of hierarchical models on the command line; nothing heavy is imported."""

import re
from typing import Annotated, Any

import typer

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
