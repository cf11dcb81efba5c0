"""Checks around one observation: is it like the simulations, and is its posterior correct?"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bayesinn import plots
from bayesinn.core.labels import Labels
from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.evidence import Arrays, Evidence, TypicalityResult, needed
from bayesinn.diagnosis.tolerances import FLAGGED, OUTSIDE, WITHIN
from bayesinn.diagnostics.local import LocalC2STResult, local_c2st
from bayesinn.diagnostics.posterior_sbc import PosteriorSBCResult, posterior_sbc
from bayesinn.diagnostics.predictive import PredictiveResult, predictive_checks

# Repeated trainings of L-C2ST. A high level needs more: no p-value is below one over their number.
# Where none of them reaches what was observed there are more, so that the p-value can fall below
# the share that the check has of the errors of a diagnosis.
_TRIALS = 200
_MOST_TRIALS = 1_000
_FEWEST_EFFECTIVE = 3.0
_LIKE = "like these simulations"
_UNLIKE = "unlike these simulations, and its posterior not to be trusted"


@dataclass(frozen=True, eq=False, repr=False)
class LocalResult(LocalC2STResult):
    """L-C2ST at one observation, with the posterior draws (m, *event) the classifier judged."""

    draws: Arrays


def _local(given: Evidence) -> LocalResult:
    at = needed(given.observation)
    codes = needed(given.latent)[0][: len(at.features)]
    trials = max(_TRIALS, math.ceil(round(2.0 / (1.0 - given.level), 6)))
    settings: dict[str, Any] = {"seed": given.seed, "level": given.level, "trials": trials}
    settings["most_trials"] = max(trials, _MOST_TRIALS)
    result = local_c2st(codes, at.features, at.own_features, draw_latent=at.draw_latent, **settings)
    return LocalResult(**vars(result), draws=at.from_latent(result.evaluation))


def _local_marginals(result: LocalResult, labels: Labels) -> plots.Canvas:
    return plots.local_c2st_marginals(result, result.draws, labels=labels)


def _posterior_sbc(given: Evidence) -> PosteriorSBCResult | None:
    replicates = needed(given.observation).replicates
    if replicates is None:
        return None
    values, weights = replicates
    truth, others = (
        {name: value[:, part] for name, value in values.items()} for part in (0, slice(1, None))
    )
    return posterior_sbc(
        truth, others, weights[:, 0], weights[:, 1:], seed=given.seed, level=given.level
    )


def _predictive(given: Evidence) -> PredictiveResult | None:
    at = needed(given.observation)
    return (
        None
        if at.predicted is None
        else predictive_checks(at.predicted, at.observed, level=given.level)
    )


def _likeness(result: TypicalityResult) -> str:
    if result.undecided:
        return "The network saw too few simulations to tell whether the observation is like them."
    return f"The observation is {_UNLIKE if result.out_of_distribution else _LIKE}."


_check = partial(Check, group="around the observation")

OBSERVATION = (
    _check(
        name="L-C2ST",
        key="local",
        run=_local,
        needs=["observation", "latent"],
        question="A classifier learns to tell latent codes of true parameters from latent draws, "
        "given the data. At "
        "the observation it should not be able to. Checks over the prior say how the posterior "
        "does on average; this "
        "one says how it does here.",
        figures={"local_c2st": plots.local_c2st, "local_c2st_marginals": _local_marginals},
        captions={
            "local_c2st": "How well the classifier tells them apart at the observation. The line "
            "should lie among the "
            "values that chance gives.",
            "local_c2st_marginals": "Where the posterior of the observation is off, according to "
            "that classifier: "
            "draws as they are, and weighted. Where the test passes, differences are chance.",
        },
        meaning="The posterior of this observation, as far as a classifier can tell.",
        weights={"classifier": 7.0},
        remedy="Near this observation the posterior is wrong: train for longer, and compare with "
        "bi.reference at this "
        "observation before you publish.",
        reference="Linhart et al. 2023, arXiv:2306.03580",
    ),
    _check(
        name="posterior SBC",
        run=_posterior_sbc,
        needs=["observation", "log_prob"],
        question="Calibration on data sets simulated from the posterior of the observation, which "
        "look like it.",
        figures={"posterior_sbc": partial(plots.ecdf, value="weighted rank of truth")},
        # Weights that leave hardly more than the truth can't tell a wrong posterior from a correct
        # one.
        deviations=lambda result: (
            result.deviations if np.median(result.effective) >= _FEWEST_EFFECTIVE else ()
        ),
        captions={
            "posterior_sbc": "Cumulative distribution of weighted ranks, to be read as the figure "
            "of SBC."
        },
        meaning="Calibration on data sets like this observation.",
        remedy="Near this observation the posterior is not calibrated: train for longer, or on a "
        "narrower prior around "
        "it.",
        reference="Säilynoja et al. 2025, arXiv:2502.03279",
    ),
    _check(
        name="observation",
        run=lambda given: needed(given.typicality),
        needs=["typicality"],
        question="Whether the observation is like the simulations that the network was trained on.",
        sentence=_likeness,
        judge=lambda result: (
            "" if result.undecided else OUTSIDE if result.out_of_distribution else WITHIN
        ),
        weights={"": 4.0},
        meaning="The observation is like the simulations that the network was trained on.",
        remedy="Look for differences between data and simulator: units, missing or delayed "
        "counts, preprocessing; then "
        "widen the prior or extend the simulator. The posterior of this observation is an "
        "extrapolation.",
    ),
    _check(
        name="predictive",
        run=_predictive,
        needs=["observation"],
        question="Do data simulated from the posterior look like the observation? The model can't "
        "reproduce a "
        "flagged statistic: the simulator misses something. These p-values are conservative, "
        "because the data were "
        "used to infer the parameters too.",
        figures={"predictive_checks": plots.predictive_checks},
        captions={
            "predictive_checks": "Each statistic of the simulated data sets, and of the observed "
            "one (line)."
        },
        table=lambda result: result.to_dataframe().assign(
            flagged=np.where(result.flagged, "flagged", "")
        ),
        judge=lambda result: FLAGGED if result.flagged.any() else "",
        weights={"": 0.0},
        remedy="The model does not make data like these in every respect: see the flagged "
        "statistics, and extend the "
        "simulator where they matter.",
        reference="Gelman, Meng & Stern 1996, Statistica Sinica 6",
        heads={
            "predictive_median": "Predicted, median",
            "lower": "2.5 %",
            "upper": "97.5 %",
            "flagged": "",
        },
    ),
)
