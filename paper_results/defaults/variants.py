"""Candidates for the defaults: networks and their training, by problem and simulations.

The latter is the number of simulations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import tensorflow as tf
from problems import Problem

import bayesinn as bi
from bayesinn.bijections import (
    ActNorm,
    Affine,
    Bijection,
    Chain,
    Composed,
    Coupling,
    Orthogonal,
    Spline,
)
from bayesinn.flows import Flow, InvertibleFlow, autoregressive, coupling
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
    optimization: Mapping[str, Any] = field(default_factory=dict)

    def posterior(self, problem: Problem) -> bi.AmortizedPosterior:
        """Make an untrained posterior."""
        summary: Summary | dict[str, Summary] = (
            Identity() if problem.kind == "vector" else self.summary()
        )
        if problem.together is not None:
            summary = {problem.together: self.summary()}
        return bi.AmortizedPosterior(problem.simulator, summary, self.flow(), networks=1)

    def settings(
        self, problem: Problem, budget: int | None, steps: int | None
    ) -> tuple[dict[str, Any], dict]:
        """Return arguments of ``fit`` and of ``Optimization``.

        The ``steps``, if given, are in place of the choice's.
        """
        batch_size = self.batch_size
        fit = {}
        optimization = {"learning_rate": self.learning_rate, **self.optimization}
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


class Counts(Summary):
    """Give a network two channels of counts: on the scale of their logs and square roots."""

    shapes = ("(n, steps)",)
    standardised = False
    masks = False

    def __init__(self, network: Summary) -> None:
        super().__init__()
        self.network = network

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Standardise roughly; beyond some thousands the root says no more than the logarithm."""
        roots = tf.asinh(tf.sqrt(tf.nn.relu(x)) / 10.0)
        return self.network(tf.stack([(tf.asinh(x) - 6.0) / 3.0, roots - 1.5], axis=-1))


def spline(
    blocks: int = 6, hidden: tuple[int, ...] = (128, 128), dropout: float = 0.0, bins: int = 8
) -> Flow:
    """Couplings of an affine map and a spline."""
    return coupling(blocks, hidden, Composed([Affine(), Spline(bins=bins)]), dropout=dropout)


def spline_first(bins: int = 8, blocks: int = 5, hidden: tuple[int, ...] = (128, 128)) -> Flow:
    """A spline coupling of parameters that no rotation has mixed yet, then affine couplings."""
    chain: list[Bijection] = [
        ActNorm(),
        Coupling(Composed([Affine(), Spline(bins=bins)]), hidden=hidden),
    ]
    for _ in range(blocks):
        chain += [ActNorm(), Orthogonal(), Coupling(Affine(), hidden=hidden)]
    return InvertibleFlow(Chain(chain))


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
    "4 x longer": lambda problem: replace(_LEAN, steps=4 * ONLINE_STEPS),
    "lower rate": lambda problem: replace(_LEAN, learning_rate=1e-3),
    "small": _small,
    "dropout": lambda problem: replace(_LEAN, flow=partial(coupling, dropout=0.1)),
    "weight decay": lambda problem: replace(_LEAN, weight_decay=0.1),
    "weight decay 0.01": lambda problem: replace(_LEAN, weight_decay=0.01),
    "small, weight decay": lambda problem: replace(_small(problem), weight_decay=0.1),
    "ensemble of 4": lambda problem: replace(_LEAN, members=4),
    "ensemble of 4, small": lambda problem: replace(_small(problem), members=4),
    "wide summary": lambda problem: replace(
        _LEAN, summary=partial(ConvLSTM, 64, (128, 128), lstm_units=128)
    ),
    "trunk": lambda problem: replace(_LEAN, summary=trunk(problem)),
    "spline": lambda problem: replace(_LEAN, flow=spline),
    "spline first": lambda problem: replace(_LEAN, flow=spline_first),
    "trunk, spline": lambda problem: replace(_LEAN, summary=trunk(problem), flow=spline),
    "trunk, spline first": lambda problem: replace(
        _LEAN, summary=trunk(problem), flow=spline_first
    ),
    "trunk, 16 bins": lambda problem: replace(
        _LEAN, summary=trunk(problem), flow=partial(spline, 6, bins=16)
    ),
    "trunk, autoregressive spline": lambda problem: replace(
        _LEAN,
        summary=trunk(problem),
        flow=partial(
            autoregressive, 4, transform=Composed([Affine(), Spline(bins=16)]), mixing="permutation"
        ),
    ),
    # For the sir model only.
    "counts": lambda problem: replace(_LEAN, summary=lambda: Counts(ConvLSTM(32))),
    "counts, trunk": lambda problem: replace(_LEAN, summary=lambda: Counts(trunk(problem)())),
    "counts, trunk, spline": lambda problem: replace(
        _LEAN, summary=lambda: Counts(trunk(problem)()), flow=spline
    ),
}
