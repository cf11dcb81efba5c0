"""The report on a diagnosis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bayesinn.diagnostics import Diagnosis
from bayesinn.workflow.report.advice import advice
from bayesinn.workflow.report.calibration import calibration_sections
from bayesinn.workflow.report.observation import observation_sections
from bayesinn.workflow.report.render import render
from bayesinn.workflow.report.section import Section
from bayesinn.workflow.report.sharpness import sharpness_sections


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
    >>> from bayesinn.core.labels import Labels
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
        verdict=advice(diagnosis),
        settings=diagnosis.settings,
        seed=diagnosis.seed,
    )


def diagnosis_sections(diagnosis: Diagnosis) -> list[Section]:
    """The sections on a diagnosis: tests, observation, calibration, recovery; for reports that say more.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics import diagnose_arrays
    >>> from bayesinn.core.labels import Labels
    >>> values = np.random.default_rng(1).normal(size=(2, 100, 20))
    >>> truth, draws = {"rate": values[0, :, 0]}, {"rate": values[1]}
    >>> diagnosis = diagnose_arrays(truth, draws, truth, Labels(), {}, seed=1)
    >>> [section.title for section in diagnosis_sections(diagnosis)][-2:]
    ['Recovery', 'Sharpness']
    """
    sections = [_tests(diagnosis)]
    if diagnosis.observation is not None:
        sections += observation_sections(diagnosis.observation, diagnosis.labels)
    return [*sections, *calibration_sections(diagnosis), *sharpness_sections(diagnosis)]


def _tests(diagnosis: Diagnosis) -> Section:
    names = {"verdict": "Verdict", "p_value": "p-value", "found": "Found"}
    level = diagnosis.sbc.level
    return Section(
        "Tests",
        "Parameters were drawn from the prior, data sets simulated from them, and each data set's posterior compared "
        "with the parameters that made it. The p-value is the probability that a right posterior would do as badly in "
        f"any of a test's columns. Below {1.0 - level:.2g} a test is doubtful; if that stays true when the number of "
        "tests is allowed for (Bonferroni), it has failed.",
        table=diagnosis.verdict.rename(columns=names).rename_axis("Diagnostic"),
    )
