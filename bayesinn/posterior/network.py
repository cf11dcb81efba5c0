"""The network of a posterior: summaries and context as condition, a frame, one flow.

The summaries are those of the observables.
"""

from collections.abc import Mapping

import keras
import tensorflow as tf

from bayesinn.core.compilation import map_tensors
from bayesinn.flows import Flow
from bayesinn.summaries import Condition, Summary
from bayesinn.summaries.joint import observables_of, side_by_side

Tensors = Mapping[str, tf.Tensor]


class PosteriorNetwork(keras.layers.Layer):
    """The density of parameter vectors given data, in the space where all is standardised."""

    def __init__(self, summaries: Mapping[str, Summary], flow: Flow) -> None:
        super().__init__(name="posterior", autocast=False)
        self.summaries = dict(summaries)
        self.flow = flow

    @property
    def framing(self) -> tuple[str, Summary] | None:
        """The summary that returns a frame, with its key; None if there is none."""
        return next(
            ((key, summary) for key, summary in self.summaries.items() if summary.frames), None
        )

    def build_weights(self, vector: tf.Tensor, inputs: Tensors, masks: Tensors) -> None:
        """Build all weights for a batch of these shapes, whose values play no part."""
        placeholders = {
            key: summary.placeholder(self._seen(key, inputs))
            for key, summary in self.summaries.items()
        }
        self.loss(
            vector,
            self.condition(inputs, masks, precomputed=placeholders),
            tf.zeros((2,), tf.int32),
        )

    def precompute(self, inputs: Tensors) -> dict[str, dict[str, tf.Tensor]]:
        """Return what each summary can compute once for each simulation."""
        seen = {key: self._seen(key, inputs) for key in self.summaries}
        return {
            key: summary.precompute(seen[key], training=True)
            for key, summary in self.summaries.items()
        }

    def estimator(self) -> list[keras.layers.Layer]:
        """Return the layers of the initial estimate, none without a frame."""
        return [] if self.framing is None else self.framing[1].estimator()

    def estimate(self, inputs: Tensors) -> tf.Tensor:
        """Return the initial estimate (n, d) of the summary with a frame."""
        assert self.framing is not None
        key, summary = self.framing
        return summary.estimate(self._seen(key, inputs))

    def condition(
        self,
        inputs: Tensors,
        masks: Tensors,
        training: bool = False,
        precomputed: Mapping[str, Tensors] | None = None,
    ) -> Condition:
        """Return the flow's condition: summaries, then context, and the frame if there is one.

        A summary may return the frame.
        """
        parts = []
        summarised = set()
        frame = None
        for key, summary in self.summaries.items():
            names = observables_of(key)
            summarised.update(names)
            # The observables of one network count their steps alike.
            mask = masks.get(names[0])
            known = (precomputed or {}).get(key) or None
            features = summary(self._seen(key, inputs), mask, training, known)
            if summary.frames:
                features, frame = features
            parts.append(features)
        parts.extend(value for name, value in inputs.items() if name not in summarised)
        return Condition(tf.concat(parts, axis=-1), frame)

    def loss(
        self,
        vector: tf.Tensor,
        condition: Condition,
        seed: tf.Tensor,
        progress: tf.Tensor | float = 1.0,
        training: bool = False,
    ) -> tf.Tensor:
        """Return what training minimises (n,), for parameter vectors (n, d)."""
        z, log_det = self.whiten(vector, condition)
        loss = self.flow(z, condition.features, seed=seed, progress=progress, training=training)
        if condition.frame is not None:
            loss = loss - log_det if self.flow.nats else loss
            squares = squared_distance(vector, condition.frame.estimate)
            # It trains the initial estimate and has no part in the value, which stays in nats. The
            # difference first: it is exactly zero, whatever the loss.
            loss += squares - tf.stop_gradient(squares)
        return loss

    def log_prob(self, vector: tf.Tensor, condition: Condition) -> tf.Tensor:
        """Return the log density (n,) of parameter vectors (n, d), where the flow has one."""
        z, log_det = self.whiten(vector, condition)
        return self.flow.log_prob(z, condition.features) + log_det

    def sample(self, n: tf.Tensor, condition: Condition, seed: tf.Tensor) -> tf.Tensor:
        """Draw vectors (m, n, d) for m conditions."""
        z = self.flow.sample(n, condition.features, seed=seed)
        frame = condition.frame
        framing = self.framing
        if frame is None or framing is None:
            return z
        offset = tf.matmul(z, frame.root, transpose_b=True)
        # A single row serves all draws as it is.
        repeats = tf.where(tf.shape(z)[0] == 1, 1, tf.shape(z)[1])
        # The root has been applied; it would be large.
        rest = frame._replace(root=frame.root[:, :0])
        frame = map_tensors(lambda part: tf.repeat(part, repeats, axis=0), rest)
        vector, _ = framing[1].unstraighten(tf.reshape(offset, (-1, z.shape[-1])), frame)
        return tf.reshape(vector, tf.shape(z))

    def encode(self, vector: tf.Tensor, condition: Condition) -> tf.Tensor:
        """Return latent codes (n, d) of vectors (n, d), where the flow has them."""
        return self.flow.encode(self.whiten(vector, condition)[0], condition.features)

    def decode(self, latent: tf.Tensor, condition: Condition) -> tf.Tensor:
        """Return vectors (n, d) of latent codes (n, d), where the flow has them."""
        return self.unwhiten(self.flow.decode(latent, condition.features), condition)[0]

    def initialize(self, vector: tf.Tensor, inputs: Tensors, masks: Tensors) -> None:
        """Build all weights, and set those that depend on data, from a first batch."""
        for key, summary in self.summaries.items():
            summary.initialize(self._seen(key, inputs), masks.get(observables_of(key)[0]))
        condition = self.condition(inputs, masks)
        self.flow.initialize(self.whiten(vector, condition)[0], condition.features)
        # A call with a batch of the right shapes builds every layer, the user's own included.
        self.loss(vector, condition, tf.zeros((2,), tf.int32))
        self.built = True

    def bijection_inputs(
        self, vector: tf.Tensor, condition: Condition
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Return what the bijection inside the flow sees; see :meth:`Flow.bijection_inputs`."""
        return self.flow.bijection_inputs(self.whiten(vector, condition)[0], condition.features)

    def whiten(self, vector: tf.Tensor, condition: Condition) -> tuple[tf.Tensor, tf.Tensor]:
        """Map vectors (n, d) into the frame, if there is one; one condition (1, c) serves all.

        With log_det (n,).
        """
        if condition.frame is None or self.framing is None:
            return vector, tf.zeros_like(vector[:, 0])
        return self.framing[1].whiten(vector, condition.frame)

    def unwhiten(self, z: tf.Tensor, condition: Condition) -> tuple[tf.Tensor, tf.Tensor]:
        """Invert :meth:`whiten`."""
        if condition.frame is None or self.framing is None:
            return z, tf.zeros_like(z[:, 0])
        return self.framing[1].unwhiten(z, condition.frame)

    def _seen(self, key: str, inputs: Tensors) -> tf.Tensor:
        return side_by_side([inputs[name] for name in observables_of(key)])


def squared_distance(vector: tf.Tensor, estimate: tf.Tensor) -> tf.Tensor:
    """Return half the squared distance (n,) of estimates from vectors (n, d).

    It is zero where it is not finite.
    """
    distance = 0.5 * tf.reduce_sum((tf.stop_gradient(vector) - estimate) ** 2, axis=-1)
    return tf.where(tf.math.is_finite(distance), distance, 0.0)
