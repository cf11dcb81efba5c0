"""Simulations all drawn before the first step: a bank beside the checkpoint, or in memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bayesinn.core import seeds
from bayesinn.simulation.bank.simulate import write_bank
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.drawn_simulations import MARKER, check_place, run_of, simulations_of
from bayesinn.training.settings import TrainingSettings

_MOST_CHUNKS = 64
_MOST_ROWS = 4_096


def draw_all(
    simulator: Simulator, settings: TrainingSettings, progress: bool, folder: Path | None = None
) -> tuple[Arrays, int, float]:
    """Return all simulations, the number of failed ones, and the seconds that a batch takes.

    Where a checkpoint has a ``folder``, an interrupted run leaves them there, and the run that
    resumes goes on.
    """
    size = settings.batch_size
    total = settings.simulations
    # Whole batches, and with few of them no simulation too many.
    batches = max(1, min(total // size // _MOST_CHUNKS, _MOST_ROWS // size))
    # Of its own, so that they are not those of a bank with the same seed, which may be held out.
    seed = seeds.integer_seed(settings.seed, "simulations")
    run = None if folder is None else run_of(folder)
    marker = {} if run is None else {MARKER: run}
    with _place(folder) as place:
        bank, seconds = write_bank(
            simulator, total, place, seed, batches * size, progress, "drawing", marker
        )
        # A longer run that was interrupted before its first step may have left more.
        return bank.read(slice(0, total)), bank.failed, float(np.nan_to_num(seconds)) * size


@contextmanager
def _place(folder: Path | None) -> Iterator[str]:
    """Give the place of a bank, which is emptied afterwards if it is in memory."""
    import fsspec

    if folder is not None:
        check_place(folder, None)
        yield str(simulations_of(folder))
        return
    name = f"/bayesinn/{uuid.uuid4().hex}"
    try:
        yield f"memory:/{name}"
    finally:
        memory = fsspec.filesystem("memory")
        if memory.exists(name):
            memory.rm(name, recursive=True)
