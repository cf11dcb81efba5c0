"""Names, labels and units: declared once by the simulator, used by every table and figure.

Tables and figures show one number at a time, so a vector parameter ``beta`` of three elements appears as the columns
``beta[0]``, ``beta[1]``, ``beta[2]``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Labels:
    r"""LaTeX labels and units of parameters, observables and context variables, for tables and figures.

    Parameters
    ----------
    labels : mapping of name to text, for example ``{"rate": r"$\lambda$"}``; the name itself where missing
    units : mapping of name to text, for example ``{"rate": "1/day"}``; no unit where missing
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def label(self, column: str) -> str:
        r"""Return the label of a column, without unit: ``"beta[1]"`` becomes ``"$\beta$[1]"``."""
        name, bracket, index = column.partition("[")
        return self.labels.get(name, name) + bracket + index

    def unit(self, column: str) -> str:
        """Return the unit of a column, or an empty string."""
        return self.units.get(column.partition("[")[0], "")

    def axis(self, column: str) -> str:
        """Return the text for an axis: the label, and the unit in brackets unless it is "1"."""
        unit = self.unit(column)
        return f"{self.label(column)} [{unit}]" if unit not in ("", "1") else self.label(column)


def columns(values: Mapping[str, np.ndarray], batch_ndim: int) -> dict[str, np.ndarray]:
    """Split named arrays (*batch, *event), with ``batch_ndim`` batch axes, into one array (*batch) per scalar."""
    split = {}
    for name, value in values.items():
        value = np.asarray(value)
        event = value.shape[batch_ndim:]
        for index in np.ndindex(event):
            column = f"{name}[{','.join(map(str, index))}]" if event else name
            split[column] = value[(..., *index)]
    return split
