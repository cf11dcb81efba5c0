"""Where batches come from.

Each source is a pure function of (seed, step), so that a resumed run sees the same data.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import shlex
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import compiled, has_gpu
from bayesinn.core.errors import InputError, warn
from bayesinn.simulation import checks
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.checks import check_simulations, finite_rows
from bayesinn.simulation.engines.tensorflow_engine import line_in
from bayesinn.simulation.engines.workers import end_workers, on_interrupt
from bayesinn.simulation.simulations import Arrays, Simulations, count_rows, join, take
from bayesinn.simulation.simulator import Simulator
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.trainable import Batch


class Source(ABC):
    """Gives a dataset of elements, each headed by its step number, and turns one into a batch.

    ``failed_before`` simulations failed before the first step. ``seconds_per_step`` is the time
    spent before it, shared among all steps, without compilation. A ``note`` is for the user. For
    the ``error`` of a simulator's workers see :meth:`cause`.
    """

    failed_before = 0
    seconds_per_step = 0.0
    #: Seconds in which steps could not go on for want of simulations, as far as that is known.
    waited = 0.0
    error: Exception | None = None
    note = ""
    #: What else may be wrong where a loss is not finite.
    suspect = ""

    @abstractmethod
    def elements(self, first_epoch: int) -> tf.data.Dataset:
        """Return one element for each step, ``(step, ...)``; idle steps have number -1."""

    @abstractmethod
    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        """Return the raw batch of an element, and the number of failed simulations.

        The method is traced into the training step.
        """

    def finite(self, step: int) -> bool:
        """Tell whether a step's observables are finite, where a source lets others through."""
        return True

    def check_failures(self, steps: int, failed: int) -> None:  # noqa: B027
        """Raise if more simulations failed in so many steps than a simulator allows."""

    def failed_by(self, steps: int) -> int:
        """Return how many simulations had failed of those in a growing bank that steps have used.

        Such a number isn't known before the first step.
        """
        return 0

    def cause(self, error: Exception, epoch: int = 0) -> Exception:
        """Return the simulator's error that TensorFlow turned into text, else the error itself.

        ``epoch`` is the epoch in which the error was raised.
        """
        return (
            self.error if self.error is not None and isinstance(error, tf.errors.OpError) else error
        )

    def interruptible(self) -> contextlib.AbstractContextManager[None]:
        """Let Ctrl-C end what is waited for in compiled code, inside of a ``with`` block."""
        return contextlib.nullcontext()

    def saved(self, steps: int) -> None:  # noqa: B027
        """Forget what was only kept for steps that are done, now that these are saved."""

    def release(self) -> None:  # noqa: B027
        """Give memory back, and wait for nothing, when training has ended; may be called again."""


class OnlineSource(Source):
    """Fresh simulations for each step."""

    def __init__(self, simulator: Simulator, settings: TrainingSettings) -> None:
        self._simulator = simulator
        self._settings = settings

    def check_failures(self, steps: int, failed: int) -> None:
        self._simulator.check_failures(steps * self._settings.batch_size, failed)


