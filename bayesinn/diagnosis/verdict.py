"""The verdict: errors of a posterior, missing simulations, what to trust, what to do."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from rich.text import Text

from bayesinn.diagnosis.check import (
    FAMILY_ERROR,
    FLAGGED,
    OUTSIDE,
    UNBOUNDED,
    UNDECIDED,
    WITHIN,
    Check,
    Outcome,
    Tolerances,
)
from bayesinn.diagnosis.evidence import part_of
from bayesinn.diagnosis.report import say
from bayesinn.diagnostics.deviation import CONFIDENCE, TOGETHER, Deviation, digits
from bayesinn.diagnostics.information import InformationResult
from bayesinn.plots.verdict import shares

# Errors that a line of the verdict tells, at most.
_MOST_TOLD = 4
# A grade of some error is that of its check, the first of these.
_WORST_FIRST = (OUTSIDE, UNDECIDED, UNBOUNDED, WITHIN)
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


@dataclass(frozen=True, eq=False)
class Finding:
    """The outcome of a check, compared with tolerances.

    ``family`` is the summed weight of all findings, which share the probability
    :data:`FAMILY_ERROR`.
    """

    check: Check
    outcome: Outcome
    tolerances: Tolerances
    family: float = 0.0

    @property
    def result(self) -> Any:
        """What the diagnosis has under the key of the check."""
        return self.outcome.result

    @property
    def weight(self) -> float:
        """Sum of the weights of all measures; without measures, that of the p-value, if any."""
        measures = [deviation.measure for deviation in self.outcome.errors]
        if not measures and np.isfinite(self.p_value):
            # The weight of a p-value has no name.
            measures = [""]
        return sum(self.check.weights.get(measure, 1.0) for measure in measures)

    def error(self, measure: str = "") -> float:
        """Return the probability that a measure may be outside with no error beyond tolerance."""
        together = max(self.family, self.weight) or 1.0
        return FAMILY_ERROR * self.check.weights.get(measure, 1.0) / together

    @cached_property
    def errors(self) -> pd.DataFrame:
        """All columns of all measures, one a row, the largest share of the tolerance first.

        ``factor`` is the multiple of the simulations that would tell on which side of the tolerance
        an error lies.
        """
        tables = [self._compare(deviation) for deviation in self.outcome.errors]
        if not tables:
            return pd.DataFrame(columns=_ERRORS)
        table = pd.concat(tables)
        order = np.argsort(-_sizes(table) / table["tolerance"].to_numpy(), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    def _compare(self, deviation: Deviation) -> pd.DataFrame:
        """Compare a measure with its tolerance."""
        tolerance = self.tolerances.of(deviation)
        chance = self.error(deviation.measure)
        needed = deviation.simulations_needed(tolerance, chance)
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
            "factor": np.where(needed > self.outcome.most, np.inf, needed) / deviation.simulations,
            "text": list(map(deviation.text, range(len(deviation.columns)))),
        }
        return pd.DataFrame(values)[_ERRORS]

    def graded(self, grade: str) -> pd.DataFrame:
        """Return the errors with a grade."""
        return self.errors[self.errors["grade"] == grade]

    @cached_property
    def grade(self) -> str:
        """Grade: all errors ``within``, one ``outside``, one ``undecided``; empty if no test.

        The errors are compared with the tolerance. With ``no upper bound`` an error may be larger
        than what was found of it.
        """
        grades = set(self.errors["grade"])
        if grades:
            return next(grade for grade in _WORST_FIRST if grade in grades)
        if self.outcome.grade == OUTSIDE and self.p_value > self.error():
            return FLAGGED if self.outcome.sentence else UNDECIDED
        return self.outcome.grade

    @property
    def p_value(self) -> float:
        """One p-value for all columns together; NaN if there is none."""
        own = getattr(self.result, "p_value", np.nan)
        return float(np.min(getattr(self.result, "family_p_value", own)))

    @property
    def worst(self) -> pd.Series:
        """The error that decides the grade; empty if there is none."""
        # The error that may be largest is not always one that decides the grade.
        deciding = self.graded(self.grade)
        return pd.Series(dtype=object) if deciding.empty else deciding.iloc[0]

    @cached_property
    def told(self) -> pd.DataFrame:
        """The errors that the verdict tells: the first outside, or the largest of each measure."""
        told = self.graded(OUTSIDE).iloc[:_MOST_TOLD]
        if told.empty and self.grade in (WITHIN, UNDECIDED, UNBOUNDED):
            order = self.errors["measure"].drop_duplicates(keep="last")
            largest = self.errors.drop_duplicates("measure").set_index("measure", drop=False)
            told = largest.loc[order]
        return told.assign(
            size=list(map(digits, _sizes(told))),
            bounded=np.isfinite(told[["lower", "upper"]].to_numpy(float)).all(axis=1),
            together=told["column"].isin(TOGETHER),
        )

    @cached_property
    def found(self) -> str:
        """One line for the verdict: what is outside, by how much, or how large errors may be."""
        return say("found", self)

    @cached_property
    def allowed(self) -> str:
        """What is allowed of each measure that :attr:`found` tells."""
        kinds = self.told.drop_duplicates("measure")
        return "; ".join(f"{row.tolerance:g} {row.unit}".rstrip() for row in kinds.itertuples())

    @property
    def sentence(self) -> str:
        """What is outside, for a headline; a parameter's name at its head stays as it is."""
        if self.errors.empty:
            return self.found
        text = str(self.worst["text"])
        return text[0].upper() + text[1:] if self.worst["column"] in TOGETHER else text

    @property
    def meaning(self) -> str:
        """What may be trusted within tolerance."""
        columns = ", ".join(getattr(self.result, "columns", ()))
        left_out = str(getattr(self.result, "left_out", ""))
        return self.check.meaning.replace("{columns}", columns).replace("{left_out}", left_out)

    @property
    def _hopeless(self) -> bool:
        """Whether no number of simulations would decide an undecided error."""
        return bool(np.isinf(self.graded(UNDECIDED)["factor"].astype(float)).any())

    @property
    def at_its_limit(self) -> bool:
        """Whether an error stays undecided as the check can't use enough data sets."""
        return self._hopeless and math.isfinite(self.outcome.most)

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
            for deviation in self.outcome.errors
        )


