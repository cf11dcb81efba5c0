"""Where batches come from.

Each source is a pure function of (seed, step), so that a resumed run sees the same data.
"""

import contextlib
import functools
import itertools
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import compiled, has_gpu
from bayesinn.simulation import checks
from bayesinn.simulation.engines.workers import end_workers, on_interrupt
from bayesinn.simulation.finite import finite_rows
from bayesinn.simulation.simulations import Simulations
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


def online_source(
    simulator: Simulator, settings: TrainingSettings, progress: bool = False
) -> Source:
    """Return fresh simulations from where the simulator can make them; print any note on it."""
    source = (GraphSource if simulator.in_graph else WorkerSource)(simulator, settings)
    if progress and source.note:
        print(f"  note: {source.note}", flush=True)
    return source
