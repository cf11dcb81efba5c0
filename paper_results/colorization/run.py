"""Colours of grey digits: a conditional invertible network against the exact law.

    python paper_results/colorization/run.py [--minutes 24] [--quick]

Writes results.csv, classes.csv, pictures.npz, and the figures beside this file. Training can be
stopped: the next call goes on with it, from ``state`` beside this file. ``--quick`` trains for a few
steps and writes nothing that stays.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import coloured_digits as exact
import figures
import numpy as np
import pandas as pd

import bayesinn as bi

STEPS = 10_000
BATCH = 64
#: Colourings of each picture to train on.
COPIES = 48
DRAWS = 200
MOST = 8
#: Walks that are drawn.
WALKS = 4


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float, default=24.0, help="by then training ends")
    arguments = parser.parse_args()
    quick = arguments.quick
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        posterior = trained(target / "state", quick, arguments.minutes)
        minutes = time.process_time() / 60.0
        results, classes, pictures = measured(posterior, 60 if quick else 360, quick)
        results["steps"] = posterior.steps_done
        results["minutes"] = minutes
        print(results.T.to_string(header=False), classes.to_string(index=False), sep="\n\n")
        results.to_csv(target / "results.csv", index=False, float_format="%.4g")
        classes.to_csv(target / "classes.csv", index=False, float_format="%.4g")
        np.savez_compressed(target / "pictures.npz", **pictures)
        figures.draw(target)


def trained(state: Path, quick: bool, minutes: float) -> bi.AmortizedPosterior:
    """Return the posterior of colours given a grey picture and its class."""
    grey, digit = exact.pictures(test=False)
    # Turned and mirrored pictures are as good as new ones: the class is given.
    turned = np.concatenate([np.rot90(grey, turns, axes=(1, 2)) for turns in range(4)])
    views = np.concatenate([turned, turned[:, :, ::-1]])
    copies = 1 if quick else COPIES
    data = exact.coloured(
        np.concatenate([views] * (copies // 8 or 1)), np.tile(digit, 8 * (copies // 8 or 1)), seed=1
    )
    held_out = exact.coloured(*exact.pictures(test=True), seed=2)
    stride = len(data["colour"]) // 2_000
    model = bi.from_arrays(
        # Some of each view.
        {"colour": bi.Samples(data["colour"][::stride], noise=exact.SIGMA)},
        {"grey": (8, 8, 1), "digit": (10,)},
    )
    width = 8 if quick else 64
    maps = ("maps1", "maps2", "maps3")
    posterior = bi.AmortizedPosterior(
        model,
        summary={"grey": bi.summaries.ConvImage(32, 3 * (width // 2,), maps=width // 2)},
        flow=bi.flows.image(
            levels=3,
            blocks=1,
            filters=(width, width),
            mixing=None,
            finished=0.75,
            shape=(8, 8, 2),
            reads=maps,
            dense=1 if quick else 4,
            subnet=bi.bijections.Convolutional((width, width), activation="silu", gated=True),
        ),
        networks=1,
    )
    return posterior.fit(
        data,
        steps=10 if quick else STEPS,
        batch_size=BATCH,
        seed=1,
        validation=held_out,
        optimization=bi.Optimization(learning_rate=2e-3, minutes=minutes, xla=False),
        checkpoint=bi.Checkpoint(state, resume=True),
        progress=False,
    )


def measured(
    posterior: bi.AmortizedPosterior, count: int, quick: bool
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, np.ndarray]]:
    """Compare with the exact law on pictures that were not trained on."""
    grey, digit = (values[:count] for values in exact.pictures(test=True))
    data = {"grey": grey, "digit": np.eye(10, dtype=np.float32)[digit]}
    draws = 50 if quick else DRAWS
    truth = exact.coloured(np.repeat(grey, 10, axis=0), np.repeat(digit, 10), seed=3)["colour"]
    truth = truth.reshape(count, 10, 8, 8, 2)
    true_density = exact.log_density(
        truth.reshape(-1, 8, 8, 2), np.repeat(grey, 10, axis=0), np.repeat(digit, 10)
    ).reshape(count, 10)
    density = posterior.log_prob({"colour": truth}, data)
    sampled = posterior.sample(data, draws=draws, seed=4)["colour"]
    drawn = exact.coloured(np.repeat(grey, MOST, axis=0), np.repeat(digit, MOST), seed=5)[
        "colour"
    ].reshape(count, MOST, 8, 8, 2)
    hues = exact.hues(sampled, grey)
    first = exact.first_mode(hues, digit).mean(axis=1)
    weight = exact.WEIGHTS[digit, 0]
    mean = grey * (exact.WEIGHTS[:, :, None] * exact.HUES).sum(axis=1)[digit][:, None, None]
    gap = (true_density - density) / exact.DIMENSION
    saturation, chroma, walks = walked(posterior, data, sampled[:, 0], digit)
    results = {
        "floor": -true_density.mean() / exact.DIMENSION,
        "loss": -density.mean() / exact.DIMENSION,
        "gap": gap.mean(),
        "gap error": gap.mean(axis=1).std() / np.sqrt(count),
        "weight error": np.abs(first - weight).mean(),
        "noise of weights": np.sqrt(2.0 / np.pi * weight * (1.0 - weight) / draws).mean(),
        "transfer": transfer(posterior, data, truth[:, 0]),
        "best of 8": best(sampled[:, :MOST], truth[:, 0]),
        "best of 8 exact": best(drawn, truth[:, 0]),
        "best of 1": best(sampled[:, :1], truth[:, 0]),
        "best of 1 exact": best(drawn[:, :1], truth[:, 0]),
        "mean": best(mean[:, None], truth[:, 0]),
        "spread of pixels": sampled.std(axis=1).mean(),
        "spread of pixels exact": spread(grey, digit),
        "chroma rises with t": saturation,
    }
    # The first picture of each class.
    _, rows = np.unique(digit, return_index=True)
    pictures = {
        "grey": grey[rows],
        "digit": digit[rows],
        "truth": truth[rows, 0],
        "draws": sampled[rows, :6],
        "hues": hues[rows, :200],
        "walks": walks[:WALKS],
        "chroma": chroma[:WALKS],
    }
    return pd.DataFrame([results]), by_class(first, gap.mean(axis=1), digit), pictures


def best(candidates: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean over pictures of the least squared error of candidates (n, k, 8, 8, 2)."""
    errors = np.mean((candidates - truth[:, None]) ** 2, axis=(2, 3, 4))
    return float(errors.min(axis=1).mean())


