"""Interventions in the Covid-19 model: the transmission rate of each day, and what change points are feasible."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from simulators.covid19_options import LEAD_DAYS, SERIES, Covid19Options


def transmission(parameters: Mapping[str, tf.Tensor], options: Covid19Options, whole: bool = True) -> tf.Tensor:
    """Transmission rate lambda(t), (n, 15 + days), from 15 days before the first observed day.

    Five levels, joined by ramps: after change point k the rate takes dt_k days from lambda_(k-1) to lambda_k, both ends
    included, so that the day of the change point still has the old level; a ramp of one day is a jump.

    Parameters
    ----------
    parameters : dict of name to tensor (n,)
    options : Covid19Options
    whole : bool
        Days are rounded. False: between whole days, rates are interpolated.
    """
    steps = LEAD_DAYS + options.most_days
    level = parameters["lambda0"][:, None]
    rate = tf.repeat(level, steps, axis=1)
    if not options.interventions:
        return rate
    levels = [parameters[f"lambda{number}"][:, None] for number in range(5)]
    for number in range(1, 5):
        before, after, settled = levels[number - 1], levels[number], levels[number]
        if number == 3 and options.ramp_quirk:
            before, after = levels[3], levels[4]
        changed = tf.zeros_like(rate)
        for start, share in whole_days(parameters[f"t{number}"], whole):
            for length, share_of_length in whole_days(parameters[f"dt{number}"], whole):
                now = _ramp(rate, start[:, None], length[:, None], before, after, settled)
                changed += (share * share_of_length)[:, None] * now
        rate = changed
    return rate


def whole_days(value: tf.Tensor, whole: bool) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Whole numbers of days and the weight of each: the nearest one, or the two neighbours, to interpolate."""
    if whole:
        return [(_whole(value), tf.ones_like(value))]
    below = tf.floor(value)
    return [
        (tf.cast(below, tf.int32), below + 1.0 - value),
        (tf.cast(below, tf.int32) + 1, value - below),
    ]


def _ramp(
    rate: tf.Tensor, start: tf.Tensor, length: tf.Tensor, before: tf.Tensor, after: tf.Tensor, settled: tf.Tensor
) -> tf.Tensor:
    """The rate until a change point, then a ramp of some days, then the settled level."""
    since = tf.range(-LEAD_DAYS, rate.shape[1] - LEAD_DAYS) - start
    share = tf.cast(since, rate.dtype) / tf.cast(tf.maximum(length - 1, 1), rate.dtype)
    ramp = tf.where((since < length) & (length > 1), before + share * (after - before), settled)
    return tf.where(since >= 0, ramp, rate)


def feasible(parameters: Mapping[str, tf.Tensor], days: tf.Tensor | int, options: Covid19Options) -> tf.Tensor:
    """Whether parameters (n,) satisfy the constraints of the model, (n,).

    Change points come after the first observed day and in order, each ramp ends before the next begins and the last
    before the data end, and no delay is longer than the days simulated ahead. All of it after rounding to whole days.
    """
    holds = tf.ones_like(parameters["mu"], tf.bool)
    if options.delay:
        for name in options.series:
            holds &= _whole(parameters[f"L_{SERIES[name]}"]) <= LEAD_DAYS
    if options.interventions:
        starts = [_whole(parameters[f"t{number}"]) for number in range(1, 5)]
        lengths = [_whole(parameters[f"dt{number}"]) for number in range(1, 5)]
        holds &= starts[0] > 0
        for start, length, end in zip(starts, lengths, [*starts[1:], tf.cast(days, tf.int32)], strict=True):
            holds &= (length > 0) & (start < end) & (end - start >= length)
    return holds


def _whole(value: tf.Tensor) -> tf.Tensor:
    """Nearest whole number of days, halves to even as in Python and NumPy."""
    return tf.cast(tf.round(value), tf.int32)
