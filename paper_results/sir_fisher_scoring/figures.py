"""The figure of README.md, from results.csv.

``python -m docs.figures sir_fisher_scoring`` draws it.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from bayesinn.plots.panels import CURVES, PAGE, legend_below, styled


@styled
def draw(results: pd.DataFrame) -> Figure:
    """Draw the log density at the truth of both networks, a pair for each seed."""
    figure = Figure(figsize=(PAGE, 2.6), layout="constrained")
    ax = figure.subplots()
    for (network, part), (colour, marker, _) in zip(
        results.groupby("network", sort=False), CURVES, strict=False
    ):
        values = part["log density at the truth [nats]"]
        ax.plot(values, part["seed"], marker, color=colour, markersize=7, label=network)
    seeds = sorted(results["seed"].unique())
    ax.set_yticks(seeds, [f"seed {seed}" for seed in seeds])
    ax.set(
        ylim=(seeds[-1] + 0.5, seeds[0] - 0.5),
        xlabel="mean log density at the truth [nats]; higher is better",
    )
    return legend_below(figure)
