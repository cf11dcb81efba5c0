"""Evidence: what checks ask for, whatever posterior it comes from.

A part may be an array, or a function that computes it. The function is called when a check first
asks for the part; its result is kept, also that the part is missing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import NoReturn, overload

import numpy as np

from bayesinn.core.labels import Labels
from bayesinn.diagnostics.arrays import Arrays, paired
from bayesinn.posterior.typicality import Typicality

Pair = tuple[np.ndarray, np.ndarray]


class MissingEvidence(Exception):
    """Raised if a check asks for a part that was not given.

    The check is then not run. The message says why; it is empty if the check does not apply.
    """


class Part[Value]:
    """A part of the evidence: a field of a dataclass, which takes a value or a function of nothing.

    ``reason`` says why checks that ask for a missing part are not run.
    """

    def __init__(self, reason: str = "") -> None:
        self.reason = reason

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, evidence: None, owner: type) -> None: ...
    @overload
    def __get__(self, evidence: object, owner: type) -> Value: ...
    def __get__(self, evidence: object, owner: type) -> Value | None:
        # The class has no value: the default of the dataclass.
        return None if evidence is None else vars(evidence)[self.name]()

    def __set__(self, evidence: object, value: Value | Callable[[], Value] | None) -> None:
        compute: Callable[[], object]
        if value is None:
            compute = partial(_refuse, self.reason)
        elif callable(value):
            compute = _remember(value)
        else:
            compute = partial(_return, value)
        vars(evidence)[self.name] = compute


def optional[Value](ask: Callable[[], Value]) -> Value | None:
    """Return a part that a check can do without; None where it is missing.

    >>> optional(lambda: Evidence({}, {}, {}).log_prob) is None
    True
    """
    try:
        return ask()
    except MissingEvidence:
        return None


def _remember[Value](compute: Callable[[], Value]) -> Callable[[], Value]:
    """Return a function that computes once, and then returns or raises the same again."""

    # A cache alone forgets exceptions: what is missing would be simulated again for each check.
    @cache
    def find() -> tuple[Value] | MissingEvidence:
        try:
            return (compute(),)
        except MissingEvidence as missing:
            return missing

    def ask() -> Value:
        found = find()
        if isinstance(found, MissingEvidence):
            raise MissingEvidence(*found.args)
        (value,) = found
        return value

    return ask


def _refuse(reason: str) -> NoReturn:
    raise MissingEvidence(reason)


def _return[Value](value: Value) -> Value:
    return value


@dataclass(frozen=True, eq=False, repr=False)
class Observation:
    """One observation, and the simulations from its posterior."""

    features: np.ndarray  #: (n, c), summaries of the n simulated data sets
    own_features: np.ndarray  #: (1, c), summaries of the observation
    observed: Arrays  #: (...), NaN for padding
    #: takes a count and a seed, returns latent draws (count, d)
    draw_latent: Callable[[int, int], np.ndarray]
    #: takes latent codes (m, d), returns parameters (m, *event)
    from_latent: Callable[[np.ndarray], Arrays]
    #: p-value of the observation among the training simulations
    typicality: Part[Typicality] = Part("the simulations of training are not known")
    draws: Part[Arrays] = Part()  #: (m, *event), from its posterior
    #: (m, ...), simulated from the posterior; missing if not finite, or if nothing was observed
    predicted: Part[Arrays] = Part()
    #: Draws (r, 1 + L, *event) from the posterior of the observation, and their weights (r, 1 + L):
    #: log posterior given a new data set minus log prior. The new data set of a row was simulated
    #: from its first draw.
    replicates: Part[tuple[Arrays, np.ndarray]] = Part()
    disagreement: Part[Arrays] = Part()  #: (1, *event), as of :class:`Evidence`
    most_replicates: float = math.inf  #: largest number r, whatever n is, of densities that cost


@dataclass(frozen=True, eq=False, repr=False)
class Evidence:
    """Parameters from the prior, posterior draws given each one's data, and further parts.

    A part that was left out raises :class:`MissingEvidence` when a check asks for it.
    """

    truth: Arrays  #: (n, *event)
    draws: Arrays  #: (n, L, *event)
    prior: Arrays  #: (m, *event)
    labels: Labels = field(default_factory=Labels)
    seed: int = 0
    level: float = 0.99  #: probability that a correct posterior passes a test
    data: Arrays = field(default_factory=dict)  #: (n, ...), observables and context
    #: (n,) and (m, K), log posterior density of all truths, and of the first K draws of the first m
    #: data sets
    log_prob: Part[Pair] = Part("no log densities were given")
    #: (n,) and (n, L), log prior density of truths and draws
    prior_log_prob: Part[Pair] = Part("no log densities of the prior were given")
    #: (m,) and (m, L), of the first m data sets, up to a constant for each
    log_likelihood: Part[Pair] = Part("no log likelihood is known")
    #: (n,), log density of the truths under a longer or larger fit
    other_log_prob: Part[np.ndarray] = Part(
        "no log likelihood is known, and no longer or larger fit was given to compare with"
    )
    #: (n, *event), points that depend on data, see :func:`bayesinn.diagnostics.tarp`
    references: Part[Arrays] = Part("no reference points were given")
    #: (n,) and (n, L), functions of parameters and data
    quantities: Part[Mapping[str, Pair]] = Part("no test quantities were given")
    #: (n, d) and (n, L, d), codes of the truths, and draws from the latent distribution
    latent: Part[Pair] = Part("no latent codes were given")
    observation: Part[Observation] = Part("no observation was given")
    #: (m, *event), share of variance between members of an ensemble, of the first m data sets
    disagreement: Part[Arrays] = Part()
    most_densities: float = math.inf  #: largest number m of ``log_prob``, of densities that cost

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the parameters, checked against truth and draws."""
        return paired(self.truth, self.draws).columns
