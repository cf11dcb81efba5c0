"""Conditions: named tensors, of which a bijection or a flow reads one entry, or all.

``features`` (n, c) are always there; a summary may give more, of any rank.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.core.warning import warn

#: A condition in full; a tensor in its place is its features.
Condition = Mapping[str, tf.Tensor]
FEATURES = "features"
#: What containers read: they hand all entries on.
EVERY = "*"
_NAMES = ("condition", "condition_shape", "condition_shapes")


class SharedCondition(NamedTuple):
    """Conditions ``values`` (m, c), each shared by ``events`` consecutive events.

    For a container of bijections or flows, ``values`` is a mapping of names to such tensors.
    """

    values: Any
    events: int | tf.Tensor


def entry(condition: Any, reads: str | None) -> Any:
    """Return what is read of a condition, or of its shapes: an entry, all of them, or None.

    A tensor, or a shape, is the entry itself; where all are read, it is the features.
    """
    if reads is None or condition is None:
        return None
    if reads == EVERY:
        return condition if isinstance(condition, Mapping) else {FEATURES: condition}
    if not isinstance(condition, Mapping):
        return condition
    if reads not in condition and reads != FEATURES:
        raise InputError(
            f"Condition, entry {reads!r}",
            expected="a summary that returns it",
            got=f"the entries {sorted(condition)}",
            do="return it from the summary, in a mapping with the features",
        )
    return condition.get(reads)


def entries_of(reads: str | None) -> frozenset[str]:
    """Return the entries that are read, as a set."""
    return frozenset() if reads is None else frozenset({reads})


def warn_of_unread(returned: Iterable[str], read: Collection[str], summary: str) -> None:
    """Warn where a summary returns entries that nothing reads: what it knows is then lost."""
    unread = [] if EVERY in read else sorted(set(returned) - set(read))
    if unread:
        warn(
            f"{summary} returns {', '.join(map(repr, unread))}, which no flow, bijection or "
            "summary reads. Use a flow that does, such as bi.flows.Framed(flow) for 'location' "
            "and 'root', or another summary.",
        )


def map_entries(function: Callable[[Any], Any], condition: Any) -> Any:
    """Apply a function to a tensor, or to each entry of a condition; None stays."""
    if condition is None:
        return None
    if isinstance(condition, Mapping):
        return {name: function(value) for name, value in condition.items()}
    return function(condition)


def without_empty(shapes: Any, condition: Any) -> Any:
    """Return a condition without entries of no elements; None if there are no others."""
    if isinstance(condition, Mapping):
        return {name: condition[name] for name, shape in shapes.items() if 0 not in shape} or None
    return None if condition is None or 0 in shapes else condition


def shapes_of(condition: Any) -> Any:
    """Return the shape of one row of a tensor, or of each entry of a condition."""
    return map_entries(lambda value: tuple(value.shape[1:]), condition)


def reading(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method so that it gets only what its object ``reads`` of the condition.

    The condition, or the mapping of its shapes, is the second argument of the method.
    """

    @functools.wraps(method)
    def wrapper(self: Any, *arguments: Any, **options: Any) -> Any:
        if len(arguments) > 1:
            first, condition, *rest = arguments
            arguments = first, entry(condition, self.reads), *rest
        own = {name: entry(options[name], self.reads) for name in _NAMES if name in options}
        return method(self, *arguments, **{**options, **own})

    return wrapper
