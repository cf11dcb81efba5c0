"""Hierarchical normal models of 5 to 50 groups against their exact posteriors.

    python paper_results/hierarchical/run.py [--quick]

Writes results.csv and sbc.csv beside this file. ``--quick`` trains for a few steps and writes
nothing that stays.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from normal_groups import FEWEST, KNOWN_SD, MOST, errors, known, sets_of, unknown

import bayesinn as bi

STEPS = 15_000
SETS = 250
DRAWS = 2_000
SBC_SETS = 2_000
SBC_DRAWS = 199
CASES = {"known": (known, KNOWN_SD), "unknown": (unknown, None)}


def main() -> None:
    """Train on both models, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    rows: list[dict[str, object]] = []
    ranks: list[dict[str, object]] = []
    cases = ["unknown"] if quick else list(CASES)
    for case in cases:
        simulator, sd = CASES[case]
        started = time.process_time()
        posterior = new(simulator, quick)
        posterior.fit(steps=20 if quick else STEPS, seed=1, progress=False)
        seconds = round(time.process_time() - started)
        for groups in (FEWEST, 8) if quick else (FEWEST, 10, 20, MOST):
            sets = sets_of(posterior, groups, 10 if quick else SETS, seed=groups)
            means, widths = errors(posterior, sets, 100 if quick else DRAWS, 1, sd)
            rows += [
                {
                    "sd": case,
                    "groups": groups,
                    "parameter": name,
                    "mean error": np.abs(means[name]).mean(),
                    "largest error": np.abs(means[name]).max(),
                    "error of sd": np.abs(widths[name]).mean(),
                    "seconds": seconds,
                }
                for name in means
            ]
        ranks += calibration(posterior, case, 50 if quick else SBC_SETS)
    results = pd.DataFrame(rows)
    calibrated = pd.DataFrame(ranks)
    print(results.to_string(index=False), calibrated.to_string(index=False), sep="\n\n")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        results.to_csv(target / "results.csv", index=False, float_format="%.4g")
        calibrated.to_csv(target / "sbc.csv", index=False, float_format="%.4g")


def new(simulator: bi.Simulator, quick: bool) -> bi.HierarchicalPosterior:
    """Return the untrained posterior of a model."""
    hidden = (8,) if quick else (32, 32)
    return bi.HierarchicalPosterior(
        simulator,
        group={"group": "level"},
        sizes=(FEWEST, 8 if quick else MOST),
        summary=bi.summaries.DeepSet(4, hidden=(16,), dense=(16,)),
        population=bi.summaries.DeepSet(16, hidden=hidden, dense=(32,)),
        flow=bi.flows.coupling(
            blocks=1 if quick else 2,
            hidden=hidden,
            transform=bi.bijections.Composed([bi.bijections.Affine(), bi.bijections.Spline()]),
        ),
    )


def calibration(
    posterior: bi.HierarchicalPosterior, case: str, count: int
) -> list[dict[str, object]]:
    """Return SBC of each parameter over data sets of all sizes."""
    drawn = posterior.simulator.draw(count, seed=2)
    draws = posterior.sample({**drawn.observables, **drawn.context}, draws=SBC_DRAWS, seed=3)
    result = bi.diagnostics.sbc(drawn.parameters, dict(draws), seed=4)
    return [
        {"sd": case, "parameter": name, "p": p_value, "inside": bool(inside), "sets": count}
        for name, p_value, inside in zip(result.columns, result.p_value, result.inside, strict=True)
    ]


if __name__ == "__main__":
    main()
