"""A fixed random permutation of the channels, so that the next coupling splits them differently."""

import random
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, constant_log_det
from bayesinn.bijections.mixing import mixing


@mixing("permutation")
class Permutation(Bijection):
    """Reorder the channels by a random permutation that is drawn once and saved with the weights.

    The channels of a vector are its elements. The permutation is never the identity, which would
    leave a small vector unmixed half the time.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Permutation().forward(tf.constant([[1.0, 2.0]]))
    >>> z.numpy().tolist(), log_det.numpy().tolist()
    ([[2.0, 1.0]], [0.0])
    """

    event_rank = None
    reads = None

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        order = list(range(self.channels))
        while self.channels > 1 and order == sorted(order):
            random.shuffle(order)
        self.order = self.add_fixed("order", np.array(order), "int32")
        self.inverse_order = self.add_fixed("inverse_order", np.argsort(order), "int32")

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(x, tf.convert_to_tensor(self.order), axis=-1), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(z, tf.convert_to_tensor(self.inverse_order), axis=-1), constant_log_det(z)
