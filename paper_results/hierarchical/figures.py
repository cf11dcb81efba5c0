"""The figure of README.md, from results.csv.

``python -m docs.figures hierarchical`` draws it.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from bayesinn.plots.panels import CURVES, DASHED, PAGE, legend_below, styled

AIM = 0.1
PARAMETERS = {
    "mean": "mean of the population",
    "sd": "sd of the population",
    "level": "level of the first group",
}


@styled
def draw(results: pd.DataFrame) -> Figure:
    """Draw the distance of posterior means from exact ones over the number of groups."""
    figure = Figure(figsize=(PAGE, 3.2), layout="constrained")
    grid = figure.subplots(1, 2, sharey=True)
    for ax, (sd, part) in zip(grid, results.groupby("sd", sort=False), strict=True):
        for (name, title), (colour, marker, line) in zip(PARAMETERS.items(), CURVES, strict=False):
            curve = part[part["parameter"] == name]
            if not curve.empty:
                look = {"color": colour, "marker": marker, "linestyle": line, "label": title}
                ax.plot(curve["groups"], curve["mean error"], **look)
        ax.axhline(AIM, **DASHED, label="aim")
        ax.set(xlabel="groups", title=f"sd of the population {sd}", ylim=(0.0, 1.1 * AIM))
        ax.set_xticks(sorted(part["groups"].unique()))
    grid[0].set_ylabel("mean distance of\nposterior means [exact sd]")
    return legend_below(figure)
