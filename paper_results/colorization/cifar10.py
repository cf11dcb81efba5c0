"""Colours of grey photographs: a conditional invertible network on CIFAR-10.

    python paper_results/colorization/cifar10.py [--data FOLDER] [--minutes 20] [--quick]

FOLDER holds cifar10.npz as Keras stores it; left out, Keras fetches it. Writes photographs.csv,
checks.csv, photographs.npz, and figures beside this file. Training can be stopped: the next call
goes on with it, from ``state`` beside this file. ``--quick`` trains for a few steps on pieces of
scikit-learn's photographs, and writes nothing that stays.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import figures
import keras
import numpy as np
import pandas as pd
import photograph_figures
import photographs
import tensorflow as tf
from rivals import LinearGaussian, deterministic, train_deterministic

import bayesinn as bi

SEED = 1
STEPS = 8_000
BATCH = 64
HELD_OUT = 1_000
#: Pictures whose density is measured, those of which there are draws, and those of walks.
DENSITIES = 10_000
PICTURES = 500
WALKS = 60
MOST = 8
_AT_ONCE = 500
#: Of the arrays that are kept for figures.
KEPT = 8


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--minutes", type=float, default=20.0, help="by then training ends")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    quick = arguments.quick
    pictures, test_pictures = photographs.load(arguments.data, quick)
    held = 20 if quick else HELD_OUT
    train = photographs.coloured(pictures[held:], seed=1)
    held_out = photographs.coloured(pictures[:held], seed=2)
    test = photographs.coloured(test_pictures[: 20 if quick else DENSITIES], seed=3)
    gaussian = LinearGaussian.fit(
        train["grey"], train["colour"], held_out["grey"], held_out["colour"]
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        posterior, minutes = trained(train, held_out, target, quick, arguments.minutes)
        weights = count(posterior.model.network.trainable_variables)
        steps = posterior.steps_done
        started = time.process_time()
        rival = deterministic(weights, quick)
        train_deterministic(rival, train, steps, BATCH)
        costs = {
            "flow": (weights, steps, minutes),
            "linear Gaussian": (gaussian.size, math.nan, math.nan),
            "deterministic network": (
                count(rival.trainable_variables),
                steps,
                (time.process_time() - started) / 60.0,
            ),
        }
        table, checks, kept = measured(posterior, gaussian, rival, test, quick)
        table[["weights", "steps", "minutes"]] = [costs[model] for model in table["model"]]
        print(table.to_string(index=False), checks.T.to_string(header=False), sep="\n\n")
        table.to_csv(target / "photographs.csv", index=False, float_format="%.5g")
        checks.to_csv(target / "checks.csv", index=False, float_format="%.4g")
        np.savez_compressed(target / "photographs.npz", **kept)
        photograph_figures.draw(target)


def trained(
    train: dict[str, np.ndarray],
    held_out: dict[str, np.ndarray],
    target: Path,
    quick: bool,
    minutes: float,
) -> tuple[bi.AmortizedPosterior, float]:
    """Return the posterior, and the minutes of the processor that training took."""
    posterior = photographs.network(train, quick)
    started = time.process_time()
    posterior.fit(
        train,
        steps=10 if quick else STEPS,
        batch_size=BATCH,
        seed=SEED,
        validation=held_out,
        optimization=bi.Optimization(
            learning_rate=2e-3, minutes=minutes, callbacks=[Report()], xla=False
        ),
        checkpoint=bi.Checkpoint(target / "state" / "photographs", resume=True),
        progress=False,
    )
    return posterior, (time.process_time() - started) / 60.0


class Report(keras.callbacks.Callback):
    """Says how far training has come."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        minutes = time.process_time() / 60.0
        print(f"epoch {epoch + 1}, {minutes:.2f} processor minutes, {logs}", flush=True)


def count(variables: list[tf.Variable]) -> int:
    """Return how many numbers variables hold."""
    return sum(math.prod(variable.shape) for variable in variables)


