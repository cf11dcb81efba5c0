"""The networks that are compared, all with about equal time to learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import bayesinn as bi
from bayesinn import flows
from bayesinn.bijections import Affine, Composed, Spline
from bayesinn.inverse.split_latent import SplitLatent, default_chain


@dataclass(frozen=True)
class Network:
    """A posterior of a simulator, and in how many steps it is trained."""

    posterior: Callable[[bi.Simulator], bi.AmortizedPosterior]
    steps: int


def conditional(flow: Callable[[], flows.Flow | None], steps: int) -> Network:
    """Return a network whose flow sees the observation; without a flow it is the default."""
    return Network(lambda simulator: bi.AmortizedPosterior(simulator, flow=flow()), steps)


def zoom() -> Composed:
    """Return the transform of the default: splines, moved to where the posterior is."""
    return Composed([Affine(), Spline()])


HIDDEN = (64, 64)
LOSSES = flows.SplitLosses(observable_noise=0.02, padding_noise=0.1)
#: Steps on kinematics are those of about a hundred seconds of one core.
NETWORKS = {
    "coupling, spline (default)": conditional(lambda: None, 4_500),
    "split latent, likelihood": Network(
        lambda simulator: SplitLatent(
            simulator,
            width=8,
            chain=default_chain(8, HIDDEN),
            objective="likelihood",
            losses=LOSSES,
        ),
        20_000,
    ),
    "HINT, spline": conditional(lambda: flows.hint(4, HIDDEN, zoom()), 4_000),
    "autoregressive, spline": conditional(lambda: flows.autoregressive(4, HIDDEN, zoom()), 5_000),
    "coupling, affine": conditional(lambda: flows.coupling(6, HIDDEN), 11_000),
    "split latent, MMD": Network(
        lambda simulator: SplitLatent(simulator, chain=default_chain(8, HIDDEN)), 5_000
    ),
    "coupling, spline, 6 x 64": conditional(lambda: flows.coupling(6, HIDDEN, zoom()), 10_000),
    "mixture density": conditional(lambda: flows.MixtureDensity(16), 10_000),
    "residual": conditional(lambda: flows.residual(6, HIDDEN), 4_000),
}
