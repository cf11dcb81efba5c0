"""Five densities in the plane: how near each network comes to the exact entropy, and what it costs.

    python paper_results/densities_2d/run.py [--quick] [--only TEXT ...] [--threads N]

Each network learns each density through the public interface: the density is the prior of a
simulator that observes nothing. Writes results.csv, pictures.npz and densities.png beside this file;
``--only`` runs the networks whose name contains one of the texts, and replaces their rows and
pictures alone. ``--quick`` trains briefly into a temporary folder, to check that it runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from densities import DENSITIES, PlaneDensity
from figures import draw

import bayesinn as bi
from bayesinn import bijections, flows, plots

SEED = 1
FRESH_DRAWS = 100_000
NOTHING = {"nothing": np.zeros(1, np.float32)}
CELLS = 100
# Log density of the prior where there is none: a posterior is zero outside its prior's support, and
# pictures are to show what the network puts there.
LOWEST = -100.0


@dataclass(frozen=True)
class Network:
    """A recipe of ``bayesinn.flows``, its arguments, and how to train it."""

    name: str
    recipe: str
    arguments: dict[str, Any]
    steps: int = 4_000
    batch_size: int = 512
    learning_rate: float = 5e-3

    def make(self) -> flows.Flow:
        """A new flow."""
        return getattr(flows, self.recipe)(**self.arguments)


AFFINE: dict[str, Any] = {"hidden": (64, 64)}
# The affine part moves the spline's box to where the data are, given the other coordinate.
# Permutations, because edges are straight: fixed rotations would turn those of the board away from
# the axes.
SPLINE: dict[str, Any] = {
    "hidden": (64, 64),
    "transform": bijections.Composed([bijections.Affine(), bijections.Spline(bins=16)]),
    "mixing": "permutation",
}
NETWORKS = (
    Network("affine coupling, 4 blocks", "coupling", {"blocks": 4, **AFFINE}),
    Network("affine coupling, 8 blocks", "coupling", {"blocks": 8, **AFFINE}),
    Network("spline coupling, 2 blocks", "coupling", {"blocks": 2, **SPLINE}),
    Network("spline coupling, 4 blocks", "coupling", {"blocks": 4, **SPLINE}),
    Network("affine autoregressive, 8 blocks", "autoregressive", {"blocks": 8, **AFFINE}),
    Network("spline autoregressive, 4 blocks", "autoregressive", {"blocks": 4, **SPLINE}),
    Network("spline hierarchical, 4 blocks", "hint", {"blocks": 4, **SPLINE}),
    Network(
        "residual, 10 blocks", "residual", {"blocks": 10, "hidden": (64, 64)}, learning_rate=2e-3
    ),
)


class Everywhere(PlaneDensity):
    """The same draws, with a density that is nowhere zero."""

    def __init__(self, density: PlaneDensity) -> None:
        super().__init__(density.title, density.entropy_value, density.window)
        self._density = density

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        return self._density._sample_n(n, seed)

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        return tf.maximum(self._density.log_prob(x), LOWEST)


def main() -> None:
    """Train, score, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT")
    parser.add_argument(
        "--threads", type=int, help="threads of one operation (all cores if left out)"
    )
    arguments = parser.parse_args()
    if arguments.threads:
        tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    # A recipe that this version doesn't have is left out.
    networks = [network for network in NETWORKS if hasattr(flows, network.recipe)]
    networks = [
        network for network in networks if any(text in network.name for text in arguments.only)
    ]
    # The first and the last network on one density are enough to see that it runs.
    names = ["moons"] if arguments.quick else list(DENSITIES)
    if arguments.quick:
        networks = [
            replace(network, arguments=network.arguments | {"blocks": 1})
            for network in (networks[0], networks[-1])
        ]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if arguments.quick else Path(__file__).parent
        for network in networks:
            rows = []
            pictures = {}
            for name in names:
                row, learnt = learn(network, DENSITIES[name], arguments.quick)
                pictures |= {f"exact: {name}": exact(DENSITIES[name])}
                pictures |= {f"{network.name}: {name}": learnt}
                pictures |= {f"{network.name}: {name}: gap": np.array(row["gap"], float)}
                rows.append(row)
                print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            write(pd.DataFrame(rows), target / "results.csv")
            keep(pictures, target / "pictures.npz")
        plots.save(draw(target), target / "densities.png")


