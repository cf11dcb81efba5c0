"""Arithmetic of networks: full single precision, Keras' settings, products, dropout."""

# ruff: noqa: E402

import os

from bayesinn.core.errors import InputError
from bayesinn.core.process import ProcessSetting


def _check_backend(chosen: str) -> None:
    if chosen != "tensorflow":
        raise InputError(
            "Backend of Keras",
            expected="'tensorflow'",
            got=repr(chosen),
            do='set KERAS_BACKEND=tensorflow, or os.environ["KERAS_BACKEND"] = "tensorflow" before '
            "Keras is imported",
        )


# Before Keras: the import of a backend that is not installed fails. Packages of networks import
# this module first.
_check_backend(os.environ.get("KERAS_BACKEND") or "tensorflow")

import keras
import tensorflow as tf
from keras import layers

_check_backend(keras.config.backend())

_setting = ProcessSetting(
    tf.config.experimental.tensor_float_32_execution_enabled,
    tf.config.experimental.enable_tensor_float_32_execution,
    False,
)


def full_precision() -> ProcessSetting:
    """Switch TensorFloat-32 off inside a ``with`` block, and back to the user's setting after it.

    On recent GPUs, TensorFlow rounds the factors of matrix products and convolutions to 10 bits of
    mantissa by default. A rotation forwards and backwards is then off by 1e-3, not 1e-6, and the
    log-determinant of a spline by up to 0.5.

    Operations read the setting when they run; XLA may also read it when it compiles, so the first
    call of a compiled function belongs into the block.

    Examples
    --------
    >>> import tensorflow as tf
    >>> with full_precision():
    ...     tf.config.experimental.tensor_float_32_execution_enabled()
    False
    >>> tf.config.experimental.tensor_float_32_execution_enabled()
    True
    """
    return _setting


def check_precision() -> None:
    """Raise unless Keras computes in single precision."""
    policy = keras.config.dtype_policy().name
    default = keras.config.floatx()
    if (policy, default) != ("float32", "float32"):
        raise InputError(
            "Precision of Keras",
            expected="float32, in which networks compute here",
            got=f"dtype policy {policy!r}, floatx {default!r}",
            do='call keras.config.set_floatx("float32") and '
            'keras.config.set_dtype_policy("float32"), or mend keras.json',
        )


check_precision()


# Not recurrent layers: a state that is a sum over hundreds of steps needs more than 8 bits.
_kinds: list[type] = [
    layers.Dense,
    layers.EinsumDense,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
]


def product[Kind: type[layers.Layer]](kind: Kind) -> Kind:
    """Decorate a layer with an ``activation`` whose products may be computed in bfloat16."""
    _kinds.append(kind)
    return kind


def is_product(layer: layers.Layer) -> bool:
    """Return whether the products of a layer may be computed in bfloat16."""
    return isinstance(layer, tuple(_kinds))


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
