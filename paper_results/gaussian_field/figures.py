"""Fields, and the network's posterior of each beside the exact one.

python paper_results/gaussian_field/figures.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import bayesinn as bi
from bayesinn import plots
from bayesinn.plots.panels import BLACK, CURVES, legend_below, styled
from bayesinn.simulators import gaussian_field as module
from bayesinn.simulators.gaussian_field import gaussian_field

FIELDS = 3
DRAWS = 4_000
HERE = Path(__file__).parent


@styled
def draw(images: np.ndarray, truths: dict, network: dict, exact: list[dict]) -> Figure:
    """One row a field: the image, and marginals of each parameter; a line at the truth."""
    names = list(truths)
    figure = Figure(figsize=(7.4, 1.75 * len(images)), layout="constrained")
    grid = figure.subplots(len(images), 1 + len(names), squeeze=False)
    for row, (image, axes) in enumerate(zip(images, grid, strict=True)):
        axes[0].imshow(image[..., 0], cmap="Greys")
        axes[0].set(xticks=[], yticks=[])
        for name, ax in zip(names, axes[1:], strict=True):
            both = np.concatenate([network[name][row], exact[row][name]])
            bins = np.linspace(*np.quantile(both, [0.002, 0.998]), 40)
            pairs = (("network", network[name][row]), ("exact", exact[row][name]))
            for (label, values), (colour, _, _) in zip(pairs, CURVES, strict=False):
                ax.hist(values, bins, density=True, histtype="step", color=colour, label=label)
            ax.axvline(truths[name][row], color=BLACK, linewidth=0.8, label="truth")
            ax.set(yticks=[], xlabel=name if row == len(images) - 1 else "")
    return legend_below(figure)


def main() -> None:
    """Draw from the posterior that run.py saved."""
    posterior = bi.load(HERE / "posterior")
    drawn = gaussian_field.draw(FIELDS, seed=5)
    images = drawn.observables["image"]
    network = posterior.sample(drawn.observables, draws=DRAWS, seed=6)
    exact = [module.exact({"image": image}, DRAWS, seed=7) for image in images]
    plots.save(draw(images, drawn.parameters, dict(network), exact), HERE / "posteriors.png")


if __name__ == "__main__":
    main()
