"""Full single precision on GPUs, whatever TensorFlow's setting of TensorFloat-32."""

import tensorflow as tf

from bayesinn.core.process_setting import ProcessSetting

_setting = ProcessSetting(
    tf.config.experimental.tensor_float_32_execution_enabled,
    tf.config.experimental.enable_tensor_float_32_execution,
    False,
)


def full_precision() -> ProcessSetting:
    """Switch TensorFloat-32 off inside a ``with`` block, and back to the user's setting after it.

    On recent GPUs, TensorFlow rounds the factors of matrix products and convolutions to 10 bits of
    mantissa by default. A rotation forwards and backwards is then off by 1e-3, not 1e-6, and the
    log-determinant of a spline by up to 0.5.

    Operations read the setting when they run; XLA may also read it when it compiles, so the first
    call of a compiled function belongs into the block.

    Examples
    --------
    >>> import tensorflow as tf
    >>> with full_precision():
    ...     tf.config.experimental.tensor_float_32_execution_enabled()
    False
    >>> tf.config.experimental.tensor_float_32_execution_enabled()
    True
    """
    return _setting
