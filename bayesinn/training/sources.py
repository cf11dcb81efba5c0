"""Where batches come from. Each source is a pure function of (seed, step), so that a resumed run sees the same data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.errors import TrainingError
from bayesinn.simulation import checks
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.python_engine import PythonEngine
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator
from bayesinn.simulation.tensorflow_engine import TensorFlowEngine
from bayesinn.training.settings import TrainingSettings

_ROWS_AT_A_TIME = 65_536

Batch = Mapping[str, tf.Tensor]


class Source(ABC):
    """Gives a dataset of elements, each starting with the step number, and turns an element into a batch."""

    failed_before = 0
    """Simulations that failed before the first step."""

    error: Exception | None = None
    """What a simulator's workers raised."""

    seconds_per_step = 0.0
    """What was done before the first step took, for each step, without compilation."""

    def release(self) -> None:  # noqa: B027
        """Called when training has ended; most sources keep nothing."""

    note = ""
    """Something the user should know, such as why a simulator is not compiled."""

    @abstractmethod
    def elements(self, first_epoch: int) -> tf.data.Dataset:
        """One element for each step, ``(step, ...)``; idle steps have number -1."""

    @abstractmethod
    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        """The batch of an element, raw, and the number of failed simulations. Traced into the training step."""

    def finite(self, step: int) -> bool:
        """Whether the observables of a step are finite numbers, as far as a source lets them through unchecked."""
        return True


class GraphSource(Source):
    """Fresh simulations of a TensorFlow simulator, drawn inside the training step."""

    def __init__(self, simulator: Simulator, settings: TrainingSettings) -> None:
        assert isinstance(simulator.engine, TensorFlowEngine)
        self._simulator = simulator
        self._settings = settings
        self._seed = seeds.tensor_seed(settings.seed, "simulations")
        self._draw, self.note = _compiled_draw(simulator, simulator.engine, settings)

    def elements(self, first_epoch: int) -> tf.data.Dataset:
        """Step numbers alone."""
        steps = np.concatenate(self._settings.step_numbers(first_epoch)).astype(np.int32)
        return tf.data.Dataset.from_tensor_slices((steps,))

    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        """Draw."""
        simulations = self._draw(seeds.fold_in(self._seed, element[0]))
        return simulations.flat(), simulations.failed

    def finite(self, step: int) -> bool:
        """Draw them again: compiled by XLA, random numbers are others than in the plain graph."""
        simulations = self._draw(seeds.fold_in(self._seed, tf.constant(step))).numpy()
        good = finite_rows(simulations.observables, simulations.context, self._simulator.lengths)
        return all(bool(rows.all()) for rows in good.values())


class WorkerSource(Source):
    """Fresh simulations of a black-box simulator, a few batches ahead of the training step."""

    _BATCHES_AHEAD = 4

    def __init__(self, simulator: Simulator, settings: TrainingSettings) -> None:
        assert isinstance(simulator.engine, PythonEngine)
        self._simulator = simulator
        self._engine = simulator.engine
        self._settings = settings

    def elements(self, first_epoch: int) -> tf.data.Dataset:
        """Step numbers with their batches."""
        # In the precision of networks: a function may return whole numbers at one time and floats at another.
        template = self._simulator.draw(1, 0)
        signature = {
            name: tf.TensorSpec((None, *value.shape[1:]), np.float32 if name in template.observables else value.dtype)
            for name, value in template.flat().items()
        }
        dataset = tf.data.Dataset.from_generator(
            lambda: self._generate(first_epoch),
            output_signature=(tf.TensorSpec((), tf.int32), signature, tf.TensorSpec((), tf.int32)),
        )
        return dataset.prefetch(self._BATCHES_AHEAD)

    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        """Already there."""
        return element[1], element[2]

    def _generate(self, first_epoch: int) -> Iterator[tuple[int, dict[str, np.ndarray], int]]:
        numbers = [step for epoch in self._settings.step_numbers(first_epoch) for step in epoch]
        upcoming = iter([step for step in numbers if step >= 0])
        pending: deque[Any] = deque()
        simulations: Simulations | None = None
        try:
            for step in numbers:
                while len(pending) < self._BATCHES_AHEAD and (ahead := next(upcoming, None)) is not None:
                    entropy = seeds.entropy(self._settings.seed, "simulations", ahead)
                    pending.append(self._engine.submit(self._settings.batch_size, entropy))
                if step >= 0:
                    simulations = pending.popleft().result()
                    checks.check_finite(self._simulator, simulations)
                assert simulations is not None
                observables = {name: value.astype(np.float32) for name, value in simulations.observables.items()}
                yield step, {**simulations.flat(), **observables}, simulations.failed if step >= 0 else 0
        except Exception as error:
            # tf.data turns any error into text; keep the real one for the caller.
            self.error = error
            raise


