"""What a density of colours has to beat: the linear Gaussian one, and a deterministic network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np
from photographs import GREY
from scipy.linalg import solve_triangular

import bayesinn as bi

#: Strengths of ridge regression, of which held-out pictures choose one.
RIDGES = (1.0, 30.0)
#: Variance that is added to each element; dequantisation alone adds more.
SMALLEST = 1e-6


@dataclass(frozen=True)
class LinearGaussian:
    """Pictures that are Gaussian around a linear function of all pixels of another.

    Ridge regression of each element on each pixel, and the covariance (d, d) of what is left, as a
    triangular ``factor``.
    """

    weights: np.ndarray
    factor: np.ndarray

    @staticmethod
    def fit(
        given: np.ndarray, unknown: np.ndarray, held_given: np.ndarray, held_unknown: np.ndarray
    ) -> LinearGaussian:
        """Return the one of the best ridge on held-out pictures."""
        x = _with_one(given)
        y = unknown.reshape(len(x), -1)
        squares = (x.T @ x).astype(float)
        products = (x.T @ y).astype(float)
        models = []
        for ridge in RIDGES:
            penalty = ridge * np.eye(len(squares))
            # The last one is the intercept.
            penalty[-1, -1] = 0.0
            weights = np.linalg.solve(squares + penalty, products).astype(np.float32)
            rest = y - x @ weights
            covariance = (rest.T @ rest).astype(float) / len(rest)
            covariance += SMALLEST * np.eye(len(covariance))
            models.append(LinearGaussian(weights, np.linalg.cholesky(covariance)))
        return max(models, key=lambda model: model.log_prob(held_given, held_unknown).mean())

    @property
    def size(self) -> int:
        """Number of weights, with those of the covariance."""
        return self.weights.size + len(self.factor) * (len(self.factor) + 1) // 2

    def mean(self, given: np.ndarray) -> np.ndarray:
        """Return the mean (n, d)."""
        return _with_one(given) @ self.weights

    def log_prob(self, given: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """Return log densities (n,)."""
        rest = unknown.reshape(len(given), -1) - self.mean(given)
        scaled = solve_triangular(self.factor, rest.T, lower=True)
        log_det = np.sum(np.log(np.diag(self.factor)))
        constant = 0.5 * len(self.factor) * math.log(2.0 * math.pi)
        return -0.5 * np.sum(scaled**2, axis=0) - log_det - constant

    def sample(self, given: np.ndarray, draws: int, seed: int) -> np.ndarray:
        """Draw (n, draws, d)."""
        noise = np.random.default_rng(seed).normal(size=(len(given), draws, len(self.factor)))
        return self.mean(given)[:, None] + noise @ self.factor.T


def deterministic(weights: int, quick: bool) -> keras.Model:
    """Return a network from grey pictures to colours, about as large as ``weights``.

    It sees what the flow sees: the same summary network, and the grey picture itself.
    """
    grey = keras.Input(GREY)
    stages = (8,) if quick else (48, 64, 64)
    summary = bi.summaries.ConvImage(1, stages, maps=8 if quick else 32)
    # Nothing reads the features.
    summary.dense.trainable = False
    entries = summary(grey)
    seen = keras.layers.Concatenate()([entries["maps1"], *_quarters(grey)])
    own = sum(math.prod(variable.shape) for variable in summary.trainable_variables)
    # Three layers: features to f, f to f twice, and f to eight numbers for each 2 x 2 block.
    features = seen.shape[-1] + 8
    filters = round((-features + math.sqrt(features**2 + 8 * (weights - own) / 9)) / 4)
    h = seen
    for _ in range(3):
        h = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(h)
    blocks = keras.layers.Conv2D(8, 3, padding="same")(h)
    rows = keras.layers.Reshape((8, 8, 2, 2, 2))(blocks)
    colours = keras.layers.Reshape((16, 16, 2))(keras.layers.Permute((1, 3, 2, 4, 5))(rows))
    return keras.Model(grey, colours)


def train_deterministic(
    model: keras.Model,
    train: dict[str, np.ndarray],
    steps: int,
    batch_size: int,
) -> None:
    """Fit by least squares, in so many steps."""
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=2e-3, warmup_steps=round(0.05 * steps)
    )
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0, use_ema=True, ema_momentum=0.99)
    model.compile(optimizer, "mse")
    rows = np.random.default_rng(1).integers(len(train["grey"]), size=steps * batch_size)

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = rows[index * batch_size : (index + 1) * batch_size]
            return train["grey"][chosen], train["colour"][chosen]

    model.fit(Batches(), verbose=0)
    optimizer.finalize_variable_values(model.trainable_variables)


def _with_one(grey: np.ndarray) -> np.ndarray:
    return np.concatenate([grey.reshape(len(grey), -1), np.ones((len(grey), 1), "f4")], axis=1)


def _quarters(grey: keras.KerasTensor) -> list[keras.KerasTensor]:
    """Return the four pixels of each 2 x 2 block of a grey picture as pictures of their own."""
    return [grey[:, down::2, across::2] for down in range(2) for across in range(2)]
