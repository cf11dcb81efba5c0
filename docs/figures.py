"""Draw figures anew that tables suffice for: python -m docs.figures [NAME ...].

A figure that was drawn from a table stays that of the table: tests draw it again and compare. The
others are drawn by the scripts that make their numbers, from draws that are not kept.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bayesinn import plots
from docs.pages.links import ROOT

_COVID = "paper_results/covid19_germany"
_POWER = "paper_results/diagnostics_power"
_SBIBM = "paper_results/sbibm"


def _script(folder: str, name: str) -> Callable[..., Figure]:
    """Return a function ``FILE.FUNCTION`` of a script, whose neighbours it may import."""
    file, function = name.split(".")
    path = str(ROOT / folder)
    before = set(sys.modules)
    sys.path.insert(0, path)
    try:
        return getattr(importlib.import_module(file), function)
    finally:
        sys.path.remove(path)
        # The next folder may have a file of the same name.
        for module in set(sys.modules) - before:
            if str(getattr(sys.modules[module], "__file__", "")).startswith(path):
                del sys.modules[module]


def _table(file: str, **options: object) -> pd.DataFrame:
    return pd.read_csv(ROOT / file, **options)  # type: ignore[call-overload]


def _training() -> Figure:
    names = ("covid19", "covid19_regular", "covid19_states")
    histories = {name: _table(f"{_COVID}/history_{name}.csv") for name in names}
    return _script(_COVID, "training.draw")(histories)


def _misspecification() -> Figure:
    curves = _table(f"{_POWER}/misspecification.csv")
    figure = plots.misspecification_power(curves, alternative="shift of the prior mean [prior sd]")
    assert isinstance(figure, Figure)
    return figure


def _accuracy() -> Figure:
    return _script(_SBIBM, "figures.draw")()


def _estimators() -> Figure:
    return _script(_SBIBM, "figures.draw_kinds")()


#: How each is drawn.
FIGURES: dict[str, Callable[[], Figure]] = {
    "benchmarks/growth.svg": lambda: _script("benchmarks", "growth.draw")(
        _table("benchmarks/growth.csv")
    ),
    "benchmarks/peers/figure.svg": lambda: _script("benchmarks/peers", "report.draw")(
        _table("benchmarks/peers/results.csv")
    ),
    "benchmarks/reversible_images.svg": lambda: _script("benchmarks", "reversible_slopes.draw")(
        _table("benchmarks/reversible_images.csv")
    ),
    f"{_COVID}/amortization.svg": lambda: _script(_COVID, "exact.draw_amortization")(
        _table(f"{_COVID}/amortization.csv").iloc[0]
    ),
    f"{_COVID}/training.svg": _training,
    f"{_POWER}/misspecification.svg": _misspecification,
    f"{_POWER}/power.svg": lambda: _script(_POWER, "run.draw")(
        _table(f"{_POWER}/results.csv", index_col=0)
    ),
    f"{_SBIBM}/estimators.svg": _estimators,
    f"{_SBIBM}/figure.svg": _accuracy,
    "paper_results/sequential_rounds/c2st.svg": lambda: _script(
        "paper_results/sequential_rounds", "run.draw"
    )(_table("paper_results/sequential_rounds/results.csv")),
}


def main() -> None:
    """Draw all, or those whose names contain one of the texts given."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", default=[""])
    chosen = parser.parse_args().names
    for name, make in FIGURES.items():
        if any(text in name for text in chosen):
            plots.save(make(), Path(ROOT / name))
            print(name)


if __name__ == "__main__":
    main()
