"""The levels of a hierarchical model: which parameters a person has, how many persons there are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayesinn.core.errors import InputError
from bayesinn.core.memory import check_memory
from bayesinn.core.validation import check_integer, check_type
from bayesinn.simulation.declaration import check_known
from bayesinn.simulation.simulator import Simulator

_SUBJECT = "Argument 'group'"
_DO = 'pass the parameters of a person by name, such as group={"person": ("speed", "threshold")}'
#: Data sets that a step of training draws.
BATCH = 64
_AXES = ("chain", "draw", "observation")


@dataclass(frozen=True)
class Levels:
    """Who the members of a group are (``axis``, such as "person"), and which parameters they have.

    All other parameters are ``shared``: hyperparameters, and what all persons have in common. A
    data set has ``fewest`` to ``most`` persons.
    """

    axis: str
    own: tuple[str, ...]
    shared: tuple[str, ...]
    fewest: int
    most: int

    @property
    def count(self) -> str:
        """Name of the number of persons in a data set."""
        return count_name(self.axis)


def count_name(axis: str) -> str:
    """Return the name of the number of members along an axis."""
    return f"{axis}_count"


def check_levels(
    simulator: Simulator, group: Mapping[str, str | Sequence[str]], sizes: Sequence[int]
) -> Levels:
    """Check what a user declares of a simulator of one person."""
    check_type(
        "Argument 'simulator'",
        simulator,
        Simulator,
        "a Simulator of one person",
        "decorate the function with @bi.simulator",
    )
    subject = f"Simulator {simulator.name!r} of one person"
    if not simulator.in_graph:
        raise InputError(
            subject,
            expected="a function of TensorFlow operations, called with all persons of a batch at "
            "once",
            got=f"{simulator.engine.kind}",
            do="write it with TensorFlow",
        )
    context = simulator.context
    if context is not None and any(context.needs.values()):
        raise InputError(
            subject,
            expected="context whose distributions depend on nothing",
            got=f"{context.needs}",
            do="replace the functions by distributions",
        )
    prior = simulator.prior
    check_type(_SUBJECT, group, Mapping, "a dict of one entry", _DO)
    if len(group) != 1:
        raise InputError(_SUBJECT, expected="one level", got=f"{sorted(group)}", do=_DO)
    axis, names = next(iter(group.items()))
    check_type(_SUBJECT, names, (str, list, tuple), "names of parameters", _DO)
    own = (names,) if isinstance(names, str) else tuple(names)
    check_known(_SUBJECT, own, prior.names)
    variables = (name for kind in simulator.shapes.values() for name in kind)
    axes = (axis for own in simulator.dimensions.values() for axis in own)
    taken = {*_AXES, *variables, *axes}
    if not isinstance(axis, str) or {axis, count_name(axis)} & taken:
        raise InputError(
            _SUBJECT,
            expected="a name for the axis of persons; it and NAME_count must be other than "
            f"{sorted(taken)}",
            got=f"{axis!r}",
            do=_DO,
        )
    shared = tuple(name for name in prior.names if name not in own)
    if not own or not shared:
        raise InputError(
            _SUBJECT,
            expected="some of the parameters; the others are those of the population",
            got=f"{own} of {prior.names}",
            do=_DO,
        )
    for name in shared:
        above = set(prior.needs[name]) & set(own)
        if above:
            raise InputError(
                _SUBJECT,
                expected=f"a prior of {name!r} that depends on no person, as it is not in {axis!r}",
                got=f"one given {sorted(above)}",
                do=f"name it, too: group={{{axis!r}: {(*own, name)}}}",
            )
    pair = _pair(sizes)
    numbers = sum(math.prod(shape) for kind in simulator.shapes.values() for shape in kind.values())
    check_memory(
        "Argument 'sizes'",
        BATCH * pair[1] * numbers * 4,
        got=f"a batch of {BATCH} data sets of {pair[1]:,} persons with {numbers:,} numbers each",
        do="train with fewer persons in a data set",
    )
    return Levels(axis, tuple(name for name in prior.names if name in own), shared, *pair)


def _pair(sizes: Any) -> tuple[int, int]:
    subject = "Argument 'sizes'"
    do = "pass the fewest and the most persons in a data set, such as sizes=(5, 50)"
    check_type(subject, sizes, (list, tuple), "two integers", do)
    if len(sizes) != 2:
        raise InputError(subject, expected="two integers", got=f"{sizes}", do=do)
    fewest = check_integer(subject, sizes[0], do=do)
    return fewest, check_integer(subject, sizes[1], least=fewest, do=do)
