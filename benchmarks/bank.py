"""Simulation banks beside plain Zarr: MB/s of writing and of reading batches, and peak memory.

    python benchmarks/bank.py [--quick]

Writes bank.csv. A simulator that costs next to nothing, 36 bytes a simulation. Rounds take turns: a
bank is written, then the same chunks by plain Zarr, with the bank's codecs and with Zarr's own;
batches of 256 are read from the bank, then all chunks by plain Zarr. Medians. Then 10 million
simulations are written, and trained from for 2,000 steps, each in a process of its own, which
reports its peak of resident memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_probability as tfp
import zarr

import bayesinn as bi
from bayesinn.simulation.bank import Bank
from bayesinn.simulation.bank.store import choose_compressors
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import BankSource

tfd = tfp.distributions
BATCH = 256


@bi.simulator(prior={"level": tfd.Normal(0.0, 1.0)})
def cheap(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Shift a level."""
    return {"y": parameters["level"][:, None] + tf.range(8.0)}


def write_bank(n: int, folder: Path) -> Bank:
    return bi.simulate_bank(cheap, n, folder, seed=1, chunk=65_536, progress=False)


def write_zarr(n: int, folder: Path, arrays: dict[str, np.ndarray], compressors: object) -> None:
    """Write one chunk again and again."""
    group = zarr.create_group(folder)
    for name, value in arrays.items():
        shape = (n, *value.shape[1:])
        group.create_array(
            name, shape=shape, chunks=value.shape, dtype=value.dtype, compressors=compressors
        )
    for start in range(0, n, len(arrays["y"])):
        for name, value in arrays.items():
            group[name][start : start + len(value)] = value


def read_batches(bank: Bank) -> None:
    steps = bank.n // BATCH - bank.chunks
    source = BankSource(cheap, bank, 0, TrainingSettings(steps, steps, BATCH, 1))
    # In the graph, as training does.
    source.elements(0).reduce(0, lambda count, _: count + 1)


def read_zarr(folder: Path, rows: int) -> None:
    group = zarr.open_group(folder, mode="r")
    for name in ("level", "y"):
        for start in range(0, group[name].shape[0], rows):
            group[name][start : start + rows]


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def speeds(chunks: int, rounds: int, place: Path) -> list[dict[str, object]]:
    """Measure megabytes per second, in rounds."""
    n = 65_536 * chunks
    bank = write_bank(n, place / "warm")
    arrays = bank.read_chunk(0)
    megabytes = bank.nbytes / 1e6
    seconds: dict[str, list[float]] = {}
    names = [place / kind for kind in ("bank", "same", "own")]
    for _ in range(rounds):
        for name, work in {
            "write: bank": lambda: write_bank(n, names[0]),
            "write: plain Zarr, the bank's codecs": lambda: write_zarr(
                n, names[1], arrays, choose_compressors()
            ),
            "write: plain Zarr, its own codecs": lambda: write_zarr(n, names[2], arrays, "auto"),
            "read: batches of a bank": lambda: read_batches(bi.open_bank(names[0])),
            "read: plain Zarr": lambda: read_zarr(names[0], 65_536),
        }.items():
            seconds.setdefault(name, []).append(timed(work))
        for folder in names:
            shutil.rmtree(folder)
    return [
        {"what": name, "value": megabytes / np.median(times), "unit": "MB/s"}
        for name, times in seconds.items()
    ]


def in_a_process(task: str, folder: Path, n: int, steps: int) -> list[dict[str, object]]:
    """Write or train in a process of its own; return its peak of memory and its seconds."""
    command = [sys.executable, __file__, "--task", task, str(folder), str(n), str(steps)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    peak, seconds = map(float, done.stdout.split()[-2:])
    return [
        {"what": f"{task}: peak memory", "value": peak, "unit": "MiB"},
        {"what": f"{task}: time", "value": seconds, "unit": "s"},
    ]


def run_task(task: str, folder: Path, n: int, steps: int) -> None:
    """Do the work of a process, and print what :func:`in_a_process` reads."""
    if task == "write":
        seconds = timed(lambda: write_bank(n, folder))
    else:
        posterior = bi.AmortizedPosterior(
            cheap, bi.summaries.MLP(8, hidden=(16,)), bi.flows.coupling(blocks=2, hidden=(32,))
        )
        bank = bi.open_bank(folder)
        seconds = timed(
            lambda: posterior.fit(bank, steps=steps, batch_size=BATCH, seed=1, progress=False)
        )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, seconds)


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="small: checks that it runs, the numbers mean little"
    )
    parser.add_argument("--task", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        task, folder, n, steps = given.task
        run_task(task, Path(folder), int(n), int(steps))
        return
    n, steps, chunks, rounds = (20_000, 10, 1, 1) if given.quick else (10_000_000, 2_000, 60, 5)
    tasks = ("write", "train")
    with tempfile.TemporaryDirectory() as folder:
        rows = speeds(chunks, rounds, Path(folder))
        if given.quick:
            # A process of its own takes six seconds to start.
            write_bank(n, Path(folder) / "large")
            tasks = ("train",)
        for task in tasks:
            rows += in_a_process(task, Path(folder) / "large", n, steps)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3g"))
    if not given.quick:
        table.to_csv(Path(__file__).with_suffix(".csv"), index=False, float_format="%.3g")


if __name__ == "__main__":
    main()
