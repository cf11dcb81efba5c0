"""Posterior SBC: calibration on data sets that look like the observation."""

from dataclasses import replace
from functools import partial

import numpy as np

from bayesinn import plots
from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.evidence import Evidence, MissingEvidence
from bayesinn.diagnostics.calibration import PosteriorSBCResult, posterior_sbc
from bayesinn.diagnostics.deviation import Deviation

_FEWEST_EFFECTIVE = 3.0
_NOT_UNIFORM = "ranks are not uniform", "ranks are not uniform"


def _run(given: Evidence) -> PosteriorSBCResult:
    values, weights = given.observation.replicates
    undefined = np.sum(np.any(np.isnan(weights) | np.isposinf(weights), axis=1))
    if undefined:
        raise MissingEvidence(
            f"log densities are NaN or infinite for {undefined:,} of {len(weights):,} data sets "
            "like the observation"
        )
    truth = {name: value[:, 0] for name, value in values.items()}
    others = {name: value[:, 1:] for name, value in values.items()}
    return posterior_sbc(
        truth, others, weights[:, 0], weights[:, 1:], seed=given.seed, level=given.level
    )


def _deviations(result: PosteriorSBCResult) -> tuple[Deviation, ...]:
    """Return errors without an upper bound where most weights can't tell that a posterior is right.

    They can't if they leave hardly more than the truth. No density at all tells enough.
    """
    effective = np.where(result.impossible, np.inf, result.effective)
    if np.median(effective) >= _FEWEST_EFFECTIVE:
        return result.deviations
    return tuple(
        replace(
            one,
            estimate=abs(one.estimate),
            lower=one.least,
            upper=np.full(len(one.columns), np.inf),
            one_sided=True,
            # The size alone is left, without a direction.
            words=_NOT_UNIFORM,
        )
        for one in result.deviations
    )


CHECK = Check(
    name="posterior SBC",
    group="around the observation",
    place=100,
    part=True,
    run=_run,
    most=lambda given: given.observation.most_replicates,
    question="Calibration on data sets simulated from the posterior of the observation, which "
    "look like it.",
    figures={"posterior_sbc": partial(plots.ecdf, value="weighted rank of truth")},
    panels=True,
    deviations=_deviations,
    tolerances_drawn=True,
    captions={
        "posterior_sbc": "Cumulative distribution of weighted ranks, to be read as the figure "
        "of SBC."
    },
    meaning="Calibration on data sets like this observation.",
    remedy="Near this observation the posterior is not calibrated: train for longer, or on a "
    "narrower prior around it.",
    reference="Säilynoja et al. 2025, arXiv:2502.03279",
)
