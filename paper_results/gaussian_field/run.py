"""Images as data: the posterior of a random field against the exact one.

    python paper_results/gaussian_field/run.py [--quick]

Writes results.csv, sbc.csv and the posterior beside this file, and keeps the training in
runs/gaussian_field, where a second start goes on. ``--quick`` trains for a few steps and writes nothing that stays.
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

STEPS = 16_000
BATCH = 64
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
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        started = time.process_time()
        posterior = train(2 if quick else STEPS, Path(folder) if quick else RUNS)
        seconds = round(time.process_time() - started)
        posterior.save(target / "posterior")
        results = distances(posterior, 2 if quick else SETS, 100 if quick else DRAWS)
        results.insert(0, "steps", STEPS)
        results["seconds"] = seconds
        calibrated = calibration(posterior, 20 if quick else SBC_SETS)
        print(results.to_string(index=False), calibrated.to_string(index=False), sep="\n\n")
        results.to_csv(target / "results.csv", index=False, float_format="%.4g")
        calibrated.to_csv(target / "sbc.csv", index=False, float_format="%.4g")


def train(steps: int, folder: Path) -> bi.AmortizedPosterior:
    """Return the posterior with default summary and flow; in the plain graph, as for all images."""
    posterior = bi.AmortizedPosterior(gaussian_field)
    return posterior.fit(
        steps=steps,
        batch_size=BATCH,
        seed=1,
        optimization=bi.Optimization(learning_rate=LEARNING_RATE, xla=False),
        checkpoint=bi.Checkpoint(folder / "checkpoint", resume=True),
        progress=False,
    )


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
