"""What engines are told of a simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bayesinn.simulation.prior import Prior


class Declaration(NamedTuple):
    """A forward model and what belongs to it.

    Attributes
    ----------
    name : str
    function : callable
    prior : Prior
    context : Prior, or None
    on_nonfinite : "raise" or "redraw"
    lengths : dict of observable to the context variable that counts its valid steps
    """

    name: str
    function: Callable[..., Any]
    prior: Prior
    context: Prior | None
    on_nonfinite: str
    lengths: Mapping[str, str]

    @property
    def redraw(self) -> bool:
        """Whether failed simulations are drawn again."""
        return self.on_nonfinite == "redraw"
