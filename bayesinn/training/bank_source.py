"""Batches from a simulation bank that may be larger than memory: read ahead in windows of several chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.simulations import Arrays
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import Source
from bayesinn.training.trainable import Batch

# Of a window, of which there are about four in memory: being read, read ahead, being used, being copied.
_WINDOW_BYTES = 64 * 2**20
_BATCHES_AHEAD = 16


class Window(NamedTuple):
    """Some chunks that are read together, and cut into batches; what is left over is not used in this pass."""

    number: int
    chunks: list[int]
    batches: int


class BankSource(Source):
    """Batches from the first ``rows`` simulations of a bank.

    For each pass the chunks are put into a new order, and the rows of each window, too. All of it is a pure function of
    seed and step. Python runs once for each window; batches are cut in the pipeline.
    """

    def __init__(self, bank: Bank, rows: int, settings: TrainingSettings) -> None:
        self.failed_before = bank.failed
        self._bank, self._rows, self._settings = bank, rows, settings
        # One batch at least, however small the chunks are.
        row_bytes, size = max(bank.nbytes // bank.n, 1), bank.rows_per_chunk
        self._chunks = -(-rows // size)
        most = max(_WINDOW_BYTES // (row_bytes * size), -(-2 * settings.batch_size // size), 1)
        self._chunks_per_window = min(most, self._chunks)

    def elements(self, first_epoch: int) -> tf.data.Dataset:
        template = self._bank.read(slice(0, 1))
        number = tf.TensorSpec((None,), tf.int32)
        rows = {name: tf.TensorSpec((None, *value.shape[1:]), value.dtype) for name, value in template.items()}
        order = tf.TensorSpec((None, self._settings.batch_size), tf.int32)
        windows = tf.data.Dataset.from_generator(
            lambda: self._generate(first_epoch), output_signature=(number, order, rows)
        )

        def batches(steps: tf.Tensor, orders: tf.Tensor, rows: dict[str, tf.Tensor]) -> tf.data.Dataset:
            return tf.data.Dataset.from_tensor_slices((steps, orders)).map(
                lambda step, order: (step, {name: tf.gather(value, order) for name, value in rows.items()})
            )

        return windows.prefetch(1).flat_map(batches).prefetch(_BATCHES_AHEAD)

    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        return element[1], tf.constant(0)

    def _generate(self, first_epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray, Arrays]]:
        """Yield windows: numbers of steps, the rows of each step's batch, and all rows."""
        numbers = self._settings.step_numbers(first_epoch)
        busy = np.flatnonzero(numbers >= 0)
        first, step, pass_number = int(numbers[busy[0]]), 0, 0
        try:
            while step < first + len(busy):
                for window in self._windows(pass_number):
                    start, step = step, step + window.batches
                    if step <= first or start >= first + len(busy):
                        continue
                    # Idle steps belong to the step before them.
                    begin = busy[max(start, first) - first]
                    end = busy[step - first] if step < first + len(busy) else len(numbers)
                    arrays, orders = self._read(pass_number, window)
                    chosen = numbers[begin:end]
                    yield chosen, orders[np.maximum(chosen - start, 0)], arrays
                pass_number += 1
        except Exception as error:
            self.error = error
            raise

    def _windows(self, pass_number: int) -> Iterator[Window]:
        """Yield the windows of a pass."""
        order = seeds.generator(self._settings.seed, "shuffle", pass_number).permutation(self._chunks).tolist()
        for number, start in enumerate(range(0, self._chunks, self._chunks_per_window)):
            chunks = order[start : start + self._chunks_per_window]
            rows = sum(self._rows_in(chunk) for chunk in chunks)
            yield Window(number, chunks, rows // self._settings.batch_size)

    def _rows_in(self, chunk: int) -> int:
        return min(self._bank.rows_per_chunk, self._rows - chunk * self._bank.rows_per_chunk)

    def _read(self, pass_number: int, window: Window) -> tuple[Arrays, np.ndarray]:
        """Return the rows of a window, and those of each of its batches in random order."""
        parts = [(self._bank.read_chunk(chunk), self._rows_in(chunk)) for chunk in window.chunks]
        arrays = {name: np.concatenate([part[name][:rows] for part, rows in parts]) for name in parts[0][0]}
        generator = seeds.generator(self._settings.seed, "shuffle", pass_number, window.number)
        rows = len(next(iter(arrays.values())))
        order = generator.permutation(rows)[: window.batches * self._settings.batch_size].astype(np.int32)
        return arrays, order.reshape(window.batches, self._settings.batch_size)
