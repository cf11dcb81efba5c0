"""The network of a latent mixture, and its evaluation on raw vectors or images."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows
from bayesinn.core.precision import full_precision
from bayesinn.inverse.bottleneck import Bottleneck
from bayesinn.inverse.class_normal import ClassNormal
from bayesinn.inverse.labelled_data import check_events
from bayesinn.spaces.data import Scaling
from bayesinn.training.round_trip import RoundTripMonitor
from bayesinn.training.trainable import Batch, Trainable

# To save memory.
_ROWS_AT_ONCE = 1024


class LatentMixtureNetwork(keras.layers.Layer):
    """The density log p(x | class): a bijection and a class-conditional latent, with weights.

    Latent events that are images are laid flat.
    """

    def __init__(
        self, chain: Bijection, latent: ClassNormal, classes: int, event_shape: Sequence[int]
    ) -> None:
        super().__init__(name="latent_mixture", autocast=False)
        self.chain = chain
        self.latent = latent
        self.dimension = math.prod(event_shape)
        self.chain.build(tuple(event_shape))
        self.latent.build(classes, self.dimension)
        self.built = True

    def encode(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return latent vectors (n, d) of events (n, *event), and log determinants (n,)."""
        z, log_det = self.chain.forward(x)
        return tf.reshape(z, (-1, self.dimension)), log_det

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """Return events (n, *event) of latent vectors (n, d)."""
        return self.chain.inverse(tf.reshape(z, (-1, *self.chain.latent_shape)))[0]

    def call(self, x: tf.Tensor, labels: tf.Tensor | None = None, training: bool = False) -> Any:
        """Return log densities (n,) of events (n, *event) given their classes (n,).

        Without classes, it returns what :meth:`encode` does; in training with dropout.
        """
        z, log_det = self.encode(x)
        if labels is None:
            return z, log_det
        return self.latent(z, labels, training=training) + log_det


class MixtureModel(Trainable):
    """Standardisation and network of a :class:`~bayesinn.inverse.LatentMixture`."""

    network: LatentMixtureNetwork

    def __init__(
        self,
        network: LatentMixtureNetwork,
        scaling: Scaling,
        noise: float,
        quantum: float,
        bottleneck: Bottleneck | None,
    ) -> None:
        self.network = network
        self.scaling = scaling
        self.noise = noise
        self.quantum = quantum
        self.bottleneck = bottleneck
        self._forward = AnyRows(network.encode, leading=(1,))
        self._inverse = AnyRows(network.decode, leading=(1,))

    @property
    def xla_pays(self) -> bool:  # type: ignore[override]
        return self.network.chain.xla_pays

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return standardised events of a raw batch with their noise, and labels."""
        x = tf.cast(batch["x"], tf.float32)
        for_quantum, for_noise = seeds.split(seed, 2)
        if self.quantum > 0:
            x += self.quantum * tf.random.stateless_uniform(tf.shape(x), for_quantum, alg="philox")
        x = self.scaling.apply(x)
        if self.noise > 0:
            x += self.noise * tf.random.stateless_normal(tf.shape(x), for_noise, alg="philox")
        return x, batch["labels"]

    def initialize(self, batch: Batch, seed: int) -> None:
        x, labels = self.prepare(batch, seeds.tensor_seed(seed, "dequantise"))
        self.network.chain.initialize(x)
        self.network.latent.set_from(self.network.encode(x)[0], labels)

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        x, labels = self.prepare(batch, seed)
        if self.bottleneck is None:
            return -self.network(x, labels, training=training) - self.log_det
        z, log_det = self.network(x, training=training)
        joint = self.network.latent.log_probs(z) + self.network.latent.log_weights
        return self.bottleneck.loss(
            joint, log_det + self.log_det, labels, dimension=self.network.dimension
        )

    def monitors(self, batch: Batch, seed: int) -> list[keras.callbacks.Callback]:
        noise = seeds.tensor_seed(seed, "dequantise")
        chain = self.network.chain
        return [RoundTripMonitor([chain], lambda: [(self.prepare(batch, noise)[0], None)])]

    def arrays(self) -> dict[str, np.ndarray]:
        return {"data/mean": self.scaling.mean, "data/scale": self.scaling.scale}

    def set_statistics(self, arrays: Mapping[str, np.ndarray], seed: int) -> None:
        """Set means and scales of classes to statistics over all training data, with noise."""
        x, labels = self.prepare(arrays, seeds.tensor_seed(seed, "latent"))
        self.network.latent.set_from(tf.constant(_in_pieces(self._codes, x.numpy())), labels)

    @property
    def log_det(self) -> float:
        """Log determinant of the map to standardised vectors."""
        return -float(np.log(self.scaling.scale.astype(np.float64)).sum())

    @full_precision()
    def class_log_probs(self, x: Any) -> np.ndarray:
        """Return log densities of raw events (n, *event) under every class, (n, k), float64."""

        def densities(rows: np.ndarray) -> tf.Tensor:
            # In double precision: sums of many squares hide the differences between classes.
            z, log_det = (tf.cast(part, tf.float64) for part in self._forward(rows))
            return self.network.latent.log_probs(z) + log_det[:, None]

        return _in_pieces(densities, self._standardised(x)) + self.log_det

    def joint_log_probs(self, x: Any) -> np.ndarray:
        """Return log densities of raw events (n, *event) and classes together, (n, k), float64."""
        return self.class_log_probs(x) + self.network.latent.log_weights.numpy().astype(np.float64)

    @full_precision()
    def encode(self, x: Any) -> np.ndarray:
        """Return latent vectors (n, d) of raw events."""
        return _in_pieces(self._codes, self._standardised(x))

    @full_precision()
    def decode(self, z: Any) -> np.ndarray:
        """Return raw events (n, *event) of latent vectors (n, d)."""
        z = check_events(z, (self.network.dimension,), "Argument 'z'")
        return self.scaling.invert(_in_pieces(self._inverse, z))

    def _standardised(self, x: Any) -> np.ndarray:
        return self.scaling.apply(check_events(x, self.scaling.mean.shape, "Argument 'x'")).numpy()

    def _codes(self, x: np.ndarray) -> tf.Tensor:
        return self._forward(x)[0]


def standardisation(x: np.ndarray, quantum: float) -> Scaling:
    """Measure the scaling of data (n, *event) with uniform noise; constants keep their scale.

    Elements of vectors have their own; those of images share that of their channel.
    """
    x = x.astype(np.float64)
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes)
    scale = np.sqrt(x.var(axis=axes) + quantum**2 / 12.0)
    scale = np.where(scale > 1e-6 * np.abs(mean), scale, 1.0)
    parts = (np.broadcast_to(part, x.shape[1:]) for part in (mean + 0.5 * quantum, scale))
    return Scaling(None, *(part.astype(np.float32) for part in parts))


def _in_pieces(function: Callable[[np.ndarray], tf.Tensor], rows: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [function(part) for part in np.split(rows, range(_ROWS_AT_ONCE, len(rows), _ROWS_AT_ONCE))]
    )
