"""No compression: the data themselves."""

import math

import tensorflow as tf

from bayesinn.summaries.summary import Summary


class Identity(Summary):
    """Return the data unchanged, as flat vectors: for a few numbers, or an expert's statistics.

    Examples
    --------
    >>> import tensorflow as tf
    >>> Identity()(tf.ones((10, 4, 2))).shape
    TensorShape([10, 8])
    """

    masks = False

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return tf.reshape(x, (-1, math.prod(x.shape[1:])))
