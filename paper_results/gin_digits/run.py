"""GIN on handwritten digits: which latent elements shape a digit, and which are noise.

    python paper_results/gin_digits/run.py [--data FOLDER] [--quick]

FOLDER holds mnist.npz in the layout of ``keras.datasets``; without it, Keras downloads the file.
Writes results.csv and arrays.npz beside this file, a case after another, then figures from both;
cases that results.csv has already are left alone. ``--quick`` trains for a few steps on
scikit-learn's digits and writes nothing that stays. Sorrenson, Rother and Köthe (2020),
arXiv:2001.04872.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from figures import WALKS, draw_effects, draw_spectra, draw_walks
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

import bayesinn as bi
from bayesinn import plots
from bayesinn.bijections import (
    ActNorm,
    Bijection,
    Chain,
    Convolutional,
    Coupling,
    Perceptron,
    Permutation,
    Reshape,
    SpaceToDepth,
)
from bayesinn.inverse import ClassNormal, LatentMixture, Spectrum, gin_image, latent_effects

BATCH = 250
NOISE = 0.01
FILTERS = (16, 32)
HIDDEN = (256,)
BLOCKS = 2
TEST = 2_000
RUNS = Path("runs") / "gin_digits"
#: Standard deviations to each side of a class's mean.
REACH = 2.0
#: Latent elements that a digit is rebuilt from.
KEPT = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 784)
#: The case whose walks are drawn.
WALKED = "GIN"


@dataclass(frozen=True)
class Case:
    """One training: how many images and steps, and whether volumes are kept."""

    name: str
    images: int = 55_000
    steps: int = 6_000
    gin: bool = True


CASES = (
    Case("GIN"),
    Case("GIN, 3 epochs", steps=660),
    Case("no volume constraint", steps=330, gin=False),
    Case("2,000 images", images=2_000, steps=330),
)


def main() -> None:
    """Train all cases, measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of mnist.npz")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    data = small() if arguments.quick else mnist(arguments.data)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if arguments.quick else Path(__file__).parent
        runs = Path(folder) if arguments.quick else RUNS
        for case in CASES:
            if case.name not in finished(target):
                chosen = replace(case, steps=4) if arguments.quick else case
                row, arrays = measure(chosen, *data, runs / case.name)
                print(pd.Series(row).to_string(), end="\n\n", flush=True)
                add(target, row, arrays)
        draw(target)


def finished(target: Path) -> list[str]:
    """Return the names of cases that are in the table."""
    file = target / "results.csv"
    return list(pd.read_csv(file)["case"]) if file.exists() else []


def add(target: Path, row: dict[str, object], arrays: dict[str, np.ndarray]) -> None:
    """Add the row and the arrays of a case to the files."""
    stored = dict(np.load(target / "arrays.npz")) if (target / "arrays.npz").exists() else {}
    stored |= {f"{row['case']}: {name}": values for name, values in arrays.items()}
    np.savez_compressed(target / "arrays.npz", **stored)
    file = target / "results.csv"
    table = [pd.read_csv(file)] if file.exists() else []
    pd.concat([*table, pd.DataFrame([row])]).to_csv(file, index=False, float_format="%.4g")


def draw(target: Path) -> None:
    """Draw all figures from the stored arrays."""
    stored = dict(np.load(target / "arrays.npz"))
    plots.save(draw_spectra(stored), target / "spectra.png")
    plots.save(draw_effects(stored), target / "effects.png")
    plots.save(draw_walks(stored), target / "walks.png")


