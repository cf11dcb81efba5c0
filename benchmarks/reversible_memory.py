"""Peak memory and time of a training step against depth, for ordinary and reversible chains.

    python benchmarks/reversible_memory.py [--batch ROWS] [--quick]

Each measurement is a process of its own: a chain of coupling blocks (32 elements, a condition of 8,
subnets of 256 and 256 units), trained by Adam on one flat weight vector in one compiled function,
in the graph and with XLA. The first steps are with 8 rows: the peak of memory then is that of
TensorFlow, compilation, weights, gradients and optimiser, which grow with depth in any case. The
next steps are with ROWS rows, 4096 if left out; what the peak rises by is for activations. Time is
processor time of all threads, which a busy machine disturbs least, of the fastest step.

Writes reversible_memory.csv, if ROWS is left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

DEPTHS = (4, 8, 16, 24)
ELEMENTS = 32
CONDITION = 8
HIDDEN = (256, 256)
BATCH = 4096
SEED = 1
MODES = {"graph": False, "XLA": True}
CHAINS = {"ordinary": False, "reversible": True}


def measure(
    depth: int, reversible: bool, xla: bool, batch: int, steps: int
) -> tuple[float, float, float]:
    """Train for some steps here: peak memory in MB, that of activations, milliseconds a step."""
    import keras
    import tensorflow as tf

    from bayesinn.bijections import Chain, Coupling
    from bayesinn.core.seeds import seeded_initial_weights
    from bayesinn.flows import InvertibleFlow
    from bayesinn.training.flat_weights import FlatWeights

    with seeded_initial_weights(SEED):
        flow = InvertibleFlow(
            Chain([Coupling(hidden=HIDDEN) for _ in range(depth)], reversible=reversible)
        )
        flow.build((ELEMENTS,), (CONDITION,))
    layout = FlatWeights([flow])
    flat = keras.Variable(layout.pack())
    fixed = [variable.value for variable in flow.non_trainable_variables]
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build([flat])
    vectors = [tf.TensorSpec((None, length)) for length in (ELEMENTS, CONDITION)]

    @tf.function(jit_compile=xla, input_signature=vectors)
    def train(x: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            log_prob, _ = flow.stateless_call(layout.unpack(flat.value), fixed, x, condition)
            loss = -tf.reduce_mean(log_prob)
        optimizer.apply([tape.gradient(loss, flat.value)], [flat])
        return loss

    peaks = []
    seconds = []
    for rows in (8, batch):
        data = [tf.random.stateless_normal((rows, spec.shape[1]), (SEED, 1)) for spec in vectors]
        for _ in range(steps + 1):
            started = time.process_time()
            float(train(*data))
            seconds.append(time.process_time() - started)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
    return peaks[1], peaks[1] - peaks[0], min(seconds[-steps:]) * 1e3


def in_process(depth: int, chain: str, mode: str, batch: int, steps: int) -> tuple[float, ...]:
    """The same in a process of its own."""
    arguments = (depth, CHAINS[chain], MODES[mode], batch, steps)
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
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="small: checks that it runs, the numbers mean little"
    )
    parser.add_argument("--batch", type=int, default=BATCH, metavar="ROWS")
    parser.add_argument("--measure", nargs=5, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        depth, reversible, xla, batch, steps = arguments.measure
        print(*measure(depth, bool(reversible), bool(xla), batch, steps))
        return
    depths, batch, steps = ((1,), 256, 1) if arguments.quick else (DEPTHS, arguments.batch, 3)
    first = -1 if arguments.quick else 0
    # Not above: the processes that are measured don't need it.
    import pandas as pd

    rows = []
    for mode in list(MODES)[first:]:
        for depth in depths:
            for chain in list(CHAINS)[first:]:
                peak, activations, milliseconds = in_process(depth, chain, mode, batch, steps)
                case = {"mode": mode, "chain": chain, "blocks": depth}
                found = {
                    "peak_mb": peak,
                    "activations_mb": activations,
                    "ms_per_step": milliseconds,
                }
                rows.append(case | {name: round(value) for name, value in found.items()})
                print(rows[-1], flush=True)
    if not arguments.quick and batch == BATCH:
        pd.DataFrame(rows).to_csv(Path(__file__).with_suffix(".csv"), index=False)


if __name__ == "__main__":
    main()
