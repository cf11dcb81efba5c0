"""Simulations all drawn before the first step: a bank beside the checkpoint, or in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bayesinn.core import seeds
from bayesinn.simulation.bank.simulate import draw_simulations, write_bank
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.training.drawn_simulations import MARKER, check_place, run_of, simulations_of
from bayesinn.training.settings import TrainingSettings

_MOST_CHUNKS = 64
_MOST_ROWS = 4_096
_TASK = "drawing"


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
    if folder is None:
        arrays, failed, seconds = draw_simulations(
            simulator, total, seed, batches * size, progress, _TASK
        )
    else:
        check_place(folder, None)
        run = run_of(folder)
        marker = {} if run is None else {MARKER: run}
        place = str(simulations_of(folder))
        bank, seconds = write_bank(
            simulator, total, place, seed, batches * size, progress, _TASK, marker
        )
        # A longer run that was interrupted before its first step may have left more.
        arrays = bank.read(slice(0, total))
        failed = bank.failed
    return arrays, failed, float(np.nan_to_num(seconds)) * size
