"""How training went: the held-out negative log density, from the tables written by train.py."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from shared import LABELS, Study

from bayesinn import plots
from bayesinn.plots.panels import legend_below
from bayesinn.plots.style import BLACK, BLUE, LIGHT_GREY, ORANGE, styled

# Posteriors of one problem share a panel: densities of other parameters can't be compared.
PANELS = {"Germany": ("covid19", "covid19_regular"), "federal states": ("covid19_states",)}
_LOOKS = {"covid19": (BLUE, "o"), "covid19_regular": (ORANGE, "s"), "covid19_states": (BLACK, "D")}


def run(study: Study) -> None:
    """Draw all curves that are there."""
    files = {name: study.target / f"history_{name}.csv" for name in LABELS}
    histories = {name: pd.read_csv(file) for name, file in files.items() if file.is_file()}
    if not histories:
        print("  no history of training: run train.py first")
        return
    for name, history in histories.items():
        last = history.iloc[-1]
        print(f"  {LABELS[name]}: {last['held_out_nll']:.3f} after {last['minutes']:.1f} minutes")
    plots.save(draw(histories), study.target / "training.svg")


@styled
def draw(histories: dict[str, pd.DataFrame]) -> Figure:
    """A panel a problem; grey: minutes to draw and fit simulations before the first step."""
    panels = {
        title: [name for name in names if name in histories] for title, names in PANELS.items()
    }
    panels = {title: names for title, names in panels.items() if names}
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, names) in zip(axes, panels.items(), strict=True):
        for name in names:
            history = histories[name]
            colour, marker = _LOOKS[name]
            ax.plot(
                history["minutes"],
                history["held_out_nll"],
                color=colour,
                marker=marker,
                markersize=3.5,
                label=LABELS[name],
            )
        _mark_simulations(ax, histories[names[0]])
        ax.set(title=title, xlabel="minutes", xlim=(0.0, None))
        _leave_out_first(ax, [histories[name]["held_out_nll"] for name in names])
    axes[0].set_ylabel("held-out negative log density [nats]")
    return legend_below(figure)


def _leave_out_first(ax: Axes, curves: list[pd.Series]) -> None:
    """Let the axis end at the second points: the untrained networks are far above."""
    lowest = min(curve.min() for curve in curves)
    highest = max(curve.iloc[1] for curve in curves)
    margin = 0.08 * (highest - lowest)
    ax.set_ylim(lowest - margin, highest + margin)


def _mark_simulations(ax: Axes, history: pd.DataFrame) -> None:
    first = float(history["minutes"].iloc[0])
    count = int(history["simulations"].iloc[0])
    if count:
        ax.axvspan(0.0, first, color=LIGHT_GREY, linewidth=0)
        text = (
            f"before the first step:\ndrawing and fitting\n{count:,} simulations,\neach used "
            f"several times"
        )
        ax.text(
            0.5 * first,
            0.5,
            text,
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="center",
            fontsize=9,
        )
