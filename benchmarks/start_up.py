"""What must happen before the first result: imports, a first training step, loading a posterior.

    python benchmarks/start_up.py [--quick]

Each measurement is a process of its own. Imports are of TensorFlow and TensorFlow Probability
alone, and of bayesinn with all that a posterior needs. A training step of ``linear`` is compiled
without XLA, with XLA, with XLA and an empty cache, and with XLA and the cache that the process
before has filled. The posterior is the published one of the Covid-19 study, the draws 1,000 for one
observation. The first fit of ``sir`` ends after 20 steps, with XLA and no cache. Writes start_up.csv:
seconds of processor time, medians over rounds in which the cases take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
ROUNDS = 3
#: Of the seconds of a first fit.
PARTS = (
    "pilot simulations",
    "networks, their first weights, scalings",
    "tracing and compiling a step",
    "what observations are compared with",
    "20 steps, and all else",
)

_IMPORT_TENSORFLOW = "import tensorflow, tensorflow_probability as tfp; tfp.distributions"
_IMPORT = (
    f"{_IMPORT_TENSORFLOW}; import bayesinn as bi; bi.AmortizedPosterior, bi.flows, bi.summaries"
)
_FIT = """
import sys, time
import bayesinn as bi
posterior = bi.AmortizedPosterior(bi.get_simulator("linear"))
started = time.process_time()
posterior.fit(steps=20, seed=1, optimization=bi.Optimization(xla=sys.argv[1] == "xla"), progress=False)
print(time.process_time() - started)
"""
_PARTS = """
import time
import bayesinn as bi
import keras
from bayesinn.estimators import estimator, fitting
from bayesinn.training.step import TrainingModel

spent = []
def timed(owner, name):
    function = getattr(owner, name)
    place = len(spent)
    spent.append(0.0)
    def call(*values, **options):
        started = time.process_time()
        try:
            return function(*values, **options)
        finally:
            spent[place] += time.process_time() - started
    setattr(owner, name, call)

def stop(epoch, logs):
    short.callbacks[0].model.stop_training = True

timed(fitting.Plan, "first_rows")
timed(estimator, "new_model")
timed(TrainingModel, "compile_step")
timed(bi.AmortizedPosterior, "adopt")
posterior = bi.AmortizedPosterior(bi.get_simulator("sir"))
short = bi.Optimization(callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=stop)])
started = time.process_time()
posterior.fit(steps=1_000, epochs=50, seed=1, optimization=short, progress=False)
print(*spent, time.process_time() - started - sum(spent))
"""
_LOAD = """
import sys, time
import tensorflow, tensorflow_probability
import bayesinn as bi
started = time.process_time()
posterior = bi.load(sys.argv[1])
loaded = time.process_time()
simulations = posterior.simulator.sample(1, seed=1)
observed = {name: simulations[name] for name in posterior.simulator.observable_shapes}
simulated = time.process_time()
posterior.sample(observed, draws=1_000, seed=1)
print(loaded - started, time.process_time() - simulated)
"""


def seconds(script: str, *arguments: str, cache: str = "") -> list[float]:
    """Run a script in a fresh process; return the numbers it prints, else its processor time."""
    environment = {**os.environ, "BAYESINN_CACHE": cache or "off", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [
        sys.executable,
        "-c",
        f"{script}\nimport time; print(time.process_time())",
        *arguments,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    numbers = [float(word) for word in done.stdout.split()]
    return numbers[:-1] or numbers


def measure(quick: bool) -> dict[str, float]:
    """Measure each case once."""
    posterior = ROOT / "paper_results" / "covid19_germany" / "posterior"
    with tempfile.TemporaryDirectory() as cache:
        found = {}
        if not quick:
            found |= {
                "import TensorFlow and TensorFlow Probability": seconds(_IMPORT_TENSORFLOW),
                "import bayesinn, too": seconds(_IMPORT),
            }
        found["20 steps of linear, plain graph"] = seconds(_FIT, "graph")
        if not quick:
            loaded, sampled = seconds(_LOAD, str(posterior))
            parts = [f"first fit of sir: {part}" for part in PARTS]
            found |= {
                "XLA": seconds(_FIT, "xla"),
                "XLA, empty cache": seconds(_FIT, "xla", cache=cache),
                "XLA, filled cache": seconds(_FIT, "xla", cache=cache),
                "load the Covid-19 posterior": [loaded],
                "its first draws": [sampled],
            }
            found |= {part: [value] for part, value in zip(parts, seconds(_PARTS), strict=True)}
    return {case: value for case, (value,) in found.items()}


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="one round: checks that it runs, writes nothing"
    )
    quick = parser.parse_args().quick
    table = pd.DataFrame([measure(quick) for _ in range(1 if quick else ROUNDS)]).median()
    print(table)
    if not quick:
        table.rename("seconds").to_csv(
            Path(__file__).with_suffix(".csv"), index_label="case", float_format="%.3g"
        )


if __name__ == "__main__":
    main()
