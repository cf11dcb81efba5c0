"""What a training may start from: a trained estimator of the same networks, parameters and data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_type


class Startable(Protocol):
    """What is compared of two estimators."""

    @property
    def model(self) -> Any: ...

    def network_configuration(self) -> dict[str, Any]: ...

    def declared_shapes(self) -> dict[str, Mapping[str, Any]]: ...


def check_start(estimator: Startable, other: Any) -> None:
    """Refuse any start but a trained one of the same class, networks and data."""
    subject = "Argument 'start_from'"
    expected = f"a trained {type(estimator).__name__}"
    do = "load a saved one with bi.load(folder)"
    check_type(subject, other, type(estimator), expected, do)
    ours = {**estimator.network_configuration(), **estimator.declared_shapes()}
    theirs = {**other.network_configuration(), **other.declared_shapes()}
    for name in ours | theirs:
        # As text: the order of names is that of the network's inputs and outputs.
        if repr(ours.get(name)) != repr(theirs.get(name)):
            own = _describe(estimator, name, ours)
            raise InputError(
                subject,
                expected=f"one with the same {name}, in this order: {own}",
                got=_describe(other, name, theirs),
                do="start from one of the same networks, parameters and data, or from new weights",
            )
    # It raises if there is none.
    _ = other.model


def _describe(estimator: Any, name: str, entries: dict[str, Any]) -> str:
    """Write what differs: the object itself, which is shorter than its configuration."""
    return str(getattr(estimator, name, entries.get(name)))
