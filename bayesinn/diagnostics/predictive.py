"""Posterior predictive checks: whether data simulated from the posterior resemble the observed."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError, check_type, warn
from bayesinn.diagnostics.arrays import Arrays, check_level
from bayesinn.diagnostics.deviation import Result, p_values

# Test statistics of data (1 + draws, ...): observation, then replications; NaN where unobserved.
#
# Replications may lack further values. Statistics are those of the values that are there, and NaN
# where there are none.
#
# Results are dicts of (column of the observable, statistic) to array (1 + draws,).

#: A function of data sets (n, ...), row by row, that returns one number each: (n,).
Statistic = Callable[[np.ndarray], np.ndarray]

#: up to this many channels (last axis) are looked at one by one, more of them together
MOST_CHANNELS = 8
#: a single axis of more elements is a series: it is drawn as one, its autocorrelation of interest
FEW_ELEMENTS = 8


def default_statistics(name: str, data: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Return the statistics that suit an observable's shape.

    Each of up to eight channels is a column of its own.
    """
    with_channels = data.ndim >= 3 and data.shape[-1] <= MOST_CHANNELS
    parts = (
        {f"{name}[{index}]": data[..., index] for index in range(data.shape[-1])}
        if with_channels
        else {name: data}
    )
    found: dict[tuple[str, str], np.ndarray] = {}
    with warnings.catch_warnings():
        # Of replications without a value.
        warnings.simplefilter("ignore", RuntimeWarning)
        for column, part in parts.items():
            found |= _statistics(column, part, with_channels)
    return found


def _statistics(
    column: str, part: np.ndarray, with_channels: bool
) -> dict[tuple[str, str], np.ndarray]:
    """Return the statistics of one column of an observable."""
    found = {}
    observed = ~np.isnan(part[0])
    values = part.reshape(len(part), -1)[:, observed.ravel()]
    if values.shape[1] == 1:
        found[column, "value"] = values[:, 0]
    elif values.shape[1] > 1:
        low, high = np.nanquantile(values, [0.025, 0.975], axis=0)
        there = np.sum(~np.isnan(values), axis=1)
        found[column, "mean"] = np.nanmean(values, axis=1)
        found[column, "standard deviation"] = np.nanstd(values, axis=1)
        found[column, "minimum"] = np.nanmin(values, axis=1)
        found[column, "maximum"] = np.nanmax(values, axis=1)
        if part.ndim > 1 and (with_channels or part.ndim > 2 or observed.sum() > FEW_ELEMENTS):
            found[column, "lag-one autocorrelation"] = _autocorrelation(part, observed)
        # Sums of fewer values are made comparable with that of all.
        deviations = np.nansum(_standardised(values) ** 2, axis=1)
        found[column, "discrepancy"] = deviations * (values.shape[1] / there)
        outside = np.sum((values < low) | (values > high), axis=1)
        found[column, "share outside 95 %"] = outside / there
    return found


def own_statistics(
    name: str, data: np.ndarray, statistics: Mapping[str, Statistic]
) -> dict[tuple[str, str], np.ndarray]:
    """Return the user's own statistics; each must be one finite number for each data set."""
    found = {}
    for label, function in statistics.items():
        values = np.asarray(function(data))
        numbers = values.dtype.kind in "biuf"
        if values.shape != (len(data),) or not numbers or not np.all(np.isfinite(values)):
            infinite = (
                ", NaN or infinite values" if numbers and not np.isfinite(values).all() else ""
            )
            raise InputError(
                f"statistic {label!r} of observable {name!r}",
                expected=f"one finite number for each data set of an array {data.shape}: shape "
                f"{(len(data),)}",
                got=f"shape {values.shape}, dtype {values.dtype}{infinite}",
                do="reduce all axes but the first, leaving out NaN, which marks what was not "
                "observed: np.nanmean, ...",
            )
        found[name, label] = values.astype(float)
    return found


