"""The verdict: errors of a posterior, missing simulations, what to trust, what to do."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bayesinn.diagnosis.finding import Finding
from bayesinn.diagnosis.gather import part_of
from bayesinn.diagnosis.tolerances import FLAGGED, OUTSIDE, UNBOUNDED, UNDECIDED, WITHIN, Tolerances
from bayesinn.diagnostics.deviation import CONFIDENCE

# At least so many times the simulations are advised.
_LEAST_FACTOR = 1.5
# What to do where no number of simulations decides.
_HOPELESS = "train for longer, or declare bi.Tolerances(...)"

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
