"""Tables of README.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

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
