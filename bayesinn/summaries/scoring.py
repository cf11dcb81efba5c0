"""A network's first estimate of the parameters, improved by Fisher scoring on a working model of the data."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from bayesinn.errors import InputError
from bayesinn.summaries.summary import Summary

if TYPE_CHECKING:
    from bayesinn.parameters import ParameterSpace

# In prior standard deviations: of difference quotients, of one scoring step, and of estimates from zero.
_DIFFERENCE, _LONGEST_STEP, _FURTHEST = 0.01, 1.0, 4.5
# Added to the diagonal of the information matrix, in turn.
_DAMPINGS = np.array((0.0, 3.0, 30.0, 300.0, 3000.0), np.float32)
_SMALLEST_SD = 1e-3


class Fit(NamedTuple):
    """Where scoring ended.

    Attributes
    ----------
    location : tensor (n, d)
        The estimate.
    sd : tensor (n, d)
        Its standard deviation, where the last step began.
    residuals : tensor (n, k)
        Of the data, in units of their scale.
    log_density : tensor (n,)
        Of data and estimate in the working model, up to a constant.
    """

    location: tf.Tensor
    sd: tf.Tensor
    residuals: tf.Tensor
    log_density: tf.Tensor


class Scoring(Summary):
    """A first estimate by a network, improved by Fisher scoring on a working model of the data.

    Where data say much, a posterior is far narrower than its prior. A network alone is slow to learn where it is: its
    errors must be small beside the posterior's width. Here it learns no more than where to start. From there, the
    working model tells how the data differ from what was predicted, how predictions change with each parameter, and
    so how the estimate should change, and how sure it is. This is a step of Newton's method with the expected in place
    of the observed information, and a standard normal prior. Of steps with less and more damping, which hold back what
    the data hardly tell, the one is taken that leads to the highest density, or none. Another network looks at the
    result and at what is left to explain.

    The working model need not be right, nor the steps converge. They decide what the flow sees, and a flow is trained
    to be calibrated whatever it sees; only its sharpness suffers. Given parameters, data are taken to be independent
    and Student-t. Context is not seen.

    The summary begins with the first estimate, the improved one, and the logarithm of its standard deviation, each as
    long as the vector of parameters. :class:`bayesinn.flows.Standardise` reads these three and trains the first; it has
    to be the first link of the chain. The network adds to the standard deviations where the working model is too sure
    of itself.

    An author derives from this class and writes :meth:`mean` and :meth:`log_scale`.

    Parameters
    ----------
    first : Summary
        From whose activated output a dense layer makes the first estimate. It sees the data as they are, not
        standardised.
    units : int
        Length of the rest of the summary.
    hidden : sequence of int
        Units of the hidden layers of the network that looks at the result.
    rounds : int
        Scoring steps. Each makes a prediction for every parameter, and some more.
    degrees_of_freedom : float
        Of the Student-t law.
    activation : str
    xla : bool
        Whether predictions are compiled with XLA in training; False if they have operations without a kernel there.

    Examples
    --------
    >>> import bayesinn as bi
    >>> from bayesinn.summaries import MLP
    >>> class Decay(Scoring):
    ...     def mean(self, parameters):
    ...         return 100.0 * tf.exp(-parameters["rate"][:, None] * np.arange(20.0, dtype=np.float32))
    ...
    ...     def log_scale(self, parameters, mean):
    ...         return 0.5 * tf.math.log(mean + 1.0)
    >>> decay = Decay(MLP(16), degrees_of_freedom=1e6)
    >>> flow = bi.flows.Flow(bi.flows.Chain([bi.flows.Standardise(), bi.flows.Coupling(bi.flows.Spline())]))

    ``bi.AmortizedPosterior(simulator, decay, flow)`` is for a simulator of 20 counts with that mean.

    References
    ----------
    B. Jorgensen (1984), The delta algorithm and GLIM, International Statistical Review 52 (scoring steps).
    D. W. Marquardt (1963), An algorithm for least-squares estimation of nonlinear parameters, Journal of the SIAM 11
    (damping).
    Lange, Little and Taylor (1989), Robust statistical modeling using the t distribution, JASA 84 (its information).
    Alsing and Wandelt (2018), Generalized massive optimal data compression, MNRAS Letters 476 (scores as summaries).
    """

    masks = False
    standardised = False

    rounded: tuple[str, ...] = ()
    """Parameters that enter the simulator as whole numbers: nothing can be known about the rest of them."""

    space: ParameterSpace
    """What :meth:`bind` was given."""

    def __init__(
        self,
        first: Summary,
        units: int = 128,
        hidden: Sequence[int] = (384,),
        rounds: int = 1,
        degrees_of_freedom: float = 4.0,
        activation: str = "silu",
        xla: bool = True,
    ) -> None:
        super().__init__()
        # The data in half precision would not do for the working model; the networks cast them by themselves.
        self.autocast = False
        if rounds < 1 or not degrees_of_freedom > 0.0:
            raise InputError(
                type(self).__name__,
                expected="one round or more, and degrees of freedom above 0",
                got=f"rounds={rounds!r}, degrees_of_freedom={degrees_of_freedom!r}",
                do="start from rounds=1, and degrees_of_freedom=1e6 for normal noise",
            )
        self.first = first
        self.units = units
        self.hidden = tuple(hidden)
        self.rounds = rounds
        self.degrees_of_freedom = degrees_of_freedom
        self.activation = keras.activations.get(activation)
        self.xla = xla

    def mean(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Mean of the data in the working model.

        Parameters
        ----------
        parameters : dict of name to tensor (n, *event)
            Parameters in :attr:`rounded` are not whole; a mean that changes evenly between whole numbers leads to
            better estimates than one that jumps.

        Returns
        -------
        tensor (n, k)
        """
        raise NotImplementedError

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        """Logarithm of the scale of the data, (n, k), for parameters and the mean that they lead to."""
        raise NotImplementedError

    def values(self, x: tf.Tensor) -> tf.Tensor:
        """Data (n, ...) as rows (n, k) in the order of the predictions: row by row, unless an author says otherwise."""
        return keras.ops.reshape(x, (-1, int(np.prod(x.shape[1:]))))

    def settle(self, values: tf.Tensor, mean: tf.Tensor, parameters: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Parameters, with those at their best on which the mean does not depend; all as they are by default.

        Scales of the noise, above all: while they are too small for the residuals, the steps of all others are short.

        Parameters
        ----------
        values, mean : tensors (n, k)
        parameters : dict of name to tensor (n, *event)
        """
        return parameters

    def bind(self, parameters: ParameterSpace) -> None:
        unknown = sorted(set(self.rounded) - set(parameters.names))
        if unknown or parameters.discrete:
            raise InputError(
                type(self).__name__,
                expected="continuous parameters, among them those that are rounded",
                got=f"integers {list(parameters.discrete)}, unknown names {unknown}",
                do="give integers continuous priors, round within the simulator, and name them in 'rounded'",
            )
        self.first.bind(parameters)
        # Past Keras' attribute tracking.
        self.__dict__["space"] = parameters
        layers = [keras.layers.Dense(count, activation=self.activation) for count in self.hidden]
        self.head = keras.layers.Dense(parameters.dimension)
        self.network = keras.Sequential([*layers, keras.layers.Dense(parameters.dimension + self.units)])

    def build(self, x_shape: Sequence[int]) -> None:
        """Check what is predicted; the networks make their weights when they are first called."""
        if "space" not in self.__dict__:
            raise InputError(
                type(self).__name__,
                expected="parameters, which a posterior binds its summaries to",
                got="none",
                do="use it as the summary of an AmortizedPosterior, or call bind(parameters) first",
            )
        with tf.init_scope():
            values = self.values(tf.zeros((1, *x_shape[1:]))).shape
            centre = self.space.from_vector(tf.zeros((1, self.space.dimension)))
            shapes = [tuple(part.shape) for part in self._predict(centre)]
        if shapes != 2 * [tuple(values)]:
            raise InputError(
                f"{type(self).__name__}.mean and .log_scale",
                expected=f"shape (n, {values[1]}), as many as there are data",
                got=f"shapes {shapes[0]} and {shapes[1]} for n = 1",
                do="predict every number of an observation, in the order of values()",
            )

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        # The estimates stay in single precision, also where networks compute in half.
        features = self.activation(tf.cast(self.first(x), tf.float32))
        start = tf.cast(self.head(features), tf.float32)
        origin = tf.stop_gradient(_near(start))
        values = self.values(tf.cast(x, tf.float32))
        fit = Fit(*(tf.stop_gradient(part) for part in self.improve(values, origin, bool(training))))
        known = [
            features,
            fit.location,
            tf.math.log(fit.sd),
            fit.location - origin,
            tf.asinh(fit.residuals),
            tf.asinh(fit.log_density / fit.residuals.shape[1])[:, None],
        ]
        rest = tf.cast(self.network(tf.concat(known, axis=-1)), tf.float32)
        rest, doubt = tf.split(rest, [self.units, -1], axis=-1)
        # Wider than the working model says; at first as wide as the prior.
        log_sd = 0.5 * tf.math.log(fit.sd**2 + tf.exp(2.0 * tf.minimum(doubt, 1.0)))
        return tf.concat([start, fit.location, log_sd, rest], axis=-1)

    def improve(self, values: tf.Tensor, origin: tf.Tensor, training: bool = False) -> Fit:
        """The scoring steps from vectors (n, d) towards what fits to values (n, k); where nothing fits, no step."""
        # Looked up anew each time: the space takes over other scales when a posterior is loaded.
        with tf.init_scope():
            spacing = self._spacing()
        # Half of a whole number: predictions may bend where a parameter is whole.
        difference = np.where(spacing > 0.0, 0.5 * spacing, _DIFFERENCE).astype(np.float32)
        parts: list[Callable[..., Any]] = [
            self._settle,
            self.space.from_vector,
            self._predict,
            functools.partial(self._derive, difference),
            self._evaluate,
        ]
        if training and self.xla:
            # Loops over time are many times faster compiled. But each number of rows is compiled anew, and training
            # alone always has the same. Parameters, predictions and what is made of them apart: together, XLA makes
            # them anew wherever they are used.
            parts = [tf.function(part, jit_compile=True, autograph=False) for part in parts]
        settle, from_vector, predict, derive, evaluate = parts
        vector, _, _ = settle(values, origin)
        for _ in range(self.rounds):
            score, root = derive(values, vector, *predict(from_vector(_around(vector, difference))))
            candidates, sd = self._solve(score, root, spacing**2 / 12.0)
            vector, residuals, log_density = _best(*evaluate(values, vector + candidates))
        # Predictions may overflow. What isn't a number would stop the training.
        good = tf.math.is_finite(log_density) & tf.reduce_all(tf.math.is_finite(residuals), axis=-1)
        good &= tf.reduce_all(tf.math.is_finite(vector), axis=-1)
        return Fit(
            tf.where(good[:, None], vector, origin),
            tf.where(good[:, None], tf.maximum(sd, _SMALLEST_SD), 1.0),
            tf.where(good[:, None], residuals, 0.0),
            tf.where(good, log_density, 0.0),
        )

    def _spacing(self) -> np.ndarray:
        """What a whole number more is in elements of the vector (d,), at the prior's centre; 0 if not rounded."""
        centre = self.space.from_vector(tf.zeros((1, self.space.dimension)))
        one_more = {name: value + float(name in self.rounded) for name, value in centre.items()}
        spacing = np.abs(self.space.to_vector(one_more)[0] - self.space.to_vector(centre)[0])[0]
        # Rounding errors aside.
        return np.where(spacing > 1e-3, spacing, 0.0).astype(np.float32)

    def _derive(
        self, difference: np.ndarray, values: tf.Tensor, vector: tf.Tensor, mean: tf.Tensor, log_scale: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The score (n, d) at vectors (n, d), and a root (n, d, 2 k) of the information in the data.

        From predictions at the points of :func:`_around`, one point after another: ((1 + d) * n, k).
        """
        mean, log_scale = _by_candidate(1 + len(difference), mean, log_scale)
        nu, difference = self.degrees_of_freedom, difference[:, None, None]
        of_mean = (mean[1:] - mean[0]) / difference * tf.exp(-log_scale[0])
        of_scale = (log_scale[1:] - log_scale[0]) / difference
        residuals = (values - mean[0]) * tf.exp(-log_scale[0])
        weights = (nu + 1.0) / (nu + residuals**2)
        score = tf.reduce_sum(of_mean * (weights * residuals) + of_scale * (weights * residuals**2 - 1.0), axis=-1)
        roots = math.sqrt((nu + 1.0) / (nu + 3.0)) * of_mean, math.sqrt(2.0 * nu / (nu + 3.0)) * of_scale
        return tf.transpose(score) - vector, tf.transpose(tf.concat(roots, axis=-1), (1, 0, 2))

    def _solve(self, score: tf.Tensor, root: tf.Tensor, unknowable: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """Scoring steps (m, n, d), one for each damping and one of zeros, and standard deviations (n, d)."""
        information = tf.matmul(root, root, transpose_b=True)
        information = tf.where(tf.math.is_finite(information), information, np.eye(score.shape[-1], dtype=np.float32))
        # One decomposition for all dampings. The smallest values, of what the prior alone knows, may be a millionth of
        # the largest: in single precision, standard deviations along them would be wrong. The products stay single, for
        # speed: information a hundred million times that of the prior would be too much for them.
        known, directions = (tf.cast(part, tf.float32) for part in tf.linalg.eigh(tf.cast(information, tf.float64)))
        precision = 1.0 + tf.maximum(known, 0.0)
        along = tf.linalg.matvec(directions, score, transpose_a=True)
        steps = tf.linalg.matvec(directions, along / (precision + _DAMPINGS[:, None, None]))
        steps = tf.clip_by_value(steps, -_LONGEST_STEP, _LONGEST_STEP)
        steps = tf.concat([steps, tf.zeros_like(steps[:1])], axis=0)
        variance = tf.minimum(tf.reduce_sum(directions**2 / precision[:, None, :], axis=-1) + unknowable, 1.0)
        finite = tf.math.is_finite(tf.reduce_sum(steps, axis=(0, -1)))[:, None]
        return tf.where(finite, steps, 0.0), tf.where(finite, tf.sqrt(variance), 1.0)

    def _evaluate(self, values: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Settled vectors (m, n, d), their residuals (m, n, k), and log densities (m, n) up to a constant."""
        nu, count = self.degrees_of_freedom, vector.shape[0]
        vector = tf.reshape(vector, (-1, vector.shape[-1]))
        vector, mean, log_scale = _by_candidate(count, *self._settle(tf.tile(values, (count, 1)), vector))
        residuals = (values - mean) * tf.exp(-log_scale)
        of_data = -0.5 * (nu + 1.0) * tf.math.log1p(residuals**2 / nu) - log_scale
        return vector, residuals, tf.reduce_sum(of_data, axis=-1) - 0.5 * tf.reduce_sum(vector**2, axis=-1)

    def _settle(self, values: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Settled vectors (n, d), and what is predicted for them."""
        parameters = self.space.from_vector(_near(vector))
        mean = self.mean(parameters)
        parameters = self.settle(values, mean, parameters)
        return self.space.to_vector(parameters)[0], mean, self.log_scale(parameters, mean)

    def _predict(self, parameters: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        mean = self.mean(parameters)
        return mean, self.log_scale(parameters, mean)


def _around(vector: tf.Tensor, difference: np.ndarray) -> tf.Tensor:
    """Vectors (n, d), then these with one element changed after another, ((1 + d) * n, d)."""
    count = len(difference)
    offsets = np.concatenate([np.zeros((1, count)), np.diag(difference)]).astype(np.float32)
    return tf.reshape(vector + offsets[:, None, :], (-1, count))


def _by_candidate(count: int, *parts: tf.Tensor) -> list[tf.Tensor]:
    """Rows of so many candidates one after another, (count * n, k), as (count, n, k)."""
    return [tf.reshape(part, (count, -1, part.shape[-1])) for part in parts]


def _best(vector: tf.Tensor, residuals: tf.Tensor, log_density: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Of m candidates, the one with the highest density."""
    density = tf.where(tf.math.is_finite(log_density), log_density, log_density.dtype.min)
    best = tf.argmax(density, axis=0, output_type=tf.int32)
    index = tf.stack([best, tf.range(tf.shape(best)[0])], axis=-1)
    return tf.gather_nd(vector, index), tf.gather_nd(residuals, index), tf.gather_nd(log_density, index)


def _near(vector: tf.Tensor) -> tf.Tensor:
    """Not further from the prior's mean than is plausible."""
    return tf.clip_by_value(vector, -_FURTHEST, _FURTHEST)