def measured(
    posterior: bi.AmortizedPosterior,
    gaussian: LinearGaussian,
    rival: keras.Model,
    test: dict[str, np.ndarray],
    quick: bool,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, np.ndarray]]:
    """Return a row a model, what was checked of the flow, and arrays for figures."""
    logs = {
        "flow": densities(posterior, test),
        "linear Gaussian": gaussian.log_prob(test["grey"], test["colour"]),
    }
    few = {name: values[: 10 if quick else PICTURES] for name, values in test.items()}
    truth = few["colour"]
    grey = few["grey"]
    shape = (len(grey), -1, *photographs.COLOURS)
    draws = {
        "flow": drawn(posterior, grey),
        "linear Gaussian": gaussian.sample(grey, MOST, seed=5).reshape(shape),
        "deterministic network": rival.predict(grey, verbose=0)[:, None],
    }
    rows = []
    for model, values in draws.items():
        nats = -logs[model] / photographs.DIMENSION if model in logs else np.array([math.nan])
        errors = np.mean((values - truth[:, None]) ** 2, axis=(2, 3, 4))
        rows.append(
            {
                "model": model,
                "nats": nats.mean(),
                "standard error": nats.std() / math.sqrt(len(nats)),
                **{f"best of {k}": errors[:, :k].min(axis=1).mean() for k in (1, 2, 4, MOST)},
                "spread of pixels": values.std(axis=1).mean(),
            }
        )
    gain = (logs["flow"] - logs["linear Gaussian"]) / photographs.DIMENSION
    chroma, walks = walked(posterior, few, 4 if quick else WALKS)
    ranks = [
        pd.Series(values).corr(pd.Series(figures.TIMES), method="spearman") for values in chroma
    ]
    moved, identity = transferred(posterior, few)
    checks = {
        "test pictures": len(gain),
        "gain over linear Gaussian": gain.mean(),
        "error of the gain": gain.std() / math.sqrt(len(gain)),
        "pictures with draws": len(truth),
        "chroma rises with t": np.mean(ranks),
        "pictures with walks": len(chroma),
        "transfer to itself": identity,
    }
    kept = {
        "grey": grey[:KEPT],
        "truth": truth[:KEPT],
        "draws": draws["flow"][:KEPT, :6],
        "deterministic": draws["deterministic network"][:KEPT, 0],
        "walks": walks,
        "chroma": chroma,
        "moved": moved,
    }
    halves = {name: np.asarray(values, np.float16) for name, values in kept.items()}
    return pd.DataFrame(rows), pd.DataFrame([checks]), halves


def densities(posterior: bi.AmortizedPosterior, test: dict[str, np.ndarray]) -> np.ndarray:
    """Return log densities (n,) of the true colours."""
    parts = []
    for start in range(0, len(test["grey"]), _AT_ONCE):
        part = {name: values[start : start + _AT_ONCE] for name, values in test.items()}
        data = {"grey": part["grey"]}
        parts.append(posterior.log_prob({"colour": part["colour"][:, None]}, data)[:, 0])
    return np.concatenate(parts)


def drawn(posterior: bi.AmortizedPosterior, grey: np.ndarray) -> np.ndarray:
    """Draw colours (n, MOST, 16, 16, 2)."""
    parts = [
        posterior.sample({"grey": grey[start : start + 100]}, draws=MOST, seed=SEED + start)
        for start in range(0, len(grey), 100)
    ]
    return np.concatenate([part["colour"] for part in parts])


def walked(
    posterior: bi.AmortizedPosterior, few: dict[str, np.ndarray], walks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean chroma (walks, times) of latent codes times t, and some pictures of them.

    The codes are those of a draw for each picture.
    """
    data = {"grey": few["grey"][:walks]}
    draw = posterior.sample(data, draws=1, seed=SEED + 7)["colour"][:, 0]
    codes = posterior.given(data).encode({"colour": draw}, 0)
    times = np.asarray(figures.TIMES, np.float32)
    pictures = []
    for row, code in enumerate(codes):
        given = posterior.given({"grey": data["grey"][row : row + 1]})
        pictures.append(given.decode(times[:, None] * code)["colour"])
    chroma = np.linalg.norm(pictures, axis=-1).mean(axis=(2, 3))
    return chroma, np.stack(pictures[:4])


def transferred(
    posterior: bi.AmortizedPosterior, few: dict[str, np.ndarray]
) -> tuple[np.ndarray, float]:
    """Return colours of pictures given the brightness of others, (from, to, 16, 16, 2).

    Also returns the largest error where both are the same.
    """
    size = KEPT // 2
    data = {"grey": few["grey"][:size]}
    truth = few["colour"][:size]
    codes = posterior.given(data).encode({"colour": truth}, 0)
    moved = [
        posterior.given({"grey": data["grey"][row : row + 1]}).decode(codes)["colour"]
        for row in range(len(codes))
    ]
    table = np.stack(moved, axis=1)
    own = table[np.arange(size), np.arange(size)]
    return table, float(np.abs(own - truth).max())


if __name__ == "__main__":
    main()
