"""Generative classifiers with an information bottleneck, on Gaussians, digits and MNIST.

    python paper_results/generative_classifier/run.py [--data FOLDER] [--models FOLDER] [--quick]
        [--only gaussians digits MNIST]

Writes gaussians.csv, results.csv and outliers.csv beside this file, a row for each data set, beta
and seed; rows that are there are left alone, so that a run that was interrupted goes on. FOLDER of
``--data`` has mnist.npz and cifar10.npz in the layout of ``keras.datasets``; ``--models`` keeps
trained networks and uses those that are there. ``--quick`` takes digits and small networks, and
writes nothing that stays.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from gaussians import row as gaussian_row
from images import Images, load
from measure import classes, density, outliers, unlikely
from networks import QUICK, SIZES, Classifier, flow, softmax

BETAS = (0.0, 0.1, 1.0, 10.0, math.inf)
GAUSSIAN_BETAS = (0.0, 1.0, math.inf)
SEEDS = {"digits": (1, 2, 3), "MNIST": (1,)}
NAMES = ("gaussians", *SEEDS)
_KEYS = ["data", "network", "beta", "seed"]


def main() -> None:
    """Train what has no row yet, measure, write after each network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if options.quick else Path(__file__).parent
        models = options.models or Path(folder)
        gaussians = Table(target / "gaussians.csv", ["beta", "seed"])
        for beta in GAUSSIAN_BETAS[: 1 if options.quick else None]:
            for seed in (1,) if options.quick else SEEDS["digits"]:
                if "gaussians" in options.only and not gaussians.has(beta=beta, seed=seed):
                    gaussians.add([gaussian_row(beta, seed, options.quick)])
        results = Table(target / "results.csv", _KEYS)
        others = Table(target / "outliers.csv", [*_KEYS, "outliers", "score"])
        for name in [name for name in SEEDS if name in options.only][
            : 1 if options.quick else None
        ]:
            data = load(name, options.data)
            for case in cases(name, options.quick):
                if not results.has(**case):
                    add(case, data, models, options.quick, results, others)
        for table in (gaussians, results, others):
            print(table.frame.to_string(index=False), end="\n\n")


def cases(name: str, quick: bool) -> Iterator[dict[str, object]]:
    """Yield what is trained on a data set, the softmax classifier after the others."""
    for seed in SEEDS[name][: 1 if quick else None]:
        for beta in (0.0, math.inf) if quick else BETAS:
            yield {"data": name, "network": "flow", "beta": beta, "seed": seed}
        yield {"data": name, "network": "softmax", "beta": math.inf, "seed": seed}


def add(
    case: dict[str, object],
    data: Images,
    models: Path,
    quick: bool,
    results: Table,
    others: Table,
) -> None:
    """Train a network and write its rows."""
    size = QUICK if quick else SIZES[data.name]
    beta = float(str(case["beta"]))
    seed = int(str(case["seed"]))
    folder = models / f"{data.name}_{case['network']}_{beta:g}_{seed}"
    started = time.process_time()
    if case["network"] == "flow":
        invertible = flow(data, size, beta, seed, folder)
        seconds = duration(folder, started)
        found = density(invertible, data)
        rows = unlikely(invertible, data)
        classifier: Classifier = invertible
    else:
        # As long as the flows of this data set.
        limit = results.frame.query("data == @data.name")["seconds"].mean()
        classifier = softmax(data, size, limit, seed, folder)
        seconds = duration(folder, started)
        found = {}
        rows = []
    rows += outliers(classifier, data)
    others.add([{**case, **row} for row in rows])
    measured = {**classes(classifier, data), **found}
    results.add([{**case, "weights": classifier.weights, "seconds": seconds, **measured}])


def duration(folder: Path, started: float) -> float:
    """Return the processor time of a training, also of one whose network was read."""
    file = folder / "seconds"
    if not file.is_file():
        file.write_text(f"{time.process_time() - started:.1f}")
    return float(file.read_text())


class Table:
    """A CSV file that is written anew whenever rows come."""

    def __init__(self, file: Path, keys: list[str]) -> None:
        self._file = file
        self._keys = keys
        self.frame = pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=keys)

    def has(self, **case: object) -> bool:
        """Tell whether there is a row of a case."""
        frame = self.frame
        for name, value in case.items():
            frame = frame[frame[name] == value]
        return len(frame) > 0

    def add(self, rows: list[dict[str, object]]) -> None:
        """Add rows in place of those with the same keys, and write the file."""
        new = pd.DataFrame(rows)
        frames = [frame for frame in (self.frame, new) if len(frame)]
        joined = pd.concat(frames).drop_duplicates(self._keys, keep="last")
        self.frame = joined.sort_values(self._keys, ignore_index=True)
        self.frame.to_csv(self._file, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
