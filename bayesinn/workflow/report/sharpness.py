"""The sections on how much a posterior knows."""

from __future__ import annotations

from bayesinn import plots
from bayesinn.diagnostics import Diagnosis
from bayesinn.workflow.report.section import Figure, Section, named


def sharpness_sections(diagnosis: Diagnosis) -> list[Section]:
    """Recovery; contraction and information gain."""
    return [_recovery(diagnosis), _sharpness(diagnosis)]


def _recovery(diagnosis: Diagnosis) -> Section:
    result = diagnosis.recovery
    names = {
        "r_squared": "R²",
        "correlation": "Correlation",
        "nrmse": "NRMSE",
        "contraction": "Contraction",
        "z_score_mean": "z-score, mean",
        "z_score_sd": "z-score, spread",
    }
    return Section(
        "Recovery",
        "How near posteriors come to the truth; a calibrated posterior may still know little. R² and correlation are "
        "those of posterior medians with the truth, NRMSE is their root mean squared error divided by the range of the "
        "truths.",
        table=named(result.to_dataframe(), names),
        labels=diagnosis.labels,
        figures=[
            Figure(
                plots.recovery(result, labels=diagnosis.labels),
                f"Posterior median and {result.interval:.0%} interval of each data set against the truth; at most 300 "
                "data sets are drawn. Near the dashed line: well recovered. A flat cloud: the data say little.",
            )
        ],
    )


def _sharpness(diagnosis: Diagnosis) -> Section:
    result = diagnosis.information
    names = {"information_gain": "Information gain [nats]", "standard_error": "Standard error"}
    together = "" if result.joint is None else f" All parameters together: {result.joint_mean:.2f} nats."
    return Section(
        "Sharpness",
        "How much the data teach. Contraction compares the posterior's variance with the prior's: 0 means nothing "
        "learnt, 1 known exactly. The information gain is the entropy that the data take away; one nat makes a "
        f"posterior e times narrower than the prior.{together}",
        table=named(result.to_dataframe(), names),
        labels=diagnosis.labels,
        figures=[
            Figure(
                plots.information(result, labels=diagnosis.labels),
                "Information gain over data sets. A parameter at zero can't be learnt from such data.",
            ),
            Figure(
                plots.contraction(diagnosis.recovery, labels=diagnosis.labels),
                "z-score of each data set against the contraction of its posterior (Schad et al. 2021, "
                "arXiv:1904.12765). Right, between the lines: identified. Left: the data say little. Beyond the lines "
                "on the right: sure and wrong; on the left: prior and truth conflict.",
            ),
        ],
    )
