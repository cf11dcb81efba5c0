"""Which diagnostic tells what: from the declarations of the checks, and from their measured power."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict

from bayesinn.workflow import Check, Tolerances, registered_checks
from bayesinn.workflow.check import GROUPS
from docs.pages.links import ROOT

_POWER, _GRADES = (ROOT / "paper_results" / "diagnostics_power" / name for name in ("results.csv", "grades.csv"))
_SHARES = ("simulations", "within", "undecided", "outside")
_PAGE = """# Which diagnostic tells what

{{py:func}}`bayesinn.diagnose` runs everything on this page, as far as the posterior and the simulator allow. The texts
are those of the checks themselves, which the report shows as well. [A tutorial](/tutorials/02_can_i_trust_it.md)
applies each to a correct posterior and to a broken one.

## How large is too large

A p-value says how sure an error is. With enough simulations it gets small however small the error is, and with few it
stays large however large the error is. So each check also has errors with a unit and an interval, and
{{py:class}}`bayesinn.Tolerances` says how large they may be:

{tolerances}

A posterior is *within* tolerance if the whole interval of each error is, *outside* if the whole interval of one is
outside, and *undecided* otherwise; then the verdict says how many simulations would tell. Intervals hold for all
parameters of a check at once, with a probability of 95 %. Parameters of which the posterior knows nothing are named,
and a posterior that is no more than the prior is never within tolerance.

How often posteriors got which grade, with the default tolerances:

{grades}

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
    "sharpness": "How much the posterior knows, and how much it could know. A correct posterior may know little if the "
    "data say little.",
}


def pages(_: Callable[[str], None]) -> dict[str, str]:
    """Return the page."""
    parts = {"power": _power(), "grades": _grades(), "tolerances": _tolerances()}
    return {"generated/diagnostics.md": _PAGE.format(**parts, groups="\n".join(map(_group, GROUPS.items())))}


def _tolerances() -> str:
    """Return the table of default tolerances, with the units of their documentation."""
    units = {
        "shift": "sd of the posterior",
        "spread": "% of the posterior's sd",
        "coverage": "percentage points",
        "correlation": "",
        "nats": "nats for each parameter: missing sharpness, gap in fit",
        "classifier": "percentage points beyond chance (L-C2ST)",
        "information": "nats, below which a parameter counts as unlearnt",
    }
    rows = [[name, f"{value:g}", units[name]] for name, value in asdict(Tolerances()).items()]
    return _table([["tolerance", "default", "unit"], *rows])


def _grades() -> str:
    """Return the table of grades: a row for each posterior and number of simulations."""
    with _GRADES.open() as file:
        rows = [[row["posterior"], *(f"{float(row[name]):g}" for name in _SHARES)] for row in csv.DictReader(file)]
    return _table([["posterior", *_SHARES], *rows])


def _table(rows: list[list[str]]) -> str:
    head, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rest))


def _power() -> str:
    """Return the table of power: a row for each test, a column for each posterior."""
    with _POWER.open() as file:
        columns = list(csv.DictReader(file))
    head = ["", *(column["posterior"] for column in columns)]
    tests = [name for name in columns[0] if name not in ("posterior", "repetitions")]
    rows = [[test, *(f"{float(column[test]):.2g}" for column in columns)] for test in tests]
    return _table([head, *rows])


def _group(group: tuple[str, str]) -> str:
    name, title = group
    checks = "\n".join(_section(check) for check in registered_checks() if check.group == name)
    return f"## {title}\n\n{_INTRODUCTIONS.get(name, '')}\n\n{checks}"


def _section(check: Check) -> str:
    """Return what a check declares about itself."""
    meaning = check.meaning.replace("{columns}", "those that you pass as `quantities`")
    said = {
        "Within tolerance, you may trust": meaning,
        "Outside": check.remedy,
        "Needs": ", ".join(f"`{need}`" for need in check.needs),
        "Means nothing if this one is outside": ", ".join(check.relies_on),
        "Published": check.reference,
    }
    figures = "".join(f"* *Figure `{name}`.* {caption}\n" for name, caption in check.captions.items())
    facts = "".join(f"* **{head}:** {text}\n" for head, text in said.items() if text)
    return f"### {check.name}\n\n{check.question}\n\n{figures}{facts}"
