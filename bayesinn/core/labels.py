"""Names, labels, units and coordinates: declared once by the simulator, for tables and figures.

Tables and figures show one number at a time, so a vector parameter ``beta`` of three elements
appears as the columns ``beta[0]``, ``beta[1]``, ``beta[2]``.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Coordinate:
    """Places of the steps of a variable along its first axis: times, dates, wavelengths, ..."""

    name: str  #: of the axis, and of the dimension in results: ``"time"``
    values: np.ndarray  #: (steps,) numbers or dates, increasing or decreasing
    ndim: int = 1  #: number of axes of the variable

    @property
    def dates(self) -> bool:
        """Whether the steps are dates."""
        return self.values.dtype.kind == "M"

    @property
    def numbers(self) -> np.ndarray:
        """Places (steps,) as numbers; dates are seconds."""
        values = self.values.astype("datetime64[s]") if self.dates else self.values
        return values.astype(float)

    def step(self, index: int) -> str:
        """Write one step: a number, or a date without a time of day where all are at midnight.

        >>> Coordinate("day", np.arange("2020-03-01", "2020-03-04", dtype="datetime64[D]")).step(2)
        '2020-03-03'
        """
        if not self.dates:
            return f"{self.values[index]:g}"
        days = self.values.astype("datetime64[D]")
        return str(
            days[index]
            if np.all(days == self.values)
            else self.values[index].astype("datetime64[m]")
        )


@dataclass(frozen=True)
class Labels:
    r"""LaTeX labels and units of parameters, observables, context variables for tables and figures.

    Parameters
    ----------
    labels : mapping of name to text
        For example ``{"rate": r"$\lambda$"}``; the name itself where missing.
    units : mapping of name to text, for example ``{"rate": "1/day"}``; no unit where missing
    coordinates : mapping of observable or parameter to Coordinate; steps 0, 1, 2, ... where missing

    Examples
    --------
    >>> Labels({"rate": "growth"}, {"rate": "1/day"}).axis("rate[1]")
    'growth[1] [1/day]'
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    coordinates: Mapping[str, Coordinate] = field(default_factory=dict)

    def label(self, column: str) -> str:
        r"""Return the label of a column, without unit: ``"beta[1]"`` becomes ``"$\beta$[1]"``.

        The coordinate, if there is one, names a single value: ``"dose[3]"``
        becomes ``"dose, time 4 h"``.
        """
        name, bracket, index = column.partition("[")
        label = self.labels.get(name, name)
        coordinate = self.coordinates.get(name)
        first, *others = index.rstrip("]").split(",")
        if coordinate is None or not first.isdigit() or 1 + len(others) != coordinate.ndim:
            return label + bracket + index
        axis = coordinate.name
        axis_label = self.labels.get(axis, axis)
        place = f"{axis_label} {coordinate.step(int(first))} {self.unit(axis)}".rstrip()
        return f"{label}[{','.join(others)}], {place}" if others else f"{label}, {place}"

    def unit(self, column: str) -> str:
        """Return the unit of a column; empty if there is none, or if it was declared as "1"."""
        unit = self.units.get(column.partition("[")[0], "")
        return "" if unit == "1" else unit

    def axis(self, column: str) -> str:
        """Return the text for an axis: the label, and the unit in brackets if there is one."""
        unit = self.unit(column)
        return f"{self.label(column)} [{unit}]" if unit else self.label(column)

    def of(self, names: Collection[str]) -> "Labels":
        """Return the labels and units of some names, to declare another simulator with."""
        labels = {name: text for name, text in self.labels.items() if name in names}
        units = {name: text for name, text in self.units.items() if name in names}
        return Labels(labels, units)


def columns(values: Mapping[str, np.ndarray], batch_ndim: int) -> dict[str, np.ndarray]:
    """Split named arrays (*batch, *event) into arrays (*batch), one for each scalar.

    ``batch_ndim`` is the number of batch axes.
    """
    split = {}
    for name, value in values.items():
        value = np.asarray(value)
        event = value.shape[batch_ndim:]
        for index in np.ndindex(event):
            column = f"{name}[{','.join(map(str, index))}]" if event else name
            split[column] = value[(..., *index)]
    return split


def split_events(flat: np.ndarray, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Split numbers side by side (*batch, d) into named arrays (*batch, *event).

    >>> split_events(np.zeros((5, 3)), {"rate": (), "beta": (2,)})["beta"].shape
    (5, 2)
    """
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1]
    parts = np.split(flat, ends, axis=-1)
    return {
        name: part.reshape(*flat.shape[:-1], *shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
