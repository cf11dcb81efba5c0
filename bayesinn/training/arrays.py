"""Batches from arrays that stay where the network is, and the split that holds part of them out."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.simulation.simulations import count_rows
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import Source
from bayesinn.training.trainable import Batch

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
