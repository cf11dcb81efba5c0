"""Information gain: how many nats the data tell."""

import numpy as np

from bayesinn import plots
from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.evidence import Evidence, optional
from bayesinn.diagnostics.information import information


def _log_ratio(given: Evidence) -> np.ndarray | None:
    """Return log posterior over prior density of the truths; None where one is undefined."""
    densities = optional(lambda: (given.log_prob[0], given.prior_log_prob[0]))
    if densities is None:
        return None
    posterior, prior = densities
    # Both may exclude a truth that was held out.
    with np.errstate(invalid="ignore"):
        ratio = posterior - prior
    return None if np.isnan(ratio).any() else ratio


CHECK = Check(
    name="information gain",
    group="sharpness",
    place=150,
    key="information",
    run=lambda given: information(
        given.truth,
        given.draws,
        given.prior,
        log_ratio=_log_ratio(given),
    ),
    question="Entropy of the prior minus that of the posterior; one nat makes a posterior e "
    "times narrower.",
    figures={"information": plots.information},
    panels=True,
    unlearnt=lambda result, nats: result.below(nats),
    learnt_together=lambda result, nats: result.exceeds_together(nats),
    captions={
        "information": "Gain over data sets. A parameter at zero can't be learnt from such data."
    },
    reference="Lindley 1956, Annals of Mathematical Statistics 27",
    heads={"information_gain": "Information gain [nats]"},
    overview={"information_gain": "Nats gained"},
)
