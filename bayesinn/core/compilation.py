"""Compiled functions of any number of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class AnyRows:
    """A function compiled once for any number of rows.

    Leading axes of arguments are left open when it is traced. Another structure, dtype or number of axes is traced for
    itself. TensorFlow's own rule, to trace for each new shape until it relaxes, costs more and makes it warn of
    retracing where nothing is wrong: several posteriors in one session are enough.

    Parameters
    ----------
    function : callable, of tensors and nested dicts of tensors
    leading : int for each argument
        How many of its leading axes vary; 0 for numbers and seeds.
    autograph : bool
        Whether Python's ``if`` and ``while`` may depend on tensors.

    Examples
    --------
    >>> double = AnyRows(lambda x: 2.0 * x, leading=(1,))
    >>> [double(tf.ones((n, 2))).shape.as_list() for n in (3, 5)], double.traces
    ([[3, 2], [5, 2]], 1)
    """

    def __init__(self, function: Callable[..., Any], leading: tuple[int, ...], autograph: bool = False) -> None:
        self._function = tf.function(function, autograph=autograph)
        self._leading = leading
        self._traced: dict[Any, Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        arguments = tuple(tf.nest.map_structure(tf.convert_to_tensor, argument) for argument in arguments)
        specs = tuple(
            tf.nest.map_structure(lambda value, axes=axes: _spec(value, axes), argument)
            for argument, axes in zip(arguments, self._leading, strict=True)
        )
        key = (repr(tf.nest.map_structure(lambda spec: None, specs)), tuple(tf.nest.flatten(specs)))
        if key not in self._traced:
            self._traced[key] = self._function.get_concrete_function(*specs)
        return self._traced[key](*arguments)

    @property
    def traces(self) -> int:
        """How often the function was traced."""
        return len(self._traced)


def _spec(value: tf.Tensor, axes: int) -> tf.TensorSpec:
    return tf.TensorSpec([None] * axes + value.shape[axes:].as_list(), value.dtype)
