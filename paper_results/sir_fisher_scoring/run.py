"""Fisher scoring on a second model: SIR with known mean, beside Conv + LSTM at equal time.

This is processor time.

    python paper_results/sir_fisher_scoring/run.py [--quick]

The mean of the counts is the simulator's own, the negative-binomial scatter enters through the
scale of the working model. Each network trains from new simulations for the same processor time;
their densities are compared on the same fresh simulations, pair by pair, so that only the networks'
errors count. Writes results.csv beside this file; ``--quick`` trains briefly into a temporary
folder, to check that it runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

import bayesinn as bi
from bayesinn.flows import Flow, coupling
from bayesinn.simulators.fisher_scoring import FisherScoring, Straightened, WorkingModel
from bayesinn.simulators.sir import expected_cases, sir
from bayesinn.summaries import MLP, ConvLSTM, Summary
from bayesinn.training.train import StepClock

SEEDS = (1, 2, 3)
PROCESSOR_SECONDS = 90.0
BATCH_SIZE = 256
TRIAL_STEPS = 100
FRESH_SIMULATIONS = 20_000

# The simulator loops over days in Python, which a graph must translate.
_expected_cases = tf.function(expected_cases)


class SIRWorkingModel(WorkingModel):
    """The expected cases of the SIR model, with the scatter of a negative binomial law.

    Counts are compared on a logarithmic scale, where their scatter hardly depends on their size.
    """

    rounded = ("delay", "I0")

    def values(self, x: tf.Tensor) -> tf.Tensor:
        return tf.asinh(super().values(x))

    def mean(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.asinh(_expected_cases(parameters))

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        cases = tf.sinh(mean)
        variance = cases + cases**2 / parameters["psi"][:, None]
        # By the delta method; no count is known better than to its rounding.
        return 0.5 * tf.math.log((variance + 1.0 / 12.0) / (1.0 + cases**2))


def networks(quick: bool) -> dict[str, tuple[Summary, Flow]]:
    """Return what is compared, each with couplings of equal subnets."""
    blocks = 1 if quick else 6
    model = SIRWorkingModel(degrees_of_freedom=8.0)
    rounds = 1 if quick else 2
    scoring = FisherScoring(model, MLP(32, hidden=(64,)), units=32, hidden=(64,), rounds=rounds)
    return {
        "Conv + LSTM": (ConvLSTM(32), coupling(blocks)),
        "Fisher scoring": (scoring, Straightened(coupling(blocks), model)),
    }


def fit(
    networks: tuple[Summary, Flow], seed: int, quick: bool
) -> tuple[bi.AmortizedPosterior, float]:
    """Train for some processor time; return the posterior and the time that its steps took."""
    clock = StepClock(time.process_time)
    trial = bi.AmortizedPosterior(sir, *networks)
    trial.fit(
        steps=4 if quick else TRIAL_STEPS,
        epochs=2,
        batch_size=BATCH_SIZE,
        seed=seed,
        optimization=bi.Optimization(callbacks=[clock]),
        progress=False,
    )
    steps = 2 if quick else round(PROCESSOR_SECONDS / clock.seconds_per_step)
    posterior = bi.AmortizedPosterior(sir, *networks)
    posterior.fit(steps=steps, batch_size=BATCH_SIZE, seed=seed, progress=False)
    return posterior, steps * clock.seconds_per_step


def main() -> None:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    fresh = sir.sample(500 if quick else FRESH_SIMULATIONS, seed=101)
    truth = {name: fresh[name] for name in sir.prior.names}
    data = {"cases": fresh["cases"]}
    rows = []
    for seed in SEEDS[:1] if quick else SEEDS:
        densities: dict[str, np.ndarray] = {}
        for name, own in networks(quick).items():
            posterior, seconds = fit(own, seed, quick)
            densities[name] = posterior.log_prob(truth, data)
            gained = densities[name] - densities["Conv + LSTM"]
            rows.append(
                {
                    "network": name,
                    "seed": seed,
                    "steps": posterior.training["settings"]["steps"],
                    "processor seconds of the steps": round(seconds, 1),
                    "log density at the truth [nats]": densities[name].mean(),
                    "gained [nats]": gained.mean(),
                    "standard error": gained.std() / np.sqrt(len(gained)),
                }
            )
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        pd.DataFrame(rows).to_csv(target / "results.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
