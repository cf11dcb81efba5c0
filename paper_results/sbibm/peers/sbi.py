"""NPE of sbi with its default network and training: arrays in, draws and log densities out.

    python sbi.py INPUT.npz OUTPUT.npz

runs in the environment of benchmarks/peers and is called by ../peers.py, which says what is in the
files.
"""

from __future__ import annotations

import sys
import time

import numpy as np

# This file has the package's name.
sys.path.pop(0)

import torch
from sbi.inference import NPE


def main() -> None:
    """Train, then draw for each observation."""
    given = np.load(sys.argv[1])
    tensors = {name: torch.as_tensor(given[name], dtype=torch.float32) for name in given}
    torch.manual_seed(int(given["seed"]))
    started = time.process_time()
    trainer = NPE(show_progress_bars=False)
    trainer.append_simulations(tensors["parameters"], tensors["data"])
    network = trainer.train()
    posterior = trainer.build_posterior()
    train_seconds = time.process_time() - started
    draws = []
    draw_seconds = []
    for observed in tensors["observed"]:
        started = time.process_time()
        drawn = posterior.sample((int(given["draws"]),), x=observed, show_progress_bars=False)
        draw_seconds.append(time.process_time() - started)
        draws.append(drawn.numpy())
    with torch.no_grad():
        log_prob = network.log_prob(tensors["held_out_parameters"][None], tensors["held_out_data"])
    np.savez(
        sys.argv[2],
        draws=np.stack(draws),
        log_prob=log_prob[0].numpy(),
        train_seconds=train_seconds,
        draw_seconds=draw_seconds,
    )


if __name__ == "__main__":
    main()
