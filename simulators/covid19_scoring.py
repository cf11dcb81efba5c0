"""The working model of Covid-19 counts, which a summary fits to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from bayesinn.core.errors import InputError

from .covid19_growth import growth_of, log_size, log_transmission_slope, transmission_of
from .covid19_options import LEAD_DAYS, SERIES, Covid19Options
from .covid19_prior import DELTA
from .covid19_reporting import mean_counts, noise_scales
from .fisher_scoring import WorkingModel

_REGULAR = Covid19Options(regular_noise=True)
# Of the squared residuals; more of them change little.
_REWEIGHTINGS = 4
_SMALLEST_SQUARE = 1e-6
# Parameters that make up for changes of others.
_DEATHS = ("delta",)
_RECOVERIES = ("mu",)
_FIRST_CASES = ("E0",)
_TRANSMISSION = tuple(f"lambda{number}" for number in range(5))
# Phases that are tried.
_PHASES = 14
# Between what delta compensates, and widens. The nearer the ends of its prior, the wider: too much
# for offsets that aren't small.
_COMPENSATES_WITHIN = (0.012, 0.29)
_WIDENS_WITHIN = (0.02, 0.27)
# The largest compensations and widths of transmission, and compensations of E0, on a logarithmic
# scale.
_FURTHEST = 1.2
_WIDEST = 0.8
_FURTHEST_FIRST_CASES = 2.5


@dataclass(eq=False)
class Covid19WorkingModel(WorkingModel):
    """The Covid-19 model of all its series, with fixed number of days and population.

    The working model is that of the simulator with the regular noise, of scale ``sigma sqrt(mean +
    1)``. That will do for the published noise, too, whose scale may vanish.

    Parameters
    ----------
    options : Covid19Options
        Of the simulator, but with ``regular_noise=True``.

    Examples
    --------
    >>> Covid19WorkingModel().rounded[-3:]
    ('L_I', 'L_R', 'L_D')
    """

    options: Covid19Options = _REGULAR

    def __post_init__(self) -> None:
        super().__post_init__()
        options = self.options
        fixed = not isinstance(options.days, tuple) and not isinstance(options.population, tuple)
        if not (options.noise and options.regular_noise and fixed):
            raise InputError(
                "Options for Covid19WorkingModel",
                expected="noise, regular_noise=True, a fixed number of days and a fixed population",
                got=repr(options),
                do="choose CountSeries where a working model can't be fitted",
            )
        letters = [SERIES[name] for name in options.series]
        days = []
        if options.interventions:
            days = [f"{name}{number}" for name in ("t", "dt") for number in range(1, 5)]
        if options.carrier and options.interventions:
            self.compensating = (_DEATHS, _RECOVERIES, _TRANSMISSION, _FIRST_CASES)
        self.periodic = tuple(f"phi_{letter}" for letter in letters) if options.weekly else ()
        if options.delay:
            days += [f"L_{letter}" for letter in letters]
        self.rounded = tuple(days)

    def values(self, x: tf.Tensor) -> tf.Tensor:
        """Counts (n, days, series) as the series one after another, (n, series * days)."""
        return super().values(tf.transpose(x, (0, 2, 1)) if len(x.shape) > 2 else x)

    def mean(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.concat(
            list(mean_counts(parameters, None, self.options, whole=False).values()), axis=-1
        )

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        means = dict(
            zip(self.options.series, tf.split(mean, len(self.options.series), axis=-1), strict=True)
        )
        return tf.math.log(
            tf.concat(list(noise_scales(parameters, means, self.options).values()), axis=-1)
        )

    def start(self, values: tf.Tensor, parameters: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Weekly phases of the highest likelihood, of some around the circle."""
        if not self.options.weekly:
            return parameters
        grid = np.linspace(-np.pi, np.pi, _PHASES, endpoint=False).astype(np.float32)
        many = {name: tf.tile(value, (_PHASES,)) for name, value in parameters.items()}
        for name in self.periodic:
            many[name] = tf.repeat(grid, tf.shape(values)[0])
        mean = self.mean(many)
        tiled = tf.tile(values, (_PHASES, 1))
        log_scale = self.log_scale(self.profile(tiled, mean, many), mean)
        of_days = self.log_densities((tiled - mean) * tf.exp(-log_scale), log_scale)
        of_phases = tf.reduce_sum(
            tf.reshape(of_days, (_PHASES, -1, len(self.periodic), self.options.most_days)), -1
        )
        phases = tf.unstack(tf.gather(grid, tf.argmax(of_phases, axis=0)), axis=-1)
        return {**parameters, **dict(zip(self.periodic, phases, strict=True))}

    def profile(
        self, values: tf.Tensor, mean: tf.Tensor, parameters: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Noise scales of the highest likelihood, for the means of the other parameters."""
        shape = (-1, len(self.options.series), self.options.most_days)
        squares = tf.reshape((values - mean) ** 2 / (mean + 1.0), shape)
        nu = self.degrees_of_freedom
        square = tf.reduce_mean(squares, axis=-1, keepdims=True)
        for _ in range(_REWEIGHTINGS):
            weights = (nu + 1.0) / (nu + squares / (square + _SMALLEST_SQUARE))
            # Over the weights' mean, not over one: nearly the square of the speed (PX-EM, Meng and
            # van Dyk 1997).
            square = tf.reduce_mean(weights * squares, -1, keepdims=True) / tf.reduce_mean(
                weights, -1, keepdims=True
            )
        scales = tf.unstack(tf.sqrt(square[..., 0] + _SMALLEST_SQUARE), axis=-1)
        names = [f"sigma_{SERIES[name]}" for name in self.options.series]
        return {**parameters, **dict(zip(names, scales, strict=True))}

    def compensate(
        self,
        names: tuple[str, ...],
        parameters: Mapping[str, tf.Tensor],
        fitted: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Values that preserve death and recovery rates, phase growth and first cases, in order.

        The growth is that in each phase.
        """
        if names == _DEATHS:
            wanted = fitted["delta"] * fitted["d"] / parameters["d"]
            before, after = (
                tf.clip_by_value(delta, *_COMPENSATES_WITHIN) for delta in (fitted["delta"], wanted)
            )
            odds = _odds(fitted["delta"]) * _odds(after) / _odds(before)
            # A share more of it is more of a change of the odds near the ends of the prior.
            before, after = (
                tf.clip_by_value(delta, *_WIDENS_WITHIN) for delta in (fitted["delta"], wanted)
            )
            width = tf.math.log(_change_of_odds(after) / _change_of_odds(before))
            return {"delta": DELTA[0] + (DELTA[1] - DELTA[0]) * odds / (1.0 + odds)}, {
                "delta": width
            }
        if names == _RECOVERIES:
            return {"mu": (1.0 - fitted["delta"]) * fitted["mu"] / (1.0 - parameters["delta"])}, {}
        if names == _FIRST_CASES:
            growth = growth_of(fitted["lambda0"], fitted)
            # When transmission changes first, as reports show it.
            days = LEAD_DAYS + fitted["t1"] - fitted["L_I"]
            change = log_size(fitted, days, growth) - log_size(parameters, days, growth)
            # Growth that the prior allows may ask for thousands of times as many as it allows.
            change = tf.clip_by_value(change, -_FURTHEST_FIRST_CASES, _FURTHEST_FIRST_CASES)
            return {"E0": fitted["E0"] * tf.exp(change)}, {}
        # All phases at once: graphs are a tenth smaller.
        rates = tf.stack([fitted[name] for name in names])
        growth = growth_of(rates, fitted)
        change = tf.math.log(transmission_of(growth, parameters) / rates)
        # Some decline too slowly for that, whatever the transmission.
        values = tf.unstack(rates * tf.exp(_bounded(change, _FURTHEST)))
        width = log_transmission_slope(growth, parameters) / log_transmission_slope(growth, fitted)
        widths = tf.unstack(_bounded(tf.math.log(width), _WIDEST))
        return dict(zip(names, values, strict=True)), dict(zip(names, widths, strict=True))


def _bounded(change: tf.Tensor, largest: float) -> tf.Tensor:
    return largest * tf.tanh(change / largest)


def _odds(delta: tf.Tensor) -> tf.Tensor:
    """What the vector has the logarithm of."""
    return (delta - DELTA[0]) / (DELTA[1] - delta)


def _change_of_odds(delta: tf.Tensor) -> tf.Tensor:
    """Derivative of the logarithm of the odds by that of delta, up to a factor."""
    return delta / ((delta - DELTA[0]) * (DELTA[1] - delta))
