"""The bijection contract: an author writes two methods, the base class checks what goes in and out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError


class Bijection(Configured, keras.layers.Layer):
    """An invertible map of vectors, which may depend on a condition.

    An author derives from this class and writes :meth:`forward` and :meth:`inverse`, and :meth:`build` if there are
    weights. Shapes are checked, and weights made on first use, before either method runs. A bijection should be near
    the identity when new, and must accept vectors of one element.
    """

    accurate_inverse: bool = True
    """Whether inputs can be recomputed from outputs, as reversible chains do."""

    def __init__(self) -> None:
        # Without the options of a Keras layer, so that a bijection without arguments needs no constructor of its own.
        super().__init__()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("forward", "inverse", "inverse_of_draws", "initialize"):
            if name in cls.__dict__:
                setattr(cls, name, _checked(cls.__dict__[name]))

    def build(self, dimension: int, condition_dimension: int) -> None:
        """Make the weights for vectors of ``dimension`` elements; ``condition_dimension`` is 0 without a condition."""
        self.dimension = dimension
        self.condition_dimension = condition_dimension
        self.built = True

    def forward(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Map parameters towards the latent space: the training direction.

        Parameters
        ----------
        x : tensor (n, d)
        condition : tensor (n, c), or None

        Returns
        -------
        z : tensor (n, d)
        log_det : tensor (n,), log absolute determinant of dz/dx
        """
        raise NotImplementedError

    def inverse(self, z: tf.Tensor, condition: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Map latent vectors to parameters, the sampling direction; shapes as in :meth:`forward`.

        The log determinant is that of dx/dz.
        """
        raise NotImplementedError

    def inverse_of_draws(self, z: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """The same as :meth:`inverse` for several vectors of each condition, without log determinants.

        For bijections that have work to do for each condition which can be shared.

        Parameters
        ----------
        z : tensor (m, n, d)
        condition : tensor (m, c)

        Returns
        -------
        tensor (m, n, d)
        """
        x, _ = self.inverse(tf.reshape(z, (-1, self.dimension)), tf.repeat(condition, tf.shape(z)[1], axis=0))
        return tf.reshape(x, tf.shape(z))

    def initialize(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> None:
        """Set weights from a first batch of data. Most bijections have nothing to set."""

    def add_fixed(self, name: str, values: np.ndarray, dtype: str | None = None) -> keras.Variable:
        """Make a weight that isn't trained: what :meth:`build` draws once, and what is saved with the others."""
        return self.add_weight(
            shape=values.shape,
            initializer=lambda shape, dtype: tf.constant(values, dtype),
            dtype=dtype,
            trainable=False,
            autocast=False,
            name=name,
        )


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    of_draws = method.__name__ == "inverse_of_draws"

    @functools.wraps(method)
    def wrapper(self: Bijection, x: tf.Tensor, condition: tf.Tensor | None = None) -> Any:
        subject = f"{type(self).__name__}.{method.__name__}"
        x = _vectors(subject, x, self.variable_dtype, rank=3 if of_draws else 2)
        if condition is not None:
            condition = _vectors(f"{subject}, condition", condition, self.variable_dtype)
            # Of draws, it tells how many rows there are.
            condition = None if condition.shape[-1] == 0 and not of_draws else condition
        condition_dimension = 0 if condition is None else condition.shape[-1]
        if not self.built:
            self.build(x.shape[-1], condition_dimension)
        if (x.shape[-1], condition_dimension) != (self.dimension, self.condition_dimension):
            raise InputError(
                subject,
                expected=f"vectors of {self.dimension} elements with a condition of {self.condition_dimension}",
                got=f"{x.shape[-1]} and {condition_dimension}",
                do="use the shapes that the layer was built with, or make a new layer",
            )
        return method(self, x, condition)

    return wrapper


def _vectors(subject: str, values: tf.Tensor, dtype: str, rank: int = 2) -> tf.Tensor:
    # Everything outside the subnets stays in the dtype of the weights, also under mixed precision: an inverse computed
    # in half precision isn't one.
    vectors = tf.cast(tf.convert_to_tensor(values), dtype)
    if vectors.shape.rank != rank:
        raise InputError(
            subject,
            expected=f"vectors in a tensor of shape {'(m, n, d)' if rank == 3 else '(n, d)'}",
            got=f"shape {tuple(vectors.shape)}",
            do="give one row per vector",
        )
    return vectors
