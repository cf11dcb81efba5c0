"""Which simulators can be compared, and with which prior probabilities."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from bayesinn.comparison.model import MODEL
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_type
from bayesinn.simulation import checks
from bayesinn.simulation.prior_text import prior_text, same_laws
from bayesinn.simulation.simulator import Simulator


def check_weights(
    weights: Sequence[float] | Mapping[str, float] | None, names: Sequence[str]
) -> np.ndarray:
    """Return prior probabilities of the models, in their order."""
    if weights is None:
        return np.full(len(names), 1.0 / len(names))
    subject = "ModelComparison, argument 'weights'"
    wrong = InputError(
        subject,
        expected=f"{len(names)} positive numbers, one for each of {', '.join(map(repr, names))}",
        got=f"{weights}",
        do="leave them out if all models are equally probable",
    )
    if isinstance(weights, Mapping):
        if set(weights) != set(names):
            raise wrong
        weights = [weights[name] for name in names]
    given = checks.numbers(subject, weights)
    if given.shape != (len(names),) or not np.all(given > 0.0) or not np.isfinite(given).all():
        raise wrong
    return given / given.sum()


def check_simulators(simulators: Any) -> tuple[Simulator, ...]:
    """Return simulators that can be compared: of different names, with the same data."""
    subject = "ModelComparison, argument 'simulators'"
    do = "pass a list of two or more simulators, such as [bi.get('a'), bi.get('b')]"
    check_type(subject, simulators, (list, tuple), "a list of simulators", do)
    for simulator in simulators:
        check_type(f"{subject}, each", simulator, Simulator, "a Simulator", do)
    if len({simulator.name for simulator in simulators}) < max(2, len(simulators)):
        raise InputError(
            subject,
            expected="two or more, of different names",
            got=f"{[simulator.name for simulator in simulators]}",
            do=do,
        )
    for first, other in itertools.combinations(simulators, 2):
        _check_pair(subject, first, other)
    if MODEL in simulators[0].observable_shapes or MODEL in simulators[0].context_names:
        raise InputError(
            subject,
            expected=f"no variable of the name {MODEL!r}, which numbers the simulators",
            got="one",
            do="rename it",
        )
    return tuple(simulators)


def _check_pair(subject: str, first: Simulator, other: Simulator) -> None:
    """Refuse two models whose data differ in more than how they are made.

    Units and coordinates that one model leaves out are taken from the other.
    """
    data = {name for kind in ("observables", "context") for name in first.shapes[kind]}
    measured = data & first.labels.units.keys() & other.labels.units.keys()
    placed = first.labels.coordinates.keys() & other.labels.coordinates.keys()
    expected = _declared(first, measured, placed)
    got = _declared(other, measured, placed)
    for kind, value in expected.items():
        if got[kind] != value:
            raise InputError(
                subject,
                expected=f"the same {kind} of all models: {value}",
                got=f"{got[kind]} of {other.name!r}",
                do="declare and return the same with each simulator",
            )
    # Otherwise context alone would favour a model.
    contexts = [part.context for part in (first, other) if part.context]
    if not same_laws(*contexts):
        laws = [prior_text(context) for context in contexts]
        raise InputError(
            subject,
            expected=f"the same distributions of context in all models: {laws[0]}",
            got=f"{laws[1]} in {other.name!r}",
            do="declare the same context={...} with each simulator",
        )


def _declared(
    simulator: Simulator, measured: Collection[str], placed: Collection[str]
) -> dict[str, Any]:
    """Return what all models must declare alike, by kind.

    Units and coordinates are those of the variables that both models declare them for.
    """
    labels = simulator.labels
    return {
        "observables": simulator.shapes["observables"],
        "context": simulator.shapes["context"],
        "lengths": simulator.lengths,
        # The share of lost values alone would tell models apart.
        "missing values": simulator.missing,
        "units": {name: labels.units[name] for name in sorted(measured)},
        "coordinates": {name: labels.coordinates[name].values.tolist() for name in sorted(placed)},
    }
