"""The network of a posterior: summaries of the observables and context as condition, one flow."""

from collections.abc import Mapping
from types import MappingProxyType

import keras
import tensorflow as tf

from bayesinn.bijections.condition import EVERY, FEATURES, Condition, entry, warn_of_unread
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_returned
from bayesinn.flows import Flow
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import observables_of, side_by_side

Tensors = Mapping[str, tf.Tensor]


class PosteriorNetwork(keras.layers.Layer):
    """The density of parameter vectors given data, in the space where all is standardised."""

    def __init__(self, summaries: Mapping[str, Summary], flow: Flow) -> None:
        super().__init__(name="posterior", autocast=False)
        self.summaries = dict(summaries)
        self.flow = flow

    def build_weights(self, vector: tf.Tensor, inputs: Tensors, masks: Tensors) -> None:
        """Build all weights for a batch of these shapes; values are ignored."""
        self._call_once(vector, inputs, self.placeholder_condition(inputs, masks))

    def placeholder_condition(self, inputs: Tensors, masks: Tensors) -> dict[str, tf.Tensor]:
        """Return what :meth:`condition` does in shape, with other values and sooner."""
        placeholders = {
            key: summary.placeholder(self._seen(key, inputs))
            for key, summary in self.summaries.items()
        }
        return self.condition(inputs, masks, precomputed=placeholders)

    def precompute(self, inputs: Tensors) -> dict[str, dict[str, tf.Tensor]]:
        """Return what each summary can compute once for each simulation."""
        seen = {key: self._seen(key, inputs) for key in self.summaries}
        return {
            key: summary.precompute(seen[key], training=True)
            for key, summary in self.summaries.items()
        }

    def condition(
        self,
        inputs: Tensors,
        masks: Tensors,
        training: bool = False,
        precomputed: Mapping[str, Tensors] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Return what the flow reads: features, and other entries that summaries return.

        Features are the summaries, followed by the context.
        """
        condition: dict[str, tf.Tensor] = {}
        parts = []
        for key, summary in self.summaries.items():
            entries = self._entries(key, inputs, masks, training, precomputed or {})
            if FEATURES not in entries or set(entries) & set(condition):
                raise InputError(
                    f"Summary of {key!r}, {summary!r}",
                    expected=f"{FEATURES!r} and entries that no other summary returns",
                    got=f"{sorted(entries)}, beside {sorted(condition)}",
                    do="give the other observables another network, or the entries other names",
                )
            parts.append(entries.pop(FEATURES))
            condition |= entries
        parts.extend(inputs[name] for name in self._as_they_are(inputs))
        return {FEATURES: tf.concat(parts, axis=-1), **condition}

    def _entries(
        self,
        key: str,
        inputs: Tensors,
        masks: Tensors,
        training: bool = False,
        precomputed: Mapping[str, Tensors] = MappingProxyType({}),
    ) -> dict[str, tf.Tensor]:
        """Return what one summary returns, features and other entries."""
        # The observables of one network count their steps alike.
        mask = masks.get(observables_of(key)[0])
        known = precomputed.get(key) or None
        return dict(
            entry(self.summaries[key](self._seen(key, inputs), mask, training, known), EVERY)
        )

    def _as_they_are(self, inputs: Tensors) -> list[str]:
        """Return the names of inputs without a summary: context, and numbers that are few."""
        summarised = set()
        for key, summary in self.summaries.items():
            summarised.update([*observables_of(key), str(summary.times)])
        return [name for name in inputs if name not in summarised]

    def compared(self, condition: Condition) -> tf.Tensor:
        """Return the numbers (n, k) by which observations are compared with simulations."""
        others = [
            part for summary in self.summaries.values() for part in summary.compared(condition)
        ]
        return tf.concat([*others, condition[FEATURES]], axis=-1)

    def auxiliary_layers(self) -> list[keras.layers.Layer]:
        """Return the layers that :meth:`auxiliary_loss` trains."""
        return [
            layer for summary in self.summaries.values() for layer in summary.auxiliary_layers()
        ]

    def auxiliary_loss(
        self, vector: tf.Tensor, inputs: Tensors, condition: Condition | None = None
    ) -> tf.Tensor | None:
        """Return the sum (n,) of the summaries' own losses; see :meth:`Summary.auxiliary_loss`."""
        there = []
        for key, summary in self.summaries.items():
            loss = summary.auxiliary_loss(vector, self._seen(key, inputs), condition)
            if loss is not None:
                check_returned(
                    f"{type(summary).__name__}.auxiliary_loss",
                    "result",
                    loss,
                    vector.shape[:1],
                    "(n,), a loss for each row",
                    "add the losses of the elements of each row: tf.reduce_sum(each, axis=-1)",
                )
                there.append(tf.cast(loss, vector.dtype))
        return tf.add_n(there) if there else None

    def loss(
        self,
        vector: tf.Tensor,
        condition: Condition,
        seed: tf.Tensor,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        """Return the flow's loss (n,) for parameter vectors (n, d)."""
        return self.flow(vector, condition, seed=seed, progress=progress, training=training)

    def initialize(self, vector: tf.Tensor, inputs: Tensors, masks: Tensors) -> None:
        """Build all weights, and set those that depend on data, from a first batch."""
        for key, summary in self.summaries.items():
            summary.initialize(self._seen(key, inputs), masks.get(observables_of(key)[0]))
        condition = self.condition(inputs, masks)
        read = self.flow.entries.union(
            {FEATURES}, *(part.reads for part in self.summaries.values())
        )
        warn_of_unread(condition, read, ", ".join(map(repr, self.summaries.values())))
        self.flow.initialize(vector, condition)
        self._refuse_unread(inputs, masks)
        self._call_once(vector, inputs, condition)
        self.built = True

    def _call_once(self, vector: tf.Tensor, inputs: Tensors, condition: Condition) -> None:
        """Build every layer, the user's own included: each is called with correct shapes."""
        self.loss(vector, condition, tf.zeros((2,), tf.int32))
        self.auxiliary_loss(vector, inputs, condition)

    def _refuse_unread(self, inputs: Tensors, masks: Tensors) -> None:
        """Refuse a flow without a use for features where these alone hold some of the data."""
        if self.flow.entries & {FEATURES, EVERY}:
            return
        unread = self._as_they_are(inputs)
        for key in self.summaries:
            if set(self._entries(key, inputs, masks)) == {FEATURES}:
                unread.extend(observables_of(key))
        if unread:
            raise InputError(
                f"Flow {self.flow!r}",
                expected="a part that reads features: context, and what summaries say in vectors",
                got=f"none, so that the posterior would not depend on {', '.join(unread)}",
                do="pass bi.flows.image(..., dense=2), or a flow with couplings of vectors",
            )

    def _seen(self, key: str, inputs: Tensors) -> tf.Tensor:
        times = self.summaries[key].times
        names = [name for name in observables_of(key) if name != times]
        if times is not None:
            names.insert(0, times)
        return side_by_side([inputs[name] for name in names])
