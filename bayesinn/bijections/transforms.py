"""Elementwise transforms: what a coupling or an autoregressive block does to each element.

A network computes their parameters.
"""

import abc
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import in_turn
from bayesinn.core.configuration import Recipe
from bayesinn.core.errors import (
    InputError,
    check_choice,
    check_integer,
    check_number,
    check_pair,
    check_returned,
)


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method so that what it returns has a number for each element."""

    @functools.wraps(method)
    def wrapper(self: Any, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        name = f"{type(self).__name__}.{method.__name__}"
        image, log_slope = check_pair(name, method(self, x, raw), "elements, and log slopes")
        expected = "a number for each element of x"
        for part, value in (("elements", image), ("log slopes", log_slope)):
            check_returned(name, part, value, x.shape, expected, "let the block add log slopes")
        return image, log_slope

    return wrapper


class Transform(Recipe, abc.ABC):
    """A monotone map of single elements, without weights of its own.

    The parameters arrive as raw network output, one vector per element. A transform is the identity
    if all raw parameters are zero, so that a new block is the identity. Subclasses are frozen
    dataclasses, with ``repr=False`` for a ``repr`` without defaults.
    """

    #: Whether each element's map depends on its own raw parameters alone, which autoregressive
    #: blocks need.
    elementwise = True
    #: Whether the log slopes of a row always sum to zero, so that blocks report a log-determinant
    #: of exactly 0.
    volume_preserving = False

    wrappers: ClassVar = {"forward": _checked, "inverse": _checked}

    @property
    @abc.abstractmethod
    def parameters_per_element(self) -> int:
        """Number of raw parameters of each element."""

    @abc.abstractmethod
    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map x (n, e) to latent z (n, e); return it and log dz/dx (n, e).

        The raw parameters are (n, e, parameters_per_element).
        """

    @abc.abstractmethod
    def inverse(self, z: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map z back; return x and log dx/dz."""


@dataclasses.dataclass(frozen=True, repr=False)
class Affine(Transform):
    r"""Scale and shift each element: :math:`z = x \exp(\rho(s)) + t`.

    The log scale is softly bounded, because the error of the inverse grows with the product of all
    scales in a stack of blocks. References are in :class:`Coupling`; its second one has the bound.

    Parameters
    ----------
    clamp : float, :math:`\alpha`, the largest absolute log scale
    clamping : {"atan", "steep atan", "tanh"}
        The soft bound :math:`\rho`. It differs between published codes; to repeat a result, set
        ``clamp`` and ``clamping``.

        - "atan": :math:`(2 \alpha / \pi) \arctan(s / \alpha)`, with slope 0.64 at zero.
        - "steep atan": :math:`(2 \alpha / \pi) \arctan(s)`, with slope 0.64 :math:`\alpha`.
        - "tanh": :math:`\alpha \tanh(s / \alpha)`, with slope 1.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_slope = Affine().forward(tf.constant([[3.0]]), raw=tf.constant([[[0.0, 1.0]]]))
    >>> float(z[0, 0]), float(log_slope[0, 0])
    (4.0, 0.0)
    """

    parameters_per_element = 2

    clamp: float = 1.9
    clamping: str = "atan"

    def __post_init__(self) -> None:
        subject = f"{type(self).__name__}, argument"
        check_number(
            f"{subject} 'clamp'",
            self.clamp,
            above=0,
            do="leave it at 1.9, or take 1 for very deep stacks and up to 4 for shallow ones",
        )
        check_choice(f"{subject} 'clamping'", self.clamping, ("atan", "steep atan", "tanh"))

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        log_scale = self._log_scale(raw[..., 0])
        return x * tf.exp(log_scale) + raw[..., 1], log_scale

    def inverse(self, z: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        log_scale = self._log_scale(raw[..., 0])
        return (z - raw[..., 1]) * tf.exp(-log_scale), -log_scale

    def _log_scale(self, raw: tf.Tensor) -> tf.Tensor:
        """Squash raw log scales smoothly into (-clamp, clamp)."""
        if self.clamping == "tanh":
            return self.clamp * tf.tanh(raw / self.clamp)
        return (2.0 * self.clamp / math.pi) * tf.atan(
            raw / self.clamp if self.clamping == "atan" else raw
        )


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


@dataclasses.dataclass(frozen=True, repr=False)
class Composed(Transform):
    """Apply transforms in the order given.

    ``Composed([Affine(), Spline()])`` first moves an element to the location and scale of the
    spline's knots. This matters for narrow distributions that move with the condition.

    Examples
    --------
    >>> from bayesinn.bijections.transforms import Affine, Spline
    >>> Composed([Affine(), Spline(bins=8)]).parameters_per_element
    25
    """

    transforms: Sequence[Transform]

    def __post_init__(self) -> None:
        # A tuple, so that equal compositions compare equal, whether given lists or tuples.
        object.__setattr__(self, "transforms", tuple(self.transforms))
        if not self.transforms or not all(
            isinstance(transform, Transform) for transform in self.transforms
        ):
            raise InputError(
                "Composed, argument 'transforms'",
                expected="one or more transforms",
                got=repr(self.transforms),
                do="write for example Composed([Affine(), Spline()])",
            )
        for name in ("elementwise", "volume_preserving"):
            object.__setattr__(
                self, name, all(getattr(transform, name) for transform in self.transforms)
            )

    @property
    def parameters_per_element(self) -> int:
        return sum(transform.parameters_per_element for transform in self.transforms)

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps = [partial(transform.forward, raw=part) for transform, part in self._parts(raw)]
        return in_turn(maps, x, tf.zeros_like(x))

    def inverse(self, z: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps = [
            partial(transform.inverse, raw=part) for transform, part in reversed(self._parts(raw))
        ]
        return in_turn(maps, z, tf.zeros_like(z))

    def _parts(self, raw: tf.Tensor) -> list[tuple[Transform, tf.Tensor]]:
        """Return each transform with its raw parameters."""
        sizes = [transform.parameters_per_element for transform in self.transforms]
        return list(zip(self.transforms, tf.split(raw, sizes, axis=-1), strict=True))


@dataclasses.dataclass(frozen=True, repr=False)
class Additive(Transform):
    """Shift each element, z = x + t: the couplings of NICE, and the blocks of reversible networks.

    It keeps volumes, and rounding errors don't grow by scales: of all transforms, it suits
    reversible chains of many blocks best. For densities it is weak, as it can't stretch: take
    :class:`Affine` or :class:`Spline`.

    References
    ----------
    Dinh, Krueger and Bengio (2015), NICE: Non-linear independent components estimation,
    arXiv:1410.8516.
    Gomez, Ren, Urtasun and Grosse (2017), The reversible residual network, arXiv:1707.04585.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_slope = Additive().forward(tf.constant([[3.0]]), raw=tf.constant([[[1.0]]]))
    >>> float(z[0, 0]), float(log_slope[0, 0])
    (4.0, 0.0)
    """

    parameters_per_element = 1
    volume_preserving = True

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return x + raw[..., 0], tf.zeros_like(x)

    def inverse(self, z: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return z - raw[..., 0], tf.zeros_like(z)


@dataclasses.dataclass(frozen=True, repr=False)
class VolumePreserving(Affine):
    r"""Scale and shift each element, the scales of a row with product one: a coupling of GIN.

    The log scales are softly bounded by ``clamp`` and ``clamping`` as in :class:`Affine`; then
    their mean over the row is subtracted. They stay within twice the bound and sum to zero: the
    log-determinant is exactly 0. A single element is only shifted.

    A whole flow keeps volumes only if nothing else changes them: leave out :class:`ActNorm`, whose
    scales are free. Such a flow can't stretch a direction without shrinking another. So the scatter
    of the latent elements shows which directions of the data are informative. See
    Sorrenson, Rother and Köthe (2020), Disentanglement by nonlinear ICA with general
    incompressible-flow networks (GIN), arXiv:2001.04872.

    Examples
    --------
    >>> import tensorflow as tf
    >>> raw = tf.constant([[[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]])
    >>> z, log_slope = VolumePreserving().forward(tf.ones((1, 3)), raw)
    >>> abs(float(tf.reduce_sum(log_slope))) < 1e-6
    True
    """

    elementwise = False
    volume_preserving = True

    def _log_scale(self, raw: tf.Tensor) -> tf.Tensor:
        # Clamped first: the other way round, the sum wouldn't be zero.
        log_scale = super()._log_scale(raw)
        return log_scale - tf.reduce_mean(log_scale, axis=-1, keepdims=True)
