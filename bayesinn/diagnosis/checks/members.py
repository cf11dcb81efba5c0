"""Members: whether those of an ensemble agree."""

from bayesinn.diagnosis.check import FLAGGED, Check
from bayesinn.diagnosis.evidence import Evidence, optional
from bayesinn.diagnostics.recovery import DisagreementResult, disagreement
from bayesinn.posterior.answers import DISAGREEMENT


def _run(given: Evidence) -> DisagreementResult:
    observed = optional(lambda: given.observation.disagreement)
    return disagreement(given.disagreement, observed, DISAGREEMENT)


CHECK = Check(
    name="members",
    group="sharpness",
    place=160,
    run=_run,
    question="Do the members of the ensemble agree? The share of each parameter's variance that "
    f"lies between their means; above {DISAGREEMENT:g}, they disagree.",
    judge=lambda result: FLAGGED if result.flagged else "",
    weights={"": 0.0},
    remedy="The members of the ensemble have not learned the posterior where they disagree: train "
    "them for longer, or on more simulations.",
    reference="Hermans et al. 2022, arXiv:2110.06581",
    heads={"often": "Share of data sets", "observed": "At the observation"},
    overview={"disagreement": "Disagreement"},
)
