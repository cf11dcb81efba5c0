"""The report on a diagnosis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bayesinn import plots
from bayesinn.diagnostics import Diagnosis
from bayesinn.report.render import Verdict, render
from bayesinn.report.section import Figure, Section


def diagnosis_report(diagnosis: Diagnosis, path: str | Path, *, title: str, sections: Sequence[Section] = ()) -> Path:
    """Write the report on a diagnosis.

    Parameters
    ----------
    diagnosis : Diagnosis
    path : file to write, ``.html``
    title : str
    sections : sequence of Section
        Put after the diagnostics and before the settings.

    Returns
    -------
    Path

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from bayesinn.diagnostics import diagnose_arrays
    >>> from bayesinn.naming import Labels
    >>> values = np.random.default_rng(1).normal(size=(2, 100, 20))
    >>> truth, draws = {"rate": values[0, :, 0]}, {"rate": values[1]}
    >>> diagnosis = diagnose_arrays(truth, draws, truth, Labels(), {"steps": 5_000}, seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     diagnosis_report(diagnosis, f"{folder}/report.html", title="Outbreak").name
    'report.html'
    """
    return render(
        path,
        title,
        [*diagnosis_sections(diagnosis), *sections],
        verdict=_verdict(diagnosis),
        settings=diagnosis.settings,
        seed=diagnosis.seed,
    )


def diagnosis_sections(diagnosis: Diagnosis) -> list[Section]:
    """The sections on a diagnosis: summary, calibration, recovery; for reports that say more.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics import diagnose_arrays
    >>> from bayesinn.naming import Labels
    >>> values = np.random.default_rng(1).normal(size=(2, 100, 20))
    >>> truth, draws = {"rate": values[0, :, 0]}, {"rate": values[1]}
    >>> diagnosis = diagnose_arrays(truth, draws, truth, Labels(), {}, seed=1)
    >>> [section.title for section in diagnosis_sections(diagnosis)]
    ['Tests', 'Calibration: SBC', 'Calibration: coverage', 'Recovery']
    """
    return [_tests(diagnosis), _sbc(diagnosis), _coverage(diagnosis), _recovery(diagnosis)]


def _verdict(diagnosis: Diagnosis) -> Verdict:
    failed = [name for name, test in diagnosis.tests.items() if not test.passed_family_wise]
    size = f"{diagnosis.sbc.simulations:,} simulated data sets with {diagnosis.sbc.draws:,} posterior draws each"
    if not failed:
        return Verdict(True, f"The posterior is calibrated, as far as {size} can tell.")
    readings = [
        f"{column}: {reading}"
        for column, reading in zip(diagnosis.sbc.columns, diagnosis.sbc.reading, strict=True)
        if reading
    ]
    found = f" By the ranks, {'; '.join(readings[:5])}{'; ...' if len(readings) > 5 else ''}." if readings else ""
    return Verdict(False, f"The posterior is not calibrated: {' and '.join(failed)} failed over {size}.{found}")


def _tests(diagnosis: Diagnosis) -> Section:
    table = diagnosis.verdict.rename(columns={"verdict": "Verdict", "found": "Found"}).rename_axis("Diagnostic")
    level = diagnosis.sbc.level
    return Section(
        "Tests",
        "Parameters were drawn from the prior, data sets simulated from them, and each data set's posterior compared "
        "with the parameters that made it. A test fails if a right posterior would give so bad a result, in any of "
        f"its columns ({len(diagnosis.sbc.columns)}), with a probability of less than {1.0 - level:.2g}.",
        table=table,
    )


def _sbc(diagnosis: Diagnosis) -> Section:
    result = diagnosis.sbc
    chance = len(result.columns) * (1.0 - result.level)
    names = {
        "p_value": "ECDF p-value",
        "chi_square_p_value": "Histogram p-value",
        "inside": "Inside the band",
        "reading": "What it means",
    }
    return Section(
        "Calibration: SBC",
        "Simulation-based calibration: among posterior draws the truth should take every rank equally often. Each "
        f"column is judged by itself here; of a right posterior's columns ({len(result.columns)}), {chance:.2g} are "
        f"expected outside the {result.level:.0%} band.",
        table=_named(result.to_dataframe(), diagnosis, names),
        figures=[
            Figure(
                plots.sbc_ecdf(result, labels=diagnosis.labels),
                "Cumulative distribution of the ranks, minus that of uniform ranks. A right posterior stays in the "
                f"grey band everywhere with a probability of {result.level:.0%}. Above zero throughout: posteriors "
                "too high; below: too low. Above, then below: too narrow; below, then above: too wide.",
            ),
            Figure(
                plots.sbc_histogram(result, labels=diagnosis.labels),
                "The same ranks as a histogram, relative to the count expected. High at both ends: posteriors too "
                "narrow; high in the middle: too wide; a slope: shifted. Single bars outside the grey area happen by "
                "chance when there are many.",
            ),
        ],
    )


def _coverage(diagnosis: Diagnosis) -> Section:
    result = diagnosis.coverage
    names = {"calibration_error": "Calibration error"}
    names |= {
        name: f"In the {name.removeprefix('coverage_')}% interval"
        for name in result.to_dataframe()
        if name.startswith("coverage_")
    }
    names |= {"p_value": "p-value", "inside": "Inside the band"}
    return Section(
        "Calibration: coverage",
        "How often central posterior intervals hold the truth. The calibration error is the mean difference between "
        "the coverage found and the coverage promised, over all levels.",
        table=_named(result.to_dataframe(), diagnosis, names),
        figures=[
            Figure(
                plots.coverage(result, labels=diagnosis.labels),
                "Coverage found against coverage promised. On the diagonal: intervals keep their promise. Above: "
                "posteriors too wide; below: too narrow or shifted. A right posterior stays in the grey band with a "
                f"probability of {result.level:.0%}; dotted lines judge each level by itself.",
            )
        ],
    )


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
        "How much the data say about each parameter; a calibrated posterior may still know little. R² and correlation "
        "are those of posterior medians with the truth, NRMSE is their root mean squared error divided by the range of "
        "the truths. Contraction compares the posterior's variance with the prior's: 0 means nothing learnt, 1 known "
        "exactly. z-scores should have mean 0 and, for posteriors near normal, spread 1.",
        table=_named(result.to_dataframe(), diagnosis, names),
        figures=[
            Figure(
                plots.recovery(result, labels=diagnosis.labels),
                f"Posterior median and {result.interval:.0%} interval of each data set against the truth; at most 300 "
                "data sets are drawn. Near the dashed line: well recovered. A flat cloud: the data say little.",
            )
        ],
    )


def _named(table: pd.DataFrame, diagnosis: Diagnosis, names: dict[str, str]) -> pd.DataFrame:
    """Head columns in words, and write units beside parameters. LaTeX stays in figures: HTML can't show it."""
    units = {column: diagnosis.labels.unit(column) for column in table.index}
    index = [f"{column} [{units[column]}]" if units[column] else column for column in table.index]
    if "reading" in table and not table["reading"].any():
        table = table.drop(columns="reading")
    return table.rename(columns=names).set_axis(pd.Index(index, name="Parameter"), axis=0)
