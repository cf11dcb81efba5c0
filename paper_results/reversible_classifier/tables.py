"""Tables of README.md, and its figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayesinn.plots.panels import CURVES, PAGE, legend_below, styled
from docs.numbers.tables import markdown

HERE = Path(__file__).resolve().parent


def errors() -> str:
    """Return errors on test images and processor time of training, means over seeds."""
    table = pd.read_csv(HERE / "results.csv")
    rows = []
    for (data, network), own in table.groupby(["data", "network"], sort=False):
        each = ", ".join(f"{error:.4f}" for error in own["error"])
        trip = own["round trip"].max()
        rows.append(
            [
                data,
                network,
                f"{own['weights'].iloc[0]:,}",
                f"{own['error'].mean():.4f}",
                each if len(own) > 1 else "",
                f"{own['seconds'].mean():.0f}",
                "" if network != "RevNet" else f"{trip:.0e}",
            ]
        )
    head = [
        "data",
        "network",
        "weights",
        "error",
        "each seed",
        "seconds",
        "error of the round trip",
    ]
    return markdown(head, rows)


def memory() -> str:
    """Return memory of activations and processor time of a step, a row for each network."""
    table = pd.read_csv(HERE / "memory.csv")
    rows = []
    for (blocks, network), own in table.groupby(["blocks", "network"], sort=False):
        row = own.iloc[0]
        size = 4e-6 * row["weights"]
        seconds = f"{row['milliseconds']:,.0f}"
        activations = f"{row['activations MB']:,.0f}"
        rows.append(
            [str(blocks), network, f"{row['weights']:,}", f"{size:.1f}", activations, seconds]
        )
    head = ["blocks", "network", "weights", "weights, MB", "activations, MB", "ms a step"]
    return markdown(head, rows)


@styled
def draw(memory: pd.DataFrame) -> Figure:
    """Draw memory of activations and time of a step of each network, for two numbers of blocks."""
    figure = Figure(figsize=(PAGE, 3.0), layout="constrained")
    columns = {
        "activations MB": "memory of activations [MB]",
        "milliseconds": "time of a step [ms]",
    }
    networks = list(memory["network"].unique())
    blocks = sorted(memory["blocks"].unique())
    for ax, (column, title) in zip(figure.subplots(1, 2), columns.items(), strict=True):
        for place, network in enumerate(networks):
            own = memory[memory["network"] == network].set_index("blocks")[column]
            left = np.arange(len(blocks)) + 0.27 * (place - 1)
            bars = ax.bar(left, own.loc[blocks], 0.25, color=CURVES[place][0], label=network)
            ax.bar_label(bars, fmt="%.0f", fontsize=8)
        ax.set_xticks(range(len(blocks)), [str(count) for count in blocks])
        ax.set(xlabel="blocks of each resolution", ylabel=title)
    return legend_below(figure)
