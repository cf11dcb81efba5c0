"""What results have in common: a table with one row a column, an effect size, and verdicts from p-values."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import pandas as pd


class Effect(NamedTuple):
    """How large a result is. A p-value only says how sure it is, and shrinks with the number of simulations.

    Parameters
    ----------
    name : what is measured
    value : of the worst column, or of the middle one where a result is no test
    unit : empty where the value has none
    """

    name: str
    value: float
    unit: str

    def __str__(self) -> str:
        return f"{self.name} {self.value:.2g} {self.unit}".rstrip()


class Result:
    """A result with ``columns``: the names of the k parameters, pairs, observations, ... that it is about."""

    #: Names of the attributes that its table shows.
    shown: ClassVar[tuple[str, ...]]

    if TYPE_CHECKING:
        # For the type checker only: dataclasses would take a property for a default value.
        @property
        def columns(self) -> tuple[str, ...]: ...
        @property
        def effect(self) -> Effect: ...
        @property
        def _heading(self) -> str: ...
        @property
        def summary(self) -> str: ...

    def to_dataframe(self) -> pd.DataFrame:
        """Return a table with one row a column."""
        table = {name: getattr(self, name) for name in self.shown}
        return pd.DataFrame(table, index=pd.Index(self.columns, name="column"))

    def __repr__(self) -> str:
        return f"{self._heading}\n{self.to_dataframe().to_string(float_format='%.3g', sparsify=False)}"


class Tested(Result):
    """A result that can fail: ``p_value`` (k,), and ``level``, with which one column of a correct posterior passes."""

    shown: ClassVar[tuple[str, ...]] = ("p_value", "inside")
    title: ClassVar[str]

    if TYPE_CHECKING:

        @property
        def p_value(self) -> np.ndarray: ...
        @property
        def level(self) -> float: ...
        @property
        def simulations(self) -> int: ...

    @property
    def inside(self) -> np.ndarray:
        """Boolean array (k,): whether each column passes by itself."""
        return self.p_value > 1.0 - self.level

    @property
    def passed(self) -> bool:
        """Whether all k columns pass: a correct posterior fails with probability k (1 - level) at most."""
        return bool(np.all(self.inside))

    @property
    def family_p_value(self) -> float:
        """One p-value for all columns together: the smallest one, after Bonferroni."""
        return float(min(1.0, len(self.columns) * np.min(self.p_value)))

    @property
    def passed_family_wise(self) -> bool:
        """Whether all columns pass together: a correct posterior fails with probability 1 - level at most."""
        return self.family_p_value > 1.0 - self.level

    @property
    def summary(self) -> str:
        """One line for a table of verdicts."""
        worst = int(np.argmin(self.p_value))
        if len(self.columns) == 1:
            return f"p = {self.p_value[0]:.2g}"
        return f"{self._passing}; smallest p-value {self.p_value[worst]:.2g} ({self.columns[worst]})"

    @property
    def _passing(self) -> str:
        """How many columns pass, in words."""
        return f"{np.sum(self.inside)} of {len(self.columns)} pass at {self.level:.0%}"

    @property
    def _verdict(self) -> str:
        """Passed, doubtful or FAILED, in words."""
        if self.passed:
            return "passed"
        return "doubtful (one test fails, all together pass)" if self.passed_family_wise else "FAILED"

    @property
    def _heading(self) -> str:
        """First line of the text: title, verdict and number of data sets."""
        return f"{self.title} {self._verdict}, {self.simulations} simulations"
