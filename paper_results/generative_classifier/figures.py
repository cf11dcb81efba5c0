"""Figures of README.md: the sweep of beta, heat maps, the latent space, and attacks.

    python paper_results/generative_classifier/figures.py [--data FOLDER --models FOLDER]

Draws from results.csv, attacks.csv and arrays.npz; with a folder of trained networks (of ``run.py --models``),
arrays.npz is made anew first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from images import LOADERS
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from bayesinn import plots
from bayesinn.plots.panels import BLUE, CURVES, GREY, LIGHT_GREY, PAGE, styled

HERE = Path(__file__).parent
#: Pairs of digits that look alike: the class of the image, and the one it is held against.
PAIRS = ((4, 9), (9, 4), (3, 8), (8, 3), (7, 9), (1, 7))
_BETAS = ("0", "1", "inf")
_POINTS = 1_000
#: A beta between those that are small and infinity.
_MIDDLE = 10.0
#: Networks that are attacked.
_NETWORKS = (("flow", 1.0), ("flow", 10.0), ("flow", np.inf), ("softmax", np.inf))
#: Columns of the figure: the attack, what is measured, and the title.
_COLUMNS = (
    ("steps", "accuracy", "accuracy,\nattacked"),
    ("random", "accuracy", "accuracy,\nrandom signs"),
    ("steps", "AUC", "told apart (AUC),\nattacked"),
    ("unnoticed", "AUC", "told apart (AUC),\nattack knows the test"),
)


def main() -> None:
    """Draw all figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--models", type=Path)
    options = parser.parse_args()
    if options.models is not None:
        np.savez_compressed(HERE / "arrays.npz", **arrays(options.data, options.models))
    stored = np.load(HERE / "arrays.npz")
    plots.save(sweep(pd.read_csv(HERE / "results.csv")), HERE / "sweep.png")
    plots.save(maps(stored), HERE / "heat_maps.png")
    plots.save(latent(stored), HERE / "latent.png")
    plots.save(attacked(pd.read_csv(HERE / "attacks.csv")), HERE / "attacks.png")


def arrays(data: Path | None, models: Path) -> dict[str, np.ndarray]:
    """Return what the figures show of trained networks: maps, principal components, distances."""
    from images import load
    from measure import noisy

    from bayesinn.inverse import LatentMixture

    mnist = load("MNIST", data)
    x = noisy(mnist.test_x)
    trained = {beta: LatentMixture.load(models / f"MNIST_flow_{beta}_1") for beta in _BETAS}
    rows = [np.flatnonzero(mnist.test_labels == label)[0] for label, _ in PAIRS]
    weights = [
        trained["1"].heat_maps(x[[row]], label, other)[0]
        for row, (label, other) in zip(rows, PAIRS, strict=True)
    ]
    found = {
        "images": mnist.test_x[rows, ..., 0].astype(np.uint8),
        "maps": np.asarray(weights, np.float32),
        "labels": mnist.test_labels[:_POINTS].astype(np.uint8),
    }
    for beta, model in trained.items():
        codes = model.latent_codes(x[:_POINTS])
        centred = codes - codes.mean(axis=0)
        _, scales, axes = np.linalg.svd(centred, full_matrices=False)
        found[f"components {beta}"] = (centred @ axes[:2].T).astype(np.float32)
        found[f"shares {beta}"] = (scales**2 / np.sum(scales**2))[:2]
        means = model.latent_means
        found[f"distances {beta}"] = np.linalg.norm(means[:, None] - means, axis=2)
    return found


@styled
def sweep(results: pd.DataFrame) -> Figure:
    """Share of errors over bits per dimension, a point for each training, of each data set."""
    figure = Figure(figsize=(PAGE, 3.2), layout="constrained")
    names = [name for name in LOADERS if name in set(results["data"])]
    for ax, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        own = results[results["data"] == name]
        flows = own[own["network"] == "flow"]
        colour, marker, _ = CURVES[0]
        errors = 1.0 - flows["accuracy"]
        ax.plot(flows["bits"], errors, marker, color=colour, markersize=4, label="flow")
        for beta, group in flows.groupby("beta"):
            # Names of betas that lie close to each other stand on different sides.
            left = beta <= 1.0
            offset, side = ((-5, 0), "right") if left else ((5, 8), "left")
            if beta == _MIDDLE:
                offset, side = (0, -14), "center"
            ax.annotate(
                _beta(beta),
                (group["bits"].agg("min" if left else "max"), 1.0 - group["accuracy"].mean()),
                xytext=offset,
                textcoords="offset points",
                ha=side,
                va="center",
                fontsize=8,
            )
        colour, _, line = CURVES[1]
        softmax = 1.0 - own[own["network"] == "softmax"]["accuracy"]
        if len(softmax):
            ax.axhline(softmax.mean(), color=colour, linestyle=line, label="softmax classifier")
        ax.set(title=name, xlabel="bits per dimension", ylabel="share of errors", yscale="log")
        ax.margins(0.65, 0.15)
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(lambda value, _: f"{100.0 * value:g} %")
        ax.yaxis.set_minor_formatter(NullFormatter())
    return plots.panels.legend_below(figure)


