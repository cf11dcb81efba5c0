"""The summary contract: data of one observable in, a vector out, or more entries for a flow."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.condition import FEATURES
from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_returned
from bayesinn.spaces.parameters import ParameterSpace
from bayesinn.summaries.elements import blank


class Summary(Configured, keras.layers.Layer):
    """A network that compresses one observable into a vector.

    An author derives from this class, writes :meth:`call`, and declares the accepted data in
    :attr:`shapes` and :attr:`masks`, which are checked before :meth:`call` runs. Declarations may
    also be set in the constructor. Data have all axes that the simulator gave them. Rows are
    independent: in training, the two halves of a batch may arrive in separate calls.
    """

    #: Accepted shapes, such as ``("(n, steps)", "(n, steps, channels)")``; empty: any shape.
    shapes: tuple[str, ...] = ()
    #: Whether observables of varying length, which come with a mask, are accepted.
    masks: bool = True
    #: Whether observables with missing values are accepted.
    missing: bool = True
    #: Whether steps without any value are masked like padding. If not, or if some values of a step
    #: are present, channels show which.
    gaps: bool = False
    #: Whether data arrive standardised (True), or as the simulator gave them (False).
    standardised: bool = True
    #: Whether all steps (steps,) of an observable are standardised alike, and not each by itself.
    alike: bool = False
    #: Whether data are images. Those of two axes, (height, width), may not have missing values:
    #: channels show which are present.
    images: bool = False
    #: Whether elements are sets or series of their own, whose last axis is taken for channels.
    nested: bool = False
    #: Observable or context with the times of steps, which is the first channel of the data; or
    #: None.
    times: str | None = None
    #: Kind of the second axis: steps in time, elements in any order, or neither.
    order: Literal["series", "set"] | None = None
    #: Whether there are :meth:`auxiliary_layers`, which are trained first if data are stored.
    trained_first: bool = False
    #: Entries of the condition that the summary's own losses and comparisons read.
    reads: frozenset[str] = frozenset()

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
            raise InputError(
                f"Data for {type(self).__name__}",
                expected=f"shape {' or '.join(self.shapes)}",
                got=f"{tuple(x.shape)}",
                do="choose a summary made for data of this shape, or change the observable",
            )
        if mask is not None and not self.masks:
            raise InputError(
                f"Data for {type(self).__name__}",
                expected="observables of one fixed length",
                got="a mask, so the length varies",
                do="summarise with ConvLSTM without positions and linear (series), or with DeepSet "
                "or SetTransformer (sets)",
            )
        if mask is not None and (len(mask.shape) != 2 or mask.shape[1] != x.shape[1]):
            raise InputError(
                f"Mask for {type(self).__name__}",
                expected=f"shape (n, {x.shape[1]}), one entry for each element of the data's "
                "second axis",
                got=f"{tuple(mask.shape)}",
                do="give a boolean mask that is True for data and False for padding",
            )
        if mask is not None:
            # Networks see zeros there, whatever the values are: the largest numbers would overflow
            # in layers before a mask, and spoil gradients.
            x = blank(x, mask)
        # Passed only if not None: a None would override the training flag of the calling layer.
        keywords = {"mask": mask, "training": training, "precomputed": precomputed}
        result = super().__call__(
            x, **{name: value for name, value in keywords.items() if value is not None}
        )
        entries = result if isinstance(result, Mapping) else {FEATURES: result}
        for name, value in entries.items():
            others = [None] if name == FEATURES else getattr(value, "shape", ())[1:]
            check_returned(
                f"{type(self).__name__}.call",
                repr(name),
                value,
                (x.shape[0], *others),
                "(n, k), a vector for each row" if name == FEATURES else "(n, ...)",
                "flatten, or pool over the other axes: tf.reduce_mean(h, axis=1)",
            )
        unnamed = [name for name in entries if not isinstance(name, str)]
        if unnamed or (set(entries) == {FEATURES} and entries[FEATURES].shape[1] == 0):
            raise InputError(
                f"{type(self).__name__}.call",
                expected="features of one number or more, or a dict of entries by their names",
                got=f"the name {unnamed[0]!r}" if unnamed else "no number for any row",
                do="return a tensor (n, k), or {'features': (n, k), ...}",
            )
        return result

    def bind(self, parameters: ParameterSpace) -> None:
        """Receive the space of the parameters, before there are weights.

        Most summaries don't use it.
        """

    def locate(self, coordinates: np.ndarray) -> None:
        """Receive the declared places (steps,) of steps, before all else.

        Dates are seconds. Most summaries don't use them.
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

        If training has all simulations before the first step, :meth:`call` gets these tensors as
        ``precomputed``.
        """
        return {}

    def placeholder(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return tensors like those of :meth:`precompute`, at no cost, to build the network.

        Their values are arbitrary.
        """
        return {}

    def auxiliary_layers(self) -> list[keras.layers.Layer]:
        """Return the layers that :meth:`auxiliary_loss` trains; by default none.

        :meth:`precompute` may depend on them. If training has all simulations before the first
        step, these layers are trained first, alone, and then fixed.
        """
        return []

    def auxiliary_loss(
        self, vector: tf.Tensor, x: tf.Tensor, entries: Mapping[str, tf.Tensor] | None = None
    ) -> tf.Tensor | None:
        """Return a loss (n,) that trains a part of this summary by itself; by default None.

        Its gradient is added to that of the flow's loss, whose value stays in nats.

        Parameters
        ----------
        vector : tensor (n, d), standardised parameters
        x : tensor (n, ...), the data
        entries : dict of name to tensor (n, ...)
            The condition that the flow reads, with the output of :meth:`call` for the data; None
            while the layers are trained alone.
        """
        return None

    def compared(self, condition: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        """Return entries (n, k) by which observations are compared with simulations.

        They are used beside the features; by default there are none.
        """
        return []

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> Any:
        """Return the summary (n, k) of data (n, ...), or a mapping with entries of the condition.

        The entry ``features`` is the summary (n, k). Other entries have any shape (n, ...), and
        names that a bijection or a flow reads, such as ``location`` and ``root`` of
        :class:`~bayesinn.flows.Framed`; a warning names entries that nothing reads.

        Where the mask is False, data are zeros. The amount of padding must not change the result.
        """
        raise NotImplementedError

    def compute_mask(self, x: tf.Tensor, previous_mask: tf.Tensor | None = None) -> None:
        """Return None, as a summary has no steps.

        By default, Keras would pass the mask on to the next layer.
        """
