"""Predictive checks: whether data simulated from the posterior look like the observation."""

import numpy as np

from bayesinn import plots
from bayesinn.diagnosis.check import FLAGGED, Check
from bayesinn.diagnostics.predictive import predictive_checks

CHECK = Check(
    name="predictive",
    group="around the observation",
    place=120,
    part=True,
    # Faulty predictions were left out: NaN is what the simulator declares as missing.
    run=lambda given: predictive_checks(
        given.observation.predicted,
        given.observation.observed,
        level=given.level,
        missing=True,
    ),
    question="Do data simulated from the posterior look like the observation? The model can't "
    "reproduce a flagged statistic: the simulator misses something. These p-values are "
    "conservative, because the data were used to infer the parameters too.",
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
    remedy="The model does not make data like these in every respect: see the flagged statistics, "
    "and extend the simulator where they matter.",
    reference="Gelman, Meng & Stern 1996, Statistica Sinica 6",
    heads={
        "predictive_median": "Predicted, median",
        "lower": "2.5 %",
        "upper": "97.5 %",
        "flagged": "",
    },
)
