"""Consistency models: a network jumps from noise to an event in one or a few calls."""

import math

import numpy as np
import scipy
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.validation import check_integer, check_number
from bayesinn.flows.matching.network import TimeNetwork
from bayesinn.flows.matching.noise import NoiseFlow, normal_like

# Time at which nothing is left to do: the noise level of a draw.
_LEAST_TIME = 1e-3
# Distances well below it are squared, for each element; those above count as they are. Larger than
# the 0.00054 of images, with which a posterior with two modes was learned less well in as many
# steps.
_CORNER = 0.03
# Training times are lognormal.
_LOG_MEAN = -1.1
_LOG_SD = 2.0


class Consistency(NoiseFlow):
    r"""The map from any point of a diffusion's path to its end, for draws in one or few calls.

    The path is :math:`x + t z`, with standard normal z. Training makes outputs at neighbouring
    times agree; between them are ever more steps as it proceeds. There is no density, and the loss
    has no meaning in nats.

    One call shrinks the posterior: for a Gaussian one with mean m and sd s it gives the mean
    :math:`m\,(1 - r)` and the sd :math:`T r`, with :math:`r = s / \sqrt{s^2 + T^2}` and T the
    largest time.

    Parameters
    ----------
    network : TimeNetwork, by default ``ResidualMLP()``
    largest_time : float
        Larger ones shrink less, and are harder to learn.
    steps : int
        Calls for a draw: after the first, noise is added and removed again.
    first_grid, last_grid : int
        Numbers of times between which outputs are to agree, at the beginning and at the end of
        training; they double in between.

    References
    ----------
    Song et al. (2023), Consistency models, arXiv:2303.01469.
    Song and Dhariwal (2023), Improved techniques for training consistency models, arXiv:2310.14189.
    Schmitt et al. (2023), Consistency models for scalable and fast simulation-based inference,
    arXiv:2312.05440.

    Examples
    --------
    >>> import tensorflow as tf
    >>> flow = Consistency(steps=2)
    >>> flow.loss(tf.ones((10, 3)), tf.ones((10, 2)), seed=tf.constant([1, 2])).shape
    TensorShape([10])
    >>> flow.sample(100, condition=tf.ones((4, 2)), seed=(1, 2)).shape
    TensorShape([4, 100, 3])
    """

    def __init__(
        self,
        network: TimeNetwork | None = None,
        largest_time: float = 10.0,
        steps: int = 1,
        first_grid: int = 10,
        last_grid: int = 160,
    ) -> None:
        super().__init__(network)
        subject = "Consistency, argument"
        self.largest_time = check_number(
            f"{subject} 'largest_time'", largest_time, least=1, do="pass a number from 1 to 80"
        )
        self.steps = check_integer(f"{subject} 'steps'", steps)
        self.first_grid = check_integer(f"{subject} 'first_grid'", first_grid)
        self.last_grid = check_integer(
            f"{subject} 'last_grid'", last_grid, first_grid, do="pass at least first_grid"
        )

    def clean(
        self,
        x: tf.Tensor,
        times: tf.Tensor,
        embedded: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Return the ends (n, *event) of paths through x (n, *event) at times (n,) or (1,).

        At the least time, 0.001, they are x itself.
        """
        column = self.as_column(times)
        rest = column - _LEAST_TIME
        scale = tf.sqrt(1.0 + column**2)
        output = self.network(
            x / scale, 0.25 * tf.math.log(times), embedded=embedded, training=training
        )
        return x / (1.0 + rest**2) + output * rest / scale

    def from_noise(self, z: tf.Tensor, embedded: tf.Tensor | None, seed: tf.Tensor) -> tf.Tensor:
        x = self.largest_time * z
        times = self.time(np.linspace(1.0, 0.0, self.steps + 1))
        for number, time in enumerate(times[:-1]):
            if number:
                noise = normal_like(x, seeds.fold_in(seed, number))
                x += math.sqrt(time**2 - _LEAST_TIME**2) * noise
            x = self.clean(x, tf.constant([time], x.dtype), embedded)
        return x

    def time(self, place: tf.Tensor) -> tf.Tensor:
        """Return times of places on the grid, from 0, the least time, to 1, the largest."""
        least = _LEAST_TIME ** (1 / 7)
        return (least + place * (self.largest_time ** (1 / 7) - least)) ** 7

    def noisy_loss(
        self,
        x: tf.Tensor,
        uniforms: tf.Tensor,
        noise: tf.Tensor,
        embedded: tf.Tensor | None,
        progress: tf.Tensor | float,
        training: bool,
    ) -> tf.Tensor:
        earlier, later = self.neighbours(uniforms, progress)
        end = self.clean(x + self.as_column(later) * noise, later, embedded, training)
        target = self.clean(x + self.as_column(earlier) * noise, earlier, embedded, training)
        squares = self.sum_event((end - tf.stop_gradient(target)) ** 2)
        # The pseudo-Huber distance.
        corner = _CORNER * math.sqrt(math.prod(self.event_shape))
        return (tf.sqrt(squares + corner**2) - corner) / (later - earlier)

    def neighbours(
        self, uniforms: tf.Tensor, progress: tf.Tensor | float
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return neighbouring times of the grid (n,), the earlier and the later, for training."""
        dtype = uniforms.dtype
        doublings = math.log2(self.last_grid / self.first_grid)
        stage = tf.floor(tf.cast(progress, dtype) * (math.floor(doublings) + 1.0))
        count = tf.floor(tf.minimum(self.first_grid * 2.0**stage, float(self.last_grid)))
        # A lognormal time within the grid, then the interval of the grid that it lies in.
        ends = np.log([_LEAST_TIME, self.largest_time])
        below, above = scipy.stats.norm(_LOG_MEAN, _LOG_SD).cdf(ends).tolist()
        inner = tf.math.ndtri(below + (above - below) * uniforms)
        root = tf.exp((_LOG_SD * inner + _LOG_MEAN) / 7.0)
        least = _LEAST_TIME ** (1 / 7)
        place = (root - least) / (self.largest_time ** (1 / 7) - least)
        number = tf.clip_by_value(tf.floor(count * place), 0.0, count - 1.0)
        return self.time(number / count), self.time((number + 1.0) / count)