def maps(stored: dict[str, np.ndarray]) -> Figure:
    """What speaks for a class and against another, pixel by pixel."""
    titles = [f"{label}, not {other}" for label, other in PAIRS]
    return plots.heat_map(stored["images"], stored["maps"], titles=titles)


@styled
def latent(stored: dict[str, np.ndarray]) -> Figure:
    """Principal components of latents, and distances of class means below them, by beta."""
    figure = Figure(figsize=(PAGE, 5.8), layout="constrained")
    above, below = figure.subplots(2, len(_BETAS))
    norm = Normalize(0.0, max(stored[f"distances {beta}"].max() for beta in _BETAS))
    for ax, other, beta in zip(above, below, _BETAS, strict=True):
        points = stored[f"components {beta}"]
        ax.plot(*points.T, ".", color=LIGHT_GREY, markersize=2, label="test image")
        for label in range(10):
            own = points[stored["labels"] == label]
            _ellipse(ax, own, label="1 sd of a class, around its digit")
            ax.text(*own.mean(axis=0), str(label), ha="center", va="center", fontweight="bold")
        share = stored[f"shares {beta}"].sum()
        ax.set(
            title=f"{_beta(float(beta))}, {100 * share:.0f} % of variance",
            xlabel="first component",
        )
        distances = np.where(np.eye(10) > 0, np.nan, stored[f"distances {beta}"])
        image = other.imshow(distances, cmap="Blues", norm=norm)
        other.set(xticks=range(10), yticks=range(10), xlabel="class")
        other.tick_params(length=0)
    above[0].set_ylabel("second component")
    below[0].set_ylabel("class")
    figure.colorbar(image, ax=below, label="distance of class means", shrink=0.9)
    return plots.panels.legend_below(figure)


def _ellipse(ax: Axes, points: np.ndarray, label: str) -> None:
    """Draw the ellipse of one standard deviation of points (n, 2)."""
    angle = np.linspace(0.0, 2.0 * np.pi, 60)
    root = np.linalg.cholesky(np.cov(points.T))
    circle = np.stack([np.cos(angle), np.sin(angle)])
    ax.plot(*(root @ circle + points.mean(axis=0)[:, None]), color=BLUE, lw=1.2, label=label)


@styled
def attacked(rows: pd.DataFrame) -> Figure:
    """Accuracy under attack, and how well attacked images are told apart, by size of the attack.

    A row for each data set, a column for each attack and measure, a curve for each network.
    """
    names = [name for name in LOADERS if name in set(rows["data"])]
    figure = Figure(figsize=(PAGE, 0.9 + 1.75 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), len(_COLUMNS), squeeze=False, sharex=True, sharey=True)
    for axes, name in zip(grid, names, strict=True):
        for ax, (attack, measure, title) in zip(axes, _COLUMNS, strict=True):
            own = rows[(rows["data"] == name) & rows["attack"].isin(["none", attack])]
            if measure != "accuracy":
                ax.axhline(0.5, color=GREY, linewidth=0.8)
            for (network, beta), (colour, marker, line) in zip(_NETWORKS, CURVES, strict=False):
                some = own[(own["network"] == network) & (own["beta"] == beta)]
                if attack not in set(some["attack"]):
                    continue
                score = "entropy" if network == "softmax" else "untypical density"
                column = measure if measure == "accuracy" else f"{measure}, {score}"
                means = some.groupby("size")[column].mean()
                label = "softmax classifier" if network == "softmax" else _beta(beta)
                ax.plot(
                    means.index, means, line, color=colour, marker=marker, markersize=4, label=label
                )
            ax.set(ylim=(-0.03, 1.03), xticks=[0.0, 0.1, 0.2])
            if ax in grid[0]:
                ax.set_title(title, fontsize=9)
        axes[0].set_ylabel(name)
    for ax in grid[-1]:
        ax.set_xlabel("largest change of a pixel", fontsize=9)
    return plots.panels.legend_below(figure)


def _beta(beta: float) -> str:
    """Return the name of a flow, for matplotlib."""
    return r"$\beta = \infty$" if np.isinf(beta) else rf"$\beta = {beta:g}$"


if __name__ == "__main__":
    main()
