"""The network of a latent mixture, and how raw labelled data reach it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from bayesinn.bijections import Bijection
from bayesinn.core import seeds
from bayesinn.inverse.class_normal import ClassNormal
from bayesinn.training.round_trip import RoundTripMonitor
from bayesinn.training.trainable import Batch, Trainable

_ROWS_AT_ONCE = 4096


class MixtureNetwork(keras.layers.Layer):
    """log p(x | class): a bijection and a class-conditional latent.

    Parameters
    ----------
    chain : Bijection
    latent : ClassNormal
    """

    def __init__(self, chain: Bijection, latent: ClassNormal) -> None:
        super().__init__(name="latent_mixture", autocast=False)
        self.chain = chain
        self.latent = latent

    def build_for(self, classes: int, dimension: int) -> None:
        """Make all weights."""
        self.chain.build((dimension,))
        self.latent.build(classes, dimension)
        self.built = True

    def initialize(self, x: tf.Tensor, labels: tf.Tensor) -> None:
        """Set the weights that depend on data, from a first batch: x (n, d), labels (n,)."""
        self.chain.initialize(x)
        self.latent.set_from(self.chain.forward(x)[0], labels)

    def call(self, x: tf.Tensor, labels: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Log densities (n,) of vectors (n, d) given their classes (n,)."""
        z, log_det = self.chain.forward(x)
        return self.latent(z, labels, training=training) + log_det


@dataclass(frozen=True)
class Standardisation:
    """Shift and scale of each element; constant elements keep their scale."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, quantum: float) -> Standardisation:
        """Measure on data (n, d) to which uniform noise of width ``quantum`` will be added."""
        x = x.astype(np.float64)
        scale = np.sqrt(x.var(axis=0) + quantum**2 / 12.0)
        scale = np.where(scale > 1e-6 * np.abs(x.mean(axis=0)), scale, 1.0)
        return cls((x.mean(axis=0) + 0.5 * quantum).astype(np.float32), scale.astype(np.float32))

    @classmethod
    def none(cls, dimension: int) -> Standardisation:
        """Leave the data as they are."""
        return cls(np.zeros(dimension, np.float32), np.ones(dimension, np.float32))

    @property
    def log_det(self) -> float:
        """Log determinant of the map to standardised data."""
        return -float(np.log(self.scale.astype(np.float64)).sum())


class MixtureModel(Trainable):
    """Standardisation and network of a latent mixture.

    Parameters
    ----------
    network : MixtureNetwork
    standardisation : Standardisation
    noise, quantum : float
        See :class:`~bayesinn.inverse.LatentMixture`.
    """

    network: MixtureNetwork

    def __init__(
        self, network: MixtureNetwork, standardisation: Standardisation, noise: float = 0.0, quantum: float = 0.0
    ) -> None:
        self.network, self.standardisation, self.noise, self.quantum = network, standardisation, noise, quantum

    def prepare(self, batch: Batch, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return standardised vectors (n, d) of a raw batch with their noise, and labels (n,)."""
        x = tf.cast(batch["x"], tf.float32)
        for_quantum, for_noise = seeds.split(seed, 2)
        if self.quantum > 0:
            x += self.quantum * tf.random.stateless_uniform(tf.shape(x), for_quantum, alg="philox")
        x = self._standardise(x)
        if self.noise > 0:
            x += self.noise * tf.random.stateless_normal(tf.shape(x), for_noise, alg="philox")
        return x, batch["labels"]

    def initialize(self, batch: Batch, seed: int) -> None:
        self.network.initialize(*self.prepare(batch, seeds.tensor_seed(seed, "dequantise")))

    def loss(self, batch: Batch, seed: tf.Tensor, progress: tf.Tensor, training: bool) -> tf.Tensor:
        return -self.network(*self.prepare(batch, seed), training=training) - self.standardisation.log_det

    def monitors(self, batch: Batch, seed: int) -> list[keras.callbacks.Callback]:
        noise = seeds.tensor_seed(seed, "dequantise")
        return [RoundTripMonitor(self.network.chain, lambda: (self.prepare(batch, noise)[0], None))]

    def arrays(self) -> dict[str, np.ndarray]:
        return {"data/mean": self.standardisation.mean, "data/scale": self.standardisation.scale}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.standardisation = Standardisation(arrays["data/mean"], arrays["data/scale"])

    def set_statistics(self, arrays: Mapping[str, np.ndarray], seed: int) -> None:
        """Set means and scales of the classes to their statistics over all training data, with noise."""
        x, labels = self.prepare(arrays, seeds.tensor_seed(seed, "latent"))
        z = np.concatenate([self._forward(rows)[0].numpy() for rows in _pieces(x.numpy())])
        self.network.latent.set_from(tf.constant(z), labels)

    @property
    def dimension(self) -> int:
        """Elements of a vector."""
        return len(self.standardisation.mean)

    def log_weights(self) -> np.ndarray:
        """Logarithms of how frequent the classes are, (k,)."""
        return self.network.latent.log_weights.numpy().astype(np.float64)

    def class_log_probs(self, x: np.ndarray) -> np.ndarray:
        """Log densities of raw vectors (n, d) under every class, (n, k), float64."""
        parts = []
        for rows in _pieces(self._standardise(x)):
            z, log_det = self._forward(rows)
            parts.append((self.network.latent.log_probs(z) + log_det[:, None]).numpy())
        return np.concatenate(parts).astype(np.float64) + self.standardisation.log_det

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Latent vectors (n, d) of raw vectors."""
        return np.concatenate([self._forward(rows)[0].numpy() for rows in _pieces(self._standardise(x))])

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Raw vectors (n, d) of latent vectors."""
        x = np.concatenate([self._inverse(rows).numpy() for rows in _pieces(z.astype(np.float32))])
        return x * self.standardisation.scale + self.standardisation.mean

    @functools.cached_property
    def _forward(self) -> Callable[[np.ndarray], tuple[tf.Tensor, tf.Tensor]]:
        return tf.function(self.network.chain.forward, input_signature=[self._signature])

    @functools.cached_property
    def _inverse(self) -> Callable[[np.ndarray], tf.Tensor]:
        return tf.function(lambda z: self.network.chain.inverse(z)[0], input_signature=[self._signature])

    @property
    def _signature(self) -> tf.TensorSpec:
        return tf.TensorSpec((None, self.dimension), tf.float32)

    def _standardise(self, x: tf.Tensor) -> tf.Tensor:
        return (x - self.standardisation.mean) / self.standardisation.scale


def _pieces(rows: np.ndarray) -> list[np.ndarray]:
    """Few enough at a time for the memory."""
    return [rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE)]
