"""Training while a bank grows, and from a bank mixed with fresh simulations."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BankError, InputError
from bayesinn.estimators import fitting_data
from bayesinn.simulation.bank import Bank
from bayesinn.training import sources
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import BankSource, growing_order
from tests.conftest import ROOT
from tests.helpers.fitting import equal
from tests.helpers.models import Normalising, series, small_flow

ROWS = 960
SIZE = 64


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for little before the first step; windows have two chunks, and looks are frequent."""
    monkeypatch.setattr(fitting_data, "PILOT_SIMULATIONS", SIZE)
    monkeypatch.setattr(sources, "_WINDOW_BYTES", 0)
    monkeypatch.setattr(sources, "_SECONDS_BETWEEN_LOOKS", 0.05)


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> Bank:
    return bi.simulate_bank(
        series, ROWS, tmp_path_factory.mktemp("bank") / "bank", seed=1, chunk=SIZE, progress=False
    )


@pytest.fixture
def begun(tmp_path: Path) -> Bank:
    """The same bank with its first three chunks alone."""
    growing = bi.simulate_bank(
        series, ROWS, tmp_path / "a bank", seed=1, chunk=SIZE, progress=False
    )
    for number in range(3, growing.chunks):
        growing._store.forget(number)
    return bi.open_bank(tmp_path / "a bank")


def write(place: str) -> threading.Thread:
    """Finish a bank in the background."""

    def work() -> None:
        time.sleep(1.0)
        bi.simulate_bank(series, ROWS, place, seed=1, chunk=SIZE, progress=False)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def train(data, **options) -> bi.AmortizedPosterior:
    posterior = bi.AmortizedPosterior(series, Normalising(), small_flow(dropout=0.1))
    options = {"batch_size": 32, "validation": 0.1, "seed": 1, "progress": False, **options}
    return posterior.fit(data, **options)


@pytest.mark.parametrize("reuse", [1, 2, 5])
def test_each_chunk_is_used_as_often_and_none_before_those_in_front_of_it(reuse: int) -> None:
    order = growing_order(range(40), reuse, np.random.default_rng(1))
    assert Counter(order) == dict.fromkeys(range(40), reuse)
    firsts = [order.index(chunk) for chunk in range(40)]
    assert firsts == sorted(firsts)
    # Half of the repetitions are made while it grows, the others when all are there.
    assert firsts[-1] == pytest.approx(40 + 0.5 * 40 * (reuse - 1) - (reuse - 1), abs=reuse)


