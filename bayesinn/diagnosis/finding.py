"""A check's outcome: its grade, and what the verdict, tables, figures and report say of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayesinn.core.labels import Labels
from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.report import Figure, Section
from bayesinn.diagnosis.tolerances import (
    FAMILY_ERROR,
    FLAGGED,
    OUTSIDE,
    UNDECIDED,
    WITHIN,
    Tolerances,
)
from bayesinn.diagnostics.deviation import TOGETHER, Deviation, digits

_MOST_SAID = 4
# Headings of columns that several checks share.
_HEADS = {
    "p_value": "p-value",
    "chi_square_p_value": "Histogram p-value",
    "inside": "Inside the band",
}


class Error(NamedTuple):
    """One column of a deviation with tolerance and grade; a row of :attr:`Diagnosis.errors`."""

    check: str
    measure: str
    column: str
    estimate: float
    lower: float
    upper: float
    unit: str
    tolerance: float
    grade: str
    #: so many times the simulations tell on which side of the tolerance the error lies
    factor: float
    text: str

    @property
    def size(self) -> float:
        """Largest size of the error in its interval; the smallest one if there is no largest."""
        return max(abs(self.lower), abs(self.upper)) if np.isfinite(self.upper) else abs(self.lower)

    @property
    def sentence(self) -> str:
        """The text as a sentence's beginning; a parameter's name at its head stays as it is."""
        return self.text[0].upper() + self.text[1:] if self.column in TOGETHER else self.text


@dataclass(frozen=True, eq=False)
class Finding:
    """A check with its result.

    ``family`` is the weight of all findings, which share :data:`FAMILY_ERROR`.
    """

    check: Check
    result: Any
    tolerances: Tolerances
    labels: Labels
    family: float = 0.0

    @cached_property
    def deviations(self) -> Sequence[Deviation]:
        """The measures of error."""
        return tuple(self.check.deviations(self.result))

    @property
    def weight(self) -> float:
        """Weight of each measure that may be outside, or of a result's p-value without any."""
        measures = [deviation.measure for deviation in self.deviations] or [""] * bool(
            np.isfinite(self.p_value)
        )
        return sum(self.check.weights.get(measure, 1.0) for measure in measures)

    def error(self, measure: str = "") -> float:
        """Return the probability that a measure may be outside with no error beyond tolerance."""
        return (
            FAMILY_ERROR
            * self.check.weights.get(measure, 1.0)
            / (max(self.family, self.weight) or 1.0)
        )

    @cached_property
    def errors(self) -> list[Error]:
        """All columns of all deviations, the largest share of the tolerance first."""
        return sorted(self._errors(), key=lambda error: -error.size / error.tolerance)

    @property
    def grade(self) -> str:
        """Grade: all errors ``within``, one ``outside``, one ``undecided``; empty if no test.

        The errors are compared with the tolerance.
        """
        grades = {error.grade for error in self.errors}
        if self.errors:
            return next((grade for grade in (OUTSIDE, UNDECIDED, WITHIN) if grade in grades), "")
        grade = self.check.judge(self.result)
        unsure = grade == OUTSIDE and self.p_value > self.error()
        return (FLAGGED if self.check.sentence else UNDECIDED) if unsure else grade

    @property
    def needs_draws(self) -> bool:
        """Whether more draws would decide an error that simulations don't.

        Its two bounds are far from each other.
        """
        hopeless = any(error.grade == UNDECIDED and np.isinf(error.factor) for error in self.errors)
        return hopeless and any(
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

    @property
    def found(self) -> str:
        """One line for the verdict: what is outside, by how much, or how large errors may be."""
        outside = [error.text for error in self.errors if error.grade == OUTSIDE]
        if outside:
            return "; ".join([*outside[:_MOST_SAID], *["..."] * (len(outside) > _MOST_SAID)])
        if self.grade not in (WITHIN, UNDECIDED) or not self.errors:
            return str(self.result.summary)
        largest = {error.measure: error for error in reversed(self.errors)}
        return "; ".join(_up_to(error) for error in reversed(largest.values()))

    @property
    def meaning(self) -> str:
        """What may be trusted within tolerance."""
        return self.check.meaning.replace(
            "{columns}", ", ".join(getattr(self.result, "columns", ()))
        )

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
            name: Figure(
                draw(self.result, labels=self.labels),
                self.check.captions.get(name, self.check.question),
            )
            for name, draw in self.check.figures.items()
        }

    def section(self, title: str, parameters: tuple[str, ...] = ()) -> Section:
        """Return the report's section: question, finding, table, figures; folded unless it is bad.

        It is folded unless something is wrong.

        A table with a row for each of the parameters is left out: the report has one for all
        checks.
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

    def _errors(self) -> Iterator[Error]:
        for deviation in self.deviations:
            tolerance = self.tolerances.of(deviation)
            size = deviation.simulations
            chance = self.error(deviation.measure)
            needed = deviation.simulations_needed(tolerance, chance)
            grades = self.tolerances.grades(deviation, chance)
            for index, column in enumerate(deviation.columns):
                yield Error(
                    check=self.check.name,
                    measure=deviation.measure,
                    column=column,
                    estimate=float(deviation.estimate[index]),
                    lower=float(deviation.lower[index]),
                    upper=float(deviation.upper[index]),
                    unit=deviation.unit,
                    tolerance=tolerance,
                    grade=str(grades[index]),
                    factor=float(needed[index] / size),
                    text=deviation.text(index),
                )


def _up_to(error: Error) -> str:
    where = "" if error.column in TOGETHER else f" ({error.column})"
    return f"{error.measure} at most {digits(error.size)} {error.unit}".rstrip() + where
