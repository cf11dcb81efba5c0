"""What findings mean for the reader of a report: what to trust, what not, what to do."""

from collections.abc import Mapping, Sequence

from bayesinn.diagnostics.tested import Tested
from bayesinn.workflow.check import Check
from bayesinn.workflow.finding import Finding
from bayesinn.workflow.report.render import Verdict


def advice(findings: Sequence[Finding], size: str) -> Verdict:
    """Return the verdict on findings in words; ``size`` says how many simulations there were."""
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
