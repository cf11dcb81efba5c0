"""Interventions in the Covid-19 model: transmission rate by day, constraints on change points."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from .covid19_options import LEAD_DAYS, SERIES, Covid19Options


def transmission(
    parameters: Mapping[str, tf.Tensor], options: Covid19Options, whole: bool = True
) -> tf.Tensor:
    """Return the transmission rate lambda(t), (n, 15 + days), from 15 days before observation.

    Five levels, joined by ramps: after change point k the rate takes dt_k days from lambda_(k-1) to
    lambda_k, both ends included, so that the day of the change point still has the old level; a
    ramp of one day is a jump. As published (``ramp_quirk``), the third ramp goes from lambda_3
    towards lambda_4, and ends with a jump back to lambda_3.

    Parameters
    ----------
    parameters : dict of name to tensor (n,)
    options : Covid19Options
    whole : bool
        Whether days are rounded. Otherwise ramps may begin and end between two days, and rates are
        continuous in both.
    """
    steps = LEAD_DAYS + options.most_days
    rate = tf.repeat(parameters["lambda0"][:, None], steps, axis=1)
    if not options.interventions:
        return rate
    day = tf.range(-LEAD_DAYS, steps - LEAD_DAYS, dtype=rate.dtype)
    levels = [parameters[f"lambda{number}"][:, None] for number in range(5)]
    for number in range(1, 5):
        start, length = (parameters[f"{name}{number}"][:, None] for name in ("t", "dt"))
        if whole:
            start = tf.round(start)
            length = tf.round(length)
        since = day - start
        length = tf.maximum(length, 1.0)
        before = levels[number - 1]
        after = levels[number]
        final = levels[number]
        if number == 3 and options.ramp_quirk:
            before = levels[3]
            after = levels[4]
        ramp = _mix(before, after, since / tf.maximum(length - 1.0, 1.0))
        # A ramp of one day has no slope.
        ramp = _mix(final, ramp, length - 1.0)
        rate = _mix(rate, _mix(ramp, final, since - length + 1.0), since + 1.0)
    return rate


def _mix(first: tf.Tensor, second: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Interpolate linearly: the first up to a share of 0, the second from a share of 1."""
    share = tf.clip_by_value(share, 0.0, 1.0)
    return (1.0 - share) * first + share * second


def feasible(
    parameters: Mapping[str, tf.Tensor], days: tf.Tensor | int, options: Covid19Options
) -> tf.Tensor:
    """Return whether parameters (n,) satisfy the constraints of the model, (n,).

    Change points come after the first observed day and in order, each ramp ends before the next
    begins and the last before the data end, and no delay is longer than the days before the first
    observed day. All days are rounded first.
    """
    holds = tf.ones_like(parameters["mu"], tf.bool)
    if options.delay:
        for name in options.series:
            holds &= _whole(parameters[f"L_{SERIES[name]}"]) <= LEAD_DAYS
    if options.interventions:
        starts = [_whole(parameters[f"t{number}"]) for number in range(1, 5)]
        lengths = [_whole(parameters[f"dt{number}"]) for number in range(1, 5)]
        holds &= starts[0] > 0
        for start, length, end in zip(
            starts, lengths, [*starts[1:], tf.cast(days, tf.int32)], strict=True
        ):
            holds &= (length > 0) & (start < end) & (end - start >= length)
    return holds


def _whole(value: tf.Tensor) -> tf.Tensor:
    """Round to whole days, halves to even as in Python and NumPy."""
    return tf.cast(tf.round(value), tf.int32)
