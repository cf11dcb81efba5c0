"""Pictures with whole grey levels and their classes: scikit-learn's digits, MNIST, CIFAR-10."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

# Of scikit-learn's digits, which have no test set of their own: the first of a permutation.
_TRAINING_DIGITS = 1_437
_NEEDED = {"mnist": keras.datasets.mnist, "cifar10": keras.datasets.cifar10}


@dataclass(frozen=True)
class Pictures:
    """Pictures (n, height, width, channels) of whole numbers from 0 to ``levels - 1``."""

    name: str
    levels: int
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels of a picture."""
        return self.train.shape[1:]

    def dequantised(self, pictures: np.ndarray, seed: int) -> np.ndarray:
        """Return pictures between 0 and 1, each number anywhere in the step of its level."""
        noise = np.random.default_rng(seed).random(pictures.shape, np.float32)
        return (pictures + noise) / np.float32(self.levels)


def load(name: str, folder: Path | None) -> Pictures:
    """Return a data set, from a folder with ``mnist.npz`` and ``cifar10.npz``, or from Keras."""
    if name == "digits":
        images, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(images))
        images = images[order].reshape(-1, 8, 8, 1).astype(np.uint8)
        train, test = np.split(images, [_TRAINING_DIGITS])
        of_train, of_test = np.split(labels[order], [_TRAINING_DIGITS])
        return Pictures(name, 17, train, of_train, test, of_test)
    if folder is None:
        (train, of_train), (test, of_test) = _NEEDED[name].load_data()
    else:
        with np.load(folder / f"{name}.npz") as file:
            train, of_train = file["x_train"], file["y_train"]
            test, of_test = file["x_test"], file["y_test"]
    if train.ndim == 3:
        train = train[..., None]
        test = test[..., None]
    return Pictures(name, 256, train, of_train.ravel(), test, of_test.ravel())
