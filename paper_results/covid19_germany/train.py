"""Train the posteriors of the Covid-19 case study.

    python paper_results/covid19_germany/train.py NAME [--minutes M | --steps N]
                                                  [--resume] [--quick]

NAME is covid19 (the published noise), covid19_regular or covid19_states. Saves the posterior beside
this file, with ``history_NAME.csv``: the negative log density of the true parameters of 4,000
held-out simulations as training goes on. Checkpoints are kept in ``runs/covid19_germany`` until
training has ended; ``--resume`` continues from there. ``--quick`` trains small networks for a few
steps, to check that it runs, and writes nothing that stays.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

import bayesinn as bi
from bayesinn.cli.training import steps_in
from bayesinn.core import seeds
from bayesinn.flows import coupling
from bayesinn.simulators.covid19 import VARIANTS
from bayesinn.simulators.covid19_options import Covid19Options
from bayesinn.summaries import MLP
from bayesinn.training.step import TrainingModel

HERE = Path(__file__).resolve().parent
FOLDERS = {
    "covid19": "posterior",
    "covid19_regular": "posterior_regular",
    "covid19_states": "posterior_states",
}
SEED = 1
HELD_OUT_SEED = 777
HELD_OUT = 4_000
EPOCHS = 60
CHECKS = 6
QUICK_STEPS = 20
_ROWS = 1_000


def main() -> None:
    """Train one posterior, save it, say what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=FOLDERS)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="train for about so long")
    length.add_argument(
        "--steps", type=int, help="weight updates; what the simulator recommends if left out"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the checkpoint, to its number of steps"
    )
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    simulator = bi.get_simulator(given.name)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if given.quick else HERE
        checkpoint = (
            Path(folder) if given.quick else HERE.parents[1] / "runs" / HERE.name
        ) / given.name
        steps = given.steps
        settings = checkpoint / "settings.json"
        if given.resume and settings.is_file():
            steps = int(json.loads(settings.read_text())["steps"])
        elif given.minutes is not None and not given.quick:
            steps = steps_in(given.minutes, bi.AmortizedPosterior(simulator))
            print(f"{given.minutes:g} minutes are about {steps:,} steps", flush=True)
        posterior, history = train(
            simulator, steps, checkpoint, quick=given.quick, resume=given.resume
        )
        saved = save(posterior, target / FOLDERS[given.name])
        history.to_csv(target / f"history_{given.name}.csv", index=False, float_format="%.5g")
        print(history.to_string(index=False, float_format="%.3f"))
        print(f"weights.h5 has {(saved / 'weights.h5').stat().st_size / 1e6:.1f} MB")
        # All is saved; a new run can start.
        shutil.rmtree(checkpoint)


def train(
    simulator: bi.Simulator,
    steps: int | None,
    checkpoint: Path,
    *,
    quick: bool = False,
    resume: bool = False,
) -> tuple[bi.AmortizedPosterior, pd.DataFrame]:
    """Train the networks that the simulator recommends.

    Parameters
    ----------
    simulator : Simulator
    steps : int
        What the simulator recommends if None.
    checkpoint : folder
    quick : bool
        Small networks and a few steps.
    resume : bool
        From the checkpoint.

    Returns
    -------
    posterior : AmortizedPosterior
        With ``minutes``, ``processor_minutes`` and ``simulations`` in ``training``: without the
        checks between.
    history : DataFrame
        What :class:`HeldOut` found.
    """
    held_out = HeldOut(
        simulator, checkpoint / "held_out.csv", HELD_OUT // 20 if quick else HELD_OUT
    )
    posterior = bi.AmortizedPosterior(simulator)
    batch_size = None
    if quick:
        posterior = small_posterior(simulator)
        steps = QUICK_STEPS
        batch_size = 64
    posterior.fit(
        steps=steps,
        epochs=EPOCHS,
        batch_size=batch_size,
        seed=SEED,
        optimization=bi.Optimization(callbacks=[held_out]),
        checkpoint=bi.Checkpoint(checkpoint, resume=resume),
        progress=not quick,
    )
    history = held_out.frame()
    last = history.iloc[-1]
    for name in ("minutes", "processor_minutes", "simulations"):
        posterior.training[name] = round(float(last[name]), 2)
    print(f"{last['minutes']:.1f} minutes, {last['processor_minutes']:.1f} of processor time")
    return posterior, history


def options_of(name: str, **changes: Any) -> Covid19Options:
    """Options of a simulator of the study, some of them changed."""
    return dataclasses.replace(Covid19Options() if name == "covid19" else VARIANTS[name], **changes)