def test_the_result_does_not_depend_on_when_chunks_are_finished(bank: Bank, begun: Bank) -> None:
    expected = train(bi.Stream(bank, reuse=2))
    assert expected.history["step"].iloc[-1] == 2 * (864 // 32)
    thread = write(begun.location)
    ours = train(bi.Stream(begun, reuse=2))
    thread.join()
    assert begun.missing == []
    assert equal(ours, expected)


def test_it_waits_for_no_more_than_it_needs(begun: Bank) -> None:
    """Three chunks are there: the first is held out in part, so two and a half train."""
    posterior = train(bi.Stream(begun, reuse=1), steps=2)
    assert posterior.history["step"].iloc[-1] == 2
    assert len(begun.missing) == 12


@pytest.mark.parametrize("number", [0, 1, 7])
def test_numbers_that_are_not_finite_are_refused_as_in_arrays(tmp_path: Path, number: int) -> None:
    """In what is held out, in the rows that scalings come from, and in a later chunk."""
    bank = bi.simulate_bank(series, ROWS, tmp_path / "bank", seed=1, chunk=SIZE, progress=False)
    drawn = series.draw(SIZE, seed=5)
    broken = np.array(drawn.observables["cases"])
    broken[3, 2] = np.nan
    drawn.observables["cases"] = broken
    bank._store.write(number, drawn)
    with pytest.raises(InputError, match=r"'cases'(?s:.*)NaN or infinity in 1 of"):
        train(bi.Stream(bank), steps=30)


@pytest.mark.parametrize("options", [{"reuse": 3}, {"fresh": 0.25}, {"reuse": 2, "fresh": 0.5}])
def test_it_resumes_bit_for_bit(
    bank: Bank, tmp_path: Path, monkeypatch, options: dict[str, float]
) -> None:
    data = bi.Stream(bank, **options)
    folder = tmp_path / "checkpoint"
    expected = train(data, steps=100)
    monkeypatch.setattr("bayesinn.training.callbacks._SECONDS_BETWEEN_WRITES", 0.0)
    read = BankSource._read
    calls = []

    def broken(self, *arguments):
        calls.append(arguments)
        if len(calls) == 9:
            raise OSError("the store can't be reached")
        return read(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BankSource, "_read", broken)
        with pytest.raises(OSError, match="can't be reached"):
            train(data, steps=100, checkpoint=folder)
    with pytest.raises(InputError, match="a checkpoint of this very run"):
        train(bi.Stream(bank, reuse=7), steps=100, checkpoint=bi.Checkpoint(folder, resume=True))
    assert equal(train(data, steps=100, checkpoint=bi.Checkpoint(folder, resume=True)), expected)


def rows(batch: Mapping[str, Any]) -> list[tuple[float, ...]]:
    """What tells simulations apart: one number alone may come twice."""
    parts = batch["rate"], batch["size"], np.asarray(batch["cases"])[:, 0]
    return list(zip(*(np.asarray(part).tolist() for part in parts), strict=True))


def test_a_batch_has_its_share_of_fresh_simulations(bank: Bank) -> None:
    stream = bi.Stream(bank, fresh=0.25)
    known = set(rows(bank.read()))
    settings = TrainingSettings(40, 10, 32, 3, xla=False)
    data = fitting_data.Streamed(series, stream, 0.1)
    source = data.source(None, settings, False, False)
    fresh: list[tuple[float, ...]] = []
    for element in source.elements(0):
        batch, failed = source.batch(element)
        assert int(failed) == 0
        new = [row not in known for row in rows(batch)]
        assert new == 24 * [False] + 8 * [True]
        fresh += rows(batch)[24:]
    assert len(set(fresh)) == len(fresh)


def test_what_is_stored_is_used_as_often_beside_fresh_simulations(bank: Bank) -> None:
    data = fitting_data.Streamed(series, bi.Stream(bank, reuse=2, fresh=0.75), 0.1)
    settings = data.settings(None, None, 32, 1, bi.Optimization())
    # Eight of each batch are stored, of 864 in all.
    assert settings.steps == 2 * 864 // 8


def test_methods_tell_what_is_stored_and_what_is_new(bank: Bank) -> None:
    told = {
        0.0: "from 864 stored ones",
        0.25: "8 of each step new and the others from 864 stored ones",
    }
    for share, source in told.items():
        posterior = train(bi.Stream(bank, fresh=share), steps=2)
        assert f"2 steps of 32 simulations, {source}, to" in bi.diagnosis.methods_text(posterior)


def test_a_mixture_finds_the_posterior(tmp_path: Path) -> None:
    """Exact loss of the linear toy from few simulations: these alone would be learned by heart."""
    from bayesinn.simulators.linear import entropy

    linear = bi.get_simulator("linear")
    bank = bi.simulate_bank(linear, 100, tmp_path, seed=1, progress=False)
    fresh = linear.sample(4_000, seed=7)
    losses = []
    for share in (0.0, 0.75):
        posterior = bi.AmortizedPosterior(linear, flow=small_flow())
        stream = bi.Stream(bank, fresh=share)
        posterior.fit(stream, steps=800, batch_size=64, validation=0, seed=1, progress=False)
        density = posterior.log_prob(
            {name: fresh[name] for name in ("x1", "x2")}, {"y": fresh["y"]}
        )
        losses.append(-density.mean() - entropy())
    assert losses[1] < 0.1 < losses[0]


def test_what_can_not_be_is_refused(bank: Bank, begun: Bank) -> None:
    with pytest.raises(BankError, match="12 of 15 chunks unfinished"):
        train(bi.Stream(begun), steps=4)
    with pytest.raises(InputError, match=r"leaves both parts some of the 2 in a batch"):
        train(bi.Stream(bank, fresh=0.1), steps=4, batch_size=2)
    for wrong in ({"reuse": 0}, {"fresh": 1.0}, {"fresh": -0.1}):
        with pytest.raises(InputError, match=f"'{next(iter(wrong))}'"):
            bi.Stream(bank, **wrong)
    with pytest.raises(InputError, match="a Bank"):
        bi.Stream(bank.read())


def test_ctrl_c_while_it_waits(begun: Bank, tmp_path: Path) -> None:
    """Which compiled code does: Python alone would not wake up before the chunk exists."""
    code = """
import signal, sys
import bayesinn as bi
from bayesinn.estimators import streaming
from tests.training.test_streaming import train
# Shells let programs in the background ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
streaming.PILOT_SIMULATIONS = 64
train(bi.Stream(bi.open_bank(sys.argv[1]), reuse=1), progress=True)
"""
    command = [sys.executable, "-u", "-c", code, begun.location]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said = next(line for line in process.stdout if "waiting for chunk" in line)
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert f"bayesinn simulate NAME --n 960 --out '{begun.location}' --seed 1" in said
    assert "KeyboardInterrupt" in errors


def test_batches_of_black_boxes_are_compiled_with_the_default_flow() -> None:
    # Its equal blocks are a loop, whose gradient XLA compiles only for batches of known size.
    @bi.simulator(
        prior={"mean": tfp.distributions.MultivariateNormalDiag([0.0, 0.0])}, engine="python"
    )
    def black_box(parameters: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        return {"x": generator.normal(parameters["mean"], size=2)}

    posterior = bi.AmortizedPosterior(black_box)
    posterior.fit(steps=2, batch_size=8, progress=False, optimization=bi.Optimization(xla=True))
    assert posterior.steps_done == 2
    assert np.isfinite(posterior.history["loss"]).all()
