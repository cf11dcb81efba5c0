"""Comparisons with a message, random weights, and a temporary dtype, shared by all checks."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def perturb(layer: keras.layers.Layer, generator: np.random.Generator, scale: float) -> None:
    """Move every trainable weight away from its initial value, which is often a special one."""
    for variable in layer.trainable_variables:
        fan_in = int(np.prod(variable.shape[:-1])) if len(variable.shape) > 1 else 1
        noise = generator.standard_normal(tuple(variable.shape)) * scale / np.sqrt(fan_in)
        variable.assign(keras.ops.convert_to_numpy(variable) + noise)


def demand(holds: Any, message: str) -> None:
    """Raise if a requirement isn't met."""
    if not holds:
        raise AssertionError(message)


def demand_equal(got: tf.Tensor, expected: tf.Tensor, tolerance: float, law: str) -> None:
    """Raise if two arrays differ by more than ``tolerance``, relative to values above one."""
    got = np.asarray(got)
    expected = np.asarray(expected)
    demand(got.shape == expected.shape, f"{law}\n  shape {got.shape}, expected {expected.shape}")
    worst = np.max(np.abs(got - expected) / np.maximum(1.0, np.abs(expected)), initial=0.0)
    demand(worst <= tolerance, f"{law}\n  largest error {worst:.3g}, allowed {tolerance:g}")


def demand_finite(value: tf.Tensor, law: str) -> None:
    """Raise if there is a NaN or an infinity."""
    demand(np.all(np.isfinite(value)), f"{law}\n  contains NaN or infinity")


def demand_compiles(
    function: Callable[[], list[tf.Tensor]], subject: str, tolerance: float
) -> None:
    """Raise if the plain graph or XLA gives another result than eager execution.

    The function is traced once and without AutoGraph, as in training.
    """
    expected = function()
    plain = tf.function(function, autograph=False).get_concrete_function()

    @tf.function(autograph=False, jit_compile=True)
    def fused() -> Any:
        return plain()

    for mode, compiled in (("tf.function", plain), ("XLA", fused)):
        for got, value in zip(compiled(), expected, strict=True):
            demand_equal(got, value, tolerance, f"{subject}: {mode} and eager results differ.")


def demand_gradients(
    layer: keras.layers.Layer, loss: Callable[[], tf.Tensor], subject: str, *, zeros: bool = False
) -> None:
    """Raise if the gradient of a loss is missing, zero or not finite for some weight.

    It may be zero where ``zeros`` allows it.
    """
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, [variable.value for variable in layer.trainable_variables])
    for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
        demand(gradient is not None, f"{subject}: no gradient reaches the weight {variable.path}.")
        demand_finite(
            gradient, f"{subject}: the gradient of the weight {variable.path} is not finite."
        )
        demand(
            zeros or np.any(gradient != 0), f"{subject}: the gradient of {variable.path} is zero."
        )


@contextlib.contextmanager
def default_dtype(name: str) -> Iterator[None]:
    """Make new layers with weights of this dtype."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
