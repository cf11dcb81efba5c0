"""The invertible classifier, and a softmax classifier of the same size and time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf
from images import Images

import bayesinn as bi
from bayesinn.bijections import (
    Affine,
    Bijection,
    Chain,
    Convolutional,
    Coupling,
    DCTPooling,
    Haar,
    Orthogonal,
)
from bayesinn.inverse import Bottleneck, ClassNormal, LatentMixture

#: Standard deviation of the noise in training, as a share of the grey scale.
NOISE = 0.01
SMOOTHING = 0.01


@dataclass(frozen=True)
class Size:
    """Sizes and lengths: after each halving of the resolution, filters and number of couplings."""

    levels: Sequence[tuple[int, int]]
    steps: int
    batch_size: int
    #: Dropout and filters of the softmax classifier. The flows have no dropout.
    dropout: float
    filters: Sequence[int]


SIZES = {
    "digits": Size([(48, 6)], 500, 64, 0.2, (32, 64, 64)),
    "MNIST": Size([(16, 2), (48, 4)], 1_700, 64, 0.0, (32, 64, 64)),
    "CIFAR-10": Size([(24, 2), (64, 4)], 1_700, 64, 0.0, (32, 64, 64)),
}
QUICK = Size([(8, 1)], 20, 64, 0.0, (8, 8, 8))


class Classifier(Protocol):
    """What is compared: probabilities (n, k) of classes for images with uniform noise."""

    weights: int

    def probabilities(self, x: np.ndarray) -> np.ndarray: ...

    def log_odds(self, x: tf.Tensor) -> tf.Tensor:
        """Return log odds (n, k), up to a constant, through which gradients flow."""

    def log_odds_of(self, x: np.ndarray) -> np.ndarray:
        """Return the same of many images, in double precision."""


@dataclass(frozen=True)
class Flow:
    """An invertible classifier."""

    model: LatentMixture

    @property
    def weights(self) -> int:
        """Number of trained weights."""
        return count(self.model.model.network)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return probabilities (n, k)."""
        return self.model.classify(x).to_numpy()

    def log_odds(self, x: tf.Tensor) -> tf.Tensor:
        """Return log odds (n, k) by the densities of the latent."""
        return self._joint(x)[0]

    def log_odds_of(self, x: np.ndarray) -> np.ndarray:
        """Return log odds (n, k)."""
        return self.model.model.joint_log_probs(x)

    def nats(self, x: tf.Tensor) -> tf.Tensor:
        """Return negative log densities (n,), through which gradients flow."""
        joint, log_det = self._joint(x)
        return -tf.reduce_logsumexp(joint, axis=1) - log_det

    def _joint(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return log densities (n, k) of latent and class, and log determinants (n,)."""
        model = self.model.model
        z, log_det = model.network.encode(model.scaling.apply(x))
        latent = model.network.latent
        return latent.log_probs(z) + latent.log_weights, log_det + model.log_det


def flow(
    data: Images,
    size: Size,
    beta: float,
    seed: int,
    folder: Path,
    smoothing: float = SMOOTHING,
) -> Flow:
    """Train an invertible classifier, or read it from the folder if it is there."""
    if (folder / "manifest.json").is_file():
        return Flow(LatentMixture.load(folder))
    model = LatentMixture(
        chain(size),
        ClassNormal("unit"),
        noise=NOISE * data.top / data.x.std(),
        quantum=1.0,
        bottleneck=Bottleneck(beta, smoothing),
    )
    model.fit(
        data.x,
        data.labels,
        steps=size.steps,
        batch_size=size.batch_size,
        seed=seed,
        validation=min(0.1, 1_000 / len(data.x)),
        optimization=bi.Optimization(learning_rate=3e-3, average=0.99, xla=False),
        progress=False,
    )
    model.save(folder)
    return Flow(model)


def chain(size: Size) -> Chain:
    """Return levels of couplings, and at the end the pooling that heat maps need."""
    links: list[Bijection] = []
    for filters, blocks in size.levels:
        links.append(Haar())
        for _ in range(blocks):
            subnet = Convolutional((filters, filters))
            links += [Orthogonal(), Coupling(Affine(clamp=1.0), subnet=subnet)]
    return Chain([*links, DCTPooling()])


@dataclass(frozen=True)
class Softmax:
    """A convolutional network that is trained on labels alone."""

    network: keras.Model

    @property
    def weights(self) -> int:
        """Number of trained weights."""
        return count(self.network)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return probabilities (n, k)."""
        return np.asarray(tf.nn.softmax(self.log_odds_of(x)))

    def log_odds(self, x: tf.Tensor) -> tf.Tensor:
        """Return log odds (n, k)."""
        return self.network(x)

    def log_odds_of(self, x: np.ndarray) -> np.ndarray:
        """Return log odds (n, k)."""
        return self.network.predict(x, batch_size=500, verbose=0).astype(np.float64)


def softmax(
    data: Images,
    size: Size,
    seconds: float,
    seed: int,
    folder: Path,
    smoothing: float = 0.0,
) -> Softmax:
    """Train the softmax classifier for a processor time, or read it from the folder."""
    file = folder / "softmax.keras"
    if file.is_file():
        return Softmax(keras.saving.load_model(file))
    keras.utils.set_random_seed(seed)
    network = convolutional(data, size)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(network.trainable_variables)
    generator = np.random.default_rng(seed)

    @tf.function
    def step(x: tf.Tensor, labels: tf.Tensor) -> None:
        x += tf.random.uniform(tf.shape(x))
        x += NOISE * data.top * tf.random.normal(tf.shape(x))
        with tf.GradientTape() as tape:
            logits = network(x, training=True)
            classes = logits.shape[1]
            targets = (1.0 - smoothing) * tf.one_hot(labels, classes) + smoothing / classes
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    started = time.process_time()
    while (share := (time.process_time() - started) / seconds) < 1.0:
        optimizer.learning_rate.assign(1e-3 * math.cos(0.5 * math.pi * share) ** 2)
        rows = generator.integers(len(data.x), size=size.batch_size)
        step(tf.constant(data.x[rows]), tf.constant(data.labels[rows]))
    folder.mkdir(parents=True, exist_ok=True)
    network.save(file)
    return Softmax(network)


def convolutional(data: Images, size: Size) -> keras.Model:
    """Return the softmax classifier, without the softmax."""
    layers: list[keras.layers.Layer] = [
        keras.layers.Normalization(mean=data.x.mean(), variance=data.x.var())
    ]
    for number, filters in enumerate(size.filters):
        layers.append(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
        if number < 2:
            layers.append(keras.layers.MaxPooling2D())
        if size.dropout:
            layers.append(keras.layers.Dropout(size.dropout))
    classes = len(np.unique(data.labels))
    network = keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(classes)])
    network.build((None, *data.x.shape[1:]))
    return network


def count(network: keras.layers.Layer) -> int:
    """Return the number of trained weights."""
    return sum(math.prod(weight.shape) for weight in network.trainable_weights)
