"""The volume-preserving affine transform: it stretches some elements as it shrinks others."""

import dataclasses

import tensorflow as tf

from bayesinn.bijections.transforms.affine import Affine


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
