"""Do five tasks as a newcomer does, with commands and pages alone, and compare with exact answers.

    scripts/newcomer.py [TASK ...] [--quick]

Each task runs in an empty folder and a fresh process. ``scripts/newcomer.csv`` has a row for each
number that was asked for: minutes of the task, what was measured and what it may be. ``--quick``
trains for moments, checks that all runs, and writes nothing that stays.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray
from scipy import stats

TABLE = Path(__file__).with_suffix(".csv")
SHELL = [sys.executable, "-m", "bayesinn.cli"]
#: What was measured, and the most that it may be.
Found = Iterator[tuple[str, float, float]]

TRIALS = """
import json
import numpy as np
import tensorflow as tf, tensorflow_probability as tfp, bayesinn as bi
tfd = tfp.distributions

@bi.simulator(prior={"level": tfd.Normal(0.0, 1.0)})
def trial(parameters, seed):
    level = parameters["level"]
    return {"score": level + 2.0 * tf.random.stateless_normal(tf.shape(level), seed)}

likelihood = bi.AmortizedLikelihood(trial)
likelihood.fit(steps=STEPS, seed=1)
draws = {}
for count in (1, 10, 100):
    scores = np.load("scores.npy")[:count]
    draws[count] = likelihood.posterior({"score": scores}).sample(draws=2_000, seed=2)["level"].tolist()
json.dump(draws, open("draws.json", "w"))
"""

GROUPS = """
import json
import numpy as np
import tensorflow as tf, tensorflow_probability as tfp, bayesinn as bi
tfd = tfp.distributions

@bi.simulator(
    prior={
        "mean": tfd.Normal(0.0, 2.0),
        "log_spread": tfd.Normal(-0.5, 0.5),
        "effect": lambda mean, log_spread: tfd.Normal(mean, tf.exp(log_spread)),
    }
)
def group(parameters, seed):
    effect = parameters["effect"][:, None]
    noise = tf.random.stateless_normal((tf.shape(effect)[0], 10), seed)
    return {"x": effect + noise}

posterior = bi.HierarchicalPosterior(group, group={"group": ("effect",)}, sizes=(20, 20))
posterior.fit(steps=STEPS, seed=1)
observed = {"x": np.load("groups.npy")}
drawn = posterior.sample(observed, draws=4_000, seed=2)
json.dump({n: np.ravel(drawn[n]).tolist() for n in ("mean", "log_spread")}, open("draws.json", "w"))
"""

SLOW = """
import time
import numpy as np, scipy.stats as st, bayesinn as bi

@bi.simulator(prior={"rate": st.norm(0.0, 1.0)}, engine="python")
def slow(parameters, generator):
    time.sleep(0.005)
    return {"x": parameters["rate"] + generator.normal(size=4)}
