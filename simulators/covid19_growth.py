"""Exponential growth in the Covid-19 model, while nearly all people are susceptible and transmission is constant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

Parameters = Mapping[str, tf.Tensor]

_HALVINGS = 26
# Keep all finite far from where it is meant to be good.
_SMALLEST_RATE, _LARGEST_CHANGE, _SMALLEST_GROWTH = 1e-3, 0.2, -0.5


class _Removal(NamedTuple):
    """Rates a day, tensors (n,): carriers are diagnosed, or leave in any way; the diagnosed leave."""

    diagnosis: tf.Tensor
    carriers: tf.Tensor
    diagnosed: tf.Tensor


def transmission_of(growth: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """Transmission rate at which the exposed, carriers and diagnosed all grow by a share ``growth`` a day.

    From the equations of :func:`simulators.covid19_disease.compartments`, with S = N and each compartment times
    1 + growth on the next day. Increases with the growth, from zero at minus the smallest of the rates at which the
    three compartments are left; near zero below that.

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
    return exposed * carriers * diagnosed / (parameters["gamma"] * (diagnosed + parameters["beta"] * removal.diagnosis))


def growth_of(transmission: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """The inverse of :func:`transmission_of`.

    Examples
    --------
    >>> names = ("alpha", "beta", "gamma", "eta", "theta", "mu", "delta", "d")
    >>> parameters = dict(zip(names, (0.6, 0.25, 0.15, 0.3, 0.2, 0.125, 0.04, 0.15), strict=True))
    >>> print(f"{growth_of(1.2, parameters):.3f}")
    0.248
    """
    removal = _removal(parameters)
    low = -tf.minimum(tf.minimum(parameters["gamma"], removal.carriers), removal.diagnosed)
    high = (1.0 + parameters["beta"]) * transmission

    # A loop, which XLA would compile to much larger code if it were unrolled.
    def halve(low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        middle = 0.5 * (low + high)
        below = transmission_of(middle, parameters) < transmission
        return tf.where(below, middle, low), tf.where(below, high, middle)

    low, high = tf.while_loop(lambda *_: True, halve, (low, high), maximum_iterations=_HALVINGS)
    return 0.5 * (low + high)


def log_transmission_slope(growth: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """Derivative of the logarithm of :func:`transmission_of` by the growth, in days."""
    removal = _removal(parameters)
    exposed, carriers, diagnosed = _sums(growth, parameters, removal)
    slope = 1.0 / exposed + 1.0 / carriers + 1.0 / diagnosed
    return slope - 1.0 / (diagnosed + parameters["beta"] * removal.diagnosis)


def log_size(parameters: Parameters, days: tf.Tensor, near: tf.Tensor) -> tf.Tensor:
    """Logarithm of the diagnoses on a day, per person exposed so many days before; once growth is exponential.

    Parameters
    ----------
    parameters : dict of name to tensor (n,)
    days : tensor (n,)
    near : tensor (n,), 1/day
        A growth from where one step of Newton's method leads to that of ``lambda0``.
    """
    removal, gamma = _removal(parameters), parameters["gamma"]
    change = tf.math.log(parameters["lambda0"] / transmission_of(near, parameters))
    change /= log_transmission_slope(near, parameters)
    growth = near + _LARGEST_CHANGE * tf.tanh(change / _LARGEST_CHANGE)
    # The part of one exposed person in the growing mode: the residue of the resolvent at its eigenvalue.
    feedback = parameters["lambda0"] * parameters["beta"] * gamma * removal.diagnosis
    feedback /= _positive(growth + removal.diagnosed) ** 2
    part = gamma / _positive(2.0 * growth + gamma + removal.carriers + feedback)
    return tf.math.log(removal.diagnosis * part) + tf.math.log1p(tf.maximum(growth, _SMALLEST_GROWTH)) * days


def _removal(parameters: Parameters) -> _Removal:
    diagnosis = (1.0 - parameters["alpha"]) * parameters["eta"]
    return _Removal(
        diagnosis,
        diagnosis + parameters["alpha"] * parameters["theta"],
        (1.0 - parameters["delta"]) * parameters["mu"] + parameters["delta"] * parameters["d"],
    )


def _sums(growth: tf.Tensor, parameters: Parameters, removal: _Removal) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Growth and removal of the exposed, of carriers and of the diagnosed."""
    rates = parameters["gamma"], removal.carriers, removal.diagnosed
    return tuple(_positive(growth + rate) for rate in rates)


def _positive(rate: tf.Tensor) -> tf.Tensor:
    return tf.maximum(rate, _SMALLEST_RATE)
