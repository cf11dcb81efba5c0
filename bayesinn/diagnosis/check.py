"""The declaration of a check. Verdict, tables, figures and report are made from it."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bayesinn.diagnosis.evidence import Evidence
from bayesinn.diagnosis.tolerances import OUTSIDE
from bayesinn.diagnostics.deviation import Deviation
from bayesinn.diagnostics.tested import Tested
from bayesinn.plots.style import Canvas

#: Largest number of panels of a figure: more are slow to draw, and nobody reads them.
MOST_PANELS = 12


def judge(result: Any) -> str:
    """Return the grade of a result without deviations: "outside" if its test fails.

    A test that passes proves nothing.
    """
    return OUTSIDE if isinstance(result, Tested) and not result.passed_family_wise else ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Check:
    """A diagnostic, declared once.

    Parameters
    ----------
    name : str, as the verdict shows it
    group : str
        Checks of a group are listed together: "calibration", "around the observation", "sharpness",
        or a group of your own.
    run : function of :class:`Evidence`
        Returns the result, or None if the check does not apply. A result has at least a line
        ``summary``. Evidence is computed when the function asks for it. If a part is missing, the
        check is not run, and the verdict says why.
    place : int
        Position in the verdict, also of its group. The library's own checks have 10, 20, ...; by
        default after these.
    part : bool
        Whether the check uses only a part of the simulations, if there are many: with likelihoods,
        or near the observation.
    most : function of :class:`Evidence`
        Returns the largest number of data sets that the check can use, because each costs too much;
        by default infinite.
    deviations : function of the result
        Returns the errors that are compared with :class:`bayesinn.Tolerances`, each a
        :class:`bayesinn.diagnostics.Deviation`. By default the result's attribute ``deviations``,
        if any.
    judge : function of the result, returns the grade of a result without deviations
        The grade is "within", "outside", "undecided", "flagged" (a remark that does not count), or
        "". By default a :class:`bayesinn.diagnostics.Tested` that fails is outside. With a p-value,
        "outside" counts only if that is below the check's share of the errors that a diagnosis may
        make; otherwise the check is undecided, or flagged if there is a ``sentence``.
    weights : mapping of the name of a measure to its share of these errors
        Relative to other measures; by default 1. The name is empty for a result without deviations.
        See :data:`bayesinn.diagnosis.tolerances.FAMILY_ERROR`. No p-value of a permutation test is
        below one over the number of repetitions: to be able to fail, it needs about
        family / (0.01 * weight) of them, where family is the sum of the weights of all measures of
        the diagnosis, about 65 for the library's own.
    question : str, what the check looks at
    figures : mapping of name to function of result and ``labels``
        The name is that of the file, without ending. The function returns a matplotlib figure.
    panels : bool
        Whether figures have a panel or row for each column of the result. The result then has a
        ``ranking`` of them. The functions take ``shown``, the columns to draw: if there are many,
        the worst.
    tolerances_drawn : bool
        Whether the functions of ``figures`` also take ``errors``, see
        :mod:`bayesinn.plots.allowed`, and draw what is allowed.
    captions : mapping of name to str: what a figure shows, and how to tell good from bad
    meaning : str
        What can be trusted within tolerance; ``{columns}`` stands for the names of the tested
        columns, ``{left_out}`` for the result's text on what was not tested, if any.
    remedy : str, what to do if the check is outside
    relies_on : sequence of names of checks
        If one of these is outside, a good result means nothing, and only the remedy of that check
        is given.
    reference : str, publication of the method
    sentence : function of the result
        Text for the top of the report; only for checks that don't judge the posterior itself.
    unlearnt : function of the result and a number of nats
        Returns the parameters about which fewer nats were learned.
    learnt_together : function of the result and a number of nats
        Returns whether more nats for each parameter were learned about all of them together; None
        if that can't be told.
    key : str
        Attribute of the diagnosis, and prefix of columns in its table; by default made from the
        name.
    table : function of the result
        Returns a DataFrame with one row for each checked column, or None.
    heads : mapping of a column of the table to its heading in the report
    overview : mapping of a measure, or of a column of the table, to a heading
        Entries of the table of parameters, with one column for each number, all checks side by
        side.
    """

    name: str
    group: str
    run: Callable[[Evidence], Any]
    place: int = 1_000
    part: bool = False
    most: Callable[[Evidence], float] = lambda given: math.inf
    deviations: Callable[[Any], Sequence[Deviation]] = lambda result: getattr(
        result, "deviations", ()
    )
    judge: Callable[[Any], str] = judge
    weights: Mapping[str, float] = field(default_factory=dict)
    question: str = ""
    figures: Mapping[str, Callable[..., Canvas]] = field(default_factory=dict)
    panels: bool = False
    tolerances_drawn: bool = False
    captions: Mapping[str, str] = field(default_factory=dict)
    meaning: str = ""
    remedy: str = ""
    relies_on: Sequence[str] = ()
    reference: str = ""
    sentence: Callable[[Any], str] | None = None
    unlearnt: Callable[[Any, float], Sequence[str]] | None = None
    learnt_together: Callable[[Any, float], bool | None] | None = None
    key: str = ""
    table: Callable[[Any], pd.DataFrame | None] = lambda result: getattr(
        result, "to_dataframe", lambda: None
    )()
    heads: Mapping[str, str] = field(default_factory=dict)
    overview: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.key or re.sub(r"\W+", "_", self.name.lower()))

    @property
    def heading(self) -> str:
        """Heading in the report: group and name; the group alone if it ends with the name."""
        text = self.group if self.group.endswith(self.name) else f"{self.group}: {self.name}"
        return f"{text[0].upper()}{text[1:]}"