class ArraySource(Source):
    """Batches from arrays, reshuffled for every pass through them."""

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray | tf.Variable],
        settings: TrainingSettings,
        failed_before: int = 0,
        seconds_per_step: float = 0.0,
    ) -> None:
        self.failed_before, self.seconds_per_step = failed_before, seconds_per_step
        self._arrays = {
            name: value if isinstance(value, tf.Variable) else resident(value) for name, value in arrays.items()
        }
        self._rows = len(next(iter(arrays.values())))
        self._settings = settings

    def elements(self, first_epoch: int) -> tf.data.Dataset:
        """Step numbers with the rows of their batch."""
        signature = (tf.TensorSpec((), tf.int32), tf.TensorSpec((self._settings.batch_size,), tf.int32))
        return tf.data.Dataset.from_generator(lambda: self._generate(first_epoch), output_signature=signature)

    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        """Gather."""
        return {name: tf.gather(value, element[1]) for name, value in self._arrays.items()}, tf.constant(0)

    def release(self) -> None:
        """Give the memory back, after training."""
        for variable in self._arrays.values():
            variable.assign(tf.zeros((0, *variable.shape[1:]), variable.dtype))

    def _generate(self, first_epoch: int) -> Iterator[tuple[int, np.ndarray]]:
        size = self._settings.batch_size
        shuffled, order = -1, np.arange(self._rows, dtype=np.int32)
        for step in (step for steps in self._settings.step_numbers(first_epoch) for step in steps):
            number, position = divmod(max(step, 0), self._rows // size)
            if step >= 0 and number != shuffled:
                generator = np.random.default_rng(seeds.entropy(self._settings.seed, "shuffle", number))
                shuffled, order = number, generator.permutation(self._rows).astype(np.int32)
            yield step, order[position * size : (position + 1) * size]


def resident(rows: np.ndarray) -> tf.Variable:
    """An array (n, ...) as :class:`ArraySource` keeps it. Made of the whole at once, it would be there three times."""
    room = room_for(len(rows), rows.shape[1:], rows.dtype)
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        put(rows[start : start + _ROWS_AT_A_TIME], room, start)
    return room


def room_for(rows: int, shape: Sequence[int], dtype: np.dtype | tf.DType) -> tf.Variable:
    """For so many rows of a shape: zeros, still.

    A variable of any length, to be emptied: compiled functions that have seen a tensor keep it for good.
    """
    return tf.Variable(lambda: tf.zeros((rows, *shape), dtype), trainable=False, shape=(None, *shape))


def put(rows: np.ndarray | tf.Tensor, room: tf.Variable, start: int) -> None:
    """Rows in their places, from ``start``. An assignment to a slice would copy the room each time."""
    room.scatter_update(tf.IndexedSlices(rows, tf.range(start, start + len(rows))))


def training_source(
    simulator: Simulator, arrays: Mapping[str, np.ndarray] | None, settings: TrainingSettings, progress: bool = False
) -> Source:
    """Arrays if there are any, else fresh simulations where the simulator can make them; a note is printed."""
    if arrays is not None:
        return ArraySource(arrays, settings)
    source = (GraphSource if simulator.in_graph else WorkerSource)(simulator, settings)
    if progress and source.note:
        print(f"  note: {source.note}", flush=True)
    return source


def _compiled_draw(simulator: Simulator, engine: TensorFlowEngine, settings: TrainingSettings) -> tuple[Any, str]:
    def draw(seed: tf.Tensor) -> Simulations:
        return engine.draw(settings.batch_size, seed)

    plain = tf.function(draw)
    if settings.xla is False:
        return plain, ""
    compiled = tf.function(draw, jit_compile=True)
    try:
        compiled(tf.constant([0, 0]))
    except (tf.errors.OpError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        if settings.xla is True:
            raise TrainingError(
                f"Simulator {simulator.name!r} with xla=True",
                expected="operations that XLA has kernels for",
                got=reason,
                do="use xla='auto' to fall back to the plain graph",
            ) from error
        return plain, f"simulator runs in the plain graph, XLA can't compile it: {reason[:200]}"
    return compiled, ""
