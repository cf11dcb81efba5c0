"""Two moons: classifier two-sample tests of our posterior against exact draws, and published ones.

    python paper_results/two_moons/run.py [--quick] [--reference FOLDER]

Trains one network online, scores its density on fresh simulations against the exact one, and
compares 10,000 draws for each of the first five observations of the sbi benchmark (Lueckmann et al.
2021, arXiv:2101.04653) with as many exact draws. With ``--reference``, the folder
``sbibm/tasks/two_moons/files`` of the package sbibm 1.1.0, also with the benchmark's own reference
draws. Writes results.csv, training.csv and draws.png beside this file; ``--quick`` trains briefly
into a temporary folder, to check that it runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import bayesinn as bi
from bayesinn import bijections, flows, plots
from bayesinn.diagnostics import c2st
from bayesinn.plots.panels import BLUE, ORANGE, PAGE, styled
from bayesinn.simulators import two_moons

SEED = 1
BLOCKS = 6
STEPS = 10_000
BATCH_SIZE = 512
LEARNING_RATE = 5e-3
FRESH_SIMULATIONS = 50_000
DRAWS = 10_000
# Observations 1 to 5 of the benchmark.
OBSERVATIONS = (
    (-0.6396706, 0.16234657),
    (-0.5676688, -0.33194834),
    (0.0030109584, -0.6457662),
    (-0.25049388, 0.633055),
    (-0.66463584, -0.42604533),
)
# Neural posterior estimation in the benchmark's published results: mean over its ten observations.
PUBLISHED = {1_000: 0.725, 10_000: 0.606, 100_000: 0.542}
NAMES = ("theta1", "theta2")


def network(blocks: int) -> flows.Flow:
    """Spline couplings that first move and zoom: the crescents are a tenth as wide as the prior."""
    transform = bijections.Composed([bijections.Affine(), bijections.Spline(bins=16)])
    return flows.coupling(blocks, hidden=(64, 64), transform=transform)


def main() -> None:
    """Train, score, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FOLDER",
        help="sbibm/tasks/two_moons/files of sbibm 1.1.0",
    )
    arguments = parser.parse_args()
    if arguments.reference is None:
        print("No --reference folder: compared with draws from the exact posterior only.")
    quick = arguments.quick
    posterior = bi.AmortizedPosterior(two_moons.two_moons, flow=network(1 if quick else BLOCKS))
    steps = 20 if quick else STEPS
    processor = time.process_time()
    posterior.fit(
        steps=steps,
        batch_size=BATCH_SIZE,
        optimization=bi.Optimization(learning_rate=LEARNING_RATE),
        seed=SEED,
        progress=not quick,
    )
    processor = time.process_time() - processor
    gap, error = density_gap(posterior, 1_000 if quick else FRESH_SIMULATIONS)
    training = {"seconds": posterior.training["seconds"], "processor_seconds": processor}
    training |= {
        "simulations": steps * BATCH_SIZE,
        "nats above the entropy": gap,
        "standard_error": error,
    }
    print(pd.Series(training).to_string())
    draws = 200 if quick else DRAWS
    rows = []
    ours = []
    exact = []
    for number, x in enumerate(OBSERVATIONS[: 1 if quick else None], 1):
        data = {"x": np.array(x, np.float32)}
        ours.append(columns(posterior.sample(data, draws=draws, seed=SEED)))
        exact.append(columns(two_moons.exact(data, draws, seed=number)))
        row: dict[str, float] = {"observation": number, "x1": x[0], "x2": x[1]}
        row["ours and exact"] = c2st(ours[-1], exact[-1])
        if arguments.reference is not None:
            reference = reference_draws(arguments.reference, number)[:draws]
            row["ours and reference"] = c2st(ours[-1], reference)
            row["exact and reference"] = c2st(exact[-1], reference)
        rows.append(row)
        print(", ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)
    table = pd.DataFrame(rows)
    means = {name: table[name].mean() for name in table if " and " in name}
    table = pd.concat([table, pd.DataFrame([{"observation": "mean", **means}])])
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    print("published, after as many simulations:", PUBLISHED)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        table.to_csv(target / "results.csv", index=False, float_format="%.4f")
        pd.DataFrame([training]).to_csv(target / "training.csv", index=False, float_format="%.5g")
        plots.save(draw(ours, exact), target / "draws.png")


def density_gap(posterior: bi.AmortizedPosterior, simulations: int) -> tuple[float, float]:
    """Mean of exact minus learnt log density over fresh simulations, and its standard error."""
    fresh = two_moons.two_moons.sample(simulations, seed=101)
    data = {"x": fresh["x"]}
    # Paired, so that only the network's error counts.
    excess = two_moons.log_posterior(fresh, data) - posterior.log_prob(
        {name: fresh[name] for name in NAMES}, data
    )
    return float(excess.mean()), float(excess.std() / np.sqrt(simulations))


def columns(draws: dict[str, np.ndarray]) -> np.ndarray:
    """Draws (n, 2)."""
    return np.stack([draws[name] for name in NAMES], axis=1)


def reference_draws(folder: Path, number: int) -> np.ndarray:
    """The benchmark's draws (10000, 2) for an observation, whose data must be the ones above."""
    folder = folder / f"num_observation_{number}"
    np.testing.assert_allclose(
        pd.read_csv(folder / "observation.csv").to_numpy()[0], OBSERVATIONS[number - 1]
    )
    return pd.read_csv(folder / "reference_posterior_samples.csv.bz2").to_numpy()


@styled
def draw(ours: list[np.ndarray], exact: list[np.ndarray]) -> Figure:
    """Draws by observation, near a crescent and, inset, in the whole prior: exact above ours."""
    figure = Figure(figsize=(PAGE, 3.6), layout="constrained")
    grid = figure.subplots(2, len(ours), squeeze=False, sharex="col", sharey="col")
    for column, both in enumerate(zip(exact, ours, strict=True)):
        # The crescents lie on either side of the diagonal theta1 + theta2 = 0; the upper one fills
        # the window.
        upper = both[0][both[0].sum(axis=1) > 0.0]
        middle = (upper.max(axis=0) + upper.min(axis=0)) / 2.0
        half = 0.7 * np.ptp(upper, axis=0).max() * np.array([-1, 1])
        for ax, points, colour in zip(grid[:, column], both, (ORANGE, BLUE), strict=True):
            ax.plot(*points.T, ".", markersize=1.5, color=colour, alpha=0.4, markeredgewidth=0)
            ax.set(xlim=middle[0] + half, ylim=middle[1] + half, aspect="equal")
            inset = ax.inset_axes((0.02, 0.02, 0.3, 0.3))
            inset.plot(*points[:500].T, ".", markersize=1.0, color=colour, markeredgewidth=0)
            inset.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[], yticks=[])
        grid[0, column].set_title(f"observation {column + 1}", fontsize=9)
        grid[1, column].set_xlabel(r"$\theta_1$")
    for ax, kind in zip(grid[:, 0], ("exact", "ours"), strict=True):
        ax.set_ylabel(f"{kind}\n$\\theta_2$")
    return figure


if __name__ == "__main__":
    main()
