"""All diagnostics of one posterior, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesinn.core.labels import Labels
from bayesinn.diagnostics.coverage import CoverageResult
from bayesinn.diagnostics.dependence import DependenceResult
from bayesinn.diagnostics.information import InformationResult
from bayesinn.diagnostics.observation import ObservationDiagnosis
from bayesinn.diagnostics.recovery import RecoveryResult
from bayesinn.diagnostics.sbc import SBCResult
from bayesinn.diagnostics.tested import Tested
from bayesinn.diagnostics.uniformity import UniformityResult

if TYPE_CHECKING:
    import xarray

    from bayesinn.workflow.report import Section


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What the diagnostics found.

    Parameters
    ----------
    sbc, coverage, tarp : SBCResult, CoverageResult, UniformityResult
        Calibration.
    recovery, information : RecoveryResult, InformationResult
        Sharpness: how much the posterior knows. No tests.
    seed : int
    dependence : DependenceResult, or None with a single parameter
    joint_coverage : CoverageResult, or None without densities
    latent : SBCResult, or None without latent codes
    quantities : SBCResult of test quantities, or None
    observation : ObservationDiagnosis, or None without an observation
    labels : Labels
        How figures write the parameters.
    settings : mapping of name to value
        How the posterior came about; written at the end of the report.
    """

    sbc: SBCResult
    coverage: CoverageResult
    tarp: UniformityResult
    recovery: RecoveryResult
    information: InformationResult
    seed: int
    dependence: DependenceResult | None = None
    joint_coverage: CoverageResult | None = None
    latent: SBCResult | None = None
    quantities: SBCResult | None = None
    observation: ObservationDiagnosis | None = None
    labels: Labels = field(default_factory=Labels)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tests(self) -> dict[str, Tested]:
        """The diagnostics that can fail, over all of the prior, by name."""
        tests = {
            "SBC": self.sbc,
            "coverage": self.coverage,
            "joint coverage": self.joint_coverage,
            "TARP": self.tarp,
            "dependence": self.dependence,
            "test quantities": self.quantities,
            "latent codes": self.latent,
        }
        return {name: test for name, test in tests.items() if test is not None}

    @property
    def verdict(self) -> pd.DataFrame:
        """One row a test: ``passed``, ``doubtful`` or ``FAILED``, the p-value and what was found.

        A test is ``doubtful`` if a right posterior would do as badly with a probability below 1 - level, all its
        columns together; it has ``FAILED`` if that stays true after Bonferroni over the tests of its group (those over
        the whole prior, those around the observation).
        """
        rows: dict[str, tuple[str, float, str]] = {}
        for group in (self.tests, {} if self.observation is None else self.observation.tests):
            for name, test in group.items():
                rows[name] = (judge(test, len(group)), test.family_p_value, test.summary)
        if self.observation is not None:
            rows |= self.observation.measures
        rows["recovery"] = ("", float("nan"), self.recovery.summary)
        rows["information gain"] = ("", float("nan"), self.information.summary)
        return pd.DataFrame.from_dict(rows, orient="index", columns=["verdict", "p_value", "found"]).rename_axis("test")

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the tests that failed."""
        table = self.verdict
        return tuple(table.index[table["verdict"] == "FAILED"])

    @property
    def passed(self) -> bool:
        """No test has failed, and the observation is not unlike the simulations.

        A right posterior fails with a probability of up to 1 - level for each group of tests.
        """
        return not self.failed

    def to_dataframe(self) -> pd.DataFrame:
        """One row a column of parameters, with the numbers of all diagnostics that look at single columns."""
        return pd.concat(
            [
                self.sbc.to_dataframe().add_prefix("sbc_"),
                self.coverage.to_dataframe().rename(columns=lambda name: f"coverage_{name.removeprefix('coverage_')}"),
                self.recovery.to_dataframe(),
                self.information.to_dataframe()["information_gain"],
            ],
            axis=1,
        )

    def to_datatree(self) -> xarray.DataTree:
        """PIT values for ArviZ, in the group ``prior_sbc``: ``arviz_plots.plot_ecdf_pit(diagnosis.to_datatree())``."""
        import arviz as az

        return az.from_dict(
            {"prior_sbc": {name: self.sbc.values[None, :, index] for index, name in enumerate(self.sbc.columns)}}
        )

    def plot(self, folder: str | Path) -> list[Path]:
        """Draw every diagnostic into PNG files in ``folder``, which is made if need be; returns their paths."""
        from bayesinn import plots

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return [plots.save(figure, folder / f"{name}.png") for name, figure in plots.diagnosis(self).items()]

    def to_html(
        self, path: str | Path, *, title: str = "Is the posterior right?", sections: Sequence[Section] = ()
    ) -> Path:
        """Write the report: one HTML file that needs nothing else.

        Parameters
        ----------
        path : file to write
        title : str
        sections : sequence of Section
            Your own, put after the diagnostics and before the settings.

        Returns
        -------
        Path
        """
        from bayesinn.workflow.report import diagnosis_report

        return diagnosis_report(self, path, title=title, sections=sections)

    def __repr__(self) -> str:
        shown = {
            "sbc_p_value": "SBC p",
            "coverage_p_value": "coverage p",
            "coverage_calibration_error": "calibration error",
            "r_squared": "R2",
            "nrmse": "NRMSE",
            "contraction": "contraction",
            "information_gain": "nats gained",
            "sbc_reading": "",
        }
        table = self.to_dataframe()[list(shown)].rename(columns=shown)
        if not any(self.sbc.reading):
            table = table.drop(columns="")
        verdict = self.verdict
        width = max(map(len, verdict.index)) + 2
        lines = [
            f"Diagnosis: {'passed' if self.passed else 'FAILED'} "
            f"({self.sbc.simulations} simulations, {self.sbc.draws} draws, seed {self.seed})"
        ]
        lines += [f"  {name:<{width}}{row.verdict:<10}{row.found}" for name, row in verdict.iterrows()]
        return "\n".join([*lines, "", table.to_string(float_format="%.3g")])


def judge(test: Tested, number: int) -> str:
    """``passed``, ``doubtful`` or ``FAILED``, for a test that is one of ``number``."""
    if test.passed_family_wise:
        return "passed"
    return "FAILED" if test.family_p_value * number <= 1.0 - test.level + 1e-12 else "doubtful"
