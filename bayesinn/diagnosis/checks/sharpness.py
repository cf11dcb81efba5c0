"""Sharpness: how many nats the posterior misses that the data could give."""

import math

import numpy as np

from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.evidence import Evidence, MissingEvidence, Pair, optional
from bayesinn.diagnostics.likelihood import SharpnessResult, compared_sharpness, sharpness

# Share of data sets that may be left out because their likelihood is zero at the truth.
_MOST_LEFT_OUT = 0.01


def _exact(given: Evidence) -> tuple[Pair, Pair] | None:
    """Return log likelihood and log prior; None if they are not both known."""
    return optional(lambda: (given.log_likelihood, given.prior_log_prob))


def _most(given: Evidence) -> float:
    """Return the limit of densities of draws, which a comparison with another fit does not need."""
    return math.inf if _exact(given) is None else given.most_densities


def _run(given: Evidence) -> SharpnessResult:
    own = given.log_prob
    exact = _exact(given)
    if exact is None:
        other = given.other_log_prob
        unknown = int(np.sum(~np.isfinite(other)))
        if unknown:
            raise MissingEvidence(
                f"the density of the longer or larger fit is not finite at {unknown:,} of "
                f"{len(other):,} truths"
            )
        return compared_sharpness(own[0], other, len(given.columns))
    likelihood, prior = exact
    impossible = int(np.sum(np.isneginf(likelihood[0])))
    size = len(likelihood[0])
    if impossible > _MOST_LEFT_OUT * size:
        raise MissingEvidence(f"the likelihood is zero at {impossible:,} of {size:,} truths")
    # Of these, all three are known.
    rows = min(size, len(own[1]))
    draws = own[1].shape[1]
    known = ((truth[:rows], drawn[:rows, :draws]) for truth, drawn in (likelihood, prior, own))
    of_likelihood, of_prior, of_posterior = known
    return sharpness(of_likelihood, of_prior, of_posterior, len(given.columns))


CHECK = Check(
    name="sharpness",
    group="sharpness",
    place=130,
    part=True,
    run=_run,
    most=_most,
    question="How many nats the log density of the truth falls short of the exact posterior's, by "
    "importance weights with the simulator's likelihood; without a likelihood, at least how many, "
    "by a longer or larger fit. Calibration does not see this: a posterior may be calibrated and "
    "know less than it could.",
    meaning="The posterior is about as sharp as the data allow.",
    remedy="The posterior could be sharper: train for longer, then give summary network and "
    "flow more units.",
    reference="Bounds: Burda, Grosse & Salakhutdinov 2015, arXiv:1412.8566",
    # The verdict says it in one line.
    table=lambda result: None,
)
