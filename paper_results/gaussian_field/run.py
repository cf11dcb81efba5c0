"""Images as data: posteriors of a random field against the exact one.

    python paper_results/gaussian_field/run.py [--quick] [--summary NAME ...]

Trains with each summary network, writes its rows of results.csv and sbc.csv, and saves the
posterior of the power spectrum beside this file. Trainings are kept in runs/gaussian_field, where a
second start goes on. ``--quick`` trains for a few steps and writes nothing that stays.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

import bayesinn as bi
from bayesinn.simulators import gaussian_field as module
from bayesinn.simulators.gaussian_field import gaussian_field

#: Summary networks, the default first, with steps and sizes of batches.
SUMMARIES = {
    "ConvImage": (bi.summaries.ConvImage(), 16_000, 64),
    "PowerSpectrum": (bi.summaries.PowerSpectrum(), 40_000, 128),
}
LEARNING_RATE = 2e-3
SETS = 50
DRAWS = 2_000
SBC_SETS = 1_000
SBC_DRAWS = 199
RUNS = Path("runs") / "gaussian_field"


def main() -> None:
    """Train, compare with exact posteriors, calibrate, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--summary", nargs="+", choices=SUMMARIES, default=list(SUMMARIES))
    arguments = parser.parse_args()
    quick = arguments.quick
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        for name in arguments.summary:
            started = time.process_time()
            posterior = train(name, quick, Path(folder) if quick else RUNS)
            seconds = round(time.process_time() - started)
            if name == "PowerSpectrum":
                posterior.save(target / "posterior")
            results = distances(posterior, 2 if quick else SETS, 100 if quick else DRAWS)
            results["steps"] = posterior.steps_done
            results["batch"] = SUMMARIES[name][2]
            results["seconds"] = seconds
            keep(target / "results.csv", name, results)
            keep(target / "sbc.csv", name, calibration(posterior, 20 if quick else SBC_SETS))


def train(name: str, quick: bool, folder: Path) -> bi.AmortizedPosterior:
    """Return the posterior with a summary network and the default flow."""
    summary, steps, batch = SUMMARIES[name]
    posterior = bi.AmortizedPosterior(gaussian_field, summary=summary)
    return posterior.fit(
        steps=2 if quick else steps,
        batch_size=batch,
        seed=1,
        optimization=bi.Optimization(learning_rate=LEARNING_RATE, xla=False),
        checkpoint=bi.Checkpoint(folder / name, resume=True),
        progress=False,
    )


def keep(file: Path, name: str, rows: pd.DataFrame) -> None:
    """Write rows of one summary network, in place of older ones."""
    rows.insert(0, "summary", name)
    print(rows.to_string(index=False), flush=True)
    if file.exists():
        known = pd.read_csv(file)
        rows = pd.concat([known[known["summary"] != name], rows])
    rows.to_csv(file, index=False, float_format="%.4g")


def distances(posterior: bi.AmortizedPosterior, sets: int, draws: int) -> pd.DataFrame:
    """Return Kolmogorov-Smirnov distances to exact marginals, with what exact draws have."""
    drawn = gaussian_field.draw(sets, seed=77)
    sampled = posterior.sample(drawn.observables, draws=draws, seed=3)
    rows = []
    for number, image in enumerate(drawn.observables["image"]):
        exact = module.exact({"image": image}, 10 * draws, seed=2 * number)
        again = module.exact({"image": image}, draws, seed=2 * number + 1)
        rows += [
            {
                "parameter": name,
                "distance": ks_2samp(sampled[name][number], exact[name]).statistic,
                "exact": ks_2samp(again[name], exact[name]).statistic,
                "sd": np.std(np.log(sampled[name][number])) / np.std(np.log(exact[name])),
            }
            for name in exact
        ]
    by_parameter = pd.DataFrame(rows).groupby("parameter", sort=False)
    return by_parameter.agg(
        **{
            "mean distance": ("distance", "mean"),
            "largest distance": ("distance", "max"),
            "mean distance of exact draws": ("exact", "mean"),
            "ratio of sds": ("sd", "median"),
        }
    ).reset_index()


def calibration(posterior: bi.AmortizedPosterior, sets: int) -> pd.DataFrame:
    """Return simulation-based calibration of each parameter."""
    drawn = gaussian_field.draw(sets, seed=2)
    draws = posterior.sample(drawn.observables, draws=SBC_DRAWS, seed=4)
    result = bi.diagnostics.sbc(drawn.parameters, dict(draws), seed=5)
    return pd.DataFrame(
        {
            "parameter": result.columns,
            "p": result.p_value,
            "inside": result.inside,
            "sets": sets,
        }
    )


if __name__ == "__main__":
    main()
