"""Evidence: the arrays that checks use, whatever posterior they come from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bayesinn.core.labels import Labels
from bayesinn.posterior.draws import FLAG_LEVEL

Arrays = Mapping[str, np.ndarray]
Pair = tuple[np.ndarray, np.ndarray]

#: What a check may need, and the reason given if it is missing.
CAPABILITIES = {
    "log_prob": "no log densities were given",
    "latent": "no latent codes were given",
    "quantities": "no test quantities were given",
    "observation": "no observation was given",
}


@dataclass(frozen=True)
class TypicalityResult:
    """How typical an observation is of the simulations that the network was trained on, and its least typical part."""

    p_value: float
    unusual: str

    @property
    def out_of_distribution(self) -> bool:
        """Whether the p-value is below 0.01: the posterior is then an extrapolation, and not to be trusted."""
        return self.p_value < FLAG_LEVEL

    @property
    def summary(self) -> str:
        """One line for a table of verdicts."""
        odd = f"unlike the simulations in its {self.unusual}, " if self.out_of_distribution else ""
        return f"{odd}p = {self.p_value:.2g}"


@dataclass(frozen=True, eq=False)
class Observation:
    """One observation, and what was simulated from its posterior."""

    typicality: TypicalityResult
    features: np.ndarray  #: (n, c), summaries of the n simulated data sets
    own_features: np.ndarray  #: (1, c), summaries of the observation
    observed: Arrays  #: (...), NaN for padding
    predicted: Arrays | None  #: (m, ...), from the posterior; None where they are not finite, or nothing was observed
    #: Draws (r, 1 + L, *event) from the posterior of the observation, and (r, 1 + L): their log posterior given a new
    #: data set minus their log prior. The new data set of a row was simulated from its first draw.
    replicates: tuple[Arrays, np.ndarray] | None
    draw_latent: Callable[[int, int], np.ndarray]  #: takes a count and a seed, returns latent draws (count, d)
    from_latent: Callable[[np.ndarray], Arrays]  #: takes latent codes (m, d), returns parameters (m, *event)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Parameters drawn from the prior, posterior draws given the data of each, and further arrays about them.

    Parameters
    ----------
    truth, draws, prior : dicts of name to array (n, *event), (n, L, *event) and (m, *event)
    labels : Labels
    seed, level : int, and the probability that a correct posterior passes a test
    data : dict of name to array (n, ...), observables and context
    log_prob : arrays (n,) and (n, L), log posterior density of truth and draws
    prior_log_prob : array (n,), log prior density of the truths
    references : dict of name to array (n, *event)
        Reference points that depend on the data; see :func:`bayesinn.diagnostics.tarp`.
    quantities : dict of name to arrays (n,) and (n, L), functions of parameters and data, for truths and draws
    latent : arrays (n, d) and (n, L, d), latent codes of the truths, and draws from the latent distribution
    observation : Observation
    absent : mapping of capability to the reason why it is missing
    """

    truth: Arrays
    draws: Arrays
    prior: Arrays
    labels: Labels = field(default_factory=Labels)
    seed: int = 0
    level: float = 0.99
    data: Arrays = field(default_factory=dict)
    log_prob: Pair | None = None
    prior_log_prob: np.ndarray | None = None
    references: Arrays | None = None
    quantities: Mapping[str, Pair] | None = None
    latent: Pair | None = None
    observation: Observation | None = None
    absent: Mapping[str, str] = field(default_factory=dict)

    def missing(self, needs: Sequence[str]) -> str:
        """Return why a check with these needs can't run; an empty text if it can."""
        return next((self.absent.get(name, CAPABILITIES[name]) for name in needs if not getattr(self, name)), "")


def needed[Value](value: Value | None) -> Value:
    """Return a part of the evidence that a check has declared among its needs."""
    assert value is not None
    return value
