"""Images with labels, and images of other things that a classifier should be surprised by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.ndimage
from sklearn.datasets import load_digits

_OUTLIERS = 2_000


@dataclass(frozen=True)
class Images:
    """Images (n, height, width, channels) of whole numbers from 0 to ``top``, and labels (n,)."""

    name: str
    top: int
    x: np.ndarray
    labels: np.ndarray
    test_x: np.ndarray
    test_labels: np.ndarray
    others: dict[str, np.ndarray]

    def outliers(self) -> dict[str, np.ndarray]:
        """Return images of nothing that was trained on, made of test images or of other data."""
        generator = np.random.default_rng(7)
        x = self.test_x[:_OUTLIERS]
        flat = x.reshape(len(x), -1)
        noisy = x + generator.normal(0.0, 0.1 * self.top, x.shape)
        return {
            "turned by 90 degrees": np.rot90(x, axes=(1, 2)),
            "inverted": self.top - x,
            "noise added": np.clip(np.round(noisy), 0, self.top),
            "pixels scrambled": generator.permuted(flat, axis=1).reshape(x.shape),
            "one grey": np.broadcast_to(
                generator.integers(0, self.top + 1, (len(x), 1, 1, 1)), x.shape
            ),
            **self.others,
        }


def load(name: str, folder: Path | None) -> Images:
    """Return a data set; ``folder`` has ``mnist.npz`` and ``cifar10.npz``, if there is any."""
    return LOADERS[name](folder)


def digits(folder: Path | None) -> Images:
    """Return scikit-learn's digits, the first 1,437 of a fixed order to train on."""
    x, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = x[order].reshape(-1, 8, 8, 1).astype(np.float32)
    labels = labels[order]
    others = {}
    if folder is not None:
        # The strokes of MNIST, seven pixels of 4 x 4, with a margin of one pixel.
        other = _read("mnist", folder)[2][:_OUTLIERS].astype(np.float32)
        small = other.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)) * 16.0 / 255.0
        others["MNIST, smaller"] = np.pad(np.round(small), ((0, 0), (0, 1), (0, 1)))[..., None]
    return Images("digits", 16, x[:1437], labels[:1437], x[1437:], labels[1437:], others)


def mnist(folder: Path | None) -> Images:
    """Return MNIST, from the folder or as Keras downloads it."""
    x, labels, test_x, test_labels = _read("mnist", folder)
    small, _ = load_digits(return_X_y=True)
    wide = scipy.ndimage.zoom(small.reshape(-1, 8, 8), (1, 3, 3), order=1) * 255.0 / 16.0
    others = {"digits, larger": np.pad(np.round(wide), ((0, 0), (2, 2), (2, 2)))[..., None]}
    if folder is not None:
        colour = _read("cifar10", folder)[2][:_OUTLIERS, 2:30, 2:30]
        others["CIFAR-10, grey"] = np.round(colour.mean(axis=-1))[..., None]
    return Images(
        "MNIST",
        255,
        x[..., None].astype(np.float32),
        labels.astype(int),
        test_x[..., None].astype(np.float32),
        test_labels.astype(int),
        others,
    )


def cifar10(folder: Path | None) -> Images:
    """Return CIFAR-10, from the folder or as Keras downloads it."""
    x, labels, test_x, test_labels = _read("cifar10", folder)
    some = test_x[:_OUTLIERS]
    others = {
        "colours in another order": some[..., [1, 2, 0]],
        "grey": np.broadcast_to(np.round(some.mean(axis=-1, keepdims=True)), some.shape),
    }
    if folder is not None:
        digits = _read("mnist", folder)[2][:_OUTLIERS, ..., None]
        wide = np.pad(digits, ((0, 0), (2, 2), (2, 2), (0, 0)))
        others["MNIST"] = np.broadcast_to(wide, (*wide.shape[:-1], 3))
    return Images(
        "CIFAR-10",
        255,
        x.astype(np.float32),
        labels.ravel().astype(int),
        test_x.astype(np.float32),
        test_labels.ravel().astype(int),
        {name: images.astype(np.float32) for name, images in others.items()},
    )


#: How each data set is read.
LOADERS = {"digits": digits, "MNIST": mnist, "CIFAR-10": cifar10}


def _read(name: str, folder: Path | None) -> list[np.ndarray]:
    """Return images and labels to train on, and to test, of a data set of Keras."""
    if folder is not None:
        with np.load(folder / f"{name}.npz") as file:
            return [file[key] for key in ("x_train", "y_train", "x_test", "y_test")]
    import keras

    train, test = getattr(keras.datasets, name).load_data()
    return [*train, *test]
