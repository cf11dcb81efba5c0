"""Where batches come from. Each source is a pure function of (seed, step), so that a resumed run sees the same data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import compiled
from bayesinn.simulation import checks
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.python_engine import PythonEngine
from bayesinn.simulation.simulations import Simulations
from bayesinn.simulation.simulator import Simulator
from bayesinn.simulation.tensorflow_engine import TensorFlowEngine
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.trainable import Batch


class Source(ABC):
    """Gives a dataset of elements, each starting with the step number, and turns an element into a batch."""

    failed_before = 0
    """Simulations that failed before the first step."""

    error: Exception | None = None
    """Error that a simulator's workers raised."""

    seconds_per_step = 0.0
    """Seconds spent before the first step, for each step, without compilation."""

    note = ""
    """Something the user should know, such as why a simulator is not compiled."""

    @abstractmethod
    def elements(self, first_epoch: int) -> tf.data.Dataset:
        """Return one element for each step, ``(step, ...)``; idle steps have number -1."""

    @abstractmethod
    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        """Return the raw batch of an element, and the number of failed simulations. Traced into the training step."""

    def finite(self, step: int) -> bool:
        """Tell whether the observables of a step are finite numbers, where a source lets others through."""
        return True

    def release(self) -> None:  # noqa: B027
        """Give memory back when training has ended; most sources keep nothing."""


class GraphSource(Source):
    """Fresh simulations of a TensorFlow simulator, drawn inside the training step."""

    def __init__(self, simulator: Simulator, settings: TrainingSettings) -> None:
        engine = simulator.engine
        assert isinstance(engine, TensorFlowEngine)
        self._simulator = simulator
        self._settings = settings
        self._seed = seeds.tensor_seed(settings.seed, "simulations")

        def draw(seed: tf.Tensor) -> Simulations:
            return engine.draw(settings.batch_size, seed)

        subject = f"Simulator {simulator.name!r}"
        self._draw, _, self.note = compiled(
            draw, tf.constant([0, 0]), xla=settings.xla, subject=subject, autograph=True
        )

    def elements(self, first_epoch: int) -> tf.data.Dataset:
        """Return step numbers alone."""
        return tf.data.Dataset.from_tensor_slices((self._settings.step_numbers(first_epoch),))

    def batch(self, element: tuple[Any, ...]) -> tuple[Batch, tf.Tensor]:
        simulations = self._draw(seeds.fold_in(self._seed, element[0]))
        return simulations.flat(), simulations.failed

    def finite(self, step: int) -> bool:
        """Draw them again, compiled as before: XLA's random numbers differ from those of the plain graph."""
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
        """Return step numbers with their batches."""
        # Observables in single precision, as networks compute: a function may return integers once and floats later.
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
        return element[1], element[2]

    def _generate(self, first_epoch: int) -> Iterator[tuple[int, dict[str, np.ndarray], int]]:
        numbers = self._settings.step_numbers(first_epoch).tolist()
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


def online_source(simulator: Simulator, settings: TrainingSettings, progress: bool = False) -> Source:
    """Return fresh simulations from where the simulator can make them; a note about it is printed."""
    source = (GraphSource if simulator.in_graph else WorkerSource)(simulator, settings)
    if progress and source.note:
        print(f"  note: {source.note}", flush=True)
    return source
