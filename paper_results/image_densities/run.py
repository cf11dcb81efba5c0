"""Densities of pictures in bits per dimension: scikit-learn's digits, MNIST, CIFAR-10.

    python paper_results/image_densities/run.py [--data FOLDER] [--only TEXT ...] [--again]
        [--minutes N] [--quick]

Each model is a row of results.csv, and of curves.csv and draws.npz; what is there stays, unless
``--again`` is given. ``--only`` runs the models whose name contains one of the texts. FOLDER holds
mnist.npz and cifar10.npz as Keras stores them; left out, Keras fetches them. ``--minutes`` ends
each training after so many minutes of the clock, with a learning rate that falls in time.
``--quick`` trains for a few steps on the digits and writes nothing that stays.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow_probability as tfp
from baselines import gaussian_per_class, independent_pixels
from marginals import pixel_prior
from pictures import Pictures, load
from wavelets import picture_prior, wavelets

import bayesinn as bi
from bayesinn import bijections, flows

SEED = 1
CLASSES = 10
# Of the pictures to train on, held out to choose weights by.
VALIDATION = 0.1
MOST_VALIDATION = 1_000
AT_ONCE = 500


@dataclass(frozen=True)
class Case:
    """A flow of pictures, given their class or not, and how long to train it.

    ``copies`` of each picture are trained on, each with noise of its own. Training ends after
    ``steps``, or ``minutes``.
    """

    data: str
    model: str
    flow: Callable[[Pictures], flows.Flow]
    steps: int
    given_class: bool = False
    copies: int = 1
    networks: int = 1
    minutes: float | None = None
    weight_decay: float = 0.0
    learning_rate: float = 2e-3
    batch: int = 64
    prior: Callable[[Pictures], tfp.distributions.Distribution] = pixel_prior

    @property
    def name(self) -> str:
        """Data and model in one text."""
        return f"{self.data}, {self.model}"


def two_levels(pictures: Pictures, filters: int, blocks: int) -> flows.Flow:
    """Return a flow of two resolutions, whose first block on single pixels bends with a spline."""
    subnet = bijections.Convolutional(filters=(filters, filters))
    bent = bijections.Composed([bijections.Affine(), bijections.Spline(bins=6)])
    levels = []
    for level in range(2):
        parts: list[bijections.Bijection] = [bijections.Haar()]
        for block in range(blocks):
            first = level == block == 0
            parts += [bijections.ActNorm(), bijections.Orthogonal()]
            parts.append(bijections.Coupling(bent if first else None, subnet=subnet))
        levels.append(bijections.Chain(parts))
    scales = bijections.MultiScale(levels)
    return flows.InvertibleFlow(bijections.Chain([bijections.Reshape(pictures.shape), scales]))


def of_digits(pictures: Pictures) -> flows.Flow:
    """Return a small flow, which forgets some of its hidden units while it learns."""
    return flows.image(levels=2, blocks=3, filters=(48, 48), dropout=0.1, shape=pictures.shape)


CASES = (
    Case(
        "digits",
        "flow given the class",
        of_digits,
        steps=2_000,
        given_class=True,
        copies=10,
        weight_decay=0.02,
    ),
    Case(
        "digits",
        "three flows given the class",
        of_digits,
        steps=4_000,
        given_class=True,
        copies=10,
        networks=3,
        weight_decay=0.02,
    ),
    Case(
        "mnist",
        "flow",
        lambda pictures: two_levels(pictures, filters=32, blocks=4),
        steps=12_000,
        minutes=45.0,
    ),
    Case(
        "cifar10",
        "flow, details given averages",
        wavelets,
        steps=8_000,
        minutes=45.0,
        batch=32,
        prior=picture_prior,
    ),
)


class Curve(keras.callbacks.Callback):
    """Keeps processor minutes and steps with the loss at the end of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.started = time.process_time()
        self.minutes: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.minutes.append((time.process_time() - self.started) / 60.0)
        print(f"epoch {epoch + 1}, {self.minutes[-1]:.2f} processor minutes, {logs}", flush=True)


def main() -> None:
    """Train what is missing, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT")
    parser.add_argument("--again", action="store_true", help="replace rows that are there")
    parser.add_argument(
        "--minutes", type=float, help="end each training after so many, if not before"
    )
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    quick = arguments.quick
    cases = [case for case in CASES if any(text in case.name for text in arguments.only)]
    cases = cases[:1] if quick else cases
    if arguments.minutes is not None:
        cases = [replace(case, minutes=arguments.minutes) for case in cases]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        there = known(target / "results.csv")
        for name in dict.fromkeys(case.data for case in cases):
            pictures = load(name, arguments.data)
            baselines = {"independent pixels": independent_pixels}
            if name == "digits":
                baselines["Gaussian per class"] = gaussian_per_class
            for model, baseline in baselines.items():
                if not ((there["data"] == name) & (there["model"] == model)).any():
                    report(baseline(pictures), target / "results.csv")
            for case in (case for case in cases if case.data == name):
                row = (there["data"] == name) & (there["model"] == case.model)
                if arguments.again or not row.any():
                    learn(case, pictures, target, quick)


def known(path: Path) -> pd.DataFrame:
    """Return the rows that are there."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame({"data": [], "model": []})


