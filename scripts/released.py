"""Small saved folders of a release, with their answers: later versions must load them and answer equally.

    python -m scripts.released write    # tests/released/VERSION anew, of this version
    python -m scripts.released check    # load what each release wrote, and compare: exit status 1

``write`` is for a release that is not out yet: what a released version wrote stays as it is.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import xarray as xr

import bayesinn as bi
from bayesinn.cli import app

tfd = tfp.distributions
Tensors = dict[str, tf.Tensor]
Answers = Mapping[str, np.ndarray]

RELEASED = Path(__file__).resolve().parents[1] / "tests" / "released"
#: Largest difference of an answer, relative and absolute: single precision on another processor.
TOLERANCE = 1e-3
TRIALS = 4
COUNTS = tf.range(2, TRIALS + 1)
Y = {"y": np.array([0.5, -1.0], np.float32)}
DATA = {"x": np.array([[0.1, 0.0, -0.1], [5.0, 6.0, 5.5]], np.float32)}
PERSONS = {"y": [[0.1, -0.2], [1.0, 1.5, 0.5], [2.0, 2.5, 1.5, 2.2]]}
BRIEF = {"batch_size": 32, "seed": 1, "progress": False}
STEPS = 40


# Simulators. What they do may never change: folders keep a record of it.


@bi.simulator(
    prior={"level": lambda mean: tfd.Normal(mean, 0.7), "mean": tfd.Normal(0.0, 1.0)},
    context={"n": tfd.FiniteDiscrete(COUNTS, logits=tf.zeros(len(COUNTS)))},
    lengths={"y": "n"},
)
def person(parameters: Tensors, context: Tensors, seed: tf.Tensor) -> Tensors:
    """Simulate trials of a person of a group."""
    level = parameters["level"][:, None]
    y = level + tf.random.stateless_normal((tf.shape(level)[0], TRIALS), seed)
    return {"y": tf.where(tf.range(TRIALS) < context["n"][:, None], y, np.nan)}


def _measured(name: str, sd: float) -> bi.Simulator:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, sd)}, name=name)
    def model(parameters: Tensors, seed: tf.Tensor) -> Tensors:
        mean = parameters["mean"][:, None]
        return {"x": mean + tf.random.stateless_normal((tf.shape(mean)[0], 3), seed)}

    return model


linear = bi.get_simulator("linear")
models = [_measured("narrow", 0.5), _measured("wide", 4.0)]


def flow() -> bi.flows.InvertibleFlow:
    """Return a small flow."""
    return bi.flows.coupling(blocks=1, hidden=(8,))


def posterior(seed: int = 1, **options: object) -> bi.AmortizedPosterior:
    """Return a posterior that was trained for a moment."""
    settings = {**BRIEF, "seed": seed, "steps": STEPS, **options}
    return bi.AmortizedPosterior(linear, flow=flow()).fit(**settings)  # type: ignore[arg-type]


class Stop(keras.callbacks.Callback):  # type: ignore[misc]
    """Interrupt a training after half of its epochs."""

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Interrupt."""
        if epoch == 2:
            raise KeyboardInterrupt


# What is written, each into a folder of its name.


def write_checkpoint(folder: Path) -> None:
    """Interrupt a training."""
    try:
        posterior(epochs=4, optimization=bi.Optimization(callbacks=[Stop()]), checkpoint=folder)
    except KeyboardInterrupt:
        return
    raise AssertionError("the training was not interrupted")


def write_run(folder: Path) -> None:
    """Train from the command line. Figures are not read again."""
    flow = "coupling:blocks=1,hidden=(8,)"
    _run("train", "linear", "--steps", STEPS, "--flow", flow, "--output", folder)
    for figure in folder.rglob("*.png"):
        figure.unlink()


def _run(*words: object) -> None:
    try:
        app(list(map(str, words)))
    except SystemExit as end:
        if end.code:
            raise


def write_hierarchy(folder: Path) -> None:
    """Train a population."""
    network = bi.summaries.DeepSet(2, hidden=(8,), dense=(8,))
    other = bi.summaries.DeepSet(2, hidden=(8,), dense=(8,))
    group = {"person": "level"}
    hierarchy = bi.HierarchicalPosterior(
        person, group=group, sizes=(2, 4), summary=network, population=other, flow=flow()
    )
    hierarchy.fit(steps=STEPS, **BRIEF).save(folder)  # type: ignore[arg-type]


def write_comparison(folder: Path) -> None:
    """Train a comparison of two models."""
    comparison = bi.ModelComparison(models, hidden=(8,))
    comparison.fit(comparison.simulate(400, seed=1), steps=STEPS, **BRIEF).save(folder)


