"""Batches from a simulation bank that may exceed memory and still grow.

The bank is read in windows of chunks.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import shlex
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.engines.workers import on_interrupt
from bayesinn.simulation.simulations import Arrays, join, take
from bayesinn.simulation.simulator import Simulator
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import Source
from bayesinn.training.trainable import Batch

# Of a window, of which there are about four in memory: being read, read ahead, being used, being
# copied.
_WINDOW_BYTES = 64 * 2**20
_BATCHES_AHEAD = 16
_SECONDS_BETWEEN_LOOKS = 0.5
_LOOKS_BEFORE_A_NOTE = 20


class Window(NamedTuple):
    """Some chunks read together and cut into batches; the rest is not used in this pass."""

    number: int
    chunks: list[int]
    batches: int


class BankSource(Source):
    """Batches from the simulations of a bank from row ``first`` on.

    For each pass the chunks are put into a new order, and the rows of each window, too. All of it
    is a pure function of seed and step. Python runs once for each window.

    With ``reuse``, the bank may be unfinished. The first of all passes then has each chunk so many
    times: see :func:`growing_order`. Training waits for a chunk that isn't finished yet. Failed
    simulations of a chunk count from the step on that is the first to use it.
    """

    def __init__(
        self,
        simulator: Simulator,
        bank: Bank,
        first: int,
        settings: TrainingSettings,
        reuse: int = 0,
    ) -> None:
        self.failed_before = 0 if reuse else bank.failed
        self._simulator = simulator
        self._bank = bank
        self._first = first
        self._settings = settings
        self._reuse = reuse
        self._failures: dict[int, int] = {}
        self._interrupted = threading.Event()
        # One batch at least, however small the chunks are. The first and the last chunk may each
        # have less: never one chunk alone, or a bank of two would give no batch, for good.
        row_bytes = max(bank.nbytes // bank.n, 1)
        size = bank.rows_per_chunk
        self._chunks = np.arange(first // size, bank.chunks)
        most = max(_WINDOW_BYTES // (row_bytes * size), -(-2 * settings.batch_size // size), 2)
        self._chunks_per_window = min(most, len(self._chunks))

    def elements(self, first_epoch: int) -> tf.data.Dataset:
        size = self._settings.batch_size
        template = self._bank.read(slice(0, 1))
        number = tf.TensorSpec((None,), tf.int32)
        rows = {
            name: tf.TensorSpec((None, size, *value.shape[1:]), value.dtype)
            for name, value in template.items()
        }
        windows = tf.data.Dataset.from_generator(
            lambda: self._generate(first_epoch), output_signature=(number, rows)
        )
        # Faster than unbatch().
        slices = tf.data.Dataset.from_tensor_slices
        batches = windows.prefetch(1).flat_map(lambda *window: slices(window))
        return batches.prefetch(_BATCHES_AHEAD)

    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        return element[1], tf.constant(0)

    def failed_by(self, steps: int) -> int:
        if not self._reuse:
            return 0
        used = [chunk for chunk, step in self._first_uses.items() if step < steps]
        return sum(self._failed_in(chunk) for chunk in used)

    def _failed_in(self, chunk: int) -> int:
        """Return how many simulations of a chunk failed; the bank is asked once."""
        if chunk not in self._failures:
            self._failures[chunk] = self._bank.failed_in(chunk)
        return self._failures[chunk]

    @functools.cached_property
    def _first_uses(self) -> dict[int, int]:
        """Steps at which chunks are first used; -1 for those that are held out."""
        steps = dict.fromkeys(range(int(self._chunks[0])), -1)
        window_start = 0
        for window in self._windows(0):
            for chunk in window.chunks:
                steps.setdefault(chunk, window_start)
            window_start += window.batches
        return steps

    def interruptible(self) -> contextlib.AbstractContextManager[None]:
        return on_interrupt(self._interrupted.set)

    def release(self) -> None:
        self._interrupted.set()

    def _generate(self, first_epoch: int) -> Iterator[tuple[np.ndarray, Arrays]]:
        """Yield windows: numbers of steps (m,), and their batches (m, batch size, ...)."""
        numbers = self._settings.step_numbers(first_epoch)
        busy = np.flatnonzero(numbers >= 0)
        first_step = int(numbers[busy[0]])
        # Where each step begins, and the end of all: idle steps belong to the step before them.
        places = np.append(busy, len(numbers))
        try:
            for pass_number, start, window in self._all_windows():
                begin = max(start - first_step, 0)
                end = min(start + window.batches - first_step, len(busy))
                if begin >= len(busy):
                    return
                # Windows that are done are passed over.
                if end > 0:
                    chosen = numbers[places[begin] : places[end]]
                    # Idle steps are given the first batch.
                    yield chosen, self._read(pass_number, window, np.maximum(chosen - start, 0))
        except Exception as error:
            self.error = error
            raise

    def _all_windows(self) -> Iterator[tuple[int, int, Window]]:
        """Yield the number of a pass, the step at which a window begins, and the window, for ever.

        Steps are counted from the beginning of the run.
        """
        start = 0
        for pass_number in itertools.count():
            for window in self._windows(pass_number):
                yield pass_number, start, window
                start += window.batches

    def _windows(self, pass_number: int) -> Iterator[Window]:
        """Yield the windows of a pass."""
        generator = seeds.generator(self._settings.seed, "shuffle", pass_number)
        if self._reuse and not pass_number:
            order = growing_order(self._chunks.tolist(), self._reuse, generator)
        else:
            order = generator.permutation(self._chunks).tolist()
        for number, start in enumerate(range(0, len(order), self._chunks_per_window)):
            chunks = order[start : start + self._chunks_per_window]
            rows = sum(len(self._rows_in(chunk)) for chunk in chunks)
            yield Window(number, chunks, rows // self._settings.batch_size)

    def _rows_in(self, chunk: int) -> range:
        """Return the rows of a chunk to train on, counted from its start."""
        start = chunk * self._bank.rows_per_chunk
        size = self._bank.rows_per_chunk
        return range(max(self._first - start, 0), min(size, self._bank.n - start))

    def _read(self, pass_number: int, window: Window, batches: np.ndarray) -> Arrays:
        """Return some batches of a window, whose rows are shuffled: arrays (m, batch size, ...)."""
        if self._reuse and not pass_number:
            wait_for(self._bank, window.chunks, self._interrupted)
            for chunk in window.chunks:
                # Now, as at the end of the training the bank may be out of reach.
                self._failed_in(chunk)
        parts = [(self._checked(chunk), self._rows_in(chunk)) for chunk in window.chunks]
        generator = seeds.generator(self._settings.seed, "shuffle", pass_number, window.number)
        order = generator.permutation(sum(len(rows) for _, rows in parts))
        shape = window.batches, self._settings.batch_size
        chosen = order[: np.prod(shape)].reshape(shape)[batches]
        joined = join([take(part, slice(rows.start, rows.stop)) for part, rows in parts])
        # Four times as fast as indexing.
        return {name: np.take(value, chosen, axis=0) for name, value in joined.items()}

    def _checked(self, chunk: int) -> Arrays:
        """Return the rows of a chunk; those that aren't finite are refused as in arrays."""
        subject = f"Bank {self._bank.location!r}, chunk {chunk}"
        return check_simulations(self._simulator, self._bank.read_chunk(chunk), subject)


