"""Seconds of 10,000 draws of one observation, by estimator, after the first call.

    python benchmarks/draws.py [--quick]

A parameter vector is observed with noise, each element once. All estimators have
the library's own sizes, one network each, and have learned for some hundred steps: chains don't
move in a likelihood that says nothing. Writes draws.csv: processor time of one thread for
``sample(observed, draws=10_000)`` with its checks and the p-value of the observation, the median
over rounds in which all estimators of a dimension take turns.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

# First: it leaves TensorFlow one thread, before it starts.
from flow_speed import noisy_copy, seconds

import bayesinn as bi

DIMENSIONS = (2, 10)
DRAWS = 10_000
ROUNDS = 7
STEPS = 500
SEED = 1
Maker = Callable[[bi.Simulator], bi.estimators.Estimator]
Draw = Callable[[], np.ndarray]


def amortized(flow: Callable[[], bi.flows.Flow] | None = None) -> Maker:
    """Return what makes an amortized posterior with a flow, the library's own if left out."""
    return lambda simulator: bi.AmortizedPosterior(
        simulator, flow=None if flow is None else flow(), networks=1
    )


ESTIMATORS: dict[str, Maker] = {
    "affine and spline coupling, the default": amortized(),
    "affine coupling": amortized(bi.flows.coupling),
    "mixture density": amortized(bi.flows.MixtureDensity),
    "consistency, 1 step": amortized(lambda: bi.flows.Consistency(steps=1)),
    "consistency, 2 steps": amortized(lambda: bi.flows.Consistency(steps=2)),
    "flow matching": amortized(bi.flows.FlowMatching),
    "diffusion": amortized(bi.flows.Diffusion),
    "likelihood, 8 chains": bi.AmortizedLikelihood,
    "likelihood ratio, 8 chains": bi.LikelihoodRatio,
}
CHAINS = (bi.AmortizedLikelihood, bi.LikelihoodRatio)


def drawing(make: Maker, dimension: int, steps: int) -> Draw:
    """Return a function that draws from a trained posterior, with another seed in each call."""
    estimator = make(noisy_copy(dimension))
    estimator.fit(steps=steps, batch_size=256, seed=SEED, progress=False)
    posterior = estimator.posterior() if isinstance(estimator, CHAINS) else estimator
    observed = {"copy": np.linspace(-1.0, 1.0, dimension)}
    numbers = itertools.count()
    return lambda: posterior.sample(observed, draws=DRAWS, seed=next(numbers))["vector"]


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="small: checks that it runs, the numbers mean little"
    )
    quick = parser.parse_args().quick
    # Chains of a likelihood that has hardly learned say so.
    warnings.filterwarnings("ignore", message="Chains of")
    names = ("affine coupling", "consistency, 1 step") if quick else tuple(ESTIMATORS)
    rows = []
    for dimension in DIMENSIONS[: 1 if quick else None]:
        steps = 5 if quick else STEPS
        calls = {name: drawing(ESTIMATORS[name], dimension, steps) for name in names}
        found = seconds(calls, 1 if quick else ROUNDS)
        for name, value in found.items():
            rows.append({"parameters": dimension, "estimator": name, "seconds": value})
            print(rows[-1], flush=True)
    if not quick:
        table = pd.DataFrame(rows)
        table.to_csv(Path(__file__).with_suffix(".csv"), index=False, float_format="%.3g")


if __name__ == "__main__":
    main()
