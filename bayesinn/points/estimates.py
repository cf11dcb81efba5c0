"""Properties of posteriors to estimate: network outputs, their proper score, their meaning."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import ndtri

from bayesinn.core.configuration import Recipe
from bayesinn.core.errors import InputError
from bayesinn.core.labels import columns
from bayesinn.flows.latents.gaussian_mixture import NARROWEST_LOG_SCALE, floored
from bayesinn.points.vector import ParameterVector
from bayesinn.simulation.checks import numbers
from bayesinn.simulation.simulator import Arrays

# In standard deviations of the prior: far above what any posterior has.
_LARGEST_LOG_SCALE = 20.0


class Result(NamedTuple):
    """Arrays (n, *axes, *event) by parameter, with the names and coordinates of the axes, if any.

    A result that is not ``by_parameter`` has names of its own, and no axes of events.
    """

    values: Arrays
    axes: Mapping[str, Sequence[Any]] = MappingProxyType({})
    by_parameter: bool = True


class Estimate(Recipe, ABC):
    """A property of posteriors, computed from outputs (n, size) of a network for n data sets.

    An author derives a frozen dataclass and writes :meth:`size`, :meth:`score` and :meth:`read`.
    True parameters come as vectors (n, d) of unit scale, in two forms: ``plain`` is linear in the
    parameters; ``squeezed`` compresses heavy tails.
    """

    #: Names of the results of :meth:`read`.
    names: ClassVar[tuple[str, ...]]

    @abstractmethod
    def size(self, dimension: int) -> int:
        """Return the number of outputs for d numbers of parameters."""

    @abstractmethod
    def score(self, outputs: tf.Tensor, plain: tf.Tensor, squeezed: tf.Tensor) -> tf.Tensor:
        """Return the score (n,) of outputs (n, size) for true parameters; lower is better."""

    @abstractmethod
    def read(self, outputs: np.ndarray, vector: ParameterVector) -> dict[str, Result]:
        """Return results by name."""


@dataclasses.dataclass(frozen=True, repr=False)
class Mean(Estimate):
    """Posterior means, by the squared error: for many parameters, or if sds don't matter.

    Examples
    --------
    >>> Mean().size(3)
    3
    """

    names = ("mean",)

    def size(self, dimension: int) -> int:
        return dimension

    def score(self, outputs: tf.Tensor, plain: tf.Tensor, squeezed: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum((outputs - plain) ** 2, axis=-1)

    def read(self, outputs: np.ndarray, vector: ParameterVector) -> dict[str, Result]:
        return {"mean": Result(vector.from_plain(outputs))}


@dataclasses.dataclass(frozen=True, repr=False)
class Moments(Estimate):
    """Posterior means, standard deviations and covariances, by the Gaussian log score.

    The score is proper for the first two moments of any posterior, Gaussian or not. The number of
    outputs grows as that of covariances: for more than about 50 numbers, use :class:`Mean`.

    References
    ----------
    Dawid and Sebastiani (1999), Coherent dispersion criteria for optimal experimental design,
    Annals of Statistics 27.

    Examples
    --------
    >>> Moments().size(3)
    9
    """

    names = ("mean", "standard_deviation", "covariance")

    def size(self, dimension: int) -> int:
        return dimension + dimension * (dimension + 1) // 2

    def score(self, outputs: tf.Tensor, plain: tf.Tensor, squeezed: tf.Tensor) -> tf.Tensor:
        mean, root = self._law(outputs)
        z = tf.linalg.matvec(root, plain - mean)
        log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(root)), axis=-1)
        return 0.5 * tf.reduce_sum(z**2, axis=-1) - log_det

    def read(self, outputs: np.ndarray, vector: ParameterVector) -> dict[str, Result]:
        mean, root = (np.asarray(part, np.float64) for part in self._law(outputs))
        units = np.broadcast_to(np.eye(root.shape[-1]), root.shape)
        inverse = tf.linalg.triangular_solve(root, units).numpy() * vector.scale[:, None]
        covariance = inverse @ np.swapaxes(inverse, -1, -2)
        deviation = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
        names = list(columns(vector.split(deviation), 1))
        return {
            "mean": Result(vector.from_plain(mean)),
            "standard_deviation": Result(vector.split(deviation)),
            "covariance": Result(
                {"covariance": covariance},
                {"number": names, "other_number": names},
                by_parameter=False,
            ),
        }

    def _law(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return means (n, d) and triangular roots of precisions (n, d, d)."""
        total = outputs.shape[-1]
        size = int((np.sqrt(9 + 8 * total) - 3) / 2)
        mean, triangle = tf.split(outputs, [size, total - size], axis=-1)
        root = tfp.math.fill_triangular(triangle)
        # Scales have a floor: without noise in the data, the score would have no bound. They have a
        # ceiling: precisions of observations far from the simulations would be zero.
        log_scales = floored(tf.linalg.diag_part(root), NARROWEST_LOG_SCALE)
        log_scales = tf.minimum(log_scales, _LARGEST_LOG_SCALE)
        diagonal = tf.exp(-log_scales)
        return mean, tf.linalg.set_diag(root, diagonal)


