"""Evidence: the arrays that checks use, whatever posterior they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bayesinn.core.labels import Labels

Arrays = Mapping[str, np.ndarray]
Pair = tuple[np.ndarray, np.ndarray]

#: What a check may need, and the reason given if it is missing.
CAPABILITIES = {
    "log_prob": "no log densities were given",
    "latent": "no latent codes were given",
    "quantities": "no test quantities were given",
    "observation": "no observation was given",
}


@dataclass(frozen=True, eq=False)
class Observation:
    """One observation, and what was simulated from its posterior.

    Parameters
    ----------
    p_value, unusual : float and str
        p-value of the observation among the simulations that the network was trained on, and its least typical part.
    features, own_features : arrays (n, c) and (1, c)
        Summaries of the n simulated data sets, and of the observation.
    observed : dict of name to array (...), NaN for padding
    predicted : dict of name to array (m, ...), or None
        Data simulated from the posterior; None where they are not finite, or nothing was observed.
    replicates : dict of name to array (r, 1 + L, *event), and array (r, 1 + L), or None
        Draws from the posterior of the observation, and their log posterior given a new data set minus their log
        prior. The new data set of a row was simulated from its first draw.
    draw_latent : function of a count and a seed that returns latent draws (count, d)
    from_latent : function of latent codes (m, d) that returns parameters (m, *event)
    """

    p_value: float
    unusual: str
    features: np.ndarray
    own_features: np.ndarray
    observed: Arrays
    predicted: Arrays | None
    replicates: tuple[Arrays, np.ndarray] | None
    draw_latent: Callable[[int, int], np.ndarray]
    from_latent: Callable[[np.ndarray], Arrays]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Parameters drawn from the prior, posterior draws given the data of each, and further arrays about them.

    Parameters
    ----------
    truth, draws, prior : dicts of name to array (n, *event), (n, L, *event) and (m, *event)
    labels : Labels
    seed : int
    level : float
        Probability that a correct posterior passes a test.
    data : dict of name to array (n, ...)
        Observables and context.
    log_prob : arrays (n,) and (n, L), or None
        Log posterior density of truth and draws.
    prior_log_prob : array (n,), or None
        Log prior density of the truths.
    references : dict of name to array (n, *event), or None
        Reference points that depend on the data; see :func:`bayesinn.diagnostics.tarp`.
    quantities : dict of name to arrays (n,) and (n, L), or None
        Functions of parameters and data, for truths and draws.
    latent : arrays (n, d) and (n, L, d), or None
        Latent codes of the truths, and draws from the latent distribution.
    observation : Observation, or None
    absent : mapping of capability to text
        Reasons that replace those of :data:`CAPABILITIES`.
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
        reasons = [self.absent.get(name, CAPABILITIES[name]) for name in needs if not getattr(self, name)]
        return reasons[0] if reasons else ""
