"""Bijections of images (height, width, channels): resolutions, wavelets, levels."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import scipy
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, as_vectors, constant_log_det
from bayesinn.bijections.chain import Chain
from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError, check_number


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


class SpaceToDepth(Bijection):
    """Turn each block of 2 x 2 pixels into one pixel with four times the channels.

    The channels of the upper left pixels come first, then upper right, lower left, lower right.
    Height and width must be even. See Dinh, Sohl-Dickstein and Bengio (2017), Density estimation
    using Real NVP, arXiv:1605.08803.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = SpaceToDepth().forward(tf.ones((10, 8, 6, 3)))
    >>> z.shape
    TensorShape([10, 4, 3, 12])
    """

    event_rank = 3
    reads = None

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        height, width, channels = event_shape
        if height % 2 or width % 2:
            raise InputError(
                f"{type(self).__name__}, shape of events",
                expected="an even height and an even width",
                got=f"{event_shape}",
                do="pad or crop the images, or take fewer levels",
            )
        return height // 2, width // 2, 4 * channels

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.nn.space_to_depth(x, 2), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.nn.depth_to_space(z, 2), constant_log_det(z)


class Haar(SpaceToDepth):
    """Turn each block of 2 x 2 pixels into its average, and its three differences, as channels.

    The averages of all channels come first, then differences from left to right, from top to
    bottom, and along the diagonals. By default the transform is a rotation: averages are sums
    divided by two, which doubles their size where neighbours are alike. Height and width must be
    even. See Ardizzone et al. (2019), Guided image generation with conditional invertible neural
    networks, arXiv:1907.02392.

    Parameters
    ----------
    rebalance : float, factor of all channels; 0.5 keeps the size of averages over many levels

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Haar().forward(tf.constant([[[[1.0], [2.0]], [[3.0], [4.0]]]]))
    >>> z.numpy().ravel().tolist(), float(log_det[0])
    ([5.0, -1.0, -2.0, 0.0], 0.0)
    """

    def __init__(self, rebalance: float = 1.0) -> None:
        super().__init__()
        check_number(
            "Haar, argument 'rebalance'", rebalance, above=0, do="leave it out, or take 0.5"
        )
        self.rebalance = rebalance

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, _ = super().forward(x, condition)
        log_det = constant_log_det(x, self.dimension * math.log(self.rebalance))
        return _wavelets(pixels, 0.5 * self.rebalance), log_det

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        x, _ = super().inverse(_wavelets(z, 0.5 / self.rebalance), condition)
        return x, constant_log_det(z, -self.dimension * math.log(self.rebalance))


def _wavelets(blocks: tf.Tensor, factor: float) -> tf.Tensor:
    """Combine the four quarters of the channels; with factor one half, twice is the identity."""
    upper_left, upper_right, lower_left, lower_right = tf.split(blocks, 4, axis=-1)
    upper = upper_left + upper_right
    lower = lower_left + lower_right
    upper_change = upper_left - upper_right
    lower_change = lower_left - lower_right
    parts = [upper + lower, upper_change + lower_change, upper - lower, upper_change - lower_change]
    return factor * tf.concat(parts, axis=-1)


class DCTPooling(Bijection):
    """Turn an image into the vector of its cosine coefficients, low frequencies first.

    The transform (DCT-II) is a rotation of each channel. The first elements are the averages of
    the channels, times the root of the number of pixels: what average pooling would keep. See
    Jacobsen, Behrmann, Zemel and Bethge (2019), Excessive invariance causes adversarial
    vulnerability, arXiv:1811.00401.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = DCTPooling().forward(tf.ones((1, 2, 2, 1)))
    >>> [round(float(value), 3) for value in z[0]]
    [2.0, 0.0, 0.0, 0.0]
    """

    event_rank = 3
    reads = None

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        height, width, _ = self.event_shape
        self.rows = scipy.fft.dct(np.eye(height), axis=0, norm="ortho")
        self.columns = scipy.fft.dct(np.eye(width), axis=0, norm="ortho")
        squares = np.add.outer((np.arange(height) / height) ** 2, (np.arange(width) / width) ** 2)
        self.order = np.argsort(squares.ravel(), kind="stable")
        self.inverse_order = np.argsort(self.order)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        height, width, channels = event_shape
        return (height * width * channels,)

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        z = self._rotate("nhwc,uh,vw->nuvc", x)
        z = tf.gather(tf.reshape(z, (-1, self.pixels, self.channels)), self.order, axis=1)
        return tf.reshape(z, (-1, self.dimension)), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.reshape(z, (-1, self.pixels, self.channels))
        x = tf.reshape(tf.gather(x, self.inverse_order, axis=1), (-1, *self.event_shape))
        return self._rotate("nuvc,uh,vw->nhwc", x), constant_log_det(z)

    def _rotate(self, axes: str, x: tf.Tensor) -> tf.Tensor:
        rows = tf.constant(self.rows, x.dtype)
        columns = tf.constant(self.columns, x.dtype)
        return tf.einsum(axes, x, rows, columns)


class Reshape(Bijection):
    """Give events another shape; their elements keep their order.

    A posterior's parameters are a vector. ``Reshape((8, 8, 1))`` makes it an image, for bijections
    of images; ``Reshape()`` makes an image a vector.

    Parameters
    ----------
    shape : sequence of int, such as (height, width, channels); by default one axis

    Examples
    --------
    >>> import tensorflow as tf
    >>> Reshape((2, 3, 1)).forward(tf.ones((10, 6)))[0].shape
    TensorShape([10, 2, 3, 1])
    """

    event_rank = None
    reads = None

    def __init__(self, shape: Sequence[int] | None = None) -> None:
        super().__init__()
        self.shape = None if shape is None else tuple(shape)

    def output_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        shape = self.shape or (math.prod(event_shape),)
        if math.prod(shape) != math.prod(event_shape):
            raise InputError(
                "Reshape, argument 'shape'",
                expected=f"a shape of {math.prod(event_shape)} elements",
                got=f"{shape}, {math.prod(shape)} elements",
                do="give the shape of the image that an event is",
            )
        return shape

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reshape(x, (-1, *self.latent_shape)), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reshape(z, (-1, *self.event_shape)), constant_log_det(z)
