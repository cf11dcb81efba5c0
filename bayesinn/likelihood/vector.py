"""All observables as one standardised vector, with log-det: what a flow of data models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property

import numpy as np
import tensorflow as tf
from scipy.stats import qmc

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.core.labels import split_events
from bayesinn.simulation.digits import are_whole
from bayesinn.simulation.simulator import Arrays
from bayesinn.spaces.data import compression, mark_outliers, warn_of_outliers

Shapes = Mapping[str, tuple[int, ...]]

# A whole number stands for a unit interval, over which the density is averaged at so many points.
_POINTS_LOG2 = 3
# Largest relative difference at which a value still equals a constant.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Frame:
    """Arrays (D,), one number for each element of the data, that make a vector of them.

    ``compress`` is zero where there are no heavy tails; see :class:`Scaling`. ``whole`` numbers are
    spread over the unit interval above them. Elements that don't ``vary`` are left out: they are
    the ``mean``.
    """

    compress: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    whole: np.ndarray
    vary: np.ndarray


class DataVector:
    """Dict of observables (n, ...) <-> standardised vector (n, dimension), with log-det.

    Examples
    --------
    >>> data = {"x": np.array([[0.5], [2.5]]), "count": np.array([3.0, 5.0])}
    >>> vector = DataVector.fit({"x": (1,), "count": ()}, data, seed=1)
    >>> z, log_det = vector.to_vector(data, noise=tf.fill((2, 2), 0.5))
    >>> z.shape, vector.from_vector(z.numpy())["count"].tolist()
    (TensorShape([2, 2]), [3.0, 5.0])
    """

    def __init__(self, shapes: Shapes, frame: Frame) -> None:
        self.shapes = dict(shapes)
        self.frame = frame
        self.dimension = int(frame.vary.sum())
        self._kept = np.flatnonzero(frame.vary)
        self._constant = np.flatnonzero(~frame.vary)

    @classmethod
    def fit(cls, shapes: Shapes, rows: Mapping[str, np.ndarray], seed: int) -> DataVector:
        """Measure on simulations (n, ...)."""
        parts = [np.asarray(rows[name]).reshape(len(rows[name]), -1) for name in shapes]
        values = np.concatenate([part.astype(np.float64) for part in parts], axis=1)
        compress = np.concatenate([_compression(part) for part in parts])
        whole = np.concatenate([are_whole(part, axis=0) for part in parts])
        vary = np.ptp(values, axis=0) > 0.0
        noise = seeds.generator(seed, "dequantise").random(values.shape)
        squeezed = _squeeze(values + whole * noise, compress)
        outliers = mark_outliers(squeezed)
        if outliers.any():
            warn_of_outliers(outliers)
        usual = np.ma.masked_array(squeezed, outliers)
        mean = np.where(vary, usual.mean(axis=0).data, values[0])
        scale = np.where(vary, usual.std(axis=0).data, 1.0)
        if not vary.any():
            raise InputError(
                f"Observables {list(shapes)}",
                expected="data of which a part varies",
                got="none",
                do="check what the simulator returns",
            )
        return cls(shapes, Frame(compress, mean, scale, whole, vary))

    def to_vector(
        self, data: Mapping[str, tf.Tensor], noise: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Map data (n, ...), with noise (n, dimension) for whole numbers, to vectors and log_det.

        The noise is from [0, 1).
        """
        frame = self.frame
        # Data may have more digits than single precision.
        values = tf.gather(self._side_by_side(data), self._kept, axis=-1)
        values += tf.cast(noise, tf.float64) * frame.whole[self._kept].astype(float)
        compress = frame.compress[self._kept]
        heavy = compress > 0.0
        safe = np.where(heavy, compress, 1.0)
        squeezed = tf.where(heavy, tf.asinh(values / safe), values)
        vector = (squeezed - frame.mean[self._kept]) / frame.scale[self._kept]
        slopes = tf.where(heavy, -0.5 * tf.math.log(values**2 + safe**2), 0.0)
        log_det = tf.reduce_sum(slopes - np.log(frame.scale[self._kept]), axis=-1)
        return tf.cast(vector, tf.float32), tf.cast(log_det, tf.float32)

    def check_start(self, start: DataVector) -> None:
        """Refuse the vector of a start that can't take what varies, or fractions, here."""
        known = start.frame
        unseen = self.frame.vary & ~known.vary
        fractions = known.vary & known.whole & ~self.frame.whole
        if not (unseen | fractions).any():
            return
        raise InputError(
            "Argument 'start_from'",
            expected="one trained on data of the same kind",
            got=f"one for which {unseen.sum()} of the elements that vary now were constant, and "
            f"{fractions.sum()} of those with fractions were whole numbers",
            do="start from new weights",
        )

    @cached_property
    def offsets(self) -> np.ndarray:
        """Points (k, dimension) of the unit intervals of whole numbers; one, zero, without any."""
        whole = self.frame.whole[self._kept]
        if not whole.any():
            return np.zeros((1, self.dimension))
        grid = qmc.Sobol(int(whole.sum()), scramble=False).random_base2(_POINTS_LOG2)
        offsets = np.zeros((len(grid), self.dimension))
        offsets[:, whole] = grid + 0.5 / len(grid)
        return offsets

    def points(self, data: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Return vectors (n, k, dimension) whose mean density is that of the data; log_det (n, k).

        Whole numbers are put at k points of their intervals; k is one where there are none. The
        log_det is -inf for data that differ from what is constant in all simulations, and for
        fractions of what is whole in all of them.
        """
        counts = self._kept[self.frame.whole[self._kept]]
        offsets = self.offsets
        values = self._side_by_side(data)
        count = tf.shape(values)[0]
        repeated = {name: tf.repeat(value, len(offsets), axis=0) for name, value in data.items()}
        vector, log_det = self.to_vector(repeated, tf.tile(offsets, (count, 1)))
        constant = self.frame.mean[self._constant]
        other = tf.gather(values, self._constant, axis=-1) - constant
        wrong = tf.reduce_any(tf.abs(other) > _ROUNDING * np.abs(constant), axis=-1)
        counted = tf.gather(values, counts, axis=-1)
        wrong |= tf.reduce_any(counted != tf.floor(counted), axis=-1)
        log_det = tf.where(wrong[:, None], -np.inf, tf.reshape(log_det, (-1, len(offsets))))
        return tf.reshape(vector, (-1, len(offsets), self.dimension)), log_det

    def from_vector(self, vector: np.ndarray) -> Arrays:
        """Map vectors (n, dimension) to data (n, ...)."""
        frame = self.frame
        values = np.tile(frame.mean, (len(vector), 1))
        squeezed = vector * frame.scale[self._kept] + frame.mean[self._kept]
        compress = frame.compress[self._kept]
        heavy = compress > 0.0
        squeezed[:, heavy] = compress[heavy] * np.sinh(squeezed[:, heavy])
        values[:, self._kept] = squeezed
        values = np.where(frame.whole, np.floor(values), values)
        return split_events(values, self.shapes)

    def arrays(self) -> Arrays:
        """Return what must be saved, by name."""
        return {f"data/{name}": value for name, value in asdict(self.frame).items()}

    def _side_by_side(self, data: Mapping[str, tf.Tensor]) -> tf.Tensor:
        parts = [
            tf.reshape(tf.cast(data[name], tf.float64), (-1, math.prod(shape)))
            for name, shape in self.shapes.items()
        ]
        return tf.concat(parts, axis=-1)


def names_of_frame() -> list[str]:
    """Return the names of a frame's arrays."""
    return [field.name for field in fields(Frame)]


def _compression(columns: np.ndarray) -> np.ndarray:
    found = compression(columns.astype(np.float64), bool(are_whole(columns)))
    return np.full(columns.shape[1], found or 0.0)


def _squeeze(values: np.ndarray, compress: np.ndarray) -> np.ndarray:
    heavy = compress > 0.0
    return np.where(heavy, np.arcsinh(values / np.where(heavy, compress, 1.0)), values)
