"""Images of whole numbers: their densities, in bits per dimension."""

import math
from collections.abc import Callable

import tensorflow as tf

from bayesinn.core.errors import InputError, check_integer
from bayesinn.flows.latents import Seed, check_seed

# The largest number of single precision below one.
_BELOW_ONE = 1.0 - 2.0**-24


def dequantise(images: tf.Tensor, levels: int = 256, *, seed: Seed) -> tf.Tensor:
    """Return grey levels from 0 to ``levels - 1`` as real numbers from 0 to 1, (n, *event).

    Each number is drawn uniformly from the interval of its level. Whole numbers have no bounded
    density: a flow would put a spike on each. See Theis, van den Oord and Bethge (2016), A note on
    the evaluation of generative models, arXiv:1511.01844.

    Examples
    --------
    >>> import tensorflow as tf
    >>> x = dequantise(tf.constant([[0, 1, 2, 3]]), levels=4, seed=(1, 2))
    >>> tf.floor(4.0 * x).numpy().tolist()
    [[0.0, 1.0, 2.0, 3.0]]
    """
    levels = check_integer("Argument 'levels'", levels, least=2, do="pass 256 for eight bits")
    values = tf.cast(images, tf.float32)
    if tf.executing_eagerly():
        _check_grey_levels(values, levels)
    noise = tf.random.stateless_uniform(tf.shape(values), check_seed(seed), alg="philox")
    # Rounded up, a large number would be of the next level.
    return tf.minimum(values + noise, (values + 1.0) * _BELOW_ONE) / levels


def bits_per_dimension(
    log_prob: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor, levels: int = 256, *, seed: Seed
) -> tf.Tensor:
    """Return bits per dimension (n,) of images of grey levels (n, *event); lower is better.

    A density implies a probability for each image of grey levels. The result is an upper bound on
    the bits of this probability, as in publications. The uniform density needs log2(levels).

    Parameters
    ----------
    log_prob : callable
        The log density (n,), in nats, of images from 0 to 1 as :func:`dequantise` returns them. It
        must include the log determinants of maps before a flow, such as a scale.
    images : tensor of whole numbers (n, *event), from 0 to ``levels - 1``
    levels : int, number of grey levels; 256 (default) for eight bits
    seed : two integers, or an int32 tensor (2,), for :func:`dequantise`

    Examples
    --------
    >>> import tensorflow as tf
    >>> uniform = lambda x: tf.zeros(len(x))
    >>> bits_per_dimension(uniform, tf.zeros((2, 8, 8, 1)), levels=16, seed=(1, 2)).numpy().tolist()
    [4.0, 4.0]
    """
    x = dequantise(images, levels, seed=seed)
    nats = -log_prob(x) / math.prod(x.shape[1:])
    return nats / math.log(2.0) + math.log2(levels)


def _check_grey_levels(values: tf.Tensor, levels: int) -> None:
    """Refuse images that are scaled already, or have more levels."""
    fits = (values == tf.floor(values)) & (values >= 0.0) & (values <= levels - 1.0)
    if not tf.reduce_all(fits):
        first = float(values[~fits][0])
        raise InputError(
            "Argument 'images'",
            expected=f"grey levels: whole numbers from 0 to {levels - 1}",
            got=f"{first:g} among them",
            do="give images as they were before any scaling, and their number of levels",
        )
