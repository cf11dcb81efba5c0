"""Some elements of vectors in place of all: a simulator of them, and data cut likewise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_integer, check_type
from bayesinn.simulation.derived import derived_simulator
from bayesinn.simulation.simulator import Simulator, check_simulator


class Selection:
    """Elements of observables that are kept; all estimators work with what they are part of.

    Parameters
    ----------
    simulator : Simulator
    places : dict of observable to sequence of int
        Places of the elements that are kept. The observable must be a vector without coordinates,
        varying length or missing values; others stay as they are.

    Attributes
    ----------
    whole : Simulator, the one that was given
    simulator : Simulator
        Of the same parameters, and of data that have these elements only. Its ``places`` are saved
        with whatever is trained on it. It has neither ``log_likelihood`` nor ``exact``, which need
        all elements, nor the summary networks that are recommended for all.
    places : dict of observable to array of int

    Examples
    --------
    >>> import bayesinn as bi
    >>> first = bi.Selection(bi.get("slcp_distractors"), {"x": range(10)})
    >>> first.simulator.observable_shapes
    {'x': (10,)}
    >>> first.of(bi.get("slcp_distractors").sample(3, seed=1))["x"].shape
    (3, 10)
    """

    def __init__(self, simulator: Simulator, places: Mapping[str, Any]) -> None:
        check_simulator(simulator)
        subject = "Selection, argument 'places'"
        check_type(subject, places, Mapping, "a dict", "pass for example {'x': [0, 1, 2]}")
        able = vectors(simulator)
        unknown = [name for name in places if name not in able]
        if unknown:
            raise InputError(
                subject,
                expected=f"observables that are vectors: {able}",
                got=f"{unknown}",
                do="name vectors without coordinates, varying length or missing values",
            )
        self.whole = simulator
        self.places = {
            name: _check_places(name, chosen, simulator.observable_shapes[name][0])
            for name, chosen in places.items()
        }
        self.simulator = derived_simulator(simulator, elements=self.places)

    def of(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return simulations, or observations, with these elements only; all else is unchanged."""
        do = "pass for example {'x': values}"
        check_type("Simulations or observations", data, Mapping, "a dict of name to array", do)
        kept = dict(data)
        for name, chosen in self.places.items():
            if name not in data:
                continue
            value = np.asanyarray(data[name])
            size = self.whole.observable_shapes[name][0]
            if value.ndim == 0 or value.shape[-1] != size:
                raise InputError(
                    f"Observable {name!r}",
                    expected=f"all {size} elements along the last axis",
                    got=f"shape {value.shape}",
                    do="pass data as the whole simulator returns them",
                )
            kept[name] = value[..., chosen]
        return kept

    def __repr__(self) -> str:
        sizes = self.whole.observable_shapes
        parts = [
            f"{len(chosen):,} of {sizes[name][0]:,} elements of {name!r}"
            for name, chosen in self.places.items()
        ]
        return f"Selection of {self.whole.name!r}: {', '.join(parts) or 'all elements'}"


def vectors(simulator: Simulator) -> list[str]:
    """Return the observables of which some elements may be selected."""
    if simulator.missing is not None:
        return []
    return [
        name
        for name, shape in simulator.observable_shapes.items()
        if len(shape) == 1
        and name not in simulator.lengths
        and name not in simulator.labels.coordinates
    ]


def _check_places(name: str, chosen: Any, size: int) -> np.ndarray:
    """Return places in rising order; refuse none, repeated ones, and those beyond the vector."""
    subject = f"Selection, places of {name!r}"
    do = "count elements from 0"
    expected = f"one or more different whole numbers from 0 to {size - 1}"
    check_type(subject, chosen, Iterable, expected, do)
    places = [check_integer(f"{subject}, each", place, 0, size - 1, do=do) for place in chosen]
    if not places or len(set(places)) < len(places):
        raise InputError(subject, expected=expected, got=f"{places}", do=do)
    return np.array(sorted(places))