class GraphSource(OnlineSource):
    """Fresh simulations of a TensorFlow simulator, drawn inside the training step.

    On a CPU they are drawn in the plain graph: XLA takes 5 to 14 seconds to compile a simulator
    with loops, and saves little. Simulators whose loops gain from XLA can compile these themselves.
    """

    def __init__(self, simulator: Simulator, settings: TrainingSettings) -> None:
        super().__init__(simulator, settings)
        self._seed = seeds.tensor_seed(settings.seed, "simulations")
        engine = simulator.engine
        draw = functools.partial(engine.draw, settings.batch_size)
        xla = settings.xla
        if xla == "auto" and not has_gpu():
            xla = False
        subject = f"Simulator {simulator.name!r}"
        self._simulations, _, self.note = compiled(
            draw, tf.constant([0, 0]), xla=xla, subject=subject, autograph=engine.autograph
        )

    def elements(self, first_epoch: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((self._settings.step_numbers(first_epoch),))

    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        simulations = self._simulations(seeds.fold_in(self._seed, element[0]))
        return simulations.flat(), simulations.failed

    def cause(self, error: Exception, epoch: int = 0) -> Exception:
        if isinstance(error, tf.errors.OpError):
            for step in self._settings.step_numbers(epoch)[: self._settings.padded_epoch]:
                seed = seeds.fold_in(self._seed, tf.constant(step))
                try:
                    self._simulations(seed)
                except tf.errors.OpError as cause:
                    return self._simulator.engine.explain(cause, self._settings.batch_size, seed)
        return error

    def finite(self, step: int) -> bool:
        """Draw a step's simulations again, and tell whether they are finite.

        They are compiled as before: the plain graph has other random numbers than XLA.
        """
        simulations = self._simulations(seeds.fold_in(self._seed, tf.constant(step))).numpy()
        good = finite_rows(simulations.observables, simulations.context, self._simulator)
        return all(rows.all() for rows in good.values())


class WorkerSource(OnlineSource):
    """Fresh simulations of a black-box simulator, a few batches ahead of the training step."""

    _BATCHES_AHEAD = 4

    def elements(self, first_epoch: int) -> tf.data.Dataset:
        # A function may return integers once and floats later.
        types = self._simulator.observable_types
        signature = {
            name: tf.TensorSpec((None, *value.shape[1:]), types.get(name, value.dtype))
            for name, value in self._simulator.draw(1, 0).flat().items()
        }
        number = tf.TensorSpec((), tf.int32)
        dataset = tf.data.Dataset.from_generator(
            lambda: self._generate(first_epoch), output_signature=(number, signature, number)
        )
        return dataset.prefetch(self._BATCHES_AHEAD)

    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        return element[1], element[2]

    def interruptible(self) -> contextlib.AbstractContextManager[None]:
        return on_interrupt(end_workers)

    def saved(self, steps: int) -> None:
        if (kept := self._simulator.engine.kept) is not None:
            kept.forget(seeds.entropy(self._settings.seed, "steps"), below=steps)

    def _generate(self, first_epoch: int) -> Iterator[tuple[int, dict[str, np.ndarray], int]]:
        numbers = self._settings.step_numbers(first_epoch).tolist()
        started = (self._submit(step) for step in numbers if step >= 0)
        batch: dict[str, np.ndarray] = {}
        failed = 0
        try:
            pending = deque(itertools.islice(started, self._BATCHES_AHEAD))
            for step in numbers:
                # Idle steps get the batch before them.
                if step >= 0:
                    began = time.monotonic()
                    simulations = pending.popleft()()
                    self.waited += time.monotonic() - began
                    pending.extend(itertools.islice(started, 1))
                    checks.check_finite(self._simulator, simulations)
                    batch = simulations.cast(self._simulator.observable_types).flat()
                    failed = simulations.failed
                yield step, batch, failed
        except Exception as error:
            self.error = error
            raise

    def _submit(self, step: int) -> Callable[[], Simulations]:
        """Start the simulations of a step; return a function that waits for them."""
        # In a stream of their own: [seed, 2, 0] is [seed, 2] to NumPy, and [seed, 2, k] what
        # Simulator.sample redraws.
        entropy = seeds.entropy(self._settings.seed, "steps", step)
        return self._simulator.engine.start(self._settings.batch_size, entropy)


class Mixture(Source):
    """Batches whose parts each come from a source of its own, with its own settings' batch size."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources
        self.failed_before = sum(source.failed_before for source in sources)
        self.note = "; ".join(source.note for source in sources if source.note)

    def elements(self, first_epoch: int) -> tf.data.Dataset:
        parts = tf.data.Dataset.zip(tuple(source.elements(first_epoch) for source in self._sources))
        return parts.map(lambda *elements: (elements[0][0], elements))

    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        parts = [source.batch(own) for source, own in zip(self._sources, element[1], strict=True)]
        types = {name: value.dtype for name, value in parts[-1][0].items()}
        joined = {
            name: tf.concat([tf.cast(part[name], types[name]) for part, _ in parts], 0)
            for name in types
        }
        return joined, tf.add_n([failed for _, failed in parts])

    def finite(self, step: int) -> bool:
        return all(source.finite(step) for source in self._sources)

    def check_failures(self, steps: int, failed: int) -> None:
        for source in self._sources:
            # Failures before the first step are those of a bank, whose simulations no step has
            # drawn.
            source.check_failures(steps, failed - self.failed_before)

    def failed_by(self, steps: int) -> int:
        return sum(source.failed_by(steps) for source in self._sources)

    def cause(self, error: Exception, epoch: int = 0) -> Exception:
        causes = (source.cause(error, epoch) for source in self._sources)
        return next((cause for cause in causes if cause is not error), error)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for source in self._sources:
                stack.enter_context(source.interruptible())
            yield

    def saved(self, steps: int) -> None:
        for source in self._sources:
            source.saved(steps)

    def release(self) -> None:
        for source in self._sources:
            source.release()


Augment = Callable[[dict[str, tf.Tensor], tf.Tensor], Mapping[str, tf.Tensor]]

# Rows that a function changes in a call, outside of training.
_ROWS_IN_A_CALL = 1_024


class Augmentation:
    """A user's function that changes stored simulations each time that they are seen.

    It gets a batch, as a dict of tensors (n, ...), and a seed (2,), and returns the entries that it
    changes.
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        self.name = str(getattr(function, "__name__", type(function).__name__))
        if not callable(function):
            raise self._error(
                "a function of (data, seed)",
                repr(function)[:100],
                "pass for example augment=add_noise, with def add_noise(data, seed)",
            )

    def __call__(self, batch: Batch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return a batch with the entries of the function in place of its own."""
        try:
            changed = self._function(dict(batch), seed)
            if isinstance(changed, Mapping):
                changed = {name: tf.convert_to_tensor(value) for name, value in changed.items()}
        except Exception as error:
            file = getattr(getattr(self._function, "__code__", None), "co_filename", "")
            raise self._error(
                "entries of the batch, made by TensorFlow operations",
                f"{type(error).__name__}: {str(error)[:300]}",
                f"correct it{line_in(file, error)}; it is called with tensors (n, ...) and a seed "
                "(2,), of the types of stored arrays; take tf.where for 'if', and "
                "tf.random.stateless_normal(shape, seed, dtype=...) for NumPy's generators",
            ) from error
        if not isinstance(changed, Mapping) or not changed or not set(changed) <= set(batch):
            got = list(changed) if isinstance(changed, Mapping) else type(changed).__name__
            name = next(reversed(list(batch)))
            raise self._error(
                f"a dict of some of {list(batch)}, changed",
                f"{got}",
                f"return for example {{{name!r}: data[{name!r}] + noise}}",
            )
        return {**batch, **{name: self._like(batch[name], name, changed[name]) for name in changed}}

    def _like(self, before: tf.Tensor, name: str, tensor: tf.Tensor) -> tf.Tensor:
        """Return a changed entry; refuse another shape or type than it had."""
        if tensor.dtype != before.dtype or not tensor.shape.is_compatible_with(before.shape):
            raise self._error(
                f"{name!r} as it was, {_describe(before)}",
                _describe(tensor),
                f"return tf.cast(value, tf.{before.dtype.name}) of the shape of data[{name!r}]; "
                "what has another shape belongs into the simulator",
            )
        return tf.ensure_shape(tensor, before.shape)

    def apply(self, rows: Arrays, seed: int) -> Arrays:
        """Return rows (n, ...) as they are seen outside of training steps: always the same."""
        key = seeds.tensor_seed(seed, "augmented rows")
        parts = []
        for number, start in enumerate(range(0, count_rows(rows), _ROWS_IN_A_CALL)):
            some = take(rows, slice(start, start + _ROWS_IN_A_CALL))
            batch = {name: tf.convert_to_tensor(value) for name, value in some.items()}
            changed = self(batch, seeds.fold_in(key, number))
            parts.append({name: value.numpy() for name, value in changed.items()})
        return join(parts)

    def record(self, rows: Arrays, seed: int) -> dict[str, Any]:
        """Return what tells the function from others, in plain values: what it does to rows.

        It is refused if its seed doesn't decide what it returns.
        """
        changed, again, other = (self.apply(rows, number) for number in (seed, seed, seed + 1))
        if not _equal(changed, again):
            raise self._error(
                "random numbers that follow from the seed",
                "other numbers each time with the same seed",
                "draw them with tf.random.stateless_normal(shape, seed) and the like",
            )
        if _equal(changed, other):
            warn(
                f"The function {self.name!r} of 'augment' returns the same for each seed: no step "
                "sees anything new. Draw noise with tf.random.stateless_normal and the seed."
            )
        record: dict[str, Any] = {"function": self.name}
        for name, value in changed.items():
            change = value.astype(float) - rows[name]
            if np.any(change != 0.0):
                known = np.append(0.0, change[np.isfinite(change)])
                figures = (known.mean(), known.std(), np.isnan(change).mean(), known[:2].sum())
                # Another machine may round otherwise.
                record[name] = [float(f"{number:.3g}") for number in figures]
        return record

    def _error(self, expected: str, got: str, do: str) -> InputError:
        return InputError(f"Argument 'augment', {self.name!r}", expected=expected, got=got, do=do)


def _describe(tensor: tf.Tensor) -> str:
    shape = ", ".join(["n", *map(str, tensor.shape[1:])]) if tensor.shape.rank else ""
    return f"{tensor.dtype.name} of shape ({shape})"


def _equal(some: Arrays, others: Arrays) -> bool:
    return all(
        np.array_equal(value, others[name], equal_nan=value.dtype.kind == "f")
        for name, value in some.items()
    )


class Augmented(Mixture):
    """Batches of another source, changed in each step by a function of step and seed."""

    suspect = "see that 'augment' returns finite values"

    def __init__(
        self, source: Source, augmentation: Augmentation, settings: TrainingSettings
    ) -> None:
        super().__init__(source)
        self._augmentation = augmentation
        self._seed = seeds.tensor_seed(settings.seed, "augment")

    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        batch, failed = super().batch(element)
        return self._augmentation(batch, seeds.fold_in(self._seed, element[0])), failed


def online_source(
    simulator: Simulator, settings: TrainingSettings, progress: bool = False
) -> Source:
    """Return fresh simulations from where the simulator can make them; print any note on it."""
    source = (GraphSource if simulator.in_graph else WorkerSource)(simulator, settings)
    if progress and source.note:
        print(f"  note: {source.note}", flush=True)
    return source


_ROWS_AT_A_TIME = 65_536


class ArraySource(Source):
    """Batches from named arrays (n, ...), or variables from :func:`allocate`, reshuffled each pass.

    What happened before the first step is passed on: see :class:`Source`.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray | tf.Variable],
        settings: TrainingSettings,
        failed_before: int = 0,
        seconds_per_step: float = 0.0,
    ) -> None:
        self.failed_before = failed_before
        self.seconds_per_step = seconds_per_step
        self._arrays = {
            name: value if isinstance(value, tf.Variable) else on_device(value)
            for name, value in arrays.items()
        }
        self._rows = count_rows(arrays)
        self._settings = settings
        self._seed = seeds.tensor_seed(settings.seed, "shuffle")

    def elements(self, first_epoch: int) -> tf.data.Dataset:
        """Return step numbers with the rows of their batch.

        They are shuffled by the pipeline, without Python.
        """
        size = self._settings.batch_size

        def advance(state: tuple[tf.Tensor, tf.Tensor], step: tf.Tensor) -> tuple[Any, Any]:
            number = tf.maximum(step, 0)
            per_pass = self._rows // size
            pass_number = number // per_pass
            start = number % per_pass * size
            order = tf.cond(
                pass_number == state[0], lambda: state[1], lambda: self._order(pass_number)
            )
            return (pass_number, order), (step, order[start : start + size])

        start = tf.constant(-1), tf.zeros((self._rows,), tf.int32)
        return tf.data.Dataset.from_tensor_slices(self._settings.step_numbers(first_epoch)).scan(
            start, advance
        )

    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        return {
            name: tf.gather(value, element[1]) for name, value in self._arrays.items()
        }, tf.constant(0)

    def release(self) -> None:
        for variable in self._arrays.values():
            variable.assign(tf.zeros((0, *variable.shape[1:]), variable.dtype))

    def _order(self, pass_number: tf.Tensor) -> tf.Tensor:
        """Return the rows in the order of one pass."""
        seed = seeds.fold_in(self._seed, pass_number)
        return tf.random.experimental.stateless_shuffle(tf.range(self._rows), seed, alg="philox")


