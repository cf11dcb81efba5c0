"""Tables of runs.csv, and figures of it and of kept draws.

    python paper_results/refinement/tables.py

results.csv has a row for each model; gain.png shows C2ST before and after, draws.png what the draws
of one observation of each model look like, forecast.png the bands that predict.py has found.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import MO, DateFormatter, WeekdayLocator
from matplotlib.figure import Figure

from bayesinn import plots
from bayesinn.core.labels import Labels
from bayesinn.plots.panels import (
    BLACK,
    BLUE,
    GREY,
    LIGHT_GREY,
    ORANGE,
    PAGE,
    RED,
    legend_below,
    styled,
    tint,
)
from bayesinn.simulators.covid19_options import FIRST_DAY, FIT_DAYS
from bayesinn.simulators.covid19_prior import LABELS, UNITS

AIM = 0.52
TITLES = {
    "two_moons": "two moons",
    "sir": "SIR",
    "tissue": "tissue, 8 bands",
    "covid19": "Covid-19, regular noise",
}
#: Colour and name of each way.
WAYS = {
    "importance": (BLUE, "weights"),
    "smc": (RED, "SMC"),
    "nuts": (ORANGE, "NUTS"),
    "amortized": (GREY, "left as they were"),
}
#: Pairs of parameters whose draws are drawn, where refining changes them.
SHOWN = (
    ("two_moons", "theta1", "theta2"),
    ("covid19", "L_R", "sigma_R"),
    ("covid19", "L_I", "L_D"),
)
FIRST_SHOWN = 46
#: Ends of bands, what they hold, and how strongly they are drawn.
BANDS = (
    ("0.025", "0.975", "95 % band", 0.2),
    ("0.05", "0.95", "90 % band", 0.42),
    ("0.25", "0.75", "50 % band", 0.7),
)
SIDES = ("amortized", "refined", "exact")


def write(folder: Path) -> str:
    """Write the table, and figures if there are draws; return the table as text."""
    runs = pd.read_csv(folder / "runs.csv")
    found = summary(runs)
    found.to_csv(folder / "results.csv", index=False, float_format="%.4g")
    plots.save(draw_gain(runs), folder / "gain.png")
    if all((folder / "draws" / f"{model}.npz").exists() for model, *_ in SHOWN):
        plots.save(draw_draws(folder / "draws"), folder / "draws.png")
    bands = folder / "bands.csv"
    if bands.exists():
        shares = pd.read_csv(folder / "forecast.csv")
        plots.save(draw_forecast(pd.read_csv(bands), shares), folder / "forecast.png")
    return found.to_string(index=False)


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each model: means over observations, and how often each way was taken."""
    rows = []
    for model, part in runs.groupby("model", sort=False):
        counts = part["method"].value_counts()
        rows.append(
            {
                "model": TITLES.get(str(model), model),
                "observations": len(part),
                **{way: int(counts.get(way, 0)) for way in WAYS},
                "before": part["before"].mean(),
                "after": part["after"].mean(),
                "worst after": part["after"].max(),
                "largest rise": (part["after"] - part["before"]).max(),
                "exact": part["exact"].mean(),
                "within aim": int((part["after"] <= AIM).sum()),
                "largest k-hat": part["k_hat"].max(),
                "evaluations": part["evaluations"].median(),
                "seconds": part["seconds"].median(),
            }
        )
    return pd.DataFrame(rows)


def ways() -> str:
    """Return how simulated data sets of Covid-19 were refined: means, a row for each way."""
    # The pages find this function; run.py doesn't find the pages.
    from docs.numbers.tables import markdown

    runs = pd.read_csv(Path(__file__).parent / "runs.csv")
    runs = runs[(runs["model"] == "covid19") & (runs["data"] != "germany")]
    rows = []
    for way, (_, name) in WAYS.items():
        part = runs[runs["method"] == way]
        if part.empty:
            continue
        k_hat = f"{part['k_hat'].min():.1f} to {part['k_hat'].max():.1f}"
        cells = [name, str(len(part)), k_hat]
        cells += [f"{part[column].mean():.3f}" for column in ("before", "after")]
        cells += [f"{part['after'].max():.3f}", f"{part['seconds'].median():.0f}"]
        rows.append(cells)
    head = ["way", "data sets", "k-hat", "C2ST before", "after", "worst after", "seconds, median"]
    return markdown(head, rows)


