"""Times, dates or wavelengths in a file of data, beside those that the simulator declares."""

from collections.abc import Mapping

import numpy as np

from bayesinn.cli.csv_table import Table
from bayesinn.core.labels import Coordinate


def check_steps(table: Table, coordinate: Coordinate, groups: Mapping[str, list[int]]) -> None:
    """Refuse data of other times, dates or wavelengths than the simulator's."""
    place = table.names.index(coordinate.name)
    off = 0.0 if coordinate.dates else _rounding(np.asarray(coordinate.values, np.float64))
    for rows in groups.values():
        for step, row in enumerate(rows[: len(coordinate.values)]):
            text = table.rows[row][place].strip()
            value = coordinate.values[step]
            try:
                same = (
                    np.datetime64(text) == value
                    if coordinate.dates
                    else abs(float(text) - value) <= off
                )
            except ValueError:
                same = False
            if text and not same:
                raise table.fault(
                    table.lines[row],
                    coordinate.name,
                    expected=f"{coordinate.step(step)}, as declared",
                    got=repr(text),
                    do="declare the coordinates of the data",
                )


def _rounding(values: np.ndarray) -> float:
    """Return by how much coordinates (steps,) in a file may be off, as few digits are written.

    It is far less than a step, however large or small the values are.
    """
    steps = np.abs(np.diff(values))
    if steps.size and steps.min() > 0.0:
        return 0.01 * float(steps.min())
    return 1e-5 * float(np.abs(values).max())
