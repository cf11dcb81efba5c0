"""The information bottleneck, a balance of the density of data against their classification."""

import math
from dataclasses import dataclass

import tensorflow as tf

from bayesinn.core.configuration import Recipe
from bayesinn.core.validation import check_number


@dataclass(frozen=True, repr=False)
class Bottleneck(Recipe):
    r"""The loss :math:`\frac{2}{1 + \beta} (L_X + \beta L_Y)` of a generative classifier.

    :math:`L_X = -\log p(x) / d` is the loss of the density of x (d elements) under all classes
    together, in nats per element. :math:`L_Y = -\log p(y \mid x)` is the cross-entropy of the
    class, in nats. They bound the information that the latent keeps about x from above, and about y
    from below; the first bound is finite only with ``noise`` on the data. A small ``beta`` gives a
    good density, a large one good classification. ``beta = 1 / d`` is the loss without a
    bottleneck, -log p(x | y).

    Parameters
    ----------
    beta : float, from 0 (the density alone) to ``math.inf`` (the classes alone)
    smoothing : float
        Share of each label that is spread evenly over all classes. Without it, the best means drift
        apart for ever; with it, :math:`L_Y` is at least the entropy of such a label.

    References
    ----------
    Ardizzone, Mackowiak, Rother and Köthe (2020), Training normalizing flows with the information
    bottleneck for competitive generative classification, arXiv:2001.06448.

    Examples
    --------
    >>> import tensorflow as tf
    >>> joint = tf.constant([[-2.0, -4.0]])
    >>> for beta in (0.0, 1.0, math.inf):
    ...     loss = Bottleneck(beta).loss(joint, tf.zeros(1), labels=tf.constant([0]), dimension=2)
    ...     print(round(float(loss[0]), 3))
    1.873
    1.063
    0.254
    """

    beta: float = 1.0
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.beta != math.inf:
            check_number(
                "Bottleneck, argument 'beta'", self.beta, least=0, do="pass 1.0, or math.inf"
            )
        check_number(
            "Bottleneck, argument 'smoothing'",
            self.smoothing,
            least=0,
            below=1,
            do="leave it out, or pass 0.01",
        )

    def loss(
        self, joint: tf.Tensor, log_det: tf.Tensor, labels: tf.Tensor, dimension: int
    ) -> tf.Tensor:
        """Return losses (n,) of events with ``dimension`` elements.

        Parameters
        ----------
        joint : tensor (n, k), log densities of latent and class together
        log_det : tensor (n,), log determinants of the map from events to the latent
        labels : tensor (n,), numbers of the classes
        dimension : int, number of elements of an event
        """
        marginal = tf.reduce_logsumexp(joint, axis=1)
        classes = joint.shape[1]
        targets = (1.0 - self.smoothing) * tf.one_hot(labels, classes, dtype=joint.dtype)
        targets += self.smoothing / classes
        # Without the log determinants: they are large, and differences of classes would lose
        # digits.
        cross_entropy = -tf.reduce_sum(targets * (joint - marginal[:, None]), axis=1)
        # A share, because infinity divided by infinity is no number.
        share = 1.0 if self.beta == math.inf else self.beta / (1.0 + self.beta)
        density = -(marginal + log_det) / dimension
        return 2.0 * ((1.0 - share) * density + share * cross_entropy)
