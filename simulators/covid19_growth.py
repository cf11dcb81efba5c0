"""Exponential growth in the Covid-19 model: nearly all susceptible, constant transmission."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from bayesinn.simulators.bisection import bisect

Parameters = Mapping[str, tf.Tensor]

_HALVINGS = 26
# Bounds that keep all results finite for extreme parameters.
_SMALLEST_RATE = 1e-3
_LARGEST_CHANGE = 0.2
_SMALLEST_GROWTH = -0.5


class _Removal(NamedTuple):
    """Rates per day, (n,): diagnosis and all removal of carriers, removal of the diagnosed.

    The rates are tensors.
    """

    diagnosis: tf.Tensor
    carriers: tf.Tensor
    diagnosed: tf.Tensor


def transmission_of(growth: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """Return the transmission rate for which all compartments grow by a share ``growth`` a day.

    These are the exposed, carriers and diagnosed.

    It follows from the equations of :func:`simulators.covid19_disease.compartments`, with S = N and
    each compartment times 1 + growth on the next day. It increases with the growth, from zero at
    minus the smallest of the removal rates of the three compartments; below that it is near zero.

    Parameters
    ----------
    growth : tensor (n,), 1/day
    parameters : dict of name to tensor (n,)

    Returns
    -------
    tensor (n,), 1/day
    """
    removal = _removal(parameters)
    exposed, carriers, diagnosed = _sums(growth, parameters, removal)
    return (
        exposed
        * carriers
        * diagnosed
        / (parameters["gamma"] * (diagnosed + parameters["beta"] * removal.diagnosis))
    )


def growth_of(transmission: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """Invert :func:`transmission_of` by bisection.

    Examples
    --------
    >>> names = ("alpha", "beta", "gamma", "eta", "theta", "mu", "delta", "d")
    >>> parameters = dict(zip(names, (0.6, 0.25, 0.15, 0.3, 0.2, 0.125, 0.04, 0.15), strict=True))
    >>> print(f"{growth_of(1.2, parameters):.3f}")
    0.248
    """
    removal = _removal(parameters)
    low = tf.zeros_like(transmission) - tf.minimum(
        tf.minimum(parameters["gamma"], removal.carriers), removal.diagnosed
    )
    high = (1.0 + parameters["beta"]) * transmission

    def is_below(growth: tf.Tensor) -> tf.Tensor:
        return transmission_of(growth, parameters) < transmission

    low, high = bisect(low, high, is_below, _HALVINGS)
    return 0.5 * (low + high)


def log_transmission_slope(growth: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """Return the derivative of log :func:`transmission_of` with respect to growth, in days."""
    removal = _removal(parameters)
    exposed, carriers, diagnosed = _sums(growth, parameters, removal)
    slope = 1.0 / exposed + 1.0 / carriers + 1.0 / diagnosed
    return slope - 1.0 / (diagnosed + parameters["beta"] * removal.diagnosis)


def log_size(parameters: Parameters, days: tf.Tensor, near: tf.Tensor) -> tf.Tensor:
    """Return the log number of diagnoses on a day per person exposed ``days`` before.

    This holds during exponential growth.

    Parameters
    ----------
    parameters : dict of name to tensor (n,)
    days : tensor (n,)
    near : tensor (n,), 1/day
        Start of one step of Newton's method towards the growth that belongs to ``lambda0``.
    """
    removal = _removal(parameters)
    gamma = parameters["gamma"]
    change = tf.math.log(parameters["lambda0"] / transmission_of(near, parameters))
    change /= log_transmission_slope(near, parameters)
    growth = near + _LARGEST_CHANGE * tf.tanh(change / _LARGEST_CHANGE)
    # The share of one exposed person in the growing mode: the residue of the resolvent at its
    # eigenvalue.
    feedback = parameters["lambda0"] * parameters["beta"] * gamma * removal.diagnosis
    feedback /= _positive(growth + removal.diagnosed) ** 2
    part = gamma / _positive(2.0 * growth + gamma + removal.carriers + feedback)
    return (
        tf.math.log(removal.diagnosis * part)
        + tf.math.log1p(tf.maximum(growth, _SMALLEST_GROWTH)) * days
    )


def _removal(parameters: Parameters) -> _Removal:
    diagnosis = (1.0 - parameters["alpha"]) * parameters["eta"]
    return _Removal(
        diagnosis,
        diagnosis + parameters["alpha"] * parameters["theta"],
        (1.0 - parameters["delta"]) * parameters["mu"] + parameters["delta"] * parameters["d"],
    )


def _sums(
    growth: tf.Tensor, parameters: Parameters, removal: _Removal
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return growth plus removal rate of the exposed, of carriers and of the diagnosed."""
    rates = parameters["gamma"], removal.carriers, removal.diagnosed
    return tuple(_positive(growth + rate) for rate in rates)


def _positive(rate: tf.Tensor) -> tf.Tensor:
    return tf.maximum(rate, _SMALLEST_RATE)
