"""Flows along a differential equation, whose solution gives draws, codes and densities."""

import math

import numpy as np
import tensorflow as tf

from bayesinn.core.validation import check_choice, check_integer
from bayesinn.flows.matching.divergence import directions, with_divergence
from bayesinn.flows.matching.network import TimeNetwork
from bayesinn.flows.matching.noise import NoiseFlow
from bayesinn.flows.matching.solvers import SOLVERS, integrate


class Transport(NoiseFlow):
    """A flow along a differential equation, from noise at one time to events at another."""

    density = "costly"
    codes = True
    #: Standard deviation of the noise at the first time.
    start: float = 1.0
    solvers: tuple[str, ...] = SOLVERS

    def __init__(
        self, network: TimeNetwork | None, solver: str, steps: int, density_steps: int
    ) -> None:
        super().__init__(network)
        owner = type(self).__name__
        check_choice(f"{owner}, argument 'solver'", solver, self.solvers)
        self.solver = solver
        self.steps = check_integer(f"{owner}, argument 'steps'", steps)
        self.density_steps = check_integer(f"{owner}, argument 'density_steps'", density_steps)

    def times(self, steps: int) -> np.ndarray:
        """Return the times (steps + 1,) between steps, from noise to events."""
        raise NotImplementedError

    def velocity(
        self, x: tf.Tensor, time: tf.Tensor, embedded: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return dx/dt (n, *event) at events x and a time (); diffusions also allow times (n,)."""
        raise NotImplementedError

    def from_noise(self, z: tf.Tensor, embedded: tf.Tensor | None, seed: tf.Tensor) -> tf.Tensor:
        return integrate(
            lambda time, x: self.velocity(x, time, embedded),
            self.start * z,
            self.times(self.steps),
            self.solver,
        )

    def decode(self, z: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Return the events (n, *event) at the ends of paths from noise (n, *event)."""
        return self.from_noise(z, self.embedded(condition), tf.zeros((2,), tf.int32))

    def encode(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Return the noise (n, *event) whose paths end in events (n, *event)."""
        self.build_for(x, condition)
        embedded = self.embedded(condition)
        noise = integrate(
            lambda time, state: self.velocity(state, time, embedded),
            x,
            self.times(self.density_steps)[::-1],
            self.solver,
        )
        return noise / self.start

    def log_prob(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Return log densities (n,), from the divergence of the velocity along the path to noise.

        The divergence is exact for events of up to 20 elements, and estimated for more.
        """
        self.build_for(x, condition)
        embedded = self.embedded(condition)
        vectors = directions(self.event_shape)

        def velocity(time: tf.Tensor, state: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
            return with_divergence(lambda x: self.velocity(x, time, embedded), state[0], vectors)

        x = tf.convert_to_tensor(x)
        state = (x, tf.zeros_like(self.sum_event(x)))
        times = self.times(self.density_steps)[::-1]
        noise, log_det = integrate(velocity, state, times, self.solver)
        size = math.prod(self.event_shape)
        return self.latent.log_prob(noise / self.start) - size * math.log(self.start) + log_det
