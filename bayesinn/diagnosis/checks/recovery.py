"""Recovery: how near posteriors come to the truth."""

from bayesinn import plots
from bayesinn.diagnosis.check import Check
from bayesinn.diagnostics.recovery import recovery

CHECK = Check(
    name="recovery",
    group="sharpness",
    place=140,
    run=lambda given: recovery(given.truth, given.draws, given.prior),
    question="How near posteriors come to the truth; a calibrated posterior may still know little. "
    "R² and correlation are those of posterior medians with the truth, NRMSE is their root mean "
    "squared error divided by the range of the truths. Contraction compares the posterior's "
    "variance with the prior's: 0 means nothing learnt, 1 known exactly.",
    figures={"recovery": plots.recovery, "contraction": plots.contraction},
    panels=True,
    captions={
        "recovery": "Posterior median and interval of each data set against the truth; at most 300 "
        "data sets are drawn. Near the dashed line: well recovered. A flat cloud: the data say "
        "little.",
        "contraction": "z-score of each data set against the contraction of its posterior. Right, "
        "between the lines: identified. Left: the data say little. Beyond the lines on the right: "
        "sure and wrong; on the left: prior and truth conflict. Many parameters: a row each, with "
        "the median, 50 and 90 % of data sets of both.",
    },
    reference="Radev et al. 2020, arXiv:2003.06281; Schad et al. 2021, arXiv:1904.12765",
    heads={
        "r_squared": "R²",
        "nrmse": "NRMSE",
        "z_score_mean": "z-score, mean",
        "z_score_sd": "z-score, spread",
    },
    overview={"r_squared": "R²", "contraction": "Contraction"},
)
