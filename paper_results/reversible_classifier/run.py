"""Reversible and ordinary residual networks that classify digits and MNIST: errors, memory, time.

    python paper_results/reversible_classifier/run.py [--data FOLDER] [--quick]
        [--only digits MNIST memory]

Writes results.csv, a row for each data set, network and seed, and memory.csv, where each row is of
a process of its own; rows that are there are left alone. FOLDER has mnist.npz in the layout of
``keras.datasets``; without it, MNIST is left out. ``--quick`` takes small networks, and writes
nothing that stays.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from networks import NETWORKS, RevNet, Size, make
from sklearn.datasets import load_digits

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.memory import rise

HERE = Path(__file__).parent
NAMES = ("digits", "MNIST", "memory")
SIZES = {"digits": Size(1, 16, 32, 2), "MNIST": Size(2, 16, 16, 3)}
EPOCHS = {"digits": 40, "MNIST": 1}
SEEDS = {"digits": (1, 2, 3), "MNIST": (1,)}
LEARNING_RATE = 3e-3
BATCH_SIZE = 64
CLASSES = 10
#: Of the memory: images of MNIST's shape.
EVENT = (28, 28, 1)
ROWS = (256,)
DEPTHS = (3, 12)
Data = dict[str, tuple[np.ndarray, np.ndarray]]


def main() -> None:
    """Train and measure what has no row yet, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, blocks, rows = options.measure
        print(*memory(name, int(blocks), int(rows)))
        return
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if options.quick else HERE
        for case in cases(options.only, options.quick):
            file = target / ("memory.csv" if "rows" in case else "results.csv")
            frame = pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=list(case))
            if any(case.items() <= row.items() for row in frame.to_dict("records")):
                continue
            if "rows" in case:
                row = {**case, **in_process(case)}
            elif case["data"] == "MNIST" and options.data is None:
                print("MNIST is left out: --data names no folder of mnist.npz")
                continue
            else:
                row = {**case, **train(case, options.data, options.quick)}
            new = pd.DataFrame([row])
            frame = pd.concat([frame, new]) if len(frame) else new
            frame.to_csv(file, index=False, float_format="%.5g")
            print(row, flush=True)


def cases(names: list[str], quick: bool) -> Iterator[dict[str, object]]:
    """Yield what is trained, then what is measured."""
    for data in SEEDS:
        if data in names and not (quick and data == "MNIST"):
            for seed in SEEDS[data][: 1 if quick else None]:
                for network in NETWORKS:
                    # Those of MNIST differ from the stored ones by rounding alone.
                    if network == "RevNet, stored" and (quick or data == "MNIST"):
                        continue
                    yield {"data": data, "network": network, "seed": seed}
    if "memory" in names and not quick:
        for rows in ROWS:
            for blocks in DEPTHS:
                for network in NETWORKS:
                    yield {"rows": rows, "blocks": blocks, "network": network}


def load(name: str, folder: Path | None) -> Data:
    """Return images (n, height, width, 1), whole grey values shared by the largest, and labels."""
    if name == "digits":
        x, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(x))
        x = (x[order].reshape(-1, 8, 8, 1) / 16.0).astype(np.float32)
        labels = labels[order]
        return {"training": (x[:1437], labels[:1437]), "test": (x[1437:], labels[1437:])}
    assert folder is not None
    file = np.load(folder / "mnist.npz")
    return {
        part: (file[f"x_{key}"][..., None].astype(np.float32) / 255.0, file[f"y_{key}"])
        for part, key in (("training", "train"), ("test", "test"))
    }


def train(case: dict[str, object], folder: Path | None, quick: bool) -> dict[str, float]:
    """Train a network: test error, and processor time; of a reversible one also the round trip."""
    name = str(case["data"])
    data = load(name, folder)
    x, labels = data["training"]
    size = Size(1, 4, 4, 1) if quick else SIZES[name]
    network = make(str(case["network"]), x.shape[1:], CLASSES, size, int(str(case["seed"])))
    epochs = 1 if quick else EPOCHS[name]
    steps = epochs * math.ceil(len(x) / BATCH_SIZE)
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # Compilation pays for convolutions on no CPU.
        jit_compile=False,
    )
    started = time.process_time()
    network.fit(x, labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    seconds = time.process_time() - started
    test_x, test_labels = data["test"]
    found = network.predict(test_x, batch_size=500, verbose=0).argmax(axis=1)
    row = {
        "weights": sum(math.prod(weight.shape) for weight in network.trainable_weights),
        "steps": steps,
        "error": float(np.mean(found != test_labels)),
        "seconds": seconds,
        "round trip": math.nan,
    }
    if isinstance(network, RevNet):
        row["round trip"] = network.body.check_round_trip(network.stem(test_x[:500]))
    return row


def memory(name: str, blocks: int, rows: int) -> tuple[float, float, float]:
    """Train for some steps here: weights, MB for activations, milliseconds a step.

    See ``benchmarks/reversible_memory.py``, which measures in the same way.
    """
    size = Size(2, SIZES["MNIST"].channels, SIZES["MNIST"].hidden, blocks)
    network = make(name, EVENT, CLASSES, size, 1)
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(network.trainable_variables)

    @tf.function(input_signature=[tf.TensorSpec((None, *EVENT)), tf.TensorSpec((None,), tf.int32)])
    def step(x: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, network(x))
            loss = tf.reduce_mean(losses)
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    generator = np.random.default_rng(1)
    few, many = (
        (
            tf.constant(generator.uniform(size=(count, *EVENT)), tf.float32),
            tf.constant(generator.integers(CLASSES, size=count), tf.int32),
        )
        for count in (8, rows)
    )
    step(*few)
    base = rise(lambda: step(*few))
    activations = rise(lambda: step(*many)) - base
    seconds = []
    for _ in range(3):
        started = time.process_time()
        step(*many)
        seconds.append(time.process_time() - started)
    weights = sum(math.prod(weight.shape) for weight in network.trainable_weights)
    return weights, activations, min(seconds) * 1e3


def in_process(case: dict[str, object]) -> dict[str, float]:
    """The same in a process of its own."""
    arguments = [str(case[name]) for name in ("network", "blocks", "rows")]
    command = [sys.executable, __file__, "--measure", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    heads = ("weights", "activations MB", "milliseconds")
    values = (round(float(value)) for value in done.stdout.split())
    return dict(zip(heads, values, strict=True))


if __name__ == "__main__":
    main()
