"""Levels of an image: after each level, a part of the channels is finished."""

import math
from collections.abc import Iterator, Sequence

import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, as_vectors, constant_log_det
from bayesinn.bijections.chain import Chain
from bayesinn.core.configuration import Configured
from bayesinn.core.validation import check_number


class MultiScale(Chain):
    """Apply levels one after another, each to the channels that the last one did not finish.

    After each level but the last, the last channels become latent elements, and the first channels
    go on to the next level. All latent elements together are one vector: first those of the first
    level, pixel by pixel. That saves most of the work on large images, and the first levels
    describe only details. A level is a bijection of images, most often a :class:`Chain` that begins
    with :class:`Haar`, which puts averages first. The last level may end in a vector.

    With ``Chain(..., reversible=True)`` as levels, training stores one activation for each level.

    Parameters
    ----------
    levels : sequence of Bijection, each an object of its own
    finished : float, share of the channels that each level finishes; at least one channel goes on

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP, arXiv:1605.08803.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.bijections import Chain, Coupling, Haar
    >>> levels = [Chain([Haar(), Coupling(hidden=(16,))]) for _ in range(3)]
    >>> MultiScale(levels).forward(tf.ones((10, 32, 32, 3)))[0].shape
    TensorShape([10, 3072])
    """

    event_rank = 3  # type: ignore[assignment]

    def __init__(self, levels: Sequence[Bijection], finished: float = 0.5) -> None:
        super().__init__(levels)
        check_number(
            "MultiScale, argument 'finished'",
            finished,
            least=0,
            below=1,
            do="take 0.5, or 0.75 to go on with what Haar puts first",
        )
        self.finished = finished

    @property
    def final_rotation(self) -> None:
        # The vector of the last level is a part of the latent elements.
        return None

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        shape = tuple(event_shape)
        self.sizes = []
        for level in self.bijections:
            level.build(shape, condition_shape)
            self.sizes.append(self._sizes(level.latent_shape[-1]))
            shape = *level.latent_shape[:-1], self.sizes[-1][0]
        Bijection.build(self, event_shape, condition_shape)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (math.prod(event_shape),)

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        total = constant_log_det(x)
        parts = []
        for level, sizes in zip(self.bijections[:-1], self.sizes, strict=False):
            x, log_det = level.forward(x, condition)
            x, finished = tf.split(x, sizes, axis=-1)
            parts.append(as_vectors(finished))
            total += log_det
        x, log_det = self.bijections[-1].forward(x, condition)
        return tf.concat([*parts, as_vectors(x)], axis=-1), total + log_det

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        shapes = [
            (*level.latent_shape[:-1], sizes[1])
            for level, sizes in zip(self.bijections[:-1], self.sizes, strict=False)
        ]
        shapes.append(self.bijections[-1].latent_shape)
        parts = tf.split(z, [math.prod(shape) for shape in shapes], axis=-1)
        finished = [
            # Not -1 rows: a level may finish no channels, and nothing has any number of rows.
            tf.reshape(part, (tf.shape(z)[0], *shape))
            for part, shape in zip(parts, shapes, strict=True)
        ]
        x, total = self.bijections[-1].inverse(finished.pop(), condition)
        for level in reversed(self.bijections[:-1]):
            x, log_det = level.inverse(tf.concat([x, finished.pop()], axis=-1), condition)
            total += log_det
        return x, total

    def walk(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> Iterator[tuple[Bijection, tf.Tensor]]:
        for level, sizes in zip(self.bijections, self.sizes, strict=True):
            yield level, x
            x, _ = level.forward(x, condition)
            x = x[..., : sizes[0]]

    def __repr__(self) -> str:
        return Configured.__repr__(self)

    def _sizes(self, channels: int) -> tuple[int, int]:
        """Return how many channels go on, and how many a level finishes."""
        finished = min(round(self.finished * channels), channels - 1)
        return channels - finished, finished
