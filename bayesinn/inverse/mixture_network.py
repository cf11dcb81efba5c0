"""The network of a latent mixture, and its evaluation on raw vectors."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.core import seeds
from bayesinn.core.compilation import AnyRows
from bayesinn.inverse.class_normal import ClassNormal
from bayesinn.inverse.labelled_data import check_vectors
from bayesinn.spaces.data import Scaling
from bayesinn.training.round_trip import RoundTripMonitor
from bayesinn.training.trainable import Batch, Trainable

# To save memory.
_ROWS_AT_ONCE = 4096


class MixtureNetwork(keras.layers.Layer):
    """The density log p(x | class): a bijection and a class-conditional latent, with weights."""

    def __init__(self, chain: Bijection, latent: ClassNormal, classes: int, dimension: int) -> None:
        super().__init__(name="latent_mixture", autocast=False)
        self.chain = chain
        self.latent = latent
        self.chain.build((dimension,))
        self.latent.build(classes, dimension)
        self.built = True

    def call(self, x: tf.Tensor, labels: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return log densities (n,) of vectors (n, d) given their classes (n,)."""
        z, log_det = self.chain.forward(x)
        return self.latent(z, labels, training=training) + log_det


class MixtureModel(Trainable):
    """Standardisation and network of a :class:`~bayesinn.inverse.LatentMixture`."""

    network: MixtureNetwork

    def __init__(
        self, network: MixtureNetwork, scaling: Scaling, noise: float, quantum: float
    ) -> None:
        self.network = network
        self.scaling = scaling
        self.noise = noise
        self.quantum = quantum
        self._forward = AnyRows(network.chain.forward, leading=(1,))
        self._inverse = AnyRows(lambda z: network.chain.inverse(z)[0], leading=(1,))

    @property
    def xla_pays(self) -> bool:  # type: ignore[override]
        return self.network.chain.xla_pays

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return standardised vectors of a raw batch with their noise, and labels."""
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
        self.network.latent.set_from(self.network.chain.forward(x)[0], labels)

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        return -self.network(*self.prepare(batch, seed), training=training) - self.log_det

    def monitors(self, batch: Batch, seed: int) -> list[keras.callbacks.Callback]:
        noise = seeds.tensor_seed(seed, "dequantise")
        return [RoundTripMonitor(self.network.chain, lambda: (self.prepare(batch, noise)[0], None))]

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

    def class_log_probs(self, x: Any) -> np.ndarray:
        """Return log densities of raw vectors (n, d) under every class, (n, k), float64."""

        def densities(rows: np.ndarray) -> tf.Tensor:
            z, log_det = self._forward(rows)
            return self.network.latent.log_probs(z) + log_det[:, None]

        return _in_pieces(densities, self._standardised(x)).astype(np.float64) + self.log_det

    def joint_log_probs(self, x: Any) -> np.ndarray:
        """Return log densities of raw vectors (n, d) and classes together, (n, k), float64."""
        return self.class_log_probs(x) + self.network.latent.log_weights.numpy().astype(np.float64)

    def encode(self, x: Any) -> np.ndarray:
        """Return latent vectors (n, d) of raw vectors."""
        return _in_pieces(self._codes, self._standardised(x))

    def decode(self, z: Any) -> np.ndarray:
        """Return raw vectors (n, d) of latent vectors."""
        z = check_vectors(z, len(self.scaling.mean), "Argument 'z'")
        return self.scaling.invert(_in_pieces(self._inverse, z))

    def _standardised(self, x: Any) -> np.ndarray:
        return self.scaling.apply(check_vectors(x, len(self.scaling.mean), "Argument 'x'")).numpy()

    def _codes(self, x: np.ndarray) -> tf.Tensor:
        return self._forward(x)[0]


def standardisation(x: np.ndarray, quantum: float) -> Scaling:
    """Measure the scaling of data (n, d) with uniform noise; constants keep their scale."""
    x = x.astype(np.float64)
    mean = x.mean(axis=0)
    scale = np.sqrt(x.var(axis=0) + quantum**2 / 12.0)
    scale = np.where(scale > 1e-6 * np.abs(mean), scale, 1.0)
    return Scaling(None, (mean + 0.5 * quantum).astype(np.float32), scale.astype(np.float32))


def _in_pieces(function: Callable[[np.ndarray], tf.Tensor], rows: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [function(part) for part in np.split(rows, range(_ROWS_AT_ONCE, len(rows), _ROWS_AT_ONCE))]
    )