def allocate(rows: int, shape: Sequence[int], dtype: np.dtype | tf.DType) -> tf.Variable:
    """Allocate a variable of zeros that can be emptied: compiled functions keep seen tensors."""
    return tf.Variable(
        lambda: tf.zeros((rows, *shape), dtype), trainable=False, shape=(None, *shape)
    )


def write(rows: np.ndarray | tf.Tensor, variable: tf.Variable, start: int) -> None:
    """Write rows into a variable from ``start`` on.

    An assignment to a slice would copy all of it each time.
    """
    variable.scatter_update(tf.IndexedSlices(rows, tf.range(start, start + len(rows))))


def on_device(rows: np.ndarray) -> tf.Variable:
    """Copy an array (n, ...) into a variable, in parts.

    Copied at once, the array would be in memory three times.
    """
    variable = allocate(len(rows), rows.shape[1:], rows.dtype)
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        write(rows[start : start + _ROWS_AT_A_TIME], variable, start)
    return variable


def split(rows: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row numbers to train on, and those held out, in random order from the seed."""
    held_out, kept = np.split(
        seeds.generator(seed, "validation").permutation(rows), [round(share * rows)]
    )
    return kept, held_out


def fingerprint(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        digest.update(name.encode() + str(value.dtype).encode() + str(value.shape).encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


# Batches from a simulation bank that may exceed memory and still grow.
#
# The bank is read in windows of chunks.

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
