"""The condition of a flow, and the frame in which it sees parameter vectors."""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

# Between lower triangular matrices and their elements, with the logarithm of the diagonal.
_ROOTS = tfp.bijectors.FillScaleTriL(diag_bijector=tfp.bijectors.Exp(), diag_shift=None)


class Frame(NamedTuple):
    """The expected location and shape of a posterior, as a fitted summary returns it.

    :meth:`~bayesinn.summaries.Summary.whiten` makes the expected posterior standard normal; the
    flow learns the rest.
    """

    location: tf.Tensor  #: (n, d)
    root: tf.Tensor  #: (n, d, d), lower triangular root of the covariance
    #: (n, d), share of the information on each element that comes from the data, given the others:
    #: from 0 to nearly 1.
    information_fraction: tf.Tensor
    #: (n, d), the initial estimate from which the location was found; its network is trained by
    #: least squares.
    estimate: tf.Tensor


class Condition(NamedTuple):
    """The condition of a posterior: features (n, c), and the frame of the flow's parameter vectors.

    Features are summaries of the observables, then context.
    """

    features: tf.Tensor
    frame: Frame | None = None

    def flat(self) -> tf.Tensor:
        """Return everything as numbers, (n, k): to compare observations with simulations."""
        if self.frame is None:
            return self.features
        return tf.concat(
            [self.frame.estimate, _ROOTS.inverse(self.frame.root), self.features], axis=-1
        )
