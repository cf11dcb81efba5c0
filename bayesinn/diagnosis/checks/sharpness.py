"""How much a posterior knows, and how much it could know."""

from bayesinn import plots
from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.evidence import Evidence, needed
from bayesinn.diagnostics.arrays import paired
from bayesinn.diagnostics.information import InformationResult, information
from bayesinn.diagnostics.likelihood import SharpnessResult, compared_sharpness, sharpness
from bayesinn.diagnostics.recovery import recovery


def _information(given: Evidence) -> InformationResult:
    posterior = given.log_prob
    prior = given.prior_log_prob
    ratio = None if posterior is None or prior is None else posterior[0] - prior[0]
    return information(given.truth, given.draws, given.prior, log_ratio=ratio)


def _sharpness(given: Evidence) -> SharpnessResult:
    own = needed(given.log_prob)
    number = len(paired(given.truth, given.draws).columns)
    if given.log_likelihood is None or given.prior_log_prob is None:
        return compared_sharpness(own[0], needed(given.other_log_prob), number)
    size = len(given.log_likelihood[0])
    prior, density = ((pair[0][:size], pair[1][:size]) for pair in (given.prior_log_prob, own))
    return sharpness(given.log_likelihood, prior, density, number)


SHARPNESS = (
    Check(
        name="sharpness",
        group="sharpness",
        run=_sharpness,
        needs=["log_prob", "sharpest"],
        question="How many nats the log density of the truth falls short of the exact "
        "posterior's, by importance "
        "weights with the simulator's likelihood; without a likelihood, at least how many, by a "
        "longer or larger fit. "
        "Calibration does not see this: a posterior may be calibrated and know less than it could.",
        meaning="The posterior is about as sharp as the data allow.",
        remedy="The posterior could be sharper: train for longer, then give summary network and "
        "flow more units.",
        reference="Bounds: Burda, Grosse & Salakhutdinov 2015, arXiv:1412.8566",
        # The verdict says it in one line.
        table=lambda result: None,
    ),
    Check(
        name="recovery",
        group="sharpness",
        run=lambda given: recovery(given.truth, given.draws, given.prior),
        question="How near posteriors come to the truth; a calibrated posterior may still know "
        "little. R² and "
        "correlation are those of posterior medians with the truth, NRMSE is their root mean "
        "squared error divided by "
        "the range of the truths. Contraction compares the posterior's variance with the prior's: "
        "0 means nothing "
        "learnt, 1 known exactly.",
        figures={"recovery": plots.recovery, "contraction": plots.contraction},
        captions={
            "recovery": "Posterior median and interval of each data set against the truth; at "
            "most 300 data sets are "
            "drawn. Near the dashed line: well recovered. A flat cloud: the data say little.",
            "contraction": "z-score of each data set against the contraction of its posterior. "
            "Right, between the "
            "lines: identified. Left: the data say little. Beyond the lines on the right: sure "
            "and wrong; on the left: "
            "prior and truth conflict. Many parameters: a row each, with the median, 50 and 90 % "
            "of data sets of both.",
        },
        reference="Radev et al. 2020, arXiv:2003.06281; Schad et al. 2021, arXiv:1904.12765",
        heads={
            "r_squared": "R²",
            "nrmse": "NRMSE",
            "z_score_mean": "z-score, mean",
            "z_score_sd": "z-score, spread",
        },
    ),
    Check(
        name="information gain",
        key="information",
        group="sharpness",
        run=_information,
        question="Entropy of the prior minus that of the posterior; one nat makes a posterior e "
        "times narrower.",
        figures={"information": plots.information},
        unlearnt=lambda result, nats: result.below(nats),
        captions={
            "information": "Gain over data sets. A parameter at zero can't be learnt from such "
            "data."
        },
        reference="Lindley 1956, Annals of Mathematical Statistics 27",
        heads={"information_gain": "Information gain [nats]"},
    ),
)
