"""The affine transform: scale and shift, with a soft bound on the scale."""

import dataclasses
import math

import tensorflow as tf

from bayesinn.bijections.transforms.transform import Transform
from bayesinn.core.validation import check_choice, check_number


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
