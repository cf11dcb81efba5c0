"""Particles that start from an approximate posterior in place of the prior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import gammaln

from bayesinn.core import seeds
from bayesinn.core.compilation import map_tensors
from bayesinn.core.errors import InputError
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.network import PosteriorNetwork
from bayesinn.reference.smc_moves import squared_distance
from bayesinn.reference.smc_target import Population, Target, Tensors, finite_or_never
from bayesinn.spaces.observations import check_observations
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Condition

_DEGREES_OF_FREEDOM = 5.0


class StudentT(NamedTuple):
    """A multivariate Student t law, with ``axes`` and ``whitening`` as :func:`principal_axes` gives them."""

    mean: tf.Tensor
    axes: tf.Tensor
    whitening: tf.Tensor
    log_norm: tf.Tensor

    @classmethod
    def of(cls, vector: np.ndarray) -> StudentT:
        """With mean and scale of vectors (n, d); wider than a normal law of these."""
        mean, axes, whitening, log_volume = principal_axes(vector)
        nu, dimension = _DEGREES_OF_FREEDOM, len(mean)
        log_norm = gammaln(0.5 * (nu + dimension)) - gammaln(0.5 * nu) - 0.5 * dimension * np.log(nu * np.pi)
        return cls(*(tf.constant(value, tf.float32) for value in (mean, axes, whitening, log_norm - log_volume)))

    def log_prob(self, vector: tf.Tensor) -> tf.Tensor:
        """Log density (n,) of vectors (n, d)."""
        distance = squared_distance(vector, self.mean, self.whitening)
        half = 0.5 * (_DEGREES_OF_FREEDOM + vector.shape[1])
        return self.log_norm - half * tf.math.log1p(distance / _DEGREES_OF_FREEDOM)

    def sample(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """Vectors (n, d)."""
        normal_seed, gamma_seed = seeds.split(seed, 2)
        normal = tf.random.stateless_normal((n, self.mean.shape[0]), normal_seed)
        half = 0.5 * _DEGREES_OF_FREEDOM
        precision = tf.random.stateless_gamma((n, 1), gamma_seed, half, half)
        return self.mean + tf.matmul(normal / tf.sqrt(precision), self.axes, transpose_b=True)


class Bridge:
    """A target seen from a Student t law: that law as a prior, and all the rest as a likelihood.

    Tempering this likelihood leads from the one to the other.

    Parameters
    ----------
    target : Target
    network : PosteriorNetwork, optional
        Particles are vectors in the frame of its summary; else they are vectors of the target.
    """

    def __init__(self, target: Target, network: PosteriorNetwork | None = None) -> None:
        self.target = target
        self._network = network if network is not None and network.framing is not None else None

    def __call__(self, vector: tf.Tensor, given: Given) -> Population:
        """As :meth:`Target.__call__`, of an observation and what there is to start from."""
        data, start = given
        of_target, log_det = self.placed(vector, start.condition)
        _, log_prior, log_likelihood = self.target(of_target, data)
        log_start = start.law.log_prob(vector)
        log_ratio = finite_or_never(log_prior + log_det + log_likelihood - log_start)
        return Population(vector, log_start, log_ratio)

    def placed(self, vector: tf.Tensor, condition: Condition) -> tuple[tf.Tensor, tf.Tensor]:
        """Vectors (n, d) of the target for particles, and the log determinant."""
        if self._network is None:
            return vector, tf.zeros_like(vector[:, 0])
        return self._network.unwhiten(vector, condition)

    def start_from(self, start: Mapping[str, Any] | AmortizedPosterior, data: Tensors, count: int, seed: int) -> Start:
        """The law of draws, which a posterior is asked for, in the coordinates of particles."""
        space, condition = self.target.space, Condition(tf.zeros((1, 0)))
        if not isinstance(start, AmortizedPosterior):
            return Start(StudentT.of(_vectors(start, space)), condition)
        observation = {name: value.numpy() for name, value in data.items()}
        draws = start.sample(observation, draws=max(count, 2 * space.dimension + 1), seed=seed)
        vector = _vectors(draws, space)
        if self._network is not None:
            arrays = check_observations(start.simulator, observation).arrays
            condition = map_tensors(tf.convert_to_tensor, start.evaluator.condition(arrays)[0])
            vector = np.asarray(self._network.whiten(vector, condition)[0])
            # Those that overflow in other coordinates would spoil the law.
            vector = vector[np.isfinite(vector).all(axis=1)]
            if len(vector) <= 2 * space.dimension:
                raise InputError(
                    "Posterior to start from",
                    expected=f"more than {2 * space.dimension} draws that are finite in the coordinates of its fit",
                    got=f"{len(vector)} of {len(draws[next(iter(draws))])}",
                    do="start from draws of it, or from the prior",
                )
        return Start(StudentT.of(vector), condition)


class Start(NamedTuple):
    """The law that particles start from, and the condition of one observation."""

    law: StudentT
    condition: Condition


Given = tuple[Tensors, Start]


def _vectors(start: Mapping[str, Any], space: ParameterSpace) -> np.ndarray:
    """Draws as vectors (n, d).

    Raises
    ------
    InputError
        For other parameters, draws outside the prior's support, or too few of them.
    """
    names = space.prior.names
    if not isinstance(start, Mapping) or set(start) != set(names):
        raise InputError(
            "Draws to start from",
            expected=f"one array for each of {list(names)}",
            got=f"{sorted(start)}" if isinstance(start, Mapping) else f"a {type(start).__name__}",
            do="pass draws of one observation, as posterior.sample gives them, or a posterior that bi.load gives",
        )
    arrays = {name: np.asarray(start[name]) for name in names}
    shapes = {name: (array.shape[:1], array.shape[1:]) for name, array in arrays.items()}
    right = all(shape == tuple(space.prior.event_shapes[name]) for name, (_, shape) in shapes.items())
    count = len(next(iter(arrays.values()))) if right and len({count for count, _ in shapes.values()}) == 1 else 0
    if count <= 2 * space.dimension:
        raise InputError(
            "Draws to start from",
            expected=f"arrays of shape (n, *event), n > {2 * space.dimension} draws of one observation",
            got=f"shapes { {name: array.shape for name, array in arrays.items()} }",
            do="take more draws, of a single observation",
        )
    vector = np.asarray(space.to_vector({name: tf.constant(value) for name, value in arrays.items()})[0])
    if not np.all(np.isfinite(vector)):
        raise InputError(
            "Draws to start from",
            expected="finite numbers inside the prior's support",
            got=f"{int(np.sum(~np.isfinite(vector).all(axis=1)))} of {count} draws that are not",
            do="leave these out",
        )
    return vector


def principal_axes(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Mean (d,) of vectors (n, d); the principal axes of their covariance and their inverse; the log of their volume.

    Axes (d, d) are columns, as long as the standard deviation; the inverse is transposed.
    """
    vector = np.asarray(vector, np.float64)
    covariance = np.atleast_2d(np.cov(vector, rowvar=False))
    # Particles of a narrow posterior may agree in a coordinate up to rounding.
    covariance += np.diag(1e-4 * np.diag(covariance) + 1e-12)
    variances, directions = np.linalg.eigh(covariance)
    sds = np.sqrt(variances)
    return vector.mean(axis=0), directions * sds, directions / sds, float(np.log(sds).sum())