def learn(
    network: Network, density: PlaneDensity, quick: bool
) -> tuple[dict[str, object], np.ndarray]:
    """Train one network on one density.

    Returns
    -------
    row : dict, a row of the table
    picture : array (cells, cells), the density that was learnt
    """

    @bi.simulator(prior={"point": Everywhere(density)}, name=density.title)
    def blind(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"nothing": tf.zeros((tf.shape(parameters["point"])[0], 1))}

    steps = 20 if quick else network.steps
    posterior = bi.AmortizedPosterior(blind, flow=network.make())
    processor = time.process_time()
    posterior.fit(
        steps=steps,
        batch_size=network.batch_size,
        optimization=bi.Optimization(learning_rate=network.learning_rate),
        seed=SEED,
        progress=False,
    )
    processor = time.process_time() - processor
    seconds = posterior.training["seconds"]
    fresh = density.sample(1_000 if quick else FRESH_DRAWS, seed=(SEED, 101)).numpy()
    learnt = posterior.log_prob({"point": fresh}, NOTHING)
    # Paired with the exact density, so that only the network's error counts.
    excess = density.log_prob(fresh).numpy() - learnt
    row = {
        "network": network.name,
        "density": density.title,
        "weights": count_weights(network),
        "steps": steps,
        "batch": network.batch_size,
        "minutes": f"{seconds / 60.0:.2f}",
        "ms / step": f"{1e3 * seconds / steps:.2f}",
        "processor minutes": f"{processor / 60.0:.2f}",
        "draws / s": f"{sampling_speed(posterior, len(fresh)):.3g}",
        "NLL": f"{-learnt.mean():.4f}",
        "floor": f"{density.entropy_value:.4f}",
        "gap": f"{excess.mean():.4f}",
        "standard error": f"{excess.std() / np.sqrt(len(excess)):.4f}",
    }
    learnt = posterior.log_prob({"point": grid(density)}, NOTHING)
    return row, np.exp(learnt).reshape(CELLS, CELLS)


def count_weights(network: Network) -> int:
    """Number of trainable weights in the plane."""
    flow = network.make()
    flow.build((2,), (1,))
    return sum(int(np.prod(variable.shape)) for variable in flow.trainable_variables)


def sampling_speed(posterior: bi.AmortizedPosterior, draws: int) -> float:
    """Draws per second, once compiled."""
    posterior.sample(NOTHING, draws=draws, seed=SEED)
    started = time.monotonic()
    posterior.sample(NOTHING, draws=draws, seed=SEED + 1)
    return draws / (time.monotonic() - started)


def grid(density: PlaneDensity) -> np.ndarray:
    """Return the points (n, 2) at which pictures show the density."""
    left, right, bottom, top = density.window
    axes = np.linspace(left, right, CELLS), np.linspace(bottom, top, CELLS)
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2).astype(np.float32)


def exact(density: PlaneDensity) -> np.ndarray:
    """Return the picture (cells, cells) of the exact density."""
    return np.exp(density.log_prob(grid(density)).numpy()).reshape(CELLS, CELLS)


def write(rows: pd.DataFrame, path: Path) -> None:
    """Add rows to a table; they replace those of the same network and density."""
    if path.exists():
        # As text: nothing that stays may be rounded anew.
        rows = pd.concat([pd.read_csv(path, dtype=str), rows.astype(str)])
    rows = rows.drop_duplicates(["network", "density"], keep="last")
    order = [network.name for network in NETWORKS]
    rows.sort_values("network", key=lambda names: names.map(order.index), kind="stable").to_csv(
        path, index=False
    )


def keep(pictures: dict[str, np.ndarray], path: Path) -> None:
    """Add pictures to a file; they replace those of the same names."""
    stored = dict(np.load(path)) if path.exists() else {}
    stored |= {name: values.astype(np.float16) for name, values in pictures.items()}
    np.savez_compressed(path, **stored)


if __name__ == "__main__":
    main()