@styled
def draw_gain(runs: pd.DataFrame) -> Figure:
    """Draw a line from before to after for each observation."""
    figure = Figure(figsize=(7.2, 1.2 + 0.17 * len(runs)), layout="constrained")
    models = list(runs["model"].unique())
    sizes = [int((runs["model"] == model).sum()) for model in models]
    axes = figure.subplots(
        len(models), 1, sharex=True, squeeze=False, height_ratios=[size + 1 for size in sizes]
    )[:, 0]
    for ax, model in zip(axes, models, strict=True):
        part = runs[runs["model"] == model].reset_index(drop=True)
        ax.axvspan(0.4, AIM, color=LIGHT_GREY, linewidth=0, label="hard to tell from exact")
        for place, row in enumerate(part.to_dict("records")):
            colour, name = WAYS[row["method"]]
            ax.plot([row["before"], row["after"]], [place, place], color=colour, linewidth=1.2)
            ax.plot(row["before"], place, "o", color=colour, markerfacecolor="white", markersize=5)
            ax.plot(row["after"], place, "o", color=colour, markersize=5, label=name)
        ax.set(yticks=[], ylim=(len(part) - 0.4, -0.6), xlim=(0.45, 1.0))
        ax.set_ylabel(TITLES.get(model, model), rotation=0, ha="right", va="center")
    axes[-1].set_xlabel("C2ST to exact draws: amortized (open), refined (filled)")
    return legend_below(figure)


@styled
def draw_draws(folder: Path) -> Figure:
    """Draw pairs of parameters of one observation: amortized, refined and exact, side by side."""
    figure = Figure(figsize=(PAGE, 2.2 * len(SHOWN)), layout="constrained")
    grid = figure.subplots(len(SHOWN), len(SIDES), sharex="row", sharey="row", squeeze=False)
    texts = Labels({**LABELS, "theta1": r"$\theta_1$", "theta2": r"$\theta_2$"}, UNITS)
    for axes, (model, first, second) in zip(grid, SHOWN, strict=True):
        with np.load(folder / f"{model}.npz") as arrays:
            clouds = {
                side: (arrays[f"{side}/{first}"], arrays[f"{side}/{second}"]) for side in SIDES
            }
        for ax, side in zip(axes, SIDES, strict=True):
            colour = ORANGE if side == "exact" else BLUE
            ax.plot(*clouds[side], ".", markersize=3.0, color=colour, alpha=0.4, markeredgewidth=0)
            ax.set_xlabel(texts.axis(first))
            ax.set_title(side if model != "covid19" else "")
        axes[0].set_ylabel(f"{TITLES[model].partition(',')[0]}\n{texts.axis(second)}")
        for name, axis in (("xlim", 0), ("ylim", 1)):
            every = np.concatenate([clouds[side][axis] for side in SIDES])
            low, high = np.quantile(every, [0.002, 0.998])
            margin = 0.05 * (high - low)
            axes[0].set(**{name: (low - margin, high + margin)})
    return figure


@styled
def draw_forecast(bands: pd.DataFrame, shares: pd.DataFrame) -> Figure:
    """Draw bands of the last weeks of the fit and of the forecast, amortized beside refined."""
    bands = bands[(bands["kind"] == "daily") & (bands["day"] >= FIRST_SHOWN)]
    series = list(bands["series"].unique())
    columns = SIDES[:2]
    figure = Figure(figsize=(7.4, 2.1 * len(series) + 0.8), layout="constrained")
    grid = figure.subplots(len(series), len(columns), sharex=True, sharey="row", squeeze=False)
    for column, side in enumerate(columns):
        for row, name in enumerate(series):
            ax: Axes = grid[row, column]
            part = bands[(bands["draws"] == side) & (bands["series"] == name)]
            dates = np.datetime64(FIRST_DAY) + part["day"].to_numpy()
            for low, high, label, strength in BANDS:
                colour = tint(BLUE, strength)
                ax.fill_between(
                    dates, part[low], part[high], color=colour, linewidth=0, label=label
                )
            ax.plot(dates, part["0.5"], color=BLACK, linewidth=1.0, label="median")
            fitted = part["day"].to_numpy() < FIT_DAYS
            ax.plot(dates[fitted], part["observed"][fitted], ".", color=BLACK, label="fitted")
            ax.plot(dates[~fitted], part["observed"][~fitted], "x", color=BLACK, label="held out")
            ax.axvline(np.datetime64(FIRST_DAY) + FIT_DAYS, color=GREY, linestyle=":")
            found = shares.query("draws == @side and days == 'forecast' and series == @name").iloc[
                0
            ]
            ax.set_title(
                f"{side}: {found['inside 50%']:.0%} of held out in the 50 % band",
                fontsize=9,
            )
            ax.xaxis.set_major_locator(WeekdayLocator(MO, interval=2))
            ax.xaxis.set_major_formatter(DateFormatter("%-d %b"))
            ax.set_ylim(bottom=min(0.0, float(part["observed"].min())))
        grid[-1, column].set_xlabel("2020")
    for row, name in enumerate(series):
        grid[row, 0].set_ylabel(f"{name} per day")
    return legend_below(figure)


if __name__ == "__main__":
    print(write(Path(__file__).parent))