def mnist(folder: Path | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training images (n, 28, 28), their digits, test images and their digits."""
    if folder is None:
        (x, labels), (test_x, test_labels) = keras.datasets.mnist.load_data()
    else:
        with np.load(folder / "mnist.npz") as file:
            x, labels = file["x_train"], file["y_train"]
            test_x, test_labels = file["x_test"], file["y_test"]
    return x / 255.0, labels, test_x[:TEST] / 255.0, test_labels[:TEST]


def small() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the digits of 8 x 8 pixels that ship with scikit-learn."""
    digits = load_digits()
    x = digits.images / 16.0
    return x[:1_500], digits.target[:1_500], x[1_500:], digits.target[1_500:]


def measure(
    case: Case,
    x: np.ndarray,
    labels: np.ndarray,
    test_x: np.ndarray,
    test_labels: np.ndarray,
    folder: Path,
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Train a case; return its row of the table, and arrays for the figures."""
    shape = (*x.shape[1:], 1)
    x = x.reshape(len(x), -1)[: case.images]
    labels = labels[: len(x)]
    test_x = test_x.reshape(len(test_x), -1)
    chain = gin_image(shape, FILTERS, BLOCKS, HIDDEN) if case.gin else glow(shape)
    model = LatentMixture(chain, ClassNormal("batch"), standardise=False, noise=NOISE)
    started = time.process_time()
    model.fit(
        x,
        labels,
        steps=case.steps,
        batch_size=BATCH,
        seed=1,
        validation=0.0,
        optimization=bi.Optimization(learning_rate=1e-3, average=0.99, xla=False),
        checkpoint=bi.Checkpoint(folder, resume=True),
        progress=False,
    )
    seconds = round(time.process_time() - started)
    found = Spectrum.of(model.latent_scales)
    effect = latent_effects(model, REACH)[found.order]
    noisy = test_x + NOISE * np.random.default_rng(1).standard_normal(test_x.shape)
    seen = x[:TEST] + NOISE * np.random.default_rng(2).standard_normal(x[:TEST].shape)
    rank = np.arange(1, len(effect) + 1)
    row = {
        "case": case.name,
        "images": len(x),
        "epochs": round(BATCH * case.steps / len(x)),
        "knee": knee(found.values),
        "first": found.values[0],
        "at knee": found.values[knee(found.values) - 1],
        "median": np.median(found.values),
        "rank and effect": -spearmanr(rank, effect).statistic,
        "training loss": -model.log_prob(seen, labels[:TEST]).mean() / x.shape[1],
        "test loss": -model.log_prob(noisy, test_labels).mean() / x.shape[1],
        "accuracy": np.mean(model.classify(noisy).idxmax(axis=1) == test_labels),
        "seconds": seconds,
    }
    arrays = {
        "spectrum": found.values.astype(np.float32),
        "effect": effect.astype(np.float32),
        "error": rebuilt(model, found, noisy[:200], test_labels[:200]),
    }
    return row, arrays | ({"walks": walks(model, found, shape)} if case.name == WALKED else {})


def glow(shape: tuple[int, ...]) -> Chain:
    """The same network, free to change volumes, with the ActNorm of GLOW."""

    def stack(count: int, **options: object) -> list[Bijection]:
        blocks = [(ActNorm(), Permutation(), Coupling(**options)) for _ in range(count)]
        return [part for block in blocks for part in block]

    chain: list[Bijection] = [Reshape(shape)]
    for count in FILTERS:
        chain += [SpaceToDepth(), *stack(BLOCKS, subnet=Convolutional((count,)))]
    return Chain([*chain, Reshape(), *stack(2, subnet=Perceptron(HIDDEN, "relu"))])


def knee(values: np.ndarray) -> int:
    """Return the rank where sorted values, on a log scale, are furthest below their chord."""
    heights = np.log(values)
    chord = np.linspace(heights[0], heights[-1], len(heights))
    return int(np.argmax(chord - heights)) + 1


def rebuilt(model: LatentMixture, found: Spectrum, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (k, 2): how many elements were kept, and the RMS error of images without the rest."""
    codes = model.latent_codes(x)
    means = model.latent_means[labels]
    kept = [count for count in KEPT if count <= x.shape[1]]
    errors = []
    for count in kept:
        mixed = means.copy()
        chosen = found.order[:count]
        mixed[:, chosen] = codes[:, chosen]
        errors.append(np.sqrt(np.mean((model.from_latent(mixed) - x) ** 2)))
    return np.stack([kept, errors], axis=1)


def walks(model: LatentMixture, found: Spectrum, shape: tuple[int, ...]) -> np.ndarray:
    """Return images (walks, classes, 3, height, width) at -2, 0 and 2 sd of an element, as bytes."""
    elements = [found.order[rank - 1] for rank in WALKS if rank <= len(found.order)]
    steps = np.array([-REACH, 0.0, REACH])
    codes = np.repeat(model.latent_means[None, :, None], len(elements), axis=0)
    codes = np.repeat(codes, len(steps), axis=2)
    for row, element in enumerate(elements):
        codes[row, ..., element] += steps * model.latent_scales[:, element, None]
    images = model.from_latent(codes.reshape(-1, codes.shape[-1]))
    images = np.clip(images, 0.0, 1.0).reshape(*codes.shape[:3], *shape[:2])
    return np.round(255.0 * images).astype(np.uint8)


if __name__ == "__main__":
    main()
