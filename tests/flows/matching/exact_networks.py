"""Networks in closed form, for events from N(mean, sd^2): flows with them have exact laws."""

from __future__ import annotations

import math

import tensorflow as tf

from bayesinn.flows import TimeNetwork
from bayesinn.flows.matching import _LEAST_TIME


class Exact(TimeNetwork):
    """What a network learns from infinitely many events."""

    def __init__(self, mean: float = 0.0, sd: float = 1.0) -> None:
        super().__init__()
        self.mean = mean
        self.sd = sd

    def build(self, event_shape, condition_shape=None) -> None:
        """Nothing is learned."""


class ExactVelocity(Exact):
    """The mean velocity of straight lines from noise."""

    def call(self, x, time, embedded=None, training=False):
        time = time[:, None]
        variance = (1.0 - time) ** 2 + (time * self.sd) ** 2
        slope = (time * self.sd**2 - (1.0 - time)) / variance
        return self.mean + slope * (x - time * self.mean)


class ExactDenoiser(Exact):
    """The output of a diffusion's network whose denoiser is the posterior mean of the event."""

    def call(self, x, time, embedded=None, training=False):
        level = tf.exp(4.0 * time[:, None])
        scale = tf.sqrt(1.0 + level**2)
        noisy = x * scale
        clean = (self.sd**2 * noisy + level**2 * self.mean) / (self.sd**2 + level**2)
        return (clean - noisy / scale**2) * scale / level


class ExactConsistency(Exact):
    """The output of a consistency model that maps the noisy law onto that at the least time."""

    def call(self, x, time, embedded=None, training=False):
        time = tf.exp(4.0 * time[:, None])
        scale = tf.sqrt(1.0 + time**2)
        noisy = x * scale
        least = self.sd**2 + _LEAST_TIME**2
        end = self.mean + (noisy - self.mean) * tf.sqrt(least / (self.sd**2 + time**2))
        rest = time - _LEAST_TIME
        return (end - noisy / (1.0 + rest**2)) * scale / tf.maximum(rest, 1e-6)


def shrunk_by_consistency(sd: float, largest_time: float) -> float:
    """Share by which one step shrinks the mean."""
    return math.sqrt((sd**2 + _LEAST_TIME**2) / (sd**2 + largest_time**2))
