"""The figure of README.md, from arrays.npz: arms that reach a hand, throws that reach a place.

python paper_results/inverse_benchmark/figures.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tasks import TASKS, Draws

from bayesinn import plots
from bayesinn.plots import panels
from bayesinn.plots.panels import PAGE, legend_below, wrapped
from bayesinn.simulators import inverse_ballistics as ballistics, inverse_kinematics as kinematics

HERE = Path(__file__).parent
#: Columns of the figure: the name of the draws, and the title.
SHOWN = {
    "exact posterior": "exact",
    "coupling, spline (default)": "coupling, spline",
    "HINT, spline": "HINT",
    "autoregressive, spline": "autoregressive",
    "split latent, likelihood": "split latent",
    "coupling, affine": "coupling, affine",
}
TITLES = {"kinematics": "100 arms", "ballistics": "60 throws"}
ARMS = 100
THROWS = 60


@panels.styled
def solutions(arrays: dict[str, np.ndarray]) -> Figure:
    """Draw arms above and throws below, one column for each network that has answered both."""
    rows = {"kinematics": draw_arms, "ballistics": draw_throws}
    names = [name for name in SHOWN if all(f"{task}, {name}" in arrays for task in rows)]
    figure = Figure(figsize=(PAGE, 4.4), layout="constrained")
    grid = figure.subplots(2, len(names), squeeze=False, sharex="row", sharey="row")
    for axes, (task, draw) in zip(grid, rows.items(), strict=True):
        for ax, name in zip(axes, names, strict=True):
            draw(ax, parameters(task, arrays[f"{task}, {name}"]))
            ax.set_xlabel("across", fontsize=9)
        axes[0].set_ylabel(f"{TITLES[task]}\nup")
    for ax, name in zip(grid[0], names, strict=True):
        ax.set_title(wrapped(SHOWN[name], 1.0, 9.0), fontsize=9)
    return legend_below(figure)


def parameters(task: str, values: np.ndarray) -> Draws:
    """Return draws by name from an array (parameters, draws)."""
    return dict(zip(TASKS[task].sds, values.astype(float), strict=True))


def draw_arms(ax: Axes, draws: Draws) -> None:
    """Draw each arm from base to hand, and where the hand is given."""
    positions = kinematics.joints(draws)[:ARMS]
    ax.plot(*positions.transpose(2, 1, 0), color=panels.BLUE, alpha=0.15, linewidth=0.7)
    ax.plot(*positions[:, 0].T, ".", color=panels.BLACK, markersize=2, label="start of a draw")
    ax.plot(*positions[:, -1].T, ".", color=panels.BLUE, markersize=3, label="hand of a draw")
    mark(ax, *kinematics.inverse_kinematics.observed["hand"])
    ax.set(xlim=(-0.2, 1.9), ylim=(-1.2, 1.2), aspect="equal", adjustable="box")


def draw_throws(ax: Axes, draws: Draws) -> None:
    """Draw each ball from hand to ground, and where it is given to land."""
    given = {name: tf.constant(value[:THROWS]) for name, value in draws.items()}
    seconds = np.linspace(0.0, 1.0, 60)[:, None] * ballistics.flight(given).numpy()
    across, up = ballistics.position(given, tf.constant(seconds))
    ax.axhline(0.0, color=panels.GREY, linewidth=0.8)
    ax.plot(across, up, color=panels.BLUE, alpha=0.25, linewidth=0.7)
    ax.plot(across[0], up[0], ".", color=panels.BLACK, markersize=1.5)
    mark(ax, float(ballistics.inverse_ballistics.observed["landing"]), 0.0)
    ax.set(xlim=(-1.8, 6.2), ylim=(-0.8, 9.0))


def mark(ax: Axes, across: float, up: float) -> None:
    """Draw the observation."""
    label = "observed: where the hand is, and where the ball lands"
    ax.plot(
        across,
        up,
        "x",
        color=panels.ORANGE,
        markersize=8.0,
        markeredgewidth=2.0,
        zorder=5,
        label=label,
    )


if __name__ == "__main__":
    plots.save(solutions(dict(np.load(HERE / "arrays.npz"))), HERE / "solutions.png")
