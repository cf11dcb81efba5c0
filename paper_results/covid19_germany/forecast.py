"""Posterior predictive of the 81 days of the fit, and the forecast of the 21 days after."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import tensorflow as tf
from predicted import BANDS, QUANTILES, draw_forecast
from published import CUMULATIVE, INFEASIBLE
from shared import LABELS, SEED, Arrays, Study
from train import options_of

from bayesinn import plots
from bayesinn.plots.predictive import quantiles
from bayesinn.simulators.covid19 import germany
from bayesinn.simulators.covid19_options import FIT_DAYS, Covid19Options
from bayesinn.simulators.covid19_reporting import simulate_counts

DRAWS = 5_000
DAYS = 102
ROWS = {"20 May": 79, "11 June": 101}


def run(study: Study) -> None:
    """Simulate on, count, tabulate, draw."""
    shares = []
    cumulative = []
    for name, posterior in study.posteriors("covid19", "covid19_regular").items():
        draws = posterior.sample(germany(), draws=study.size(DRAWS, 200), seed=SEED)
        predicted, infeasible = predict(draws, options_of(name), DAYS)
        observed = germany(DAYS)
        for days, part in (("fit", slice(0, FIT_DAYS)), ("forecast", slice(FIT_DAYS, DAYS))):
            for series in (*predicted, "all"):
                some = {key: predicted[key] for key in predicted if series in (key, "all")}
                row: dict[str, object] = {"posterior": LABELS[name], "days": days, "series": series}
                row["values"] = len(some) * len(observed[next(iter(some))][part])
                row |= {
                    f"inside {band:.0%}": share_inside(some, observed, part, band)
                    for band in BANDS[::-1]
                }
                row |= {"infeasible draws": infeasible, "infeasible, published": INFEASIBLE}
                shares.append(row)
        for (series, date), (seen, *numbers) in CUMULATIVE.items():
            totals = predicted[series].cumsum(axis=1)[:, ROWS[date]]
            row = {
                "posterior": LABELS[name],
                "series": series,
                "to": date,
                "observed": int(observed[series][: ROWS[date] + 1].sum()),
            }
            if row["observed"] != seen:
                raise ValueError(
                    f"{series} to {date}: the data have {row['observed']}, the published table "
                    f"{seen}"
                )
            row |= {"published: median": numbers[0], "median": float(np.median(totals))}
            for index, band in enumerate(BANDS[::-1]):
                low, high = _interval(totals, band)
                row[f"published: {band:.0%}"] = (
                    f"{numbers[1 + 2 * index]:,} to {numbers[2 + 2 * index]:,}"
                )
                row[f"{band:.0%}"] = f"{low:,.0f} to {high:,.0f}"
            cumulative.append(row)
        # Nobody could tell that of the regular noise from it.
        if name == "covid19":
            bands = pd.concat(
                [
                    banded(totals(values), totals(observed[key]), series=key, kind=kind)
                    for key, values in predicted.items()
                    for kind, totals in (("new per day", np.asarray), ("total", cumulated))
                ]
            )
            bands.to_csv(study.target / "forecast_bands.csv", index=False, float_format="%.5g")
            plots.save(draw_forecast(bands), study.target / "forecast.png")
    if shares:
        study.write(pd.DataFrame(shares), "forecast")
        study.write(pd.DataFrame(cumulative), "forecast_cumulative")


def predict(
    draws: Arrays, options: Covid19Options, days: int, population: float | None = None
) -> tuple[dict[str, np.ndarray], float]:
    """Counts (m, days) simulated with noise from draws (n,), and the share of draws ruled out.

    The constraints rule them out.
    """
    known = options.population if population is None else population
    tensors = {name: tf.constant(np.asarray(values, np.float32)) for name, values in draws.items()}
    compiled = _simulate(replace(options, days=days))
    counts = {
        name: values.numpy()
        for name, values in compiled(tensors, tf.constant(known, tf.float32)).items()
    }
    feasible = np.all([np.isfinite(values).all(axis=1) for values in counts.values()], axis=0)
    return {name: values[feasible] for name, values in counts.items()}, float(1.0 - feasible.mean())


@functools.cache
def _simulate(options: Covid19Options) -> Callable[..., dict[str, tf.Tensor]]:
    def simulate(parameters: dict[str, tf.Tensor], population: tf.Tensor) -> dict[str, tf.Tensor]:
        return simulate_counts(
            parameters, {"population": population}, tf.constant([SEED, 0]), options
        )

    return tf.function(simulate, autograph=False)


def cumulated(values: np.ndarray) -> np.ndarray:
    """Return totals to each day of values (..., days)."""
    return values.cumsum(axis=-1)


def banded(values: np.ndarray, observed: np.ndarray, **names: str) -> pd.DataFrame:
    """Return quantiles of values (draws, days) and what was observed, a row a day."""
    table = pd.DataFrame(quantiles(values, BANDS).T, columns=QUANTILES)
    table.insert(0, "observed", observed)
    table.insert(0, "day", np.arange(len(table)))
    for name, value in reversed(names.items()):
        table.insert(0, name, value)
    return table


def share_inside(predicted: Arrays, observed: Arrays, days: slice, band: float) -> float:
    """Share of observed numbers inside the band on some days; NaN if no draw was feasible.

    The numbers are those of all series that are predicted.
    """
    inside = []
    for name, values in predicted.items():
        low, high = _interval(values[:, days], band)
        seen = observed[name][days]
        inside.append(np.where(np.isnan(low), np.nan, (low <= seen) & (seen <= high)))
    return float(np.mean(inside))


def _interval(values: np.ndarray, band: float) -> tuple[np.ndarray, np.ndarray]:
    if len(values) == 0:
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing
    low, high = np.quantile(values, [0.5 - 0.5 * band, 0.5 + 0.5 * band], axis=0)
    return low, high
