"""The compiled classifier against scikit-learn's, on pairs of sets from easy to impossible.

    python paper_results/sbibm/check.py --data WHEEL [--tasks NAME ...] [--quick]

Of the reference draws of each task's first observation, half are one set; the other half the other
one: as they are, stretched by a sixth, or replaced, all or every other one, by Gaussian draws of
equal mean and covariance.
Appends rows to ``check.csv`` beside this file, and skips those that are there. ``--quick`` compares
Gaussian points, without the package.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from classifier import c2st
from tasks import TASKS, Package

from bayesinn.diagnostics import c2st as scikit_c2st

FILE = Path(__file__).with_name("check.csv")
DISTINCT = [name for name, task in TASKS.items() if task.folder is None]
STRETCH = 7.0 / 6.0
# The larger classifiers take scikit-learn minutes.
POINTS = {2: 5_000, 4: 2_000, 5: 2_000, 10: 1_000}


def same(draws: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the draws."""
    return draws


def stretched(draws: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the draws, further from their mean."""
    mean = draws.mean(axis=0)
    return mean + STRETCH * (draws - mean)


def gaussian(draws: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return Gaussian draws of the same mean and covariance."""
    return generator.multivariate_normal(draws.mean(axis=0), np.cov(draws.T), len(draws))


def mixed(draws: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the draws, every other one replaced."""
    every = np.arange(len(draws))[:, None] % 2 == 0
    return np.where(every, gaussian(draws, generator), draws)


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "same": same,
    "stretched": stretched,
    "gaussian": gaussian,
    "half gaussian": mixed,
}


def measure(
    function: Callable[..., float], draws: np.ndarray, reference: np.ndarray
) -> tuple[float, float]:
    """Return an accuracy, and its processor seconds."""
    started = time.process_time()
    return function(draws, reference), time.process_time() - started


def main() -> None:
    """Compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SBIBM"), metavar="WHEEL")
    parser.add_argument("--tasks", nargs="+", choices=DISTINCT, default=DISTINCT, metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.quick:
        first, second = np.random.default_rng(1).normal(size=(2, 200, 2))
        print(f"compiled {c2st(first, second):.3f}, scikit-learn {scikit_c2st(first, second):.3f}")
        return
    if given.data is None:
        parser.error("--data WHEEL, or SBIBM, says where sbibm 1.1.0 is")
    package = Package(Path(given.data))
    done: set[tuple[str, ...]] = set()
    if FILE.is_file():
        done = set(pd.read_csv(FILE)[["task", "pair"]].itertuples(index=False, name=None))
    for name in given.tasks:
        drawn = package.case(TASKS[name], 1).reference
        points = POINTS[drawn.shape[1]]
        generator = np.random.default_rng(1)
        drawn = drawn[generator.permutation(len(drawn))]
        reference = drawn[:points]
        for kind, change in KINDS.items():
            if (name, kind) in done:
                continue
            draws = change(drawn[points : 2 * points], generator)
            compiled, seconds = measure(c2st, draws, reference)
            scikit, scikit_seconds = measure(scikit_c2st, draws, reference)
            row = {"task": name, "pair": kind, "dimension": drawn.shape[1], "points": points}
            row |= {"compiled": compiled, "scikit": scikit, "error": abs(compiled - scikit)}
            row |= {"compiled_seconds": seconds, "scikit_seconds": scikit_seconds}
            frame = pd.DataFrame([row])
            frame.to_csv(
                FILE, mode="a", header=not FILE.is_file(), index=False, float_format="%.4f"
            )
            print(frame.to_string(index=False, header=False), flush=True)


if __name__ == "__main__":
    main()
