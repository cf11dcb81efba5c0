"""All diagnostics of one posterior, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesinn.diagnostics.coverage import CoverageResult, coverage
from bayesinn.diagnostics.recovery import RecoveryResult, recovery
from bayesinn.diagnostics.sbc import SBCResult, sbc
from bayesinn.naming import Labels

if TYPE_CHECKING:
    from bayesinn.report import Section


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What the diagnostics found.

    Parameters
    ----------
    sbc : SBCResult
    coverage : CoverageResult
    recovery : RecoveryResult
    seed : int
    labels : Labels
        How figures write the parameters.
    settings : mapping of name to value
        How the posterior came about; written at the end of the report.
    """

    sbc: SBCResult
    coverage: CoverageResult
    recovery: RecoveryResult
    seed: int
    labels: Labels = field(default_factory=Labels)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tests(self) -> dict[str, SBCResult | CoverageResult]:
        """The diagnostics that can fail, by name."""
        return {"SBC": self.sbc, "coverage": self.coverage}

    @property
    def passed(self) -> bool:
        """Every test passed over all columns together, so that many parameters alone are no reason to fail.

        A right posterior fails with a probability of up to 1 - level for each of the tests.
        """
        return all(test.passed_family_wise for test in self.tests.values())

    @property
    def verdict(self) -> pd.DataFrame:
        """One row a test: passed or failed, and the number behind it."""
        rows = [("passed" if test.passed_family_wise else "FAILED", test.summary) for test in self.tests.values()]
        table = pd.DataFrame(rows, index=pd.Index(self.tests, name="test"), columns=["verdict", "found"])
        table.loc["recovery"] = ["", self.recovery.summary]
        return table

    def to_dataframe(self) -> pd.DataFrame:
        """One row a column of parameters, with the numbers of all diagnostics."""
        return pd.concat(
            [
                self.sbc.to_dataframe().add_prefix("sbc_"),
                self.coverage.to_dataframe().rename(columns=lambda name: f"coverage_{name.removeprefix('coverage_')}"),
                self.recovery.to_dataframe(),
            ],
            axis=1,
        )

    def plot(self, folder: str | Path) -> list[Path]:
        """Draw every diagnostic into PNG files in ``folder``, which is made if need be; returns their paths."""
        from bayesinn import plots

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        figures = {
            "sbc_ecdf": plots.sbc_ecdf(self.sbc, labels=self.labels),
            "sbc_histogram": plots.sbc_histogram(self.sbc, labels=self.labels),
            "coverage": plots.coverage(self.coverage, labels=self.labels),
            "recovery": plots.recovery(self.recovery, labels=self.labels),
        }
        return [plots.save(figure, folder / f"{name}.png") for name, figure in figures.items()]

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
        from bayesinn.report import diagnosis_report

        return diagnosis_report(self, path, title=title, sections=sections)

    def __repr__(self) -> str:
        shown = {
            "sbc_p_value": "SBC p",
            "coverage_p_value": "coverage p",
            "coverage_calibration_error": "calibration error",
            "r_squared": "R2",
            "nrmse": "NRMSE",
            "contraction": "contraction",
            "sbc_reading": "",
        }
        table = self.to_dataframe()[list(shown)].rename(columns=shown)
        if not any(self.sbc.reading):
            table = table.drop(columns="")
        lines = [
            f"Diagnosis: {'passed' if self.passed else 'FAILED'} "
            f"({self.sbc.simulations} simulations, {self.sbc.draws} draws, seed {self.seed})"
        ]
        lines += [f"  {name:<10}{row.verdict:<8}{row.found}" for name, row in self.verdict.iterrows()]
        return "\n".join([*lines, "", table.to_string(float_format="%.3g")])


def diagnose_arrays(
    truth: Mapping[str, np.ndarray],
    draws: Mapping[str, np.ndarray],
    prior: Mapping[str, np.ndarray],
    labels: Labels,
    settings: Mapping[str, Any],
    seed: int,
    *,
    level: float = 0.99,
) -> Diagnosis:
    """Run every diagnostic on arrays, from whatever posterior they come.

    Parameters
    ----------
    truth : dict of name to array (n, *event)
    draws : dict of name to array (n, draws, *event)
    prior : dict of name to array (m, *event)
    labels : Labels
    settings : mapping of name to value
        Written into the report.
    seed : int
    level : float
        Probability that a right posterior passes a test.

    Returns
    -------
    Diagnosis

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> truth = generator.normal(size=300)
    >>> data = truth + generator.normal(size=300)
    >>> draws = data[:, None] / 2 + np.sqrt(0.5) * generator.normal(size=(300, 99))
    >>> diagnose_arrays({"mean": truth}, {"mean": draws}, {"mean": truth}, Labels(), {}, seed=1).passed
    True
    """
    return Diagnosis(
        sbc=sbc(truth, draws, seed=seed, level=level),
        coverage=coverage(truth, draws, seed=seed, level=level),
        recovery=recovery(truth, draws, prior),
        seed=seed,
        labels=labels,
        settings=dict(settings),
    )