def growing_order(chunks: Sequence[int], reuse: int, generator: np.random.Generator) -> list[int]:
    """Return the order of chunks for a bank that still grows, each ``reuse`` times.

    No chunk comes long before it exists. After each new chunk come some of those before it, chosen
    at random, so that the latest are not overrated. When all chunks exist, half of the repetitions
    are left.

    >>> import numpy as np
    >>> growing_order(range(4), 2, np.random.default_rng(1))
    [0, 0, 1, 2, 1, 3, 2, 3]
    """
    order: list[int] = []
    waiting: list[int] = []
    for number, chunk in enumerate(chunks, start=1):
        order.append(chunk)
        waiting += [chunk] * (reuse - 1)
        while 2 * len(waiting) > number * (reuse - 1):
            order.append(waiting.pop(int(generator.integers(len(waiting)))))
    return [*order, *generator.permutation(waiting).tolist()]


def wait_for(bank: Bank, chunks: Sequence[int], interrupted: threading.Event | None = None) -> None:
    """Wait until another program has finished some chunks; say so once if that takes long."""
    interrupted = interrupted or threading.Event()
    looks = 0
    for chunk in chunks:
        while not bank.finished(chunk):
            looks += 1
            if looks == _LOOKS_BEFORE_A_NOTE:
                made = (
                    f"bayesinn simulate NAME --n {bank.n} --out {shlex.quote(bank.location)} "
                    f"--seed {bank.seed}"
                )
                print(
                    f"  note: waiting for chunk {chunk} of {bank.chunks:,}, which this makes: "
                    f"{made}",
                    flush=True,
                )
            if interrupted.wait(_SECONDS_BETWEEN_LOOKS):
                raise InterruptedError(f"waiting for chunk {chunk} of bank {bank.location!r}")