def small_posterior(simulator: bi.Simulator) -> bi.AmortizedPosterior:
    """Networks that compile and train in seconds."""
    return bi.AmortizedPosterior(simulator, MLP(16, hidden=(32,)), coupling(blocks=2, hidden=(32,)))


def save(posterior: bi.AmortizedPosterior, folder: Path) -> Path:
    """Save without the path of the simulator's file, which varies: it is found by its module.

    Weights are rounded to 16 binary digits, so that the file has less than 10 MB when it is
    compressed.
    """
    for variable in posterior.model.network.trainable_variables:
        bits = variable.numpy().astype(np.float32).view(np.uint32)
        variable.assign(((bits + np.uint32(0x80)) & np.uint32(0xFFFFFF00)).view(np.float32))
    posterior.save(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["simulator"]["file"] = ""
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return folder


class HeldOut(keras.callbacks.Callback):
    """Mean negative log density of the same simulations' true parameters, at times in training.

    It is computed several times.

    With the averaged weights, which the posterior has at the end. Rows go to a file at once, for a
    run that is resumed.

    Parameters
    ----------
    simulator : Simulator
    file : Path
    size : int, simulations
    checks : int
        How often, beside the one before training. Each costs some seconds.
    """

    model: TrainingModel

    def __init__(
        self, simulator: bi.Simulator, file: Path, size: int, checks: int = CHECKS
    ) -> None:
        super().__init__()
        self._simulations = simulator.sample(size, seed=HELD_OUT_SEED)
        self._file = file
        self._every = EPOCHS // checks
        self._rows: list[dict[str, Any]] = []
        self._log_density: Callable[..., tf.Tensor] | None = None
        self._past_clock = self._past_processor = 0.0
        # Where simulations are drawn and fitted before the first step, that is part of training.
        self._start()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Take up the rows of a run that is resumed, or check the first weights."""
        # Later rows than the checkpoint are of steps that will be done again.
        done = int(self.model.optimizer.iterations.numpy())
        if done and self._file.is_file():
            rows = pd.read_csv(self._file)
            self._rows = rows[rows["step"] <= done].to_dict("records")
        if self._rows:
            self._past_clock, self._past_processor = (
                self._rows[-1][key] for key in ("minutes", "processor_minutes")
            )
        if self.model.settings.passes:
            self._stop()
        if not self._rows:
            self._check(0)
        self._start()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check every few epochs, and after the last."""
        settings = self.model.settings
        last = epoch + 1 == settings.epochs
        if int(self.model.bad_step.numpy()) >= 0 or not (last or (epoch + 1) % self._every == 0):
            return
        self._stop()
        self._check(min((epoch + 1) * settings.steps_per_epoch, settings.steps))
        self._start()

    def frame(self) -> pd.DataFrame:
        """One row a check: step, simulations, time, held_out_nll and its standard_error.

        The time is in minutes and in processor_minutes.
        """
        return pd.read_csv(self._file)

    def _start(self) -> None:
        # The checks themselves are no part of training.
        self._clock = time.monotonic()
        self._processor = time.process_time()

    def _stop(self) -> None:
        self._past_clock += (time.monotonic() - self._clock) / 60
        self._past_processor += (time.process_time() - self._processor) / 60

    def _check(self, step: int) -> None:
        self.model.weight_layout.assign(self.model.averaged.numpy())
        if self._log_density is None:
            self._log_density = tf.function(
                self._of_true_parameters, autograph=False, reduce_retracing=True
            )
        size = len(next(iter(self._simulations.values())))
        values = np.concatenate(
            [
                self._log_density(
                    {
                        k: tf.constant(value[start : start + _ROWS])
                        for k, value in self._simulations.items()
                    }
                )
                for start in range(0, size, _ROWS)
            ]
        )
        settings = self.model.settings
        self._rows.append(
            {
                "step": step,
                "simulations": settings.simulations
                if settings.passes
                else step * settings.batch_size,
                "minutes": self._past_clock,
                "processor_minutes": self._past_processor,
                "held_out_nll": -float(values.mean()),
                "standard_error": float(values.std() / np.sqrt(size)),
            }
        )
        self._file.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(self._rows).to_csv(self._file, index=False)

    def _of_true_parameters(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        noise = seeds.tensor_seed(HELD_OUT_SEED, "dequantise")
        return -self.model.problem.loss(batch, noise, tf.constant(1.0), training=False)


if __name__ == "__main__":
    main()
