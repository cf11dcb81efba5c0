"""Sharpness: how many nats the posterior misses that the data could give."""

from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.evidence import Evidence, optional
from bayesinn.diagnostics.likelihood import SharpnessResult, compared_sharpness, sharpness


def _run(given: Evidence) -> SharpnessResult:
    own = given.log_prob
    exact = optional(lambda: (given.log_likelihood, given.prior_log_prob))
    if exact is None:
        return compared_sharpness(own[0], given.other_log_prob, len(given.columns))
    likelihood, prior = exact
    size = len(likelihood[0])
    first = (prior[0][:size], prior[1][:size]), (own[0][:size], own[1][:size])
    return sharpness(likelihood, *first, len(given.columns))


CHECK = Check(
    name="sharpness",
    group="sharpness",
    place=130,
    part=True,
    run=_run,
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
