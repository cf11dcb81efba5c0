"""The convolutional network inside couplings of images."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import keras

from bayesinn.bijections.subnet import DType, Subnet
from bayesinn.core.dropout import Dropout


@dataclasses.dataclass(frozen=True, repr=False)
class Convolutional(Subnet):
    """Convolutions that keep the size of an image, the first and the last with a wide kernel.

    Those in between see single pixels. The last one starts at zero. See Kingma and Dhariwal (2018),
    Glow, arXiv:1807.03039.

    Parameters
    ----------
    filters : sequence of int, channels of the hidden layers
    kernel_size : int, pixels along each side that the first and the last layer see
    activation : str, any that Keras knows
    dropout : float, share of hidden units dropped in training

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", tuple(self.filters))

    def network(self, features: int, outputs: int, dtype: DType = None) -> keras.Sequential:
        """Make the network (n, height, width, features) -> (n, height, width, outputs)."""
        layers: list[keras.layers.Layer] = []
        kernel_size = self.kernel_size
        for count in self.filters:
            layers.append(
                keras.layers.Conv2D(
                    count, kernel_size, padding="same", activation=self.activation, dtype=dtype
                )
            )
            if self.dropout > 0:
                layers.append(Dropout(self.dropout, dtype=dtype))
            kernel_size = 1
        last = keras.layers.Conv2D(
            outputs, self.kernel_size, padding="same", kernel_initializer="zeros", dtype=dtype
        )
        return keras.Sequential([*layers, last])
