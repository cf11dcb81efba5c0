"""How well draws explain the data, beside true parameters and exact draws: log likelihoods (nats).

A posterior that is a little too wide in many directions at once has marginals that pass every test
of calibration, and draws that explain the data much worse than the true parameters do. In double
precision: sums over 243 counts lose too much in single.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from exact import NAME, germany_draws
from shared import LABELS, SEED, Arrays, Study

import bayesinn as bi
from bayesinn.simulators.covid19 import germany

DATA_SETS = 200
DRAWS = 250
GERMAN_DRAWS = 2_000


def run(study: Study) -> None:
    """Tabulate quartiles over simulated data sets, and the difference for Germany."""
    # With the regular noise: the published one has atoms. In quick mode a model that is there
    # anyway stands in.
    name = "covid19" if study.quick else NAME
    exact = germany_draws(study)
    posterior = study.posterior(name)
    if posterior is None:
        return
    row: dict[str, object] = {
        "posterior": LABELS[name],
        **quartiles(posterior, study.size(DATA_SETS, 10), study.size(DRAWS, 20)),
    }
    if exact is not None:
        size = study.size(GERMAN_DRAWS, 20)
        ours = posterior.sample(germany(), draws=size, seed=SEED)
        first, second = (
            np.median(
                log_likelihood(
                    posterior.simulator,
                    {key: value[:size] for key, value in draws.items()},
                    germany(),
                )
            )
            for draws in (ours, exact)
        )
        row["Germany: ours minus exact draws"] = first - second
    study.write(pd.DataFrame([row]), "likelihoods")


def quartiles(posterior: bi.AmortizedPosterior, data_sets: int, draws: int) -> dict[str, float]:
    """Quartiles over simulated data sets: the truth's log likelihood minus the draws' median."""
    simulator = posterior.simulator
    simulations = simulator.sample(data_sets, seed=SEED + 4)
    data = {key: simulations[key] for key in simulator.observable_shapes}
    answers = posterior.sample(data, draws=draws, seed=SEED + 5)
    excess = []
    for number in range(data_sets):
        observation = {key: values[number] for key, values in data.items()}
        truth = {key: simulations[key][number : number + 1] for key in answers}
        (right,) = log_likelihood(simulator, truth, observation)
        excess.append(
            right
            - np.median(
                log_likelihood(simulator, {k: v[number] for k, v in answers.items()}, observation)
            )
        )
    low, middle, high = np.quantile(excess, [0.25, 0.5, 0.75])
    return {
        "data_sets": data_sets,
        "lower quartile": low,
        "median": middle,
        "upper quartile": high,
        "share above 0": float(np.mean(np.array(excess) > 0.0)),
    }


def log_likelihood(simulator: bi.Simulator, parameters: Arrays, data: Arrays) -> np.ndarray:
    """Log likelihood of each draw (n,), in double precision; -inf where constraints rule it out."""
    values = simulator.log_likelihood(
        {key: np.asarray(value, np.float64) for key, value in parameters.items()}, data
    )
    return np.where(np.isfinite(values), values, -np.inf)
