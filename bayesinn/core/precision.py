"""TensorFloat-32 is kept out of invertible maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def full_precision() -> Iterator[None]:
    """Switch TensorFlow's TF32 products off inside, and restore the user's setting."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
