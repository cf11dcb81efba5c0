"""The contract of elementwise transforms: monotone maps of single elements whose parameters a network computes."""

from __future__ import annotations

import abc
import dataclasses

import tensorflow as tf


class Transform(abc.ABC):
    """A monotone map of single elements, without weights of its own.

    The parameters of the map arrive as raw network output, one vector per element. A transform is the identity when
    all raw parameters are zero, so that a block whose last layer starts at zero starts as the identity. Subclasses are
    frozen dataclasses (with ``repr=False``, for a ``repr`` without defaults): small, comparable, and described field by
    field in a saved posterior.
    """

    @property
    @abc.abstractmethod
    def parameters_per_element(self) -> int:
        """How many raw parameters each element needs."""

    @abc.abstractmethod
    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map elements towards the latent space.

        Parameters
        ----------
        x : tensor (n, e)
        raw : tensor (n, e, parameters_per_element)

        Returns
        -------
        z : tensor (n, e)
        log_slope : tensor (n, e), log dz/dx of each element
        """

    @abc.abstractmethod
    def inverse(self, z: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map latent elements back.

        Parameters
        ----------
        z : tensor (n, e)
        raw : tensor (n, e, parameters_per_element)

        Returns
        -------
        x : tensor (n, e)
        log_slope : tensor (n, e), log dx/dz of each element
        """

    def __repr__(self) -> str:
        fields = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        shown = [f"{name}={value!r}" for name, (value, default) in fields.items() if value != default]
        return f"{type(self).__name__}({', '.join(shown)})"