WRITTEN: dict[str, Callable[[Path], object]] = {
    "posterior": lambda folder: posterior().save(folder),
    "ensemble": lambda folder: bi.Ensemble([posterior(), posterior(2)]).save(folder),
    "likelihood": lambda folder: (
        bi.AmortizedLikelihood(linear, flow()).fit(steps=STEPS, **BRIEF).save(folder)  # type: ignore[arg-type]
    ),
    "hierarchy": write_hierarchy,
    "comparison": write_comparison,
    "bank": lambda folder: bi.simulate_bank(linear, 40, folder, seed=1, chunk=20, progress=False),
    "checkpoint": write_checkpoint,
    "run": write_run,
}


# What is asked of each, in a folder that may be written.


def ask_posterior(folder: Path) -> Answers:
    """Ask for densities, draws and p-values."""
    loaded = bi.load(folder)
    draws = loaded.sample(Y, draws=20, seed=3)
    return {**draws, "density": loaded.log_prob(draws, Y), "p": draws.p_value}


def ask_likelihood(folder: Path) -> Answers:
    """Ask for densities of data."""
    parameters = {"x1": np.array([0.0, 1.0]), "x2": np.array([0.5, -1.0])}
    return {"density": bi.load(folder).log_prob(Y, parameters)}


def ask_bank(folder: Path) -> Answers:
    """Ask for all simulations."""
    return {name: rows.values for name, rows in bi.open_bank(folder).dataset.data_vars.items()}


def ask_checkpoint(folder: Path) -> Answers:
    """Go on with the training, and ask what it learned."""
    resumed = posterior(epochs=4, checkpoint=bi.Checkpoint(folder, resume=True))
    return {"density": resumed.log_prob({"x1": [0.1, 0.2], "x2": [0.3, 0.4]}, Y)}


def ask_run(folder: Path) -> Answers:
    """Infer from the command line."""
    data = folder / "data.json"
    data.write_text('{"y": 0.5}')
    _run("infer", folder, "--data", data, "--draws", 50, "--seed", 3, "--no-predictive")
    with xr.open_dataset(folder / "posterior.nc", group="posterior") as draws:
        return {str(name): draws[name].values for name in draws.data_vars}


ASKED: dict[str, Callable[[Path], Answers]] = {
    "posterior": ask_posterior,
    "ensemble": ask_posterior,
    "likelihood": ask_likelihood,
    "hierarchy": lambda folder: bi.load(folder, simulator=person).sample_all(
        PERSONS, draws=20, seed=3
    ),
    "comparison": lambda folder: bi.load(folder, simulator=models).probabilities(DATA),
    "bank": ask_bank,
    "checkpoint": ask_checkpoint,
    "run": ask_run,
}


def answers(kind: str, folder: Path) -> Answers:
    """Ask what is saved in a folder, which asking may change."""
    return {name: np.asarray(values) for name, values in ASKED[kind](folder).items()}


def write(kinds: Iterable[str]) -> None:
    """Write the folders of this version, each packed, and their answers."""
    release = RELEASED / bi.__version__
    release.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / kind
            WRITTEN[kind](folder)
            shutil.make_archive(str(release / kind), "xztar", temporary, kind)
            np.savez_compressed(release / f"{kind}.npz", **answers(kind, folder))  # type: ignore[arg-type]
        print(kind, flush=True)


def check(kinds: Iterable[str]) -> list[str]:
    """Say what can't be loaded, or answers otherwise than when it was written."""
    wrong = []
    for kept in sorted(RELEASED.glob("*/*.npz")):
        kind = kept.stem
        place = f"{kept.parent.name}/{kind}"
        if kind not in kinds:
            continue
        with tempfile.TemporaryDirectory() as temporary, np.load(kept) as wanted:
            shutil.unpack_archive(kept.with_suffix(".tar.xz"), temporary, filter="data")
            try:
                found = answers(kind, Path(temporary) / kind)
            except Exception as error:
                wrong.append(f"{place}: {type(error).__name__}: {error}")
                continue
            wrong += [
                f"{place}: other {name}"
                for name in wanted.files
                if not np.allclose(
                    found[name], wanted[name], rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True
                )
            ]
        print(f"{place}: loaded", flush=True)
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("write", "check"))
    parser.add_argument("kinds", nargs="*", help="some of them; all by default")
    chosen = parser.parse_args()
    chosen.kinds = chosen.kinds or list(WRITTEN)
    if chosen.command == "write":
        write(chosen.kinds)
    else:
        sys.exit("\n".join(check(chosen.kinds)) or 0)
