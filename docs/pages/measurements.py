"""What was measured: tables of speed, memory and accuracy, from the CSV files of scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from benchmarks.peers import report
from docs.pages.links import RESULTS, ROOT

BENCHMARKS = ROOT / "benchmarks"
_HEAD = """# What was measured

Every table on this page is made from a CSV file in the repository when the page is built. The script that wrote the
file is named above each.
"""
_PEERS = """## Beside other libraries

BayesFlow and sbi on two CPU cores, no GPU: all through the public `fit`, simulator in the loop, networks of equal size,
except where the table says so; time to accuracy with each library's own. [The settings](/gallery/peers.md) tell how,
and what each library is given."""
_DENSITIES = """## Flows against exact densities

`paper_results/densities_2d`: nats above the entropy after 4,000 steps at batch 512, and minutes of processor time, the
mean over densities ([figures and all columns](/gallery/densities_2d.md))."""
_TWO_MOONS = """## Two moons

`paper_results/two_moons`: accuracy of a classifier that separates our draws from the reference draws of the sbi
benchmark; 0.5 is ideal. Ours is trained online on 5.12 million simulations (10,000 steps at batch 512), 51
times as many as published methods had. So this shows what the network can represent, and does not compare methods
([how this was measured](/gallery/two_moons.md))."""
_FLOWS = """## Flows: training and sampling

`benchmarks/flow_speed.py`: processor time of one thread at batch 256; six blocks with two hidden layers of 128 units,
the residual flow ten with 64. A residual flow samples more slowly the more it stretches."""
_DRAWS = """## Draws, by estimator

`benchmarks/draws.py`: 10,000 draws of one observation after the first call, processor time of one thread, with the
checks of the observation. One network each, of the library's own sizes; chains are NUTS."""
_GROWTH = """## How a training step grows

`benchmarks/growth.py`, two cores, under XLA: one size is varied at a time, from 5 parameters, 6 blocks of 128 units and
batch 64. The floor is the time of the step's matrix products at the rate of one large product on the same machine.

![Milliseconds of a step against each size](../../benchmarks/growth.svg)

{repeats}

* Batch: below 64 the step is mostly overhead of small operations; from 64 on each half of a batch has a core of its
  own; from 1,024 on it is within twice the floor.
* Blocks: proportional, as each block is a fixed number of operations.
* Hidden units: flat up to 64, where the operations' overhead dominates, then with the square of the width.
* Parameters: the first and last layer of each subnet, which are small beside the hidden ones up to about 50.
* Steps of a series: proportional from about 50 on; the LSTM runs step by step, close to its floor."""
_MEMORY = """## Training without stored activations

`benchmarks/reversible_memory.py`: chains of affine couplings (32 elements, subnets of 256 and 256 units, batch 4,096),
ordinary and `reversible=True`, in the plain graph and with XLA. The peak contains what does not depend on the batch
(TensorFlow, weights, gradients, the optimiser, the compiled program), which grows with depth in any case. Activations
in this table are what the first large batch added to the peak so far, behind which compilation hides a part of them: an
earlier form of the script. Milliseconds are processor time."""
_MEMORY_OF_IMAGES = """Chains of convolutional couplings (16 x 16 pixels of 8 channels, subnets of 32 and 32 filters),
with one batch and with twice as many images. Activations are by how much a step needs more memory than one with 8
images, without what is free in the heap. A block more costs a reversible chain next to none, whatever the batch:

![Memory of activations, and time of a step, against depth](../../benchmarks/reversible_images.svg)

Slopes, in MB a block:"""
_TISSUE = """## Light in tissue against published values

`benchmarks/tissue_mc.py`: Monte Carlo of [the tissue model](/tissue.md), a million photons a case; reflected,
transmitted and absorbed fractions of the light, beside published values and adding-doubling. Deviations in combined
standard errors."""
_WORKERS = """## Worker processes

`benchmarks/workers.py`: 100,000 draws of a NumPy function of a millisecond into a simulation bank, on two cores.
Overhead is the time of a worker for each simulation of a function that does nothing."""
_BANKS = """## Simulation banks

`benchmarks/bank.py`: a simulator that costs next to nothing, 36 bytes a simulation, on a machine with other load.
Medians of rounds that take turns; `write` and `train` are those of 10 million simulations, each in a process of its
own, training for 2,000 steps at batch 256. Memory is the peak of all of the process, TensorFlow included."""
_HOW_TO = """## Posteriors of the how-tos

`benchmarks/how_to.py`: the code of [pharmacokinetics](/how_to/pharmacokinetics.md) and of
[drift diffusion](/how_to/drift_diffusion.md), trained for longer than on the page. Deviations of posterior means from
exact ones, in exact posterior standard deviations, over 48 patients and 64 people."""
_START_UP = """## Starting up

`benchmarks/start_up.py`: each case in a fresh process, seconds of processor time. Imports; the fit of 20 steps of
`linear`, without and with [XLA and its cache](/compilation.md); the published posterior of the Covid-19 study; and where the time
of a first fit of `sir` goes, 20 steps with XLA and no cache."""


