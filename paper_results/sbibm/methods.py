"""The methods that are compared: the library's defaults, and what may replace them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from tasks import Arrays

import bayesinn as bi
from bayesinn.bijections import Affine, Composed, Spline
from bayesinn.flows import Flow, coupling
from bayesinn.summaries import MLP, Identity, Summary

MOST_NUMBERS = 20
"""A longer vector is compressed before the flow."""


def spline() -> Flow:
    """Return couplings of an affine map and a spline."""
    return coupling(transform=Composed([Affine(), Spline()]))


def vectors(simulator: bi.Simulator) -> dict[str, Summary]:
    """Return networks that take all observables for vectors, and none for a series."""
    shapes = simulator.observable_shapes
    few = sum(int(np.prod(shape)) for shape in shapes.values()) <= MOST_NUMBERS
    return {name: Identity() if few else MLP(32) for name in shapes}


@dataclass(frozen=True)
class Method:
    """How to make a posterior: networks, the library's own where they are left out.

    Attributes
    ----------
    summary : function of the simulator, to its summary networks
    flow : function that makes a flow
    members : int, posteriors trained on the same simulations, whose densities are averaged
    """

    summary: Callable[[bi.Simulator], dict[str, Summary]] | None = None
    flow: Callable[[], Flow] | None = None
    members: int = 1

    def posterior(self, simulator: bi.Simulator) -> bi.AmortizedPosterior:
        """Return an untrained posterior."""
        summary = None if self.summary is None else self.summary(simulator)
        return bi.AmortizedPosterior(simulator, summary, self.flow and self.flow())


@dataclass(frozen=True)
class Ensemble:
    """Trained posteriors, whose mixture with equal weights is the answer."""

    members: tuple[bi.AmortizedPosterior, ...]

    def log_prob(self, parameters: Arrays, data: Arrays) -> np.ndarray:
        """Return the log density (n,) of the mixture, of parameters and data in n rows."""
        log_probs = [member.log_prob(parameters, data) for member in self.members]
        return logsumexp(log_probs, axis=0) - np.log(len(log_probs))

    def sample(self, data: Arrays, *, draws: int, seed: int) -> dict[str, np.ndarray]:
        """Draw as many from each member, or one more from the first ones."""
        count = len(self.members)
        parts = [
            member.sample(data, draws=(draws - number + count - 1) // count, seed=seed)
            for number, member in enumerate(self.members)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


METHODS = {
    "default": Method(),
    "spline": Method(flow=spline),
    "vector": Method(summary=vectors),
    "spline, vector": Method(summary=vectors, flow=spline),
    "three of spline, vector": Method(summary=vectors, flow=spline, members=3),
}
