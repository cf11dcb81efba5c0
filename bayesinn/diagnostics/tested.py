"""What the results of all tests have in common: one p-value for each column, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd


class Effect(NamedTuple):
    """How large a result is, in a unit that means something: beside a p-value, which says how sure it is.

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


class Tested:
    """A result that can fail.

    A subclass has ``columns`` (names of the k columns: parameters, or whatever was tested), ``p_value`` (k,) and
    ``level``, the probability that one column of a right posterior passes.
    """

    if TYPE_CHECKING:
        # For the type checker only: dataclasses would take a property for a default value.
        @property
        def columns(self) -> tuple[str, ...]: ...
        @property
        def p_value(self) -> np.ndarray: ...
        @property
        def level(self) -> float: ...

    @property
    def effect(self) -> Effect:
        """The size of the largest departure among all columns."""
        raise NotImplementedError

    @property
    def inside(self) -> np.ndarray:
        """Boolean array (k,): whether each column passes by itself."""
        return self.p_value > 1.0 - self.level

    @property
    def passed(self) -> bool:
        """All columns pass; with k columns, a right posterior fails with a probability of up to k (1 - level)."""
        return bool(np.all(self.inside))

    @property
    def family_p_value(self) -> float:
        """One p-value for all columns together: the smallest one, after Bonferroni."""
        return float(min(1.0, len(self.columns) * np.min(self.p_value)))

    @property
    def passed_family_wise(self) -> bool:
        """No column fails after Bonferroni: a right posterior fails with a probability of up to 1 - level."""
        return bool(len(self.columns) * np.min(self.p_value) > 1.0 - self.level)

    @property
    def summary(self) -> str:
        """One line for a table of verdicts."""
        if len(self.columns) == 1:
            return f"p = {self.p_value[0]:.2g}"
        worst = int(np.argmin(self.p_value))
        return (
            f"{np.sum(self.inside)} of {len(self.columns)} pass at {self.level:.0%}; "
            f"smallest p-value {self.p_value[worst]:.2g} ({self.columns[worst]})"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """One row a column, with its p-value and whether it passes."""
        return pd.DataFrame(
            {"p_value": self.p_value, "inside": self.inside},
            index=pd.Index(self.columns, name="column"),
        )

    def _verdict(self) -> str:
        """How a repr starts to speak of the result."""
        if self.passed:
            return "passed"
        return "doubtful (one test fails, all together pass)" if self.passed_family_wise else "FAILED"
