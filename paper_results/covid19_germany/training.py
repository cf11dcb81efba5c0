"""How training went: the held-out negative log density, from the tables written by train.py."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from shared import LABELS, Study

from bayesinn import plots
from bayesinn.plots.panels import CURVES, PAGE, legend_below, styled

# Posteriors of one problem share a panel: densities of other parameters can't be compared.
PANELS = {"Germany": ("covid19", "covid19_regular"), "federal states": ("covid19_states",)}
_LOOKS = dict(zip(LABELS, CURVES, strict=False))


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
    """A panel a problem; minutes count from the first step, after simulations were drawn."""
    panels = {
        title: [name for name in names if name in histories] for title, names in PANELS.items()
    }
    panels = {title: names for title, names in panels.items() if names}
    figure = Figure(figsize=(PAGE, 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, names) in zip(axes, panels.items(), strict=True):
        for name in names:
            history = histories[name]
            colour, marker, line = _LOOKS[name]
            ax.plot(
                history["minutes"] - history["minutes"].iloc[0],
                history["held_out_nll"],
                color=colour,
                marker=marker,
                linestyle=line,
                markersize=3.5,
                label=LABELS[name],
            )
        ax.set_title(f"{title}\n{_before(histories[names[0]])}", fontsize=9)
        ax.set(xlabel="minutes since the first step", xlim=(0.0, None))
        _leave_out_first(ax, [histories[name]["held_out_nll"] for name in names])
    axes[0].set_ylabel("held-out negative log density [nats]")
    return legend_below(figure)


def _before(history: pd.DataFrame) -> str:
    """Return what came before the first step."""
    count = int(history["simulations"].iloc[0])
    if not count:
        return "fresh simulations in each step"
    return f"before: {count:,} simulations in {history['minutes'].iloc[0]:.0f} minutes"


def _leave_out_first(ax: Axes, curves: list[pd.Series]) -> None:
    """Let the axis end at the second points: the untrained networks are far above."""
    lowest = min(curve.min() for curve in curves)
    highest = max(curve.iloc[1] for curve in curves)
    margin = 0.08 * (highest - lowest)
    ax.set_ylim(lowest - margin, highest + margin)
