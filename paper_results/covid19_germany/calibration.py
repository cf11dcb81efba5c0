"""Simulation-based calibration and coverage of each trained posterior."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from shared import LABELS, SEED, Study

import bayesinn as bi
from bayesinn import plots
from bayesinn.core.labels import Labels
from bayesinn.diagnostics import NOMINAL, CoverageResult, SBCResult, coverage, sbc
from bayesinn.diagnostics.calibration import compare_ranks, compare_with_uniform
from bayesinn.simulators.covid19_prior import LABELS as PARAMETERS, UNITS

DATA_SETS = 5_000
DRAWS = 250
_CHANCE_REPETITIONS = 200


def run(study: Study) -> None:
    """Simulate, infer, rank; for all posteriors that are there."""
    verdicts = []
    levels = []
    counts = []
    for name, posterior in study.posteriors(*(["covid19"] if study.quick else LABELS)).items():
        ranks, covered = ranked(posterior, study)
        errors = 100.0 * (covered.empirical - covered.nominal[:, None])
        for index, column in enumerate(ranks.columns):
            verdicts.append(
                {
                    "posterior": LABELS[name],
                    "parameter": column,
                    "p_value": ranks.p_value[index],
                    "inside_99_band": bool(ranks.inside[index]),
                    "reading": "" if ranks.inside[index] else _reading(ranks, index),
                    "largest_coverage_error_points": errors[
                        np.argmax(np.abs(errors[:, index])), index
                    ],
                }
            )
            levels.append(
                {"posterior": LABELS[name], "parameter": column}
                | {
                    f"{level:.0%}": error
                    for level, error in zip(NOMINAL, errors[:, index], strict=True)
                }
            )
            by_rank = np.bincount(ranks.ranks[:, index], minlength=ranks.draws + 1)
            counts.append(
                {"posterior": LABELS[name], "parameter": column} | dict(enumerate(by_rank))
            )
        for kind, figure in (
            ("sbc", plots.ecdf(ranks, labels=posterior.simulator.labels)),
            ("coverage", plots.coverage(covered, labels=posterior.simulator.labels)),
        ):
            plots.save(figure, study.target / f"{kind}{name.removeprefix('covid19')}.png")
    if verdicts:
        table = pd.DataFrame(verdicts)
        study.write(table, "calibration")
        errors_by_level = pd.DataFrame(levels)
        errors_by_level.to_csv(
            study.target / "coverage_errors.csv", index=False, float_format="%.3f"
        )
        pd.DataFrame(counts).to_csv(study.target / "sbc_ranks.csv", index=False)
        study.write(summary(table, errors_by_level, study), "calibration_summary")


def ranked(posterior: bi.AmortizedPosterior, study: Study) -> tuple[SBCResult, CoverageResult]:
    """Ranks of true parameters of simulated data sets among draws, and interval coverage."""
    simulator = posterior.simulator
    simulations = simulator.sample(study.size(DATA_SETS, 100), seed=SEED + 2)
    data = {
        key: simulations[key] for key in (*simulator.observable_shapes, *simulator.context_names)
    }
    draws = dict(posterior.sample(data, draws=study.size(DRAWS, 20), seed=SEED + 3))
    draws = {key: draws[key] for key in list(draws)[: study.size(len(draws), 6)]}
    truth = {key: simulations[key] for key in draws}
    return sbc(truth, draws, seed=SEED), coverage(truth, draws, seed=SEED)


def draw_sbc(counts: pd.DataFrame, posterior: str) -> Figure:
    """Draw the ranks of a posterior anew: sbc_ranks.csv, how many data sets have each rank."""
    table = _of_posterior(counts, posterior)
    draws = table.shape[1] - 1
    ranks = np.stack([np.repeat(np.arange(draws + 1), row) for row in table.to_numpy()], axis=1)
    fields = compare_ranks(tuple(table.index), ranks, draws, SEED, 0.99)
    figure = plots.ecdf(SBCResult(*fields, ranks, draws), labels=Labels(PARAMETERS, UNITS))
    assert isinstance(figure, Figure)
    return figure


def draw_coverage(errors: pd.DataFrame, posterior: str) -> Figure:
    """Draw the coverage of a posterior of 5,000 data sets anew: coverage_errors.csv."""
    table = _of_posterior(errors, posterior)
    below = np.rint(DATA_SETS * (np.array(NOMINAL) + table.to_numpy() / 100.0)).astype(int)
    between = np.diff(below, axis=1, prepend=0, append=DATA_SETS)
    # Any values that are as often between two levels.
    middles = 0.5 * (np.array([0.0, *NOMINAL]) + np.array([*NOMINAL, 1.0]))
    values = np.stack([np.repeat(middles, counts) for counts in between], axis=1)
    fields = compare_with_uniform(tuple(table.index), values, 0.99, NOMINAL)
    figure = plots.coverage(CoverageResult(*fields), labels=Labels(PARAMETERS, UNITS))
    assert isinstance(figure, Figure)
    return figure


def _of_posterior(table: pd.DataFrame, posterior: str) -> pd.DataFrame:
    return table[table["posterior"] == posterior].set_index("parameter").drop(columns="posterior")


def summary(table: pd.DataFrame, errors_by_level: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row a posterior: parameters inside the band, and coverage errors beside chance.

    The largest error stands beside what chance gives.
    """
    rows = []
    for label, part in table.groupby("posterior", sort=False):
        worst = part.loc[part["largest_coverage_error_points"].abs().idxmax()]
        rows.append(
            {
                "posterior": label,
                "data_sets": study.size(DATA_SETS, 100),
                "draws": study.size(DRAWS, 20),
                "inside_99_band": f"{part['inside_99_band'].sum()} of {len(part)}",
                "outside": ", ".join(part.loc[~part["inside_99_band"], "parameter"]),
                "largest_coverage_error_points": abs(worst["largest_coverage_error_points"]),
                "of": worst["parameter"],
                "mean_error_at_worst_level": errors_by_level[errors_by_level["posterior"] == label]
                .drop(columns=["posterior", "parameter"])
                .abs()
                .mean()
                .max(),
                "of_a_correct_posterior": largest_by_chance(study.size(DATA_SETS, 100), len(part)),
            }
        )
    return pd.DataFrame(rows)


def largest_by_chance(data_sets: int, parameters: int) -> float:
    """The largest coverage error in points of a correct posterior in the mean: uniform ranks.

    The ranks are independent.
    """
    generator = np.random.default_rng(SEED)
    largest = []
    for _ in range(_CHANCE_REPETITIONS):
        counts = np.diff([0.0, *NOMINAL, 1.0])
        inside = np.cumsum(generator.multinomial(data_sets, counts, size=parameters), axis=1)[
            :, :-1
        ]
        largest.append(100.0 * np.max(np.abs(inside / data_sets - np.array(NOMINAL))))
    return float(np.mean(largest))


def _reading(ranks: SBCResult, index: int) -> str:
    """Return the larger of a parameter's shift and spread, relative to its interval, in words."""
    errors = ranks.deviations[:2]
    return max(
        errors, key=lambda error: abs(error.estimate[index]) / (error.upper - error.lower)[index]
    ).text(index)
