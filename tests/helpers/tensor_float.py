"""An emulation of TensorFloat-32: products of single-precision matrices, rounded to 10 bits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.python.ops import gen_linalg_ops, gen_math_ops

#: Operations whose kernels use TensorFloat-32, from which TensorFlow makes its products and their
#: gradients.
PRODUCTS = [
    (gen_math_ops, "mat_mul"),
    (gen_math_ops, "batch_mat_mul_v2"),
    (gen_math_ops, "batch_mat_mul_v3"),
]
PRODUCTS += [(gen_linalg_ops, "einsum")]


@tf.custom_gradient
def rounded(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Round to 10 of the 23 bits of a mantissa, to even; gradients pass."""
    bits = tf.bitcast(values, tf.int32)
    odd = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 13), 1)
    bits = tf.bitwise.bitwise_and(bits + 0xFFF + odd, ~0x1FFF)
    return tf.bitcast(bits, tf.float32), lambda upstream: upstream


def emulate_tensor_float(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let products lose the bits that they lose on a recent GPU, while TensorFlow's setting is on.

    A graph reads the setting when it is traced, not when it runs.
    """

    def factor(value: Any) -> Any:
        if isinstance(value, list):
            return [factor(item) for item in value]
        if not hasattr(value, "dtype") or value.dtype != tf.float32:
            return value
        return rounded(tf.convert_to_tensor(value))

    def emulated(product: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(product)
        def call(*arguments: Any, **options: Any) -> Any:
            if tf.config.experimental.tensor_float_32_execution_enabled():
                arguments = tuple(factor(argument) for argument in arguments)
                options = {name: factor(value) for name, value in options.items()}
            return product(*arguments, **options)

        return call

    for module, name in PRODUCTS:
        monkeypatch.setattr(module, name, emulated(getattr(module, name)))
