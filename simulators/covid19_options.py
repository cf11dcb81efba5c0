"""Options of the Covid-19 model; the defaults give the published one."""

from __future__ import annotations

from dataclasses import dataclass

from bayesinn.core.configuration import Registered
from bayesinn.core.errors import InputError

GERMANY_POPULATION = 83e6
FIT_DAYS = 81
"""Days of the published fit: 2 March to 21 May 2020."""
FIRST_DAY = "2020-03-02"
LEAD_DAYS = 15
"""Days from the start of the epidemic to the first report, so that delayed cases exist by then."""

SERIES = {"confirmed": "I", "recovered": "R", "deaths": "D"}
"""The counts, with the letter in the names of their parameters: the delay of deaths is ``L_D``."""


@dataclass(frozen=True)
class Covid19Options(Registered):
    """Options of the Covid-19 model.

    Five switches remove a part of the model and its parameters. The published ablations are
    ``carrier=False``, ``interventions=False``, and "no observation model", which is all of
    ``delay``, ``weekly`` and ``noise`` off.

    Parameters
    ----------
    population : float, or pair of floats
        Number of people. A pair makes it context, known at inference and uniform between the two in
        training.
    days : int, or pair of ints
        Number of observed days. A pair makes it context, from the first number to the second, to
        which data are padded.
    series : tuple of "confirmed", "recovered", "deaths"
        Reported counts, in this order.
    carrier : bool
        Whether there are infectious people without diagnosis; without them only the diagnosed
        infect others (SEIRD).
    interventions : bool
        Whether transmission changes; without it all days have the rate ``lambda0``.
    delay : bool
        Whether cases are reported late.
    weekly : bool
        Whether the share of reported cases changes over the week.
    noise : bool
        Whether counts scatter around their means. Without noise the simulator is deterministic and
        has no likelihood.
    regular_noise : bool
        Noise of scale ``sigma sqrt(mean + 1)``, the form of Dehning et al. (2020), in place of
        ``sigma sqrt(mean)``, which vanishes with the mean: days without any expected case are then
        exactly zero, an atom of the distribution.
    ramp_quirk : bool
        Whether, as in the published code, the ramp after the third change point leads from
        ``lambda3`` to ``lambda4`` and then jumps back to ``lambda3``. Otherwise it leads from
        ``lambda2`` to ``lambda3``, like the other ramps.
    largest_alpha : float
        Upper bound of the prior of ``alpha``: 0.9 for the published posterior, 0.99 in later
        figures of its authors.
    median_lambda4 : float
        Prior median of ``lambda4``: 0.1 for Germany, 0.15 in the authors' model of federal states.

    Examples
    --------
    >>> Covid19Options(regular_noise=True, days=(75, 102)).most_days
    102
    """

    population: float | tuple[float, float] = GERMANY_POPULATION
    days: int | tuple[int, int] = FIT_DAYS
    series: tuple[str, ...] = tuple(SERIES)
    carrier: bool = True
    interventions: bool = True
    delay: bool = True
    weekly: bool = True
    noise: bool = True
    regular_noise: bool = False
    ramp_quirk: bool = True
    largest_alpha: float = 0.9
    median_lambda4: float = 0.1

    def __post_init__(self) -> None:
        # Options are hashed: each is compiled once.
        for name in ("population", "days", "series"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if (
            not self.series
            or len(set(self.series)) < len(self.series)
            or not set(self.series) <= set(SERIES)
        ):
            _refuse(
                "series",
                f"some of {list(SERIES)}, each once",
                self.series,
                "name the counts that you have",
            )
        low, high = self.days if isinstance(self.days, tuple) else (self.days, self.days)
        # The last ramp must end before the data do; its change point is near day 66.
        fewest = 75 if self.interventions else 1
        if not fewest <= low <= high or (isinstance(self.days, tuple) and low == high):
            text = f"at least {fewest}, or a pair (fewest, most) of such"
            _refuse("days", text, self.days, "pass for example days=(75, 102)")
        low_people, high_people = (
            self.population if isinstance(self.population, tuple) else (1e3, self.population)
        )
        if not 1e3 <= low_people <= high_people or (
            isinstance(self.population, tuple) and low_people == high_people
        ):
            text = "at least 1,000 people, or a pair (fewest, most) of such"
            _refuse("population", text, self.population, "pass for example population=(6e5, 2e7)")
        if not 0.005 < self.largest_alpha <= 1.0:
            _refuse(
                "largest_alpha",
                "a number above 0.005, at most 1",
                self.largest_alpha,
                "pass 0.9 or 0.99",
            )
        if not self.median_lambda4 > 0.0:
            _refuse(
                "median_lambda4",
                "a positive rate per day",
                self.median_lambda4,
                "pass for example 0.1",
            )

    @property
    def most_days(self) -> int:
        """Number of days that simulations are padded to; the number itself where it is fixed."""
        return self.days[1] if isinstance(self.days, tuple) else self.days


def _refuse(option: str, expected: str, got: object, do: str) -> None:
    raise InputError(
        f"Option {option!r} of the Covid-19 model", expected=expected, got=repr(got), do=do
    )
