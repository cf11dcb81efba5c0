"""A network's first estimate of the parameters, improved by Fisher scoring on a working model of the data."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.standardise import from_root
from bayesinn.core.errors import InputError
from bayesinn.summaries.fitted.fit import Fit, improve
from bayesinn.summaries.fitted.straightening import Straightening
from bayesinn.summaries.fitted.working_model import near
from bayesinn.summaries.summary import Summary

if TYPE_CHECKING:
    from bayesinn.spaces.parameters import ParameterSpace

# Of angles; and an element of a vector so far out that it stands for such an end.
_ENDS, _FAR = np.array([-np.pi, np.pi]), 30.0


class Scoring(Straightening, Summary):
    """A first estimate by a network, improved by Fisher scoring on a working model of the data.

    Where data say much, a posterior is far narrower than its prior. A network alone is slow to learn where it is: its
    errors must be small beside the posterior's width. Here it learns no more than where to start. From there, the
    working model tells how the data differ from what was predicted, how predictions change with each parameter, and
    so how the estimate should change, and how sure it is. This is a step of Newton's method with the expected in place
    of the observed information, and a standard normal prior. Of steps with less and more damping, which hold back what
    the data hardly tell, the one is taken that leads to the highest density, or none. Another network looks at the
    result: where the steps lead, how sure they are, and how well that fits. It does not see the data themselves.

    A posterior may be a thin, curved ridge, because some parameters can make up for changes of others. An author who
    knows which, names them in :attr:`compensating` and writes :meth:`compensate`; the flow sees a ridge that is nearly
    straight. Angles are named in :attr:`periodic`: the flow sees them turned, with the estimate in the centre, so that
    none of their posteriors is split between both ends of their range.

    The working model need not be right, nor the steps converge, nor the ridge become straight. They decide what the
    flow sees, and a flow is trained to be calibrated whatever it sees; only its sharpness suffers. Given parameters,
    data are taken to be independent and Student-t; what else they tell is lost. Context is not seen.

    The summary begins with the first estimate, a root of the covariance about the improved one, that one, and how well
    the data tell each of its elements.
    :class:`bayesinn.bijections.Standardise` reads these and trains the first; it has to hold all of the flow. So the
    flow sees a posterior that is a standard normal distribution, as far as the working model knows. The network adds
    to the variances where that is too sure of itself.

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
        Each begins with a prediction for every parameter, and makes a step.
    reuses : int
        More steps in each round, with the derivatives of its first one. They cost little.
    further : int
        The most rounds after those, for data sets whose fit still improves; in training, for the eighth of a batch that
        improves most. A few data sets may need many.
    degrees_of_freedom : float
        Of the Student-t law.
    activation : str
    xla : bool
        Whether predictions are compiled with XLA in training; False if they have operations without a kernel there.

    Examples
    --------
    >>> import bayesinn as bi
    >>> import tensorflow as tf
    >>> from bayesinn.summaries import MLP
    >>> class Decay(Scoring):
    ...     def mean(self, parameters):
    ...         return 100.0 * tf.exp(-parameters["rate"][:, None] * tf.range(20.0))
    ...
    ...     def log_scale(self, parameters, mean):
    ...         return 0.5 * tf.math.log(mean + 1.0)
    >>> decay = Decay(MLP(16), degrees_of_freedom=1e6)
    >>> flow = bi.flows.Flow(bi.bijections.Standardise(bi.bijections.Coupling(bi.bijections.Spline())))

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
        # The data in half precision would not do for the working model; the networks cast them by themselves.
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
        self.rounds = rounds
        self.reuses = reuses
        self.further = further
        self.degrees_of_freedom = degrees_of_freedom
        self.activation = keras.activations.get(activation)
        self.xla = xla

    def bind(self, parameters: ParameterSpace) -> None:
        compensating = {name for names in self.compensating for name in names}
        unknown = sorted({*self.rounded, *self.periodic, *compensating} - set(parameters.names))
        if unknown or parameters.discrete:
            raise InputError(
                type(self).__name__,
                expected="continuous parameters, among them those that are rounded, periodic or compensating",
                got=f"integers {list(parameters.discrete)}, unknown names {unknown}",
                do="give integers continuous priors, round within the simulator, and name them in 'rounded'",
            )
        self._check_priors(parameters, compensating)
        self.first.bind(parameters)
        # Past Keras' attribute tracking.
        self.__dict__["space"] = parameters
        layers = [keras.layers.Dense(count, activation=self.activation) for count in self.hidden]
        self.head = keras.layers.Dense(parameters.dimension)
        self.network = keras.Sequential([*layers, keras.layers.Dense(parameters.dimension + self.units)])

    def _check_priors(self, parameters: ParameterSpace, compensating: set[str]) -> None:
        """Ends of angles, and nothing whose prior depends on what makes up for it: straightening had no inverse."""
        ends = parameters.from_vector(tf.constant([[-_FAR], [_FAR]]) * tf.ones((2, parameters.dimension)))
        wrong = [name for name in self.periodic if ends[name].shape != (2,) or np.any(np.abs(ends[name] - _ENDS) > 0.1)]
        if wrong:
            raise InputError(
                f"{type(self).__name__}.periodic",
                expected="numbers between -pi and pi",
                got=f"other priors of {wrong}",
                do="give them VonMises(0, 0.01) or Uniform(-pi, pi) as a prior, and shift them in the simulator",
            )
        dependent = sorted(name for name in parameters.names if compensating & set(parameters.prior.needs(name)))
        if dependent:
            raise InputError(
                f"{type(self).__name__}.compensating",
                expected="parameters on which no prior depends",
                got=f"some on which those of {dependent} do",
                do="let others compensate, or make these priors independent",
            )

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
            shapes = [tuple(part.shape) for part in self.predict(centre)]
        self._numbers = int(values[1])
        if shapes != 2 * [tuple(values)]:
            raise InputError(
                f"{type(self).__name__}.mean and .log_scale",
                expected=f"shape (n, {values[1]}), as many as there are data",
                got=f"shapes {shapes[0]} and {shapes[1]} for n = 1",
                do="predict every number of an observation, in the order of values()",
            )

    def beforehand(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The first estimate, and the fit as :meth:`Fit.flat`."""
        start = self.estimate(x)
        origin = tf.stop_gradient(near(start))
        fit = self.improve(self.values(tf.cast(x, tf.float32)), origin, training)
        return tf.concat([start, fit.flat()], axis=-1)

    def call(
        self,
        x: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool = False,
        beforehand: tf.Tensor | None = None,
    ) -> tf.Tensor:
        start_and_fit = self.beforehand(x, bool(training)) if beforehand is None else beforehand
        start, fit = tf.split(start_and_fit, [self.space.dimension, -1], axis=-1)
        fit = Fit.of(tf.stop_gradient(fit), self.space.dimension)
        sd = tf.cast(tf.sqrt(tf.linalg.diag_part(fit.covariance)), tf.float32)
        # Not the data, nor what is left of them to explain: hundreds of numbers in which a network finds by chance what
        # isn't there.
        known = [
            fit.location,
            tf.math.log(sd),
            fit.location - fit.origin,
            tf.asinh(fit.step / sd),
            tf.asinh(fit.log_density / self._numbers)[:, None],
        ]
        rest = tf.cast(self.network(tf.concat(known, axis=-1)), tf.float32)
        rest, doubt = tf.split(rest, [self.units, -1], axis=-1)
        # Wider than the working model says; at first wider than the prior.
        doubt = tf.exp(2.0 * tf.cast(tf.minimum(doubt, 1.0), tf.float64))
        root = tf.linalg.cholesky(fit.covariance + tf.linalg.diag(doubt))
        log_sd = tf.cast(0.5 * tf.math.log(tf.linalg.diag_part(fit.covariance) + doubt), tf.float32)
        return tf.concat([start, from_root(tf.cast(root, tf.float32)), fit.location, fit.told, log_sd, rest], axis=-1)

    def estimate(self, x: tf.Tensor) -> tf.Tensor:
        """The first one (n, d), of data (n, ...)."""
        # The estimates stay in single precision, also where networks compute in half.
        return tf.cast(self.head(self.activation(tf.cast(self.first(x), tf.float32))), tf.float32)

    def improve(self, values: tf.Tensor, origin: tf.Tensor, training: bool = False) -> Fit:
        """What scoring makes of vectors (n, d), for values (n, k)."""
        # Compiled anew for each number of rows, which is always the same in training alone.
        run = functools.partial(
            improve,
            self,
            rounds=self.rounds,
            reuses=self.reuses,
            further=self.further,
            training=training,
            xla=training and self.xla,
        )
        # Operation by operation, as when weights are made or read, the loops would take minutes.
        return tf.function(run, autograph=False)(values, origin) if tf.executing_eagerly() else run(values, origin)
