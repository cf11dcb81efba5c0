"""The contract of elementwise transforms: monotone maps of single elements.

A network computes their parameters.
"""

import abc
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bayesinn.core.configuration import Recipe
from bayesinn.core.validation import check_pair, check_returned


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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in {"forward", "inverse"} & set(cls.__dict__):
            setattr(cls, name, _checked(cls.__dict__[name]))

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


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method so that what it returns has a number for each element."""

    @functools.wraps(method)
    def wrapper(self: Transform, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        name = f"{type(self).__name__}.{method.__name__}"
        image, log_slope = check_pair(name, method(self, x, raw), "elements, and log slopes")
        expected = "a number for each element of x"
        for part, value in (("elements", image), ("log slopes", log_slope)):
            check_returned(name, part, value, x.shape, expected, "let the block add log slopes")
        return image, log_slope

    return wrapper