def pages(_: Callable[[str], None]) -> dict[str, str]:
    """Return the page."""
    tables = {
        _PEERS: report.tables(BENCHMARKS / "peers" / "results.csv"),
        _DENSITIES: _markdown(densities()),
        _TWO_MOONS: _markdown(two_moons()),
        _FLOWS: _markdown(flow_speed()),
        _DRAWS: _markdown(pd.read_csv(BENCHMARKS / "draws.csv"), "{:.2g}"),
        _GROWTH.format(repeats=repeats()): "",
        _MEMORY: _markdown(reversible_memory(), "{:,.0f}"),
        _MEMORY_OF_IMAGES: _markdown(pd.read_csv(BENCHMARKS / "reversible_slopes.csv"), "{:.4f}"),
        _TISSUE: _markdown(tissue(), "{:.4f}"),
        _WORKERS: _markdown(pd.read_csv(BENCHMARKS / "workers.csv")),
        _BANKS: _markdown(pd.read_csv(BENCHMARKS / "bank.csv")),
        _HOW_TO: _markdown(pd.read_csv(BENCHMARKS / "how_to.csv"), "{:.2f}"),
        _START_UP: _markdown(pd.read_csv(BENCHMARKS / "start_up.csv"), "{:.1f}"),
    }
    sections = [f"{text}\n\n{table}".strip() for text, table in tables.items()]
    return {"generated/measured.md": "\n\n".join([_HEAD, *sections])}


def densities() -> pd.DataFrame:
    """Gaps of each network to the entropy of each density, and processor time."""
    table = pd.read_csv(RESULTS / "densities_2d" / "results.csv")
    wide = table.pivot_table(index="network", columns="density", values="gap", sort=False)
    return wide.assign(minutes=table.groupby("network")["processor minutes"].mean()).reset_index()


def two_moons() -> pd.DataFrame:
    """Accuracy of the classifier at each observation, and the mean."""
    table = pd.read_csv(RESULTS / "two_moons" / "results.csv")
    return table[["observation", "ours and reference", "ours and exact", "exact and reference"]]


def flow_speed() -> pd.DataFrame:
    """Milliseconds of a step and draws a second of each flow, by number of parameters."""
    table = pd.read_csv(BENCHMARKS / "flow_speed.csv")
    wide = table.pivot_table(
        index="flow", columns="parameters", values=["ms_per_step", "draws_per_second"], sort=False
    )
    heads = {"ms_per_step": "ms/step", "draws_per_second": "draws/s"}
    wide.columns = [
        f"{heads[value]}, {parameters} parameters" for value, parameters in wide.columns
    ]
    return wide.reset_index()


def repeats() -> str:
    """Say how far apart measurements of the same step are: the toy's own is in three panels."""
    table = pd.read_csv(BENCHMARKS / "growth.csv")
    own = {"batch": 64, "hidden units": 128, "parameters": 5}
    found = table.loc[table["size"] == table["varied"].map(own), "ms_per_step"]
    return (
        f"The toy's own step is in {len(found)} panels, with {found.min():.1f} to "
        f"{found.max():.1f} ms: smaller "
        "differences than that mean nothing."
    )


def reversible_memory() -> pd.DataFrame:
    """Memory and time of ordinary and reversible chains side by side."""
    table = pd.read_csv(BENCHMARKS / "reversible_memory.csv")
    wide = table.pivot_table(index=["mode", "blocks"], columns="chain", sort=False)
    heads = {"peak_mb": "peak, MB", "activations_mb": "activations, MB", "ms_per_step": "ms/step"}
    wide = wide[[(value, chain) for value in heads for chain in ("ordinary", "reversible")]]
    wide.columns = [f"{heads[value]}, {chain}" for value, chain in wide.columns]
    return wide.reset_index()


def tissue() -> pd.DataFrame:
    """Fractions of the light by Monte Carlo, and what they are compared with."""
    table = pd.read_csv(BENCHMARKS / "tissue_mc_validation.csv")
    table["deviations"] = table["deviations"].map("{:.1f}".format)
    return table[["case", "quantity", "found", "error", "reference", "deviations", "source"]]


def _markdown(table: pd.DataFrame, numbers: str = "{:,.3g}") -> str:
    """Return a table in Markdown; whole numbers have no decimals."""

    def cell(value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:,.0f}" if abs(value) >= 1000 else numbers.format(value)

    head: Sequence[str] = [str(name).replace("_", " ") for name in table.columns]
    rows = [[cell(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
