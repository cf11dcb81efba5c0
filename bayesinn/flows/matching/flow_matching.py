"""Flow matching: a network learns the velocity of straight lines from noise to events."""

import numpy as np
import tensorflow as tf

from bayesinn.core.validation import check_number
from bayesinn.flows.matching.network import TimeNetwork
from bayesinn.flows.matching.transport import Transport


class FlowMatching(Transport):
    r"""The flow along the mean velocity of straight lines from noise (t = 0) to events (t = 1).

    Training minimises :math:`|v(x_t, t) - (x_1 - x_0)|^2` at :math:`x_t = (1-t)\,x_0 + t\,x_1`. The
    loss is not in nats. With uniform times its least value is
    :math:`\frac{\pi}{2}\,\mathrm{tr}\,S^{1/2}` for a Gaussian posterior with covariance S.

    Parameters
    ----------
    network : TimeNetwork, by default ``ResidualMLP()``
    late_times : float
        Exponent: training times have a density proportional to ``t ** late_times``. 0 is uniform; 1
        to 4 train more on late times, where the posterior's details form.
    solver : {"midpoint", "heun", "rk4", "adaptive"}
        Solver for draws and densities. "adaptive" chooses its steps, and takes a few times as long.
    steps : int
        Number of steps from noise to a draw; they are shorter towards the event. Each step calls
        the network twice, or four times with "rk4".
    density_steps : int
        Number of steps for a density or a code.

    References
    ----------
    Lipman et al. (2023), Flow matching for generative modeling, arXiv:2210.02747.
    Wildberger et al. (2023), Flow matching for scalable simulation-based inference,
    arXiv:2305.17161.

    Examples
    --------
    >>> import tensorflow as tf
    >>> flow = FlowMatching()
    >>> flow.loss(tf.ones((10, 3)), tf.ones((10, 2)), seed=tf.constant([1, 2])).shape
    TensorShape([10])
    >>> flow.sample(100, condition=tf.ones((4, 2)), seed=(1, 2)).shape
    TensorShape([4, 100, 3])
    """

    def __init__(
        self,
        network: TimeNetwork | None = None,
        late_times: float = 0.0,
        solver: str = "midpoint",
        steps: int = 8,
        density_steps: int = 32,
    ) -> None:
        super().__init__(network, solver, steps, density_steps)
        self.late_times = check_number(
            "FlowMatching, argument 'late_times'", late_times, least=0, do="pass 0, 1 or 4"
        )

    def times(self, steps: int) -> np.ndarray:
        # The velocity changes fastest where the posterior's details form.
        return 1.0 - np.linspace(1.0, 0.0, steps + 1) ** 2

    def velocity(
        self, x: tf.Tensor, time: tf.Tensor, embedded: tf.Tensor | None = None
    ) -> tf.Tensor:
        return self.network(x, tf.reshape(tf.cast(time, x.dtype), (1,)), embedded=embedded)

    def noisy_loss(
        self,
        x: tf.Tensor,
        uniforms: tf.Tensor,
        noise: tf.Tensor,
        embedded: tf.Tensor | None,
        progress: tf.Tensor | float,
        training: bool,
    ) -> tf.Tensor:
        times = uniforms ** (1.0 / (1.0 + self.late_times))
        share = self.as_column(times)
        place = (1.0 - share) * noise + share * x
        velocity = self.network(place, times, embedded=embedded, training=training)
        return self.sum_event((velocity - (x - noise)) ** 2)
