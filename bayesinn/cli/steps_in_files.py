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
        texts = [table.rows[row][place].strip() for row in rows]
        for step, text in enumerate(texts[: len(coordinate.values)]):
            if text and not _is_at(coordinate, text, step, off):
                raise table.fault(
                    table.lines[rows[step]],
                    coordinate.name,
                    expected=f"{coordinate.step(step)}, as declared",
                    got=repr(text),
                    do=_how_to_agree(coordinate, texts, off),
                )


def _is_at(coordinate: Coordinate, text: str, step: int, off: float) -> bool:
    """Tell whether a text is a step of the coordinate, but for how much numbers may be off."""
    value = coordinate.values[step]
    try:
        if coordinate.dates:
            return bool(np.datetime64(text) == value)
        return bool(abs(float(text) - value) <= off)
    except ValueError:
        return False


def _how_to_agree(coordinate: Coordinate, texts: list[str], off: float) -> str:
    """Say to sort the rows of an observation where that would do."""
    steps = range(min(len(texts), len(coordinate.values)))
    if len(steps) < len(texts) or not all(
        any(_is_at(coordinate, text, step, off) for text in texts) for step in steps
    ):
        return (
            "declare the coordinates of the data, or rename the column, which is then ignored, if "
            "it means something else"
        )
    falling = len(coordinate.values) > 1 and coordinate.values[0] > coordinate.values[1]
    return f"sort the rows by {coordinate.name!r}{', the largest first' if falling else ''}"


def _rounding(values: np.ndarray) -> float:
    """Return by how much coordinates (steps,) in a file may be off, as few digits are written.

    It is far less than a step, however large or small the values are.
    """
    steps = np.abs(np.diff(values))
    if steps.size and steps.min() > 0.0:
        return 0.01 * float(steps.min())
    return 1e-5 * float(np.abs(values).max())
