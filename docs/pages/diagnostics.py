"""Which diagnostic tells what: from the declarations of the checks, and from their measured power."""

from __future__ import annotations

import csv
from collections.abc import Callable

from bayesinn.workflow import Check, registered_checks
from bayesinn.workflow.check import GROUPS
from docs.pages.links import ROOT

_POWER = ROOT / "paper_results" / "diagnostics_power" / "results.csv"
_PAGE = """# Which diagnostic tells what

{{py:func}}`bayesinn.diagnose` runs everything on this page, as far as the posterior and the simulator allow. The texts
are those of the checks themselves, which the report shows as well. [A tutorial](/tutorials/02_can_i_trust_it.md)
applies each to a correct posterior and to a broken one.

## Which one detects which fault

Share of repetitions in which a test rejects at 5 %, over 1,000 simulated data sets, for posteriors that are correct or
wrong in a known way ([how this was measured](/gallery/diagnostics_power.md)). A correct posterior should be rejected in
5 % of cases.

{power}

Too wide and too narrow: standard deviations off by a factor of 1.15. Shifted: one mean by 0.2 standard deviations.
Wrong correlation: none, where there is one. Prior: the data are ignored. No test detects all faults, and each fault is
detected by some test.

{groups}
"""
_INTRODUCTIONS = {
    "over the prior": "Data sets are simulated from the prior, so that the true parameters are known. These checks say "
    "how the posterior does on average over the prior.",
    "around the observation": "These checks need your data. They say how the posterior does where you use it.",
    "sharpness": "These are no tests: a correct posterior may know little if the data say little.",
}


def pages(_: Callable[[str], None]) -> dict[str, str]:
    """Return the page."""
    return {"generated/diagnostics.md": _PAGE.format(power=_power(), groups="\n".join(map(_group, GROUPS.items())))}


def _power() -> str:
    """Return the table of power: a row for each test, a column for each posterior."""
    with _POWER.open() as file:
        columns = list(csv.DictReader(file))
    head = ["", *(column["posterior"] for column in columns)]
    tests = [name for name in columns[0] if name not in ("posterior", "repetitions")]
    rows = [[test, *(f"{float(column[test]):.2g}" for column in columns)] for test in tests]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _group(group: tuple[str, str]) -> str:
    name, title = group
    checks = "\n".join(_section(check) for check in registered_checks() if check.group == name)
    return f"## {title}\n\n{_INTRODUCTIONS.get(name, '')}\n\n{checks}"


def _section(check: Check) -> str:
    """Return what a check declares about itself."""
    meaning = check.meaning.replace("{columns}", "those that you pass as `quantities`, and the log likelihood")
    said = {
        "If it passes, you may trust": meaning,
        "If it fails": check.remedy,
        "Needs": ", ".join(f"`{need}`" for need in check.needs),
        "Means nothing if this one fails": ", ".join(check.relies_on),
        "Published": check.reference,
    }
    figures = "".join(f"* *Figure `{name}`.* {caption}\n" for name, caption in check.captions.items())
    facts = "".join(f"* **{head}:** {text}\n" for head, text in said.items() if text)
    return f"### {check.name}\n\n{check.question}\n\n{figures}{facts}"
