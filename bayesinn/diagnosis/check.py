"""Checks of a posterior: their declaration, tolerances, register."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from bayesinn.core.errors import InputError, check_number
from bayesinn.diagnosis.evidence import Evidence
from bayesinn.diagnostics.deviation import Deviation, Tested
from bayesinn.plots.panels import Canvas

#: The whole interval of an error is inside the tolerance, or outside, or neither.
WITHIN = "within"
OUTSIDE = "outside"
UNDECIDED = "undecided"
#: Nothing bounds the error from above, so that nothing can show that it is within tolerance.
UNBOUNDED = "no upper bound"
#: A remark that does not count: the model, not the posterior, differs from the data.
FLAGGED = "flagged"
#: Probability that a diagnosis calls anything outside if all errors of a posterior are within
#: tolerance. ``within`` is an intersection of intervals, each of which may hold with its own level.
#: ``outside`` is a union over all checks, measures and columns, which share this probability by
#: weight (Bonferroni).
FAMILY_ERROR = 0.01
#: Largest number of panels of a figure: more are slow to draw, and nobody reads them.
MOST_PANELS = 12


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """Largest accepted errors of a posterior.

    The defaults are a choice: take narrower ones if your conclusions depend on less. With a shift
    of 0.07 posterior sd, a tail of 2.5 % holds 2.9 %. With an error of the spread of 5 %, a 95 %
    interval holds 94 or 96 % of the truths. With 5 points of coverage, a 90 % interval holds 85 %.
    Narrower tolerances need more simulations: their number grows as one over the square.

    Parameters
    ----------
    shift : float, error of the posterior's location in standard deviations of the posterior
    spread : float, error of the posterior's standard deviation in %
    coverage : float
        In percentage points; for intervals, joint regions, and distributions of ranks.
    correlation : float, error of a correlation between two parameters
    nats : float
        In nats for each parameter: missing sharpness, and how much better truths explain the data
        than draws do. A tenth of a nat is the loss of a normal posterior that is shifted by 0.45
        sd, or 40 % too wide.
    classifier : float, in percentage points
        Distance of a local classifier's probabilities from one half, beyond that by chance.
    information : float
        Nats gained from the data below which a posterior counts as knowing nothing about a
        parameter. With 0.05 nats, a posterior is 5 % narrower than the prior. About a rare event
        it counts as knowing nothing only if it gains less than a quarter of all there is to know.

    Examples
    --------
    >>> Tolerances(shift=0.2).spread
    5.0
    """

    shift: float = 0.07
    spread: float = 5.0
    coverage: float = 5.0
    correlation: float = 0.1
    nats: float = 0.1
    classifier: float = 5.0
    information: float = 0.05

    def __post_init__(self) -> None:
        for tolerance in fields(self):
            check_number(
                f"Tolerance {tolerance.name!r}",
                getattr(self, tolerance.name),
                above=0,
                do="pass a positive number",
            )

    def of(self, deviation: Deviation) -> float:
        """Return the tolerance of a deviation, in its unit."""
        name = deviation.tolerance
        return deviation.scale * float(getattr(self, name) if isinstance(name, str) else name)

    def grades(self, deviation: Deviation, error: float = FAMILY_ERROR) -> np.ndarray:
        """Return the grade (k,) of each column.

        ``error`` is the probability that any column is graded outside although no error is larger
        than its tolerance.
        """
        tolerance = self.of(deviation)
        surely = len(deviation.columns) * deviation.p_values(tolerance) <= error
        cases = [
            deviation.most <= tolerance,
            (deviation.least > tolerance) & surely,
            deviation.least > tolerance,
        ]
        return np.select(
            cases,
            [WITHIN, OUTSIDE, UNDECIDED],
            UNBOUNDED if deviation.one_sided else UNDECIDED,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What a check found: errors, and whatever else differs from what its result has.

    A check whose :attr:`Check.run` returns any other result has the outcome
    ``Outcome.of(result)``: ``deviations`` and ``to_dataframe()`` of the result, if it has them.

    Parameters
    ----------
    result : what the diagnosis has under the check's key, with a line ``summary``
    errors : sequence of :class:`bayesinn.diagnostics.Deviation`
        Errors that are compared with :class:`bayesinn.diagnosis.Tolerances`.
    grade : str
        Grade of an outcome without errors: "within", "outside", "undecided", "flagged" (a remark
        that does not count), or "". With a p-value, "outside" counts only if that is below the
        check's share of the errors that a diagnosis may make; otherwise the check is undecided, or
        flagged if there is a sentence.
    table : DataFrame with one row for each checked column
    sentence : str
        Text for the top of the report; only for checks that don't judge the posterior itself.
    part : bool
        Whether the check used only a part of the simulations, if there are many: with likelihoods,
        or near the observation.
    most : float
        Largest number of data sets that the check can use, because each costs too much.
    """

    result: Any
    errors: Sequence[Deviation] = ()
    grade: str = ""
    table: pd.DataFrame | None = None
    sentence: str = ""
    part: bool = False
    most: float = math.inf

    @classmethod
    def of(cls, result: Any, **others: Any) -> "Outcome":
        """Return the outcome of a result; ``others`` are the fields that differ.

        A test that fails is outside. A test that passes proves nothing.
        """
        failed = isinstance(result, Tested) and not result.passed_family_wise
        whole = cls(
            result=result,
            errors=tuple(getattr(result, "deviations", ())),
            grade=OUTSIDE if failed else "",
            table=getattr(result, "to_dataframe", lambda: None)(),
        )
        return replace(whole, **others)


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
        Returns errors, a :class:`bayesinn.diagnostics.Deviation`; or a result with a line
        ``summary`` and perhaps ``deviations``, several of them; or an :class:`Outcome`; or None if
        the check does not apply. Evidence is computed when the function asks for it. If a part is
        missing, the check is not run, and the verdict says why.
    question : str, what the check looks at
    figures : mapping of name to function and caption
        The name is that of the file, without ending. The function takes the result and, as far as
        its arguments are named so: ``labels``; ``errors``, the graded table of errors, to draw what
        is allowed; ``shown``, the columns to draw, the worst of many. It returns a matplotlib
        figure. The caption says what is shown, and how to tell good from bad.
    meaning : str
        What can be trusted within tolerance; ``{columns}`` stands for the names of the tested
        columns, ``{left_out}`` for the result's text on what was not tested, if any.
    remedy : str, what to do if the check is outside
    reference : str, publication of the method
    relies_on : sequence of names of checks
        If one of these is outside, a good result means nothing, and only the remedy of that check
        is given.
    weights : mapping of the name of a measure to its share of the errors of a diagnosis
        Relative to other measures; by default 1. The name is empty for a result without errors.
        See :data:`bayesinn.diagnosis.check.FAMILY_ERROR`. No p-value of a permutation test is
        below one over the number of repetitions: to be able to fail, it needs about
        family / (0.01 * weight) of them, where family is the sum of the weights of all measures of
        the diagnosis, about 65 for the library's own.
    key : str
        Attribute of the diagnosis, and prefix of columns in its table; by default made from the
        name.
    overview : mapping of a measure, or of a column of the table, to a heading
        Entries of the table of parameters, with one column for each number, all checks side by
        side.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics import Deviation
    >>> def halves(evidence):
    ...     truth, draws = evidence.truth["mean"], evidence.draws["mean"]
    ...     error = 100 * np.mean(truth < np.median(draws, axis=1), keepdims=True) - 50
    ...     half = 100 / np.sqrt(len(truth))  # of an interval of 95 %
    ...     ends = error, error - half, error + half
    ...     words = "too few truths below the median", "too many truths below the median"
    ...     return Deviation("medians", "points", 5.0, ("mean",), *ends, len(truth), words)
    >>> check = Check(
    ...     name="halves",
    ...     group="calibration",
    ...     run=halves,
    ...     meaning="Posterior medians are not biased.",
    ... )

    ``bi.diagnosis.register_check(check)`` adds it to each diagnosis.
    """

    name: str
    group: str
    run: Callable[[Evidence], Any]
    question: str = ""
    figures: Mapping[str, tuple[Callable[..., Canvas], str]] = field(default_factory=dict)
    meaning: str = ""
    remedy: str = ""
    reference: str = ""
    relies_on: Sequence[str] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    key: str = ""
    overview: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.key or re.sub(r"\W+", "_", self.name.lower()))

    @property
    def heading(self) -> str:
        """Heading in the report: group and name; the group alone if it ends with the name."""
        text = self.group if self.group.endswith(self.name) else f"{self.group}: {self.name}"
        return f"{text[0].upper()}{text[1:]}"


#: The library's own checks, in the order of the verdict; :mod:`bayesinn.diagnosis.checks` has them.
LIBRARY: list[Check] = []
_registered: dict[str, Check] = {}


def register_check(check: Check) -> Check:
    """Add a check to every diagnosis of this session.

    It appears in the verdict, the tables, the figures folder and the report like the library's own,
    after those of its group. It replaces your own check of the same name. Another check with the
    same name, key or name of a figure raises an InputError.

    Examples
    --------
    >>> from bayesinn.diagnosis import Check, register_check
    >>> register_check(Check(name="SBC", group="sharpness", run=print))
    Traceback (most recent call last):
    bayesinn.core.errors.InputError: Check 'SBC'
      expected: a name, a key and figures that no other check has
      got:      SBC, sbc
      do this:  rename what is taken
    """
    others = [other for other in registered_checks() if _registered.get(check.name) is not other]
    taken = {name for other in others for name in (other.name, other.key, *other.figures)}
    if clash := [name for name in (check.name, check.key, *check.figures) if name in taken]:
        raise InputError(
            f"Check {check.name!r}",
            expected="a name, a key and figures that no other check has",
            got=", ".join(clash),
            do="rename what is taken",
        )
    _registered[check.name] = check
    return check


def registered_checks() -> list[Check]:
    """Return all checks, group by group: the library's own, then those of users."""
    every = [*LIBRARY, *_registered.values()]
    groups = list(dict.fromkeys(check.group for check in every))
    return sorted(every, key=lambda check: groups.index(check.group))


def users_checks() -> tuple[Check, ...]:
    """Return the checks that users have registered."""
    return tuple(_registered.values())
