"""The tables of README.md, filled in from the results that are there."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

# Without an import of TensorFlow, so that a test can fill in the tables quickly.
HERE = Path(__file__).resolve().parent
_TRAINED = ("covid19", "covid19_regular", "covid19_states")
_BLOCK = re.compile(r"(<!-- (\w+): filled in by run\.py -->\n).*?(<!-- end -->)", re.DOTALL)
_MISSING = "*This stage has not run yet.*\n"


def fill(target: Path) -> None:
    """Write README.md into a folder of results: this folder's text, with the tables of those results."""
    text = (HERE / "README.md").read_text()

    def block(match: re.Match[str]) -> str:
        figures = {file: text for file, text in _FIGURES.get(match[2], {}).items() if (target / file).is_file()}
        shown = [f"![{text}]({file})\n" for file, text in figures.items()]
        return "\n".join([match[1], _TABLES[match[2]](target), *shown, match[3]])

    (target / "README.md").write_text(_BLOCK.sub(block, text))


def _table(name: str, columns: dict[str, str] | None = None, digits: int = 3) -> Callable[[Path], str]:
    """Of a CSV file, some columns under new names."""

    def table(target: Path) -> str:
        if not (target / f"{name}.csv").is_file():
            return _MISSING
        values = pd.read_csv(target / f"{name}.csv", keep_default_na=False)
        if columns is not None:
            values = values[[column for column in columns if column in values]].rename(columns=columns)
        return _markdown(values, digits)

    return table


def _results(target: Path) -> str:
    """Median (MAP) [95 % interval] of each parameter, a column for each posterior."""
    if not (target / "results.csv").is_file():
        return _MISSING
    results = pd.read_csv(target / "results.csv")
    shown = {"parameter": results["parameter"]}
    for label in dict.fromkeys(column.partition(":")[0] for column in results.columns.drop("parameter")):
        own = results[[f"{label}: {name}" for name in ("median", "MAP", "2.5 %", "97.5 %")]].to_numpy()
        shown[label] = [f"{a:.3g} ({b:.3g}) [{c:.3g}, {d:.3g}]" for a, b, c, d in own]
    return _markdown(pd.DataFrame(shown))


def _acceptance(target: Path) -> str:
    """A row a check, a column a posterior."""
    if not (target / "acceptance.csv").is_file():
        return _MISSING
    table = pd.read_csv(target / "acceptance.csv")
    verdicts = table["found"] + table["passed"].map({"yes": "", "no": " (**no**)"})
    shown = table.assign(found=verdicts).pivot(index=["check", "asked"], columns="posterior", values="found")
    order = list(dict.fromkeys(zip(table["check"], table["asked"], strict=True)))
    return _markdown(shown.loc[order, list(dict.fromkeys(table["posterior"]))].reset_index())


def _training(target: Path) -> str:
    """How the negative log density of held-out simulations fell."""
    histories = {}
    for name in _TRAINED:
        file = target / f"history_{name}.csv"
        if file.is_file():
            histories[name] = pd.read_csv(file)
    if not histories:
        return _MISSING
    rows = []
    for name, history in histories.items():
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
    return _markdown(pd.DataFrame(rows))


def _markdown(table: pd.DataFrame, digits: int = 3) -> str:
    def cell(value: object) -> str:
        # Numbers of a column with gaps arrive as texts.
        if isinstance(value, str) and re.fullmatch(r"-?\d+\.\d+", value):
            value = float(value)
        if isinstance(value, float):
            return "" if math.isnan(value) else f"{value:.{digits}g}"
        return str(value)

    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines) + "\n"


# Shown where they are there.
_FIGURES = {
    "training": {"training.png": "Held-out negative log density in training; grey: drawing and fitting simulations"},
    "headlines": {
        "marginals.png": "Posteriors and priors, published noise",
        "marginals_regular.png": "Posteriors, priors and the exact posterior, regular noise; "
        "delays L are rounded to whole days, hence steps",
    },
    "calibration": {"sbc.png": "Ranks, published noise", "coverage.png": "Coverage, published noise"},
    "cumulative": {"forecast.png": "Fit and forecast, published noise"},
    "amortization": {"amortization.png": "Minutes against data sets, and where both are equal"},
    "ablations": {"ablations.png": "New cases, by model"},
    "states": {
        "states_forest.png": "Four parameters of each state",
        "states_forecasts.png": "Fit and forecast of each state",
    },
}

_TABLES: dict[str, Callable[[Path], str]] = {
    "training": _training,
    "networks": _table(
        "networks",
        {
            "networks": "networks",
            "ms_per_step": "ms/step",
            "step": "steps",
            "processor_minutes": "processor minutes",
            "held_out_nll": "held-out NLL",
            "standard_error": "standard error",
        },
    ),
    "observation": _table("observation"),
    "results": _results,
    "acceptance": _acceptance,
    "headlines": _table("headlines"),
    "calibration": _table(
        "calibration_summary",
        {
            "posterior": "posterior",
            "data_sets": "data sets",
            "inside_99_band": "parameters inside the 99 % band",
            "outside": "outside",
            "largest_coverage_error_points": "largest coverage error [points]",
            "of": "of",
            "of_a_correct_posterior": "of a correct posterior",
            "mean_error_at_worst_level": "mean error of the parameters at the worst level",
        },
    ),
    "forecast": _table("forecast"),
    "cumulative": _table("forecast_cumulative", digits=6),
    "exact": _table("exact_summary"),
    "likelihoods": _table("likelihoods"),
    "simulations_only": _table("simulations_only"),
    "amortization": _table("amortization"),
    "ablations": _table("ablations"),
    "states": _table("states"),
    "states_summary": _table("states_summary"),
    "states_exact": _table("states_exact"),
}