def _sizes(errors: pd.DataFrame) -> np.ndarray:
    """Return the largest size of each error in its interval; the smallest if there is none."""
    lower = errors["lower"].to_numpy(float)
    upper = errors["upper"].to_numpy(float)
    largest = np.maximum(abs(lower), abs(upper))
    smallest = np.where(np.sign(lower) == np.sign(upper), np.minimum(abs(lower), abs(upper)), 0.0)
    return np.where(np.isfinite(largest), largest, smallest)


# At least so many times the simulations are advised.
_LEAST_FACTOR = 1.5

#: Takes the name of an argument and a number; writes the call or command that repeats the diagnosis
#: with it.
Again = Callable[[str, int], str]


def _take(name: str, number: int) -> str:
    """Name a number, where the call or command that diagnosed is not known."""
    return say("take", name, number)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Verdict:
    """The joint result of all findings."""

    findings: Sequence[Finding]  #: one a check, in the order of the verdict
    parameters: tuple[str, ...]  #: names of their columns
    tolerances: Tolerances
    size: tuple[int, int]  #: numbers of data sets and of posterior draws for each
    #: writes the call or command that diagnoses anew with another number
    again: Again = _take
    unfinished: str = ""  #: what the training lacks, in a sentence

    def with_grade(self, *grades: str) -> list[Finding]:
        """Return the findings with one of these grades."""
        return [finding for finding in self.findings if finding.grade in grades]

    @cached_property
    def outside(self) -> tuple[str, ...]:
        """Names of the checks that found an error outside tolerance."""
        return tuple(finding.check.name for finding in self.with_grade(OUTSIDE))

    @cached_property
    def undecided(self) -> tuple[str, ...]:
        """Names of the checks with errors that may lie on either side of their tolerances."""
        return tuple(finding.check.name for finding in self.with_grade(UNDECIDED))

    @property
    def guilty(self) -> list[Finding]:
        """Findings outside tolerance that judge the posterior itself."""
        return [one for one in self.with_grade(OUTSIDE) if not one.outcome.sentence]

    @cached_property
    def grade(self) -> str:
        """``within`` tolerance, ``outside``, or ``undecided``: more simulations would decide.

        It is ``outside`` if one check is; else ``undecided`` if one is, or if the posterior knows
        no more than the prior.
        """
        if self.outside:
            return OUTSIDE
        sure = self.with_grade(WITHIN) and not self.undecided and not self.knows_nothing
        return WITHIN if sure else UNDECIDED

    @property
    def _gains(self) -> list[InformationResult]:
        """What tells how much the data say about the parameters."""
        results = [finding.result for finding in self.findings]
        return [result for result in results if isinstance(result, InformationResult)]

    @cached_property
    def unlearnt(self) -> tuple[str, ...]:
        """Parameters about which the posterior knows nothing, according to the checks that tell."""
        nats = self.tolerances.information
        return tuple(name for gain in self._gains for name in gain.below(nats))

    @cached_property
    def learnt_together(self) -> bool | None:
        """Whether the posterior knows something about all parameters together; None if untold.

        It may, with nothing known about any of them by itself: two phases with a known sum.
        """
        nats = self.tolerances.information
        told = [gain.exceeds_together(nats) for gain in self._gains]
        return next((one for one in told if one is not None), None)

    @property
    def nothing_alone(self) -> bool:
        """Whether the posterior knows nothing about any parameter by itself."""
        return set(self.unlearnt) >= set(self.parameters)

    @property
    def knows_nothing(self) -> bool:
        """Whether the posterior knows nothing about any parameter, nor surely about all together.

        Where only single parameters can be told, :attr:`tells_each_alone` says so.
        """
        return self.nothing_alone and not self.learnt_together

    @property
    def tells_each_alone(self) -> bool:
        """Whether several parameters are compared with the prior, each by itself alone."""
        return self.learnt_together is None and len(self.parameters) > 1

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
        if not finding.outcome.part or not math.isfinite(factor):
            return simulations * factor
        number = math.ceil(part_of(simulations) * factor)
        return number if part_of(number) == number else 4 * number

    @property
    def trusted(self) -> list[str]:
        """What can be trusted."""
        return _distinct(
            finding.meaning for finding in self.with_grade(WITHIN) if self._stands_alone(finding)
        )

    @property
    def doubtful(self) -> list[str]:
        """What can't be trusted."""
        entries = [say("doubt", finding) for finding in self.with_grade(OUTSIDE, FLAGGED)]
        # Some error is there for sure, and it may be larger.
        entries += [
            say("unbounded", finding)
            for finding in self.with_grade(UNBOUNDED)
            if finding.worst["lower"] > 0.0
        ]
        return _distinct([*entries, say("unlearnt", self), self.unfinished])

    @property
    def actions(self) -> list[str]:
        """What to do, in this order."""
        wrong = self.with_grade(OUTSIDE, FLAGGED)
        remedies = [finding.check.remedy for finding in wrong if self._stands_alone(finding)]
        longer = say("longer") if self.unfinished else ""
        return _distinct([longer, *remedies, self.what_decides if self.decides else ""])

    def _stands_alone(self, finding: Finding) -> bool:
        """Tell whether no check that this one relies on is outside; else only its remedy counts."""
        return set(self.outside).isdisjoint(finding.check.relies_on)

    @property
    def text(self) -> str:
        """The headline: one or two sentences."""
        unbounded = [say("unbounded", finding) for finding in self.with_grade(UNBOUNDED)]
        sentences = [finding.outcome.sentence for finding in self.findings]
        undecided = self.decides if self.outside else ""
        parts = [say("first", self), *unbounded, *sentences, undecided, self.unfinished]
        return " ".join(filter(None, parts))

    @property
    def confidence(self) -> str:
        """Probability that the intervals of a measure hold, in %."""
        return f"{100 * CONFIDENCE:g}"

    @property
    def lacks_bounds(self) -> bool:
        """Whether some error has no upper bound: it is compared with its tolerance from below."""
        return any(not finding.graded(UNBOUNDED).empty for finding in self.findings)

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
    def decides(self) -> str:
        """The undecided checks, and what would decide them; empty if there are none."""
        if not self.undecided or (self.knows_nothing and not self.outside):
            return ""
        return say("decides", self, sum(bool(finding.grade) for finding in self.findings))

    @property
    def what_decides(self) -> str:
        """What would decide the undecided checks, or why nothing would."""
        limits = [say("limit", finding) for finding in self.findings if finding.at_its_limit]
        limited = say("limited", limits) if limits else ""
        return f"{limited} {self._advice}".strip()

    @property
    def _advice(self) -> str:
        """How many more simulations or draws would tell; empty if that is no question."""
        undecided = self._undecided_by_number
        if not undecided:
            return ""
        simulations, draws = self.size
        if any(finding.needs_draws for finding in undecided):
            return say("more_draws", self.again("draws", 4 * draws))
        number = self._simulations_needed_by(undecided)
        if math.isinf(number):
            return say("about_the_tolerance")
        # A few more would as likely leave it undecided again.
        number = max(number, _LEAST_FACTOR * simulations)
        # Two digits, rounded up.
        unit = 10.0 ** max(math.floor(math.log10(number)) - 1, 0)
        total = int(math.ceil(number / unit) * unit)
        return say("more_simulations", total - simulations, self.again("simulations", total))


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
