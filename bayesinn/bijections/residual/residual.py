"""Residual blocks: add a function with slope below one, which keeps the sum invertible."""

from collections.abc import Sequence

import tensorflow as tf

from bayesinn.bijections.bijection import Bijection, as_vectors, check_maps, constant_log_det
from bayesinn.bijections.condition import FEATURES
from bayesinn.bijections.residual.fixed_point import (
    fixed_point,
    least_error,
    with_implicit_gradient,
)
from bayesinn.bijections.residual.linearization import to_images
from bayesinn.bijections.residual.lipschitz import ACTIVATIONS, LipschitzNetwork
from bayesinn.bijections.residual.log_det_series import Geometric, Law, SeriesNoise, series_log_det
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_choice, check_integer, check_number

LOG_DETS = ("exact", "unbiased", "truncated")
# Default tolerance of an inverse.
_TOLERANCES = {"float32": 1e-6, "float64": 1e-12}
# Largest tolerance of an inverse from which inputs can be recomputed.
_ACCURATE = 1e-4


class Residual(Bijection):
    """The map z = x + g(x, condition), g a network with slope in x of at most ``lipschitz``.

    All elements of a vector act on all others at once: there are no halves, no order, and no
    rotations in between. The inverse has no formula. It is found by iterating x = z - g(x): each
    step shrinks the error at least by the factor ``lipschitz``. Drawing takes much longer than
    evaluating the density. Evaluation always gives the exact log-determinant. Training may use an
    estimate, which pays for tens of elements.

    For images, g is made of convolutions; conditions are vectors, or maps of the same height and
    width in an entry of their own. The exact log-determinant takes as many passes through g as an
    image has elements.

    Parameters
    ----------
    hidden : sequence of int, units or filters of the hidden layers in g
    lipschitz : float
        Bound of the slope of g in x, between 0 and 1. The slope in the condition isn't limited.
    activation : {"lipswish", "elu"}
    log_det : {"exact", "unbiased", "truncated"}
        Log-determinant in training.

        - "exact": from the full Jacobian
        - "unbiased": a power series of random length, which is correct on average
        - "truncated": the first terms of that series, which is biased
    terms : int, number of terms that are always taken, if the series is used
    law : Geometric or Poisson
        Distribution of the number of further terms for ``log_det="unbiased"``.
    tolerance : float, optional
        Largest error of the inverse, relative to lengths above one. By default 1e-6 in single and
        1e-12 in double precision. With eps the spacing of numbers at one, the error can't be kept
        below 4 eps lipschitz / (1 - lipschitz): 4e-6 in single precision for a slope of 0.9.
    kernel_size : int
        Odd side, in pixels, of the kernel of the first and the last convolution.
    reads : str, entry of the condition that g sees

    References
    ----------
    Behrmann, Grathwohl, Chen, Duvenaud and Jacobsen (2019), Invertible residual networks,
    arXiv:1811.00995.
    Chen, Behrmann, Duvenaud and Jacobsen (2019), Residual flows for invertible generative modeling,
    arXiv:1906.02735.

    Examples
    --------
    >>> import tensorflow as tf
    >>> z, log_det = Residual(hidden=(32, 32)).forward(tf.ones((10, 3)), condition=tf.ones((10, 5)))
    >>> z.shape, log_det.shape
    (TensorShape([10, 3]), TensorShape([10]))
    """

    event_rank = None

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        lipschitz: float = 0.9,
        activation: str = "lipswish",
        log_det: str = "exact",
        terms: int = 5,
        law: Law = Geometric(),
        tolerance: float | None = None,
        kernel_size: int = 3,
        reads: str = FEATURES,
    ) -> None:
        super().__init__()
        subject = "Residual, argument"
        for units in hidden:
            check_integer(f"{subject} 'hidden'", units, do="take (64, 64)")
        do = "take 0.9; nearer to 1, a block is more flexible and takes longer to invert"
        check_number(f"{subject} 'lipschitz'", lipschitz, above=0, below=1, do=do)
        do = (
            "take 'lipswish'; ReLU has no second derivative, and the log-determinant would give "
            "no gradient"
        )
        check_choice(f"{subject} 'activation'", activation, ACTIVATIONS, do)
        check_choice(
            f"{subject} 'log_det'",
            log_det,
            LOG_DETS,
            "take 'exact' for up to a few tens of elements",
        )
        check_integer(f"{subject} 'terms'", terms, do="take 5")
        if tolerance is not None:
            check_number(
                f"{subject} 'tolerance'",
                tolerance,
                above=0,
                below=1,
                do="leave it out, or take 1e-6",
            )
        check_integer(f"{subject} 'kernel_size'", kernel_size, do="take 3")
        if kernel_size % 2 == 0:
            raise InputError(
                f"{subject} 'kernel_size'",
                expected="an odd number",
                got=str(kernel_size),
                do="take 3",
            )
        self.hidden = tuple(hidden)
        self.lipschitz = lipschitz
        self.activation = activation
        self.log_det = log_det
        self.terms = terms
        self.law = law
        self.tolerance = tolerance
        self.kernel_size = kernel_size
        self.reads = reads
        # From a rough inverse, a reversible chain would compute wrong gradients.
        error = max(self._tolerance, least_error(lipschitz, self.variable_dtype))
        self.accurate_inverse = error <= _ACCURATE

    @property
    def _tolerance(self) -> float:
        if self.tolerance is not None:
            return self.tolerance
        return _TOLERANCES.get(self.variable_dtype, 1e-6)

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        size = self.event_shape[:-1]
        check_maps(self, size)
        # Convolutions are as fast without.
        self.xla_pays = not size
        dtype = self.variable_dtype
        self.network = LipschitzNetwork(
            self.channels,
            self.condition_dimension,
            self.hidden,
            self.lipschitz,
            self.activation,
            dtype,
            size,
            self.kernel_size,
        )
        law = self.law if self.log_det == "unbiased" else None
        self.noise = None if self.log_det == "exact" else SeriesNoise(self.terms, law, dtype)

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        vectors = as_vectors(x)
        g, linear = self.network.linearize(vectors, self.network.given(condition))
        noise = None if self.noise is None else self.noise(vectors)
        log_det = linear.log_det() if noise is None else series_log_det(linear, *noise)
        # If g is affine, the log-determinant is the same for all rows; adding zeros repeats it.
        return to_images(vectors + g, self.event_shape[:-1]), log_det + constant_log_det(x)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        linearize = self.network.linearize
        given = self.network.given(condition)
        tolerance = self._tolerance
        z = as_vectors(z)
        fixed_z, fixed = tf.nest.map_structure(tf.stop_gradient, (z, given))
        solution = fixed_point(
            lambda x: fixed_z - linearize(x, fixed)[0], fixed_z, self.lipschitz, tolerance
        )
        # One more step, which gradients flow through.
        value, linear = linearize(solution, given)
        x = with_implicit_gradient(z - value, linear, self.lipschitz, tolerance)
        log_det = constant_log_det(x) - linearize(x, given)[1].log_det()
        return to_images(x, self.event_shape[:-1]), log_det
