"""One integer decides everything: streams of random numbers that are pure functions of it.

Each use has a stream of its own, so that drawing more of one thing never changes another.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from bayesinn.core.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

#: Numbers of the streams that had one before a stream's number followed from its name. They stay
#: for good, so that a seed keeps its meaning. A new stream needs no entry.
_STREAMS = {
    "weights": 0,
    "pilot": 1,
    "simulations": 2,
    "dropout": 3,
    "shuffle": 4,
    "validation": 5,
    "dequantise": 6,
    "draws": 7,
    "predictive": 8,
    "prior": 9,
    "diagnosis": 10,
    "reference": 11,
    "estimates": 12,
    "latent": 13,
    "replicates": 14,
    "bank": 15,
    "steps": 16,
    "copies": 7301,
    "local c2st": 0x10CA1,
    "mmd": 0x6D6D64,
    "ties": 20_180_418,
    "cells": 20_180_419,
    "tarp": 20_230_206,
    "reference points": 20_230_207,
    "posterior sbc": 20_250_205,
    "c2st": 0x63327374,
    "comparison": 0x636F6D70,
    "misspecification": 0x6D697373,
    "sliced wasserstein": 0x736C6963,
    "learning curve": 0x6C637276,
    "rounds": 0x726F756E,
}


def check_seed(seed: int) -> int:
    """Return the seed as a plain integer; refuse all but a single non-negative one."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(
            "Argument 'seed'",
            expected="one non-negative integer, which decides every random number",
            got=repr(seed),
            do="pass for example seed=1",
        )
    return int(seed)


def stream_number(stream: str) -> int:
    """Return the number of a stream: any name is one, and equal names are equal streams."""
    if stream in _STREAMS:
        return _STREAMS[stream]
    return int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "big")


def entropy(seed: int, stream: str, *keys: int) -> list[int]:
    """Return entropy for ``numpy.random.SeedSequence``: seed, stream's number, keys (step, row)."""
    return [check_seed(seed), stream_number(stream), *keys]


def generator(seed: int, stream: str, *keys: int) -> np.random.Generator:
    """Return NumPy's generator of one stream, for the given keys."""
    return np.random.default_rng(entropy(seed, stream, *keys))


def integer_seed(seed: int, stream: str, *keys: int) -> int:
    """Return an integer seed, derived from ``seed`` for one stream and the given keys."""
    return int(np.random.SeedSequence(entropy(seed, stream, *keys)).generate_state(1)[0])


def tensor_seed(seed: int, stream: str, *keys: int) -> tf.Tensor:
    """Return a stateless TensorFlow seed (2,), derived from ``seed`` for one stream and keys."""
    import tensorflow as tf  # here, because diagnostics and plots do without it

    state = np.random.SeedSequence(entropy(seed, stream, *keys)).generate_state(2)
    return tf.constant(state.astype(np.int32))


def fold_in(seed: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    """Return the seed (2,) that belongs to ``seed`` (2,) and a number, such as a training step."""
    import tensorflow as tf

    return tf.random.experimental.stateless_fold_in(seed, number, alg="philox")


def split(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Return ``count`` independent seeds (2,)."""
    import tensorflow as tf

    return tf.unstack(tf.random.experimental.stateless_split(seed, count, alg="philox"), num=count)


_building = threading.RLock()


@contextmanager
def seeded_initial_weights(seed: int) -> Iterator[None]:
    """Make layers constructed and built inside reproducible; restore Python's generator after.

    Keras initialisers without a seed of their own draw one from Python's ``random`` when they are
    constructed. That is shared by all threads: one builds at a time.
    """
    with _building:
        state = random.getstate()
        random.seed(integer_seed(seed, "weights"))
        try:
            yield
        finally:
            random.setstate(state)
