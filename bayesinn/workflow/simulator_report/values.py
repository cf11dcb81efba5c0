"""Observables as plain matrices: one row a simulation, one column an element, NaN where there is nothing to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bayesinn.simulation.finite import padding

# 2,000 simulations of 10,000 numbers each, 160 MB. Beyond that the first rows must do.
_MOST_NUMBERS = 20_000_000
_FEWEST_ROWS = 200
_NO_FRACTION = 2.0**22
#: Vectors of up to this many elements, and series of up to so many channels, are described one by one.
FEW_ELEMENTS, FEW_CHANNELS = 8, 12


@dataclass(frozen=True, eq=False)
class Values:
    """One observable.

    Parameters
    ----------
    name : str
    shape : event shape
    matrix : float array (n, elements), NaN for padding and for values that are not finite
    integers : bool, whether the dtype is that of integers or booleans
    """

    name: str
    shape: tuple[int, ...]
    matrix: np.ndarray
    integers: bool = False

    @property
    def array(self) -> np.ndarray:
        """The same as (n, *event)."""
        return self.matrix.reshape(len(self.matrix), *self.shape)

    @property
    def whole_numbers(self) -> bool:
        """Whether all values are integers: counts, classes, booleans."""
        # Beyond, floats have no fraction that could tell.
        telling = self.matrix[np.abs(self.matrix) < _NO_FRACTION]
        return self.integers or bool(telling.size and np.all(telling == np.round(telling)))

    def element(self, index: int) -> str:
        """Name of an element, such as ``cases[3]``."""
        if not self.shape:
            return self.name
        return f"{self.name}[{','.join(str(int(i)) for i in np.unravel_index(index, self.shape))}]"

    def parts(self) -> Iterator[tuple[str, np.ndarray]]:
        """What has a scale of its own: the elements of a short vector, the channels of a series, or all together."""
        if len(self.shape) == 1 and 1 < self.shape[0] <= FEW_ELEMENTS:
            for index in range(self.shape[0]):
                yield self.element(index), self.matrix[:, index]
        elif len(self.shape) == 2 and 1 < self.shape[1] <= FEW_CHANNELS:
            for channel in range(self.shape[1]):
                yield f"{self.name}[{channel}]", self.array[..., channel]
        else:
            yield self.name, self.matrix


def values(
    observables: Mapping[str, np.ndarray], context: Mapping[str, np.ndarray], lengths: Mapping[str, str]
) -> tuple[Values, ...]:
    """Lay out observables.

    Parameters
    ----------
    observables, context : dict of name to array (n, *event)
    lengths : dict of observable to the context variable that counts its valid steps

    Returns
    -------
    tuple of Values, one an observable

    Examples
    --------
    >>> padded = values({"x": np.array([[1.0, 0.0], [3.0, 4.0]])}, {"n": np.array([1, 2])}, {"x": "n"})[0]
    >>> padded.matrix.tolist(), padded.element(1)
    ([[1.0, nan], [3.0, 4.0]], 'x[1]')
    """
    laid_out = []
    for name, value in observables.items():
        shape = value.shape[1:]
        elements = int(np.prod(shape, dtype=int))
        rows = max(_FEWEST_ROWS, _MOST_NUMBERS // max(elements, 1))
        array = value[:rows].astype(np.float64)
        array[~np.isfinite(array)] = np.nan
        if name in lengths:
            array[padding(value, context[lengths[name]])[:rows]] = np.nan
        laid_out.append(Values(name, shape, array.reshape(len(array), elements), value.dtype.kind in "iub"))
    return tuple(laid_out)
