"""A summary of Covid-19 counts that fits the expected counts of the model to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from bayesinn.errors import InputError
from bayesinn.summaries import Scoring, Summary
from simulators.covid19_options import SERIES, Covid19Options
from simulators.covid19_reporting import mean_counts, noise_scales

# Of the squared residuals; more of them change little.
_REWEIGHTINGS = 4
_SMALLEST_SQUARE = 1e-6


class Covid19Scoring(Scoring):
    """Fits the Covid-19 model to all of its series, on a fixed number of days and with a fixed population.

    The working model is that of the simulator with the regular noise, of scale ``sigma sqrt(mean + 1)``. That will do
    for the published noise, too, whose scale may vanish.

    Parameters
    ----------
    first : Summary
        That gives the first estimate.
    options : Covid19Options
        Of the simulator, but with ``regular_noise=True``.
    units, hidden, rounds
        As for :class:`bayesinn.summaries.Scoring`.

    Examples
    --------
    >>> from bayesinn.summaries import CountSeries
    >>> summary = Covid19Scoring(CountSeries(128), Covid19Options(regular_noise=True))
    >>> summary.rounded[-3:]
    ('L_I', 'L_R', 'L_D')
    """

    shapes = ("(n, steps)", "(n, steps, channels)")
    order = "series"

    def __init__(
        self,
        first: Summary,
        options: Covid19Options,
        units: int = 128,
        hidden: Sequence[int] = (384,),
        rounds: int = 1,
    ) -> None:
        super().__init__(first, units, hidden, rounds)
        fixed = not isinstance(options.days, tuple) and not isinstance(options.population, tuple)
        if not (options.noise and options.regular_noise and fixed):
            raise InputError(
                "Options for Covid19Scoring",
                expected="noise, regular_noise=True, a fixed number of days and a fixed population",
                got=repr(options),
                do="choose CountSeries where a working model can't be fitted",
            )
        self.options = options
        letters = [SERIES[name] for name in options.series]
        days = [f"{name}{number}" for name in ("t", "dt") for number in range(1, 5)] if options.interventions else []
        self.rounded = (*days, *(f"L_{letter}" for letter in letters)) if options.delay else tuple(days)

    def values(self, x: tf.Tensor) -> tf.Tensor:
        """Counts (n, days, series) as the series one after another, (n, series * days)."""
        return super().values(tf.transpose(x, (0, 2, 1)) if len(x.shape) > 2 else x)

    def mean(self, parameters: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.concat(list(mean_counts(parameters, None, self.options, whole=False).values()), axis=-1)

    def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
        means = dict(zip(self.options.series, tf.split(mean, len(self.options.series), axis=-1), strict=True))
        return tf.math.log(tf.concat(list(noise_scales(parameters, means, self.options).values()), axis=-1))

    def settle(self, values: tf.Tensor, mean: tf.Tensor, parameters: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Noise scales of the highest likelihood, for the means of the other parameters."""
        shape = (-1, len(self.options.series), self.options.most_days)
        squares = tf.reshape((values - mean) ** 2 / (mean + 1.0), shape)
        nu, square = self.degrees_of_freedom, tf.reduce_mean(squares, axis=-1, keepdims=True)
        for _ in range(_REWEIGHTINGS):
            weights = (nu + 1.0) / (nu + squares / (square + _SMALLEST_SQUARE))
            # Over the weights' mean, not over one: nearly the square of the speed (PX-EM, Meng and van Dyk 1997).
            square = tf.reduce_mean(weights * squares, -1, keepdims=True) / tf.reduce_mean(weights, -1, keepdims=True)
        scales = tf.unstack(tf.sqrt(square[..., 0] + _SMALLEST_SQUARE), axis=-1)
        names = [f"sigma_{SERIES[name]}" for name in self.options.series]
        return {**parameters, **dict(zip(names, scales, strict=True))}
