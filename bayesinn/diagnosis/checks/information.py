"""Information gain: how many nats the data tell."""

from bayesinn import plots
from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.evidence import optional
from bayesinn.diagnostics.information import information

CHECK = Check(
    name="information gain",
    group="sharpness",
    place=150,
    key="information",
    run=lambda given: information(
        given.truth,
        given.draws,
        given.prior,
        log_ratio=optional(lambda: given.log_prob[0] - given.prior_log_prob[0]),
    ),
    question="Entropy of the prior minus that of the posterior; one nat makes a posterior e "
    "times narrower.",
    figures={"information": plots.information},
    panels=True,
    unlearnt=lambda result, nats: result.below(nats),
    captions={
        "information": "Gain over data sets. A parameter at zero can't be learnt from such data."
    },
    reference="Lindley 1956, Annals of Mathematical Statistics 27",
    heads={"information_gain": "Information gain [nats]"},
    overview={"information_gain": "Nats gained"},
)
