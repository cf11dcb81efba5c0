"""Dropout whose random numbers XLA draws as quickly as TensorFlow does."""

import keras
import tensorflow as tf


class Dropout(keras.layers.Dropout):
    """Keras' dropout with a named generator of random numbers.

    Keras leaves the choice to the compiler, and XLA's own choice is slow: on a CPU, a training step
    of 1.6 ms took 51 ms. The arguments are those of Keras: ``rate``, the share of elements that are
    dropped in training, and ``seed``.

    Examples
    --------
    >>> import tensorflow as tf
    >>> layer = Dropout(0.5, seed=1)
    >>> sorted(set(layer(tf.ones((2, 50)), training=True).numpy().ravel().tolist()))
    [0.0, 2.0]
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Set a share ``rate`` of the elements to zero while training, and scale up the others."""
        if not training or self.rate == 0.0:
            return inputs
        # As Keras does: XLA takes no other type of seed.
        seed = tf.cast(tf.math.floormod(self.seed_generator.next(), tf.int32.max - 1), tf.int32)
        shape = self.noise_shape and [
            size or tf.shape(inputs)[axis] for axis, size in enumerate(self.noise_shape)
        ]
        return tf.nn.experimental.stateless_dropout(
            inputs, self.rate, seed, rng_alg="philox", noise_shape=shape
        )
