"""Reporting of cases in the Covid-19 model: delay, weekly modulation, heavy-tailed noise.

Their likelihood is here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

from .covid19_disease import compartments, daily_flows
from .covid19_interventions import feasible
from .covid19_options import LEAD_DAYS, SERIES, Covid19Options

_PUBLISHED = Covid19Options()
# log of Gamma(5/2) / (Gamma(2) sqrt(4 pi)): the density of Student's t with four degrees of freedom
# at zero, 3/8.
_LOG_DENSITY_AT_ZERO = math.log(3.0 / 8.0)


def expected_counts(
    parameters: Mapping[str, tf.Tensor],
    context: Mapping[str, tf.Tensor] | None = None,
    options: Covid19Options = _PUBLISHED,
) -> dict[str, tf.Tensor]:
    """Return the mean of the reported counts on each day.

    It is the number of new cases L days before, times a share that changes over the week: on day k
    the share is ``1 - (1 - A) (1 - |sin(pi k / 7 - phi / 2)|)``, which lies between A and 1.

    Parameters
    ----------
    parameters : dict of name to tensor (n,), in single or double precision
    context : dict
        ``population`` and ``days``, numbers or tensors (n,); by default those of the options.
    options : Covid19Options

    Returns
    -------
    dict of series to tensor (n, days)
        NaN where parameters violate the constraints; zero on days after the last observed one.
    """
    _, days = _known(context, options)
    holds = feasible(parameters, days, options)[:, None]
    means = mean_counts(parameters, context, options)
    return {name: tf.where(holds, mean, math.nan) for name, mean in means.items()}


def mean_counts(
    parameters: Mapping[str, tf.Tensor],
    context: Mapping[str, tf.Tensor] | None = None,
    options: Covid19Options = _PUBLISHED,
    *,
    whole: bool = True,
) -> dict[str, tf.Tensor]:
    """Return the means of :func:`expected_counts`, whether or not the constraints are satisfied.

    With ``whole=False`` change points, ramps and delays are not rounded to whole days, nor the
    initially exposed to whole people: means are then continuous in all parameters. Between whole
    delays, counts are interpolated.
    """
    population, days = _known(context, options)
    states = compartments(parameters, population, options, whole)
    flows = daily_flows(parameters, states, options)
    day = tf.range(options.most_days)
    means = {}
    for name in options.series:
        letter = SERIES[name]
        flow = flows[name]
        reported = flow[:, LEAD_DAYS:]
        if options.delay:
            delay = parameters[f"L_{letter}"][:, None]
            delay = tf.round(delay) if whole else delay
            origin = LEAD_DAYS + day - tf.cast(tf.floor(delay), tf.int32)
            share = delay - tf.floor(delay)
            reported = (1.0 - share) * _on_day(origin, flow) + share * _on_day(origin - 1, flow)
        if options.weekly:
            # |sin(pi k / 7 - phi / 2)| from one sine and one cosine for all days: sines cost more
            # than the rest.
            half = 0.5 * parameters[f"phi_{letter}"][:, None]
            angle = math.pi / 7.0 * tf.cast(day, flow.dtype)
            wave = tf.abs(tf.sin(angle) * tf.cos(half) - tf.cos(angle) * tf.sin(half))
            reported *= 1.0 - (1.0 - parameters[f"A_{letter}"][:, None]) * (1.0 - wave)
        means[name] = tf.where(_observed(days, options), reported, 0.0)
    return means


def _on_day(origin: tf.Tensor, flow: tf.Tensor) -> tf.Tensor:
    """Return the flow on days (n, k), from the first simulated one; outside, the end values.

    These are those of the first or last day.
    """
    return tf.gather(flow, tf.clip_by_value(origin, 0, flow.shape[1] - 1), axis=1, batch_dims=1)


def simulate_counts(
    parameters: Mapping[str, tf.Tensor],
    context: Mapping[str, tf.Tensor] | None,
    seed: tf.Tensor,
    options: Covid19Options = _PUBLISHED,
) -> dict[str, tf.Tensor]:
    """Draw reported counts, tensors (n, days): mean plus Student-t noise, as they are.

    They are neither rounded nor forced to be positive.
    """
    means = expected_counts(parameters, context, options)
    if not options.noise:
        return means
    _, days = _known(context, options)
    scales = noise_scales(parameters, means, options)
    shape = (tf.shape(parameters["mu"])[0], len(means) * options.most_days)
    # XLA's own generator is many times slower than this one on a CPU, and one long call faster than
    # several.
    uniform = tf.random.stateless_uniform(shape, seed, dtype=parameters["mu"].dtype, alg="philox")
    # Shifted away from zero, by half the spacing of single precision.
    noise = tf.split(student_t_quantile(uniform + 2.0**-24), len(means), axis=1)
    counts = {}
    for (name, mean), of_series in zip(means.items(), noise, strict=True):
        counts[name] = tf.where(_observed(days, options), mean + scales[name] * of_series, mean)
    return counts


def student_t_quantile(probability: tf.Tensor) -> tf.Tensor:
    """Return quantiles of Student's t with four degrees of freedom, in closed form.

    With ``phi = arcsin(2 p - 1)``, the quantile is ``2 sqrt(2 sin(phi/3) sin(2 phi/3) / cos(phi))``
    with the sign of phi: Shaw's formula, rearranged so that nothing cancels near the median. One
    uniform number gives one draw, without rejection.

    References
    ----------
    W. T. Shaw (2006), Sampling Student's T distribution: use of the inverse cumulative distribution
    function, Journal of Computational Finance 9(4).

    Examples
    --------
    >>> student_t_quantile(tf.constant([0.5, 0.975])).numpy().round(3)
    array([0.   , 2.776], dtype=float32)
    """
    phi = tf.asin(2.0 * probability - 1.0)
    cosine = 2.0 * tf.sqrt(probability * (1.0 - probability))
    return 2.0 * tf.sign(phi) * tf.sqrt(2.0 * tf.sin(phi / 3.0) * tf.sin(2.0 * phi / 3.0) / cosine)


def noise_scales(
    parameters: Mapping[str, tf.Tensor],
    means: Mapping[str, tf.Tensor],
    options: Covid19Options = _PUBLISHED,
) -> dict[str, tf.Tensor]:
    """Return the noise scale on each day, (n, days), for the means of :func:`expected_counts`."""
    extra = 1.0 if options.regular_noise else 0.0
    return {
        name: parameters[f"sigma_{SERIES[name]}"][:, None] * tf.sqrt(mean + extra)
        for name, mean in means.items()
    }


def log_density(
    parameters: Mapping[str, tf.Tensor],
    observables: Mapping[str, tf.Tensor],
    context: Mapping[str, tf.Tensor] | None = None,
    options: Covid19Options = _PUBLISHED,
) -> tf.Tensor:
    """Return the log density (n,) of counts given parameters, in closed form and in the graph.

    Given parameters the epidemic is deterministic, so that the counts are independent. Where the
    scale of the noise is zero, the count equals the mean: that atom counts as a density of one.
    Such a value is not comparable with a proper density; ``regular_noise`` has no atoms. The
    density is piecewise constant in the rounded parameters t, dt, L and E0.

    Parameters
    ----------
    parameters : dict of name to tensor (n,)
    observables : dict of series to tensor (days,) or (n, days)
    context, options : as for :func:`expected_counts`

    Returns
    -------
    tensor (n,), -inf where the constraints are violated
    """
    _, days = _known(context, options)
    means = expected_counts(parameters, context, options)
    total = tf.zeros_like(parameters["mu"])
    for name, scale in noise_scales(parameters, means, options).items():
        error = tf.cast(observables[name], scale.dtype) - means[name]
        atom = scale == 0.0
        safe = tf.where(atom, tf.ones_like(scale), scale)
        density = (
            _LOG_DENSITY_AT_ZERO
            - 2.5 * tf.math.log1p(0.25 * (error / safe) ** 2)
            - tf.math.log(safe)
        )
        density = tf.where(atom, tf.where(error == 0.0, tf.zeros_like(error), -math.inf), density)
        total += tf.reduce_sum(tf.where(_observed(days, options), density, 0.0), axis=1)
    return tf.where(feasible(parameters, days, options), total, -math.inf)


def _known(
    context: Mapping[str, tf.Tensor] | None, options: Covid19Options
) -> tuple[tf.Tensor | float, tf.Tensor | int]:
    """Return population and number of days, from the context or else from the options."""
    context = context or {}
    population = options.population
    days = options.days
    return (
        context["population"]
        if isinstance(population, tuple)
        else context.get("population", population),
        context["days"] if isinstance(days, tuple) else context.get("days", days),
    )


def _observed(days: tf.Tensor | int, options: Covid19Options) -> tf.Tensor:
    """Return which days have data: (days,) or (n, days)."""
    return tf.range(options.most_days) < tf.cast(days, tf.int32)[..., None]
