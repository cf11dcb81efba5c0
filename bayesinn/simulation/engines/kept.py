"""Finished blocks of simulations, kept in a folder while what they are for is not saved.

A run that is interrupted leaves them there, and the run that resumes simulates the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bayesinn.core.errors import warn
from bayesinn.core.files import replace_file
from bayesinn.simulation.engines.worker import Failure, Outcome
from bayesinn.simulation.simulations import Arrays

#: Seconds of simulation from which on a block is worth a file, which takes some milliseconds.
_WORTH_KEEPING = 0.2
#: What the simulator does that made the blocks.
_RECORD = "simulator.json"
_NAME = re.compile(r"(\d+(?:-\d+)*)\.(\d+)-(\d+)\.npz")
#: Entries of a file beside observables, whose names have no "/".
_INPUTS = "/inputs"
_FAILED = "/failed"


class KeptBlocks:
    """Blocks of rows, by the entropy of their batch, their first row and their number of rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = threading.Lock()
        self._record: Any = None
        self._blocks: dict[tuple[int, ...], dict[int, int]] = {}
        for file in folder.iterdir() if folder.is_dir() else ():
            if name := _NAME.fullmatch(file.name):
                entropy = tuple(map(int, name[1].split("-")))
                self._blocks.setdefault(entropy, {})[int(name[2])] = int(name[3])

    def record(self) -> Any:
        """Return what was said of the simulator of these blocks, in plain values, if anything."""
        file = self._folder / _RECORD
        return json.loads(file.read_text("utf-8")) if self._blocks and file.is_file() else None

    def begin(self, record: Any) -> None:
        """Take what is to be known of the simulator of the blocks to come."""
        self._record = record

    def rows(self, entropy: Sequence[int]) -> dict[int, int]:
        """Return the number of rows of each block of a batch, by its first row."""
        return self._blocks.get(tuple(entropy), {})

    def read(self, entropy: Sequence[int], first: int, *inputs: Arrays) -> Outcome | None:
        """Return a block; None if it is damaged, or one of other parameters or context."""
        rows = self.rows(entropy)[first]
        with contextlib.suppress(Exception), np.load(self._file(entropy, first, rows)) as file:
            arrays = dict(file)
            if str(arrays.pop(_INPUTS)) == _digest(inputs):
                failed = json.loads(str(arrays.pop(_FAILED)))
                return Outcome(rows, arrays, {int(row): Failure(*f) for row, f in failed.items()})
        return None

    def keep(self, entropy: Sequence[int], first: int, block: Outcome, *inputs: Arrays) -> None:
        """Write a block that took long, unless that is done."""
        if block.seconds < _WORTH_KEEPING or not block.observables:
            return
        with self._writing:
            if first in self.rows(entropy):
                return
            failed = {_FAILED: np.array(json.dumps(block.failed))}
            content = io.BytesIO()
            np.savez(
                content,
                allow_pickle=False,
                **{**block.observables, **failed, _INPUTS: np.array(_digest(inputs))},
            )
            try:
                if not self._folder.is_dir():
                    self._folder.mkdir()
                    replace_file(self._folder / _RECORD, json.dumps(self._record).encode())
                replace_file(self._file(entropy, first, block.rows), content.getvalue())
            except OSError as error:
                # A full disk must not cost the run.
                warn(f"Simulations not kept in {self._folder}: {error}. Training goes on.")
            self._blocks.setdefault(tuple(entropy), {})[first] = block.rows

    def forget(self, begin: Sequence[int], below: int) -> None:
        """Remove the blocks whose entropy begins so and goes on with a number below another."""
        size = len(begin)
        for entropy in list(self._blocks):
            if entropy[:size] == tuple(begin) and entropy[size] < below:
                for first, rows in self._blocks.pop(entropy).items():
                    with contextlib.suppress(OSError):
                        self._file(entropy, first, rows).unlink()

    def _file(self, entropy: Sequence[int], first: int, rows: int) -> Path:
        return self._folder / f"{'-'.join(map(str, entropy))}.{first}-{rows}.npz"


def has_blocks(folder: Path) -> bool:
    """Tell whether there are blocks in a folder."""
    return folder.is_dir() and any(_NAME.fullmatch(file.name) for file in folder.iterdir())


def remove_blocks(folder: Path) -> None:
    """Remove the blocks in a folder, and the folder unless something else is in it."""
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            if file.name == _RECORD or _NAME.fullmatch(file.name):
                file.unlink()
        folder.rmdir()


def _digest(inputs: Sequence[Arrays]) -> str:
    """Return a hash of parameters and context."""
    digest = hashlib.sha256()
    for arrays in inputs:
        for name, value in sorted(arrays.items()):
            digest.update(f"{name} {value.dtype} {value.shape} ".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
