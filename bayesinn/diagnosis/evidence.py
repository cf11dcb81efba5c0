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
    "log_likelihood": "no log likelihood is known",
    "sharpest": "no log likelihood is known, and no longer or larger fit was given to compare with",
    "observation": "no observation was given",
    "typicality": "no observation was given",
}


@dataclass(frozen=True)
class TypicalityResult:
    """How typical an observation is of the simulations of training, and its least typical part.

    The network was trained on these simulations.

    ``smallest`` is the p-value that no observation can fall below, however odd, with so few
    simulations.
    """

    p_value: float
    unusual: str
    smallest: float = 0.0

    @property
    def out_of_distribution(self) -> bool:
        """Whether the p-value is below 0.01: the posterior then extrapolates; don't trust it."""
        return self.p_value < FLAG_LEVEL

    @property
    def undecided(self) -> bool:
        """Whether the simulations are too few to call any observation an extrapolation."""
        return self.smallest >= FLAG_LEVEL

    @property
    def summary(self) -> str:
        """One line for a table of verdicts."""
        if self.undecided:
            return f"too few simulations to tell: no observation has p < {self.smallest:.2g}"
        odd = f"unlike the simulations in its {self.unusual}, " if self.out_of_distribution else ""
        return f"{odd}p = {self.p_value:.2g}"


@dataclass(frozen=True, eq=False)
class Observation:
    """One observation, and what was simulated from its posterior."""

    typicality: TypicalityResult | None  #: None where the posterior doesn't know its training
    features: np.ndarray  #: (n, c), summaries of the n simulated data sets
    own_features: np.ndarray  #: (1, c), summaries of the observation
    observed: Arrays  #: (...), NaN for padding
    draws: Arrays  #: (m, *event), from its posterior
    #: (m, ...), from the posterior; None where they are not finite, or nothing was observed
    predicted: Arrays | None
    #: Draws (r, 1 + L, *event) from the posterior of the observation, and (r, 1 + L): their log
    #: posterior given a new data set minus their log prior. The new data set of a row was simulated
    #: from its first draw.
    replicates: tuple[Arrays, np.ndarray] | None
    #: takes a count and a seed, returns latent draws (count, d)
    draw_latent: Callable[[int, int], np.ndarray]
    #: takes latent codes (m, d), returns parameters (m, *event)
    from_latent: Callable[[np.ndarray], Arrays]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Parameters from the prior, posterior draws given each one's data, and further arrays."""

    truth: Arrays  #: (n, *event)
    draws: Arrays  #: (n, L, *event)
    prior: Arrays  #: (m, *event)
    labels: Labels = field(default_factory=Labels)
    seed: int = 0
    level: float = 0.99  #: probability that a correct posterior passes a test
    data: Arrays = field(default_factory=dict)  #: (n, ...), observables and context
    log_prob: Pair | None = None  #: (n,) and (n, L), log posterior density of truths and draws
    prior_log_prob: Pair | None = None  #: (n,) and (n, L), log prior density of truths and draws
    #: (m,) and (m, L), of the first m data sets, up to a constant for each
    log_likelihood: Pair | None = None
    #: (n,), log density of the truths under a longer or larger fit
    other_log_prob: np.ndarray | None = None
    #: (n, *event), points that depend on data; see :func:`bayesinn.diagnostics.tarp`
    references: Arrays | None = None
    #: (n,) and (n, L), functions of parameters and data
    quantities: Mapping[str, Pair] | None = None
    #: (n, d) and (n, L, d), codes of the truths, and draws from the latent distribution
    latent: Pair | None = None
    observation: Observation | None = None
    #: capability and the reason why it is missing
    absent: Mapping[str, str] = field(default_factory=dict)

    @property
    def typicality(self) -> TypicalityResult | None:
        """How typical the observation is of the simulations of training, where that is known."""
        return None if self.observation is None else self.observation.typicality

    @property
    def sharpest(self) -> bool:
        """Whether a bound on sharpness is known, or a posterior sharper than this one.

        No posterior is sharper than the bound.
        """
        exact = self.log_likelihood is not None and self.prior_log_prob is not None
        return exact or self.other_log_prob is not None

    def missing(self, needs: Sequence[str]) -> str:
        """Return why a check with these needs can't run; an empty text if it can."""
        return next(
            (
                self.absent.get(name, CAPABILITIES[name])
                for name in needs
                if not getattr(self, name)
            ),
            "",
        )


def needed[Value](value: Value | None) -> Value:
    """Return a part of the evidence that a check has declared among its needs."""
    assert value is not None
    return value