def _standardised(values: np.ndarray) -> np.ndarray:
    """Return deviations (1 + draws, m) from the mean of all rows, in their sd.

    All rows are treated alike, so that ranks of the first one, the observation, are exact.
    """
    # Where all agree, their mean and deviation may differ from exact ones by rounding.
    least = np.fmin.reduce(values, axis=0)
    constant = least == np.fmax.reduce(values, axis=0)
    centre = np.where(constant, least, np.nanmean(values, axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = (values - centre) / np.where(constant, 0.0, np.nanstd(values, axis=0))
    return np.where(values == centre, 0.0, scaled)


def _autocorrelation(part: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the lag-one autocorrelation (1 + draws,) along the first axis of data.

    It is 0 for constant data.
    """
    axes = tuple(range(1, part.ndim))
    there = ~np.isnan(part)
    count = there.sum(axis=axes)
    mean = np.nanmean(part, axis=axes, keepdims=True)
    centred = np.where(there, part - mean, 0.0)
    # Sums of fewer pairs and values are made comparable with those of all.
    pairs = np.sum(there[:, 1:] & there[:, :-1], axis=axes)
    product = np.sum(centred[:, 1:] * centred[:, :-1], axis=axes)
    product = product * (np.sum(observed[1:] & observed[:-1]) / np.maximum(pairs, 1))
    square = np.sum(centred**2, axis=axes) * (observed.sum() / np.maximum(count, 1))
    varies = square > 1e-24 * (observed.sum() * mean.ravel() ** 2)
    return np.divide(product, square, out=np.zeros_like(square), where=varies)


@dataclass(frozen=True, eq=False, repr=False)
class PredictiveResult(Result):
    """Statistics of one observation and its replications.

    The p-values measure how well they agree, and small ones are flagged. This is not a test of
    known size.
    """

    #: k column names, for example ``"cases[0]"``; repeated for each statistic
    observables: tuple[str, ...]
    statistics: tuple[str, ...]  #: k names of statistics
    observed: np.ndarray  #: (k,), of the observation
    replicated: np.ndarray  #: (draws, k), of the replications
    p_value: np.ndarray  #: (k,), two-sided, each by itself
    level: float  #: one minus the p-value, after Bonferroni, below which a statistic is flagged

    @property
    def flagged(self) -> np.ndarray:
        """Boolean array (k,): whether the p-value, times k, is below ``1 - level``."""
        return len(self.p_value) * self.p_value < 1.0 - self.level

    @property
    def family_p_value(self) -> float:
        """One p-value for all statistics, after Bonferroni."""
        return float(min(1.0, len(self.p_value) * np.min(self.p_value)))

    @property
    def draws_needed(self) -> int:
        """Number of draws needed to flag anything."""
        return int(np.ceil(round(2.0 * len(self.p_value) / (1.0 - self.level), 6)))

    @property
    def summary(self) -> str:
        if len(self.replicated) < self.draws_needed:
            return (
                f"{len(self.replicated)} draws are too few to flag anything: take "
                f"{self.draws_needed}"
            )
        worst = int(np.argmin(self.p_value))
        flagged = f"{np.sum(self.flagged)} of {len(self.p_value)} statistics flagged"
        return f"{flagged}; smallest p-value {self.p_value[worst]:.2g} ({self.columns[worst]})"

    @property
    def _heading(self) -> str:
        return f"Posterior predictive checks, {len(self.replicated)} draws: {self.summary}"

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row a statistic: observed, median, 95 % interval, p-value, whether flagged.

        Median and interval are those of the predictions.
        """
        lower, median, upper = np.quantile(
            self.replicated, [0.025, 0.5, 0.975], axis=0, method="nearest"
        )
        table = {
            "observed": self.observed,
            "predictive_median": median,
            "lower": lower,
            "upper": upper,
        }
        index = pd.MultiIndex.from_arrays(
            [self.observables, self.statistics], names=["observable", "statistic"]
        )
        return pd.DataFrame(
            {**table, "p_value": self.p_value, "flagged": self.flagged}, index=index
        )


def predictive_checks(
    predicted: Arrays,
    observed: Arrays,
    *,
    statistics: Mapping[str, Mapping[str, Statistic]] | None = None,
    level: float = 0.99,
    missing: bool = False,
) -> PredictiveResult:
    """Compare an observation with data simulated from its posterior, statistic by statistic.

    Posterior predictive p-values: Gelman, Meng & Stern 1996, "Posterior predictive assessment of
    model fitness via realized discrepancies", Statistica Sinica 6. They use the data twice, to fit
    and to check, and are therefore *conservative*: under a correct model they crowd around the
    middle, most of all for statistics that the posterior was fitted to (often the mean). A flag
    means that the model can't make such data; no flag means little. Statistics that no parameter
    controls (extremes, autocorrelation) are most informative.

    The discrepancy is the sum of squared deviations from the predictive means, in predictive
    standard deviations. A p-value is twice the share of replications that are as large, or of those
    that are as small, whichever is less; ties count for both. None is below ``2 / (draws + 1)``: k
    statistics need 200 k draws for a flag at level 0.99; with fewer, there is a UserWarning. ArviZ
    draws similar figures from the DataTree of ``posterior.infer``, for one observation without
    padding: ``arviz_plots.plot_ppc_tstat`` (no p-value), ``plot_ppc_pit``, ``plot_ppc_dist``, ...

    Parameters
    ----------
    predicted : dict of observable to array (draws, ...)
        For example one simulation from each posterior draw: ``{name: value.values[0] for name,
        value in tree["posterior_predictive"].items()}``
    observed : dict of observable to array (...)
        NaN where nothing was observed (padding), which is left out on both sides.
    statistics : dict of observable to dict of name to function, optional
        Further statistics: ``{"cases": {"day of peak": lambda cases: cases.argmax(axis=1)}}``. A
        function takes data sets (n, ...), NaN where nothing was observed, and returns (n,). It
        replaces the default statistic with the same name.
    level : float
        A statistic is flagged if its p-value times the number of statistics is below ``1 - level``.
    missing : bool
        Whether NaN in predictions is a missing value, as of a simulator with ``missing="mask"``.
        Statistics are then those of the values that are there; minima and maxima of fewer values
        are less extreme. Predictions without any value are left out, with a warning. By default
        NaN where something was observed is refused.

    Counts that scatter more than a Poisson model can:

    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> cases = generator.negative_binomial(2, 0.1, size=30)
    >>> rate = generator.gamma(
    ...     cases.sum() + 1, 1 / 30, size=(2000, 1)
    ... )  # exact posterior under a flat prior
    >>> result = predictive_checks(
    ...     {"cases": generator.poisson(rate, size=(2000, 30))}, {"cases": cases}
    ... )
    >>> [label for label, flag in zip(result.statistics, result.flagged) if flag]
    ['standard deviation', 'discrepancy', 'share outside 95 %']
    """
    check_level(level)
    data = _paired(predicted, observed, missing)
    own = statistics or {}
    if unknown := sorted(set(own) - set(data)):
        raise InputError(
            "statistics",
            expected=f"functions for some of {sorted(data)}",
            got=f"{unknown}",
            do="name the observable first, then its statistics: {'cases': {'peak': function}}",
        )
    found: dict[tuple[str, str], np.ndarray] = {}
    for name, values in data.items():
        found |= default_statistics(name, values) | own_statistics(name, values, own.get(name, {}))
    if not found:
        raise InputError(
            "observed data",
            expected="at least one observed value",
            got="NaN everywhere",
            do="pass the data that the posterior was given",
        )
    observables, labels = zip(*found, strict=True)
    table = np.stack(list(found.values()), axis=-1)
    if missing:
        table = _complete(table)
    real = table[0]
    replicated = table[1:]
    p_value = np.minimum(
        1.0, 2.0 * np.minimum(p_values(real, replicated), p_values(-real, -replicated))
    )
    result = PredictiveResult(
        tuple(map(": ".join, found)), observables, labels, real, replicated, p_value, level
    )
    if len(table) - 1 < result.draws_needed:
        warn(
            f"predictive checks: {result.summary} ({len(found)} statistics, level {level})",
        )
    return result


def _complete(table: np.ndarray) -> np.ndarray:
    """Return statistics (1 + draws, k) without the replications that lack one; say how many."""
    lacking = np.isnan(table).any(axis=1)
    kept = int(np.sum(~lacking)) - 1
    if lacking[0] or kept < 2:
        raise InputError(
            "predicted data",
            expected="two predictions or more with values where something was observed",
            got=f"{max(kept, 0):,} of {len(table) - 1:,}",
            do="take more draws, or leave out the observable",
        )
    if lacking.any():
        warn(
            f"predictive checks: {kept:,} of {len(table) - 1:,} predictions are compared; the "
            "others have no value where something was observed"
        )
    return table[~lacking]


def _paired(predicted: Arrays, observed: Arrays, missing: bool) -> dict[str, np.ndarray]:
    """Join observation and replications of each observable, (1 + draws, ...), to treat alike."""
    for part in (predicted, observed):
        check_type("observables", part, Mapping, "a dict of name to array", "pass {'cases': array}")
    if not observed or set(predicted) != set(observed):
        raise InputError(
            "observables",
            expected="the same names in both, at least one",
            got=f"predicted {sorted(predicted)}, observed {sorted(observed)}",
            do="pass the same observables in both",
        )
    draws = {name: tuple(np.shape(value)[:1]) for name, value in predicted.items()}
    data = {}
    for name, value in observed.items():
        subject = f"observable {name!r}"
        real = numbers(subject, value, missing=True)
        simulated = numbers(subject, predicted[name], missing=missing)
        if (
            simulated.shape[1:] != real.shape
            or draws[name] != next(iter(draws.values()))
            or draws[name] < (2,)
        ):
            raise InputError(
                subject,
                expected="predicted (draws, ...) with equally many draws, two or more, and "
                "observed (...)",
                got=f"predicted {simulated.shape} and observed {real.shape}; draws {draws}",
                do="pass one observation, and one simulation from each of its posterior draws",
            )
        both = np.concatenate([real[None], simulated]).astype(float)
        unseen = np.isnan(both[0])
        values = both[:, ~unseen]
        faulty = np.isinf(values) if missing else ~np.isfinite(values)
        if bad := np.sum(faulty):
            raise InputError(
                subject,
                expected="finite simulations; finite or NaN observations",
                got=f"{bad} values NaN or infinite where something was observed",
                do="leave out those simulations and count them; pass missing=True if NaN is a "
                "missing value",
            )
        data[name] = np.where(unseen, np.nan, both)
    return data
