"""What a block more costs a chain in memory, with and without stored activations."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayesinn import plots
from bayesinn.plots.panels import BLUE, ORANGE, styled


def slopes(table: pd.DataFrame) -> pd.DataFrame:
    """Return by how many MB a block more raises the memory of activations, and the ratio."""
    rows = []
    for many, part in table.groupby("rows"):
        slope = {
            str(chain): float(np.polyfit(own["blocks"], own["activations_mb"], 1)[0])
            for chain, own in part.groupby("chain")
        }
        rows.append({"rows": many, **slope, "ratio": slope["reversible"] / slope["ordinary"]})
    return pd.DataFrame(rows).round(4)


@styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw the memory of activations, and the time of a step, against depth."""
    figure = Figure(figsize=(7.4, 3.3), layout="constrained")
    deepest = table.groupby("rows")["blocks"].max()
    few = deepest[deepest < deepest.max()]
    notes = [
        f"{rows} images in {blocks} blocks at most, for memory" for rows, blocks in few.items()
    ]
    figure.suptitle("; ".join(notes), fontsize=9)
    memory, seconds = figure.subplots(1, 2)
    for (many, part), shade in zip(table.groupby("rows"), (BLUE, ORANGE), strict=True):
        for chain, own in part.groupby("chain"):
            style = {"color": shade, "linestyle": "--" if chain == "reversible" else "-"}
            label = f"{chain}, {many} images"
            memory.plot(own["blocks"], own["activations_mb"], marker="o", label=label, **style)
            seconds.plot(own["blocks"], own["ms_per_step"] / 1e3, marker="o", **style)
    memory.set(xlabel="blocks", ylabel="memory of activations, MB", ylim=(0, None))
    seconds.set(xlabel="blocks", ylabel="processor time of a step, s", ylim=(0, None))
    return plots.panels.legend_below(figure)
