"""Joint coverage: how often regions of highest density hold the truth."""

from bayesinn import plots
from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.remedies import TRAIN
from bayesinn.diagnostics.coverage import joint_coverage

CHECK = Check(
    name="joint coverage",
    group="calibration",
    place=30,
    run=lambda given: joint_coverage(*given.log_prob, seed=given.seed, level=given.level),
    question="How often joint regions of highest posterior density hold the truth. Each parameter "
    "by itself may be calibrated although the joint posterior is wrong, in its correlations or its "
    "modes.",
    figures={"joint_coverage": plots.coverage},
    tolerances_drawn=True,
    captions={
        "joint_coverage": "Observed minus nominal coverage of these regions. Below zero: too sure, "
        "or correlations missed; above: not sure enough."
    },
    meaning="Over the whole prior, joint regions of highest density hold the truth as often "
    "as they should.",
    remedy=TRAIN,
    reference="Hermans et al. 2022, arXiv:2110.06581",
)
