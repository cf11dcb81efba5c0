"""Checks over the prior: parameters, data sets made from them, and the posterior of each."""

from dataclasses import replace
from functools import partial

from bayesinn import plots
from bayesinn.core.errors import InputError
from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.evidence import Evidence, needed
from bayesinn.diagnostics.arrays import paired
from bayesinn.diagnostics.coverage import coverage, joint_coverage
from bayesinn.diagnostics.deviation import Deviation
from bayesinn.diagnostics.likelihood import FitResult, fit_to_data
from bayesinn.diagnostics.sbc import DependenceResult, SBCResult, dependence, latent_codes, sbc
from bayesinn.diagnostics.tarp import tarp
from bayesinn.diagnostics.uniformity import UniformityResult

TRAIN = (
    "Train for more steps, until the loss is flat; then give the flow more blocks. Diagnose again."
)

_SUMMARY = (
    "look at the summary network (does its output vary with the data? is its vector long enough?)"
)


def _quantities(given: Evidence) -> SBCResult:
    names = paired(given.truth, given.draws).columns
    quantities = needed(given.quantities)
    for name in set(names) & set(quantities):
        expected = "a name that no parameter has"
        do = "give it another name"
        raise InputError(
            f"test quantity {name!r}", expected=expected, got=f"parameters {list(names)}", do=do
        )
    truth, draws = ({name: pair[part] for name, pair in quantities.items()} for part in (0, 1))
    return sbc(truth, draws, seed=given.seed, level=given.level)


def _fit_to_data(given: Evidence) -> FitResult:
    number = len(paired(given.truth, given.draws).columns)
    return fit_to_data(needed(given.log_likelihood), number, seed=given.seed, level=given.level)


def _by_sign(result: SBCResult) -> list[Deviation]:
    """Leave the spread of ranks out: near one end, ranks scatter little and say "too low" only.

    These are ranks of a test quantity.
    """
    return [deviation for deviation in result.deviations if deviation.measure != "error of spread"]


def _tarp_deviations(result: UniformityResult) -> list[Deviation]:
    words = (
        "truths are farther from an estimate than draws",
        "truths are nearer to an estimate than draws",
    )
    return [replace(deviation, words=words) for deviation in result.deviations]


def _dependence(given: Evidence) -> DependenceResult | None:
    alone = len(paired(given.truth, given.draws).columns) == 1
    return (
        None if alone else dependence(given.truth, given.draws, seed=given.seed, level=given.level)
    )


_check = partial(Check, group="over the prior")

