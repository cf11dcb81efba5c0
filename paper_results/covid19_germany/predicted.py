"""Figures of predicted counts, from the tables of forecast.py, states.py and ablations.py."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, MonthLocator
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from bayesinn.plots.panels import BLACK, BLUE, DASHED, GREY, PAGE, legend_below, styled, wrapped
from bayesinn.plots.predictive import intervals
from bayesinn.simulators.covid19_options import FIRST_DAY, FIT_DAYS

BANDS = (0.95, 0.90, 0.50)
#: Columns of quantiles: ends of the bands, and the median in the middle.
QUANTILES = ["0.025", "0.05", "0.25", "0.5", "0.75", "0.95", "0.975"]


@styled
def draw_forecast(bands: pd.DataFrame) -> Figure:
    """Draw daily counts to the left, totals to the right: forecast_bands.csv."""
    figure = Figure(figsize=(PAGE, 7.6), layout="constrained")
    names = list(bands["series"].unique())
    for row, name in enumerate(names):
        for column, kind in enumerate(("new per day", "total")):
            ax = figure.add_subplot(len(names), 2, 2 * row + column + 1)
            own = bands[(bands["series"] == name) & (bands["kind"] == kind)]
            fan(ax, own)
            ax.set_title(f"{name}, {kind}")
            ax.set_ylabel("people")
            ax.set_xlabel("2020" if row == len(names) - 1 else "")
            if kind != "total":
                # A few heavy-tailed draws would flatten all else.
                ax.set_ylim(
                    min(0.0, 1.1 * own["observed"].min()),
                    1.15 * own[["observed", "0.975"]].max().max(),
                )
    return legend_below(figure)


@styled
def draw_ablations(bands: pd.DataFrame) -> Figure:
    """Draw daily cases, a panel a model: ablations_bands.csv.

    Bands of models that miss by orders of magnitude leave their panel at the top, and say so.
    """
    figure = Figure(figsize=(PAGE, 5.6), layout="constrained")
    models = list(bands["model"].unique())
    axes = list(figure.subplots(2, 2, squeeze=False, sharex=True, sharey=True).flat)
    top = 2.0 * bands["observed"].max()
    for ax, model in zip(axes, models, strict=False):
        own = bands[bands["model"] == model]
        fan(ax, own)
        ax.set(title=model, ylim=(0.0, top))
        if own["0.975"].max() > top:
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8}
            place = {"xy": (0.98, 0.96), "xycoords": "axes fraction", "ha": "right", "va": "top"}
            ax.annotate("bands go on above the panel", **place, bbox=box)
    for ax in axes[::2]:
        ax.set_ylabel("new cases per day")
    for ax in axes[2:]:
        ax.set_xlabel("2020")
    return legend_below(figure)


@styled
def draw_states(table: pd.DataFrame) -> Figure:
    """Draw predicted over observed totals to 5 June, a row a state: states.csv."""
    figure = Figure(figsize=(PAGE, 1.2 + 0.24 * len(table)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    heights = np.arange(len(table))[::-1]
    for ax, (key, name) in zip(
        axes, {"confirmed": "cases", "deaths": "deaths"}.items(), strict=True
    ):
        # Written as "36,757 [29,754, 45,171]".
        written = table[f"predicted {key}"].str.replace(r"(?<=\d),(?=\d{3})", "", regex=True)
        numbers = written.str.extractall(r"(\d+)")[0].astype(float).unstack().to_numpy()
        ratios = numbers / table[f"{key} to 5 June"].to_numpy()[:, None]
        label = "predicted: median and central 90 %"
        ax.hlines(heights, ratios[:, 1], ratios[:, 2], color=BLUE, linewidth=1.5)
        ax.plot(ratios[:, 0], heights, "o", color=BLUE, markersize=3.5, label=label)
        ax.axvline(1.0, label="observed", **DASHED)
        ax.set(title=name, xlabel="predicted / observed")
    figure.suptitle("total from 2 March to 5 June 2020", fontsize=10)
    axes[0].set_yticks(heights, [wrapped(state, 2.2, 9.0) for state in table["state"]])
    return legend_below(figure)


def fan(ax: Axes, bands: pd.DataFrame) -> None:
    """Draw bands with median, and the observed numbers before and after the end of the fit."""
    dates = np.datetime64(FIRST_DAY) + bands["day"].to_numpy()
    observed = bands["observed"].to_numpy()
    curves = bands[QUANTILES].to_numpy().T
    for low, high, colour, name in intervals(curves, BANDS):
        ax.fill_between(dates, low, high, color=colour, linewidth=0, label=name)
    ax.plot(dates, curves[len(BANDS)], color=BLUE, linewidth=1.4, label="median")
    for days, marker, name in (
        (slice(FIT_DAYS), ".", "observed, fitted"),
        (slice(FIT_DAYS, None), "x", "observed, held out"),
    ):
        ax.plot(dates[days], observed[days], marker, color=BLACK, markersize=3, label=name)
    ax.axvline(dates[FIT_DAYS], color=GREY, linewidth=0.8, linestyle=":")
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.set_major_locator(MonthLocator())
    ax.xaxis.set_major_formatter(DateFormatter("%-d %b"))
