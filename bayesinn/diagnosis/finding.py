"""A check's outcome, from which verdict, terminal, tables, figures and report are made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bayesinn.core.labels import Labels
from bayesinn.diagnosis.check import MOST_PANELS, Check
from bayesinn.diagnosis.report import Figure, Section
from bayesinn.diagnosis.tolerances import (
    FAMILY_ERROR,
    FLAGGED,
    OUTSIDE,
    UNBOUNDED,
    UNDECIDED,
    WITHIN,
    Tolerances,
)
from bayesinn.diagnostics.deviation import TOGETHER, Deviation, digits

_MOST_SAID = 4
_ERRORS = [
    "check",
    "measure",
    "column",
    "estimate",
    "lower",
    "upper",
    "unit",
    "tolerance",
    "grade",
    "factor",
    "text",
]
# Headings of columns that several checks share.
_HEADS = {
    "p_value": "p-value",
    "chi_square_p_value": "Histogram p-value",
    "inside": "Inside the band",
}


@dataclass(frozen=True, eq=False)
class Finding:
    """A check with its result.

    ``family`` is the summed weight of all findings, which share the probability
    :data:`FAMILY_ERROR`. ``most`` is the largest number of data sets that the check can use.
    """

    check: Check
    result: Any
    tolerances: Tolerances
    labels: Labels
    family: float = 0.0
    most: float = math.inf

    @cached_property
    def deviations(self) -> Sequence[Deviation]:
        """The measures of error."""
        return tuple(self.check.deviations(self.result))

    @property
    def weight(self) -> float:
        """Sum of the weights of all measures; without measures, that of the p-value, if any."""
        measures = [deviation.measure for deviation in self.deviations]
        if not measures and np.isfinite(self.p_value):
            # The weight of a p-value has no name.
            measures = [""]
        return sum(self.check.weights.get(measure, 1.0) for measure in measures)

    def error(self, measure: str = "") -> float:
        """Return the probability that a measure may be outside with no error beyond tolerance."""
        own = self.check.weights.get(measure, 1.0)
        together = max(self.family, self.weight) or 1.0
        return FAMILY_ERROR * own / together

    @cached_property
    def errors(self) -> pd.DataFrame:
        """All columns of all measures, one a row, the largest share of the tolerance first.

        ``factor`` is the multiple of the simulations that would tell on which side of the tolerance
        an error lies.
        """
        tables = [self._grade(deviation) for deviation in self.deviations]
        if not tables:
            return pd.DataFrame(columns=_ERRORS)
        table = pd.concat(tables)
        order = np.argsort(-_sizes(table) / table["tolerance"].to_numpy(), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    def graded(self, grade: str) -> pd.DataFrame:
        """Return the errors with a grade."""
        return self.errors[self.errors["grade"] == grade]

    @property
    def grade(self) -> str:
        """Grade: all errors ``within``, one ``outside``, one ``undecided``; empty if no test.

        The errors are compared with the tolerance. With ``no upper bound`` an error may be larger
        than what was found of it.
        """
        if len(self.errors):
            grades = set(self.errors["grade"])
            worst_first = (OUTSIDE, UNDECIDED, UNBOUNDED, WITHIN)
            return next(grade for grade in worst_first if grade in grades)
        grade = self.check.judge(self.result)
        if grade == OUTSIDE and self.p_value > self.error():
            return FLAGGED if self.check.sentence else UNDECIDED
        return grade

    @property
    def _hopeless(self) -> bool:
        """Whether no number of simulations would decide an undecided error."""
        return bool(np.isinf(self.graded(UNDECIDED)["factor"].astype(float)).any())

    @property
    def at_its_limit(self) -> bool:
        """Whether an error stays undecided as the check can't use enough data sets."""
        return self._hopeless and math.isfinite(self.most)

    @property
    def needs_draws(self) -> bool:
        """Whether more draws would decide an error that more simulations don't.

        Such an error is only known to lie between two bounds, which more draws bring together.
        """
        # Where each data set costs, there are no more draws either.
        if not self._hopeless or self.at_its_limit:
            return False
        return any(
            deviation.gap > 0.0
            and np.any(deviation.gap >= 0.25 * (deviation.upper - deviation.lower))
            for deviation in self.deviations
        )

    @property
    def p_value(self) -> float:
        """One p-value for all columns together; NaN if there is none."""
        return float(
            np.min(getattr(self.result, "family_p_value", getattr(self.result, "p_value", np.nan)))
        )

    @cached_property
    def found(self) -> str:
        """One line for the verdict: what is outside, by how much, or how large errors may be."""
        outside = list(self.graded(OUTSIDE)["text"])
        if outside:
            said = outside[:_MOST_SAID]
            if len(outside) > _MOST_SAID:
                said.append("...")
            return "; ".join(said)
        if self.grade not in (WITHIN, UNDECIDED) or self.errors.empty:
            return str(self.result.summary)
        order = self.errors["measure"].drop_duplicates(keep="last")
        largest = self.errors.drop_duplicates("measure").set_index("measure", drop=False).loc[order]
        sizes = map(digits, _sizes(largest))
        return "; ".join(map(_bounded, largest.itertuples(), sizes))

    @cached_property
    def allowed(self) -> str:
        """What is allowed of each measure that :attr:`found` tells."""
        outside = self.graded(OUTSIDE)
        told = self.errors if outside.empty else outside.iloc[:_MOST_SAID]
        if self.errors.empty or (
            outside.empty and self.grade not in (WITHIN, UNDECIDED, UNBOUNDED)
        ):
            return ""
        order = "first" if len(outside) else "last"
        kinds = told.drop_duplicates("measure", keep=order)
        return "; ".join(f"{row.tolerance:g} {row.unit}".rstrip() for row in kinds.itertuples())

    @property
    def unbounded(self) -> str:
        """What is known of an error without upper bound; empty if it has one."""
        if self.grade != UNBOUNDED:
            return ""
        least = f"at least {digits(self.worst['lower'])} of {self.allowed}"
        return f"{self.check.name} has no upper bound: {least}"

    @property
    def worst(self) -> pd.Series:
        """The error that decides the grade; empty if there is none."""
        # The error that may be largest is not always one that decides the grade.
        deciding = self.graded(self.grade)
        return pd.Series(dtype=object) if deciding.empty else deciding.iloc[0]

    @property
    def sentence(self) -> str:
        """What is outside, for a headline; a parameter's name at its head stays as it is."""
        if self.grade != OUTSIDE or self.errors.empty:
            return self.found
        text = str(self.worst["text"])
        return text[0].upper() + text[1:] if self.worst["column"] in TOGETHER else text

    @property
    def meaning(self) -> str:
        """What may be trusted within tolerance."""
        columns = ", ".join(getattr(self.result, "columns", ()))
        left_out = str(getattr(self.result, "left_out", ""))
        return self.check.meaning.replace("{columns}", columns).replace("{left_out}", left_out)

    @cached_property
    def table(self) -> pd.DataFrame | None:
        """The table of numbers."""
        return self.check.table(self.result)

    def column(self, name: str) -> str:
        """Name a column of the table where those of all checks stand side by side."""
        return name if name.startswith(self.check.key) else f"{self.check.key}_{name}"

    def overview(self, parameters: tuple[str, ...]) -> pd.DataFrame:
        """Return the columns of the table of parameters, one row a parameter."""
        columns = {}
        for name, heading in self.check.overview.items():
            rows = self.errors[self.errors["measure"] == name].set_index("column")
            if len(rows):
                columns[heading] = rows["estimate"].reindex(parameters)
            elif self.table is not None and name in self.table:
                columns[heading] = self.table[name].reindex(parameters)
        return pd.DataFrame(columns, index=pd.Index(parameters, name="Parameter"))

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """All figures by name, drawn once; of many columns, those with the largest errors."""
        options: dict[str, Any] = {"labels": self.labels}
        if self.check.tolerances_drawn:
            options["errors"] = self.errors
        note = ""
        if self.check.panels and len(self.result.columns) > MOST_PANELS:
            options["shown"] = self.ranking[:MOST_PANELS]
            note = write_choice(options["shown"], len(self.result.columns))
        return {
            name: Figure(
                draw(self.result, **options),
                self.check.captions.get(name, self.check.question) + note,
            )
            for name, draw in self.check.figures.items()
        }

    @property
    def ranking(self) -> list[str]:
        """The columns of the result, those with the largest errors first."""
        columns = set(self.result.columns)
        ranked = dict.fromkeys((*self.errors["column"], *self.result.ranking))
        return [name for name in ranked if name in columns]

    def section(self, title: str, parameters: tuple[str, ...] = ()) -> Section:
        """Return the report's section: question, finding, table, figures.

        The section is folded unless something is wrong. A table with a row for each of the
        parameters is left out: the report has one for all checks.
        """
        source = f" ({self.check.reference}.)" if self.check.reference else ""
        table = self.table
        if table is not None and tuple(table.index) == parameters:
            table = None
        if table is not None:
            heads = {name: str(name).replace("_", " ").capitalize() for name in table} | _HEADS
            table = table.rename(columns=heads | dict(self.check.heads))
            table = table.rename_axis([str(name).capitalize() for name in table.index.names])
        text = f"{self.check.question}{source}\n\nFound: {self.found}."
        figures = [*self.figures.values()]
        folded = self.grade not in (OUTSIDE, FLAGGED)
        return Section(title, text, table, figures, self.labels, folded)

    def _grade(self, deviation: Deviation) -> pd.DataFrame:
        """Compare a measure with its tolerance."""
        tolerance = self.tolerances.of(deviation)
        chance = self.error(deviation.measure)
        needed = deviation.simulations_needed(tolerance, chance)
        factor = np.where(needed > self.most, np.inf, needed) / deviation.simulations
        values = {
            "check": self.check.name,
            "measure": deviation.measure,
            "column": list(deviation.columns),
            "estimate": deviation.estimate.astype(float),
            "lower": deviation.lower.astype(float),
            "upper": deviation.upper.astype(float),
            "unit": deviation.unit,
            "tolerance": tolerance,
            "grade": self.tolerances.grades(deviation, chance),
            "factor": factor,
            "text": list(map(deviation.text, range(len(deviation.columns)))),
        }
        return pd.DataFrame(values)[_ERRORS]


def write_choice(shown: Sequence[str], count: int) -> str:
    """Say in a caption which of ``count`` columns are drawn."""
    return (
        f" Drawn are {len(shown)} of {count}, the worst: {', '.join(shown)}; the tables have the "
        f"other {count - len(shown)}, too."
    )


def _sizes(errors: pd.DataFrame) -> np.ndarray:
    """Return the largest size of each error in its interval; the smallest if there is none."""
    lower = errors["lower"].to_numpy(float)
    upper = errors["upper"].to_numpy(float)
    largest = np.maximum(abs(lower), abs(upper))
    smallest = np.where(np.sign(lower) == np.sign(upper), np.minimum(abs(lower), abs(upper)), 0.0)
    return np.where(np.isfinite(largest), largest, smallest)


def _bounded(error: Any, size: str) -> str:
    bound = "at most" if np.isfinite([error.lower, error.upper]).all() else "at least"
    where = "" if error.column in TOGETHER else f" ({error.column})"
    return f"{error.measure} {bound} {size} {error.unit}".rstrip() + where
