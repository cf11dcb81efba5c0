"""Scaling of raw data for networks: heavy tails compressed, all standardised, padding masked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import tensorflow as tf

from bayesinn.core.arrays import broadcast_mask, padding
from bayesinn.core.errors import warn
from bayesinn.simulation.digits import FEWEST_STEPS, SINGLE, SMALLEST, are_whole, resolution

# |x| at its 99.9th percentile over the median of |x|: 5 for a Gaussian, 10 for an exponential, 22
# for a standard log-normal. Above this, standardising would squeeze most data into a point.
_HEAVY_TAIL = 20.0
# Data scale like their logarithms if more than this share is positive: some numbers round to zero.
_POSITIVE = 0.999
# Logarithms may narrow the central 90 % of the data to this share. A floor far below the others,
# such as 1e-12 in place of zero, would narrow them more.
_NARROWEST = 0.7
# Of the largest value, so that ratios stay far from the largest number of single precision.
_SMALLEST_SHARE = 1e-20
# In units of the size of numbers: what varies by less is mostly the rounding of a constant, in
# single precision and in double.
_SMALLEST_SCALE = 1e-6
_SMALLEST_DOUBLE = 1e-12
# Share of values that may be outliers, and their distance from the median, in distances that the
# others keep. Of 4,000 values of a Gaussian the farthest is at 1.2 of these, of a Cauchy law at 8.
_OUTLIERS = 0.002
_FAR = 100.0
# Only where a value is so many standard deviations out is it looked for them.
_SUSPICIOUS = 15.0
# Of standardised data, which networks square and multiply: larger numbers would overflow.
_FARTHEST = 1e6
# Columns that are looked at together.
_COLUMNS = 256


@dataclass(frozen=True)
class Scaling:
    """The map of one variable to unit scale: ``(asinh(x / compress) - mean) / scale``.

    Without heavy tails there is no asinh.

    ``mean`` and ``scale`` have one number per element of a vector, one per channel (last axis) of
    anything else. Both are of double precision for data that single precision would rob of digits,
    or would not hold: they are standardised first.
    """

    compress: float | None
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, name: str = "") -> Scaling:
        """Measure on pilot simulations (n, ...), or on the valid steps (m, channels...) of all.

        NaN is left out, and so are a few values very far from all others, which would make these
        equal for a network. A warning says so, with the ``name`` of the variable.
        """
        finer = resolution(values) < SINGLE
        whole = bool(are_whole(values))
        values = values.astype(np.float64)
        values = values.reshape(-1, values.shape[-1]) if values.ndim > 2 else values
        compress = compression(values, whole)
        if compress is not None:
            values = np.arcsinh(values / compress)
        if np.isnan(values).any():
            values = np.ma.masked_invalid(values)
        outliers = mark_outliers(values)
        if outliers.any():
            values = np.ma.masked_array(values, np.ma.getmaskarray(values) | outliers)
            warn_of_outliers(outliers, name)
        # A column without any value has neither.
        mean, scale = (
            np.ma.filled(part, 0.0) for part in (values.mean(axis=0), values.std(axis=0))
        )
        size = np.abs(mean)
        varies = scale > _SMALLEST_DOUBLE * size
        few = varies & (scale < np.maximum(FEWEST_STEPS * SINGLE * size, SMALLEST))
        # A network's precision flushes such a divisor to zero.
        tiny = compress is not None and compress < SMALLEST
        double = tiny or (finer and bool(np.any(few)))
        kind = np.float64 if double else np.float32
        # A constant carries no information, but it must not divide by zero either.
        smallest = _SMALLEST_DOUBLE if double else _SMALLEST_SCALE
        least = np.maximum(smallest * size, np.finfo(kind).tiny)
        scale = np.where(scale > least, scale, 1.0)
        return cls(compress, np.asarray(mean, kind), np.asarray(scale, kind))

    def apply(self, values: tf.Tensor) -> tf.Tensor:
        """Map raw values to unit scale, as float32."""
        values = tf.cast(values, self.mean.dtype)
        if self.compress is not None:
            values = tf.asinh(values / self.compress)
        return tf.cast((values - self.mean) / self.scale.astype(self.mean.dtype), tf.float32)

    def invert(self, values: np.ndarray) -> np.ndarray:
        """Map values of unit scale back to raw ones."""
        values = values * self.scale + self.mean
        return values if self.compress is None else self.compress * np.sinh(values)

    def __str__(self) -> str:
        return (
            "standardised"
            if self.compress is None
            else f"asinh(x / {self.compress:.3g}), standardised"
        )


@dataclass
class DataSpace:
    """The scalings of all observables and context variables.

    Observables in ``raw`` reach networks unscaled.

    ``lengths`` names, for observables of varying length, the context variable that counts the valid
    steps. With ``missing`` values, an observable has twice the channels: values, zero where they
    are missing, and whether they are there. Steps at which none of the observables in ``gaps`` has
    a value are masked in the one that these are listed for.
    """

    scalings: dict[str, Scaling]
    observables: tuple[str, ...]
    context: tuple[str, ...]
    lengths: Mapping[str, str]
    raw: Collection[str] = ()
    missing: bool = False
    gaps: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        pilot: Mapping[str, np.ndarray],
        observables: tuple[str, ...],
        context: tuple[str, ...],
        lengths: Mapping[str, str],
        raw: Collection[str] = (),
        missing: bool = False,
        alike: Collection[str] = (),
        gaps: Mapping[str, Sequence[str]] = {},
    ) -> DataSpace:
        """Measure all scalings on pilot simulations (n, ...).

        Steps of those ``alike``, and of varying length, have one mean and scale for each channel.
        """
        scalings = {}
        for name in (*observables, *context):
            values = np.asarray(pilot[name])
            if name in lengths:
                counts = np.asarray(pilot[lengths[name]])
                values = values[~padding(values, counts)]
            elif name in alike and values.ndim == 2:
                values = values.reshape(-1)
            scalings[name] = Scaling.fit(values, name)
        return cls(scalings, observables, context, lengths, raw, missing, gaps)

    def to_network(
        self, data: Mapping[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Scale data (n, ...) for networks, padding zero, context flat (n, k); also masks.

        The masks (n, steps) are of valid steps, without gaps where these are masked. Scaled values
        beyond 1e6 count as 1e6.
        """
        inputs = {}
        masks = {}
        for name in self.observables:
            value = (
                tf.cast(data[name], tf.float32)
                if name in self.raw
                else self._standardise(name, data)
            )
            if self.missing:
                value = _with_presence(value)
            if name in self.lengths:
                masks[name] = tf.sequence_mask(
                    tf.cast(data[self.lengths[name]], tf.int32), tf.shape(value)[1]
                )
                # Padding may hold anything, NaN included: select, don't multiply.
                value = tf.where(broadcast_mask(masks[name], value), value, 0.0)
            inputs[name] = value
        for name, seen in self.gaps.items():
            # Padding has no values either.
            there = [_has_values(inputs[other]) for other in seen]
            masks[name] = tf.reduce_any(tf.stack(there), axis=0)
        for name in self.context:
            value = self._standardise(name, data)
            # The width as a plain number, where it is known: networks are built for it.
            width = value.shape[1:].num_elements()
            inputs[name] = tf.reshape(value, (-1, width) if width else (tf.shape(value)[0], -1))
        return inputs, masks

    def _standardise(self, name: str, data: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.clip_by_value(self.scalings[name].apply(data[name]), -_FARTHEST, _FARTHEST)

    def standardise(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Scale as :meth:`to_network` does, ``raw`` observables too: to compare data with."""
        return replace(self, raw=()).to_network(data)[0]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what must be saved of the scalings, beside their compression, by name."""
        arrays: dict[str, np.ndarray] = {}
        for name, scaling in self.scalings.items():
            arrays |= {f"data/{name}/mean": scaling.mean, f"data/{name}/scale": scaling.scale}
        return arrays


def _with_presence(values: tf.Tensor) -> tf.Tensor:
    """Return values (n, ..., channels) with zero for NaN, then their presence as channels."""
    values = values if values.shape.rank > 2 else values[..., tf.newaxis]
    lost = tf.math.is_nan(values)
    return tf.concat([tf.where(lost, 0.0, values), 1.0 - tf.cast(lost, tf.float32)], axis=-1)


def _has_values(values: tf.Tensor) -> tf.Tensor:
    """Return the mask (n, steps) of values with their presence, (n, steps, ..., channels)."""
    presence = values[..., values.shape[-1] // 2 :]
    return tf.reduce_any(presence > 0.0, axis=list(range(2, values.shape.rank)))


def compression(values: np.ndarray, whole: bool) -> float | None:
    """Return the size below which asinh is linear; None if tails are not heavy.

    Values are (n,) or (n, columns). Columns of different size are no heavy tail.
    """
    columns = values.reshape(len(values), -1).T
    if not _is_heavy(values) or not any(_is_heavy(column) for column in columns):
        return None
    sizes = _sizes(values)
    lowest = _SMALLEST_SHARE * sizes.max()
    usual = float(max(np.quantile(sizes, 0.1), lowest))
    if whole:
        # Counts are resolved to one.
        return max(usual, 1.0)
    if np.mean(values[~np.isnan(values)] > 0.0) > _POSITIVE:
        # Almost a logarithm: of numbers that can't be zero, small ones say as much as large ones.
        small = float(max(np.quantile(sizes, 0.001), lowest))
        if _width(sizes, small) > _NARROWEST * _width(sizes, usual):
            return small
    return usual


def mark_outliers(values: np.ndarray) -> np.ndarray:
    """Mark the few values (n, k) of a column that are very far from all others."""
    columns = np.ma.filled(values, np.nan).reshape(len(values), -1)
    found = np.zeros(columns.shape, bool)
    if len(columns) * _OUTLIERS < 1.0:
        return found.reshape(values.shape)
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(values - values.mean(axis=0)) > _SUSPICIOUS * values.std(axis=0)
    suspects = np.flatnonzero(np.ma.filled(distance, False).reshape(columns.shape).any(axis=0))
    for start in range(0, len(suspects), _COLUMNS):
        chosen = suspects[start : start + _COLUMNS]
        some = columns[:, chosen]
        distance = np.abs(some - np.nanmedian(some, axis=0))
        usual = np.nanquantile(distance, 1.0 - _OUTLIERS, axis=0)
        found[:, chosen] = (usual > 0.0) & (distance > _FAR * usual)
    return found.reshape(values.shape)


def warn_of_outliers(outliers: np.ndarray, name: str = "") -> None:
    """Warn of values (n, k) that are marked, of a variable of this name."""
    of_what = f" of {name!r}" if name else ""
    warn(
        f"{outliers.sum():,} of {outliers.size:,} simulated values{of_what} are more than "
        f"{_FAR:.0f} times as far from the median as all others. Networks see the others at unit "
        f"scale, and these as enormous. Leave such simulations out, or return NaN if they stand "
        f"for missing values or failures (missing=..., on_nonfinite=...)."
    )


def _width(values: np.ndarray, compress: float) -> float:
    """Return the width of the central 90 %, in standard deviations, after compression."""
    compressed = np.arcsinh(values / compress)
    low, high = np.quantile(compressed, [0.05, 0.95])
    return float((high - low) / compressed.std())


def _is_heavy(values: np.ndarray) -> bool:
    sizes = _sizes(values)
    return bool(len(sizes) and np.quantile(sizes, 0.999) >= _HEAVY_TAIL * np.median(sizes))


def _sizes(values: np.ndarray) -> np.ndarray:
    """Return absolute values, without zeros and NaN."""
    return np.abs(values[(values != 0.0) & ~np.isnan(values)])
