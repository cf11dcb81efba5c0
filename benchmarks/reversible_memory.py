"""Peak memory and time of a training step against depth, for ordinary and reversible chains.

    python benchmarks/reversible_memory.py [--only dense|images] [--batch ROWS] [--resume] [--quick]

Each measurement is a process of its own: a chain of coupling blocks, trained by Adam on one flat
weight vector in one compiled function. The peak of memory is that of some steps. Memory of
activations is by how much a step with ROWS rows needs more than one with 8, whose gradients and
updates of weights need as much; free memory doesn't count in either. Time is processor time of all
threads, which a busy machine disturbs least, of the fastest step.

The dense chain is of vectors (32 elements, a condition of 8, subnets of 256 and 256 units), in the
graph and with XLA; the other of images (16 x 16 pixels of 8 channels, convolutions of 32 and 32
filters), in the graph, with one batch and with twice as many rows.

Writes reversible_memory.csv and reversible_images.csv, and of the latter reversible_slopes.csv and
reversible_images.svg, if ROWS is left out. ``--resume`` keeps the rows that are there.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memory import rise

FOLDER = Path(__file__).parent
CONDITION = 8
SEED = 1
MODES = {"graph": False, "XLA": True}
HEADS = ("peak_mb", "activations_mb", "ms_per_step")
CHAINS = {"ordinary": False, "reversible": True}


@dataclass(frozen=True)
class Kind:
    """Chains of one kind of event, and what is measured of them."""

    table: str
    event: tuple[int, ...]
    hidden: tuple[int, ...]
    depths: Sequence[int]
    batches: Sequence[int]
    modes: Sequence[str]


KINDS = {
    "dense": Kind("reversible_memory.csv", (32,), (256, 256), (4, 8, 16, 24), (4096,), list(MODES)),
    "images": Kind(
        "reversible_images.csv", (16, 16, 8), (32, 32), (4, 16, 64), (48, 96), ["graph"]
    ),
}
# With more rows: the deepest would take more memory than many machines have.
DEPTHS_OF_MANY_ROWS = (4, 16)


def measure(
    kind: Kind, depth: int, reversible: bool, xla: bool, batch: int, steps: int
) -> tuple[float, float, float]:
    """Train for some steps here: peak memory in MB, that of activations, milliseconds a step."""
    import keras
    import tensorflow as tf

    from bayesinn.bijections import Chain, Coupling
    from bayesinn.core.seeds import seeded_initial_weights
    from bayesinn.flows import InvertibleFlow
    from bayesinn.training.step import FlatWeights

    activation = "silu" if len(kind.event) == 1 else "relu"
    with seeded_initial_weights(SEED):
        blocks = [Coupling(hidden=kind.hidden, activation=activation) for _ in range(depth)]
        flow = InvertibleFlow(Chain(blocks, reversible=reversible))
        flow.build(kind.event, (CONDITION,))
    layout = FlatWeights([flow])
    flat = keras.Variable(layout.pack())
    fixed = [variable.value for variable in flow.non_trainable_variables]
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build([flat])
    shapes = [tf.TensorSpec((None, *shape)) for shape in (kind.event, (CONDITION,))]

    @tf.function(jit_compile=xla, input_signature=shapes)
    def train(x: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            log_prob, _ = flow.stateless_call(layout.unpack(flat.value), fixed, x, condition)
            loss = -tf.reduce_mean(log_prob)
        optimizer.apply([tape.gradient(loss, flat.value)], [flat])
        return loss

    few, many = (
        [tf.random.stateless_normal((rows, *spec.shape[1:]), (SEED, 1)) for spec in shapes]
        for rows in (8, batch)
    )
    float(train(*few))
    base = rise(lambda: float(train(*few)))
    activations = rise(lambda: float(train(*many))) - base
    seconds = []
    for _ in range(steps):
        started = time.process_time()
        float(train(*many))
        seconds.append(time.process_time() - started)
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return whole, activations, min(seconds) * 1e3


def in_process(
    name: str, depth: int, chain: str, mode: str, batch: int, steps: int
) -> tuple[float, ...]:
    """The same in a process of its own."""
    arguments = (list(KINDS).index(name), depth, CHAINS[chain], MODES[mode], batch, steps)
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
    }
    command = [
        sys.executable,
        __file__,
        "--measure",
        *(str(int(argument)) for argument in arguments),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return tuple(float(number) for number in done.stdout.split())


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="small: checks that it runs, the numbers mean little"
    )
    parser.add_argument("--only", choices=list(KINDS), help="one kind of chains; both if left out")
    parser.add_argument("--batch", type=int, metavar="ROWS")
    parser.add_argument("--resume", action="store_true", help="keep the rows that are there")
    parser.add_argument("--measure", nargs=6, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        number, depth, reversible, xla, batch, steps = arguments.measure
        kind = list(KINDS.values())[number]
        print(*measure(kind, depth, bool(reversible), bool(xla), batch, steps))
        return
    if arguments.quick:
        found = in_process("images", 1, "reversible", "graph", 16, 1)
        print(dict(zip(HEADS, found, strict=True)))
        return
    for name in KINDS if arguments.only is None else [arguments.only]:
        measure_all(name, arguments.batch, arguments.resume)


def measure_all(name: str, batch: int | None, resume: bool) -> None:
    """Measure a kind of chains; write its table, unless a user chose another number of rows."""
    # Not above: the processes that are measured don't need them.
    import pandas as pd
    from reversible_slopes import draw, slopes

    from bayesinn import plots

    kind = KINDS[name]
    table = FOLDER / kind.table
    rows = []
    if resume and batch is None and table.exists():
        rows = pd.read_csv(table).to_dict("records")
    cases = [
        {"rows": many, "mode": mode, "chain": chain, "blocks": depth}
        for mode in kind.modes
        for depth in kind.depths
        for many in (kind.batches if batch is None else [batch])
        for chain in CHAINS
        if many == kind.batches[0] or depth in DEPTHS_OF_MANY_ROWS
    ]
    for case in cases:
        if any(case.items() <= row.items() for row in rows):
            continue
        found = in_process(name, case["blocks"], case["chain"], case["mode"], case["rows"], 2)
        rows.append(case | {head: round(value) for head, value in zip(HEADS, found, strict=True)})
        print(rows[-1], flush=True)
        if batch is None:
            pd.DataFrame(rows).to_csv(table, index=False)
    if name == "images" and batch is None:
        slopes(pd.DataFrame(rows)).to_csv(FOLDER / "reversible_slopes.csv", index=False)
        plots.save(draw(pd.DataFrame(rows)), FOLDER / "reversible_images.svg")


if __name__ == "__main__":
    main()
