"""Tolerances: the errors that are accepted, and the grades that follow."""

from dataclasses import dataclass, fields

import numpy as np

from bayesinn.core.validation import check_number
from bayesinn.diagnostics.deviation import Deviation

#: The whole interval of an error is inside the tolerance, or outside, or neither.
WITHIN = "within"
OUTSIDE = "outside"
UNDECIDED = "undecided"
#: Nothing bounds the error from above, so that nothing can show that it is within tolerance.
UNBOUNDED = "no upper bound"
#: Probability that a diagnosis calls anything outside if all errors of a posterior are within
#: tolerance. ``within`` is an intersection of intervals, each of which may hold with its own level.
#: ``outside`` is a union over all checks, measures and columns, which share this probability by
#: weight (Bonferroni).
FAMILY_ERROR = 0.01
#: A remark that does not count: the model, not the posterior, differs from the data.
FLAGGED = "flagged"


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
        for field in fields(self):
            check_number(
                f"Tolerance {field.name!r}",
                getattr(self, field.name),
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
