"""Whether posteriors of two simulators can be compared or mixed."""

from bayesinn.core.errors import InputError
from bayesinn.simulation.prior_text import prior_text, same_laws
from bayesinn.simulation.simulator import Simulator


def check_alike(
    subject: str, expected: str, simulator: Simulator, other: Simulator, do: str
) -> None:
    """Refuse another simulator that has not the same shapes, units and prior.

    ``expected`` says what the subject should be; name and declarations of the first follow.
    """
    # A mixture over other priors, or in other units, would mean nothing.
    if _alike(simulator, other):
        return
    raise InputError(
        subject,
        expected=f"{expected}, {simulator.name!r}, with {_declared(simulator)}",
        got=_declared(other),
        do=do,
    )


def _alike(one: Simulator, other: Simulator) -> bool:
    return one is other or (
        other.shapes == one.shapes
        and other.labels.units == one.labels.units
        and _list_places(other) == _list_places(one)
        and same_laws(other.prior, one.prior)
    )


def _list_places(simulator: Simulator) -> dict[str, list[int]]:
    return {name: places.tolist() for name, places in simulator.places.items()}


def _declared(simulator: Simulator) -> str:
    """Write shapes, units, selected elements and prior of a simulator."""
    text = f"shapes {simulator.shapes}, units {simulator.labels.units}"
    if selected := _list_places(simulator):
        text += f", elements {selected}"
    return f"{text}, prior {prior_text(simulator.prior)}"
