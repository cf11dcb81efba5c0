"""Backpropagation that recomputes activations from a chain's output, in place of storing them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, Mapped, constant_log_det
from bayesinn.bijections.condition import Condition

Values = list[tf.Tensor]


def reversible_forward(
    bijections: Sequence[Bijection], x: tf.Tensor, condition: Condition | None = None
) -> Mapped:
    """Apply bijections, all built, in order, and store only the result for the backward pass.

    Going backwards, the input of each bijection is recomputed from its output by its inverse, and
    its forward map is run again to differentiate it: Algorithm 1 of Gomez et al. (2017),
    arXiv:1707.04585. Random numbers that come from Keras seed generators, such as the masks of
    dropout, are the same in all passes, and so is the training flag. Other state that the
    bijections change is changed once, by the forward pass.
    """
    # A gradient needs a value: to bijections, a condition without entries is none.
    entries = {} if condition is None else dict(condition)
    return _CallContext(lambda training: _forward(bijections, x, entries, training))(x)


class _CallContext(keras.layers.Layer):
    """Run a function where layers find the training flag, also in a later backward pass.

    A backward pass runs after the layers' own calls have ended, and with them their flag.
    """

    def __init__(self, function: Callable[[bool | None], Any]) -> None:
        # In one precision, whatever the global policy: weights must not be read in half precision.
        super().__init__(name="call_context", autocast=False, dtype="float32")
        self.function = function
        self.built = True

    def call(self, anchor: tf.Tensor, training: bool | None = None) -> Any:
        return self.function(training)


def _holding(bijection: Bijection, values: Values) -> keras.StatelessScope:
    """Return a scope in which the variables of a bijection have given values.

    In training, slices of one flat vector replace the variables, but only while the network is
    called. Values that are read at that time, and restored in a scope of their own, are correct in
    every pass, and outside training too.
    """
    return keras.StatelessScope(
        list(zip(bijection.variables, values, strict=True)), initialize_variables=False
    )


def _forward(
    bijections: Sequence[Bijection],
    x: tf.Tensor,
    condition: dict[str, tf.Tensor],
    training: bool | None,
) -> Mapped:
    outputs: list[tf.Tensor] = []
    changed: list[tuple[keras.Variable, tf.Tensor]] = []

    @tf.custom_gradient
    def apply(
        x: tf.Tensor, condition: dict[str, tf.Tensor], groups: list[Values]
    ) -> tuple[Mapped, Callable[..., Any]]:
        # A tape around this function would store all that happens in it, and never use it.
        z, fixed_condition, fixed_groups = tf.nest.map_structure(
            tf.stop_gradient, (x, condition, groups)
        )
        log_det = constant_log_det(z)
        for bijection, values in zip(bijections, fixed_groups, strict=True):
            with _holding(bijection, values) as scope:
                z, term = bijection.forward(z, fixed_condition)
            log_det += term
            for variable, old in zip(bijection.variables, values, strict=True):
                if scope.get_current_value(variable) is not old:
                    changed.append((variable, scope.get_current_value(variable)))

        def backward(*cotangents: tf.Tensor) -> Any:
            # The output that the tape watches, if there is one yet, so that derivatives of the
            # gradient are correct.
            output = outputs[0] if outputs else z
            context = _CallContext(
                lambda _: _backward(bijections, groups, output, condition, cotangents)
            )
            return context(output, training=training)

        return (z, log_det), backward

    now = [
        [tf.convert_to_tensor(variable) for variable in bijection.variables]
        for bijection in bijections
    ]
    result: Mapped = apply(x, condition, now)
    outputs.append(result[0])
    for variable, value in changed:
        variable.assign(value)
    return result


def _backward(
    bijections: Sequence[Bijection],
    groups: Sequence[Values],
    z: tf.Tensor,
    condition: dict[str, tf.Tensor],
    cotangents: Mapped,
) -> tuple[tf.Tensor, dict[str, tf.Tensor], list[list[tf.Tensor | None]]]:
    """Return the gradients for x, the condition, and the values of each bijection's variables."""
    z_cotangent, log_det_cotangent = cotangents
    condition_cotangents = {name: tf.zeros_like(value) for name, value in condition.items()}
    group_cotangents: list[list[tf.Tensor | None]] = []
    arrived = [z_cotangent, log_det_cotangent]
    for bijection, values in zip(reversed(bijections), reversed(groups), strict=True):
        # One bijection at a time.
        z, *entries = _after(arrived, z, *condition.values())
        held_condition = dict(zip(condition, entries, strict=True))
        with _holding(bijection, values):
            x, _ = bijection.inverse(z, held_condition)
        with tf.GradientTape(watch_accessed_variables=False) as tape, _holding(bijection, values):
            sources = (x, held_condition, values)
            tape.watch([value for value in tf.nest.flatten(sources) if value.dtype.is_floating])
            result = bijection.forward(x, held_condition)
        z_cotangent, terms, own = tape.gradient(result, sources, (z_cotangent, log_det_cotangent))
        for name, term in terms.items():
            condition_cotangents[name] += 0.0 if term is None else term
        group_cotangents.insert(0, own)
        arrived = [value for value in (z_cotangent, *terms.values(), *own) if value is not None]
        z = x
    return z_cotangent, condition_cotangents, group_cotangents


def _after(arrived: Sequence[tf.Tensor], *values: tf.Tensor) -> list[tf.Tensor]:
    """Return the values, but not before all of ``arrived`` are computed.

    Inverses need no cotangents: a graph may run them all at once and fill the memory that
    recomputing saves. Control dependencies are ignored by XLA; a zero that depends on ``arrived``,
    and that no compiler recognises, is added.
    """
    if tf.executing_eagerly():
        return list(values)
    sample = tf.add_n(
        [tf.cast(tf.reduce_sum(tf.reshape(value, [-1])[:1]), values[0].dtype) for value in arrived]
    )
    zero = tf.cast((sample > 0) & (sample < 0), values[0].dtype)
    return [value + zero for value in values]
