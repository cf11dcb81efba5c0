"""A working model of data, its log density and its information."""

import math
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.errors import InputError, check_number
from bayesinn.spaces.parameters import ParameterSpace

from .straightening import Parameters, Straightening

# In prior standard deviations: the largest distance of estimates from zero.
_FURTHEST = 4.5


@dataclass(eq=False)
class WorkingModel(Straightening):
    """Data, independent and Student-t given parameters, whose vector has a standard normal prior.

    An author derives from this class and writes :meth:`mean` and :meth:`log_scale`, and if useful
    :meth:`values`, :meth:`start`, :meth:`profile`. Where parameters compensate changes of others, a
    posterior may be a thin, curved ridge: name them in :attr:`compensating` and write
    :meth:`compensate`, and a flow sees one that is nearly straight. Name angles in
    :attr:`periodic`: a flow sees the estimate in the centre, away from the ends of their range.
    Parameters are (n, *event), vectors (n, d), values of the data (n, k). A class with options of
    its own is a dataclass, as this one is, so that they are saved.

    Parameters
    ----------
    degrees_of_freedom : float, of the Student-t distribution; 1e6 makes it normal

    Examples
    --------
    >>> import tensorflow as tf
    >>> class Decay(WorkingModel):
    ...     def mean(self, parameters):
    ...         return 100.0 * tf.exp(-parameters["rate"][:, None] * tf.range(20.0))
    ...
    ...     def log_scale(self, parameters, mean):
    ...         return 0.5 * tf.math.log(mean + 1.0)
    >>> Decay(degrees_of_freedom=1e6).mean({"rate": tf.ones(3)}).shape
    TensorShape([3, 20])
    """

    degrees_of_freedom: float = 4.0

    def __post_init__(self) -> None:
        check_number(
            f"{type(self).__name__}, argument 'degrees_of_freedom'",
            self.degrees_of_freedom,
            above=0,
            do="start from 4, or pass 1e6 for normal noise",
        )

    def bind(self, parameters: ParameterSpace) -> None:
        """Receive the space of the parameters; an InputError refuses those that don't fit."""
        compensating = {name for names in self.compensating for name in names}
        unknown = sorted({*self.rounded, *self.periodic, *compensating} - set(parameters.names))
        if unknown or parameters.discrete:
            raise InputError(
                type(self).__name__,
                expected="continuous parameters, among them those that are rounded, periodic or "
                "compensating",
                got=f"integers {list(parameters.discrete)}, unknown names {unknown}",
                do="give integers continuous priors, round within the simulator, and name them in "
                "'rounded'",
            )
        self.check_priors(parameters)
        self.space = parameters

    def mean(self, parameters: Parameters) -> tf.Tensor:
        """Return the mean of the data, (n, k), for parameters (n, *event).

        Those in :attr:`rounded` are not whole: a mean that changes evenly between whole numbers
        leads to better estimates than one that jumps.
        """
        raise NotImplementedError

    def log_scale(self, parameters: Parameters, mean: tf.Tensor) -> tf.Tensor:
        """Return the logarithm of the scale of the data, (n, k), for parameters and their mean."""
        raise NotImplementedError

    def values(self, x: tf.Tensor) -> tf.Tensor:
        """Return data (n, ...) as rows (n, k) in the predictions' order; by default flattened."""
        return keras.ops.reshape(x, (-1, math.prod(x.shape[1:])))

    def start(self, values: tf.Tensor, parameters: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return better parameters to start a fit of values (n, k) from; by default those given.

        It is useful for angles: a fit that starts on the wrong side of the circle stays there.
        """
        return parameters

    def profile(
        self, values: tf.Tensor, mean: tf.Tensor, parameters: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Return parameters; those that the mean (n, k) doesn't depend on are at their best.

        By default, parameters are unchanged.

        It is useful for scales of the noise: while they are too small for the residuals, all other
        steps are short.
        """
        return parameters

    def predict(self, parameters: Parameters) -> tuple[tf.Tensor, tf.Tensor]:
        """Return mean and logarithm of the scale, each (n, k)."""
        mean = self.mean(parameters)
        return mean, self.log_scale(parameters, mean)

    def begin(self, values: tf.Tensor, origin: tf.Tensor) -> tf.Tensor:
        """Return vectors to start a fit from, better than those given."""
        parameters = self.start(values, self.space.from_vector(origin))
        return self.profiled(values, self.vector_of(parameters))[0]

    def profiled(
        self, values: tf.Tensor, vector: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return vectors after :meth:`profile`, and the mean and log scale predicted for them."""
        parameters = self.parameters_of(clip_to_prior(vector))
        mean = self.mean(parameters)
        parameters = self.profile(values, mean, parameters)
        return self.vector_of(parameters), mean, self.log_scale(parameters, mean)

    def evaluate(
        self, values: tf.Tensor, vector: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return profiled vectors (m, n, d), residuals (m, n, k), log densities (m, n).

        The log densities are up to a constant.
        """
        count = vector.shape[0]
        vector = tf.reshape(vector, (-1, vector.shape[-1]))
        vector, mean, log_scale = _by_candidate(
            count, *self.profiled(tf.tile(values, (count, 1)), vector)
        )
        residuals = (values - mean) * tf.exp(-log_scale)
        of_data = self.log_densities(residuals, log_scale)
        return (
            vector,
            residuals,
            tf.reduce_sum(of_data, axis=-1) - 0.5 * tf.reduce_sum(vector**2, axis=-1),
        )

    def log_densities(self, residuals: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
        """Return log densities of single numbers, up to a constant.

        Residuals are in units of their scale.
        """
        nu = self.degrees_of_freedom
        return -0.5 * (nu + 1.0) * tf.math.log1p(residuals**2 / nu) - log_scale

    def spacing(self) -> np.ndarray:
        """Return one whole number as a change of the vector (d,), at the prior's centre.

        It is 0 if not rounded.
        """
        centre = self.parameters_of(tf.zeros((1, self.space.dimension)))
        one_more = {name: value + float(name in self.rounded) for name, value in centre.items()}
        spacing = np.abs(self.vector_of(one_more) - self.vector_of(centre))[0]
        # Rounding errors aside.
        return np.where(spacing > 1e-3, spacing, 0.0).astype(np.float32)

    def derive(
        self, steps: np.ndarray, values: tf.Tensor, mean: tf.Tensor, log_scale: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return a root (n, d, 2 k) of the information in the data, and residuals (n, k).

        Predictions are those at the points of :func:`difference_points`, one point after another:
        ((1 + d) * n, k).
        """
        mean, log_scale = _by_candidate(1 + len(steps), mean, log_scale)
        step = steps[:, None, None]
        factors = self._root_factors()
        of_mean = (mean[1:] - mean[0]) / step * tf.exp(-log_scale[0])
        of_scale = (log_scale[1:] - log_scale[0]) / step
        root = tf.concat([factors[0] * of_mean, factors[1] * of_scale], axis=-1)
        return tf.transpose(root, (1, 0, 2)), (values - mean[0]) * tf.exp(-log_scale[0])

    def score(self, root: tf.Tensor, residuals: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
        """Return the log density's derivatives; residuals may be of other vectors than the root."""
        nu = self.degrees_of_freedom
        factors = self._root_factors()
        weighted = (nu + 1.0) / (nu + residuals**2) * residuals
        by_number = tf.concat(
            [weighted / factors[0], (weighted * residuals - 1.0) / factors[1]], axis=-1
        )
        return tf.linalg.matvec(root, by_number) - vector

    def _root_factors(self) -> tuple[float, float]:
        """Return roots of a number's information about its mean and about its log scale.

        The mean is in units of its scale.
        """
        nu = self.degrees_of_freedom
        return math.sqrt((nu + 1.0) / (nu + 3.0)), math.sqrt(2.0 * nu / (nu + 3.0))


def clip_to_prior(vector: tf.Tensor) -> tf.Tensor:
    """Return vectors no further from the prior's mean than is plausible."""
    return tf.clip_by_value(vector, -_FURTHEST, _FURTHEST)


def _by_candidate(count: int, *parts: tf.Tensor) -> list[tf.Tensor]:
    """Return rows of ``count`` candidates one after another, (count * n, k), as (count, n, k)."""
    return [tf.reshape(part, (count, -1, part.shape[-1])) for part in parts]
