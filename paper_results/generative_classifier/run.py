"""Generative classifiers with an information bottleneck, on Gaussians, digits, MNIST and CIFAR-10.

    python paper_results/generative_classifier/run.py [--data FOLDER] [--models FOLDER] [--quick]
        [--only gaussians digits MNIST CIFAR-10]

Writes gaussians.csv, results.csv, outliers.csv, attacks.csv and calibration.csv beside this file,
rows for each data set, beta and seed; those that are there are left alone, so that a run that was
interrupted goes on. FOLDER of
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
from attacks import SIZES as ATTACK_SIZES, attacks
from calibration import mended
from gaussians import row as gaussian_row
from images import Images, load
from measure import classes, density, outliers, unlikely
from networks import QUICK, SIZES, SMOOTHING, Classifier, Flow, Size, flow, softmax

BETAS = (0.0, 0.1, 1.0, 10.0, math.inf)
GAUSSIAN_BETAS = (0.0, 1.0, math.inf)
SEEDS = {"digits": (1, 2, 3), "MNIST": (1, 2, 3), "CIFAR-10": (1,)}
NAMES = ("gaussians", *SEEDS)
_KEYS = ["data", "network", "beta", "seed"]
#: Flows that are attacked.
ATTACKED = (1.0, 10.0, math.inf)
#: The seed whose networks are attacked, and their calibration mended.
DETAILED = 1
#: Networks that are trained once more with labels smoothed, or not, as the others are.
RESMOOTHED = (("flow", 1.0), ("flow", math.inf), ("softmax", math.inf))


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
        tables = {
            "results": Table(target / "results.csv", _KEYS),
            "outliers": Table(target / "outliers.csv", [*_KEYS, "outliers", "score"]),
            "attacks": Table(target / "attacks.csv", [*_KEYS, "attack", "size"]),
            "calibration": Table(target / "calibration.csv", [*_KEYS, "smoothing"]),
        }
        for name in [name for name in SEEDS if name in options.only][
            : 1 if options.quick else None
        ]:
            data = load(name, options.data)
            for case in cases(name, options.quick):
                add(case, data, models, options.quick, tables)
        for table in (gaussians, *tables.values()):
            print(table.frame.to_string(index=False), end="\n\n")


def cases(name: str, quick: bool) -> Iterator[dict[str, object]]:
    """Yield what is trained on a data set, the softmax classifier after the others."""
    for seed in SEEDS[name][: 1 if quick else None]:
        for beta in (0.0, math.inf) if quick else BETAS:
            yield case_of(name, "flow", beta, seed, SMOOTHING)
        yield case_of(name, "softmax", math.inf, seed, 0.0)
        resmoothed = name == "digits" and seed == DETAILED and not quick
        for network, beta in RESMOOTHED if resmoothed else ():
            yield case_of(name, network, beta, seed, 0.0 if network == "flow" else SMOOTHING)


def case_of(data: str, network: str, beta: float, seed: int, smoothing: float) -> dict[str, object]:
    """Return the keys of a network."""
    return {"data": data, "network": network, "beta": beta, "seed": seed, "smoothing": smoothing}


def add(
    case: dict[str, object], data: Images, models: Path, quick: bool, tables: dict[str, Table]
) -> None:
    """Train a network, or read it, and write the rows that it lacks."""
    kind = {key: case[key] for key in _KEYS}
    usual = case["smoothing"] == (SMOOTHING if case["network"] == "flow" else 0.0)
    detailed = case["seed"] == DETAILED
    attacked = usual and (case["network"] == "softmax" or case["beta"] in ATTACKED)
    lacks = {
        "results": usual and not tables["results"].has(**kind),
        "attacks": detailed and attacked and not tables["attacks"].has(**kind),
        "calibration": detailed and not tables["calibration"].has(**case),
    }
    if not any(lacks.values()):
        return
    folder = models / f"{data.name}_{case['network']}_{case['beta']:g}_{case['seed']}"
    if not usual:
        folder = folder.with_name(f"{folder.name}_smoothing_{case['smoothing']}")
    started = time.process_time()
    classifier = trained(case, data, QUICK if quick else SIZES[data.name], folder, tables)
    seconds = duration(folder, started)
    if lacks["results"]:
        found = {}
        rows = []
        if isinstance(classifier, Flow):
            found = density(classifier, data)
            rows = unlikely(classifier, data)
        rows += outliers(classifier, data)
        tables["outliers"].add([{**kind, **row} for row in rows])
        measured = {**classes(classifier, data), **found}
        size = {"weights": classifier.weights, "seconds": seconds}
        tables["results"].add([{**kind, **size, **measured}])
    if lacks["calibration"]:
        row = mended(classifier, data, float(str(case["smoothing"])))
        tables["calibration"].add([{**case, **row}])
    if lacks["attacks"]:
        attacked_rows = attacks(classifier, data, ATTACK_SIZES[: 1 if quick else None])
        tables["attacks"].add([{**kind, **row} for row in attacked_rows])


def trained(
    case: dict[str, object], data: Images, size: Size, folder: Path, tables: dict[str, Table]
) -> Classifier:
    """Return a network, trained now unless it is in the folder."""
    seed = int(str(case["seed"]))
    smoothing = float(str(case["smoothing"]))
    if case["network"] == "flow":
        return flow(data, size, float(str(case["beta"])), seed, folder, smoothing)
    # As long as the flows of this data set.
    limit = tables["results"].frame.query("data == @data.name")["seconds"].mean()
    return softmax(data, size, limit, seed, folder, smoothing)


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
