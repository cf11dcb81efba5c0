"""Two federal states against exact draws: whose first transmission rates and first cases are right?

Tempered sequential Monte Carlo of the states' model with the regular noise; the published one has
atoms, see README.md. Two runs for each state, whose difference says how far they can be relied
upon.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from published import STATE_PARAMETERS, STATES
from shared import SEED, Study, largest_differences
from states import NAME, observed
from train import options_of

import bayesinn as bi
from bayesinn.simulators.covid19 import covid19_model

SHOWN = ("North Rhine-Westphalia", "Saxony-Anhalt")
RUNS = (1, 2)
PARTICLES = 1_000
DRAWS = 10_000


def run(study: Study) -> None:
    """Draw, compare, tabulate."""
    found = observed(study, SHOWN)
    posterior = study.posterior(NAME)
    if found is None or posterior is None:
        return
    data, _, population = found
    regular = covid19_model(options_of(NAME, regular_noise=True), name="covid19_states_regular")
    rows = []
    for index, state in enumerate(SHOWN):
        observation = {key: values[index] for key, values in data.items()} | {
            "population": population[index]
        }
        ours = dict(posterior.sample(observation, draws=DRAWS, seed=SEED))
        runs = []
        left = []
        seconds = []
        for seed in RUNS:
            started = time.process_time()
            result = bi.reference.tempered_smc(
                regular,
                observation,
                start=posterior,
                particles=PARTICLES,
                seed=seed,
                progress=False,
            )
            seconds.append(time.process_time() - started)
            runs.append(result.draws(PARTICLES, seed))
            left.append(float(result.correlations[-1]))
            print(
                f"  {state}, seed {seed}: {seconds[-1] / 60:.1f} minutes of processor time",
                flush=True,
            )
        exact = {name: np.concatenate([draws[name] for draws in runs]) for name in ours}
        differences = largest_differences(ours, exact)
        between = largest_differences(*runs)
        for name, (middle, low, high) in zip(STATE_PARAMETERS, STATES[state], strict=True):
            row: dict[str, object] = {"state": state, "parameter": name}
            row |= {"published: median": middle, "published: low": low, "published: high": high}
            for label, draws in (("ours", ours), ("exact", exact)):
                quantiles = np.quantile(draws[name], [0.5, 0.025, 0.975])
                row |= dict(
                    zip(
                        (f"{label}: median", f"{label}: 2.5 %", f"{label}: 97.5 %"),
                        quantiles,
                        strict=True,
                    )
                )
            row |= {"ks": differences[name], "ks_between_runs": between[name]}
            row |= {"mean_ks": differences.mean(), "mean_ks_between_runs": between.mean()}
            row |= {
                "correlation_left": max(left),
                "processor_minutes": sum(seconds) / 60 / len(RUNS),
            }
            rows.append(row)
        study.write(pd.DataFrame(rows), "states_exact")
