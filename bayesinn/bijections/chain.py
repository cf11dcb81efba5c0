"""Chains of bijections: one after another, as a loop over equal links, and reversible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import (
    EVERY,
    Bijection,
    Condition,
    Mapped,
    constant_log_det,
    in_turn,
)
from bayesinn.core.compilation import is_for_xla
from bayesinn.core.configuration import describe
from bayesinn.core.errors import InputError, warn

#: One link, applied to events.
Apply = Callable[[Bijection, tf.Tensor], Mapped]
#: Links that are applied one after another.
Group = Sequence[Bijection]


def equal_groups(links: Sequence[Bijection]) -> list[list[Group]]:
    """Split built links into parts, each a list of groups that differ in their weights alone.

    A part of one group is applied as it is. The shortest period comes first: six equal blocks of
    three links are one part of six groups.
    """
    kinds = [_kind(link) for link in links]
    parts: list[list[Group]] = []
    start = 0
    while start < len(links):
        period, count = _best_period(kinds[start:])
        ends = range(start, start + period * count, period)
        parts.append([links[end : end + period] for end in ends])
        start += period * count
    return parts


def apply_groups(groups: Sequence[Group], apply: Apply, x: tf.Tensor, total: tf.Tensor) -> Mapped:
    """Apply groups of equal links to events; add their log determinants to ``total`` (n,).

    The body of the loop is the first group, which holds the weights of another in each round.
    Weights that a group changes, such as the states of random generators, are changed afterwards.
    """
    weights = [[variable for link in group for variable in link.variables] for group in groups]
    first = weights[0]
    count = len(groups)
    stacked = [_array(column) for column in zip(*weights, strict=True)]
    changing = [number for number, variable in enumerate(first) if not variable.trainable]
    left = [tf.TensorArray(stacked[number].dtype, count) for number in changing]
    changed: set[int] = set()

    def body(i: tf.Tensor, x: tf.Tensor, total: tf.Tensor, left: list[tf.TensorArray]) -> Any:
        values = [array.read(i) for array in stacked]
        held = list(zip(first, values, strict=True))
        with keras.StatelessScope(held, initialize_variables=False) as scope:
            x, total = in_turn([partial(apply, link) for link in groups[0]], x, total)
        after = [scope.get_current_value(first[number]) for number in changing]
        for place, number in enumerate(changing):
            if after[place] is not values[number]:
                changed.add(place)
        left = [array.write(i, value) for array, value in zip(left, after, strict=True)]
        return i + 1, x, total, left

    _, x, total, left = tf.while_loop(
        lambda i, *_: i < count,
        body,
        (0, x, total, left),
        parallel_iterations=1,
        maximum_iterations=count,
    )
    for place in changed:
        values = left[place].stack()
        for number, variables in enumerate(weights):
            variables[changing[place]].assign(values[number])
    return x, total


def _array(variables: Sequence[keras.Variable]) -> tf.TensorArray:
    """Return the values of variables of one shape, to be read one by one."""
    values = tf.stack([tf.convert_to_tensor(variable) for variable in variables])
    # Read once in each direction; reading a row of one tensor would give gradients of all rows.
    array = tf.TensorArray(
        values.dtype, len(variables), element_shape=values.shape[1:], clear_after_read=False
    )
    return array.unstack(values)


def _kind(link: Bijection) -> Any:
    """Return what two links have in common if they differ in their weights alone."""
    if reversible_chains(link):
        return id(link)
    try:
        configuration = describe(link)
    except InputError:
        return id(link)
    weights = [(tuple(variable.shape), variable.dtype) for variable in link.variables]
    return configuration, link.event_shape, link.latent_shape, link.condition_shape, weights


def _best_period(kinds: Sequence[Any]) -> tuple[int, int]:
    """Return the length of a group, and how many equal ones follow each other from the start."""
    best = (1, 1)
    for period in range(1, len(kinds) // 2 + 1):
        count = 1
        while kinds[:period] == kinds[count * period : (count + 1) * period]:
            count += 1
        if count > 1 and period * count > best[0] * best[1]:
            best = (period, count)
    return best


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
        z_cotangent, terms, gradients = tape.gradient(
            result, sources, (z_cotangent, log_det_cotangent)
        )
        for name, term in terms.items():
            condition_cotangents[name] += 0.0 if term is None else term
        group_cotangents.insert(0, gradients)
        arrived = [
            value for value in (z_cotangent, *terms.values(), *gradients) if value is not None
        ]
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


WARN_ABOVE = 1e-3
STORE_ABOVE = 1e-2


class Chain(Bijection):
    """Apply bijections in the order given; log-determinants add.

    Each bijection gets events of the shape that the last one gave. XLA compiles links that differ
    only in their weights once, as one loop.

    A reversible chain trains with memory for the activations of one link, whatever their number:
    the backward pass recomputes them from the chain's output. That takes about 1.6 times as long.
    Its gradients are as exact as the inverse; see :meth:`check_round_trip`. A bijection with a
    rough inverse declares ``accurate_inverse = False`` and is refused. An inverse by iteration is
    accepted if it runs to convergence.

    Parameters
    ----------
    bijections : sequence of Bijection
        Each is an object of its own: a chain doesn't share weights between links.
    reversible : bool, whether to recompute activations in place of storing them

    References
    ----------
    Gomez et al. (2017), The reversible residual network, arXiv:1707.04585.
    Behrmann et al. (2021), Understanding and mitigating exploding inverses, arXiv:2006.09347.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.bijections import ActNorm, Coupling, Permutation
    >>> chain = Chain([ActNorm(), Permutation(), Coupling(), ActNorm(), Permutation(), Coupling()])
    >>> chain
    Chain(2 * [ActNorm(), Permutation(), Coupling()])
    >>> [value.shape for value in chain.forward(tf.ones((10, 3)))]
    [TensorShape([10, 3]), TensorShape([10])]
    """

    reads = EVERY
    event_rank = None
    shares_conditions = True

    def __init__(self, bijections: Sequence[Bijection], reversible: bool = False) -> None:
        super().__init__()
        distinct = len({id(bijection) for bijection in bijections})
        if not all(isinstance(bijection, Bijection) for bijection in bijections) or distinct != len(
            bijections
        ):
            raise InputError(
                "Chain, argument 'bijections'",
                expected="bijections, each an object of its own",
                got=f"{bijections!r}",
                do="make each one anew: Chain([Coupling() for _ in range(6)]), not 6 * "
                "[Coupling()]",
            )
        self.bijections = list(bijections)
        self.reversible = reversible
        self.stores_activations = not reversible
        self._warned_of: set[str] = set()
        rough = [bijection for bijection in bijections if not bijection.accurate_inverse]
        self.accurate_inverse = not rough
        if reversible and rough:
            raise InputError(
                "Chain, argument 'reversible'",
                expected="bijections with an accurate inverse, from which inputs can be recomputed",
                got=f"{rough[0]!r}, whose inverse is rough",
                do="leave out reversible=True, or put the other bijections into a reversible "
                "chain of their own",
            )

    @property
    def entries(self) -> frozenset[str]:
        return frozenset().union(*(bijection.entries for bijection in self.bijections))

    @property
    def xla_pays(self) -> bool:  # type: ignore[override]
        return all(bijection.xla_pays for bijection in self.bijections)

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        shape = tuple(event_shape)
        for bijection in self.bijections:
            bijection.build(shape, condition_shape)
            shape = bijection.latent_shape
        super().build(event_shape, condition_shape)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        shape = event_shape
        for bijection in self.bijections:
            shape = tuple(bijection.output_shape(shape))
        return shape

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if not self.stores_activations:
            return reversible_forward(self.bijections, x, condition)
        return self._apply(self.bijections, lambda link, x: link.forward(x, condition), x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        links = self.bijections[::-1]
        return self._apply(links, lambda link, z: link.inverse(z, condition), z)

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        for bijection, events in self.walk(x, condition):
            bijection.initialize(events, condition)
        if self.reversible and tf.executing_eagerly():
            self.check_round_trip(x, condition)

    def walk(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> Iterator[tuple[Bijection, tf.Tensor]]:
        """Yield each link with the events that reach it; its weights may be set before the next."""
        for bijection in self.bijections:
            yield bijection, x
            x, _ = bijection.forward(x, condition)

    def check_round_trip(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> float:
        """Warn if the inverse has become inexact; stop recomputing activations if it is even worse.

        In deep stacks, large scales amplify rounding errors until gradients are wrong, without any
        NaN. Above an error of 1e-3 there is one warning. Above 1e-2, or if the error isn't a
        number, a reversible chain stores its activations until a later check finds it better;
        compiled functions must then be compiled again. Training checks after each epoch; your own
        loop should call this eagerly. Returns the :meth:`round_trip_error`.
        """
        error = float(self.round_trip_error(x, condition))
        self.apply_round_trip_error(error)
        return error

    def round_trip_error(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Return the largest error () of inverse(forward(x)), relative to elements above one."""
        z, _ = self.forward(x, condition)
        back, _ = self.inverse(z, condition)
        x = tf.cast(x, back.dtype)
        return tf.reduce_max(tf.abs(back - x) / tf.maximum(tf.abs(x), 1.0))

    def apply_round_trip_error(self, error: float) -> None:
        """Warn, or change how activations are kept; see :meth:`check_round_trip`."""
        self.stores_activations = not self.reversible or not error <= STORE_ABOVE
        consequence = "the gradients of a reversible chain are inexact"
        if self.reversible and self.stores_activations:
            consequence = "activations are stored while that lasts, as with reversible=False"
        if not error <= WARN_ABOVE and consequence not in self._warned_of:
            self._warned_of.add(consequence)
            fault = f"recomputed inputs are off by {error:.2g}, {consequence}"
            do = "Bound the scales more tightly (Affine(clamp=1.0)), or take fewer blocks."
            warn(f"Chain of {len(self.bijections)} bijections: {fault}. {do}")

    def _apply(self, links: Sequence[Bijection], apply: Apply, x: tf.Tensor) -> Mapped:
        """Apply links one after another, equal ones in a loop if XLA compiles them."""
        total = constant_log_det(x)
        if not is_for_xla():
            return in_turn([partial(apply, link) for link in links], x, total)
        for groups in equal_groups(links):
            if len(groups) > 1:
                x, total = apply_groups(groups, apply, x, total)
            else:
                x, total = in_turn([partial(apply, link) for link in groups[0]], x, total)
        return x, total

    def __repr__(self) -> str:
        links = list(map(repr, self.bijections))
        option = ", reversible=True" if self.reversible else ""
        for length in range(1, len(links) // 2 + 1):
            repeats = len(links) // length
            if links == repeats * links[:length]:
                return f"Chain({repeats} * [{', '.join(links[:length])}]{option})"
        return f"Chain([{', '.join(links)}]{option})"


def reversible_chains(bijection: Bijection) -> list[Chain]:
    """Return all reversible chains in a bijection, also inside one another; outer ones first."""
    if not isinstance(bijection, Chain):
        return []
    inner = [chain for link in bijection.bijections for chain in reversible_chains(link)]
    return [bijection, *inner] if bijection.reversible else inner


def round_trip_errors(
    bijection: Bijection, x: tf.Tensor, condition: tf.Tensor | None = None
) -> list[tf.Tensor]:
    """Return the error () of each chain of :func:`reversible_chains`, in this order.

    The error of a chain is measured at the events that reach it.
    """
    if not isinstance(bijection, Chain) or not reversible_chains(bijection):
        return []
    errors = [bijection.round_trip_error(x, condition)] if bijection.reversible else []
    for link, events in bijection.walk(x, condition):
        errors += round_trip_errors(link, events, condition)
    return errors