@dataclasses.dataclass(frozen=True, repr=False)
class Quantiles(Estimate):
    """Posterior quantiles of each number, by the pinball loss; they never cross.

    Parameters
    ----------
    levels : sequence of float
        Between 0 and 1, increasing; ``(0.5,)`` is the median alone.

    References
    ----------
    Koenker and Bassett (1978), Regression quantiles, Econometrica 46.

    Examples
    --------
    >>> Quantiles((0.05, 0.5, 0.95)).size(3)
    9
    """

    levels: Sequence[float] = (0.025, 0.25, 0.5, 0.75, 0.975)

    names = ("quantiles",)

    def __post_init__(self) -> None:
        levels = np.atleast_1d(numbers("Quantiles, argument 'levels'", self.levels))
        edges = np.concatenate([[0.0], levels.ravel(), [1.0]])
        if levels.ndim > 1 or not levels.size or not np.all(np.diff(edges) > 0.0):
            raise InputError(
                "Quantiles, argument 'levels'",
                expected="numbers between 0 and 1, increasing",
                got=repr(self.levels),
                do="pass for example Quantiles((0.05, 0.5, 0.95))",
            )
        object.__setattr__(self, "levels", tuple(levels.tolist()))

    def size(self, dimension: int) -> int:
        return dimension * len(self.levels)

    def score(self, outputs: tf.Tensor, plain: tf.Tensor, squeezed: tf.Tensor) -> tf.Tensor:
        error = squeezed[:, :, None] - self._quantiles(outputs)
        levels = np.asarray(self.levels, np.float32)
        return tf.reduce_sum(tf.maximum(levels * error, (levels - 1.0) * error), axis=(1, 2))

    def read(self, outputs: np.ndarray, vector: ParameterVector) -> dict[str, Result]:
        found = np.asarray(self._quantiles(outputs))
        values = vector.from_squeezed(np.swapaxes(found, 1, 2))
        return {"quantiles": Result(values, {"level": self.levels})}

    def _quantiles(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return quantiles (n, d, levels): the middle one, and positive steps from it.

        Outputs of zero give those of a standard normal distribution.
        """
        count = len(self.levels)
        raw = tf.reshape(outputs, (-1, outputs.shape[-1] // count, count))
        normal = ndtri(self.levels).astype(np.float32)
        unit = np.diff(normal) / np.log(2.0).astype(np.float32)
        steps = unit * tf.nn.softplus(raw[:, :, 1:])
        places = tf.concat([tf.zeros_like(raw[:, :, :1]), tf.cumsum(steps, axis=-1)], axis=-1)
        middle = count // 2
        shift = raw[:, :, :1] + normal[middle] - places[:, :, middle : middle + 1]
        return places + shift
