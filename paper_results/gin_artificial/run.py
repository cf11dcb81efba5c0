"""The artificial experiment of GIN: two sources that an unknown network mixed with eight of noise.

    python paper_results/gin_artificial/run.py [--quick]

Writes trainings.csv and arrays.npz beside this file, a row a training, then spectra_longer.png and
sources_longer.png from both; trainings that are in the table already are left alone. ``--quick``
trains for a few steps on few points and writes nothing that stays. Sorrenson, Rother and Köthe
(2020), arXiv:2001.04872.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from figures import draw_sources, draw_spectra

import bayesinn as bi
from bayesinn import plots
from bayesinn.bijections import Affine, Bijection
from bayesinn.flows import coupling
from bayesinn.inverse import (
    ClassNormal,
    LatentMixture,
    Spectrum,
    gin,
    latent_effects,
    match_sources,
)
from bayesinn.simulators.mixed_sources import Kind, MixedSources, mixed_sources

BATCH = 1_000
BLOCKS = 8
TEST_POINTS = 10_000
SHOWN_POINTS = 2_000
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Case:
    """One training: which data, how many, and which network and schedule."""

    name: str
    seed: int = 1
    points: int = 100_000
    kind: Kind = "overlapping"
    volume_preserving_mixing: bool = False
    network: str = "gin"
    noise: float = 0.0
    width: int = 32
    steps: int = 4_000
    published_schedule: bool = False


def cases() -> list[Case]:
    """Return all trainings; controls that need no more have one seed."""
    kinds = [
        Case("GIN"),
        Case("volume-preserving mixing", volume_preserving_mixing=True),
        Case("published training", noise=0.01, width=10, steps=8_000, published_schedule=True),
        Case("10,000 points", points=10_000),
        Case("no volume constraint", network="affine"),
        Case("no volume constraint, ActNorm", network="glow"),
    ]
    several = [replace(case, seed=seed) for case in kinds for seed in SEEDS]
    return [
        *several,
        Case("separated classes", kind="separated"),
        Case("equal scales", kind="equal scales"),
    ]


def main() -> None:
    """Train all cases, measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        # A mixing that changes volumes, and one that doesn't.
        chosen = [replace(case, points=5_000, steps=10) for case in cases()[:4:3]]
        for case in chosen if quick else cases():
            if (case.name, case.seed) not in finished(target):
                row, arrays = run(case)
                print(pd.Series(row).to_string(), end="\n\n", flush=True)
                add(target, row, arrays)
        draw(target)


def finished(target: Path) -> list[tuple[str, int]]:
    """Return names and seeds of trainings that are in the table."""
    file = target / "trainings.csv"
    if not file.exists():
        return []
    table = pd.read_csv(file)
    return list(zip(table["case"], table["seed"], strict=True))


def add(target: Path, row: dict[str, object], arrays: dict[str, np.ndarray]) -> None:
    """Add a row, and for the first seed its arrays, to the files."""
    file = target / "trainings.csv"
    table = [pd.read_csv(file)] if file.exists() else []
    pd.concat([*table, pd.DataFrame([row])]).to_csv(file, index=False, float_format="%.4g")
    if row["seed"] == SEEDS[0]:
        file = target / "arrays.npz"
        stored = dict(np.load(file)) if file.exists() else {}
        stored |= {f"{row['case']}: {name}": values for name, values in arrays.items()}
        np.savez_compressed(file, **stored)


def draw(target: Path) -> None:
    """Draw both figures from the stored arrays."""
    stored = dict(np.load(target / "arrays.npz"))
    plots.save(draw_spectra(stored), target / "spectra.png")
    plots.save(draw_sources(stored), target / "sources.png")


def run(case: Case) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Train on one data set; measure on other points of the same classes and mixing."""
    started = time.process_time()
    data, test = (
        mixed_sources(points, case.seed, case.kind, True, case.volume_preserving_mixing, draw)
        for draw, points in enumerate((case.points, TEST_POINTS))
    )
    model = LatentMixture(chain_of(case), ClassNormal("batch"), standardise=False, noise=case.noise)
    model.fit(
        data.x,
        data.labels,
        steps=case.steps,
        batch_size=BATCH,
        seed=case.seed,
        validation=0.0,
        optimization=schedule(case),
        progress=False,
    )
    found = Spectrum.of(model.latent_scales)
    # Which elements are informative is said by what they do: their own scales are arbitrary.
    effects = Spectrum.of(latent_effects(model)[None])
    codes = effects.leading(model.latent_codes(test.x), 2)
    match = match_sources(codes, test.sources[:, :2])
    volumes = np.log(model.latent_scales).sum(axis=1) - np.log(data.scales).sum(axis=1)
    row = {
        "case": case.name,
        "seed": case.seed,
        "points": case.points,
        "informative": found.informative,
        "drop after 2": found.drops[1],
        "drop of effects after 2": effects.drops[1],
        "mean correlation": match.mean_correlation,
        "lowest correlation": match.correlation.min(),
        # Of the best two elements of x: what there is to gain.
        "mean correlation of x": match_sources(test.x, test.sources[:, :2]).mean_correlation,
        "test loss": -model.log_prob(test.x, test.labels).mean(),
        # Noise on x would add to it.
        "bound": np.nan if case.noise else bound(test),
        "nats for the axes": nats_for_the_axes(test),
        # How much the sum of log scales of a class exceeds that of its sources.
        "least excess of a class": volumes.min(),
        "largest excess of a class": volumes.max(),
        "seconds": round(time.process_time() - started),
    }
    turned = codes[:SHOWN_POINTS, match.match] * match.signs
    arrays = {
        "spectrum": found.values,
        "sources": test.sources[:SHOWN_POINTS, :2],
        "codes": turned,
        "labels": test.labels[:SHOWN_POINTS].astype(np.float32),
    }
    return row, {name: arrays[name].astype(np.float32) for name in PARTS}


#: What is kept of a training for the figures.
PARTS = ("spectrum", "sources", "codes", "labels")


def bound(test: MixedSources) -> float:
    """Return the entropy of x given its class, in nats, which no loss is below."""
    log_det = test.mixing.forward(test.sources.astype(np.float32))[1].numpy()
    return test.entropy + log_det.mean()


def nats_for_the_axes(test: MixedSources) -> float:
    """Return what the best loss loses if the two sources are turned by 45 degrees, in nats."""
    variances = test.scales[:, :2] ** 2
    turned = np.log(variances.mean(axis=1)) - 0.5 * np.log(variances).sum(axis=1)
    return turned.mean()


def chain_of(case: Case) -> Bijection:
    """Return the network: of GIN, or the same free to change volumes, perhaps with ActNorm."""
    hidden = (case.width, case.width)
    if case.network == "gin":
        return gin(BLOCKS, hidden, activation="relu")
    actnorm = case.network == "glow"
    return coupling(BLOCKS, hidden, Affine(), "permutation", actnorm, activation="relu").chain


def schedule(case: Case) -> bi.Optimization:
    """Return Adam at 1e-2, which falls to zero on a cosine, or to a tenth at five eighths."""
    if not case.published_schedule:
        return bi.Optimization(learning_rate=1e-2, clip_norm=10.0)
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([case.steps * 5 // 8], [1e-2, 1e-3])
    return bi.Optimization(optimizer=keras.optimizers.Adam(rates), clip_norm=10.0, average=0.0)


if __name__ == "__main__":
    main()
