"""What is compared: the library's flows, and three other methods on the same simulation bank."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from bank import Arrays, measured

import bayesinn as bi
from bayesinn.inverse.split_latent import SplitLatent, default_chain
from bayesinn.simulators import tissue as module
from bayesinn.simulators.tissue import NAMES, TissueOptions

OPTIONS = {
    "3": module.VARIANTS["tissue_3"],
    "8": TissueOptions(),
    "27": module.VARIANTS["tissue_27"],
}
BATCH = 256
SPLIT_BATCH = 500
_ACCEPTED = 500


@dataclass(frozen=True)
class Training:
    """How a network is trained: on the first tissues of the bank, each with several draws of the noise.

    Where neighbouring bands rise and fall together, what they say of oxygen lies in their small
    differences: ``decorrelate`` is that of the perceptron that summarises the bands.
    """

    steps: int
    tissues: int = 100_000
    repeats: int = 4
    decorrelate: bool = False
    blocks: int = 6


TRAININGS = {
    "3": Training(5_000),
    "8": Training(5_000),
    "27": Training(24_000, tissues=400_000, repeats=8, decorrelate=True),
    "8_split": Training(3_000),
}

Method = Callable[[np.ndarray, int, int], Arrays]
"""Draws (n, draws) for band values (n, bands), a number of draws and a seed."""


def new_posterior(name: str, training: Training) -> bi.AmortizedPosterior:
    """Return an untrained posterior: of a camera by its number of bands, or "8_split"."""
    bands, _, kind = name.partition("_")
    simulator = getattr(module, "tissue" if bands == "8" else f"tissue_{bands}")
    if kind:
        # Parameters have 13 elements and the bands seven degrees of freedom; with noise, no fewer
        # latents help.
        chain = default_chain(training.blocks, (64, 64))
        return SplitLatent(simulator, latent=13, chain=chain)
    summary = bi.summaries.MLP(32, decorrelate=training.decorrelate)
    flow = bi.flows.coupling(blocks=training.blocks, hidden=(64, 64))
    return bi.AmortizedPosterior(simulator, summary, flow)


def rows(
    parameters: Arrays, found: np.ndarray, options: TissueOptions, seed: int, repeats: int = 1
) -> Arrays:
    """Return simulations to train on: each tissue of the bank with several draws of the noise."""
    bands = np.concatenate([measured(found, options, seed + repeat) for repeat in range(repeats)])
    return {name: np.tile(value, repeats) for name, value in parameters.items()} | {"bands": bands}


def trained(
    name: str, data: Arrays, held_out: Arrays, training: Training, folder: Path
) -> tuple[bi.AmortizedPosterior, float]:
    """Return the folder's posterior, trained if missing, and its processor seconds or NaN."""
    place = folder / f"posterior_{name}"
    if place.exists():
        return bi.load(place), np.nan
    started = time.process_time()
    posterior = new_posterior(name, training)
    size = SPLIT_BATCH if name.endswith("split") else BATCH
    rate = bi.Optimization(learning_rate=2e-3)
    posterior.fit(
        data,
        steps=training.steps,
        batch_size=size,
        seed=1,
        validation=held_out,
        optimization=rate,
        progress=False,
    )
    seconds = time.process_time() - started
    manifest = posterior.save(place) / "manifest.json"
    # Without the path of the simulator's file, which is another one elsewhere: it is found by its
    # module.
    content = json.loads(manifest.read_text())
    content["simulator"]["file"] = ""
    manifest.write_text(json.dumps(content, indent=2) + "\n")
    return posterior, seconds


def of_posterior(posterior: bi.AmortizedPosterior) -> Method:
    """Return a trained posterior as a method."""
    return lambda bands, draws, seed: dict(
        posterior.sample({"bands": bands}, draws=draws, seed=seed)
    )


def rejection(data: Arrays) -> Method:
    """Approximate Bayesian computation: the nearest simulations, noisy, in standardised bands."""
    scale = data["bands"].std(axis=0)

    def draw(bands: np.ndarray, draws: int, seed: int) -> Arrays:
        generator = np.random.default_rng(seed)
        chosen = []
        for one in bands:
            distance = np.sum(((data["bands"] - one) / scale) ** 2, axis=1)
            chosen.append(generator.choice(np.argpartition(distance, _ACCEPTED)[:_ACCEPTED], draws))
        return {name: data[name][np.array(chosen)] for name in NAMES}

    return draw


def _standardised(data: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = np.column_stack([data[name] for name in NAMES])
    return (
        (values - values.mean(axis=0)) / values.std(axis=0),
        values.mean(axis=0),
        values.std(axis=0),
    )


def _perceptron(outputs: int, dropout: float) -> keras.Sequential:
    hidden = [keras.layers.Dense(128, activation="relu"), keras.layers.Dropout(dropout)]
    again = [keras.layers.Dense(128, activation="relu"), keras.layers.Dropout(dropout)]
    return keras.Sequential(
        [keras.layers.Normalization(), *hidden, *again, keras.layers.Dense(outputs)]
    )


def _fit(
    network: keras.Sequential, loss: object, data: Arrays, targets: np.ndarray, steps: int
) -> None:
    network.layers[0].adapt(data["bands"][:10_000])
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    network.compile(keras.optimizers.Adam(rate), loss, steps_per_execution=20)
    used = (
        tf.data.Dataset.from_tensor_slices((data["bands"], targets))
        .shuffle(len(targets), seed=1)
        .repeat()
    )
    network.fit(used.batch(BATCH), steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False)


def mean_field(data: Arrays, steps: int) -> Method:
    """Gaussian network: mean and variance of each parameter alone, trained by their likelihood."""
    keras.utils.set_random_seed(1)
    targets, mean, sd = _standardised(data)
    network = _perceptron(2 * len(NAMES), 0.0)

    def loss(truth: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        centre, log_sd = tf.split(output, 2, axis=-1)
        return tf.reduce_sum(log_sd + 0.5 * ((truth - centre) * tf.exp(-log_sd)) ** 2, axis=-1)

    _fit(network, loss, data, targets.astype(np.float32), steps)

    def draw(bands: np.ndarray, draws: int, seed: int) -> Arrays:
        centre, log_sd = np.split(network.predict(bands, verbose=0), 2, axis=1)
        noise = np.random.default_rng(seed).standard_normal((len(bands), draws, len(NAMES)))
        values = mean + sd * (centre[:, None] + np.exp(log_sd)[:, None] * noise)
        return {name: values[..., number] for number, name in enumerate(NAMES)}

    return draw


def dropout_sampling(data: Arrays, steps: int) -> Method:
    """Dropout: a network trained for the mean, with units dropped at random at inference, too."""
    keras.utils.set_random_seed(2)
    targets, mean, sd = _standardised(data)
    network = _perceptron(len(NAMES), 0.2)
    _fit(network, "mse", data, targets.astype(np.float32), steps)

    def draw(bands: np.ndarray, draws: int, seed: int) -> Arrays:
        keras.utils.set_random_seed(seed)
        values = (
            np.stack([network(bands, training=True).numpy() for _ in range(draws)], axis=1) * sd
            + mean
        )
        return {name: values[..., number] for number, name in enumerate(NAMES)}

    return draw
