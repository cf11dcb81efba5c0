"""Tables of pages that are made from benchmarks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.numbers.cells import show
from docs.numbers.tables import markdown

HERE = Path(__file__).resolve().parent


def flow_speed() -> str:
    """Return milliseconds of a step and draws a second of each flow, by number of parameters."""
    table = pd.read_csv(HERE / "flow_speed.csv")
    rows = []
    for flow, own in table.groupby("flow", sort=False):
        steps = [show(value, "3s") for value in own["ms_per_step"]]
        rows.append([flow, *steps, *(show(value, "3s") for value in own["draws_per_second"])])
    few, many = table["parameters"].unique()
    head = [
        "flow",
        f"ms/step, {few} parameters",
        f"ms/step, {many}",
        f"draws/s, {few}",
        f"draws/s, {many}",
    ]
    return markdown(head, rows)


def draws() -> str:
    """Return seconds of 10,000 draws of each estimator, by number of parameters."""
    table = pd.read_csv(HERE / "draws.csv")
    rows = []
    for estimator, own in table.groupby("estimator", sort=False):
        rows.append([estimator, *(show(value, "2s") for value in own["seconds"])])
    few, many = table["parameters"].unique()
    return markdown(["estimator", f"seconds, {few} parameters", f"{many} parameters"], rows)
