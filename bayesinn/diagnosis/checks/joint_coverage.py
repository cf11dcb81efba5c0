"""Joint coverage: how often regions of highest density hold the truth."""

from bayesinn import plots
from bayesinn.diagnosis.check import TRAIN, Check
from bayesinn.diagnosis.evidence import Evidence
from bayesinn.diagnostics.coverage import CoverageResult, joint_coverage


def _run(given: Evidence) -> CoverageResult:
    of_truth, of_draws = given.log_prob
    return joint_coverage(of_truth[: len(of_draws)], of_draws, seed=given.seed, level=given.level)


CHECK = Check(
    name="joint coverage",
    group="calibration",
    place=30,
    run=_run,
    most=lambda given: given.most_densities,
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
