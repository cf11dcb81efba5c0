"""Backpropagation that recomputes activations from a chain's output, in place of storing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, constant_log_det

Events = tuple[tf.Tensor, tf.Tensor]
Values = list[tf.Tensor]


def reversible_forward(bijections: Sequence[Bijection], x: tf.Tensor, condition: tf.Tensor | None = None) -> Events:
    """Apply bijections, all built, in the order given, and keep nothing for the backward pass but the result.

    Going backwards, the input of each bijection is recomputed from its output by its inverse, and its forward map is
    run again to differentiate it. Memory for activations is that of one bijection, whatever their number; the price is
    one more inverse and one more forward map of each. Gradients are as exact as the round trip of the bijections.

    Random numbers that come from Keras seed generators, such as the masks of dropout, are the same in all passes, and
    so is the training flag. Other state that the bijections change is changed once, by the forward pass. It is
    Algorithm 1 of Gomez et al. (2017), arXiv:1707.04585.
    """
    # A gradient needs a tensor: to bijections, a condition of no elements is none.
    condition = tf.zeros((tf.shape(x)[0], 0), x.dtype) if condition is None else condition
    result: Events = _CallContext(lambda training: _forward(bijections, x, condition, training))(x)
    return result


class _CallContext(keras.layers.Layer):
    """Run a function where layers find the training flag.

    Keras passes the flag down through nested calls of layers. A backward pass runs when those calls are over.
    """

    def __init__(self, function: Callable[[bool | None], Any]) -> None:
        # In one precision, whatever the global policy: weights must not be read in half precision.
        super().__init__(name="call_context", autocast=False, dtype="float32")
        self.function = function
        self.built = True

    def call(self, anchor: tf.Tensor, training: bool | None = None) -> Any:
        return self.function(training)


class _Link:
    """A bijection as a function of events, condition and the values of its variables.

    In training, slices of one flat vector replace the variables, but only while the network is called. Values that are
    read at that time, and restored in a scope of their own, are correct in every pass, and outside training too.
    """

    def __init__(self, bijection: Bijection) -> None:
        self.bijection = bijection
        self.variables: list[keras.Variable] = bijection.variables
        self.values: Values = [tf.convert_to_tensor(variable) for variable in self.variables]

    def forward(self, values: Values, x: tf.Tensor, condition: tf.Tensor) -> tuple[Events, Values]:
        with self._holding(values) as scope:
            result = self.bijection.forward(x, condition)
        return result, [scope.get_current_value(variable) for variable in self.variables]

    def inverse(self, values: Values, z: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        with self._holding(values):
            return self.bijection.inverse(z, condition)[0]

    def _holding(self, values: Values) -> keras.StatelessScope:
        return keras.StatelessScope(list(zip(self.variables, values, strict=True)), initialize_variables=False)


def _forward(bijections: Sequence[Bijection], x: tf.Tensor, condition: tf.Tensor, training: bool | None) -> Events:
    links = [_Link(bijection) for bijection in bijections]
    outputs: list[tf.Tensor] = []
    changed: list[tuple[keras.Variable, tf.Tensor]] = []

    @tf.custom_gradient
    def apply(x: tf.Tensor, condition: tf.Tensor, groups: list[Values]) -> tuple[Events, Callable[..., Any]]:
        # A tape around this function would store all that happens in it, and never use it.
        z, fixed_condition, fixed_groups = tf.nest.map_structure(tf.stop_gradient, (x, condition, groups))
        log_det = constant_log_det(z)
        for link, values in zip(links, fixed_groups, strict=True):
            (z, term), current = link.forward(values, z, fixed_condition)
            log_det += term
            states = zip(link.variables, values, current, strict=True)
            changed.extend((variable, new) for variable, old, new in states if new is not old)

        def backward(z_cotangent: tf.Tensor, log_det_cotangent: tf.Tensor) -> Any:
            # The output that the tape watches, if there is one yet, so that derivatives of the gradient are correct.
            output = outputs[0] if outputs else z
            return _CallContext(lambda _: _backward(links, groups, output, condition, z_cotangent, log_det_cotangent))(
                output, training=training
            )

        return (z, log_det), backward

    result: Events = apply(x, condition, [link.values for link in links])
    outputs.append(result[0])
    for variable, value in changed:
        variable.assign(value)
    return result


def _backward(
    links: Sequence[_Link],
    groups: Sequence[Values],
    z: tf.Tensor,
    condition: tf.Tensor,
    z_cotangent: tf.Tensor,
    log_det_cotangent: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, list[list[tf.Tensor | None]]]:
    """Return the gradients for x, the condition, and the values of each link."""
    condition_cotangent = tf.zeros_like(condition)
    group_cotangents: list[list[tf.Tensor | None]] = []
    arrived = [z_cotangent, log_det_cotangent]
    for link, values in zip(reversed(links), reversed(groups), strict=True):
        # One link at a time.
        z, held_condition = _after(arrived, z, condition)
        x = link.inverse(values, z, held_condition)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            sources = (x, held_condition, values)
            tape.watch([value for value in tf.nest.flatten(sources) if value.dtype.is_floating])
            result, _ = link.forward(values, x, held_condition)
        z_cotangent, term, cotangents = tape.gradient(
            result, sources, output_gradients=(z_cotangent, log_det_cotangent)
        )
        condition_cotangent += 0.0 if term is None else term
        group_cotangents.insert(0, cotangents)
        arrived = [value for value in (z_cotangent, term, *cotangents) if value is not None]
        z = x
    return z_cotangent, condition_cotangent, group_cotangents


def _after(arrived: Sequence[tf.Tensor], *values: tf.Tensor) -> list[tf.Tensor]:
    """Return the values, but not before all of ``arrived`` are computed.

    Inverses need no cotangents: a graph may run them all at once and fill the memory that recomputing saves. XLA
    ignores control dependencies. So each value gets a zero added that depends on ``arrived``, and that no compiler
    recognises as zero.
    """
    if tf.executing_eagerly():
        return list(values)
    sample = tf.add_n([tf.cast(tf.reduce_sum(tf.reshape(value, [-1])[:1]), values[0].dtype) for value in arrived])
    zero = tf.cast((sample > 0) & (sample < 0), values[0].dtype)
    return [value + zero for value in values]
