"""Tables and the figure, from the rows that run.py measured.

    python paper_results/amortization/tables.py

results.csv: for each model and method, seconds for each data set, C2ST and break-even; recovery.csv:
errors of posterior means and coverage of each parameter; break_even.png.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayesinn import plots
from bayesinn.plots.panels import BLACK, CURVES, PAGE, legend_below, styled

#: A method is as accurate as the network if its C2ST is at most so much larger: two standard errors
#: of a mean over three data sets of 1,000 points.
MARGIN = 0.02
RESAMPLES = 2_000
MOST_SETS = 100_000
#: Colour, marker and line of each method.
LOOKS = dict(zip(("amortized", "refined", "NUTS", "SMC-ABC", "KDE-MCMC"), CURVES, strict=True))
_TITLES = {
    "geometric_brownian_motion": "geometric Brownian motion",
    "g_and_k": "g and k",
    "sir": "SIR",
}


def write(folder: Path) -> str:
    """Write tables and the figure; return the first as text."""
    runs = pd.read_csv(folder / "runs.csv")
    training = pd.read_csv(folder / "training.csv").drop_duplicates("model").set_index("model")
    found = costs(runs, training)
    found.to_csv(folder / "results.csv", index=False, float_format="%.4g")
    recovery(pd.read_csv(folder / "estimates.csv")).to_csv(
        folder / "recovery.csv", index=False, float_format="%.4g"
    )
    plots.save(draw(found), folder / "break_even.png")
    return found.to_string(index=False)


def costs(runs: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """Return the cheapest budget of each method that is as accurate as the network, or the largest."""
    rows = []
    for model, of_model in runs.groupby("model", sort=False):
        groups = dict(iter(of_model.groupby(["method", "budget"], sort=False)))
        scores = {key: group["c2st"].mean() for key, group in groups.items()}
        # Below one half is chance.
        aim = max(scores["amortized", 0], 0.5) + MARGIN
        fixed = training.loc[model, "seconds"]
        network = groups["amortized", 0]["seconds"].to_numpy()
        measured = set(of_model["method"])
        for method in [name for name in LOOKS if name in measured]:
            budgets = sorted(budget for name, budget in groups if name == method)
            reached = [budget for budget in budgets if scores[method, budget] <= aim]
            budget = reached[0] if reached else budgets[-1]
            seconds = groups[method, budget]["seconds"].to_numpy()
            trained = method in ("amortized", "refined")
            row = {
                "model": model,
                "method": method,
                "budget": budget,
                "training": fixed if trained else 0.0,
                "seconds": seconds.mean(),
                "runs": groups[method, budget]["runs"].mean(),
                "c2st": scores[method, budget],
                "as accurate": "yes" if reached else "no",
            }
            if not trained:
                middle, low, high = break_even(fixed, network, seconds)
                row |= {"break-even": middle, "interval": f"{low:.3g} to {high:.3g}"}
            rows.append(row)
    return pd.DataFrame(rows)


def break_even(
    fixed: float, network: np.ndarray, seconds: np.ndarray
) -> tuple[float, float, float]:
    """Return from how many data sets on training pays, with a 90 % bootstrap interval."""
    generator = np.random.default_rng(1)
    drawn = [
        fixed / (generator.choice(seconds, len(seconds)).mean() - network.mean())
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.05, 0.95])
    return fixed / (seconds.mean() - network.mean()), float(low), float(high)


def recovery(estimates: pd.DataFrame) -> pd.DataFrame:
    """Return RMSE in sds of the truths, and coverage, at the smallest budget of each method."""
    rows = []
    for (model, parameter), group in estimates.groupby(["model", "parameter"], sort=False):
        spread = group.drop_duplicates("set")["truth"].std(ddof=0)
        for method, of_method in group.groupby("method", sort=False):
            part = of_method[of_method["budget"] == of_method["budget"].min()]
            inside = (part["low"] <= part["truth"]) & (part["truth"] <= part["high"])
            error = np.sqrt(np.mean((part["mean"] - part["truth"]) ** 2))
            rows.append(
                {
                    "model": model,
                    "parameter": parameter,
                    "method": method,
                    "sets": len(part),
                    "rmse": error / spread,
                    "coverage": inside.mean(),
                }
            )
    return pd.DataFrame(rows)


@styled
def draw(found: pd.DataFrame) -> Figure:
    """Draw seconds against the number of data sets, a panel for each model: results.csv."""
    models = list(found["model"].unique())
    figure = Figure(figsize=(PAGE, 0.8 + 2.3 * -(-len(models) // 3)), layout="constrained")
    grid = figure.subplots(-(-len(models) // 3), 3, sharex=True, sharey=True, squeeze=False)
    for ax in grid.flat[len(models) :]:
        ax.axis("off")
    sets = np.geomspace(1.0, MOST_SETS, 6)
    for ax, model in zip(grid.flat, models, strict=False):
        for row in found[found["model"] == model].to_dict("records"):
            colour, marker, line = LOOKS[row["method"]]
            total = row["training"] + row["seconds"] * sets
            ax.loglog(sets, total, line, color=colour, linewidth=1.4, label=row["method"])
            if np.isfinite(row["break-even"]) and row["break-even"] > 1.0:
                accurate = row["as accurate"] == "yes"
                ax.plot(
                    row["break-even"],
                    row["seconds"] * row["break-even"],
                    marker,
                    color=colour,
                    markerfacecolor=colour if accurate else "white",
                )
        ax.set_title(_TITLES.get(model, model.replace("_", " ")))
        ax.set_xlim(1.0, MOST_SETS)
        ax.set_xticks([1, 100, 10_000], ["1", "100", "10,000"])
        ax.set_yticks([1, 100, 10_000, 1_000_000], ["1", "100", "10,000", "1,000,000"])
        ax.tick_params(labelbottom=True)
    for ax in grid.flat[max(0, len(models) - 3) : len(models)]:
        ax.set_xlabel("data sets")
    for ax in grid[:, 0]:
        ax.set_ylabel("processor seconds in all")
    for face, name in ((None, "break-even"), ("white", "break-even, less accurate")):
        grid[0, 0].plot([], [], "o", color=BLACK, markerfacecolor=face, label=name)
    return legend_below(figure)


if __name__ == "__main__":
    print(write(Path(__file__).parent))
