"""The verdict: errors of a posterior, missing simulations, what to trust, what to do."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from rich.text import Text

from bayesinn.core.labels import Labels
from bayesinn.diagnosis.check import (
    FAMILY_ERROR,
    FLAGGED,
    MOST_PANELS,
    OUTSIDE,
    UNBOUNDED,
    UNDECIDED,
    WITHIN,
    Check,
    Tolerances,
)
from bayesinn.diagnosis.evidence import part_of
from bayesinn.diagnosis.report import Figure, Section
from bayesinn.diagnostics.deviation import CONFIDENCE, TOGETHER, Deviation, digits
from bayesinn.plots.verdict import shares

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


# At least so many times the simulations are advised.
_LEAST_FACTOR = 1.5
# What to do where no number of simulations decides.
_HOPELESS = "train for longer, or declare bi.diagnosis.Tolerances(...)"

#: Takes the name of an argument and a number; writes the call or command that repeats the diagnosis
#: with it.
Again = Callable[[str, int], str]


def name_number(name: str, value: int) -> str:
    """Name a number, where the call or command that diagnosed is not known."""
    return f"take {value:,} {name}"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Verdict:
    """The joint result of all findings."""

    findings: Sequence[Finding]  #: one a check, in the order of the verdict
    parameters: tuple[str, ...]  #: names of their columns
    tolerances: Tolerances
    size: tuple[int, int]  #: numbers of data sets and of posterior draws for each
    #: writes the call or command that diagnoses anew with another number
    again: Again = name_number
    unfinished: str = ""  #: what the training lacks, in a sentence

    @cached_property
    def outside(self) -> tuple[str, ...]:
        """Names of the checks that found an error outside tolerance."""
        return tuple(finding.check.name for finding in self.findings if finding.grade == OUTSIDE)

    @cached_property
    def undecided(self) -> tuple[str, ...]:
        """Names of the checks with errors that may lie on either side of their tolerances."""
        return tuple(finding.check.name for finding in self.findings if finding.grade == UNDECIDED)

    @property
    def decides(self) -> str:
        """The undecided checks, and what would decide them; empty if there are none."""
        if not self.undecided or (self.knows_nothing and not self.outside):
            return ""
        judged = sum(bool(finding.grade) for finding in self.findings)
        count = len(self.undecided)
        words = "is undecided" if count == 1 else "are undecided"
        head = f"{count} of {judged} checks {words}: {write_list(self.undecided)}."
        return f"{head} {self._what_decides}".rstrip()

    @cached_property
    def grade(self) -> str:
        """``within`` tolerance, ``outside``, or ``undecided``: more simulations would decide.

        It is ``outside`` if one check is; else ``undecided`` if one is, or if the posterior knows
        no more than the prior.
        """
        if self.outside:
            return OUTSIDE
        grades = {finding.grade for finding in self.findings}
        sure = WITHIN in grades and UNDECIDED not in grades and not self.knows_nothing
        return WITHIN if sure else UNDECIDED

    @cached_property
    def unlearnt(self) -> tuple[str, ...]:
        """Parameters about which the posterior knows nothing, according to the checks that tell."""
        nats = self.tolerances.information
        return tuple(
            name
            for finding in self.findings
            if finding.check.unlearnt
            for name in finding.check.unlearnt(finding.result, nats)
        )

    @cached_property
    def learnt_together(self) -> bool | None:
        """Whether the posterior knows something about all parameters together; None if untold.

        It may, with nothing known about any of them by itself: two phases with a known sum.
        """
        nats = self.tolerances.information
        told = [
            finding.check.learnt_together(finding.result, nats)
            for finding in self.findings
            if finding.check.learnt_together
        ]
        if True in told:
            return True
        return False if False in told else None

    @property
    def knows_nothing(self) -> bool:
        """Whether the posterior knows nothing about any parameter, nor surely about all together.

        Where only single parameters can be told, :attr:`scope` says so.
        """
        return set(self.unlearnt) >= set(self.parameters) and not self.learnt_together

    @property
    def scope(self) -> str:
        """What a posterior that knows nothing is compared with the prior in, to begin a sentence.

        It is empty if that is everything.
        """
        single = self.learnt_together is None and len(self.parameters) > 1
        return "about each parameter by itself, " if single else ""

    @property
    def simulations_needed(self) -> float:
        """Number of simulations that would decide the undecided checks.

        It is inf if no number would decide them, or if no check is undecided.
        """
        return self._simulations_needed_by(self.findings)

    def _simulations_needed_by(self, findings: Iterable[Finding]) -> float:
        numbers = [
            self._simulations_for(finding, float(factor))
            for finding in findings
            for factor in finding.graded(UNDECIDED)["factor"]
        ]
        return max(numbers, default=math.inf)

    def _simulations_for(self, finding: Finding, factor: float) -> float:
        """Return how many simulations give a check ``factor`` times its present data sets."""
        simulations, _ = self.size
        if not finding.check.part or not math.isfinite(factor):
            return simulations * factor
        number = math.ceil(part_of(simulations) * factor)
        return number if part_of(number) == number else 4 * number

    @property
    def trusted(self) -> list[str]:
        """What can be trusted."""
        sure = (finding for finding in self.findings if finding.grade == WITHIN)
        return _distinct(finding.meaning for finding in sure if self._stands_alone(finding))

    @property
    def doubtful(self) -> list[str]:
        """What can't be trusted."""
        entries = [f"{finding.check.name}: {finding.found}." for finding in self._wrong]
        # Some error is there for sure, and it may be larger.
        unbounded = [
            f"{finding.unbounded}."
            for finding in self.findings
            if finding.grade == UNBOUNDED and finding.worst["lower"] > 0.0
        ]
        return _distinct([*entries, *unbounded, self._unlearnt, self.unfinished])

    @property
    def actions(self) -> list[str]:
        """What to do, in this order."""
        remedies = [finding.check.remedy for finding in self._wrong if self._stands_alone(finding)]
        longer = "Train for longer: the loss still falls." if self.unfinished else ""
        return _distinct([longer, *remedies, self._what_decides if self.decides else ""])

    @property
    def _wrong(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.grade in (OUTSIDE, FLAGGED)]

    def _stands_alone(self, finding: Finding) -> bool:
        """Tell whether no check that this one relies on is outside; else only its remedy counts."""
        return set(self.outside).isdisjoint(finding.check.relies_on)

    @property
    def text(self) -> str:
        """The headline: one or two sentences."""
        sentences = (
            finding.check.sentence(finding.result)
            for finding in self.findings
            if finding.check.sentence
        )
        undecided = self.decides if self.outside else ""
        unbounded = (f"{finding.unbounded}." for finding in self.findings if finding.unbounded)
        parts = [self._first.rstrip(), *unbounded, *sentences, undecided, self.unfinished]
        return " ".join(filter(None, parts))

    @property
    def _first(self) -> str:
        simulations, draws = self.size
        size = f"{simulations:,} simulated data sets with {draws:,} posterior draws each"
        guilty = [
            finding
            for finding in self.findings
            if finding.grade == OUTSIDE and not finding.check.sentence
        ]
        if guilty:
            names = write_list([finding.check.name for finding in guilty])
            return (
                f"Errors are larger than their tolerances in {names}, over {size}. "
                f"{guilty[0].sentence}."
            )
        if self.knows_nothing:
            first = f"{self.scope}the posterior is no more than the prior."
            return (
                f"{first[0].upper()}{first[1:]} Either the data say nothing about the "
                "parameters, or the network has not learnt it: compare with a longer training."
            )
        if self.outside:
            undecided = any(finding.grade == UNDECIDED for finding in self.findings)
            grade = "undecided" if undecided else "within tolerance"
            return f"The posterior itself is {grade}, over {size}."
        if self.grade == UNDECIDED:
            whether = "whether all errors are within tolerance"
            told = (
                f"{size} are too few to tell {whether}."
                if self.too_few
                else f"It can't be told {whether}, over {size}."
            )
            return f"{told} {self._what_decides}"
        # An error without upper bound is compared with its tolerance from below alone.
        unbounded = any(not finding.graded(UNBOUNDED).empty for finding in self.findings)
        which = "each error that has an upper bound" if unbounded else "each error"
        return (
            f"The {100 * CONFIDENCE:g} % interval of {which} lies within its tolerance, "
            f"over {size}. {self._unlearnt}"
        )

    @property
    def too_few(self) -> bool:
        """Whether more simulations or draws would decide an undecided check."""
        undecided = self._undecided_by_number
        more_draws = any(finding.needs_draws for finding in undecided)
        return more_draws or math.isfinite(self._simulations_needed_by(undecided))

    @property
    def _undecided_by_number(self) -> list[Finding]:
        """Findings with undecided errors, without those that can't use enough data sets."""
        return [
            finding
            for finding in self.findings
            if not finding.graded(UNDECIDED).empty and not finding.at_its_limit
        ]

    @property
    def _what_decides(self) -> str:
        limits = [
            f"{finding.check.name} uses {finding.most:,.0f} data sets at most"
            for finding in self.findings
            if finding.at_its_limit
        ]
        if not limits:
            return self._advice
        limited = f"As densities are integrals, {write_list(limits)}: {_HOPELESS}."
        return f"{limited} {self._advice}".rstrip()

    @property
    def _advice(self) -> str:
        """How many more simulations or draws would tell; empty if that is no question."""
        undecided = self._undecided_by_number
        if not undecided:
            return ""
        simulations, draws = self.size
        if any(finding.needs_draws for finding in undecided):
            return f"The bounds of an error are too far apart: {self.again('draws', 4 * draws)}."
        number = self._simulations_needed_by(undecided)
        if math.isinf(number):
            return f"Some errors are about as large as their tolerances: {_HOPELESS}."
        # A few more would as likely leave it undecided again.
        number = max(number, _LEAST_FACTOR * simulations)
        # Two digits, rounded up.
        unit = 10.0 ** max(math.floor(math.log10(number)) - 1, 0)
        total = int(math.ceil(number / unit) * unit)
        return (
            f"About {total - simulations:,} more simulations would tell: "
            f"{self.again('simulations', total)}."
        )

    @property
    def _unlearnt(self) -> str:
        if not self.unlearnt:
            return ""
        known = ""
        if self.learnt_together and set(self.unlearnt) >= set(self.parameters):
            known = " Something is known about the parameters together."
        by_itself = ", each by itself" if known else ""
        return (
            f"The posterior knows nothing about {write_list(self.unlearnt)}{by_itself}: it is "
            f"about as wide as the prior.{known}"
        )