CALIBRATION = (
    _check(
        name="SBC",
        run=lambda given: sbc(given.truth, given.draws, seed=given.seed, level=given.level),
        question="Simulation-based calibration: the truth should take every rank among posterior "
        "draws equally often. "
        "The table judges each column by itself: of many columns, some fail by chance.",
        figures={"sbc_ecdf": plots.ecdf, "sbc_histogram": plots.sbc_histogram},
        captions={
            "sbc_ecdf": "Cumulative distribution of the ranks, minus that of uniform ranks. A "
            "correct posterior stays "
            "in the grey band. Above zero throughout: posteriors too high; below: too low. Above, "
            "then below: too "
            "narrow; below, then above: too wide.",
            "sbc_histogram": "The same ranks as a histogram, relative to the count expected. High "
            "at both ends: "
            "posteriors too narrow; high in the middle: too wide; a slope: shifted. Single bars "
            "outside the grey area "
            "happen by chance when there are many.",
        },
        meaning="Marginal posteriors: over the whole prior, truths are where the draws say they "
        "are.",
        # About a third of all errors each: 1,000 simulations just tell a shift of 0.2 sd from one
        # of 0.07 sd, and a spread that is off by 15 % from 5 %; others are farther from tolerance.
        weights={"shift": 20.0, "error of spread": 18.0},
        remedy=TRAIN,
        reference="Talts et al. 2018, arXiv:1804.06788; bands of Säilynoja, Bürkner & Vehtari "
        "2022, arXiv:2103.10522",
    ),
    _check(
        name="coverage",
        run=lambda given: coverage(given.truth, given.draws, seed=given.seed, level=given.level),
        question="How often central posterior intervals hold the truth. The calibration error is "
        "the median difference "
        "of observed and nominal coverage over all nominal ones.",
        figures={"coverage": plots.coverage},
        captions={
            "coverage": "Observed minus nominal coverage, in percentage points. Above zero: "
            "posteriors too wide; "
            "below: too narrow or shifted. A correct posterior stays in the grey band; dotted "
            "lines judge each nominal "
            "coverage by itself. A curve that leaves its panel is more than five times the band "
            "away."
        },
        meaning="Over the whole prior, intervals of single parameters hold the truth as often as "
        "they should.",
        remedy=TRAIN,
        # Central intervals may pass in spite of a shift.
        relies_on=["SBC"],
        reference="Calibration error: Radev et al. 2020, arXiv:2003.06281",
        heads={f"coverage_{level}": f"In the {level} % interval" for level in (50, 90, 95)},
    ),
    _check(
        name="joint coverage",
        run=lambda given: joint_coverage(
            *needed(given.log_prob), seed=given.seed, level=given.level
        ),
        needs=["log_prob"],
        question="How often joint regions of highest posterior density hold the truth. Each "
        "parameter by itself may be "
        "calibrated although the joint posterior is wrong, in its correlations or its modes.",
        figures={"joint_coverage": plots.coverage},
        captions={
            "joint_coverage": "Observed minus nominal coverage of these regions. Below zero: too "
            "sure, or correlations "
            "missed; above: not sure enough."
        },
        meaning="Over the whole prior, joint regions of highest density hold the truth as often "
        "as they should.",
        remedy=TRAIN,
        reference="Hermans et al. 2022, arXiv:2110.06581",
    ),
    _check(
        name="TARP",
        run=lambda given: tarp(
            given.truth, given.draws, given.references, seed=given.seed, level=given.level
        ),
        question="How many draws lie nearer than the truth to a reference point. If that is a "
        "rough estimate of the "
        "parameters from the data, as in bi.diagnose, a posterior fails that equals the prior "
        "although the data say "
        "more; random points can't tell.",
        figures={"tarp": partial(plots.ecdf, value="share of draws nearer than the truth")},
        captions={
            "tarp": "Cumulative distribution of the shares, minus the uniform one, which lies in "
            "the grey band."
        },
        meaning="The joint posterior, by distances from reference points.",
        deviations=_tarp_deviations,
        remedy=f"The posterior ignores part of the data: {_SUMMARY}.",
        relies_on=["SBC"],
        reference="Lemos et al. 2023, arXiv:2302.03026",
    ),
    _check(
        name="dependence",
        run=_dependence,
        question="SBC of the product of each pair of parameters. The error is that of the "
        "correlation of normal "
        "scores. The table lists the pairs that leave the band.",
        figures={"dependence": plots.dependence},
        captions={
            "dependence": "Blue: the posterior's correlation is too low; red: too high. Of a "
            "correct posterior, 19 in "
            "20 numbers lie between -2 and 2; frames mark pairs that fail."
        },
        table=lambda result: None if result.passed else result.to_dataframe()[~result.inside],
        meaning="Correlations between pairs of parameters.",
        remedy="Use marginal posteriors only, until this passes; more flow blocks, with "
        "rotations, learn correlations.",
        reference="Products as test quantities: Modrák et al. 2023, arXiv:2211.02383",
    ),
    _check(
        name="fit to the data",
        key="fit_to_data",
        run=_fit_to_data,
        needs=["log_likelihood"],
        question="Do draws explain the data as well as the true parameters do? SBC of the log "
        "likelihood, which is "
        "sensitive to whatever the posterior forgets of the data.",
        figures={"fit_to_data": plots.ecdf},
        captions={
            "fit_to_data": "Ranks of the truth's log likelihood among that of its draws. Below "
            "zero throughout: "
            "truths explain the data better than draws do; above: draws fit the data too closely."
        },
        meaning="Draws explain the data as well as the true parameters do.",
        remedy="The posterior makes too little of the data, or its joint shape is wrong: train "
        "for more steps; then "
        f"{_SUMMARY}; then give the flow more blocks.",
        relies_on=["SBC"],
        reference="Modrák et al. 2023, arXiv:2211.02383",
    ),
    _check(
        name="test quantities",
        key="quantities",
        run=_quantities,
        needs=["quantities"],
        question="SBC of functions of parameters and data.",
        figures={"quantities": plots.ecdf},
        captions={
            "quantities": "As the figure of SBC. Above zero throughout: draws too high; below: "
            "too low."
        },
        meaning="Test quantities: {columns}.",
        deviations=_by_sign,
        remedy=f"These quantities are not to be used: train for more steps; then {_SUMMARY}.",
        relies_on=["SBC"],
        reference="Modrák et al. 2023, arXiv:2211.02383",
    ),
    _check(
        name="latent codes",
        key="latent",
        run=lambda given: latent_codes(*needed(given.latent), seed=given.seed, level=given.level),
        needs=["latent"],
        question="The flow maps the truths to codes, which should be draws from the latent "
        "distribution.",
        figures={"latent": plots.ecdf},
        captions={
            "latent": "Ranks of the codes, and of their distance from the centre: below zero "
            "throughout, the posterior "
            "is too narrow, or its shape is wrong."
        },
        deviations=lambda result: result.deviations[-1:],
        meaning="The flow's latent codes have the distribution they should have.",
        remedy=TRAIN,
    ),
)
