"""Fisher scoring: an initial estimate by a network, improved on a working model of the data.

The estimate is of the parameters.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries.fitted.fit import Fit, improve
from bayesinn.summaries.fitted.straightening import Straightening
from bayesinn.summaries.fitted.working_model import clip_to_prior
from bayesinn.summaries.frame import Frame
from bayesinn.summaries.summary import Summary

# Ends of angles; and an element of a vector so far out that it stands for such an end.
_ENDS = np.array([-np.pi, np.pi])
_FAR = 30.0


class FisherScoring(Straightening, Summary):
    """An initial estimate by a network, improved by Fisher scoring on a working model of the data.

    With informative data, a posterior is far narrower than its prior, and a network is slow to
    learn its location. Here a network only learns where to start. From there, Newton's method takes
    steps with the expected information of a working model, in which data are independent and
    Student-t given the parameters, and a standard normal prior; other information, and context, are
    not used. Of several dampings, and no step, the one with the highest density is taken. A second
    network sees the result, not the data, and adds to the variances where the model is too
    confident.

    The summary returns a :class:`~bayesinn.summaries.Frame`, in which the posterior network whitens
    parameters: the flow sees a standard normal distribution if the working model is correct. It
    need not be, nor the steps converge: a flow is trained to be calibrated in any frame, and only
    its sharpness suffers.

    An author derives from this class and writes :meth:`mean` and :meth:`log_scale`. Where
    parameters compensate changes of others, a posterior may be a thin, curved ridge: name them in
    :attr:`compensating` and write :meth:`compensate`, and the flow sees one that is nearly
    straight. Name angles in :attr:`periodic`: the flow sees the estimate in the centre, away from
    the ends of their range.

    Parameters
    ----------
    first : Summary
        Network of the initial estimate, before a dense layer. Its data are not standardised.
    units, hidden, activation : see :mod:`bayesinn.summaries`; for the second network
    rounds : int
        Number of times that derivatives for every parameter are computed, and a step is made.
    reuses : int, further steps in each round with the same derivatives, which cost little
    further : int
        Largest number of additional rounds for data sets whose fit still improves; in training, for
        the eighth of a batch that improves most. A few data sets may need many.
    degrees_of_freedom : float, of the Student-t distribution; 1e6 makes it normal
    xla : bool
        Whether predictions are compiled with XLA in training; False if XLA lacks one of their
        operations.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from bayesinn.summaries import MLP
    >>> class Decay(FisherScoring):
    ...     def mean(self, parameters):
    ...         return 100.0 * tf.exp(-parameters["rate"][:, None] * tf.range(20.0))
    ...
    ...     def log_scale(self, parameters, mean):
    ...         return 0.5 * tf.math.log(mean + 1.0)
    >>> decay = Decay(MLP(16), degrees_of_freedom=1e6)

    ``bi.AmortizedPosterior(simulator, decay)`` is for a simulator of 20 counts with that mean.

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
    standardised = False
    frames = True

    def __init__(
        self,
        first: Summary,
        units: int = 128,
        hidden: Sequence[int] = (384,),
        rounds: int = 1,
        reuses: int = 0,
        further: int = 0,
        degrees_of_freedom: float = 4.0,
        activation: str = "silu",
        xla: bool = True,
    ) -> None:
        super().__init__()
        # The working model needs the data in single precision; the networks cast them.
        self.autocast = False
        if rounds < 1 or min(reuses, further) < 0 or not degrees_of_freedom > 0.0:
            raise InputError(
                type(self).__name__,
                expected="one round or more, no negative numbers, and degrees of freedom above 0",
                got=f"{rounds=}, {reuses=}, {further=}, {degrees_of_freedom=}",
                do="start from rounds=1, and degrees_of_freedom=1e6 for normal noise",
            )
        self.first = first
        self.units = units
        self.hidden = tuple(hidden)
        self.activation = keras.activations.get(activation)
        self.rounds = rounds
        self.reuses = reuses
        self.further = further
        self.degrees_of_freedom = degrees_of_freedom
        self.xla = xla

    def bind(self, parameters: ParameterSpace) -> None:
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
        self._check_priors(parameters, compensating)
        self.first.bind(parameters)
        # Not through Keras' attribute tracking.
        self.__dict__["space"] = parameters
        layers = [keras.layers.Dense(count, activation=self.activation) for count in self.hidden]
        self.head = keras.layers.Dense(parameters.dimension)
        self.network = keras.Sequential(
            [*layers, keras.layers.Dense(parameters.dimension + self.units)]
        )

    def _check_priors(self, parameters: ParameterSpace, compensating: set[str]) -> None:
        """Check angles' ends, and that no prior depends on what compensates.

        Otherwise straightening has no inverse.
        """
        ends = parameters.from_vector(
            tf.constant([[-_FAR], [_FAR]]) * tf.ones((2, parameters.dimension))
        )
        wrong = [
            name
            for name in self.periodic
            if ends[name].shape != (2,) or np.any(np.abs(ends[name] - _ENDS) > 0.1)
        ]
        if wrong:
            expected = "numbers between -pi and pi"
            got = f"other priors of {wrong}"
            do = (
                "give them VonMises(0, 0.01) or Uniform(-pi, pi) as a prior, and shift them in "
                "the simulator"
            )
            raise InputError(f"{type(self).__name__}.periodic", expected=expected, got=got, do=do)
        dependent = sorted(
            name for name in parameters.names if compensating & set(parameters.prior.needs[name])
        )
        if dependent:
            expected = "parameters on which no prior depends"
            got = f"some on which those of {dependent} do"
            do = "let others compensate, or make these priors independent"
            raise InputError(
                f"{type(self).__name__}.compensating", expected=expected, got=got, do=do
            )

    def build(self, x_shape: Sequence[int]) -> None:
        """Check the shapes of predictions."""
        if "space" not in self.__dict__:
            expected = "parameters, which a posterior binds its summaries to"
            do = "use it as the summary of an AmortizedPosterior, or call bind(parameters) first"
            raise InputError(type(self).__name__, expected=expected, got="none", do=do)
        with tf.init_scope():
            values = self.values(tf.zeros((1, *x_shape[1:]))).shape
            centre = self.space.from_vector(tf.zeros((1, self.space.dimension)))
            shapes = [tuple(part.shape) for part in self.predict(centre)]
        self._numbers = int(values[1])
        if shapes != 2 * [tuple(values)]:
            raise InputError(
                f"{type(self).__name__}.mean and .log_scale",
                expected=f"shape (n, {values[1]}), as many as there are data",
                got=f"shapes {shapes[0]} and {shapes[1]} for n = 1",
                do="predict every number of an observation, in the order of values()",
            )

    def precompute(self, x: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Return the initial estimate, and the fit that starts from it."""
        estimate = self.estimate(x)
        origin = tf.stop_gradient(clip_to_prior(estimate))
        fit = self.improve(self.values(tf.cast(x, tf.float32)), origin, training)
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
    ) -> tuple[tf.Tensor, Frame]:
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
        frame = Frame(fit.location, root, fit.information_fraction, estimate)
        return tf.concat([fit.location, fit.information_fraction, log_sd, features], axis=-1), frame

    def estimate(self, x: tf.Tensor) -> tf.Tensor:
        # The estimates stay in single precision, also where networks compute in half.
        return tf.cast(self.head(self.activation(tf.cast(self.first(x), tf.float32))), tf.float32)

    def estimator(self) -> list[keras.layers.Layer]:
        return [self.first, self.head]

    def improve(self, values: tf.Tensor, origin: tf.Tensor, training: bool = False) -> Fit:
        """Improve vectors (n, d) for values (n, k)."""
        run = functools.partial(improve, self, training=training)
        # Eagerly, as when weights are made or read, the loops would take minutes.
        return (
            tf.function(run, autograph=False)(values, origin)
            if tf.executing_eagerly()
            else run(values, origin)
        )
