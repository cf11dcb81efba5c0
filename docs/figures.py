"""Draw figures anew that tables suffice for: python -m docs.figures [NAME ...].

A figure that was drawn from tables or arrays beside it stays theirs: tests draw it again, compare,
and look at its width, its letters and its axes. The others are drawn by the scripts that make their
numbers, from draws that are not kept.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayesinn import plots
from bayesinn.core.labels import Labels
from bayesinn.simulators.sir import LABELS, UNITS
from docs import architecture
from docs.pages.links import ROOT

_STUDIES = "paper_results"
_COLOURS = f"{_STUDIES}/colorization"
_COVID = f"{_STUDIES}/covid19_germany"
_CLASSIFIER = f"{_STUDIES}/generative_classifier"
_DIGITS = f"{_STUDIES}/gin_digits"
_HIERARCHICAL = f"{_STUDIES}/hierarchical"
_IMAGES = f"{_STUDIES}/image_densities"
_POWER = f"{_STUDIES}/diagnostics_power"
_REFINEMENT = f"{_STUDIES}/refinement"
_REVERSIBLE = f"{_STUDIES}/reversible_classifier"
_ROUNDS = f"{_STUDIES}/sequential_rounds"
_SBIBM = f"{_STUDIES}/sbibm"
_SCORING = f"{_STUDIES}/sir_fisher_scoring"
_SOURCES = f"{_STUDIES}/gin_artificial"


def _script(folder: str, name: str) -> Any:
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


def _arrays(file: str) -> dict[str, np.ndarray]:
    with np.load(ROOT / file) as stored:
        arrays = dict(stored)
    # Halves are how some are stored, not to calculate with.
    half = [name for name, values in arrays.items() if values.dtype == np.float16]
    return arrays | {name: arrays[name].astype(np.float32) for name in half}


def _of(
    folder: str, function: str, read: Callable[[str], object], *files: str
) -> Callable[[], Figure]:
    """Return what draws a figure: a function of a script, given files of its folder."""
    return lambda: _script(folder, function)(*(read(f"{folder}/{file}") for file in files))


def _training() -> Figure:
    names = ("covid19", "covid19_regular", "covid19_states")
    histories = {name: _table(f"{_COVID}/history_{name}.csv") for name in names}
    return _script(_COVID, "training.draw")(histories)


def _calibration(draw: str, file: str, posterior: str) -> Callable[[], Figure]:
    return lambda: _script(_COVID, f"calibration.{draw}")(
        _table(f"{_COVID}/{file}"), _script(_COVID, "shared.LABELS")[posterior]
    )


def _misspecification() -> Figure:
    curves = _table(f"{_POWER}/misspecification.csv")
    figure = plots.misspecification_power(curves, alternative="shift of the prior mean [prior sd]")
    assert isinstance(figure, Figure)
    return figure


def _verdict() -> Figure:
    table = _table(f"{_STUDIES}/sir_germany/verdict.csv", index_col="check")
    table = table.fillna({"grade": "", "unit": ""})
    judged = SimpleNamespace(verdict=table, decides="")
    figure = plots.verdict(judged, labels=Labels(LABELS, UNITS))
    assert isinstance(figure, Figure)
    return figure


#: How each is drawn.
FIGURES: dict[str, Callable[[], Figure]] = {
    "docs/_static/architecture.svg": architecture.draw,
    "docs/_static/which_estimator.svg": architecture.choose,
    "benchmarks/growth.svg": _of("benchmarks", "growth.draw", _table, "growth.csv"),
    "benchmarks/peers/figure.svg": _of("benchmarks/peers", "report.draw", _table, "results.csv"),
    "benchmarks/reversible_images.svg": _of(
        "benchmarks", "reversible_slopes.draw", _table, "reversible_images.csv"
    ),
    f"{_STUDIES}/amortization/break_even.png": _of(
        f"{_STUDIES}/amortization", "tables.draw", _table, "results.csv"
    ),
    **{
        f"{_COLOURS}/{name}.png": _of(_COLOURS, f"figures.{name}", _arrays, "pictures.npz")
        for name in ("samples", "modes", "saturation")
    },
    **{
        f"{_COLOURS}/{file}.png": _of(
            _COLOURS, f"photograph_figures.{name}", _arrays, "photographs.npz"
        )
        for file, name in (
            ("photographs", "samples"),
            ("photographs_saturation", "saturation"),
            ("photographs_transfer", "transfer"),
        )
    },
    f"{_COVID}/amortization.svg": lambda: _script(_COVID, "exact.draw_amortization")(
        _table(f"{_COVID}/amortization.csv").iloc[0]
    ),
    **{
        f"{_COVID}/{kind}{name.removeprefix('covid19')}.png": _calibration(
            f"draw_{kind}", file, name
        )
        for kind, file in (("coverage", "coverage_errors.csv"), ("sbc", "sbc_ranks.csv"))
        for name in ("covid19", "covid19_regular", "covid19_states")
    },
    f"{_COVID}/ablations.png": _of(
        _COVID, "predicted.draw_ablations", _table, "ablations_bands.csv"
    ),
    f"{_COVID}/states_forecasts.png": _of(_COVID, "predicted.draw_states", _table, "states.csv"),
    f"{_COVID}/states_forest.png": _of(_COVID, "states.forest", _table, "states.csv"),
    f"{_COVID}/training.svg": _training,
    f"{_STUDIES}/densities_2d/densities.png": lambda: _script(
        f"{_STUDIES}/densities_2d", "figures.draw"
    )(ROOT / _STUDIES / "densities_2d"),
    f"{_POWER}/misspecification.svg": _misspecification,
    f"{_POWER}/power.svg": lambda: _script(_POWER, "run.draw")(
        _table(f"{_POWER}/results.csv", index_col=0)
    ),
    f"{_CLASSIFIER}/attacks.png": _of(_CLASSIFIER, "figures.attacked", _table, "attacks.csv"),
    f"{_CLASSIFIER}/heat_maps.png": _of(_CLASSIFIER, "figures.maps", _arrays, "arrays.npz"),
    f"{_CLASSIFIER}/latent.png": _of(_CLASSIFIER, "figures.latent", _arrays, "arrays.npz"),
    f"{_CLASSIFIER}/sweep.png": _of(_CLASSIFIER, "figures.sweep", _table, "results.csv"),
    **{
        f"{_SOURCES}/{name}.png": _of(_SOURCES, f"figures.draw_{name}", _arrays, "arrays.npz")
        for name in ("spectra", "sources")
    },
    **{
        f"{_DIGITS}/{name}.png": _of(_DIGITS, f"figures.draw_{name}", _arrays, "arrays.npz")
        for name in ("spectra", "effects", "walks")
    },
    f"{_HIERARCHICAL}/errors.svg": _of(_HIERARCHICAL, "figures.draw", _table, "results.csv"),
    f"{_IMAGES}/draws.png": _of(_IMAGES, "figures.draw_pictures", _table),
    f"{_IMAGES}/learning.svg": _of(_IMAGES, "figures.draw_curves", _table, "curves.csv"),
    f"{_STUDIES}/inverse_benchmark/solutions.png": _of(
        f"{_STUDIES}/inverse_benchmark", "figures.solutions", _arrays, "arrays.npz"
    ),
    f"{_REFINEMENT}/draws.png": lambda: _script(_REFINEMENT, "tables.draw_draws")(
        ROOT / _REFINEMENT / "draws"
    ),
    f"{_REFINEMENT}/forecast.png": _of(
        _REFINEMENT, "tables.draw_forecast", _table, "bands.csv", "forecast.csv"
    ),
    f"{_REFINEMENT}/gain.png": _of(_REFINEMENT, "tables.draw_gain", _table, "runs.csv"),
    f"{_REVERSIBLE}/memory.svg": _of(_REVERSIBLE, "tables.draw", _table, "memory.csv"),
    f"{_SBIBM}/estimators.svg": _of(_SBIBM, "figures.draw_kinds", _table),
    f"{_SBIBM}/figure.svg": _of(_SBIBM, "figures.draw", _table),
    f"{_SBIBM}/training/batches.svg": _of(f"{_SBIBM}/training", "tables.draw", _table, "table.csv"),
    f"{_SCORING}/densities.svg": _of(_SCORING, "figures.draw", _table, "results.csv"),
    f"{_STUDIES}/sir_germany/verdict.png": _verdict,
    f"{_ROUNDS}/c2st.svg": _of(_ROUNDS, "run.draw", _table, "results.csv"),
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
