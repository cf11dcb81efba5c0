"""A flow of photographs from coarse to fine: at each resolution, details given averages.

Yu, Derpanis and Brubaker (2020), Wavelet Flow, arXiv:2010.13821.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from pictures import Pictures

import bayesinn as bi
from bayesinn import bijections as bj, flows
from bayesinn.bijections.bijection import constant_log_det

_COLOURS = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
_COLOURS /= np.linalg.norm(_COLOURS, axis=1, keepdims=True)


def picture_prior(pictures: Pictures) -> bi.Samples:
    """Return a prior that is the first pictures with noise: pixels keep their scale."""
    return bi.Samples(pictures.dequantised(pictures.train[:2_000], 0), noise=1.0 / pictures.levels)


def wavelets(
    pictures: Pictures, levels: int = 4, blocks: int = 3, filters: int = 32, maps: int = 16
) -> flows.Flow:
    """Return a flow of colours, the details of each level given its averages."""
    parts: list[bj.Bijection] = [
        bj.Chain([bj.Haar(rebalance=0.5), Details(blocks, filters, maps)]) for _ in range(levels)
    ]
    coarsest: list[bj.Bijection] = [bj.Reshape()]
    for _ in range(3):
        coarsest += [bj.ActNorm(), bj.LULinear(), bj.Coupling(hidden=(64, 64))]
    parts.append(bj.Chain(coarsest))
    scales = bj.MultiScale(parts, finished=0.75)
    chain = bj.Chain([bj.Reshape(pictures.shape), Opponent(), bj.ActNorm(), scales])
    return flows.InvertibleFlow(chain)


class Opponent(bj.Bijection):
    """Rotate red, green and blue to brightness and two colours, which are nearly uncorrelated."""

    event_rank = 3
    reads = None

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.einsum("nhwc,dc->nhwd", x, tf.constant(_COLOURS, x.dtype)), constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.einsum("nhwd,dc->nhwc", z, tf.constant(_COLOURS, z.dtype)), constant_log_det(z)


class Details(bj.Bijection):
    """Transform the last three quarters of the channels given the first, which stay.

    One network makes maps of the averages, which the couplings of all blocks read.
    """

    event_rank = 3
    reads = None
    xla_pays = False

    def __init__(self, blocks: int, filters: int, maps: int) -> None:
        super().__init__()
        self.maps = maps
        self.network = keras.Sequential(
            [keras.layers.Conv2D(maps, 3, padding="same", activation="relu") for _ in range(2)]
        )
        links: list[bj.Bijection] = []
        for block in range(blocks):
            links += [bj.ActNorm()] if block == 0 else [bj.ActNorm(), bj.LULinear()]
            subnet = bj.Convolutional((filters, filters))
            links.append(bj.Coupling(bj.Affine(clamp=2.5), subnet=subnet, reads="maps"))
        self.chain = bj.Chain([*links, bj.ActNorm()])

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        height, width, channels = self.event_shape
        averages = channels // 4
        self.sizes = averages, channels - averages
        self.network.build((None, height, width, averages))
        self.chain.build((height, width, self.sizes[1]), {"maps": (height, width, self.maps)})

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        averages, details = tf.split(x, self.sizes, axis=-1)
        details, log_det = self.chain.forward(details, {"maps": self.network(averages)})
        return tf.concat([averages, details], axis=-1), log_det

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        averages, details = tf.split(z, self.sizes, axis=-1)
        details, log_det = self.chain.inverse(details, {"maps": self.network(averages)})
        return tf.concat([averages, details], axis=-1), log_det

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        averages, details = tf.split(x, self.sizes, axis=-1)
        self.chain.initialize(details, {"maps": self.network(averages)})