def write_list(names: Sequence[str]) -> str:
    """Write names as a list in words: "SBC, TARP and coverage"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _distinct(entries: Iterable[str]) -> list[str]:
    """Return texts that aren't empty, each once."""
    return [entry for entry in dict.fromkeys(entries) if entry]


# A letter stands for so many of the tolerance; the bar reaches twice as far as is allowed.
_HALF = 10
_PER_TOLERANCE = 5
_STYLES = {
    WITHIN: "blue",
    UNDECIDED: "yellow",
    UNBOUNDED: "yellow",
    OUTSIDE: "bold red",
    FLAGGED: "bold red",
    "": "dim",
}
_MARKS = {WITHIN: "\N{BLACK CIRCLE}", OUTSIDE: "\N{HEAVY BALLOT X}"}


def bar(interval: np.ndarray, grade: str) -> str:
    """Draw estimate, lower and upper end (3,), over the tolerance, in 21 letters.

    The two vertical lines mark the tolerance.

    >>> bar(np.array([0.2, -0.4, 0.6]), "within")
    '·····│··━━━●━━·│·····'
    """
    letters = ["\N{MIDDLE DOT}"] * (2 * _HALF + 1)
    if not np.isfinite(interval[0]):
        return " " * len(letters)
    places = _HALF + np.rint(_PER_TOLERANCE * np.clip(interval, -9.0, 9.0)).astype(int)
    middle, low, high = np.clip(places, 0, 2 * _HALF)
    letters[low : high + 1] = ["\N{BOX DRAWINGS HEAVY HORIZONTAL}"] * (high + 1 - low)
    for end in (-_PER_TOLERANCE, _PER_TOLERANCE):
        letters[_HALF + end] = "\N{BOX DRAWINGS LIGHT VERTICAL}"
    letters[middle] = _MARKS.get(grade, "\N{BLACK DIAMOND}")
    if places[1] < 0:
        letters[0] = "\N{BLACK LEFT-POINTING TRIANGLE}"
    if places[2] > 2 * _HALF:
        letters[-1] = "\N{BLACK RIGHT-POINTING TRIANGLE}"
    return "".join(letters)


def write_checks(verdict: pd.DataFrame) -> Sequence[Text]:
    """Write a line for each check: name, grade, bar, what was found and what is allowed."""
    width = max(map(len, verdict.index)) + 2
    longest = max(9, *map(len, verdict["grade"])) + 2
    bars = shares(verdict)
    lines = []
    for interval, (name, row) in zip(bars, verdict.iterrows(), strict=True):
        style = _STYLES[row["grade"]]
        line = Text(f"  {name:<{width}}")
        line.append(f"{row['grade']:<{longest}}", style)
        line.append(f"{bar(interval, row['grade'])}  ", style)
        line.append(str(row["found"]))
        line.append(f" (allowed: {row['allowed']})" if row["allowed"] else "", "dim")
        lines.append(line)
    return lines
