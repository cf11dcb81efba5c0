"""Tables of README.md that are more than columns of a CSV file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.numbers.tables import markdown

# Without an import of TensorFlow, so that pages are filled quickly.
HERE = Path(__file__).resolve().parent
_TRAINED = ("covid19", "covid19_regular", "covid19_states")


def results() -> str:
    """Return median (MAP) [95 % interval] of each parameter, a column for each posterior."""
    table = pd.read_csv(HERE / "results.csv")
    shown = {"parameter": table["parameter"]}
    for label in dict.fromkeys(
        column.partition(":")[0] for column in table.columns.drop("parameter")
    ):
        own = table[
            [f"{label}: {name}" for name in ("median", "MAP", "2.5 %", "97.5 %")]
        ].to_numpy()
        shown[label] = [f"{a:.3g} ({b:.3g}) [{c:.3g}, {d:.3g}]" for a, b, c, d in own]
    return _table(pd.DataFrame(shown))


def acceptance() -> str:
    """Return the criteria of a re-implementation: a row a check, a column a posterior."""
    table = pd.read_csv(HERE / "acceptance.csv")
    verdicts = table["found"].map(_digits) + table["passed"].map({"yes": "", "no": " (**no**)"})
    shown = table.assign(found=verdicts).pivot(
        index=["check", "asked"], columns="posterior", values="found"
    )
    order = list(dict.fromkeys(zip(table["check"], table["asked"], strict=True)))
    return _table(shown.loc[order, list(dict.fromkeys(table["posterior"]))].reset_index())


def training() -> str:
    """Return how the negative log density of held-out simulations fell."""
    rows = []
    for name in _TRAINED:
        history = pd.read_csv(HERE / f"history_{name}.csv")
        last = history.iloc[-1]
        rows.append(
            {
                "simulator": name,
                "steps": f"{int(last['step']):,}",
                "simulations": f"{int(last['simulations']):,}",
                "minutes": f"{last['minutes']:.1f}",
                "of processor time": f"{last['processor_minutes']:.1f}",
                "held-out NLL before": f"{history['held_out_nll'].iloc[0]:.2f}",
                "after": f"{last['held_out_nll']:.3f} ± {last['standard_error']:.3f}",
            }
        )
    return _table(pd.DataFrame(rows))


def _digits(text: str) -> str:
    """Return a number of a column of texts with three digits."""
    return f"{float(text):.3g}" if text.replace(".", "", 1).removeprefix("-").isdigit() else text


def _table(table: pd.DataFrame) -> str:
    return markdown(list(table.columns), table.to_numpy().tolist())
