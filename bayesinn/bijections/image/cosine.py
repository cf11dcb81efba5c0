"""The cosine transform of whole images, as pooling."""

from collections.abc import Sequence

import numpy as np
import scipy
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, constant_log_det


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

    @property
    def final_rotation(self) -> Bijection:
        return self

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
