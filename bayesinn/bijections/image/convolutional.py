"""The convolutional network inside couplings of images."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import keras
import tensorflow as tf

from bayesinn.bijections.subnet import DType, Subnet, check_fields
from bayesinn.core.dropout import Dropout


@dataclasses.dataclass(frozen=True, repr=False)
class Convolutional(Subnet):
    """Convolutions that keep the size of an image; the first and the last have a wide kernel.

    The layers in between see single pixels. The last layer starts at zero. See Kingma and Dhariwal
    (2018), Glow, arXiv:1807.03039.

    Parameters
    ----------
    filters : sequence of int, channels of the hidden layers
    kernel_size : int, side of the kernel of the first and the last layer, in pixels
    activation : str, name of a Keras activation
    dropout : float, share of hidden units dropped in training
    gated : bool
        Whether the first layer multiplies two convolutions, in place of the activation (Shazeer
        2020, GLU variants improve transformer, arXiv:2002.05202). It suits images in which one part
        scales another, as the brightness of a pixel scales its colours.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.bijections import Coupling
    >>> block = Coupling(subnet=Convolutional(filters=(32, 32)))
    >>> block.forward(tf.ones((10, 8, 8, 4)))[0].shape
    TensorShape([10, 8, 8, 4])
    """

    xla_pays: ClassVar[bool] = False

    filters: Sequence[int] = (64, 64)
    kernel_size: int = 3
    activation: str = "relu"
    dropout: float = 0.0
    gated: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        # Plain integers, which Keras wants.
        object.__setattr__(self, "filters", tuple(map(int, self.filters)))
        object.__setattr__(self, "kernel_size", int(self.kernel_size))

    def network(self, features: int, outputs: int, dtype: DType = None) -> keras.Sequential:
        """Make the network (n, height, width, features) -> (n, height, width, outputs)."""
        layers: list[keras.layers.Layer] = []
        kernel_size = self.kernel_size
        gated = self.gated
        for count in self.filters:
            layers.append(
                keras.layers.Conv2D(
                    2 * count if gated else count,
                    kernel_size,
                    padding="same",
                    activation=None if gated else self.activation,
                    dtype=dtype,
                )
            )
            if gated:
                layers.append(_Gate(dtype=dtype))
            if self.dropout > 0:
                layers.append(Dropout(self.dropout, dtype=dtype))
            kernel_size = 1
            gated = False
        last = keras.layers.Conv2D(
            outputs, self.kernel_size, padding="same", kernel_initializer="zeros", dtype=dtype
        )
        return keras.Sequential([*layers, last])


class _Gate(keras.layers.Layer):
    """The product of both halves of the channels."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        first, second = tf.split(x, 2, axis=-1)
        return first * second