def learn(case: Case, pictures: Pictures, target: Path, quick: bool) -> None:
    """Train a model, measure it on the test pictures, and write its row, curve and draws."""
    given = {"class": (CLASSES,)} if case.given_class else {"nothing": (1,)}
    model = bi.from_arrays({"image": case.prior(pictures)}, given, name=pictures.name)
    posterior = bi.AmortizedPosterior(
        model, flow=case.flow(pictures), networks=1 if quick else case.networks
    )
    held = min(round(VALIDATION * len(pictures.train)), MOST_VALIDATION)
    copies = 1 if quick else case.copies
    curve = Curve()
    posterior.fit(
        rows(case, pictures, slice(held, None), copies),
        steps=4 if quick else case.steps,
        batch_size=case.batch,
        validation=rows(case, pictures, slice(held), 1),
        seed=SEED,
        optimization=bi.Optimization(
            learning_rate=case.learning_rate,
            weight_decay=case.weight_decay,
            minutes=case.minutes,
            callbacks=[curve],
        ),
        progress=False,
    )
    minutes = (time.process_time() - curve.started) / 60.0
    test = pictures.test[:20] if quick else pictures.test
    logs = log_probs(posterior, pictures, test, case.given_class)
    labels = pictures.test_labels[: len(test)]
    own = logs[np.arange(len(test)), labels * case.given_class]
    size = math.prod(pictures.shape)
    bits = math.log2(pictures.levels) - own / (size * math.log(2.0))
    weights = posterior.model.network.trainable_variables
    row = {
        "data": case.data,
        "model": case.model,
        "levels": pictures.levels,
        "training pictures": len(pictures.train) - held,
        "test pictures": len(test),
        "weights": sum(math.prod(variable.shape) for variable in weights),
        "steps": posterior.steps_done,
        "minutes": minutes,
        "ms a picture": 6e4 * minutes / (case.batch * posterior.steps_done),
        "bits": bits.mean(),
        "standard error": bits.std() / math.sqrt(len(test)),
        "accuracy": np.mean(logs.argmax(axis=1) == labels) if case.given_class else math.nan,
    }
    report(row, target / "results.csv")
    history = posterior.history
    losses = {"training": history["loss"], "held out": history["val_loss"]}
    table = pd.DataFrame(
        {
            "data": case.data,
            "model": case.model,
            "step": history["step"],
            "minutes": curve.minutes[: len(history)],
            **{
                name: math.log2(pictures.levels) + loss / (size * math.log(2.0))
                for name, loss in losses.items()
            },
        }
    )
    write(list(table.to_dict("records")), target / "curves.csv")
    save_draws(case, posterior, pictures, target / f"draws_{case.data}.npz")


def rows(case: Case, pictures: Pictures, chosen: slice, copies: int) -> dict[str, np.ndarray]:
    """Return arrays to train on, each picture as often as there are copies of it."""
    images = np.concatenate(copies * [pictures.train[chosen]])
    labels = np.concatenate(copies * [pictures.train_labels[chosen]])
    arrays = {"image": pictures.dequantised(images, SEED + 100)}
    if case.given_class:
        return {**arrays, "class": np.eye(CLASSES, dtype=np.float32)[labels]}
    return {**arrays, "nothing": np.zeros((len(images), 1), np.float32)}


def conditions(given_class: bool) -> dict[str, np.ndarray]:
    """Return all that the flow can be given: each class, or nothing."""
    if given_class:
        return {"class": np.eye(CLASSES, dtype=np.float32)}
    return {"nothing": np.zeros((1, 1), np.float32)}


def log_probs(
    posterior: bi.AmortizedPosterior, pictures: Pictures, images: np.ndarray, given_class: bool
) -> np.ndarray:
    """Return log densities (n, classes) of pictures given each class, or (n, 1) given nothing."""
    given = conditions(given_class)
    count = len(next(iter(given.values())))
    x = pictures.dequantised(images, SEED + 200)
    parts = []
    for start in range(0, len(x), AT_ONCE // count):
        part = x[start : start + AT_ONCE // count]
        repeated = np.broadcast_to(part, (count, *part.shape))
        parts.append(posterior.log_prob({"image": repeated}, given).T)
    return np.concatenate(parts)


def save_draws(
    case: Case, posterior: bi.AmortizedPosterior, pictures: Pictures, path: Path
) -> None:
    """Keep some draws, as whole grey levels, and as many pictures of the data."""
    given = conditions(case.given_class)
    count = 4 if case.given_class else 40
    draws = posterior.sample(given, draws=count, seed=SEED + 300)["image"]
    levels = np.floor(draws.reshape(-1, *pictures.shape) * pictures.levels)
    # Where the density reaches beyond black and white.
    levels = np.clip(levels, 0, pictures.levels - 1)
    if case.given_class:
        of_class = [
            pictures.test[pictures.test_labels == label][:count] for label in range(CLASSES)
        ]
        data = np.concatenate(of_class)
    else:
        data = pictures.test[:count]
    stored = {f"{case.model} / draws": levels.astype(np.uint8), "data": data}
    if path.exists():
        with np.load(path) as file:
            stored = {**file, **stored}
    np.savez_compressed(path, **stored)


def report(row: dict[str, Any], path: Path) -> None:
    """Print a row of the table, and add it."""
    print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    write([row], path)


def write(new: list[dict[str, Any]], path: Path) -> None:
    """Add rows to a table, in place of those of the same data and model."""
    table = pd.DataFrame(new)
    if path.exists():
        old = pd.read_csv(path)
        keys = ["data", "model"]
        old = old[~old.set_index(keys).index.isin(table.set_index(keys).index)]
        table = pd.concat([old, table], ignore_index=True)
    table.to_csv(path, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
