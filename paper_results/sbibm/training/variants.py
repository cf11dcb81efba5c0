"""Candidates for the defaults: networks and their training, by problem and simulations.

The latter is the number of simulations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from problems import Problem

import bayesinn as bi
from bayesinn.flows import Flow, coupling
from bayesinn.posterior.defaults import choose_flow
from bayesinn.spaces.parameters import layout_of
from bayesinn.summaries import MLP, ConvLSTM, DeepSet, Identity, Summary

ONLINE_STEPS = 5_000
LEARNING_RATE = 5e-3
FEWEST_EPOCHS = 10
MOST_EPOCHS = 300


@dataclass(frozen=True)
class Choice:
    """How to make and train a posterior; the defaults are the library's from before this study.

    Attributes
    ----------
    summary : function that makes a network, for sets and series; vectors of a few numbers need none
    flow : function that makes a flow
    steps : int, of training online
    epochs, patience : int, of training on arrays
    weight_decay : float, of AdamW, a share of the weights per step and learning rate
    members : int, posteriors whose densities are averaged
    """

    summary: Callable[[], Summary] = ConvLSTM
    flow: Callable[[], Flow] = coupling
    steps: int = ONLINE_STEPS
    epochs: int | None = 30
    patience: int | None = None
    batch_size: int = 256
    learning_rate: float = LEARNING_RATE
    weight_decay: float = 0.0
    members: int = 1

    def posterior(self, problem: Problem) -> bi.AmortizedPosterior:
        """Make an untrained posterior."""
        return bi.AmortizedPosterior(problem.simulator, self.network(problem), self.flow(), 1)

    def network(self, problem: Problem) -> Summary | dict[str, Summary] | None:
        """Return the summary network; None for the one that the simulator recommends."""
        if problem.kind == "recommended":
            return None
        if problem.together is not None:
            return {problem.together: self.summary()}
        return Identity() if problem.kind == "vector" else self.summary()

    def settings(
        self, problem: Problem, budget: int | None, steps: int | None
    ) -> tuple[dict[str, Any], dict]:
        """Return arguments of ``fit`` and of ``Optimization``.

        The ``steps``, if given, are in place of the choice's.
        """
        batch_size = self.batch_size
        fit = {}
        optimization: dict[str, Any] = {"learning_rate": self.learning_rate}
        if budget is None:
            optimization["passes"] = 0
            fit["steps"] = min(steps or self.steps, problem.most_steps)
        else:
            if self.epochs is None:
                batch_size = min(batch_size, budget // 16)
            steps_per_epoch = int(0.9 * budget) // batch_size
            wanted = self.epochs or min(
                max(ONLINE_STEPS // steps_per_epoch, FEWEST_EPOCHS), MOST_EPOCHS
            )
            fit["epochs"] = max(2, min(wanted, (steps or problem.most_steps) // steps_per_epoch))
            optimization["patience"] = self.patience
        optimization["weight_decay"] = self.weight_decay
        return {"batch_size": batch_size, **fit}, optimization


@dataclass(frozen=True)
class Default(Choice):
    """What the library does today, but for steps that are counted.

    ``parameters`` is a number of parameters whose default flow is taken for any problem.
    """

    parameters: int | None = None

    def posterior(self, problem: Problem) -> bi.AmortizedPosterior:
        """Make an untrained posterior, with the flow by the number of parameters."""
        layout = layout_of(problem.simulator.prior)
        flow = choose_flow(None, layout._replace(dimension=self.parameters or layout.dimension))
        return bi.AmortizedPosterior(problem.simulator, self.network(problem), flow)

    def settings(
        self, problem: Problem, budget: int | None, steps: int | None
    ) -> tuple[dict[str, Any], dict]:
        """Return no more than what the simulator would recommend otherwise."""
        return {"steps": steps or (ONLINE_STEPS if budget is None else None)}, {
            "learning_rate": self.learning_rate,
            "passes": 0 if budget is None else None,
        }


def trunk(problem: Problem, units: int = 32, width: int = 256) -> Callable[[], Summary]:
    """Perceptron for a series of fixed length, deep set for a set."""
    if problem.kind == "set":
        return partial(DeepSet, units)
    return partial(MLP, units, hidden=(width, width))


_LEAN = Choice(batch_size=64, epochs=None, patience=20)


def _small(problem: Problem) -> Choice:
    summary = partial(ConvLSTM, 16, filters=(32,), lstm_units=32)
    return replace(_LEAN, summary=summary, flow=partial(coupling, 4, (64, 64)))


VARIANTS: dict[str, Callable[[Problem], Choice]] = {
    # Its training is the library's default online; 30 passes on arrays were that before this study.
    "batch 256": lambda problem: Choice(),
    # Its training is the library's default on arrays; online, a quarter of the simulations.
    "batch 64": lambda problem: _LEAN,
    "small": _small,
    "dropout": lambda problem: replace(_LEAN, flow=partial(coupling, dropout=0.1)),
    "weight decay": lambda problem: replace(_LEAN, weight_decay=0.1),
    "weight decay 0.01": lambda problem: replace(_LEAN, weight_decay=0.01),
    "ensemble of 4, small": lambda problem: replace(_small(problem), members=4),
    # What came of both studies: several networks, splines for few parameters.
    "default": lambda problem: Default(),
    "default, splines": lambda problem: Default(parameters=1),
    "trunk": lambda problem: replace(_LEAN, summary=trunk(problem)),
}
