"""The contract of elementwise transforms: monotone maps of single elements.

A network computes their parameters.
"""

import abc

import tensorflow as tf

from bayesinn.core.configuration import Recipe


class Transform(Recipe, abc.ABC):
    """A monotone map of single elements, without weights of its own.

    The parameters arrive as raw network output, one vector per element. A transform is the identity
    if all raw parameters are zero, so that a new block is the identity. Subclasses are frozen
    dataclasses, with ``repr=False`` for a ``repr`` without defaults.
    """

    #: Whether each element's map depends on its own raw parameters alone, which autoregressive
    #: blocks need.
    elementwise = True
    #: Whether the log slopes of a row always sum to zero, so that blocks report a log-determinant
    #: of exactly 0.
    volume_preserving = False

    @property
    @abc.abstractmethod
    def parameters_per_element(self) -> int:
        """Number of raw parameters of each element."""

    @abc.abstractmethod
    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map x (n, e) to latent z (n, e); return it and log dz/dx (n, e).

        The raw parameters are (n, e, parameters_per_element).
        """

    @abc.abstractmethod
    def inverse(self, z: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map z back; return x and log dx/dz."""
