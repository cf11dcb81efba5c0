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
from matplotlib.figure import Figure

from bayesinn import plots
from bayesinn.plots.style import CURVES, GREY, LIGHT_GREY, styled

HERE = Path(__file__).parent
#: Pairs of digits that look alike: the class of the image, and the one it is held against.
PAIRS = ((4, 9), (9, 4), (3, 8), (8, 3), (7, 9), (1, 7))
_BETAS = ("0", "1", "inf")
_POINTS = 1_000
#: A beta between those that are small and infinity.
_MIDDLE = 10.0
#: Networks that are attacked, and lines of attacks.
_NETWORKS = (("flow", 1.0), ("flow", 10.0), ("flow", np.inf), ("softmax", np.inf))
_LINES = {"steps": "-", "random": ":", "unnoticed": "--"}
_LINE_NAMES = {
    "steps": "attacked",
    "random": "random signs",
    "unnoticed": "attacked by who knows of the test",
}


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
    titles = [f"{label}, not {other}" for label, other in PAIRS]
    maps = plots.heat_map(stored["images"], stored["maps"], titles=titles)
    plots.save(maps, HERE / "heat_maps.png")
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
    maps = [
        trained["1"].heat_maps(x[[row]], label, other)[0]
        for row, (label, other) in zip(rows, PAIRS, strict=True)
    ]
    found = {
        "images": mnist.test_x[rows, ..., 0].astype(np.uint8),
        "maps": np.asarray(maps, np.float32),
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
    figure = Figure(figsize=(7.4, 3.0), layout="constrained")
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
    return plots.panels.legend_below(figure)


@styled
def latent(stored: dict[str, np.ndarray]) -> Figure:
    """Principal components of latents, and distances of class means below them, by beta."""
    figure = Figure(figsize=(7.4, 5.2), layout="constrained")
    above, below = figure.subplots(2, len(_BETAS))
    for ax, other, beta in zip(above, below, _BETAS, strict=True):
        points = stored[f"components {beta}"]
        for label in range(10):
            own = points[stored["labels"] == label]
            ax.plot(*own.T, ".", color=f"C{label}", markersize=1.5)
            x, y = np.median(own, axis=0)
            ax.text(x, y, str(label), ha="center", va="center", fontweight="bold")
        share = stored[f"shares {beta}"].sum()
        name = r"\infty" if beta == "inf" else beta
        ax.set_title(rf"$\beta = {name}$, {100 * share:.0f} % of the variance")
        ax.set(xticks=[], yticks=[])
        distances = stored[f"distances {beta}"]
        image = other.imshow(np.where(np.eye(10) > 0, np.nan, distances), cmap="viridis")
        other.set(xticks=range(10), yticks=range(10))
        figure.colorbar(image, ax=other, shrink=0.8)
    below[0].set_ylabel("distances of class means")
    return figure


@styled
def attacked(rows: pd.DataFrame) -> Figure:
    """Accuracy under attack, and below it how well attacked images are told apart, by size."""
    names = [name for name in LOADERS if name in set(rows["data"])]
    figure = Figure(figsize=(7.4, 5.2), layout="constrained")
    panels = figure.subplots(2, len(names), squeeze=False, sharex=True)
    for (above, below), name in zip(panels.T, names, strict=True):
        own = rows[rows["data"] == name]
        for (network, beta), (colour, marker, _) in zip(_NETWORKS, CURVES, strict=False):
            some = own[(own["network"] == network) & (own["beta"] == beta)]
            if some.empty:
                continue
            means = some.groupby(["attack", "size"]).mean(numeric_only=True)
            score = "entropy" if network == "softmax" else "untypical density"
            title = "softmax classifier, entropy" if network == "softmax" else _beta(beta)
            for attack, line in _LINES.items():
                if attack not in means.index:
                    continue
                curve = pd.concat([means.loc["none"], means.loc[attack]])
                label = title if attack == "steps" else None
                look = {"color": colour, "linestyle": line, "marker": marker, "markersize": 4}
                if attack != "unnoticed":
                    above.plot(curve.index, curve["accuracy"], label=label, **look)
                if attack != "random":
                    below.plot(curve.index, curve[f"AUC, {score}"], **look)
        above.set(title=name, ylim=(-0.03, 1.03))
        below.axhline(0.5, color=LIGHT_GREY, zorder=0)
        below.set(xlabel="largest change of a pixel", ylim=(-0.03, 1.03))
    for attack, line in _LINES.items():
        panels[0, 0].plot([], [], color=GREY, linestyle=line, label=_LINE_NAMES[attack])
    panels[0, 0].set_ylabel("accuracy")
    panels[1, 0].set_ylabel("attacked images told from others\n(area under the curve)")
    return plots.panels.legend_below(figure)


def _beta(beta: float) -> str:
    """Return the name of a flow, for matplotlib."""
    return r"$\beta = \infty$" if np.isinf(beta) else rf"$\beta = {beta:g}$"


if __name__ == "__main__":
    main()
