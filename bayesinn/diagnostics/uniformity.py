"""Values that are uniform on the unit interval if the posterior is right: the form many tests come to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesinn.diagnostics.arrays import check_fraction
from bayesinn.diagnostics.bands import Band, band_p_values, simultaneous_band
from bayesinn.diagnostics.tested import Effect, Tested

#: Where the ECDF of continuous values is looked at: 0.01, 0.02, ..., 0.99.
POINTS: tuple[float, ...] = tuple(round(0.01 * step, 2) for step in range(1, 100))


@dataclass(frozen=True, eq=False, repr=False)
class UniformityResult(Tested):
    """Values that should be uniform, and how far from it they are.

    Parameters
    ----------
    columns : names of the k columns
    values : array (n, k), each in [0, 1)
    band : Band, of the number of values below each point (the same for all columns)
    p_value : array (k,), one minus the smallest level whose simultaneous ECDF band holds the values
    """

    columns: tuple[str, ...]
    values: np.ndarray
    band: Band
    p_value: np.ndarray

    @property
    def simulations(self) -> int:
        """The number n of data sets."""
        return len(self.values)

    @property
    def level(self) -> float:
        """The level of the band."""
        return self.band.level

    @property
    def ecdf_difference(self) -> np.ndarray:
        """Array (points, k): ECDF of the values minus that of uniform ones, at ``band.points``."""
        return counts_below(self.values, self.band.points).T / self.simulations - self.band.points[:, None]

    @property
    def effect(self) -> Effect:
        """Largest distance of an ECDF from the uniform one, among the points of the band."""
        return Effect("distance from uniform", 100.0 * float(np.abs(self.ecdf_difference).max()), "percentage points")

    def __repr__(self) -> str:
        table = self.to_dataframe().to_string(float_format="%.3g")
        return f"{type(self).__name__.removesuffix('Result')} {self._verdict()}, {self.simulations} values\n{table}"


def uniformity(
    columns: tuple[str, ...], values: np.ndarray, *, level: float = 0.99, points: tuple[float, ...] = POINTS
) -> UniformityResult:
    """Test whether values are uniform, by their ECDF and its simultaneous band.

    Saeilynoja, Buerkner & Vehtari 2022; see :mod:`bayesinn.diagnostics.bands`.

    Parameters
    ----------
    columns : names of the k columns
    values : array (n, k)
        Independent within each column, in [0, 1).
    level : float
        Probability that one column of uniform values stays inside the band.
    points : tuple of increasing numbers between 0 and 1, ends excluded
        Where the ECDF is looked at.

    Returns
    -------
    UniformityResult

    Examples
    --------
    >>> import numpy as np
    >>> values = np.random.default_rng(1).random((500, 1))
    >>> uniformity(("rate",), values).passed, uniformity(("rate",), values**1.3).passed
    (True, False)
    """
    check_fraction("level of the band", level)
    size = len(values)
    counts = counts_below(values, np.array(points))
    return UniformityResult(
        columns=tuple(columns),
        values=values,
        band=simultaneous_band(points, size, level),
        p_value=band_p_values(counts, points, size),
    )


def counts_below(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Integer array (k, points): how many values (n, k) of each column lie below each point."""
    return np.stack([np.searchsorted(np.sort(column), points, side="left") for column in values.T])
