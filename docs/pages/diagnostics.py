"""Which diagnostic tells what: from the checks' declarations, and from their measured power."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from bayesinn.diagnosis import (
    Check,
    Evidence,
    MissingEvidence,
    Tolerances,
    registered_checks,
)
from bayesinn.diagnosis.check import FAMILY_ERROR
from docs.numbers.tables import table
from docs.pages.links import ROOT

_TABLES = "paper_results/diagnostics_power/tables.py {}"
_TOLD = 1_000
_PAGE = """# Which diagnostic tells what

{{py:func}}`bayesinn.diagnose` runs everything on this page, as far as the posterior and the simulator allow. The texts
are those of the checks themselves, which the report shows as well.
[A tutorial](/tutorials/07_which_test_sees_which_fault.md) applies each to a correct posterior and to a broken one.

## How large is too large

A p-value says how sure an error is. With enough simulations it gets small however small the error is, and with few it
stays large however large the error is. So each check also has errors with a unit and an interval, and
{{py:class}}`bayesinn.diagnosis.Tolerances` says how large they may be:

{tolerances}

A posterior is *within* tolerance if the whole interval of each error is, *outside* if an error is larger than its
tolerance for sure, and *undecided* otherwise; then the verdict says how many simulations would tell. Intervals hold for
all parameters of a check at once, with a probability of 95 %. Parameters of which the posterior knows nothing are
named, and a posterior that is no more than the prior is never within tolerance.

### What "for sure" means

Some forty errors are looked at. If each of them were judged at 95 %, a correct posterior would often be condemned, most
often by few simulations. So *outside* holds for all checks, parameters and kinds of error together: a posterior
whose errors are all within tolerance is called outside with a probability of {family} at most, whatever the number of
simulations. Each error is judged by the p-value of being no larger than its tolerance, and all of them share the
{family} by weight. The p-values are exact with few simulations, or too large:

* ranks, coverage, TARP, codes: the exact band of the distribution function that lies the tolerance away from uniform
* shift and spread: Student's t and chi-square, exact for a correct posterior, with the tails that scores really have
* correlations: Student's t, and the exact test of the ranks of products
* gap in fit: signs; missing sharpness: bets on a bounded mean, valid for any number and distribution
* L-C2ST: repetitions, up to 1,000 of them where it matters, and the uncertainty of what the classifier found
* the observation, and tests of your own without errors: their own p-values

All tables below are about a problem of two parameters whose exact posterior is known
({{py:class}}`bayesinn.testing.Conjugate`, [how this was measured](/gallery/diagnostics_power.md)). Its posteriors are:

* *correct*: the exact posterior; *two modes*: of a variant of the problem whose posterior has two modes
* *within tolerance*: wrong, but by a little less than the default tolerances allow
* *correct, odd observation*: correct, but the observation is one that no parameters make
* *sd x 1.15*, *sd / 1.15*: standard deviations too large or too small by this factor, so too wide or too narrow
* *mean + 0.2 sd*: the mean of the first parameter is shifted
* *wrong correlation*: no correlation where there is one, and correct marginals
* *the prior*: the prior, whatever the data
* *flipped mode*: one of two modes is mirrored, so that it is in the wrong place

How often the whole verdict was *outside* / *within* (of so many repetitions; the rest is undecided), by the number of
simulations, with the default tolerances:

{verdict}

How often each check was *outside*. The column *correct, at most* has the largest share over all numbers of simulations
and over the posteriors *correct*, *correct, two modes* and *within tolerance*; the other columns have {told}
simulations. Predictive checks are never outside: they flag what the model can't do.

{checks}

## Which one detects which fault

Share of repetitions in which a test rejects at 5 %, over {told} simulated data sets; the first row has the number of
repetitions. A correct posterior should be rejected in 5 % of cases. The two tests against exact draws, {{term}}`MMD`
and {{term}}`KS <KS distance>`, are for comparison: a diagnosis has no exact draws.

{power}

No test detects all faults, and each fault is detected by some test.

{groups}
"""
_INTRODUCTIONS = {
    "calibration": "Data sets are simulated from the prior, so that the true parameters are "
    "known. These checks say "
    "how the posterior does on average over the prior.",
    "around the observation": "These checks need your data. They say how the posterior does where "
    "you use it.",
    "sharpness": "How much the posterior knows, and how much it could know. A correct posterior "
    "may know little if the "
    "data say little.",
}


def pages(_: Callable[[str], None]) -> dict[str, str]:
    """Return the page."""
    parts = {
        name: table(_TABLES.format(name), ROOT, ROOT) for name in ("verdict", "checks", "power")
    }
    parts |= {
        "tolerances": _tolerances(),
        "family": f"{100 * FAMILY_ERROR:g} %",
        "told": f"{_TOLD:,}",
    }
    groups = dict.fromkeys(check.group for check in registered_checks())
    return {
        "generated/diagnostics.md": _PAGE.format(**parts, groups="\n".join(map(_group, groups)))
    }


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


def _table(rows: list[list[str]]) -> str:
    head, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rest))


def _group(name: str) -> str:
    title = f"{name[0].upper()}{name[1:]}"
    checks = "\n".join(_section(check) for check in registered_checks() if check.group == name)
    return f"## {title}\n\n{_INTRODUCTIONS.get(name, '')}\n\n{checks}"


def _section(check: Check) -> str:
    """Return what a check declares about itself."""
    meaning = check.meaning.replace("{columns}", "those that you pass as `quantities`")
    said = {
        "Within tolerance, you may trust": meaning,
        "Outside": check.remedy,
        "Not run if": _missing(check),
        "Means nothing if this one is outside": ", ".join(check.relies_on),
        "Published": check.reference,
    }
    figures = "".join(
        f"* *Figure `{name}`.* {caption}\n" for name, (_, caption) in check.figures.items()
    )
    facts = "".join(f"* **{head}:** {text}\n" for head, text in said.items() if text)
    return f"### {check.name}\n\n{check.question}\n\n{figures}{facts}"


def _missing(check: Check) -> str:
    """Return what the check says of arrays that are no more than truths and draws."""
    generator = np.random.default_rng(1)
    truth = {name: generator.normal(size=40) for name in "ab"}
    draws = {name: generator.normal(size=(40, 20)) for name in "ab"}
    try:
        check.run(Evidence(truth, draws, truth))
    except MissingEvidence as missing:
        return str(missing)
    return ""
