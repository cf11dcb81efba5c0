"""Everything that the checks found about one posterior: verdict, tables, figures and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import xarray

from bayesinn import plots
from bayesinn.diagnosis.check import GROUPS, Check
from bayesinn.diagnosis.evidence import Arrays, Evidence
from bayesinn.diagnosis.finding import Finding
from bayesinn.diagnosis.observed import observed_section
from bayesinn.diagnosis.report import Figure, Section, Verdict, render, save_all
from bayesinn.diagnosis.tolerances import (
    FAMILY_ERROR,
    FLAGGED,
    OUTSIDE,
    UNDECIDED,
    WITHIN,
    Tolerances,
)
from bayesinn.diagnosis.verdict import Again, Judgement, not_run, take

#: Columns of the table of parameters: key of a check and column of its table, and their headings.
_OVERVIEW = {
    "recovery_r_squared": "R²",
    "recovery_contraction": "Contraction",
    "information_gain": "Nats gained",
}
_MEASURES = {
    "shift": "Shift [sd]",
    "error of spread": "Error of spread [%]",
    "coverage error": "Coverage error [points]",
}


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What the checks found.

    The result of each check is an attribute under the check's key: ``sbc``, ``coverage``,
    ``joint_coverage``, ``tarp``, ``dependence``, ``fit_to_data``, ``quantities``, ``latent``,
    ``local`` (L-C2ST), ``posterior_sbc``, ``observation``, ``predictive``, ``sharpness``,
    ``recovery``, ``information``, and those of your own checks. It is None where the check was not
    run.
    """

    findings: Sequence[Finding]
    left_out: Mapping[Check, str]  #: why checks were not run; empty where one does not apply
    parameters: tuple[str, ...]  #: names of their columns
    evidence: Evidence
    tolerances: Tolerances
    size: tuple[int, ...]  #: numbers of data sets and of posterior draws for each
    settings: Mapping[str, Any] = field(default_factory=dict)  #: written at the end of the report
    #: simulator, network, training: the report's first line
    about: Mapping[str, str] = field(default_factory=dict)
    history: pd.DataFrame | None = None  #: of the training
    nats: bool = True  #: whether its loss is in nats
    again: Again = take  #: writes the call or command that diagnoses anew with another number

    def __getattr__(self, name: str) -> Any:
        # Copying looks up special methods before the findings are set.
        results = (
            {}
            if name.startswith("_")
            else {check.key: None for check in self.left_out} | self.results
        )
        if name not in results:
            raise AttributeError(f"Diagnosis has no result {name!r}; it has {list(results)}")
        return results[name]

    @property
    def results(self) -> dict[str, Any]:
        """The result of each check, by its key, in the order of the verdict."""
        return {finding.check.key: finding.result for finding in self.findings}

    @property
    def judgement(self) -> Judgement:
        """What all findings say together."""
        simulations, draws = self.size
        return Judgement(
            self.findings, self.parameters, self.tolerances, simulations, draws, self.again
        )

    @property
    def grade(self) -> str:
        """``within`` tolerance, ``outside``, or ``undecided``: more simulations would tell."""
        return self.judgement.grade

    @property
    def outside(self) -> tuple[str, ...]:
        """Names of the checks that found an error outside tolerance."""
        return self.judgement.outside

    @property
    def advice(self) -> Verdict:
        """The headline; what to trust, what not, and what to do."""
        return self.judgement.verdict()

    @cached_property
    def verdict(self) -> pd.DataFrame:
        """One row a check: grade, p-value, largest error, and what was found.

        The error comes with interval, unit and tolerance.
        """
        rows = {}
        for item in self.findings:
            # The error that may be largest is not always one that decides the grade.
            worst = next(
                (error._asdict() for error in item.errors if error.grade == item.grade), {}
            )
            names = "measure", "column", "estimate", "lower", "upper", "unit", "tolerance"
            numbers = {name: worst.get(name) for name in names} | {"p_value": item.p_value}
            rows[item.check.name] = {"grade": item.grade, **numbers, "found": item.found}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("check")

    @cached_property
    def errors(self) -> pd.DataFrame:
        """One row a column of each check's measure: estimate, interval, unit, tolerance, grade.

        There is one for each measure of each check.
        """
        rows = [error._asdict() for finding in self.findings for error in finding.errors]
        return pd.DataFrame(rows).drop(columns="text").set_index(["check", "measure", "column"])

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each parameter column, with the numbers of all checks of single columns.

        A column is named after the check's key and the column of its table: ``sbc_p_value``.
        """
        tables = [
            finding.table.rename(columns=finding.column)
            for finding in self.findings
            if finding.table is not None and tuple(finding.table.index) == self.parameters
        ]
        return pd.concat(tables, axis=1)

    def to_datatree(self) -> xarray.DataTree:
        """PIT values for ArviZ in the group ``prior_sbc``.

        Plot them with ``arviz_plots.plot_ecdf_pit(diagnosis.to_datatree())``.
        """
        values = {
            name: self.sbc.values[None, :, index] for index, name in enumerate(self.sbc.columns)
        }
        return az.from_dict({"prior_sbc": values})

    def plot(self, folder: str | Path) -> list[Path]:
        """Write every figure as PNG into ``folder``, made if need be, and return the paths."""
        return save_all(
            (item for finding in self.findings for item in finding.figures.items()), folder
        )

    def to_html(
        self,
        path: str | Path,
        *,
        title: str = "",
        sections: Sequence[Section] = (),
        reference: Arrays | None = None,
    ) -> Path:
        """Write the report as a self-contained HTML file, own sections last; return its path.

        These are your own sections.

        ``reference``, draws from an exact or classical posterior of the observed data, dict of name
        to (m, *event), is shown beside the posterior of the observed data.
        """
        at = self.evidence.observation
        labels = self.evidence.labels
        first = [] if at is None else [observed_section(at, self.evidence.prior, labels, reference)]
        # What is wrong comes first, the rest is folded away.
        order = (OUTSIDE, FLAGGED, UNDECIDED, "", WITHIN)
        own = [
            finding.section(f"{GROUPS[finding.check.group]}: {finding.check.name}", self.parameters)
            for finding in sorted(self.findings, key=lambda finding: order.index(finding.grade))
        ]
        if self.history is not None and not self.history.empty:
            loss = "Loss: mean of -log q(parameters | data), in nats." if self.nats else "Loss."
            caption = f"{loss} It flattens as the learning rate decays."
            figure = plots.loss(self.history, nats=self.nats)
            training = Section("Training", "", figures=[Figure(figure, caption)], folded=True)
            sections = [*sections, training]
        name = self.about.get("Simulator", "")
        return render(
            path,
            title or (f"Posterior of {name}" if name else "Is the posterior correct?"),
            [*first, self._checks(), self._overview(), *own, *sections],
            verdict=self.advice,
            about=self.about,
            settings=self.settings,
            seed=self.evidence.seed,
        )

    def __repr__(self) -> str:
        grade = {"within": "within tolerance", "outside": "OUTSIDE TOLERANCE"}.get(
            self.grade, self.grade
        )
        lines = [
            f"Diagnosis: {grade} ({self.size[0]:,} simulations, {self.size[1]} draws, seed "
            f"{self.evidence.seed})"
        ]
        lines += [f"  {self.advice.text}", ""]
        width = max(len(finding.check.name) for finding in self.findings) + 2
        lines += [
            f"  {item.check.name:<{width}}{item.grade:<11}{item.found}" for item in self.findings
        ]
        lines += [f"  {line}" for line in not_run(self.left_out)]
        return "\n".join([*lines, "", self._numbers().to_string(float_format="%.3g")])

    def _numbers(self) -> pd.DataFrame:
        """Return one row a parameter: errors by measure, and how much the posterior knows."""
        errors = self.errors.reset_index()
        errors = errors[
            errors["check"].isin(["SBC", "coverage"]) & errors["measure"].isin(list(_MEASURES))
        ]
        table = errors.pivot(index="column", columns="measure", values="estimate").reindex(
            self.parameters
        )
        table = table[[name for name in _MEASURES if name in table]].rename(columns=_MEASURES)
        known = self.to_dataframe()
        known = known[[name for name in _OVERVIEW if name in known]].rename(columns=_OVERVIEW)
        return table.join(known).rename_axis(index="Parameter", columns=None)

    def _overview(self) -> Section:
        text = (
            "Errors over the whole prior: how far posteriors lie from the truth, in their "
            "standard deviations "
            "(positive: too low); how much wider truths scatter than posteriors say (positive: "
            "posteriors too narrow); "
            "the largest error of coverage. R², contraction (1 - posterior variance / prior "
            "variance) and nats gained "
            "say how much the data tell."
        )
        table = self._numbers().apply(
            lambda column: column.round(3 if column.abs().max() < 10.0 else 1)
        )
        return Section("Parameters", text, table=table, labels=self.evidence.labels)

    def _checks(self) -> Section:
        table = self.verdict[["grade", "p_value", "found"]].copy()
        # As exact as a rule about p-values needs it.
        table["p_value"] = [
            f"{value:.2g}" if np.isfinite(value) else "" for value in table["p_value"]
        ]
        text = (
            "Parameters were drawn from the prior, data sets simulated from them, and the "
            "posterior of each data set "
            "compared with the parameters that made it. A check is within tolerance if the whole "
            "interval of each "
            "error is, outside if one is larger than its tolerance for sure, and otherwise "
            "undecided. For sure means: "
            f"a posterior without any such error has one check outside, of all checks, in "
            f"{100 * FAMILY_ERROR:g} % of "
            "diagnoses at most. The p-value is the probability that a correct posterior would do "
            "as badly; it gets "
            "small for small errors, too, if there are many simulations."
        )
        heads = {"grade": "Tolerance", "p_value": "p-value", "found": "Found"}
        table = table.rename(columns=heads).rename_axis("Check")
        return Section("Checks", "\n\n".join([text, *not_run(self.left_out)]), table=table)