def spread(grey: np.ndarray, digit: np.ndarray) -> float:
    """Return the mean of the exact standard deviations of pixels."""
    weight = exact.WEIGHTS[digit, :1]
    between = weight * (1.0 - weight) * (exact.HUES[digit, 0] - exact.HUES[digit, 1]) ** 2
    variance = grey**2 * (between + exact.TAU**2)[:, None, None] + exact.SIGMA**2
    return float(np.sqrt(variance).mean())


def by_class(first: np.ndarray, gap: np.ndarray, digit: np.ndarray) -> pd.DataFrame:
    """Return a row for each class: weight of its first mode, and nats above the floor."""
    found = pd.DataFrame({"digit": digit, "share": first, "gap": gap})
    found["weight"] = exact.WEIGHTS[digit, 0]
    classes = found.groupby("digit", as_index=False)[["weight", "share", "gap"]].mean()
    return classes.assign(error=(classes["share"] - classes["weight"]).abs())


def transfer(
    posterior: bi.AmortizedPosterior, data: dict[str, np.ndarray], truth: np.ndarray
) -> float:
    """Return the largest error of colours that went to their codes, and back to the same picture."""
    codes = posterior.given(data).encode({"colour": truth}, 0)
    return max(
        np.abs(
            posterior.given({name: value[row : row + 1] for name, value in data.items()}).decode(
                codes[row : row + 1]
            )["colour"]
            - truth[row]
        ).max()
        for row in range(min(20, len(truth)))
    )


def walked(
    posterior: bi.AmortizedPosterior,
    data: dict[str, np.ndarray],
    sampled: np.ndarray,
    digit: np.ndarray,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the rank correlation of chroma with the factor t of latent codes.

    It is the mean over one draw (8, 8, 2) of a picture of each class. Also returns the chroma
    (classes, times), and the pictures (classes, times, 8, 8, 2).
    """
    codes = posterior.given(data).encode({"colour": sampled}, 0)
    walks = []
    for row in np.unique(digit, return_index=True)[1]:
        given = posterior.given({name: value[row : row + 1] for name, value in data.items()})
        times = np.asarray(figures.TIMES, np.float32)
        walks.append(given.decode(times[:, None] * codes[row])["colour"])
    chroma = np.linalg.norm(walks, axis=-1).mean(axis=(2, 3))
    ranks = [
        pd.Series(values).corr(pd.Series(figures.TIMES), method="spearman") for values in chroma
    ]
    return float(np.mean(ranks)), chroma, np.stack(walks)


if __name__ == "__main__":
    main()
