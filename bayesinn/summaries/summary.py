"""The summary contract: data of one observable in, a vector out."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries.frame import Frame


class Summary(Configured, keras.layers.Layer):
    """A network that compresses one observable into a vector.

    An author derives from this class, writes :meth:`call`, and declares in :attr:`shapes` and
    :attr:`masks` what it accepts, which is checked before :meth:`call` runs. Data have all axes
    that the simulator gave them. Rows are independent: in training, the two halves of a batch may
    arrive in calls of their own.
    """

    #: Accepted shapes, such as ``("(n, steps)", "(n, steps, channels)")``; empty means any.
    shapes: ClassVar[tuple[str, ...]] = ()
    #: Whether observables of varying length, which come with a mask, are accepted.
    masks: ClassVar[bool] = True
    #: Whether data arrive standardised, or (False) as the simulator gave them.
    standardised: ClassVar[bool] = True
    #: The kind of the second axis: steps in time, elements in any order, or neither.
    order: ClassVar[Literal["series", "set"] | None] = None
    #: Whether :meth:`call` returns a :class:`Frame` with the features, as fitted summaries do.
    frames: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def __call__(
        self,
        x: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
        precomputed: Mapping[str, tf.Tensor] | None = None,
    ) -> Any:
        if self.shapes and len(x.shape) not in {shape.count(",") + 1 for shape in self.shapes}:
            expected = f"shape {' or '.join(self.shapes)}"
            got = f"{tuple(x.shape)}"
            do = "choose a summary made for data of this shape, or change the observable"
            raise InputError(f"Data for {type(self).__name__}", expected=expected, got=got, do=do)
        if mask is not None and not self.masks:
            expected = "observables of one fixed length"
            got = "a mask, so the length varies"
            do = "summarise with ConvLSTM (series), or DeepSet or SetTransformer (sets)"
            raise InputError(f"Data for {type(self).__name__}", expected=expected, got=got, do=do)
        if mask is not None and (len(mask.shape) != 2 or mask.shape[1] != x.shape[1]):
            expected = (
                f"shape (n, {x.shape[1]}), one entry for each element of the data's second axis"
            )
            got = f"{tuple(mask.shape)}"
            do = "give a boolean mask that is True for data and False for padding"
            raise InputError(f"Mask for {type(self).__name__}", expected=expected, got=got, do=do)
        # Given only if not None: a None would override the training flag of the layer that calls
        # this one.
        keywords = {"mask": mask, "training": training, "precomputed": precomputed}
        return super().__call__(
            x, **{name: value for name, value in keywords.items() if value is not None}
        )

    def bind(self, parameters: ParameterSpace) -> None:
        """Receive the space of the parameters, before there are weights.

        Most summaries don't use it.
        """

    def build(self, x_shape: Sequence[int]) -> None:
        """Do nothing: layers make their weights when first called.

        By default, Keras would trace :meth:`call` first.
        """

    def initialize(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> None:
        """Set weights that depend on data, from a first batch (n, ...).

        Most summaries have none.
        """

    def precompute(self, x: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Return costly tensors (n, ...) by name, not trained with the flow; by default none.

        Where training has all simulations before the first step, :meth:`call` gets them as
        ``precomputed``.
        """
        return {}

    def placeholder(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return tensors like those of :meth:`precompute`, at no cost, to build the network.

        Their values are arbitrary.
        """
        return {}

    def estimate(self, x: tf.Tensor) -> tf.Tensor:
        """Return the initial estimate (n, d) of the parameter vector, from which frames start."""
        raise NotImplementedError

    def estimator(self) -> list[keras.layers.Layer]:
        """Return the layers of the initial estimate, on which :meth:`precompute` depends."""
        return []

    def whiten(self, vector: tf.Tensor, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
        """Map vectors (n, d) into a frame with a standard normal posterior; also return log-det.

        The expected posterior is standard normal there.
        """
        offset, log_det = self.straighten(vector, frame)
        return tf.linalg.triangular_solve(frame.root, offset[..., None])[
            ..., 0
        ], log_det - _log_det(frame.root)

    def unwhiten(self, z: tf.Tensor, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
        """Invert :meth:`whiten`; the log determinant is that of d vector / d z."""
        vector, log_det = self.unstraighten(tf.linalg.matvec(frame.root, z), frame)
        return vector, log_det + _log_det(frame.root)

    def straighten(self, vector: tf.Tensor, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
        """Return offsets (n, d) of vectors from the location, and log determinants (n,).

        A summary that knows how a posterior is curved measures them along curved coordinates.
        """
        return vector - frame.location, tf.zeros_like(vector[:, 0])

    def unstraighten(self, offset: tf.Tensor, frame: Frame) -> tuple[tf.Tensor, tf.Tensor]:
        """Invert :meth:`straighten`; a frame of one row serves all offsets."""
        return frame.location + offset, tf.zeros_like(offset[:, 0])

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Return the summary (n, k) of data (n, ...); with :attr:`frames`, it and a :class:`Frame`.

        Neither padded values nor the amount of padding, where the mask is False, may influence the
        result.
        """
        raise NotImplementedError

    def compute_mask(self, x: tf.Tensor, previous_mask: tf.Tensor | None = None) -> None:
        """Return None, as a summary has no steps.

        By default, Keras would pass the mask on to the next layer.
        """


def _log_det(root: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.math.log(tf.linalg.diag_part(root)), axis=-1)
