"""The SIR model in plain Python, one draw at a time: how existing code becomes a simulator."""

from __future__ import annotations

import math

import numpy as np

import bayesinn as bi

from .sir import COORDINATES, DAYS, GERMANY, LABELS, POPULATION, PRIOR, UNITS, log_likelihood


@bi.simulator(
    prior=PRIOR,
    labels=LABELS,
    units=UNITS,
    coordinates=COORDINATES,
    observed={"cases": GERMANY},
    on_nonfinite="redraw",
    log_likelihood=log_likelihood,
    engine="python",
)
def sir_numpy(
    parameters: dict[str, float], generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Simulate new reported cases on 14 days."""
    infected = float(math.ceil(parameters["I0"]))
    susceptible = POPULATION - infected
    delay = round(parameters["delay"])
    incidence = [infected]
    for _ in range(1, DAYS + delay):
        new = parameters["lambda"] * infected * susceptible / POPULATION
        susceptible -= new
        infected = min(max(infected + new - parameters["mu"] * infected, 0.0), POPULATION)
        incidence.append(new)
    mean = np.clip(incidence[delay:], 0.0, POPULATION) + 1e-5
    psi = parameters["psi"]
    return {"cases": generator.negative_binomial(psi, psi / (psi + mean)).astype(np.float32)}
