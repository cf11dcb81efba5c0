"""The methods that are compared: the library's defaults, and what may replace them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import bayesinn as bi
from bayesinn.flows import Flow, coupling
from bayesinn.summaries import MLP, ConvLSTM, Summary


def perceptrons(simulator: bi.Simulator) -> dict[str, Summary]:
    """Return a network for vectors for each observable."""
    return {name: MLP(32) for name in simulator.observable_shapes}


def series(simulator: bi.Simulator) -> dict[str, Summary]:
    """Return a network for series for each observable."""
    return {name: ConvLSTM(32) for name in simulator.observable_shapes}


@dataclass(frozen=True)
class Method:
    """How to make a posterior: networks, the library's own where they are left out.

    Attributes
    ----------
    summary : function of the simulator, to its summary networks
    flow : function that makes a flow
    networks : int, trained on the same simulations, whose densities are averaged
    """

    summary: Callable[[bi.Simulator], dict[str, Summary]] | None = None
    flow: Callable[[], Flow] | None = None
    networks: int | None = None

    def posterior(self, simulator: bi.Simulator) -> bi.AmortizedPosterior:
        """Return an untrained posterior."""
        summary = None if self.summary is None else self.summary(simulator)
        flow = None if self.flow is None else self.flow()
        return bi.AmortizedPosterior(simulator, summary, flow, self.networks)


METHODS = {
    "default": Method(),
    "one network": Method(networks=1),
    "affine": Method(flow=coupling),
    "affine, one network": Method(flow=coupling, networks=1),
    "perceptron": Method(summary=perceptrons),
    "series": Method(summary=series),
}
