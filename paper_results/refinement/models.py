"""Four models: amortized posteriors, likelihoods, observations, and draws to compare with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayesinn as bi
from bayesinn.reference import importance
from bayesinn.reference.smc import systematic
from bayesinn.simulation.simulations import take
from bayesinn.simulators import tissue

# Behind this folder, whose files come first where names are the same.
sys.path.append(str(Path(__file__).resolve().parents[1] / "amortization"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "multispectral"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "covid19_germany"))

from problems import PROBLEMS

Arrays = dict[str, np.ndarray]

HERE = Path(__file__).resolve().parent
#: Of each side of a comparison.
DRAWS = 1_000
SETS = 5
DATA_SEED = 11
COVID_SETS = 20
#: Prior draws whose weights make exact posteriors.
OUTBREAKS = 400_000
#: Of 1,000 rows among so many, few are drawn twice: a classifier knows rows that are.
EFFECTIVE_OUTBREAKS = 20_000
TISSUES = 100_000
SAVED = HERE / "posteriors"


@dataclass(frozen=True)
class Model:
    """What is refined, and what it is compared with.

    ``posterior`` loads the amortized posterior, or trains it for a number of steps; ``data``
    returns observations by name; ``exact`` draws from the posterior of one of them, with a seed of
    1, or 2 for others. The likelihood is that of the simulator by default, and ``methods`` are all.
    ``before`` returns the C2ST of amortized draws, where another study has measured it.
    """

    posterior: Callable[[int | None], bi.AmortizedPosterior]
    data: Callable[[], dict[str, Arrays]]
    exact: Callable[[str, Arrays, int], Arrays]
    log_likelihood: Callable[..., Any] | None = None
    methods: tuple[str, ...] | None = None
    before: Callable[[str], float] | None = None


def of_problem(name: str, exact: Callable[[str, Arrays, int], Arrays], steps: int) -> Model:
    """Return a model of the study of amortization."""
    problem = PROBLEMS[name]
    return Model(
        partial(trained, name, steps),
        partial(simulated, problem.simulator),
        exact,
        problem.log_likelihood,
    )


def trained(name: str, full: int, steps: int | None) -> bi.AmortizedPosterior:
    """Return the saved posterior, or a new one; that of ``steps`` is not kept."""
    problem = PROBLEMS[name]
    saved = SAVED / name
    if steps is None and saved.exists():
        return bi.load(saved, problem.simulator)
    posterior = bi.AmortizedPosterior(problem.simulator, **problem.network())
    posterior.fit(steps=steps or full, batch_size=256, seed=1, progress=False)
    if steps is None:
        posterior.save(saved)
    return posterior


def simulated(simulator: bi.Simulator) -> dict[str, Arrays]:
    """Return some simulated observations."""
    found = simulator.draw(SETS, seed=DATA_SEED).observables
    return {
        f"simulated_{row:02d}": {name: value[row] for name, value in found.items()}
        for row in range(SETS)
    }


def in_closed_form(name: str, key: str, data: Arrays, seed: int) -> Arrays:
    """Draw by the simulator's own exact posterior."""
    return PROBLEMS[name].simulator.exact(data, DRAWS, seed)


def outbreaks(key: str, data: Arrays, seed: int) -> Arrays:
    """Weigh prior draws of the SIR model by the likelihood: more where few of them count."""
    draws = OUTBREAKS
    found = importance(bi.get_simulator("sir"), data, draws=draws, seed=seed)
    while found.effective_size < EFFECTIVE_OUTBREAKS:
        draws *= 4
        found = importance(bi.get_simulator("sir"), data, draws=draws, seed=seed)
    return take(found.parameters, rows_of(found.weights, seed))


def tissues(key: str, data: Arrays, seed: int) -> Arrays:
    """Weigh tissues of the prior by the law of the noise."""
    from reference import from_prior

    parameters, spectra = _bank()
    [found] = from_prior(parameters, spectra, data["bands"][None], tissue.TissueOptions())
    return take(found.tissues, rows_of(found.weights, seed))


@cache
def _bank() -> tuple[Arrays, np.ndarray]:
    from bank import draw_parameters, reflectances

    parameters = draw_parameters(TISSUES, 1)
    return parameters, reflectances(parameters)


def rows_of(weights: np.ndarray, seed: int) -> np.ndarray:
    """Return rows with their weights, of which few are repeated: a classifier would know them."""
    generator = np.random.default_rng(seed)
    return generator.permutation(systematic(weights, generator.uniform(), DRAWS))


def tissue_camera(steps: int | None) -> bi.AmortizedPosterior:
    """Return the committed posterior of the camera of eight bands."""
    return bi.load(HERE.parent / "multispectral" / "posterior_8", tissue.tissue)


def covid19(steps: int | None) -> bi.AmortizedPosterior:
    """Return the committed posterior of Covid-19 with regular noise."""
    return bi.load(HERE.parent / "covid19_germany" / "posterior_regular")


def counts() -> dict[str, Arrays]:
    """Return the German counts, and simulated ones."""
    from exact import data_sets

    return data_sets("covid19_regular", COVID_SETS)[0]


def chains_of_counts(key: str, data: Arrays, seed: int) -> Arrays:
    """Return stored draws of one or two long runs of tempered SMC."""
    from exact import pooled, stored_runs

    folder = HERE.parent / "covid19_germany" / "exact_draws"
    found = pooled([draws for draws, _ in stored_runs(folder, key, data)])
    return {name: value[(seed - 1) * DRAWS : seed * DRAWS] for name, value in found.items()}


def measured(key: str) -> float:
    """Return the C2ST of amortized draws that the study of Covid-19 has measured."""
    table = pd.read_csv(HERE.parent / "covid19_germany" / "exact.csv", index_col="data")
    return float(table.loc[key, "c2st"])


MODELS = {
    # For the quick mode.
    "linear": of_problem("linear", partial(in_closed_form, "linear"), 100),
    "two_moons": of_problem("two_moons", partial(in_closed_form, "two_moons"), 3_000),
    "sir": of_problem("sir", outbreaks, 3_000),
    "tissue": Model(
        tissue_camera,
        partial(simulated, tissue.tissue),
        tissues,
        tissue.log_likelihood,
    ),
    # Reporting delays are rounded to whole days, which gradients don't see: no NUTS.
    "covid19": Model(
        covid19, counts, chains_of_counts, methods=("importance", "smc"), before=measured
    ),
}
