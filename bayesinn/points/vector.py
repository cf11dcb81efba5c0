"""All parameters as one vector, each number of unit scale: plain, and with heavy tails squeezed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core import seeds
from bayesinn.core.hdf5 import FLOATS
from bayesinn.core.labels import split_events
from bayesinn.core.storage import SavedModel
from bayesinn.simulation.prior import Prior, Values
from bayesinn.simulation.simulator import Arrays
from bayesinn.simulation.support import support_of
from bayesinn.spaces.data import Scaling

Scalings = Mapping[str, Scaling]
# Whether ends of supports depend on other parameters is seen at so many draws.
_PILOT_DRAWS = 1_000


class Bounds(NamedTuple):
    """The ends of a parameter's support, arrays (*event) or numbers; whether it is an integer."""

    low: np.ndarray | float
    high: np.ndarray | float
    discrete: bool


class ParameterVector:
    """Dict of parameters (n, *event) <-> vectors (n, d) in their own scale, linear or squeezed.

    Means and covariances are those of the linear one; quantiles follow any map that increases.
    """

    def __init__(self, prior: Prior, plain: Scalings, squeezed: Scalings) -> None:
        self.shapes = dict(prior.event_shapes)
        self.plain = plain
        self.squeezed = squeezed
        draws = prior.sample(_PILOT_DRAWS, seeds.tensor_seed(0, "pilot"))
        self._bounds = {name: _bounds(prior, name, draws) for name in self.shapes}

    @classmethod
    def fit(cls, prior: Prior, rows: Mapping[str, np.ndarray]) -> ParameterVector:
        """Measure on simulations (n, ...)."""
        plain = {}
        squeezed = {}
        for name in prior.names:
            values = np.asarray(rows[name], np.float64).reshape(len(rows[name]), -1)
            found = Scaling.fit(values, name)
            # Of double precision, whatever the numbers: they may be large, and differ by little.
            mean = np.asarray(found.mean, np.float64)
            squeezed[name] = Scaling(found.compress, mean, found.scale)
            plain[name] = squeezed[name]
            if found.compress is not None:
                scale = np.asarray(values.std(axis=0), np.float32)
                plain[name] = Scaling(None, values.mean(axis=0), scale)
        return cls(prior, plain, squeezed)

    @classmethod
    def saved(cls, prior: Prior, saved: SavedModel) -> ParameterVector:
        """Return the vector whose :meth:`arrays` are in a saved folder."""
        kinds = []
        for kind in ("plain", "squeezed"):
            scalings = {}
            for name, shape in prior.event_shapes.items():
                place = f"points/{kind}/{name}"
                size = (math.prod(shape),)
                compress = float(saved.array(f"{place}/compress", (), np.float64))
                mean = saved.array(f"{place}/mean", size, np.float64)
                scale = saved.array(f"{place}/scale", size, FLOATS)
                scalings[name] = Scaling(compress or None, mean, scale)
            kinds.append(scalings)
        return cls(prior, *kinds)

    @property
    def scale(self) -> np.ndarray:
        """Units (d,) of the linear vector, in those of the parameters."""
        return np.concatenate([scaling.scale for scaling in self.plain.values()])

    def to_vectors(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return linear and squeezed vectors side by side, (n, 2 d)."""
        parts = [
            scaling.apply(tf.reshape(parameters[name], (-1, math.prod(self.shapes[name]))))
            for scalings in (self.plain, self.squeezed)
            for name, scaling in scalings.items()
        ]
        return tf.concat(parts, axis=-1)

    def from_plain(self, vector: np.ndarray) -> Arrays:
        """Map linear vectors (..., d) to parameters (..., *event) inside their prior's support."""
        return self._inside(self._invert(vector, self.plain))

    def from_squeezed(self, vector: np.ndarray) -> Arrays:
        """Map squeezed vectors (..., d) as :meth:`from_plain` does; integers are whole."""
        values = self._inside(self._invert(vector, self.squeezed))
        return {
            name: np.round(value) if self._bounds[name].discrete else value
            for name, value in values.items()
        }

    def split(self, flat: np.ndarray) -> Arrays:
        """Return numbers (..., d) by parameter, (..., *event)."""
        return split_events(flat, self.shapes)

    def arrays(self) -> Arrays:
        """Return what must be saved, by name."""
        arrays: Arrays = {}
        for kind, scalings in (("plain", self.plain), ("squeezed", self.squeezed)):
            for name, scaling in scalings.items():
                place = f"points/{kind}/{name}"
                arrays[f"{place}/compress"] = np.asarray(scaling.compress or 0.0)
                arrays[f"{place}/mean"] = scaling.mean
                arrays[f"{place}/scale"] = scaling.scale
        return arrays

    def _invert(self, vector: np.ndarray, scalings: Scalings) -> Arrays:
        ends = np.cumsum([len(scaling.mean) for scaling in scalings.values()])[:-1]
        parts = np.split(np.asarray(vector, np.float64), ends, axis=-1)
        numbers = [
            scaling.invert(part) for scaling, part in zip(scalings.values(), parts, strict=True)
        ]
        return self.split(np.concatenate(numbers, axis=-1))

    def _inside(self, values: Arrays) -> Arrays:
        return {
            name: np.clip(value, self._bounds[name].low, self._bounds[name].high)
            for name, value in values.items()
        }


def _bounds(prior: Prior, name: str, draws: Values) -> Bounds:
    """Return the ends of a support, infinite where it has none, or where they depend on others."""
    support = support_of(name, prior.distribution(name, draws))
    if support.is_simplex:
        return Bounds(0.0, 1.0, support.discrete)
    if support.ends is None:
        return Bounds(-np.inf, np.inf, support.discrete)
    low, high = (np.asarray(end, np.float64) for end in support.ends)
    if low.ndim > len(prior.event_shapes[name]):
        # One end may be the same whatever the others are, such as zero.
        low = np.where(np.ptp(low, axis=0) == 0.0, low[0], -np.inf)
        high = np.where(np.ptp(high, axis=0) == 0.0, high[0], np.inf)
    # An integer stands for the unit interval above it.
    return Bounds(low, np.floor(high - 0.5) if support.discrete else high, support.discrete)
