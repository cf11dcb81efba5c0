"""Posteriors of the pharmacokinetics and drift diffusion how-tos, trained longer, against exact.

    python benchmarks/how_to.py [--quick]

Runs the code of each page with more training steps. Writes how_to.csv: how far posterior means are
from the exact ones, in posterior standard deviations, over 48 simulated patients and 64 simulated
people; the exact posteriors are those of the pages' tests.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.tutorials.test_how_to import deviations, exact_decisions, exact_kinetics, page

#: Steps on the page, and here.
STEPS = {"pharmacokinetics": ("4_000", "20_000"), "drift_diffusion": ("2_500", "60_000")}


def kinetics(module: ModuleType, count: int) -> np.ndarray:
    """Return deviations (patients, 3) of ka, CL and V."""
    patients = module.patient.draw(count, 7)
    level = patients.observables["level"]
    dose = patients.context["dose"]
    draws = module.posterior.sample({"level": level, "dose": dose}, draws=8_000, seed=3)
    exact = [
        exact_kinetics(module, one, amount)
        for one, amount in zip(level.astype(float), dose, strict=True)
    ]
    return deviations(draws, exact)


def decisions(module: ModuleType, count: int) -> np.ndarray:
    """Return deviations (people, 3) of v, a and t0."""
    people = module.decisions.draw(count, 99)
    times = people.observables["rt"].astype(float)
    choices = people.observables["choice"]
    sizes = people.context["n"].astype(int)
    draws = module.posterior.sample(
        {"rt": times, "choice": choices, "n": sizes}, draws=8_000, seed=5
    )
    parts = zip(times, choices, sizes, strict=True)
    return deviations(
        draws, [exact_decisions(time[:size], choice[:size]) for time, choice, size in parts]
    )


def main() -> None:
    """Train, compare, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="few steps and sets: checks that it runs"
    )
    quick = parser.parse_args().quick
    rows = []
    for (name, (short, long)), compare, count in zip(
        STEPS.items(), (kinetics, decisions), (48, 64), strict=True
    ):
        steps = "40" if quick else long
        with tempfile.TemporaryDirectory() as folder:
            started = time.process_time()
            module = page(name, Path(folder), {f"steps={short}": f"steps={steps}"})
            minutes = (time.process_time() - started) / 60
        off = compare(module, 2 if quick else count)
        rows += [
            {
                "page": name,
                "steps": int(steps),
                "processor minutes": minutes,
                "parameter": parameter,
                "root mean square": np.sqrt(np.mean(column**2)),
                "largest": np.abs(column).max(),
                "share below 0.2": np.mean(np.abs(column) < 0.2),
            }
            for parameter, column in zip(module.posterior.simulator.prior.names, off.T, strict=True)
        ]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3g"))
    if not quick:
        table.to_csv(Path(__file__).with_suffix(".csv"), index=False, float_format="%.3g")


if __name__ == "__main__":
    main()
