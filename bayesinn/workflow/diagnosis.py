"""Everything that the checks found about one posterior: verdict, tables, figures and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import arviz as az
import pandas as pd
import xarray

from bayesinn.workflow.check import GROUPS, Check
from bayesinn.workflow.finding import Finding, advice, not_run
from bayesinn.workflow.report import Section, Verdict, render, save_all


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What the checks found.

    The result of each check is an attribute under the check's key: ``sbc``, ``coverage``, ``joint_coverage``, ``tarp``,
    ``dependence``, ``quantities``, ``latent``, ``local`` (L-C2ST), ``posterior_sbc``, ``observation``, ``predictive``,
    ``recovery``, ``information``, and those of your own checks. It is None where the check was not run.
    """

    findings: Sequence[Finding]
    left_out: Mapping[Check, str]  #: why checks were not run; empty where one does not apply
    parameters: tuple[str, ...]  #: names of their columns
    size: tuple[int, ...]  #: numbers of data sets and of posterior draws for each
    seed: int
    level: float  #: probability that a correct posterior passes a test
    settings: Mapping[str, Any]  #: written at the end of the report

    def __getattr__(self, name: str) -> Any:
        # Copying looks up special methods before the findings are set.
        results = {} if name.startswith("_") else {check.key: None for check in self.left_out} | self.results
        if name not in results:
            raise AttributeError(f"Diagnosis has no result {name!r}; it has {list(results)}")
        return results[name]

    @property
    def results(self) -> dict[str, Any]:
        """The result of each check, by its key, in the order of the verdict."""
        return {finding.check.key: finding.result for finding in self.findings}

    @cached_property
    def verdict(self) -> pd.DataFrame:
        """One row a check: verdict (see :func:`bayesinn.workflow.check.judge`), p-value, effect and what was found."""
        rows = {item.check.name: (item.verdict, item.p_value, *item.effect, item.found) for item in self.findings}
        heads = ["verdict", "p_value", "effect", "effect_size", "unit", "found"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=heads).rename_axis("test")

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(finding.check.name for finding in self.findings if finding.verdict == "FAILED")

    @property
    def passed(self) -> bool:
        """No check has failed; a correct posterior fails with a probability of up to 1 - level for each group."""
        return not self.failed

    def to_dataframe(self) -> pd.DataFrame:
        """One row a column of parameters, with the numbers of all checks that look at single columns.

        A column is named after the check's key and the column of its table: ``sbc_p_value``.
        """
        tables = [
            finding.table.rename(columns=finding.column)
            for finding in self.findings
            if finding.table is not None and tuple(finding.table.index) == self.parameters
        ]
        return pd.concat(tables, axis=1)

    def to_datatree(self) -> xarray.DataTree:
        """PIT values for ArviZ, in the group ``prior_sbc``: ``arviz_plots.plot_ecdf_pit(diagnosis.to_datatree())``."""
        values = {name: self.sbc.values[None, :, index] for index, name in enumerate(self.sbc.columns)}
        return az.from_dict({"prior_sbc": values})

    def plot(self, folder: str | Path) -> list[Path]:
        """Write every figure as PNG into ``folder``, which is made if need be, and return the paths."""
        return save_all((item for finding in self.findings for item in finding.figures.items()), folder)

    def advice(self) -> Verdict:
        """Return what to trust, what not, and what to do."""
        return advice(self.findings, f"{self.size[0]:,} simulated data sets with {self.size[1]:,} posterior draws each")

    def to_html(
        self, path: str | Path, *, title: str = "Is the posterior correct?", sections: Sequence[Section] = ()
    ) -> Path:
        """Write the report as one self-contained HTML file, your own sections last, and return its path."""
        # Checks around the observation come first.
        findings = sorted(self.findings, key=lambda finding: finding.check.group != "around the observation")
        own = [finding.section(f"{GROUPS[finding.check.group]}: {finding.check.name}") for finding in findings]
        sections = [self._tests(), *own, *sections]
        return render(path, title, sections, verdict=self.advice(), settings=self.settings, seed=self.seed)

    def __repr__(self) -> str:
        size = f"{self.size[0]} simulations, {self.size[1]} draws, seed {self.seed}"
        lines = [f"Diagnosis: {'passed' if self.passed else 'FAILED'} ({size})"]
        width = max(len(finding.check.name) for finding in self.findings) + 2
        for item in self.findings:
            effect = f"; {item.effect_text}" if item.verdict in ("doubtful", "FAILED") and item.effect_text else ""
            lines.append(f"  {item.check.name:<{width}}{item.verdict:<10}{item.found}{effect}")
        lines += [f"  {line}" for line in not_run(self.left_out)]
        return "\n".join([*lines, "", self._shown().to_string(float_format="%.3g")])

    def _shown(self) -> pd.DataFrame:
        """Return the columns of the table that fit on a terminal, columns of words last."""
        heads = {finding.column(name): head for finding in self.findings for name, head in finding.check.shown.items()}
        table = self.to_dataframe()
        table = table[[name for name in heads if name in table and (heads[name] or table[name].any())]]
        numbers = table.select_dtypes("number")
        return numbers.join(table.drop(columns=numbers)).rename(columns=heads)

    def _tests(self) -> Section:
        table = self.verdict.drop(columns=["effect", "effect_size", "unit"])
        table.insert(2, "Effect", [finding.effect_text for finding in self.findings])
        text = (
            "Parameters were drawn from the prior, data sets simulated from them, and the posterior of each data set "
            "compared with the parameters that made it. The p-value is the probability that a correct posterior would "
            f"do as badly in any column of a test. Below {1.0 - self.level:.2g} a test is doubtful; if that stays true "
            "when the number of tests is allowed for (Bonferroni), it has failed."
        )
        heads = {"verdict": "Verdict", "p_value": "p-value", "found": "Found"}
        table = table.rename(columns=heads).rename_axis("Check")
        return Section("Tests", "\n\n".join([text, *not_run(self.left_out)]), table=table)
