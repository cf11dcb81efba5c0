"""Convolutions and a multilayer perceptron, for series of counts."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.summaries.summary import Summary, with_features

# From single cases to millions, asinh of a count is 1 to 15.
_CENTRE = 5.0
_WIDTH = 3.0
_GATHERED = 7
_STRIDE = 5
# The root's slope at zero is infinite.
_SMALLEST_COUNT = 1e-6


class CountSeries(Summary):
    """Summarise series of counts, all of one length, on two scales at once.

    On a logarithmic scale the growth of an epidemic is linear; a multilayer perceptron sees all of
    it, with separate weights for each step. On the scale of square roots the scatter of counts does
    not depend on their size. Convolutions of seasonal differences of the roots, which remove level
    and season, are compressed with asinh, and gathered by a second convolution for the perceptron.
    Counts need not be whole or positive.

    Parameters
    ----------
    filters : pair of int
        Filters of the convolutions: of ``season + 1`` differences at once, and of seven results at
        every fifth step.
    season : int
        Steps between the counts of a difference: 7 for days, if reporting depends on the weekday.

    Examples
    --------
    >>> import tensorflow as tf
    >>> CountSeries(units=16)(tf.ones((10, 81, 3))).shape
    TensorShape([10, 16])
    """

    shapes = ("(n, steps)", "(n, steps, channels)")
    masks = False
    order = "series"
    standardised = False

    def __init__(
        self,
        units: int = 64,
        hidden: Sequence[int] = (256, 256),
        filters: tuple[int, int] = (24, 48),
        season: int = 7,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        if len(filters) != 2:
            do = "start from the default: filters=(24, 48)"
            raise InputError(
                "CountSeries, argument 'filters'", expected="two numbers", got=f"{filters!r}", do=do
            )
        self.season = season
        self.differences = keras.layers.Conv1D(filters[0], season + 1)
        self.gather = keras.layers.Conv1D(
            filters[1], _GATHERED, strides=_STRIDE, activation=activation
        )
        layers = [keras.layers.Dense(count, activation=activation) for count in hidden]
        self.network = keras.Sequential([*layers, keras.layers.Dense(units)])

    @property
    def fewest_steps(self) -> int:
        """Smallest number of steps in a series."""
        return 2 * self.season + _GATHERED

    def build(self, x_shape: Sequence[int]) -> None:
        if x_shape[1] < self.fewest_steps:
            expected = f"{self.fewest_steps} steps or more, for a season of {self.season}"
            got = f"{x_shape[1]}"
            do = "choose a shorter season, or another summary such as MLP"
            raise InputError("Data for CountSeries", expected=expected, got=got, do=do)

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        x = with_features(x)
        logs = (tf.asinh(x) - _CENTRE) / _WIDTH
        roots = tf.sign(x) * tf.sqrt(tf.abs(x) + _SMALLEST_COUNT)
        changes = roots[:, self.season :] - roots[:, : -self.season]
        noise = tf.asinh(self.differences(changes))
        # Padding in front lets the last steps be gathered, too.
        noise = self.gather(
            tf.pad(noise, [[0, 0], [(_GATHERED - noise.shape[1]) % _STRIDE, 0], [0, 0]])
        )
        parts = [
            keras.ops.reshape(part, (-1, part.shape[1] * part.shape[2])) for part in (logs, noise)
        ]
        return self.network(tf.concat(parts, axis=-1))
