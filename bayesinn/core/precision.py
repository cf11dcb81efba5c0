"""Full single precision on GPUs, whatever TensorFlow's setting of TensorFloat-32."""

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

_lock = threading.Lock()
#: One for each open block; the first is the user's setting.
_settings: list[bool] = []


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Switch TensorFloat-32 off inside of a ``with`` block, and back to the user's setting after it.

    On recent GPUs, TensorFlow rounds the factors of matrix products and convolutions to 10 bits of mantissa by default.
    A rotation forwards and backwards is then off by 1e-3, not 1e-6, and the log-determinant of a spline by up to 0.5.

    Blocks may be nested and used in several threads. The setting belongs to the whole process: it is off until the last
    block ends, and a change of it inside of a block is undone. Operations read it when they run; XLA may also read it
    when it compiles, so the first call of a compiled function belongs into the block.

    Examples
    --------
    >>> import tensorflow as tf
    >>> with full_precision():
    ...     tf.config.experimental.tensor_float_32_execution_enabled()
    False
    >>> tf.config.experimental.tensor_float_32_execution_enabled()
    True
    """
    with _lock:
        _settings.append(tf.config.experimental.tensor_float_32_execution_enabled())
        tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        with _lock:
            setting = _settings.pop()
            if not _settings:
                tf.config.experimental.enable_tensor_float_32_execution(setting)
