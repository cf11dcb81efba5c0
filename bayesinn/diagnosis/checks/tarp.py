"""TARP: the joint posterior, by distances from reference points."""

from dataclasses import replace
from functools import partial

from bayesinn import plots
from bayesinn.diagnosis.check import SUMMARY, Check
from bayesinn.diagnosis.evidence import optional
from bayesinn.diagnostics.coverage import tarp

_WORDS = (
    "truths are farther from an estimate than draws",
    "truths are nearer to an estimate than draws",
)

CHECK = Check(
    name="TARP",
    group="calibration",
    place=40,
    run=lambda given: tarp(
        given.truth,
        given.draws,
        optional(lambda: given.references),
        seed=given.seed,
        level=given.level,
    ),
    question="How many draws lie nearer than the truth to a reference point. If that is a rough "
    "estimate of the parameters from the data, as in bi.diagnose, a posterior fails that equals "
    "the prior although the data say more; random points can't tell.",
    figures={"tarp": partial(plots.ecdf, value="share of draws nearer than the truth")},
    tolerances_drawn=True,
    captions={
        "tarp": "Cumulative distribution of the shares, minus the uniform one, which lies in "
        "the grey band."
    },
    meaning="The joint posterior, by distances from reference points.",
    deviations=lambda result: [replace(one, words=_WORDS) for one in result.deviations],
    remedy=f"The posterior ignores part of the data: {SUMMARY}.",
    relies_on=["SBC"],
    reference="Lemos et al. 2023, arXiv:2302.03026",
)
