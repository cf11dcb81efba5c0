"""Diagrams: simulator, summary network, flow and posterior; and which estimator for which problem.

``python -m docs.figures architecture which_estimator`` draws them.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from bayesinn.plots.panels import BLACK, BLUE, GREY, LIGHT_GREY, ORANGE, PAGE, SMALL, styled, tint

#: Heights of what training and inference do, and of the networks between them.
TRAINING, INFERENCE = 2.75, 0.85
_HALF = 0.42
#: Questions in the order in which they are asked, and the answer to a yes.
CHOICES = (
    ("one data set, and a likelihood\nthat is cheap to evaluate?", "MCMC: Stan, PyMC, NumPyro"),
    ("which of several models\nmade the data?", "ModelComparison"),
    ("parameters of a population\nand of each member?", "HierarchicalPosterior"),
    ("any number of independent\ntrials of one person or thing?", "AmortizedLikelihood"),
    ("are means and quantiles\nenough?", "PointEstimator"),
)
#: What to do with an amortized posterior that is not good enough, in this order.
IMPROVED = (
    "train longer, more simulations",
    "likelihood: refine",
    "one observation: truncated_rounds",
    "other networks; networks=3, Ensemble",
)
_TALL = (INFERENCE - _HALF, TRAINING + _HALF)


@styled
def draw() -> Figure:
    """Draw training from left to right above, inference below, and networks that both share."""
    figure = Figure(figsize=(PAGE, 3.5))
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(0.0, PAGE), ylim=(0.0, 3.9))
    ax.axis("off")
    row = (TRAINING - _HALF, TRAINING + _HALF)
    below = (INFERENCE - _HALF, INFERENCE + _HALF)
    _box(ax, (0.1, 1.1), row, "prior", LIGHT_GREY)
    _box(ax, (1.55, 2.65), row, "simulator", LIGHT_GREY)
    _box(ax, (1.55, 2.65), below, "your data", tint(ORANGE, 0.4))
    _box(ax, (3.15, 4.25), _TALL, "summary\nnetwork", tint(BLUE, 0.35))
    _box(ax, (4.9, 6.0), _TALL, "invertible\nflow", tint(BLUE, 0.35))
    _box(ax, (6.5, 7.3), row, "normal\nlatent", LIGHT_GREY)
    _box(ax, (6.5, 7.3), below, "posterior\ndraws", tint(ORANGE, 0.4))
    _arrow(ax, (1.1, TRAINING), (1.55, TRAINING), r"$\theta$")
    _arrow(ax, (2.65, TRAINING), (3.15, TRAINING), "$x$")
    _arrow(ax, (4.25, TRAINING), (4.9, TRAINING), "features")
    _arrow(ax, (6.0, TRAINING + 0.15), (6.5, TRAINING + 0.15), "$z$")
    # Of training: parameters pass over the simulator and enter the flow from above.
    high = TRAINING + 0.8
    ax.plot([0.6, 0.6, 5.45], [TRAINING + _HALF, high, high], color=BLACK, linewidth=1.0)
    _arrow(ax, (5.45, high), (5.45, TRAINING + _HALF), "")
    ax.text(3.0, high + 0.05, r"parameters $\theta$", ha="center", va="bottom", fontsize=SMALL)
    _arrow(ax, (2.65, INFERENCE), (3.15, INFERENCE), "$x$", ORANGE)
    _arrow(ax, (4.25, INFERENCE), (4.9, INFERENCE), "features", ORANGE)
    _arrow(ax, (6.9, TRAINING - _HALF), (6.0, 1.8), "", ORANGE)
    ax.text(6.62, 1.95, "draws\nof $z$", fontsize=SMALL, va="center")
    _arrow(ax, (6.0, INFERENCE), (6.5, INFERENCE), r"$\theta$", ORANGE)
    ax.text(0.1, 1.95, "training, once:\nthousands of simulations", fontsize=SMALL, color=BLACK)
    ax.text(0.1, 0.85, "inference:\nmilliseconds", fontsize=SMALL, va="center")
    ax.axhline(1.8, 0.013, 0.41, color=GREY, linestyle=":", linewidth=1.0)
    return figure


@styled
def choose() -> Figure:
    """Draw questions from top to bottom, and to the right of each the estimator for a yes."""
    figure = Figure(figsize=(PAGE, 6.6))
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    top = len(CHOICES)
    ax.set(xlim=(0.0, PAGE), ylim=(-1.0, top))
    ax.axis("off")
    for row, (question, answer) in enumerate(CHOICES):
        middle = top - 0.45 - row
        _box(ax, (0.1, 3.3), (middle - 0.33, middle + 0.33), question, LIGHT_GREY)
        external = answer.startswith("MCMC")
        colour = tint(ORANGE, 0.4) if external else tint(BLUE, 0.35)
        _box(ax, (4.1, 7.3), (middle - 0.22, middle + 0.22), answer, colour)
        _arrow(ax, (3.3, middle), (4.1, middle), "yes")
        _arrow(ax, (1.65, middle - 0.33), (1.65, middle - 0.67), "")
        ax.text(1.75, middle - 0.5, "no", va="center", fontsize=SMALL)
    _box(ax, (0.1, 3.3), (-0.89, -0.13), "AmortizedPosterior", tint(BLUE, 0.35))
    _box(ax, (4.1, 7.3), (-0.95, -0.11), "\n".join(IMPROVED), LIGHT_GREY)
    _arrow(ax, (3.3, -0.53), (4.1, -0.53), "not good\nenough?")
    return figure


def _box(
    ax: Axes, across: tuple[float, float], up: tuple[float, float], text: str, colour: str
) -> None:
    corner = (across[0], up[0])
    size = (across[1] - across[0], up[1] - up[0])
    look = {"facecolor": colour, "edgecolor": GREY, "linewidth": 0.8}
    ax.add_patch(FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.1", **look))
    ax.text(sum(across) / 2, sum(up) / 2, text, ha="center", va="center")


def _arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    text: str,
    colour: str = BLACK,
) -> None:
    look = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=look)
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    ax.text(middle[0], middle[1] + 0.07, text, ha="center", va="bottom", fontsize=SMALL)
