"""The verdict: how wrong a posterior is, whether enough was seen, what to trust, what to do."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bayesinn.diagnosis.check import Check
from bayesinn.diagnosis.finding import Finding
from bayesinn.diagnosis.gather import part_of
from bayesinn.diagnosis.report import Verdict
from bayesinn.diagnosis.tolerances import FLAGGED, OUTSIDE, UNDECIDED, WITHIN, Tolerances
from bayesinn.diagnostics.deviation import CONFIDENCE

#: Takes the name of an argument and a number, and writes the call or command that diagnoses anew
#: with it.
Again = Callable[[str, int], str]


def take(name: str, value: int) -> str:
    """Tell a number where nothing is known about the call."""
    return f"take {value:,} {name}"


@dataclass(frozen=True)
class Judgement:
    """What all findings say together."""

    findings: Sequence[Finding]
    parameters: Sequence[str]
    tolerances: Tolerances
    simulations: int
    draws: int
    again: Again = take

    @property
    def outside(self) -> tuple[str, ...]:
        """Names of the checks that found an error outside tolerance."""
        return tuple(finding.check.name for finding in self.findings if finding.grade == OUTSIDE)

    @property
    def grade(self) -> str:
        """Return ``outside`` if one check is, else ``undecided`` if one is.

        It is ``undecided``, too, if the posterior is no more than the prior.
        """
        if self.outside:
            return OUTSIDE
        graded = [
            finding.grade for finding in self.findings if finding.grade in (UNDECIDED, WITHIN)
        ]
        return (
            WITHIN if graded and UNDECIDED not in graded and not self.knows_nothing else UNDECIDED
        )

    @property
    def unlearnt(self) -> tuple[str, ...]:
        """Parameters of which the posterior knows nothing, as the checks tell that know."""
        nats = self.tolerances.information
        found = (
            finding.check.unlearnt(finding.result, nats)
            for finding in self.findings
            if finding.check.unlearnt
        )
        return tuple(name for names in found for name in names)

    @property
    def knows_nothing(self) -> bool:
        """Whether the posterior knows nothing of any parameter."""
        return set(self.unlearnt) >= set(self.parameters)

    @property
    def simulations_needed(self) -> float:
        """Number of simulations that would decide what is undecided; inf if none would.

        It is inf, too, if nothing is undecided.
        """
        undecided = [
            (item, error)
            for item in self.findings
            for error in item.errors
            if error.grade == UNDECIDED
        ]
        return max(
            (self._simulations_for(item.check, error.factor) for item, error in undecided),
            default=math.inf,
        )

    def _simulations_for(self, check: Check, factor: float) -> float:
        """Return how many simulations give a check so many times as many data sets as it had."""
        if not check.of_part or not math.isfinite(factor):
            return self.simulations * factor
        needed = math.ceil(part_of(self.simulations) * factor)
        return needed if part_of(needed) == needed else 4 * needed

    def verdict(self) -> Verdict:
        """Return the headline, and lists of what to trust, what not, and what to do."""
        trusted = []
        doubtful = []
        actions = []
        for finding in self.findings:
            # If a check that this one relies on found an error, only the remedy of that one is
            # given.
            alone = not set(self.outside) & set(finding.check.relies_on)
            if finding.grade == WITHIN and alone:
                trusted.append(finding.meaning)
            elif finding.grade in (OUTSIDE, FLAGGED):
                doubtful.append(f"{finding.check.name}: {finding.found}.")
                actions.append(finding.check.remedy if alone else "")
        if self.grade == UNDECIDED and not self.knows_nothing:
            actions.append(self._what_decides())
        if self.unlearnt:
            doubtful.append(self._unlearnt())
        lists = (
            [entry for entry in dict.fromkeys(entries) if entry]
            for entries in (trusted, doubtful, actions)
        )
        return Verdict(self.grade, self._headline(), *lists)

    def _headline(self) -> str:
        size = f"{self.simulations:,} simulated data sets with {self.draws:,} posterior draws each"
        says = [
            finding.check.sentence(finding.result)
            for finding in self.findings
            if finding.check.sentence
        ]
        guilty = [
            finding
            for finding in self.findings
            if finding.grade == OUTSIDE and not finding.check.sentence
        ]
        if guilty:
            # The error that may be largest is not always one that is outside for sure.
            sure = (error.sentence for error in guilty[0].errors if error.grade == OUTSIDE)
            first = next(sure, guilty[0].found)
            names = listed([finding.check.name for finding in guilty])
            text = f"Errors are larger than their tolerances in {names}, over {size}. {first}."
        elif self.outside and not self.knows_nothing:
            undecided = any(finding.grade == UNDECIDED for finding in self.findings)
            text = (
                f"The posterior itself is {'undecided' if undecided else 'within tolerance'}, "
                f"over {size}."
            )
        elif self.knows_nothing:
            text = (
                "The posterior is no more than the prior. Either the data say nothing about the "
                "parameters, or the "
                "network has not learnt it: compare with a longer training."
            )
        elif self.grade == UNDECIDED:
            text = (
                f"{size} are too few to tell whether all errors are within tolerance. "
                f"{self._what_decides()}"
            )
        else:
            text = (
                f"The {100 * CONFIDENCE:g} % interval of each error lies within its tolerance, "
                f"over {size}."
            )
            if self.unlearnt:
                text += f" {self._unlearnt()}"
        return " ".join(filter(None, [text.rstrip(), *says]))

    def _what_decides(self) -> str:
        needed = self.simulations_needed
        if not any(
            error.grade == UNDECIDED for finding in self.findings for error in finding.errors
        ):
            return ""
        if any(finding.needs_draws for finding in self.findings):
            return (
                f"The bounds of an error are too far apart: {self.again('draws', 4 * self.draws)}."
            )
        if math.isinf(needed):
            return (
                "Some errors are about as large as their tolerances: train for longer, or "
                "declare bi.Tolerances(...)."
            )
        # Two digits, upwards.
        unit = 10.0 ** max(math.floor(math.log10(needed)) - 1, 0)
        total = max(int(math.ceil(needed / unit) * unit), self.simulations + 1)
        return (
            f"About {total - self.simulations:,} more simulations would tell: "
            f"{self.again('simulations', total)}."
        )

    def _unlearnt(self) -> str:
        return (
            f"The posterior knows nothing about {listed(self.unlearnt)}: it is about as wide "
            f"as the prior."
        )


def not_run(left_out: Mapping[Check, str]) -> list[str]:
    """Return a sentence for each reason why checks were not run."""
    reasons = dict.fromkeys(filter(None, left_out.values()))
    return [
        f"{listed([c.name for c in left_out if left_out[c] == reason])}: not run, {reason}."
        for reason in reasons
    ]


def listed(names: Sequence[str]) -> str:
    """Write names as a list in words: "SBC, TARP and coverage"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
