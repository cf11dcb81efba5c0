"""The library's own checks, in the order of the verdict."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from bayesinn import plots
from bayesinn.core.labels import Labels, columns
from bayesinn.diagnosis.check import (
    FAMILY_ERROR,
    FLAGGED,
    LIBRARY,
    MOST_PANELS,
    OUTSIDE,
    WITHIN,
    Check,
    Outcome,
    users_checks,
)
from bayesinn.diagnosis.evidence import (
    Evidence,
    MissingEvidence,
    Pair,
    optional,
    refuse_names_of_parameters,
)
from bayesinn.diagnostics.calibration import (
    DependenceResult,
    dependence,
    latent_codes,
    posterior_sbc,
    sbc,
)
from bayesinn.diagnostics.coverage import coverage, joint_coverage, tarp
from bayesinn.diagnostics.deviation import repetitions_for
from bayesinn.diagnostics.information import information
from bayesinn.diagnostics.likelihood import compared_sharpness, fit_to_data, sharpness
from bayesinn.diagnostics.local import LocalC2STResult, local_c2st
from bayesinn.diagnostics.predictive import predictive_checks
from bayesinn.diagnostics.recovery import disagreement, recovery
from bayesinn.posterior.answers import DISAGREEMENT
from bayesinn.posterior.typicality import Typicality

TRAIN = (
    "Train for more steps, until the loss is flat; then give the flow more blocks. Diagnose again."
)
SUMMARY = (
    "look at the summary network (does its output vary with the data? is its vector long enough?)"
)

SBC = Check(
    name="SBC",
    group="calibration",
    run=lambda evidence: sbc(
        evidence.truth, evidence.draws, seed=evidence.seed, level=evidence.level
    ),
    question="Simulation-based calibration: the truth should take every rank among posterior draws "
    "equally often. Each column is judged by itself in the figures: of many columns, some leave "
    "the band by chance.",
    figures={
        "sbc_ecdf": (
            plots.ecdf,
            "Cumulative distribution of the ranks, minus that of uniform ranks. A correct "
            "posterior stays in the grey band. Above zero throughout: posteriors too high; below: "
            "too low. Above, then below: too narrow; below, then above: too wide. Lines: the "
            "curves of posteriors with as much error as is allowed.",
        ),
        "sbc_histogram": (
            plots.sbc_histogram,
            "The same ranks as a histogram, relative to the count expected. High at both ends: "
            "posteriors too narrow; high in the middle: too wide; a slope: shifted. Single bars "
            "outside the grey area happen by chance when there are many.",
        ),
    },
    meaning="Marginal posteriors: over the whole prior, truths are where the draws say they are.",
    # About a third of all errors each: 1,000 simulations just tell a shift of 0.2 sd from one
    # of 0.07 sd, and a spread that is off by 15 % from 5 %; others are farther from tolerance.
    weights={"shift": 20.0, "error of spread": 18.0},
    remedy=TRAIN,
    reference="Talts et al. 2018, arXiv:1804.06788; bands of Säilynoja, Bürkner & Vehtari "
    "2022, arXiv:2103.10522",
    overview={"shift": "Shift [sd]", "error of spread": "Error of spread [%]"},
)

COVERAGE = Check(
    name="coverage",
    group="calibration",
    run=lambda evidence: coverage(
        evidence.truth, evidence.draws, seed=evidence.seed, level=evidence.level
    ),
    question="How often central posterior intervals hold the truth. The calibration error is the "
    "median difference of observed and nominal coverage over all nominal ones.",
    figures={
        "coverage": (
            plots.coverage,
            "Observed minus nominal coverage, in percentage points. Above zero: posteriors too "
            "wide; below: too narrow or shifted. A correct posterior stays in the grey band; grey "
            "lines judge each nominal coverage by itself, and black ones are what is allowed. A "
            "curve that leaves its panel is more than five times the band away.",
        )
    },
    meaning="Over the whole prior, intervals of single parameters hold the truth as often as "
    "they should.",
    remedy=TRAIN,
    # Central intervals may pass in spite of a shift.
    relies_on=["SBC"],
    reference="Calibration error: Radev et al. 2020, arXiv:2003.06281",
    overview={"coverage error": "Coverage error [points]"},
)


def _joint_coverage(evidence: Evidence) -> Outcome:
    of_truth, of_draws = evidence.log_prob
    result = joint_coverage(
        of_truth[: len(of_draws)], of_draws, seed=evidence.seed, level=evidence.level
    )
    return Outcome.of(result, most=evidence.most_densities)


JOINT_COVERAGE = Check(
    name="joint coverage",
    group="calibration",
    run=_joint_coverage,
    question="How often joint regions of highest posterior density hold the truth. Each parameter "
    "by itself may be calibrated although the joint posterior is wrong, in its correlations or its "
    "modes.",
    figures={
        "joint_coverage": (
            plots.coverage,
            "Observed minus nominal coverage of these regions. Below zero: too sure, or "
            "correlations missed; above: not sure enough.",
        )
    },
    meaning="Over the whole prior, joint regions of highest density hold the truth as often "
    "as they should.",
    remedy=TRAIN,
    reference="Hermans et al. 2022, arXiv:2110.06581",
)

TARP = Check(
    name="TARP",
    group="calibration",
    run=lambda evidence: tarp(
        evidence.truth,
        evidence.draws,
        optional(lambda: evidence.references),
        seed=evidence.seed,
        level=evidence.level,
    ),
    question="How many draws lie nearer than the truth to a reference point. If that is a rough "
    "estimate of the parameters from the data, as in bi.diagnose, a posterior fails that equals "
    "the prior although the data say more; random points can't tell.",
    figures={
        "tarp": (
            partial(plots.ecdf, value="share of draws nearer than the truth"),
            "Cumulative distribution of the shares, minus the uniform one, which lies in the grey "
            "band.",
        )
    },
    meaning="The joint posterior, by distances from reference points.",
    remedy=f"The posterior ignores part of the data: {SUMMARY}.",
    relies_on=["SBC"],
    reference="Lemos et al. 2023, arXiv:2302.03026",
)


def _dependence(evidence: Evidence) -> Outcome | None:
    if len(evidence.columns) < 2:
        return None
    result = dependence(evidence.truth, evidence.draws, seed=evidence.seed, level=evidence.level)
    table = None if result.passed else result.to_dataframe()[~result.inside]
    return Outcome.of(result, table=table)


def _all_pairs(result: DependenceResult, labels: Labels, errors: pd.DataFrame) -> plots.Canvas:
    return plots.dependence(result, labels=labels, errors=errors)


DEPENDENCE = Check(
    name="dependence",
    group="calibration",
    run=_dependence,
    question="SBC of the product of each pair of parameters. The error is that of the correlation "
    "of normal scores. If pairs leave the band, a table lists them.",
    figures={
        "dependence": (
            _all_pairs,
            "Error of each correlation. Blue: the posterior's correlation is too low; red: too "
            "high. Lines in the colour bar: what is allowed. A frame marks a pair outside "
            "tolerance, a dashed one a pair that is undecided.",
        )
    },
    meaning="Correlations between pairs of parameters{left_out}.",
    remedy="Use marginal posteriors only, until this passes; more flow blocks, with "
    "rotations, learn correlations.",
    reference="Products as test quantities: Modrák et al. 2023, arXiv:2211.02383",
)

FIT_TO_DATA = Check(
    name="fit to the data",
    group="calibration",
    key="fit_to_data",
    run=lambda evidence: Outcome.of(
        fit_to_data(
            evidence.log_likelihood,
            len(evidence.columns),
            seed=evidence.seed,
            level=evidence.level,
        ),
        part=True,
    ),
    question="Do draws explain the data as well as the true parameters do? SBC of the log "
    "likelihood, which is sensitive to whatever the posterior forgets of the data.",
    figures={
        "fit_to_data": (
            plots.fit_to_data,
            "Log likelihood of each truth minus the median of its draws, in nats. Its median, the "
            "point with its interval, should lie between the dotted lines. To the right: truths "
            "explain the data better than draws do; to the left: draws fit too closely. A tenth of "
            "the data sets lies beyond the panel.",
        )
    },
    meaning="Draws explain the data as well as the true parameters do.",
    remedy="The posterior makes too little of the data, or its joint shape is wrong: train "
    "for more steps; then "
    f"{SUMMARY}; then give the flow more blocks.",
    relies_on=["SBC"],
    reference="Modrák et al. 2023, arXiv:2211.02383",
)


def _quantities(evidence: Evidence) -> Outcome:
    quantities = evidence.quantities
    refuse_names_of_parameters(quantities, evidence.columns)
    truth = {name: of_truth for name, (of_truth, _) in quantities.items()}
    draws = {name: of_draws for name, (_, of_draws) in quantities.items()}
    result = sbc(truth, draws, seed=evidence.seed, level=evidence.level)
    shift, _, distance = result.deviations
    # Not the spread of ranks: near one end, ranks scatter little and say "too low" only.
    return Outcome.of(result, errors=(shift, distance))


QUANTITIES = Check(
    name="test quantities",
    group="calibration",
    key="quantities",
    run=_quantities,
    question="SBC of functions of parameters and data.",
    figures={
        "quantities": (
            plots.ecdf,
            "As the figure of SBC. Above zero throughout: draws too high; below: too low.",
        )
    },
    meaning="Test quantities: {columns}.",
    remedy=f"These quantities are not to be used: train for more steps; then {SUMMARY}.",
    relies_on=["SBC"],
    reference="Modrák et al. 2023, arXiv:2211.02383",
)


def _latent_codes(evidence: Evidence) -> Outcome:
    result = latent_codes(*evidence.latent, seed=evidence.seed, level=evidence.level)
    return Outcome.of(result, errors=result.deviations[-1:])


LATENT_CODES = Check(
    name="latent codes",
    group="calibration",
    key="latent",
    run=_latent_codes,
    question="The flow maps the truths to codes, which should be draws from the latent "
    "distribution.",
    figures={
        "latent": (
            plots.ecdf,
            "Ranks of the codes, and of their distance from the centre: below zero throughout, the "
            "posterior is too narrow, or its shape is wrong.",
        )
    },
    meaning="The flow's latent codes have the distribution they should have.",
    remedy=TRAIN,
)

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


def _local_c2st(evidence: Evidence) -> Outcome:
    at = evidence.observation
    codes = evidence.latent[0][: len(at.features)]
    trials = repetitions_for(evidence.level, _TRIALS)
    result = local_c2st(
        codes,
        at.features,
        at.own_features,
        draw_latent=at.draw_latent,
        seed=evidence.seed,
        level=evidence.level,
        trials=trials,
        most_trials=max(trials, _most_trials()),
    )
    return Outcome.of(replace(result, draws=at.from_latent(result.evaluation)), part=True)


def _weighted_marginals(result: LocalC2STResult, labels: Labels) -> plots.Canvas:
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


LOCAL_C2ST = Check(
    name="L-C2ST",
    group="around the observation",
    key="local",
    run=_local_c2st,
    question="A classifier learns to tell latent codes of true parameters from latent draws, given "
    "the data. At the observation it should not be able to. Checks over the prior say how the "
    "posterior does on average; this one says how it does here.",
    figures={
        "local_c2st": (
            plots.local_c2st,
            "How well the classifier tells them apart at the observation. The grey bars are what "
            "chance gives; the dotted line is what is allowed. No upper bound: the classifier may "
            "have missed an error.",
        ),
        "local_c2st_marginals": (
            _weighted_marginals,
            "Where the posterior of the observation is off, according to that classifier: draws as "
            "they are, and weighted. Unless the error is outside tolerance, differences may be "
            "chance.",
        ),
    },
    meaning="The posterior of this observation, as far as a classifier can tell.",
    weights={"classifier": _WEIGHT},
    remedy="Near this observation the posterior is wrong: train for longer, and compare with "
    "bi.reference at this observation before you publish.",
    reference="Linhart et al. 2023, arXiv:2306.03580",
)


def _posterior_sbc(evidence: Evidence) -> Outcome:
    values, weights = evidence.observation.replicates
    undefined = np.sum(np.any(np.isnan(weights) | np.isposinf(weights), axis=1))
    if undefined:
        raise MissingEvidence(
            f"log densities are NaN or infinite for {undefined:,} of {len(weights):,} data sets "
            "like the observation"
        )
    result = posterior_sbc(
        {name: value[:, 0] for name, value in values.items()},
        {name: value[:, 1:] for name, value in values.items()},
        weights[:, 0],
        weights[:, 1:],
        seed=evidence.seed,
        level=evidence.level,
    )
    return Outcome.of(result, part=True, most=evidence.observation.most_replicates)


POSTERIOR_SBC = Check(
    name="posterior SBC",
    group="around the observation",
    run=_posterior_sbc,
    question="Calibration on data sets simulated from the posterior of the observation, which "
    "look like it.",
    figures={
        "posterior_sbc": (
            partial(plots.ecdf, value="weighted rank of truth"),
            "Cumulative distribution of weighted ranks, to be read as the figure of SBC.",
        )
    },
    meaning="Calibration on data sets like this observation.",
    remedy="Near this observation the posterior is not calibrated: train for longer, or on a "
    "narrower prior around it.",
    reference="Säilynoja et al. 2025, arXiv:2502.03279",
)

_LIKE = "like these simulations"
_UNLIKE = "unlike these simulations, and its posterior not to be trusted"


def judge_observation(result: Typicality) -> Outcome:
    """Judge how typical an observation is of the simulations that the network was trained on."""
    if result.undecided:
        few = "The network saw too few simulations to tell whether the observation is like them."
        return Outcome(result=result, sentence=few, part=True)
    odd = bool(result.out_of_distribution)
    reason = f": {result.reason}" if result.reason else ""
    return Outcome(
        result=result,
        grade=OUTSIDE if odd else WITHIN,
        sentence=f"The observation is {_UNLIKE if odd else _LIKE}{reason}.",
        part=True,
    )


OBSERVATION = Check(
    name="observation",
    group="around the observation",
    run=lambda evidence: judge_observation(evidence.observation.typicality),
    question="Whether the observation is like the simulations that the network was trained on.",
    weights={"": 4.0},
    meaning="The observation is like the simulations that the network was trained on.",
    remedy="Look for differences between data and simulator: units, missing or delayed counts, "
    "preprocessing; then widen the prior or extend the simulator. The posterior of this "
    "observation is an extrapolation.",
)


def _predictive(evidence: Evidence) -> Outcome:
    at = evidence.observation
    # Faulty predictions were left out: NaN is what the simulator declares as missing.
    result = predictive_checks(at.predicted, at.observed, level=evidence.level, missing=True)
    table = result.to_dataframe().assign(flagged=np.where(result.flagged, "flagged", ""))
    heads = {
        "predictive_median": "Predicted, median",
        "lower": "2.5 %",
        "upper": "97.5 %",
        "flagged": "",
    }
    return Outcome(
        result=result,
        grade=FLAGGED if result.flagged.any() else "",
        table=table.rename(columns=heads),
        part=True,
    )


PREDICTIVE = Check(
    name="predictive",
    group="around the observation",
    run=_predictive,
    question="Do data simulated from the posterior look like the observation? The model can't "
    "reproduce a flagged statistic: the simulator misses something. These p-values are "
    "conservative, because the data were used to infer the parameters too.",
    figures={
        "predictive_checks": (
            plots.predictive_checks,
            "Each statistic of the simulated data sets, and of the observed one (line).",
        )
    },
    weights={"": 0.0},
    remedy="The model does not make data like these in every respect: see the flagged statistics, "
    "and extend the simulator where they matter.",
    reference="Gelman, Meng & Stern 1996, Statistica Sinica 6",
)

# Share of data sets that may be left out because their likelihood is zero at the truth.
_MOST_LEFT_OUT = 0.01


def _exact(evidence: Evidence) -> tuple[Pair, Pair] | None:
    """Return log likelihood and log prior; None if they are not both known."""
    return optional(lambda: (evidence.log_likelihood, evidence.prior_log_prob))


def _sharpness(evidence: Evidence) -> Outcome:
    densities = evidence.log_prob
    exact = _exact(evidence)
    if exact is None:
        other = evidence.other_log_prob
        unknown = int(np.sum(~np.isfinite(other)))
        if unknown:
            raise MissingEvidence(
                f"the density of the longer or larger fit is not finite at {unknown:,} of "
                f"{len(other):,} truths"
            )
        result = compared_sharpness(densities[0], other, len(evidence.columns))
        return Outcome(result=result, errors=result.deviations, part=True)
    likelihood, prior = exact
    impossible = int(np.sum(np.isneginf(likelihood[0])))
    size = len(likelihood[0])
    if impossible > _MOST_LEFT_OUT * size:
        raise MissingEvidence(f"the likelihood is zero at {impossible:,} of {size:,} truths")
    # Of these, all three are known.
    rows = min(size, len(densities[1]))
    draws = densities[1].shape[1]
    of_likelihood, of_prior, of_posterior = (
        (of_truth[:rows], of_draws[:rows, :draws])
        for of_truth, of_draws in (likelihood, prior, densities)
    )
    result = sharpness(of_likelihood, of_prior, of_posterior, len(evidence.columns))
    # The verdict says it in one line, without a table. Densities of draws may cost too much.
    return Outcome(result=result, errors=result.deviations, part=True, most=evidence.most_densities)


SHARPNESS = Check(
    name="sharpness",
    group="sharpness",
    run=_sharpness,
    question="How many nats the log density of the truth falls short of the exact posterior's, by "
    "importance weights with the simulator's likelihood; without a likelihood, at least how many, "
    "by a longer or larger fit. Calibration does not see this: a posterior may be calibrated and "
    "know less than it could.",
    meaning="The posterior is about as sharp as the data allow.",
    remedy="The posterior could be sharper: train for longer, then give summary network and "
    "flow more units.",
    reference="Bounds: Burda, Grosse & Salakhutdinov 2015, arXiv:1412.8566",
)

RECOVERY = Check(
    name="recovery",
    group="sharpness",
    run=lambda evidence: recovery(evidence.truth, evidence.draws, evidence.prior),
    question="How near posteriors come to the truth; a calibrated posterior may still know little. "
    "R² and correlation are those of posterior medians with the truth, NRMSE is their root mean "
    "squared error divided by the range of the truths. Contraction compares the posterior's "
    "variance with the prior's: 0 means nothing learnt, 1 known exactly.",
    figures={
        "recovery": (
            plots.recovery,
            "Posterior median and interval of each data set against the truth; at most 300 data "
            "sets are drawn. Near the dashed line: well recovered. A flat cloud: the data say "
            "little.",
        ),
        "contraction": (
            plots.contraction,
            "z-score of each data set against the contraction of its posterior. Right, between the "
            "lines: identified. Left: the data say little. Beyond the lines on the right: sure and "
            "wrong; on the left: prior and truth conflict. Many parameters: a row each, with the "
            "median, 50 and 90 % of data sets of both.",
        ),
    },
    reference="Radev et al. 2020, arXiv:2003.06281; Schad et al. 2021, arXiv:1904.12765",
    overview={"r_squared": "R²", "contraction": "Contraction"},
)


def _log_ratio(evidence: Evidence) -> np.ndarray | None:
    """Return log posterior over prior density of the truths; None where one is undefined."""
    densities = optional(lambda: (evidence.log_prob[0], evidence.prior_log_prob[0]))
    if densities is None:
        return None
    posterior, prior = densities
    # Both may exclude a truth that was held out.
    with np.errstate(invalid="ignore"):
        ratio = posterior - prior
    return None if np.isnan(ratio).any() else ratio


INFORMATION = Check(
    name="information gain",
    group="sharpness",
    key="information",
    run=lambda evidence: information(
        evidence.truth, evidence.draws, evidence.prior, log_ratio=_log_ratio(evidence)
    ),
    question="Entropy of the prior minus that of the posterior; one nat makes a posterior e "
    "times narrower.",
    figures={
        "information": (
            plots.information,
            "Gain over data sets. A parameter at zero can't be learnt from such data.",
        )
    },
    reference="Lindley 1956, Annals of Mathematical Statistics 27",
    overview={"information_gain": "Nats gained"},
)


def _members(evidence: Evidence) -> Outcome:
    observed = optional(lambda: evidence.observation.disagreement)
    result = disagreement(evidence.disagreement, observed, DISAGREEMENT)
    return Outcome.of(result, grade=FLAGGED if result.flagged else "")


MEMBERS = Check(
    name="members",
    group="sharpness",
    run=_members,
    question="Do the members of the ensemble agree? The share of each parameter's variance that "
    f"lies between their means; above {DISAGREEMENT:g}, they disagree.",
    weights={"": 0.0},
    remedy="The members of the ensemble have not learned the posterior where they disagree: train "
    "them for longer, or on more simulations.",
    reference="Hermans et al. 2022, arXiv:2110.06581",
    overview={"disagreement": "Disagreement"},
)

# All of them, in this order.
LIBRARY.extend(check for check in list(globals().values()) if isinstance(check, Check))
