"""L-C2ST: whether a classifier tells truths from draws at the observation."""

import math
from dataclasses import replace

import numpy as np

from bayesinn import plots
from bayesinn.core.labels import Labels, columns
from bayesinn.diagnosis.check import FAMILY_ERROR, MOST_PANELS, Check, users_checks
from bayesinn.diagnosis.evidence import Evidence
from bayesinn.diagnostics.deviation import repetitions_for
from bayesinn.diagnostics.local import LocalC2STResult, local_c2st

# Repeated trainings of L-C2ST. A high level needs more: no p-value is below one over their number.
# Where none of them reaches what was observed there are more, so that the p-value can fall below
# the share that the check has of the errors of a diagnosis: 1,000 are enough for a summed weight of
# 70, more than that of the library's own checks.
_TRIALS = 200
_MOST_TRIALS = 1_000
_WEIGHT = 7.0
# How many measures a check has is only known from its result; the library's own have three or less.
_MEASURES = 3


def _most_trials() -> int:
    """Return the number of trials whose smallest p-value is below the share of the check.

    The share is the smaller, the more checks users have registered.
    """
    others = sum(sum(check.weights.values()) + _MEASURES for check in users_checks())
    return _MOST_TRIALS + math.ceil(others / (FAMILY_ERROR * _WEIGHT))


def _run(given: Evidence) -> LocalC2STResult:
    at = given.observation
    codes = given.latent[0][: len(at.features)]
    trials = repetitions_for(given.level, _TRIALS)
    result = local_c2st(
        codes,
        at.features,
        at.own_features,
        draw_latent=at.draw_latent,
        seed=given.seed,
        level=given.level,
        trials=trials,
        most_trials=max(trials, _most_trials()),
    )
    return replace(result, draws=at.from_latent(result.evaluation))


def _marginals(result: LocalC2STResult, labels: Labels, **_: object) -> plots.Canvas:
    assert result.draws is not None
    weights = result.probability[0] / (1.0 - result.probability[0])
    # Of many parameters, those whose mean the weights move farthest, in standard deviations.
    # Of a wild observation, draws overflow in single precision.
    draws = {name: np.asarray(value, float) for name, value in result.draws.items()}
    shifts = {
        name: abs(np.average(values, weights=weights) - values.mean()) / (values.std() or 1.0)
        for name, values in columns(draws, batch_ndim=1).items()
    }
    shown = sorted(shifts, key=lambda name: -shifts[name])[:MOST_PANELS]
    many = len(shown) < len(shifts)
    return plots.local_c2st_marginals(result, draws, labels=labels, shown=shown if many else None)


CHECK = Check(
    name="L-C2ST",
    group="around the observation",
    place=90,
    part=True,
    key="local",
    run=_run,
    question="A classifier learns to tell latent codes of true parameters from latent draws, given "
    "the data. At the observation it should not be able to. Checks over the prior say how the "
    "posterior does on average; this one says how it does here.",
    figures={"local_c2st": plots.local_c2st, "local_c2st_marginals": _marginals},
    tolerances_drawn=True,
    captions={
        "local_c2st": "How well the classifier tells them apart at the observation. The grey "
        "bars are what chance gives; the dotted line is what is allowed. No upper bound: the "
        "classifier may have missed an error.",
        "local_c2st_marginals": "Where the posterior of the observation is off, according to that "
        "classifier: draws as they are, and weighted. Unless the error is outside tolerance, "
        "differences may be chance.",
    },
    meaning="The posterior of this observation, as far as a classifier can tell.",
    weights={"classifier": _WEIGHT},
    remedy="Near this observation the posterior is wrong: train for longer, and compare with "
    "bi.reference at this observation before you publish.",
    reference="Linhart et al. 2023, arXiv:2306.03580",
)
