"""Rows of results that are added one by one, and draws side by side."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np


class Rows:
    """Rows of a CSV file, written one by one."""

    def __init__(self, file: Path, keys: tuple[str, ...]) -> None:
        self._file = file
        self._keys = keys
        self.done: set[tuple[str, ...]] = set()
        if file.exists():
            with file.open() as lines:
                self.done = {tuple(row[key] for key in keys) for row in csv.DictReader(lines)}

    def add(self, row: dict[str, object]) -> None:
        """Write a row, with a head if it is the first."""
        new = not self._file.exists()
        with self._file.open("a", newline="") as lines:
            writer = csv.DictWriter(lines, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        self.done.add(tuple(str(row[key]) for key in self._keys))


def columns(draws: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return draws (n, k) of all numbers side by side."""
    return np.concatenate([np.reshape(v, (len(v), -1)) for v in draws.values()], axis=1)
