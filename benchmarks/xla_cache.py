"""What TensorFlow's cache of XLA programs saves when the same training step is compiled again.

    python benchmarks/xla_cache.py [--quick]

Each measurement is a process of its own, which trains ``linear`` for 20 steps: without XLA, with XLA, with XLA and an
empty cache, and with XLA and the cache that the process before has filled. Writes xla_cache.csv: seconds of processor
time of the fit, medians over rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

ROUNDS = 3
_FIT = """
import sys, time
import bayesinn as bi
posterior = bi.AmortizedPosterior(bi.get("linear"))
started = time.process_time()
posterior.fit(steps=20, seed=1, optimization=bi.Optimization(xla=sys.argv[1] == "xla"), progress=False)
print(time.process_time() - started)
"""


def seconds(xla: bool, cache: str = "") -> float:
    """Train in a fresh process; return the processor time of the fit."""
    flags = f"--tf_xla_persistent_cache_directory={cache}" if cache else ""
    environment = {**os.environ, "TF_XLA_FLAGS": flags, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", _FIT, "xla" if xla else "graph"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])


def measure() -> dict[str, float]:
    """Measure each case once."""
    with tempfile.TemporaryDirectory() as cache:
        return {
            "plain graph": seconds(False),
            "XLA": seconds(True),
            "XLA, empty cache": seconds(True, cache),
            "XLA, filled cache": seconds(True, cache),
        }


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round: checks that it runs, writes nothing")
    quick = parser.parse_args().quick
    table = pd.DataFrame([measure() for _ in range(1 if quick else ROUNDS)]).median()
    print(table)
    if not quick:
        table.rename("seconds").to_csv(Path(__file__).with_suffix(".csv"), index_label="case", float_format="%.3g")


if __name__ == "__main__":
    main()
