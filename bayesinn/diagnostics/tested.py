"""Common parts of results: a table with one row for each column, and verdicts from p-values."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from bayesinn.core.validation import check_integer
from bayesinn.diagnostics.arrays import check_level


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """A result with a one-line ``summary`` for a table of verdicts, and a table of its columns."""

    shown: ClassVar[tuple[str, ...]]  #: names of the attributes that the table shows
    #: names of the k parameters, pairs, observations, ... that the result is about
    columns: tuple[str, ...]

    if TYPE_CHECKING:

        @property
        def summary(self) -> str: ...
        @property
        def _heading(self) -> str: ...

    @property
    def ranking(self) -> tuple[str, ...]:
        """The columns, sorted: look at the first ones first."""
        return self.columns

    def to_dataframe(self) -> pd.DataFrame:
        """Return a table with one row for each column."""
        table = {name: getattr(self, name) for name in self.shown}
        return pd.DataFrame(table, index=pd.Index(self.columns, name="column"))

    def __repr__(self) -> str:
        return (
            f"{self._heading}\n{self.to_dataframe().to_string(float_format='%.3g', sparsify=False)}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Tested(Result):
    """A result that can fail."""

    title: ClassVar[str]
    shown: ClassVar[tuple[str, ...]] = ("p_value", "inside")
    p_value: np.ndarray  #: (k,)
    level: float  #: probability that one column of a correct posterior passes

    if TYPE_CHECKING:

        @property
        def simulations(self) -> int: ...

    @property
    def ranking(self) -> tuple[str, ...]:
        return sort_columns(self.columns, self.p_value)

    @property
    def inside(self) -> np.ndarray:
        """Boolean array (k,): whether each column passes by itself."""
        # Not 1 - level: with 0.9, that is slightly less than the 0.1 of 9 repetitions, which would
        # never fail.
        return self.p_value + self.level > 1.0

    @property
    def passed(self) -> bool:
        """Whether all k columns pass.

        A correct posterior fails with probability k (1 - level) at most.
        """
        return bool(np.all(self.inside))

    @property
    def family_p_value(self) -> float:
        """One p-value for all columns together: the smallest one, after Bonferroni."""
        return float(min(1.0, len(self.columns) * np.min(self.p_value)))

    @property
    def passed_family_wise(self) -> bool:
        """Whether all columns pass together.

        A correct posterior fails with probability 1 - level at most.
        """
        return self.family_p_value + self.level > 1.0

    @property
    def summary(self) -> str:
        worst = int(np.argmin(self.p_value))
        if len(self.columns) == 1:
            return f"p = {self.p_value[0]:.2g}"
        return (
            f"{self._passing}; smallest p-value {self.p_value[worst]:.2g} ({self.columns[worst]})"
        )

    @property
    def _passing(self) -> str:
        return f"{np.sum(self.inside)} of {len(self.columns)} pass at {100 * self.level:.4g} %"

    @property
    def _verdict(self) -> str:
        if self.passed:
            return "passed"
        return (
            "doubtful (one test fails, all together pass)" if self.passed_family_wise else "FAILED"
        )

    @property
    def _heading(self) -> str:
        return f"{self.title} {self._verdict}, {self.simulations} simulations"


def sort_columns(columns: tuple[str, ...], values: np.ndarray) -> tuple[str, ...]:
    """Return columns by their values (k,), the smallest first."""
    return tuple(columns[index] for index in np.argsort(values, kind="stable"))


def fewest_repetitions(level: float) -> int:
    """Return the number of random repetitions needed to fail at a level."""
    return int(np.ceil(1.0 / (1.0 - check_level(level)) - 1e-6)) - 1


def check_repetitions(name: str, number: int, level: float) -> None:
    """Refuse fewer random repetitions than are needed to fail at a level."""
    check_integer(
        f"Argument {name!r}",
        number,
        fewest_repetitions(level),
        do=f"take more, or a lower level: fewer can't fail at {level:g}",
    )


def repetitions_for(level: float, least: int) -> int:
    """Return ``least`` random repetitions, or more: twice the p-value must be able to fail."""
    return max(least, int(np.ceil(round(2.0 / (1.0 - level), 6))))


def p_values(observed: np.ndarray, null: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """Return exact p-values (k,) of numbers (k,), given exchangeable repetitions (r, k).

    A p-value is the share of repetitions that are as large, up to the tolerance. The observed
    number counts as one of them: no p-value is below 1 / (1 + r) (Phipson & Smyth 2010,
    arXiv:1603.05766).
    """
    return np.asarray((1 + np.sum(null >= observed - tolerance, axis=0)) / (1 + len(null)))
