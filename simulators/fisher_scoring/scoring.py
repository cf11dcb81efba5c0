"""Fisher scoring: an initial estimate by a network, improved on a working model of the data.

The estimate is of the parameters.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core.errors import InputError
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries import Summary

from .fit import Fit, Rounds, improve
from .working_model import WorkingModel, clip_to_prior

# Between lower triangular matrices and their elements, with the logarithm of the diagonal.
_ROOTS = tfp.bijectors.FillScaleTriL(diag_bijector=tfp.bijectors.Exp(), diag_shift=None)


class FisherScoring(Summary):
    """An initial estimate by a network, improved by Fisher scoring on a working model of the data.

    With informative data, a posterior is far narrower than its prior, and a network is slow to
    learn its location. Here a network only learns where to start. From there, Newton's method takes
    steps with the expected information of a working model, in which data are independent and
    Student-t given the parameters, and a standard normal prior; other information, and context, are
    not used. Of several dampings, and no step, the one with the highest density is taken. A second
    network sees the result, not the data, and adds to the variances where the model is too
    confident.

    Beside the features, the summary returns the entries ``location`` (n, d) and ``root`` (n, d, d),
    a lower triangular root of the covariance: a :class:`Straightened` flow sees a standard normal
    distribution if the working model is correct. It need not be, nor the steps converge: a flow is
    trained to be calibrated wherever it stands, and only its sharpness suffers. The entry
    ``information_fraction`` (n, d) is the share of the information on each element that comes from
    the data, given the others, from 0 to nearly 1; ``estimate`` (n, d) the initial estimate, which
    is trained by least squares.

    Parameters
    ----------
    model : WorkingModel
    first : Summary
        Network of the initial estimate, before a dense layer. Its data are not standardised.
    units, hidden, activation : see :mod:`bayesinn.summaries`; for the second network
    rounds : int
        Number of times that derivatives for every parameter are computed, and a step is made.
    reuses : int, further steps in each round with the same derivatives, which cost little
    further : int
        Largest number of additional rounds for data sets whose fit still improves; in training, for
        the eighth of a batch that improves most. A few data sets may need many.
    xla : bool
        Whether predictions are compiled with XLA in training; False if XLA lacks one of their
        operations.

    References
    ----------
    Jorgensen (1984), The delta algorithm and GLIM, International Statistical Review 52 (scoring
    steps).
    Marquardt (1963), An algorithm for least-squares estimation of nonlinear parameters, J. SIAM 11
    (damping).
    Lange, Little and Taylor (1989), Robust statistical modeling using the t distribution, JASA 84
    (its information).
    Alsing and Wandelt (2018), Generalized massive optimal data compression, MNRAS Letters 476
    (scores as summaries).
    """

    masks = False
    missing = False
    standardised = False
    reads = frozenset({"estimate", "root"})

    def __init__(
        self,
        model: WorkingModel,
        first: Summary,
        units: int = 128,
        hidden: Sequence[int] = (384,),
        rounds: int = 1,
        reuses: int = 0,
        further: int = 0,
        activation: str = "silu",
        xla: bool = True,
    ) -> None:
        super().__init__()
        # The working model needs the data in single precision; the networks cast them.
        self.autocast = False
        if rounds < 1 or min(reuses, further) < 0:
            raise InputError(
                type(self).__name__,
                expected="one round or more, and no negative numbers",
                got=f"{rounds=}, {reuses=}, {further=}",
                do="start from rounds=1",
            )
        self.model = model
        self.first = first
        self.shapes = first.shapes
        self.order = first.order
        self.units = units
        self.hidden = tuple(hidden)
        self.activation = keras.activations.get(activation)
        self.effort = Rounds(rounds, reuses, further, xla)
        self.bound = False

    def bind(self, parameters: ParameterSpace) -> None:
        self.model.bind(parameters)
        self.first.bind(parameters)
        layers = [keras.layers.Dense(count, activation=self.activation) for count in self.hidden]
        self.head = keras.layers.Dense(parameters.dimension)
        self.network = keras.Sequential(
            [*layers, keras.layers.Dense(parameters.dimension + self.units)]
        )
        self.bound = True

    def locate(self, coordinates: np.ndarray) -> None:
        self.first.locate(coordinates)

    def build(self, x_shape: Sequence[int]) -> None:
        """Check the shapes of predictions."""
        if not self.bound:
            expected = "parameters, which a posterior binds its summaries to"
            do = "use it as the summary of an AmortizedPosterior, or call bind(parameters) first"
            raise InputError(type(self).__name__, expected=expected, got="none", do=do)
        with tf.init_scope():
            values = self.model.values(tf.zeros((1, *x_shape[1:]))).shape
            space = self.model.space
            centre = space.from_vector(tf.zeros((1, space.dimension)))
            shapes = [tuple(part.shape) for part in self.model.predict(centre)]
        self._numbers = int(values[1])
        if shapes != 2 * [tuple(values)]:
            raise InputError(
                f"{type(self.model).__name__}.mean and .log_scale",
                expected=f"shape (n, {values[1]}), as many as there are data",
                got=f"shapes {shapes[0]} and {shapes[1]} for n = 1",
                do="predict every number of an observation, in the order of values()",
            )

    def precompute(self, x: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Return the initial estimate, and the fit that starts from it."""
        estimate = self.estimate(x)
        origin = tf.stop_gradient(clip_to_prior(estimate))
        fit = self.improve(self.model.values(tf.cast(x, tf.float32)), origin, training)
        return {"estimate": estimate, **fit._asdict()}

    def placeholder(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        estimate = self.estimate(x)
        size, dimension = estimate.shape
        triangle = tf.ones((size, dimension * (dimension + 1) // 2))
        fit = Fit(estimate, estimate, estimate, triangle, estimate, estimate[:, 0])
        return {"estimate": estimate, **fit._asdict()}

    def call(
        self,
        x: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool = False,
        precomputed: Mapping[str, tf.Tensor] | None = None,
    ) -> dict[str, tf.Tensor]:
        known: dict[str, Any] = dict(
            self.precompute(x, bool(training)) if precomputed is None else precomputed
        )
        estimate = known.pop("estimate")
        fit = Fit(**{name: tf.stop_gradient(value) for name, value in known.items()})
        covariance = fit.covariance
        sd = tf.cast(tf.sqrt(tf.linalg.diag_part(covariance)), tf.float32)
        # Neither data nor residuals: a network would overfit hundreds of numbers.
        quality = tf.asinh(fit.log_density / self._numbers)[:, None]
        seen = [
            fit.location,
            tf.math.log(sd),
            fit.location - fit.origin,
            tf.asinh(fit.step / sd),
            quality,
        ]
        output = tf.cast(self.network(tf.concat(seen, axis=-1)), tf.float32)
        features, extra_log_sd = tf.split(output, [self.units, -1], axis=-1)
        # Wider than the working model says; at first wider than the prior.
        extra = tf.exp(2.0 * tf.cast(tf.minimum(extra_log_sd, 1.0), tf.float64))
        root = tf.cast(tf.linalg.cholesky(covariance + tf.linalg.diag(extra)), tf.float32)
        log_sd = tf.cast(0.5 * tf.math.log(tf.linalg.diag_part(covariance) + extra), tf.float32)
        parts = [fit.location, fit.information_fraction, log_sd, features]
        return {
            "features": tf.concat(parts, axis=-1),
            "location": fit.location,
            "root": root,
            "information_fraction": fit.information_fraction,
            "estimate": estimate,
        }

    def estimate(self, x: tf.Tensor) -> tf.Tensor:
        """Return the initial estimate (n, d) of vectors."""
        # The estimates stay in single precision, also where networks compute in half.
        return tf.cast(self.head(self.activation(tf.cast(self.first(x), tf.float32))), tf.float32)

    def auxiliary_layers(self) -> list[keras.layers.Layer]:
        return [self.first, self.head]

    def auxiliary_loss(
        self, vector: tf.Tensor, x: tf.Tensor, entries: Mapping[str, tf.Tensor] | None = None
    ) -> tf.Tensor:
        """Return half the squared distance (n,) of initial estimates from vectors (n, d).

        It is zero where it is not finite.
        """
        estimate = self.estimate(x) if entries is None else entries["estimate"]
        distance = 0.5 * tf.reduce_sum((tf.stop_gradient(vector) - estimate) ** 2, axis=-1)
        return tf.where(tf.math.is_finite(distance), distance, 0.0)

    def compared(self, condition: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        return [condition["estimate"], _ROOTS.inverse(condition["root"])]

    def improve(self, values: tf.Tensor, origin: tf.Tensor, training: bool = False) -> Fit:
        """Improve vectors (n, d) for values (n, k)."""
        run = functools.partial(improve, self.model, self.effort, training=training)
        # Eagerly, as when weights are made or read, the loops would take minutes.
        return (
            tf.function(run, autograph=False)(values, origin)
            if tf.executing_eagerly()
            else run(values, origin)
        )
