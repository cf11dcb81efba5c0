"""All results of the checks of one posterior: verdict, tables, figures and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from rich.text import Text

from bayesinn.core.errors import InputError
from bayesinn.core.html import table_html
from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.evidence import Evidence, optional
from bayesinn.diagnosis.observed import observed_section
from bayesinn.diagnosis.report import Section, render, save_all
from bayesinn.diagnosis.sections import (
    checks_section,
    parameters_section,
    training_section,
    verdict_picture,
)
from bayesinn.diagnosis.terminal import write_checks
from bayesinn.diagnosis.tolerances import FLAGGED, OUTSIDE, UNBOUNDED, UNDECIDED, WITHIN
from bayesinn.diagnosis.verdict import Verdict, write_list
from bayesinn.diagnostics.arrays import Arrays

_COLUMNS = ["measure", "column", "estimate", "lower", "upper", "unit", "tolerance"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Diagnosis(Verdict):
    """The results of all checks; ``diagnosis["sbc"]`` is the result of one, by its key.

    Keys are ``sbc``, ``coverage``, ``joint_coverage``, ``tarp``, ``dependence``, ``fit_to_data``,
    ``quantities``, ``latent``, ``local`` (L-C2ST), ``posterior_sbc``, ``observation``,
    ``predictive``, ``sharpness``, ``recovery``, ``information``, and those of your own checks. The
    result of a check that was not run is None.
    """

    left_out: Mapping[Check, str]  #: why checks were not run; empty where one does not apply
    evidence: Evidence
    settings: Mapping[str, Any] = field(default_factory=dict)  #: written at the end of the report
    #: simulator, network, training: the report's first line
    about: Mapping[str, str] = field(default_factory=dict)
    model: Section | None = None  #: what the report says of the simulator
    history: pd.DataFrame | None = None  #: of the training
    nats: bool = True  #: whether its loss is in nats
    methods: str = ""  #: paragraph for a paper, see :func:`bayesinn.methods_text`

    def __getitem__(self, key: str) -> Any:
        results = self.results | dict.fromkeys((check.key for check in self.left_out), None)
        if key not in results:
            raise InputError(
                f"Result {key!r} of a diagnosis",
                expected=f"one of {list(results)}",
                got=repr(key),
                do="name a check by its key",
            )
        return results[key]

    @property
    def results(self) -> dict[str, Any]:
        """The result of each check, by its key, in the order of the verdict."""
        return {finding.check.key: finding.result for finding in self.findings}

    @cached_property
    def verdict(self) -> pd.DataFrame:
        """One row for each check: grade, p-value, largest error, and a summary.

        The error has interval, unit and tolerance.
        """
        rows = {
            item.check.name: {
                "grade": item.grade,
                **item.worst.reindex(_COLUMNS, fill_value=None),
                "p_value": item.p_value,
                "allowed": item.allowed,
                "found": item.found,
            }
            for item in self.findings
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("check")

    @cached_property
    def errors(self) -> pd.DataFrame:
        """One row for each measure and column of each check.

        A row has estimate, interval, unit, tolerance and grade.
        """
        tables = [finding.errors for finding in self.findings if len(finding.errors)]
        return pd.concat(tables).drop(columns="text").set_index(["check", "measure", "column"])

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each parameter column, with the numbers of all checks by column.

        A column is named after the check's key and the column of its table: ``sbc_p_value``.
        """
        tables = [
            finding.table.rename(columns=finding.column)
            for finding in self.findings
            if finding.table is not None and tuple(finding.table.index) == self.parameters
        ]
        return pd.concat(tables, axis=1)

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
        draws: Arrays | None = None,
    ) -> Path:
        """Write the report as a self-contained HTML file; return its path.

        ``sections`` are your own, and come last. ``reference`` is shown beside the posterior of the
        observed data: draws from an exact or classical posterior, dict of name to (m, *event).
        ``draws`` replace the diagnosis' own draws from the posterior of the observed data, for
        example by published ones.
        """
        labels = self.evidence.labels
        parts = [
            checks_section(self.verdict, self._not_run),
            parameters_section(self._numbers, labels),
        ]
        at = optional(lambda: self.evidence.observation)
        if at is not None:
            ranking = self._ranking
            section = observed_section(
                at, self.evidence.prior, labels, reference, ranking, draws=draws
            )
            parts.insert(0, section)
        # Faults come first, the rest is folded away.
        order = (OUTSIDE, FLAGGED, UNDECIDED, UNBOUNDED, "", WITHIN)
        for finding in sorted(self.findings, key=lambda finding: order.index(finding.grade)):
            parts.append(finding.section(finding.check.heading, self.parameters))
        parts += sections
        parts += [] if self.model is None else [self.model]
        if self.history is not None and not self.history.empty:
            parts.append(training_section(self.history, self.nats))
        if self.methods:
            parts.append(Section("Methods", self.methods))
        name = self.about.get("Simulator", "")
        return render(
            path,
            title or (f"Posterior of {name}" if name else "Is the posterior correct?"),
            parts,
            grade=self.grade,
            text=self.text,
            picture=verdict_picture(self, labels),
            lists={"trusted": self.trusted, "doubtful": self.doubtful, "actions": self.actions},
            about=self.about,
            settings=self.settings,
            seed=self.evidence.seed,
        )

    def __repr__(self) -> str:
        return self.__rich__().plain

    def __rich__(self) -> Text:
        """Write the verdict for a terminal, in colour if it has colours."""
        grade = {WITHIN: "within tolerance", OUTSIDE: "OUTSIDE TOLERANCE"}.get(
            self.grade, self.grade
        )
        simulations, draws = self.size
        numbers = self._numbers.rename_axis(index="Parameter").to_string(float_format="%.3g")
        lines = [
            Text(
                f"Diagnosis: {grade} ({simulations:,} simulations, {draws} draws, seed "
                f"{self.evidence.seed})"
            ),
            Text(f"  {self.text}\n"),
            *write_checks(self.verdict),
            *(Text(f"  {line}") for line in self._not_run),
            Text(f"\n{numbers}"),
        ]
        return Text("\n").join(lines)

    @property
    def _ranking(self) -> list[str]:
        """The parameters, those first with the largest errors of the first check that has any."""
        found = [name for finding in self.findings for name in finding.errors["column"]]
        every = dict.fromkeys([*found, *self.parameters])
        return [name for name in every if name in self.parameters]

    def _repr_html_(self) -> str:
        simulations, draws = self.size
        rows = [(item.check.name, item.grade, item.found) for item in self.findings]
        title = f"Diagnosis: {self.grade} ({simulations:,} simulations, {draws:,} draws each)"
        table = table_html(title, ("check", "grade", "found"), rows)
        lines = "<br>".join(map(escape, [self.text, *self._not_run]))
        return f"{table}<p>{lines}</p>"

    @cached_property
    def _numbers(self) -> pd.DataFrame:
        """One row for each parameter: errors by measure, and how much the posterior knows."""
        return pd.concat([finding.overview(self.parameters) for finding in self.findings], axis=1)

    @property
    def _not_run(self) -> list[str]:
        """A sentence for each reason why checks were not run."""
        reasons = dict.fromkeys(filter(None, self.left_out.values()))
        return [
            f"{write_list([c.name for c in self.left_out if self.left_out[c] == reason])}: "
            f"not run, {reason}."
            for reason in reasons
        ]
