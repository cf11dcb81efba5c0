"""How training went: the held-out negative log density, from the tables that train.py has written."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from shared import LABELS, Study

from bayesinn import plots
from bayesinn.plots.style import BLACK, BLUE, ORANGE

_COLOURS = dict(zip(LABELS, (BLUE, ORANGE, BLACK), strict=True))


def run(study: Study) -> None:
    """Draw all curves that are there."""
    files = {name: study.target / f"history_{name}.csv" for name in LABELS}
    histories = {name: pd.read_csv(file) for name, file in files.items() if file.is_file()}
    if not histories:
        print("  no history of training: run train.py first")
        return
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.add_subplot()
    for name, history in histories.items():
        ax.plot(history["minutes"], history["held_out_nll"], ".-", color=_COLOURS[name], label=LABELS[name])
        print(
            f"  {LABELS[name]}: {history['held_out_nll'].iloc[-1]:.3f} after {history['minutes'].iloc[-1]:.1f} minutes"
        )
    lowest = min(history["held_out_nll"].min() for history in histories.values())
    highest = max(history["held_out_nll"].iloc[0] for history in histories.values()) + 1.0
    ax.set(xlabel="minutes of training", ylabel="held-out negative log density [nats]")
    ax.set_ylim(lowest - 0.05 * (highest - lowest), highest)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    plots.save(figure, study.target / "training.png")
