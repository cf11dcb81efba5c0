"""Several devices and processes: each differentiates parts of a batch; the sums are over all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core.errors import InputError, TrainingError

Part = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# TensorFlow's own keys of groups count from 1.
_GROUP = 0x62690000


class Devices:
    """Devices of this process, and its number among processes that train together.

    A ``tf.distribute`` strategy says which they are, and has started the servers through which
    processes talk. Its own loop is not used: weights are one vector, and a step needs one sum of
    gradients, inside of calls of many steps.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        #: An empty name lets TensorFlow choose the device.
        self.names: Sequence[str] = ("",) if strategy is None else strategy.extended.worker_devices
        self.processes = 1 if strategy is None else strategy.num_replicas_in_sync // len(self.names)
        self.process = 0
        if strategy is not None and self.processes > 1:
            resolver = strategy.cluster_resolver
            # A chief, if there is one, comes before the workers.
            behind = resolver.task_type != "chief" and "chief" in resolver.cluster_spec().jobs
            self.process = int(resolver.task_id) + behind

    @property
    def chief(self) -> bool:
        """Whether this process writes what all would write alike."""
        return self.process == 0

    @contextlib.contextmanager
    def chief_first(self) -> Iterator[None]:
        """Let other processes run a ``with`` block after the chief.

        They then find what it wrote, and no longer what it removed.
        """
        if not self.chief:
            self.check_agreement("chief first", np.empty(0))
        yield
        if self.chief:
            self.check_agreement("chief first", np.empty(0))

    def sums(self, part: Part, parts: int, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return sums of ``part(number)``, a number and vector (size,), over all parts of a batch.

        Devices work beside each other; each has its parts one after another, so that it needs the
        memory of one.
        """
        each = parts // (self.processes * len(self.names))
        start = self.process * each * len(self.names)
        results = []
        for place, name in enumerate(self.names):
            with tf.device(name):
                results.append(_in_turn(part, start + place * each, each, size))
        total, vector = (tf.add_n(terms) for terms in zip(*results, strict=True))
        if self.processes == 1:
            return total, vector
        both = self._sum_over_processes(tf.concat([total[None], vector], 0))
        return both[0], both[1:]

    def check_agreement(self, run: Any, weights: np.ndarray) -> None:
        """Refuse to train if ``run``, in plain values, or ``weights`` differ between processes."""
        if self.processes == 1:
            return
        digest = hashlib.sha256(json.dumps(run).encode() + weights.tobytes()).digest()
        values = np.frombuffer(digest, np.uint8).astype(np.float32)
        try:
            sums = self._sum_over_processes(
                tf.constant(np.concatenate([values, values**2]))
            ).numpy()
        except tf.errors.OpError as error:
            raise self.restate(error) from None
        # Of integers, so that sums are exact; all are equal if their variance is zero.
        total, squares = np.split(sums.astype(float), 2)
        if np.any(self.processes * squares != total**2):
            raise InputError(
                f"Training in {self.processes} processes",
                expected="the same data, networks, settings, seed and checkpoint in each of them",
                got="runs that differ",
                do="start the same script everywhere, on the same versions of all packages, and "
                "let a checkpoint that is resumed be in a folder that all can read",
            )

    def restate(self, error: Exception) -> Exception:
        """Return a clear error where another process is gone, else the error itself."""
        gone = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError
        if self.processes == 1 or not isinstance(error, gone):
            return error
        names = re.findall(r"/job:\w+/(?:replica:\d+/)?task:\d+", str(error))
        return TrainingError(
            f"Training in {self.processes} processes",
            expected="all of them until the end",
            got=f"{names[0] if names else 'one'} that no longer answers",
            do="look at the output of the one that ended, and start all again, with a checkpoint "
            "to go on from",
        )

    def _sum_over_processes(self, vector: tf.Tensor) -> tf.Tensor:
        """Return the sum of a vector over processes, the same bits in each.

        TensorFlow's own all-reduce of a strategy can't be part of a loop over steps.
        """
        return tf.raw_ops.CollectiveReduceV2(
            input=vector,
            group_size=self.processes,
            group_key=_GROUP,
            # One for each shape. A counter would leave processes waiting forever once they differ
            # in what they call.
            instance_key=_GROUP + vector.shape[0],
            ordering_token=[],
            merge_op="Add",
            final_op="Id",
        )


def _in_turn(part: Part, start: int, count: int, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the sums over ``count`` parts from number ``start`` on, one after another."""
    if count == 1:
        return part(tf.constant(start))

    def add(number: tf.Tensor, *sums: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return number + 1, *(old + new for old, new in zip(sums, part(number), strict=True))

    nothing = tf.constant(start), tf.zeros(()), tf.zeros((size,))
    return tf.while_loop(
        lambda number, *_: number < start + count, add, nothing, parallel_iterations=1
    )[1:]
