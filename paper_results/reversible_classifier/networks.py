"""A reversible classifier of images, and a residual network of the same size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from bayesinn.bijections import Additive, Bijection, Chain, Convolutional, Coupling, Haar


@dataclass(frozen=True)
class Size:
    """Sizes of a network of two stages; the second has half the resolution, and all channels."""

    stride: int
    channels: int
    hidden: int
    #: Reversible blocks in each stage.
    blocks: int


class RevNet(keras.Model):
    """Reversible blocks between a convolution and a linear head: what a user writes."""

    def __init__(
        self, event: Sequence[int], classes: int, size: Size, reversible: bool = True
    ) -> None:
        super().__init__()
        self.stem = keras.layers.Conv2D(size.channels, 3, size.stride, padding="same")
        self.body = Chain([*_blocks(size), Haar(rebalance=0.5), *_blocks(size)], reversible)
        self.body.build((event[0] // size.stride, event[1] // size.stride, size.channels))
        self.head = _head(classes)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Return log odds (n, classes), up to a constant, of images."""
        features, _ = self.body.forward(self.stem(x))
        return self.head(features)


def _blocks(size: Size) -> list[Bijection]:
    subnet = Convolutional((size.hidden,))
    return [Coupling(Additive(), subnet=subnet) for _ in range(size.blocks)]


class ResNet(keras.Model):
    """Residual units with as many convolutions and weights; a block above is worth two of them.

    The two networks of a block see half of the channels each. So a unit, whose network sees all,
    has half of the hidden channels.
    """

    def __init__(self, event: Sequence[int], classes: int, size: Size) -> None:
        super().__init__()
        self.stem = keras.layers.Conv2D(size.channels, 3, size.stride, padding="same")
        self.first = _units(size, size.channels)
        self.halve = Haar(rebalance=0.5)
        self.second = _units(size, 4 * size.channels)
        self.head = _head(classes)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Return log odds (n, classes), up to a constant, of images."""
        features = self.stem(x)
        for unit in self.first:
            features += unit(features)
        features, _ = self.halve.forward(features)
        for unit in self.second:
            features += unit(features)
        return self.head(features)


def _units(size: Size, channels: int) -> list[keras.Sequential]:
    subnet = Convolutional((size.hidden // 2,))
    return [subnet.network(channels, channels) for _ in range(2 * size.blocks)]


def _head(classes: int) -> keras.Sequential:
    layers = keras.layers
    return keras.Sequential([layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(classes)])


NETWORKS: dict[str, Callable[[Sequence[int], int, Size], keras.Model]] = {
    "ResNet": ResNet,
    "RevNet, stored": lambda event, classes, size: RevNet(event, classes, size, False),
    "RevNet": RevNet,
}


def make(name: str, event: Sequence[int], classes: int, size: Size, seed: int) -> keras.Model:
    """Return a new network with its weights."""
    keras.utils.set_random_seed(seed)
    network = NETWORKS[name](event, classes, size)
    network(tf.zeros((1, *event)))
    return network
