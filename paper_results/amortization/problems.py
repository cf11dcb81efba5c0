"""Five models: their likelihoods, exact draws, networks, and what the classics compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.reference import importance
from bayesinn.reference.importance import ExactDensity
from bayesinn.simulators import geometric_brownian_motion, linear, sir, two_moons

tfd = tfp.distributions
Arrays = dict[str, np.ndarray]
Tensors = Mapping[str, tf.Tensor]

REFERENCE_CHAINS = 8
REFERENCE_STEPS = 500
PRIOR_DRAWS = 300_000


@dataclass(frozen=True)
class Problem:
    """A model and what each method needs of it.

    ``exact`` draws from the posterior of one observation, ``truth`` being the parameters it was
    simulated with; ``summaries`` are those of ABC, ``points`` and ``replicates`` those of KDE-MCMC.
    """

    simulator: bi.Simulator
    log_likelihood: Callable[[Tensors, Tensors], tf.Tensor]
    exact: Callable[[ExactDensity, Arrays, Arrays, int], Arrays]
    network: Callable[[], dict[str, Any]]
    steps: int
    replicates: int
    summaries: Callable[[Arrays], np.ndarray] | None = None
    points: Callable[[Arrays], np.ndarray] | None = None


def of_simulator(density: ExactDensity, data: Arrays, truth: Arrays, draws: int) -> Arrays:
    """Draw by the simulator's own exact posterior."""
    return density.simulator.exact(data, draws, 1)


def of_prior(density: ExactDensity, data: Arrays, truth: Arrays, draws: int) -> Arrays:
    """Weigh prior draws by the likelihood."""
    return importance(density.simulator, data, draws=PRIOR_DRAWS, seed=1).draws(draws, seed=1)


def of_long_chains(density: ExactDensity, data: Arrays, truth: Arrays, draws: int) -> Arrays:
    """Run chains that start at the truth."""
    start = np.repeat(density.vectors(truth), REFERENCE_CHAINS, axis=0)
    start = start + 0.01 * np.random.default_rng(1).standard_normal(start.shape)
    tensors = {name: value[None] for name, value in density.tensors(data).items()}
    chains = density.sampler.run(start[None], tensors, draws=REFERENCE_STEPS, seed=1)
    vectors = chains.vectors.reshape(-1, start.shape[1]).astype(np.float32)
    rows = np.random.default_rng(2).permutation(len(vectors))[:draws]
    return density.parameters(vectors[rows])


def linear_likelihood(parameters: Tensors, data: Tensors) -> tf.Tensor:
    """Return that of the linear toy."""
    return tfd.Normal(parameters["x1"] + parameters["x2"], linear.NOISE).log_prob(data["y"])


def splines(blocks: int, bins: int = 8, width: int = 64) -> bi.flows.Flow:
    """Return couplings that move and zoom before they bend."""
    transform = bi.bijections.Composed([bi.bijections.Affine(), bi.bijections.Spline(bins=bins)])
    return bi.flows.coupling(blocks, hidden=(width, width), transform=transform)


def log_total_return(data: Arrays) -> np.ndarray:
    """Return the sufficient summary of geometric Brownian motion."""
    return np.log(data["price"][:, -1])


def log_returns(data: Arrays) -> np.ndarray:
    """Return the steps of log prices (n, 99, 3)."""
    logs = np.log(data["price"])
    start = np.full_like(logs[:, :1], math.log(geometric_brownian_motion.START))
    return np.diff(np.concatenate([start, logs], axis=1), axis=1)


def octiles(data: Arrays) -> np.ndarray:
    """Return seven quantiles, the usual summaries of g-and-k; asinh tames the tails."""
    return np.quantile(np.arcsinh(data["x"]), np.arange(1, 8) / 8.0, axis=1).T


def log_cases(data: Arrays) -> np.ndarray:
    """Return logarithms of counts."""
    return np.log1p(data["cases"])


PROBLEMS = {
    "linear": Problem(
        bi.get_simulator("linear"),
        linear_likelihood,
        of_simulator,
        lambda: {"flow": bi.flows.coupling(blocks=3, hidden=(32, 32))},
        steps=2_000,
        replicates=100,
    ),
    "geometric_brownian_motion": Problem(
        bi.get_simulator("geometric_brownian_motion"),
        geometric_brownian_motion.log_likelihood,
        of_simulator,
        lambda: {"summary": bi.summaries.MLP(16, hidden=(64, 64)), "flow": splines(3)},
        steps=3_000,
        replicates=5,
        summaries=log_total_return,
        points=log_returns,
    ),
    "g_and_k": Problem(
        bi.get_simulator("g_and_k"),
        bi.get_simulator("g_and_k").log_likelihood,
        of_long_chains,
        lambda: {"summary": bi.summaries.MLP(32, hidden=(128, 128)), "flow": splines(4)},
        steps=5_000,
        replicates=5,
        summaries=octiles,
        points=lambda data: np.arcsinh(data["x"])[..., None],
    ),
    "sir": Problem(
        bi.get_simulator("sir"),
        sir.log_likelihood,
        of_prior,
        lambda: {"summary": bi.summaries.MLP(32, hidden=(128, 128)), "flow": splines(4)},
        steps=5_000,
        replicates=20,
        summaries=log_cases,
        points=lambda data: log_cases(data)[..., None],
    ),
    "two_moons": Problem(
        bi.get_simulator("two_moons"),
        two_moons.log_likelihood,
        of_simulator,
        lambda: {"flow": splines(5, bins=16)},
        steps=4_000,
        replicates=100,
        points=lambda data: data["x"][:, None],
    ),
}
