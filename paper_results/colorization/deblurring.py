"""Digits from blurred and noisy pictures of them: another pair of pictures, the same estimator.

    python paper_results/colorization/deblurring.py [--quick]

Writes deblurring.csv and deblurring.png beside this file. ``--quick`` trains for a few steps and
writes nothing that stays.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from coloured_digits import pictures
from rivals import LinearGaussian
from scipy.ndimage import uniform_filter

import bayesinn as bi

STEPS = 2_000
#: Copies of each picture to train on, each with noise of its own.
COPIES = 20
#: Of the pictures to train on, kept to choose weights by.
HELD_OUT = 200
#: Standard deviation of the noise of pixels.
NOISE = 0.1
LEVELS = 17
SHAPE = (8, 8, 1)
DRAWS = 100


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    digits, _ = pictures(test=False)
    train = pairs(np.concatenate((1 if quick else COPIES) * [digits[HELD_OUT:]]), seed=1)
    held_out = pairs(digits[:HELD_OUT], seed=2)
    test = pairs(pictures(test=True)[0], seed=3)
    gaussian = LinearGaussian.fit(
        train["seen"], train["picture"], held_out["seen"], held_out["picture"]
    )
    started = time.process_time()
    posterior = trained(train, held_out, quick)
    minutes = (time.process_time() - started) / 60.0
    draws = posterior.sample({"seen": test["seen"]}, draws=DRAWS, seed=4)["picture"]
    density = posterior.log_prob({"picture": test["picture"][:, None]}, {"seen": test["seen"]})
    answers = {
        "flow": (density[:, 0], draws.mean(axis=1), posterior.steps_done, minutes),
        "linear Gaussian": (
            gaussian.log_prob(test["seen"], test["picture"]),
            gaussian.mean(test["seen"]).reshape(-1, *SHAPE),
            math.nan,
            math.nan,
        ),
    }
    size = math.prod(SHAPE)
    table = pd.DataFrame(
        {
            "model": model,
            "nats": -logs.mean() / size,
            "standard error": logs.std() / math.sqrt(len(logs)) / size,
            "error of the mean": np.mean((mean - test["picture"]) ** 2),
            "steps": steps,
            "minutes": used,
        }
        for model, (logs, mean, steps, used) in answers.items()
    )
    print(table.to_string(index=False))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        table.to_csv(target / "deblurring.csv", index=False, float_format="%.4g")
        columns = [test["picture"], test["seen"], draws.mean(axis=1), draws.std(axis=1)]
        figure = bi.plots.image_grid(
            np.stack([*columns, *np.moveaxis(draws[:, :4], 1, 0)], axis=1)[:6],
            columns=["truth", "seen", "mean", "sd", *4 * ["draw"]],
            limits=(0.0, 1.0),
        )
        bi.plots.save(figure, target / "deblurring.png")


def pairs(digits: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return pictures, their levels spread evenly over their steps, and what is seen of them."""
    generator = np.random.default_rng(seed)
    picture = (digits * (LEVELS - 1) + generator.random(digits.shape)) / LEVELS
    blurred = uniform_filter(picture, size=(1, 3, 3, 1), mode="constant")
    seen = blurred + NOISE * generator.normal(size=digits.shape)
    return {"picture": picture.astype(np.float32), "seen": seen.astype(np.float32)}


def trained(
    train: dict[str, np.ndarray], held_out: dict[str, np.ndarray], quick: bool
) -> bi.AmortizedPosterior:
    """Return the posterior of a picture given what is seen."""
    width = 8 if quick else 48
    blocks = 1 if quick else 3
    model = bi.from_arrays(
        {"picture": bi.Samples(train["picture"][:1_000], noise=0.02)}, {"seen": SHAPE}
    )
    posterior = bi.AmortizedPosterior(
        model,
        summary=bi.summaries.ConvImage(32, (width, width), maps=width // 2),
        flow=bi.flows.image(
            levels=2,
            blocks=blocks,
            filters=(width, width),
            dropout=0.1,
            shape=SHAPE,
            reads=("maps1", "maps2"),
            dense=1 if quick else 2,
        ),
        networks=1,
    )
    return posterior.fit(
        train,
        steps=10 if quick else STEPS,
        batch_size=64,
        validation=held_out,
        seed=1,
        optimization=bi.Optimization(learning_rate=2e-3, weight_decay=0.02),
        progress=False,
    )


if __name__ == "__main__":
    main()
