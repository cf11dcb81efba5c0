"""Estimators of several networks of equal shape, whose mean density is the answer."""

from __future__ import annotations

from typing import Any, Self

from bayesinn.core.validation import check_integer
from bayesinn.estimators.estimator import Estimator
from bayesinn.posterior.defaults import choose_count
from bayesinn.summaries import Summary

# Each is built and trained by itself: more would take hours before the first step.
_MOST = 100


class SeveralNetworks(Estimator):
    """An estimator that trains a number of networks, which the user may leave open.

    A constructor calls :meth:`set_count`.
    """

    networks: int
    #: Summary networks, by what they see; empty if the data are seen as they are.
    summaries: dict[str, Summary]

    def set_count(self, networks: int | None) -> None:
        """Take the number of networks; None leaves it to the number of stored simulations."""
        self._automatic = networks is None
        self.networks = 1
        if networks is not None:
            self.networks = check_integer(
                "Argument 'networks'", networks, most=_MOST, do="pass networks=3"
            )

    def adapt(self, rows: int | None, start: Self | None = None) -> None:
        """Choose the number of networks, if the user left it out."""
        if self._automatic and start is None:
            self.networks = choose_count(rows, self.summaries)

    def check_start(self, other: Any) -> None:
        """Take the number of the networks to start from, if the user left it out; then check."""
        if self._automatic and isinstance(other, type(self)):
            self.networks = other.networks
        super().check_start(other)

    def configuration(self) -> dict[str, Any]:
        """Return what other estimators do, and the number of networks if it is not one."""
        several = {"networks": self.networks} if self.networks > 1 else {}
        return {**super().configuration(), **several}

    def untrained(self) -> Self:
        new = super().untrained()
        new._automatic = self._automatic
        return new
