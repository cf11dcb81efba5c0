"""Costly simulations of a run that is interrupted: kept, and used by the run that resumes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulation.engines import kept
from tests.helpers.models import small_flow

tfd = tfp.distributions


def simulator(log: Path, offset: float = 0.0) -> bi.Simulator:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, engine="python", workers=2, name="slow")
    def slow(parameters, generator):
        with open(log, "a") as file:
            file.write(".")
        while os.path.exists(log.with_suffix(".hang")):
            time.sleep(0.02)
        return {"x": parameters["mean"] + offset + generator.normal()}

    return slow


def fit(model: bi.Simulator, folder: Path | None, resume: bool = False):
    posterior = bi.AmortizedPosterior(model, flow=small_flow())
    return posterior.fit(
        steps=20,
        epochs=4,
        batch_size=16,
        seed=1,
        checkpoint=None if folder is None else bi.Checkpoint(folder, resume=resume),
        progress=False,
    )


def count(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def test_what_was_simulated_before_an_interruption_is_not_simulated_again(
    tmp_path, monkeypatch, request
) -> None:
    """Ctrl-C while scalings are measured, then inside the first epoch: the same bits at the end."""
    monkeypatch.setattr(kept, "_WORTH_KEEPING", 0.0)
    monkeypatch.setattr("bayesinn.estimators.fitting_data.PILOT_SIMULATIONS", 600)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, handler))
    log = tmp_path / "log"
    model = simulator(log)
    begun = count(log)
    whole = fit(model, None)
    needed = count(log) - begun
    folder = tmp_path / "checkpoint"
    begun = count(log)
    for enough, resume in ((300, False), (620, True)):
        interrupted = []

        def interrupt(enough: int = enough, interrupted: list[float] = interrupted) -> None:
            while count(log) - begun < enough:
                time.sleep(0.005)
            log.with_suffix(".hang").touch()
            time.sleep(0.5)
            interrupted.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            fit(model, folder, resume)
        assert time.monotonic() - interrupted[0] < 10.0
        log.with_suffix(".hang").unlink()
        with pytest.raises(InputError, match="resume=True"):
            fit(model, folder)
    with pytest.raises(InputError, match="training began with"):
        fit(simulator(log, offset=1.0), folder, resume=True)
    before = count(log)
    resumed = fit(model, folder, resume=True)
    # Some blocks were unfinished, and a few rows tell that the simulator is the same.
    assert count(log) - before < needed - 500
    assert resumed.fingerprint == whole.fingerprint
    np.testing.assert_array_equal(resumed.history["loss"], whole.history["loss"])
    assert not list(folder.glob("simulated-*"))


def test_blocks_that_are_damaged_or_of_other_parameters_are_simulated(tmp_path) -> None:
    blocks = kept.KeptBlocks(tmp_path / "blocks")
    outcome = kept.Outcome(2, {"x": np.arange(2.0)}, {}, 1.0)
    inputs = {"mean": np.arange(2.0)}, {}
    for number in range(3):
        blocks.keep([1, number], 4, outcome, *inputs)
    blocks = kept.KeptBlocks(tmp_path / "blocks")
    np.testing.assert_array_equal(blocks.read([1, 2], 4, *inputs).observables["x"], [0.0, 1.0])
    assert blocks.read([1, 2], 4, {"mean": np.ones(2)}, {}) is None
    file = next(tmp_path.glob("blocks/1-1.4-2.npz"))
    file.write_bytes(file.read_bytes()[:50])
    assert blocks.read([1, 1], 4, *inputs) is None
    blocks.forget([1], below=2)
    assert [file.name for file in tmp_path.glob("blocks/*.npz")] == ["1-2.4-2.npz"]
    kept.remove_blocks(tmp_path / "blocks")
    assert not list(tmp_path.iterdir())
