"""The outcome of a check: what the verdict, the tables, the figures and the report say of it, and what it means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bayesinn.core.labels import Labels
from bayesinn.diagnostics.tested import Effect, Tested
from bayesinn.workflow.check import Check
from bayesinn.workflow.report import Figure, Section, Verdict

_MOST_READINGS = 5
# Headings of columns that several checks share.
_HEADS = {
    "p_value": "p-value",
    "chi_square_p_value": "Histogram p-value",
    "inside": "Inside the band",
    "reading": "What it means",
}


@dataclass(frozen=True, eq=False)
class Finding:
    """A check with its result."""

    check: Check
    result: Any
    verdict: str  #: "passed", "doubtful", "FAILED", or empty where the check is no test
    labels: Labels

    @property
    def p_value(self) -> float:
        """One p-value for all columns together; NaN if there is none."""
        return float(np.min(getattr(self.result, "family_p_value", getattr(self.result, "p_value", np.nan))))

    @property
    def effect(self) -> Effect:
        """The effect size; NaN if there is none."""
        return Effect(*(self.check.effect(self.result) or ("", float("nan"), "")))

    @property
    def effect_text(self) -> str:
        """The effect size as text."""
        return str(self.effect) if np.isfinite(self.effect.value) else ""

    @property
    def found(self) -> str:
        """One line for the verdict; it names the columns that fail, and says how if the result can tell."""
        readings = getattr(self.result, "reading", ()) if self.verdict in ("doubtful", "FAILED") else ()
        pairs = zip(getattr(self.result, "columns", ()), readings, strict=False)
        said = [f"{column}: {text}" for column, text in pairs if text]
        return "; ".join([*said[:_MOST_READINGS], *["..."] * (len(said) > _MOST_READINGS), self.result.summary])

    @property
    def meaning(self) -> str:
        """What may be trusted if the check passes."""
        return self.check.meaning.replace("{columns}", ", ".join(getattr(self.result, "columns", ())))

    @cached_property
    def table(self) -> pd.DataFrame | None:
        """The table of numbers."""
        return self.check.table(self.result)

    def column(self, name: str) -> str:
        """Name a column of the table where those of all checks stand side by side."""
        return name if name.startswith(self.check.key) else f"{self.check.key}_{name}"

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """All figures by name, drawn once."""
        return {
            name: Figure(draw(self.result, labels=self.labels), self.check.captions.get(name, self.check.question))
            for name, draw in self.check.figures.items()
        }

    def section(self, title: str) -> Section:
        """Return the section of the report: question, finding, table and figures."""
        source = f" ({self.check.reference}.)" if self.check.reference else ""
        effect = f" Effect size: {self.effect_text}." if self.effect_text else ""
        table = self.table
        if table is not None:
            # An empty column of readings is left out.
            table = table.drop(columns=[name for name in table if name == "reading" and not table[name].any()])
            heads = {name: str(name).replace("_", " ").capitalize() for name in table} | _HEADS
            table = table.rename(columns=heads | dict(self.check.heads))
            table = table.rename_axis([str(name).capitalize() for name in table.index.names])
        text = f"{self.check.question}{source}\n\nFound: {self.found}.{effect}"
        return Section(title, text, table=table, labels=self.labels, figures=[*self.figures.values()])


def advice(findings: Sequence[Finding], size: str) -> Verdict:
    """Return what to trust, what not, and what to do; ``size`` says how many simulations there were."""
    failed = {finding.check.name for finding in findings if finding.verdict == "FAILED"}
    trusted, doubtful, actions = [], [], []
    for finding in findings:
        # If a check that this one relies on has failed, only the remedy of that one is given.
        alone = failed.isdisjoint(finding.check.relies_on)
        if finding.verdict == "passed" and alone:
            trusted.append(finding.meaning)
        elif finding.verdict in ("doubtful", "FAILED"):
            word = "failed" if finding.verdict == "FAILED" else "is doubtful"
            doubtful.append(f"{finding.check.name} {word}: {finding.found}.")
            actions.append(finding.check.remedy if alone else "")
    if any(finding.verdict == "doubtful" and isinstance(finding.result, Tested) for finding in findings):
        actions.append("Doubtful tests: diagnose once more with another seed and more simulations.")
    says = [finding.check.sentence(finding.result) for finding in findings if finding.check.sentence]
    guilty = [item.check.name for item in findings if item.verdict == "FAILED" and not item.check.sentence]
    text = f"The posterior is calibrated, as far as {size} can tell."
    if guilty:
        text = f"The posterior is not correct: {listed(guilty)} failed, over {size}."
    lists = ([entry for entry in dict.fromkeys(entries) if entry] for entries in (trusted, doubtful, actions))
    return Verdict(not failed, " ".join([text, *says]), *lists)


def not_run(left_out: Mapping[Check, str]) -> list[str]:
    """Return a sentence for each reason why checks were not run."""
    reasons = dict.fromkeys(filter(None, left_out.values()))
    return [f"{listed([c.name for c in left_out if left_out[c] == reason])}: not run, {reason}." for reason in reasons]


def listed(names: Sequence[str]) -> str:
    """Write names as a list in words: "SBC, TARP and coverage"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
