"""The declaration of a check. Verdict, tables, figures and report are made from it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bayesinn.core.validation import check_choice
from bayesinn.diagnostics.tested import Tested
from bayesinn.plots.style import Canvas
from bayesinn.workflow.evidence import CAPABILITIES, Evidence

#: Groups of checks in the order of the verdict, and the titles of their sections in a report.
GROUPS = {"over the prior": "Calibration", "around the observation": "Around the observation", "sharpness": "Sharpness"}


def judge(result: Any, number: int) -> str:
    """Return ``passed``, ``doubtful`` or ``FAILED`` for one of ``number`` tests; empty for results that are no test.

    A test is ``doubtful`` if its p-value for all columns together is below 1 - level, and has ``FAILED`` if the p-value
    stays below after a Bonferroni correction for the tests of its group.
    """
    if not isinstance(result, Tested):
        return ""
    if result.passed_family_wise:
        return "passed"
    return "FAILED" if result.family_p_value * number <= 1.0 - result.level + 1e-12 else "doubtful"


@dataclass(frozen=True, eq=False, kw_only=True)
class Check:
    """A diagnostic, declared once.

    Parameters
    ----------
    name : str, as the verdict shows it
    group : "over the prior", "around the observation" or "sharpness"
        The tests of a group share the probability to fail by chance.
    run : function of :class:`Evidence`
        Returns the result, or None where the check does not apply. A result that can fail is a
        :class:`bayesinn.diagnostics.Tested`; any other has at least a line ``summary``.
    needs : sequence of "log_prob", "latent", "quantities", "observation", without which the check is not run
    question : str, what the check looks at
    figures : mapping of name (of the file, without ending) to function of result and ``labels``; a matplotlib figure
    captions : mapping of name to str, what each figure shows, and how to tell good from bad
    meaning : str, what may be trusted if the check passes; ``{columns}`` stands for the names of the tested columns
    remedy : str, what to do if it fails
    relies_on : sequence of names of checks
        If one of these failed, a pass means nothing, and only the remedy of the failed one is given.
    reference : str, where it was published
    sentence : function of the result, for the top of the report; only of checks that don't judge the posterior itself
    key : str, attribute of the diagnosis, and prefix of columns in its table; made from the name if left out
    effect : function of the result, returns :class:`bayesinn.diagnostics.Effect` or None
    table : function of the result, returns a DataFrame with one row for each checked column, or None
    judge : function of the result and the number of tests in the group, returns the verdict
    heads : mapping of a column of the table to its heading in the report
    shown : mapping of a column of the table to its heading on the terminal, which shows no other columns
    """

    name: str
    group: str
    run: Callable[[Evidence], Any]
    needs: Sequence[str] = ()
    question: str = ""
    figures: Mapping[str, Callable[..., Canvas]] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    meaning: str = ""
    remedy: str = ""
    relies_on: Sequence[str] = ()
    reference: str = ""
    sentence: Callable[[Any], str] | None = None
    key: str = ""
    effect: Callable[[Any], Any] = lambda result: getattr(result, "effect", None)
    table: Callable[[Any], pd.DataFrame | None] = lambda result: getattr(result, "to_dataframe", lambda: None)()
    judge: Callable[[Any, int], str] = judge
    heads: Mapping[str, str] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice(f"Group of check {self.name!r}", self.group, tuple(GROUPS))
        for need in self.needs:
            check_choice(f"Need of check {self.name!r}", need, tuple(CAPABILITIES))
        object.__setattr__(self, "key", self.key or re.sub(r"\W+", "_", self.name.lower()))
