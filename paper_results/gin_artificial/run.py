"""The artificial experiment of GIN: two sources that an unknown network mixed with eight of noise.

    python paper_results/gin_artificial/run.py [--quick]

Writes results.csv, spectra.png and sources.png beside this file. ``--quick`` trains for two epochs
on few points and writes nothing that stays. Sorrenson, Rother and Köthe (2020), arXiv:2001.04872.
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
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

import bayesinn as bi
from bayesinn import plots
from bayesinn.bijections import Bijection, Chain, Coupling, Permutation
from bayesinn.inverse import ClassNormal, LatentMixture, SourceMatch, Spectrum, gin, match_sources
from bayesinn.plots.spectrum import spectrum
from bayesinn.plots.style import CURVES, styled
from bayesinn.plots.text import wrapped
from bayesinn.simulators.mixed_sources import Kind, MixedSources, mixed_sources

BATCH = 1_000
EPOCHS = 80
BLOCKS = 8
MILESTONE = 50
TEST_POINTS = 10_000


@dataclass(frozen=True)
class Case:
    """One training: which data, how many, and which network."""

    name: str
    points: int = 100_000
    seed: int = 1
    kind: Kind = "overlapping"
    rotated: bool = False
    volume_preserving_mixing: bool = False
    gin: bool = True
    noise: float = 0.01


# Controls that need no more have 2e4 points. Five classes in colours that colour-blind readers can
# tell apart; cases that have room beside each other.
_CLASSES = ListedColormap([colour for colour, _, _ in CURVES])
_ACROSS = 4
CASES = (
    Case("1e5 points"),
    Case("1e5 points, seed 2", seed=2),
    Case("1e4 points", points=10_000),
    Case("1e4 points, seed 2", points=10_000, seed=2),
    Case("separated classes", kind="separated"),
    Case("rotated", points=20_000, rotated=True),
    Case("rotated, equal scales", points=20_000, rotated=True, kind="equal scales"),
    Case("no volume constraint", points=20_000, gin=False),
    Case("volume-preserving mixing", points=20_000, volume_preserving_mixing=True, noise=0.0),
)


@dataclass(frozen=True)
class Outcome:
    """A trained network and what it finds in fresh data."""

    data: MixedSources
    codes: np.ndarray
    spectrum: Spectrum
    match: SourceMatch
    row: dict[str, object]


def main() -> None:
    """Train all cases, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    # With noise, which is drawn, and without.
    cases = [replace(case, points=5_000) for case in CASES[::8]] if quick else list(CASES)
    epochs = 2 if quick else EPOCHS
    blocks = 2 if quick else BLOCKS
    outcomes: dict[str, Outcome] = {}
    for case in cases:
        outcomes[case.name] = run(case, epochs, blocks)
        print(pd.Series(outcomes[case.name].row).to_string(), end="\n\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if quick else Path(__file__).parent
        table = pd.DataFrame([outcome.row for outcome in outcomes.values()])
        table.to_csv(target / "results.csv", index=False, float_format="%.4g")
        shown = {
            case.name: outcomes[case.name] for case in cases if case.seed == 1 and case.noise > 0
        }
        spectra = {
            name: outcome.spectrum.values
            for name, outcome in shown.items()
            if not name.startswith("rotated")
        }
        plots.save(spectrum(spectra), target / "spectra.png")
        plots.save(draw(shown), target / "sources.png")


def run(case: Case, epochs: int, blocks: int) -> Outcome:
    """Train on one data set; measure on other points of the same classes and mixing."""
    started = time.monotonic()
    data, test = (
        mixed_sources(
            points, case.seed, case.kind, case.rotated, case.volume_preserving_mixing, draw
        )
        for draw, points in enumerate((case.points, TEST_POINTS))
    )
    chain = gin(blocks, (10, 10), activation="relu") if case.gin else glow(blocks)
    model = LatentMixture(chain, ClassNormal("batch"), standardise=False, noise=case.noise)
    milestone = MILESTONE * epochs // EPOCHS * (case.points // BATCH)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([milestone], [1e-2, 1e-3])
    model.fit(
        data.x,
        data.labels,
        epochs=epochs,
        batch_size=BATCH,
        seed=case.seed,
        validation=0.0,
        optimization=bi.Optimization(
            optimizer=keras.optimizers.Adam(schedule), clip_norm=10.0, average=0.0
        ),
        progress=False,
    )
    found = Spectrum.of(model.latent_scales)
    codes = found.leading(model.latent_codes(test.x), 2)
    match = match_sources(codes, test.sources[:, :2])
    row = {
        "case": case.name,
        "points": case.points,
        "seed": case.seed,
        "informative": found.informative,
        "drop after 2": found.drops[1],
        "mean correlation": match.mean_correlation,
        "lowest correlation": match.correlation.min(),
        # Of the best two elements of x: what there is to gain.
        "mean correlation of x": match_sources(test.x, test.sources[:, :2]).mean_correlation,
        "mean rank correlation": match.rank_correlation.mean(),
        # The loss can't be lower than this entropy; where x is noisy or its volume changed, the two
        # aren't comparable.
        "test loss": -model.log_prob(test.x, test.labels).mean(),
        "source entropy": test.entropy if case.volume_preserving_mixing else np.nan,
        "seconds": round(time.monotonic() - started),
    }
    return Outcome(test, codes, found, match, row)


def glow(blocks: int) -> Chain:
    """The same network, free to change volumes."""
    chain: list[Bijection] = []
    for _ in range(blocks):
        chain += [Permutation(), Coupling(hidden=(10, 10), activation="relu")]
    return Chain(chain)


@styled
def draw(outcomes: dict[str, Outcome]) -> Figure:
    """True sources and, below, two leading codes turned and scaled to them; colours are classes."""
    across = min(_ACROSS, len(outcomes))
    down = -(-len(outcomes) // across)
    figure = Figure(figsize=(7.4, 4.2 * down), layout="constrained")
    grid = figure.subplots(2 * down, across, squeeze=False)
    for ax in grid.flat:
        ax.set(xticks=[], yticks=[], frame_on=False)
    for index, (name, outcome) in enumerate(outcomes.items()):
        row, column = divmod(index, across)
        sources = outcome.data.sources[:, :2]
        match = outcome.match
        codes = outcome.codes[:, match.match] * match.signs
        shift = sources.mean(axis=0)
        scale = sources.std(axis=0) / codes.std(axis=0)
        codes = (codes - codes.mean(axis=0)) * scale + shift
        above, below = grid[2 * row : 2 * row + 2, column]
        for ax, points in ((above, sources), (below, codes)):
            ax.scatter(
                *points[:3_000].T, c=outcome.data.labels[:3_000], cmap=_CLASSES, s=2, linewidths=0
            )
            ax.set_frame_on(True)
        above.set_title(wrapped(name, 1.6, 9.5), fontsize=9.5)
        below.set_xlabel(f"correlation {match.mean_correlation:.3f}")
        if column == 0:
            above.set_ylabel("true sources")
            below.set_ylabel("latent codes")
    return figure


if __name__ == "__main__":
    main()
