"""Diffusion: a network learns to remove noise of every level."""

import math

import numpy as np
import tensorflow as tf

from bayesinn.core.validation import check_choice
from bayesinn.flows.matching.network import TimeNetwork
from bayesinn.flows.matching.solvers import FIXED_STEPS
from bayesinn.flows.matching.transport import Transport

# Standard deviations of the noise, for events of unit scale. For "variance preserving", the log of
# the signal-to-noise ratio goes to +-15.
_LEAST_NOISE = 2e-3
_MOST_NOISE = 80.0
_LOG_RATIO = 15.0
_SCHEDULES = ("edm", "variance preserving")


class Diffusion(Transport):
    r"""The flow along the probability-flow equation of a diffusion, from noise to events.

    The network F sees :math:`(x + \sigma n) / \sqrt{1 + \sigma^2}` and the logarithm of
    :math:`\sigma`. Training minimises :math:`|F - (\sigma x - n) / \sqrt{1 + \sigma^2}|^2`, the
    loss of Karras et al. for data of unit scale. It is not in nats; for standard normal events its
    minimum is 1 per element, at every noise level.

    Parameters
    ----------
    network : TimeNetwork, by default ``ResidualMLP()``
    schedule : {"edm", "variance preserving"}
        Noise levels of training and draws. Draws end at a noise of 0.002 ("edm") or 0.0006 of the
        prior's scale: a posterior that is as narrow comes out too wide.

        - "edm": in training, the logarithm of the noise level is normal with mean -1.2 and sd 1.2.
          Draws start from a level of 80.
        - "variance preserving": signal and noise are the cosine and sine of an angle, which is
          uniform in training. Draws follow it.
    solver : {"midpoint", "heun", "rk4"}
        Solver for draws and densities. With equal steps, "midpoint" was several times nearer to
        exact Gaussian posteriors than "heun", the authors' choice.
    steps : int, number of steps from noise to a draw
    density_steps : int, number of steps for a density or a code

    References
    ----------
    Karras et al. (2022), Elucidating the design space of diffusion-based generative models,
    arXiv:2206.00364.
    Salimans and Ho (2022), Progressive distillation for fast sampling of diffusion models,
    arXiv:2202.00512.

    Examples
    --------
    >>> import tensorflow as tf
    >>> flow = Diffusion(schedule="variance preserving")
    >>> flow.loss(tf.ones((10, 3)), tf.ones((10, 2)), seed=tf.constant([1, 2])).shape
    TensorShape([10])
    >>> flow.sample(100, condition=tf.ones((4, 2)), seed=(1, 2)).shape
    TensorShape([4, 100, 3])
    """

    # Noise levels span five orders of magnitude: too many for a clock in single precision.
    solvers = FIXED_STEPS

    def __init__(
        self,
        network: TimeNetwork | None = None,
        schedule: str = "edm",
        solver: str = "midpoint",
        steps: int = 18,
        density_steps: int = 64,
    ) -> None:
        super().__init__(network, solver, steps, density_steps)
        check_choice("Diffusion, argument 'schedule'", schedule, _SCHEDULES)
        self.schedule = schedule
        self.start = math.sqrt(1.0 + _MOST_NOISE**2) if schedule == "edm" else 1.0

    def times(self, steps: int) -> np.ndarray:
        """Return noise levels, or angles whose tangents are noise levels, from noise to events."""
        if self.schedule == "edm":
            ends = (_MOST_NOISE ** (1 / 7), _LEAST_NOISE ** (1 / 7))
            return np.linspace(*ends, steps + 1) ** 7
        least = math.atan(math.exp(-0.5 * _LOG_RATIO))
        return least + (0.5 * np.pi - 2.0 * least) * np.linspace(1.0, 0.0, steps + 1) ** 2

    def velocity(
        self, x: tf.Tensor, time: tf.Tensor, embedded: tf.Tensor | None = None
    ) -> tf.Tensor:
        times = tf.reshape(time, (-1,))
        if self.schedule == "variance preserving":
            return -self.output(x, tf.tan(times), embedded)
        level = self.as_column(times)
        scale = tf.sqrt(1.0 + level**2)
        return (x * level / scale - self.output(x / scale, times, embedded)) / scale

    def output(
        self,
        x: tf.Tensor,
        levels: tf.Tensor,
        embedded: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Return the network's output for noisy events of unit scale, at noise levels (n,)."""
        time = 0.25 * tf.math.log(tf.cast(levels, x.dtype))
        return self.network(x, time, embedded=embedded, training=training)

    def levels(self, uniforms: tf.Tensor) -> tf.Tensor:
        """Return noise levels for training (n,), from uniform numbers."""
        if self.schedule == "edm":
            # Next to 0 and 1 the normal quantile has no bound.
            inner = tf.clip_by_value(uniforms, 1e-6, 1.0 - 1e-6)
            return tf.exp(1.2 * tf.math.ndtri(inner) - 1.2)
        least = math.atan(math.exp(-0.5 * _LOG_RATIO))
        return tf.tan(least + (0.5 * np.pi - 2.0 * least) * uniforms)

    def noisy_loss(
        self,
        x: tf.Tensor,
        uniforms: tf.Tensor,
        noise: tf.Tensor,
        embedded: tf.Tensor | None,
        progress: tf.Tensor | float,
        training: bool,
    ) -> tf.Tensor:
        levels = self.levels(uniforms)
        level = self.as_column(levels)
        scale = tf.sqrt(1.0 + level**2)
        output = self.output((x + level * noise) / scale, levels, embedded, training)
        return self.sum_event((output - (level * x - noise) / scale) ** 2)
