"""Steps of series in a file of data: how many, and whether their times are the simulator's."""

from collections.abc import Mapping

import numpy as np

from bayesinn.cli.csv_table import Table
from bayesinn.core.labels import Coordinate
from bayesinn.simulation.simulator import Simulator


def trim(values: np.ndarray) -> np.ndarray:
    """Return rows without the empty ones at the end."""
    known = np.flatnonzero(~np.isnan(values.reshape(len(values), -1)).all(axis=1))
    return values[: known[-1] + 1] if len(known) else values[:1]


def count_steps(
    simulator: Simulator, name: str, values: Mapping[str, np.ndarray], rows: list[int]
) -> int:
    """Return how many steps a series of varying length has, whose last values may be missing.

    Its counter, and the other series that this counts, tell that no empty field is behind the end.
    ``values`` (rows, columns) are those of the table.
    """
    counter = simulator.lengths[name]
    steps = 0
    for other, own_counter in simulator.lengths.items():
        if own_counter == counter and other in values:
            own = values[other][rows]
            in_columns = own.shape[1] > 1 and len(simulator.observable_shapes[other]) == 1
            steps = max(steps, len(trim(own.T if in_columns else own)))
    if counter in values:
        steps = max(steps, int(np.nan_to_num(values[counter][rows]).max()))
    return steps


def check_steps(
    table: Table, column: str, coordinate: Coordinate, groups: Mapping[str, list[int]]
) -> None:
    """Refuse data of other times, dates or wavelengths in a column than the simulator's."""
    place = table.names.index(column)
    off = 0.0 if coordinate.dates else _rounding(np.asarray(coordinate.values, np.float64))
    for rows in groups.values():
        texts = [table.rows[row][place].strip() for row in rows]
        for step, text in enumerate(texts[: len(coordinate.values)]):
            if text and not _is_at(coordinate, text, step, off):
                raise table.fault(
                    table.lines[rows[step]],
                    column,
                    expected=f"{coordinate.step(step)}, as declared",
                    got=repr(text),
                    do=_how_to_agree(column, coordinate, texts, off),
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


def _how_to_agree(column: str, coordinate: Coordinate, texts: list[str], off: float) -> str:
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
    return f"sort the rows by {column!r}{', the largest first' if falling else ''}"


def _rounding(values: np.ndarray) -> float:
    """Return by how much coordinates (steps,) in a file may be off, as few digits are written.

    It is far less than a step, however large or small the values are.
    """
    steps = np.abs(np.diff(values))
    if steps.size and steps.min() > 0.0:
        return 0.01 * float(steps.min())
    return 1e-5 * float(np.abs(values).max())
