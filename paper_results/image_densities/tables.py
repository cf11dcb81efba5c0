"""The tables of README.md, from results.csv and published.csv."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.numbers.tables import markdown

HERE = Path(__file__).resolve().parent
_NAMES = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10"}
_COLUMNS = {
    "bits": ("bits a dimension", ".3f"),
    "standard error": ("standard error", ".3f"),
    "accuracy": ("accuracy", ".3f"),
    "test pictures": ("test pictures", ",d"),
    "weights": ("weights", ",.0f"),
    "steps": ("steps", ",.0f"),
    "minutes": ("processor minutes", ".1f"),
    "ms a picture": ("ms a picture", ".2f"),
}


def results() -> str:
    """Return bits, accuracy and cost, a row a model."""
    rows = [
        [
            _NAMES[row["data"]],
            row["model"],
            *(_cell(row[name], _COLUMNS[name][1]) for name in _COLUMNS),
        ]
        for row in pd.read_csv(HERE / "results.csv").to_dict("records")
    ]
    return markdown(["pictures", "model", *(head for head, _ in _COLUMNS.values())], rows)


def published() -> str:
    """Return bits a dimension of published flows, ours below."""
    table = pd.read_csv(HERE / "published.csv")
    trained = pd.read_csv(HERE / "results.csv").dropna(subset="steps")
    ours = trained.groupby("data")["bits"].min()
    names = list(table.columns[1:])
    rows = [
        [row["model"], *(_cell(row[name], ".2f") for name in names)]
        for row in table.to_dict("records")
    ]
    rows.append(["ours", *(_cell(ours.get(name, float("nan")), ".2f") for name in names)])
    return markdown(["model", *(_NAMES[name] for name in names)], rows)


def _cell(value: float, form: str) -> str:
    return "" if pd.isna(value) else format(value, form)
