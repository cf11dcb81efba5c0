"""Simulations that a run draws beside its checkpoint, known by the run's own marker.

Only files with this marker are ever removed.
"""

import contextlib
import json
import os
import re
from pathlib import Path

from bayesinn.core.errors import BayesinnError, InputError
from bayesinn.core.warning import warn
from bayesinn.simulation.bank.removal import remove_bank
from bayesinn.simulation.bank.store import open_group
from bayesinn.simulation.engines.kept import has_blocks, remove_blocks

#: Attribute of a bank that names the run which drew it.
MARKER = "drawn_by_run"
#: Entry of ``settings.json`` of a checkpoint with the same name.
RUN = "bayesinn_run"
_NAME = re.compile("[0-9a-f]{32}")


def simulations_of(checkpoint: Path) -> Path:
    """Return the folder of the simulations that belong to a checkpoint."""
    return checkpoint / "simulations"


def run_of(checkpoint: Path) -> str | None:
    """Return the name of a checkpoint's run; None if its ``settings.json`` is not ours."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        name = json.loads((checkpoint / "settings.json").read_text("utf-8")).get(RUN)
        return name if _NAME.fullmatch(name) else None
    return None


def blocks_of(checkpoint: Path) -> Path | None:
    """Return the folder of finished blocks of simulations, which has the name of the run."""
    run = run_of(checkpoint)
    return None if run is None else checkpoint / f"simulated-{run}"


def has_drawn(checkpoint: Path) -> bool:
    """Tell whether the run of a checkpoint has left simulations there."""
    blocks = blocks_of(checkpoint)
    return (blocks is not None and has_blocks(blocks)) or _has_bank(checkpoint)


def _has_bank(checkpoint: Path) -> bool:
    place = simulations_of(checkpoint)
    run = run_of(checkpoint)
    if run is None or place.is_symlink() or not (place / "zarr.json").is_file():
        return False
    with contextlib.suppress(BayesinnError):
        group = open_group(str(place), "r")
        return group is not None and group.attrs.get(MARKER) == run
    return False


def check_place(checkpoint: Path, bank: str | None) -> None:
    """Refuse a checkpoint whose simulations would be among files that no run of it has written.

    The bank at ``bank``, which is trained from, may be there.
    """
    place = simulations_of(checkpoint)
    if not os.path.lexists(place) or _has_bank(checkpoint):
        return
    local = bank is not None and "://" not in bank
    if local and Path(os.path.realpath(str(bank))).is_relative_to(os.path.realpath(place)):
        return
    # A run that was killed before its first simulation leaves an empty folder, or a file of this
    # kind.
    with contextlib.suppress(OSError):
        if not place.is_symlink() and all(file.suffix == ".partial" for file in place.iterdir()):
            return
    raise InputError(
        f"Checkpoint folder {str(checkpoint)!r}",
        expected="a folder of its own for a checkpoint: a run keeps simulations in 'simulations', "
        "and removes them",
        got="'simulations' of something else",
        do="choose another folder, or move that away",
    )


def forget(checkpoint: Path) -> None:
    """Remove the simulations that the run of a checkpoint has drawn, now that it has ended."""
    if (blocks := blocks_of(checkpoint)) is not None:
        remove_blocks(blocks)
    if _has_bank(checkpoint) and (others := remove_bank(simulations_of(checkpoint))):
        found = ", ".join(map(repr, others[:3]))
        place = str(simulations_of(checkpoint))
        warn(
            f"simulations of a run that has ended stay in {place!r}: beside them is {found}",
        )
