"""The summary contract: data of one observable in, a vector out, or more entries for a flow."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections.bijection import FEATURES
from bayesinn.core.arrays import broadcast_mask
from bayesinn.core.configuration import Configured
from bayesinn.core.errors import InputError, check_returned
from bayesinn.spaces.parameters import ParameterSpace

# Elements of sets and steps of series, (n, elements, features), with a padding mask.
#
# The mask (n, elements) is False for padding.

POOLINGS = ("mean", "sum", "max", "mean+max")


def with_features(x: tf.Tensor) -> tf.Tensor:
    """Return data as (n, elements, features); a missing last axis is one feature."""
    return x[..., None] if x.shape.rank == 2 else x


def blank(h: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Return elements (n, elements, ...) with zeros as padding."""
    if mask is None:
        return h
    return tf.where(broadcast_mask(mask, h), h, tf.zeros_like(h))


def counts(x: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Return the number of elements of each row, at least one, (n, 1)."""
    if mask is None:
        return tf.fill((tf.shape(x)[0], 1), tf.cast(tf.shape(x)[1], x.dtype))
    # An empty set has no mean and no log size; counting it as one keeps the gradients of the others
    # finite.
    return tf.maximum(tf.reduce_sum(tf.cast(mask, x.dtype), axis=1, keepdims=True), 1.0)


def pool(h: tf.Tensor, mask: tf.Tensor | None, pooling: str) -> tf.Tensor:
    """Return elements pooled by one of :data:`POOLINGS`, (n, features) or twice the features.

    Padding is left out.
    """
    if pooling == "mean+max":
        return tf.concat([pool(h, mask, "mean"), pool(h, mask, "max")], axis=-1)
    if pooling == "max":
        largest = tf.reduce_max(
            h if mask is None else tf.where(mask[..., None], h, h.dtype.min), axis=1
        )
        # An empty set has no maximum; the smallest number would overflow in the next layer.
        return (
            largest
            if mask is None
            else tf.where(tf.reduce_any(mask, axis=1, keepdims=True), largest, 0.0)
        )
    total = tf.reduce_sum(blank(h, mask), axis=1)
    return total / counts(h, mask) if pooling == "mean" else total


def with_size(pooled: tf.Tensor, x: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Append log n and 1 / sqrt(n), which a mean hides though posterior widths depend on them."""
    size = counts(x, mask)
    return tf.concat([pooled, tf.math.log(size), tf.math.rsqrt(size)], axis=-1)


def last_state(recurrent: keras.layers.RNN, h: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Return the last state of a recurrent network, zero for a series without steps.

    On a GPU, cuDNN refuses a mask with an empty row. Such a row gets one step of zeros, whose
    result isn't used.
    """
    if mask is None:
        return recurrent(h)
    empty = tf.logical_not(tf.reduce_any(mask, axis=1, keepdims=True))
    first = tf.range(tf.shape(mask)[1]) == 0
    state = recurrent(tf.where(empty[..., None], tf.zeros_like(h), h), mask=mask | (empty & first))
    return tf.where(empty, tf.zeros_like(state), state)


class Summary(Configured, keras.layers.Layer):
    """A network that compresses one observable into a vector.

    An author writes

    - :meth:`call`, data in and a vector out;
    - :attr:`shapes`, :attr:`masks` and :attr:`order`, which say what data are accepted: they are
      checked before :meth:`call` runs.

    Optional, with defaults that suit most summaries:

    - :attr:`missing`, :attr:`gaps`, :attr:`images` and :attr:`nested`, where values may be missing;
      :attr:`standardised` and :attr:`times`, for data that arrive in another way
    - :meth:`initialize`, for weights that depend on data; :meth:`bind` and :meth:`locate`, for what
      is known before there are weights
    - :meth:`auxiliary_loss`, for a part with a loss of its own; with :meth:`auxiliary_layers`, that
      part is trained first; with :meth:`precompute` and :meth:`placeholder`, what depends on it is
      computed once; :attr:`reads` and :meth:`compared`, if these use other entries

    Declarations may also be set in the constructor. Data have all axes that the simulator gave
    them. Rows are independent: in training, the two halves of a batch may arrive in separate calls.
    """

    #: Accepted shapes, such as ``("(n, steps)", "(n, steps, channels)")``; empty: any shape.
    shapes: tuple[str, ...] = ()
    #: Whether observables of varying length, which come with a mask, are accepted.
    masks: bool = True
    #: Kind of the second axis: steps in time, elements in any order, or neither.
    order: Literal["series", "set"] | None = None
    #: Whether observables with missing values are accepted.
    missing: bool = True
    #: Whether steps without any value are masked like padding. If not, or if some values of a step
    #: are present, channels show which.
    gaps: bool = False
    #: Whether data are images. Those of two axes, (height, width), may not have missing values:
    #: channels show which are present.
    images: bool = False
    #: Whether elements are sets or series of their own, whose last axis is taken for channels.
    nested: bool = False
    #: Whether data arrive standardised (True), or as the simulator gave them (False).
    standardised: bool = True
    #: Observable or context with the times of steps, which is the first channel of the data; all
    #: steps are then standardised alike, and not each by itself.
    times: str | None = None
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

    @property
    def trained_first(self) -> bool:
        """Whether there are :meth:`auxiliary_layers`, trained first if data are stored."""
        return type(self).auxiliary_layers is not Summary.auxiliary_layers

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


def joint_name(observables: Sequence[str]) -> str:
    """Return the key of a network for these observables: their names, with commas between them."""
    return ", ".join(observables)


def observables_of(name: str) -> list[str]:
    """Return the observables that a network with this key sees."""
    return [part.strip() for part in name.split(",")]


def seen_raw(summaries: Mapping[str, Summary]) -> list[str]:
    """Return the observables that networks need as the simulator gave them, not standardised."""
    return [
        name
        for key, summary in summaries.items()
        if not summary.standardised
        for name in observables_of(key)
    ]


def scaled_alike(summaries: Mapping[str, Summary]) -> list[str]:
    """Return what has one mean and scale for all steps, as networks ask: observables and times."""
    names = []
    for key, summary in summaries.items():
        if summary.times is not None:
            names += [*observables_of(key), str(summary.times)]
    return names


def masked_gaps(summaries: Mapping[str, Summary], at_random: bool) -> dict[str, list[str]]:
    """Return, by observable, those that have no value at a step which its network leaves out.

    ``at_random`` says that values are missing by chance alone. If not, the time of a step without
    values tells something, where each step has its own.
    """
    skipped: dict[str, list[str]] = {}
    for key, summary in summaries.items():
        if summary.gaps and (at_random or summary.times is None):
            seen = [name for name in observables_of(key) if name != summary.times]
            skipped |= dict.fromkeys(observables_of(key), seen)
    return skipped


def side_by_side(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return observables with equal steps as channels of one, (n, steps, channels).

    A single one is unchanged.
    """
    return (
        values[0]
        if len(values) == 1
        else tf.concat([with_features(value) for value in values], axis=-1)
    )


def disagreement(
    observables: Sequence[str], shapes: Mapping[str, tuple[int, ...]], lengths: Mapping[str, str]
) -> str | None:
    """Return why observables can't be channels of one, or None if they can."""
    of_these = {name: shapes[name] for name in observables}
    if any(len(shape) not in (1, 2) for shape in of_these.values()):
        return f"shapes {of_these}, not all (steps,) or (steps, channels)"
    if len({shape[0] for shape in of_these.values()}) > 1:
        return f"shapes {of_these}, of different numbers of steps"
    if len({lengths.get(name) for name in observables}) > 1:
        return f"steps counted by { {name: lengths.get(name) for name in observables} }"
    return None
