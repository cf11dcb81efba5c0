"""BasicWorkflow of BayesFlow with its default network and training.

    python bayesflow.py INPUT.npz OUTPUT.npz

runs in the environment of benchmarks/peers and is called by ../peers.py, which says what is in the
files.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np

# This file has the package's name.
sys.path.pop(0)

import bayesflow as bf
import keras


def main() -> None:
    """Train, then draw for each observation."""
    given = np.load(sys.argv[1])
    keras.utils.set_random_seed(int(given["seed"]))
    started = time.process_time()
    workflow = bf.BasicWorkflow(
        inference_variables=["parameters"], inference_conditions=["data"], standardize="all"
    )
    simulations = {name: given[name] for name in ("parameters", "data")}
    workflow.fit_offline(simulations, verbose=0)
    train_seconds = time.process_time() - started
    draws = []
    draw_seconds = []
    for observed in given["observed"]:
        started = time.process_time()
        found = workflow.sample(
            num_samples=int(given["draws"]), conditions={"data": observed[None]}
        )
        draw_seconds.append(time.process_time() - started)
        draws.append(found["parameters"][0])
    held_out = {name: given[f"held_out_{name}"] for name in ("parameters", "data")}
    np.savez(
        sys.argv[2],
        draws=np.stack(draws),
        log_prob=np.reshape(workflow.log_prob(held_out), -1),
        train_seconds=train_seconds,
        draw_seconds=draw_seconds,
    )


if __name__ == "__main__":
    main()
