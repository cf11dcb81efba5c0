"""The rational-quadratic spline: a flexible monotone map inside a box, the identity outside."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.bijections.transforms.transform import Transform
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_integer, check_number


@dataclasses.dataclass(frozen=True, repr=False)
class Spline(Transform):
    """Map each element with a monotone rational-quadratic spline.

    Inside (-bound, bound) the spline runs through ``bins + 1`` knots. Outside, it is the
    identity; with all raw parameters zero, it is so everywhere. Use standardised values: those
    outside the box are not transformed. See Durkan, Bekasov, Murray and Papamakarios (2019), Neural
    spline flows, arXiv:1906.04032.

    Parameters
    ----------
    bins : int, number of pieces
    bound : float, half width of the box
    minimum_bin : float, smallest width and height of a piece, as a fraction of the box
    minimum_slope : float, smallest slope at a knot

    Examples
    --------
    >>> import tensorflow as tf
    >>> spline = Spline(bins=4)
    >>> z, log_slope = spline.forward(
    ...     tf.constant([[-7.0, 0.5]]), tf.zeros((1, 2, spline.parameters_per_element))
    ... )
    >>> [round(float(value), 3) for value in z[0]]
    [-7.0, 0.5]
    """

    bins: int = 8
    bound: float = 5.0
    minimum_bin: float = 1e-3
    minimum_slope: float = 1e-3

    def __post_init__(self) -> None:
        subject = f"{type(self).__name__}, argument"
        bins = check_integer(f"{subject} 'bins'", self.bins, do="pass for example 8")
        object.__setattr__(self, "bins", bins)
        for name in ("bound", "minimum_bin", "minimum_slope"):
            check_number(f"{subject} {name!r}", getattr(self, name), above=0)
        valid = self.bins >= 2 and 0 < self.minimum_bin * self.bins < 1
        if not (valid and 0 < self.minimum_slope < 1):
            raise InputError(
                repr(self),
                expected="at least 2 bins, a positive bound, 0 < bins * minimum_bin < 1 and 0 < "
                "minimum_slope < 1",
                got="values that no monotone spline has",
                do="start from the defaults: Spline(bins=8, bound=5.0)",
            )

    @property
    def parameters_per_element(self) -> int:
        return 3 * self.bins - 1

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Clamp before the formula, choose the tails after it: otherwise values outside give NaN
        # gradients.
        inside = tf.abs(x) < self.bound
        clamped = tf.clip_by_value(x, -self.bound, self.bound)
        bin_ = self._bin(clamped, raw, along_heights=False)
        position = tf.clip_by_value((clamped - bin_.left) / bin_.width, 0.0, 1.0)
        z, log_slope = bin_.evaluate(position)
        return tf.where(inside, z, x), tf.where(inside, log_slope, tf.zeros_like(x))

    def inverse(self, z: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        inside = tf.abs(z) < self.bound
        clamped = tf.clip_by_value(z, -self.bound, self.bound)
        bin_ = self._bin(clamped, raw, along_heights=True)
        position = bin_.solve(tf.clip_by_value((clamped - bin_.bottom) / bin_.height, 0.0, 1.0))
        x = bin_.left + bin_.width * position
        _, log_slope = bin_.evaluate(position)
        return tf.where(inside, x, z), tf.where(inside, -log_slope, tf.zeros_like(z))

    def _bin(self, values: tf.Tensor, raw: tf.Tensor, along_heights: bool) -> "_Bin":
        """Return the piece of the spline that each value falls into."""
        raw_widths, raw_heights, raw_slopes = tf.split(
            raw, [self.bins, self.bins, self.bins - 1], axis=-1
        )
        widths, lefts = self._pieces(raw_widths)
        heights, bottoms = self._pieces(raw_heights)
        # Zero means a slope of one, as at both ends of the box, where the identity goes on.
        raw_slopes = tf.pad(raw_slopes, [(0, 0), (0, 0), (1, 1)])
        inner_knots = (bottoms if along_heights else lefts)[..., 1:]
        index = tf.reduce_sum(tf.cast(values[..., None] >= inner_knots, tf.int32), axis=-1)
        one_hot = tf.one_hot(index, self.bins, dtype=values.dtype)
        # Slopes are chosen before their exponentials are taken, which are costly.
        return _Bin(
            _choose(lefts, one_hot),
            _choose(widths, one_hot),
            _choose(bottoms, one_hot),
            _choose(heights, one_hot),
            self._slope(_choose(raw_slopes[..., :-1], one_hot)),
            self._slope(_choose(raw_slopes[..., 1:], one_hot)),
        )

    def _slope(self, raw: tf.Tensor) -> tf.Tensor:
        """Return the slope at a knot."""
        shift = math.log(math.expm1(1.0 - self.minimum_slope))
        return self.minimum_slope + tf.nn.softplus(raw + shift)

    def _pieces(self, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the sizes of the pieces along one axis, and where each begins."""
        shares = self.minimum_bin + (1.0 - self.minimum_bin * self.bins) * tf.nn.softmax(
            raw, axis=-1
        )
        sizes = 2.0 * self.bound * shares
        # A matrix product: for a few bins it is much faster than a cumulative sum, and so is its
        # gradient.
        before = tf.constant(np.triu(np.ones((self.bins, self.bins)), 1), sizes.dtype)
        return sizes, tf.tensordot(sizes, before, axes=1) - self.bound


def _choose(pieces: tf.Tensor, one_hot: tf.Tensor) -> tf.Tensor:
    """Return one of the last axis, by a product: its gradient is much faster than a gather's."""
    return tf.reduce_sum(pieces * one_hot, axis=-1)


class _Bin(NamedTuple):
    """One piece of a spline per value: lower left corner, size, and slopes at both ends."""

    left: tf.Tensor
    width: tf.Tensor
    bottom: tf.Tensor
    height: tf.Tensor
    slope_left: tf.Tensor
    slope_right: tf.Tensor

    def evaluate(self, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return value and log slope at a relative position in [0, 1]."""
        mean_slope = self.height / self.width
        product = position * (1.0 - position)
        denominator = mean_slope + (self.slope_left + self.slope_right - 2.0 * mean_slope) * product
        value = (
            self.bottom
            + self.height * (mean_slope * position**2 + self.slope_left * product) / denominator
        )
        numerator = (
            self.slope_right * position**2
            + 2.0 * mean_slope * product
            + self.slope_left * (1.0 - position) ** 2
        )
        return value, 2.0 * tf.math.log(mean_slope) + tf.math.log(numerator) - 2.0 * tf.math.log(
            denominator
        )

    def solve(self, rise: tf.Tensor) -> tf.Tensor:
        """Return the relative position of a share of the height: a quadratic's stable root."""
        mean_slope = self.height / self.width
        curvature = rise * (self.slope_left + self.slope_right - 2.0 * mean_slope)
        quadratic = mean_slope - self.slope_left + curvature
        linear = self.slope_left - curvature
        constant = -mean_slope * rise
        discriminant = tf.maximum(linear**2 - 4.0 * quadratic * constant, 0.0)
        return tf.clip_by_value(2.0 * constant / (-linear - tf.sqrt(discriminant)), 0.0, 1.0)
