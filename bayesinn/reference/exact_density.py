"""The exact posterior density up to a factor: of arrays, and in the graph where that works."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.compilation import compiled, map_tensors
from bayesinn.core.warning import warn
from bayesinn.reference.importance import call_likelihood, check_log_likelihood
from bayesinn.reference.nuts import NUTS
from bayesinn.reference.smc_target import Target, Tensors, Traced, in_graph, of_arrays, tensors_of
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.observations import data_shapes
from bayesinn.spaces.parameters import ParameterSpace


class ExactDensity:
    """Prior times likelihood of a simulator, given one observation, compiled once for all.

    Parameters
    ----------
    simulator : Simulator
    log_likelihood : function ``(parameters, data)``
        Of tensors, if it can be traced (``in_graph``), or of arrays.
    """

    def __init__(self, simulator: Simulator, log_likelihood: Callable[..., Any]) -> None:
        self.simulator = simulator
        self.space = ParameterSpace(simulator.prior, seed=0)
        shapes = data_shapes(simulator)
        ones = {name: np.ones(shape) for name, shape in shapes.items()}
        self._any_data = tensors_of(simulator, ones)
        trial = simulator.prior.sample(2, seeds.tensor_seed(0, "pilot"))
        of_tensors = in_graph(log_likelihood, trial, self._any_data)
        self.in_graph = of_tensors is not None
        self._log_likelihood = tf.function(of_tensors) if of_tensors else log_likelihood
        self._traced = Traced(log_likelihood)
        #: The likelihood in the graph, with gradients if it is one of tensors.
        self.of_tensors = of_tensors or of_arrays(log_likelihood)
        # Where simulations fail, so may the likelihood: the prior is truncated.
        self._redraws = simulator.on_nonfinite == "redraw"
        self.target = Target(self.space, self.of_tensors, nan=self._redraws)
        self.sampler = NUTS(self._of_chains)

    def log_density(
        self, parameters: Arrays, data: Arrays, which: str, *, far: bool = False
    ) -> np.ndarray:
        """Return log densities (n,) of parameters (n, *event), checked; ``which`` observation.

        Where parameters are ``far`` from the data, what is undefined counts as zero, and is
        counted.
        """
        typed = self._typed(parameters)
        subject = f"Log likelihood of {which}"
        given = self.tensors(data)
        arguments: Any = typed, given
        if not self.in_graph:
            arguments = map_tensors(lambda value: value.numpy().copy(), arguments)
        found = call_likelihood(self._log_likelihood, *arguments)
        if far:
            undefined = np.isnan(found) | (found == np.inf)
            wrong = undefined & ~(self._redraws & np.isnan(found))
            self.target.undefined.assign_add(np.sum(wrong))
            found = np.where(undefined, -np.inf, found)
        values = check_log_likelihood(found, typed, subject, nan=self._redraws)
        count = len(values)
        if not far and count > 1 and np.isfinite(values[0]) and np.all(values == values[0]):
            warn(
                f"{subject} is the same for all {count:,} draws: check that it uses parameters.",
            )
        log_prior = self.log_prior(parameters)
        return np.where(np.isfinite(log_prior), values + log_prior, -np.inf)

    def log_prior(self, parameters: Arrays) -> np.ndarray:
        """Return log prior densities (n,) of parameters (n, *event)."""
        return self.space.prior_log_prob(self._typed(parameters)).numpy()

    def outdated(self, parameters: Arrays, data: Arrays) -> bool:
        """Return whether the likelihood of parameters (n, *event) has changed since it was traced.

        Ask a new density at once: the first call traces its likelihood.
        """
        return self._traced.changed(self._typed(parameters), self.tensors(data))

    def tensors(self, data: Arrays) -> dict[str, tf.Tensor]:
        """Return the arrays of one observation as tensors."""
        return tensors_of(self.simulator, data, precise=not self.in_graph)

    def vectors(self, parameters: Arrays) -> np.ndarray:
        """Return unconstrained vectors (n, d) of parameters (n, *event)."""
        return self.space.to_vector(parameters)[0].numpy()

    def parameters(self, vectors: np.ndarray) -> Arrays:
        """Return parameters (n, *event) of unconstrained vectors (n, d)."""
        found = self.space.from_vector(tf.constant(vectors))
        dtypes = self.simulator.prior.dtypes
        return {name: np.asarray(value, dtypes[name]) for name, value in found.items()}

    def _typed(self, parameters: Arrays) -> dict[str, tf.Tensor]:
        dtypes = self.simulator.prior.dtypes
        return {name: tf.constant(parameters[name], dtypes[name]) for name in self.space.names}

    def of_vectors(self, vectors: tf.Tensor, data: Tensors) -> tf.Tensor:
        """Return log densities (n,) of unconstrained vectors (n, d), in the graph."""
        found = self.target(vectors, data)
        return found.log_prior + found.log_likelihood

    @functools.cached_property
    def obstacle(self) -> str:
        """Why NUTS can't use it; empty if it can."""
        if not self.in_graph:
            return "a likelihood of arrays has no gradients"

        def slope(vectors: tf.Tensor, data: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(vectors)
                value = self.of_vectors(vectors, data)
            return value, tape.gradient(value, vectors)

        trial = tf.zeros((2, self.space.dimension))
        return compiled(slope, trial, self._any_data, xla="auto", subject="the likelihood").note

    def _of_chains(self, vectors: tf.Tensor, data: Tensors) -> tf.Tensor:
        """Return log densities (1, chains) of vectors (1, chains, d) and data (1, ...)."""
        return self.of_vectors(vectors[0], {name: value[0] for name, value in data.items()})[None]