"""


def run(*words: str, judged: bool = True) -> None:
    """Run a command; what it wrote is shown if it fails.

    A posterior that is not to be ``judged`` may fail: status 1.
    """
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode not in ((0,) if judged else (0, 1)):
        raise SystemExit(f"{words}\n{done.stdout}{done.stderr}")


def distance(draws: np.ndarray, law: stats.rv_continuous) -> float:
    """Return the Kolmogorov-Smirnov distance of draws from a law."""
    return float(stats.kstest(np.ravel(draws), law.cdf).statistic)


def counts_of_two_arrays(quick: bool) -> Found:
    """Poisson counts: simulations in two .npy files, observations in a CSV with a row for each."""
    generator = np.random.default_rng(1)
    rate = generator.gamma(2.0, 1.0, size=(8_000, 1))
    np.save("theta.npy", rate)
    np.save("x.npy", generator.poisson(rate, size=(8_000, 5)))
    seen = np.array([[1, 0, 2, 1, 3], [5, 4, 7, 3, 5]])
    pd.DataFrame(seen, columns=[f"x{k}" for k in range(5)]).to_csv("seen.csv", index=False)
    train = [*SHELL, "train", "--bank", "theta.npy,x.npy", "--prior", "rate=Gamma(2, 1)"]
    run(*train, "--output", "run", *(["--steps", "30"] if quick else []))
    run(*SHELL, "infer", "run", "--data", "seen.csv")
    draws = xarray.open_datatree("run/posterior.nc")["posterior"]["rate"]
    for number, counts in enumerate(seen):
        exact = stats.gamma(2.0 + counts.sum(), scale=1.0 / 6.0)
        values = draws.isel({name: number for name in draws.dims if name not in ("chain", "draw")})
        yield f"KS distance, counts {number + 1}", distance(values.to_numpy(), exact), 0.08


def trials(quick: bool) -> Found:
    """Trials of a person by a learned likelihood: 1, 10 and 100 of them."""
    every = np.random.default_rng(5).normal(2.0, 2.0, size=100)
    np.save("scores.npy", every)
    Path("model.py").write_text(TRIALS.replace("STEPS", "30" if quick else "5_000"))
    run(sys.executable, "model.py")
    for count, draws in json.loads(Path("draws.json").read_text()).items():
        scores = every[: int(count)]
        precision = 1.0 + len(scores) / 4.0
        exact = stats.norm(scores.sum() / 4.0 / precision, precision**-0.5)
        yield f"KS distance, {count} trials", distance(np.array(draws), exact), 0.08


def groups(quick: bool) -> Found:
    """Twenty groups and their population, against a grid."""
    effects = 1.0 + 0.6 * np.random.default_rng(2).normal(size=20)
    data = effects[:, None] + np.random.default_rng(3).normal(size=(20, 10))
    np.save("groups.npy", data)
    Path("model.py").write_text(GROUPS.replace("STEPS", "30" if quick else "4_000"))
    run(sys.executable, "model.py")
    mean, log_spread = np.meshgrid(
        np.linspace(-1, 3, 401), np.linspace(-3, 1.5, 301), indexing="ij"
    )
    spread = np.sqrt(np.exp(2.0 * log_spread) + 0.1)
    log_density = stats.norm(0.0, 2.0).logpdf(mean) + stats.norm(-0.5, 0.5).logpdf(log_spread)
    for centre in data.mean(axis=1):
        log_density += stats.norm.logpdf(centre, mean, spread)
    share = np.exp(log_density - log_density.max())
    share /= share.sum()
    draws = json.loads(Path("draws.json").read_text())
    for name, axis, values in (("mean", 1, mean[:, 0]), ("log_spread", 0, log_spread[0])):
        cumulative = np.cumsum(share.sum(axis=axis))
        places = np.interp(draws[name], values, cumulative)
        yield f"KS distance, {name}", float(stats.kstest(places, "uniform").statistic), 0.1


def slow_simulator(quick: bool) -> Found:
    """A Python simulator of 5 ms: interrupted, gone on with, right."""
    Path("model.py").write_text(SLOW)
    train = [*SHELL, "train", "model.py:slow", "--output", "run"]
    steps = ["--steps", "40", "--batch-size", "32"] if quick else []
    limit = [] if quick else ["--minutes", "4"]
    training = subprocess.Popen(
        [*train, *steps, *limit],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(30.0 if quick else 100.0)
    pressed = time.monotonic()
    training.send_signal(signal.SIGINT)
    said, _ = training.communicate(timeout=60)
    yield "seconds from Ctrl-C to the end", time.monotonic() - pressed, 10.0
    kept = "keeps" in said and "keeps nothing" not in said
    ended = training.returncode == 0
    yield "simulations lost", float(not (kept or ended)), 0.0
    if not ended:
        run(*train, *steps, "--resume")
    pd.DataFrame({"x": [1.0, 0.5, 1.5, 0.2]}).to_csv("seen.csv", index=False)
    run(*SHELL, "infer", "run", "--data", "seen.csv", "--simulator", "model.py:slow")
    draws = xarray.open_datatree("run/posterior.nc")["posterior"]["rate"].to_numpy()
    yield "KS distance", distance(draws, stats.norm(3.2 / 5.0, 5.0**-0.5)), 0.08


def report_of_a_table(quick: bool) -> Found:
    """Own case counts to a report, by a ready model and its exact posterior."""
    days = np.arange(14)
    generator = np.random.default_rng(4)
    counts = generator.poisson(20.0 * np.exp(0.12 * days) * generator.gamma(5.0, 0.2, size=14))
    pd.DataFrame({"cases": counts}).to_csv("counts.csv", index=False)
    options = ["--steps", "30"] if quick else ["--exact"]
    command = [*SHELL, "run", "sir", "--data", "counts.csv", "--output", "run", *options]
    run(*command, judged=not quick)
    table = pd.read_csv("run/posterior.csv", index_col=0)
    if not quick:
        size = ((table["mean"] - table["exact mean"]).abs() / table["exact sd"]).max()
        yield "largest error of a mean, exact sds", float(size), 0.25
    yield "report missing", float(not Path("run/report.html").is_file()), 0.0


TASKS: dict[str, Callable[[bool], Found]] = {
    task.__name__: task
    for task in (counts_of_two_arrays, trials, groups, slow_simulator, report_of_a_table)
}


def main() -> None:
    """Do the tasks, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", choices=[[], *TASKS], default=[])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    # A program in the background ignores Ctrl-C, and so would those that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in options.tasks or TASKS:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            started = time.monotonic()
            found = list(TASKS[name](options.quick))
            minutes = (time.monotonic() - started) / 60.0
            os.chdir(TABLE.parent)
        columns = ["measured", "value", "at most"]
        rows = pd.DataFrame([("minutes", minutes, 10.0), *found], columns=columns).round(4)
        rows.insert(0, "task", name)
        print(rows.to_string(index=False, header=False), flush=True)
        if not options.quick:
            others = pd.read_csv(TABLE) if TABLE.is_file() else rows[:0]
            table = pd.concat([others[others["task"] != name], rows])
            table.to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
