"""Transformers for series, and for sets whose elements have time stamps."""

import math

import numpy as np
import tensorflow as tf

from bayesinn.core.validation import check_type
from bayesinn.summaries.elements import blank, with_features
from bayesinn.summaries.set_transformer import SetTransformer

# A range of standardised times is 3 to 5 units.
_WAVELENGTHS = 16.0 / 2.0 ** np.arange(9)
# Number of steps in a unit, for series without coordinates: two are the shortest wavelength.
_STEPS_A_UNIT = 32.0


class Transformer(SetTransformer):
    """Summarise a series by attention between its steps, which know their times.

    Each step sees its time beside its data: the time itself, and sines and cosines of wavelengths
    from a sixteenth to sixteen standard deviations of all times. Nothing about times is learned.
    The times are

    - the observable or context ``times``, if each data set has times of its own, in any order;
    - else the coordinates that the simulator declares;
    - else the numbers of the steps.

    Steps beyond a length, and steps without any value, are left out; of other steps, the network
    sees which values are missing. With ``missing="mask"`` and times of its own, a step without
    values is seen, too: its time is informative.

    Parameters
    ----------
    width, heads, blocks : int, as for :class:`SetTransformer`
    times : str, optional
        Name of an observable (steps,) with the times of another observable's steps: the network
        sees both, ``summary={"t, level": Transformer(times="t")}``. Or name of such a context
        variable: ``summary={"level": Transformer(times="t")}``. If the network is called directly,
        times are the first channel. Steps are then a set without order and with unequal distances,
        and all are standardised alike.
    inducing_points, seeds, dropout : as for :class:`SetTransformer`

    References
    ----------
    Vaswani et al. (2017), Attention is all you need, arXiv:1706.03762. Lee et al. (2019), Set
    transformer, arXiv:1810.00825 (pooling).

    Examples
    --------
    >>> import tensorflow as tf
    >>> Transformer(units=16)(tf.ones((10, 50, 2))).shape
    TensorShape([10, 16])
    """

    shapes = ("(n, steps)", "(n, steps, channels)")

    def __init__(
        self,
        units: int = 32,
        width: int = 64,
        heads: int = 4,
        blocks: int = 2,
        times: str | None = None,
        inducing_points: int | None = None,
        seeds: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(units, width, heads, blocks, inducing_points, seeds, dropout)
        do = "pass for example times='t'"
        subject = "Transformer, argument 'times'"
        check_type(subject, times, (str, type(None)), "the name of an observable", do)
        self.times = times
        self.alike = times is not None
        self.order = "series" if times is None else "set"
        self.places: np.ndarray | None = None

    def locate(self, coordinates: np.ndarray) -> None:
        centred = coordinates - coordinates.mean()
        self.places = (centred / max(float(centred.std()), 1e-30)).astype(np.float32)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        x = with_features(x)
        if self.times is not None:
            times, x = tf.split(x, [1, x.shape[2] - 1], axis=-1)
        else:
            steps = tf.shape(x)[1]
            places = tf.cast(tf.range(steps), x.dtype) / _STEPS_A_UNIT
            if self.places is not None:
                places = tf.constant(self.places, x.dtype)[:steps]
            times = tf.broadcast_to(places[:, None], (tf.shape(x)[0], steps, 1))
        angles = times * tf.constant(2.0 * math.pi / _WAVELENGTHS, x.dtype)
        steps_with_times = tf.concat([x, times, tf.sin(angles), tf.cos(angles)], axis=-1)
        # Padding has no times either: all of it is equal.
        return super().call(blank(steps_with_times, mask), mask)
