"""Equal links of a chain as a loop, which is traced and compiled once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, Mapped, in_turn
from bayesinn.core.configuration import describe
from bayesinn.core.errors import InputError

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
    own = [[variable for link in group for variable in link.variables] for group in groups]
    first = own[0]
    count = len(groups)
    given = [_array(column) for column in zip(*own, strict=True)]
    changing = [number for number, variable in enumerate(first) if not variable.trainable]
    left = [tf.TensorArray(given[number].dtype, count) for number in changing]
    changed: set[int] = set()

    def body(i: tf.Tensor, x: tf.Tensor, total: tf.Tensor, left: list[tf.TensorArray]) -> Any:
        values = [array.read(i) for array in given]
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
        for number, variables in enumerate(own):
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
    if not link.repeats:
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
