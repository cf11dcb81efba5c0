"""Batches from a bank: a function of seed and step, rows once in a pass, resumed bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BankError, InputError
from bayesinn.estimators import fitting_data
from bayesinn.estimators.fitting_data import training_data
from bayesinn.simulation.bank import Bank
from bayesinn.training import sources
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import BankSource
from tests.helpers.fitting import weights
from tests.helpers.models import Normalising, series, small_flow

tfd = tfp.distributions
ROWS = 950
SIZE = 64
BATCH = 20


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> Bank:
    """15 chunks of 64 rows, the last with 54."""
    folder = tmp_path_factory.mktemp("bank") / "bank"
    return bi.simulate_bank(series, ROWS, folder, seed=1, chunk=SIZE, progress=False)


@pytest.fixture
def small_windows(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of four chunks, and a bank that counts as larger than memory."""
    monkeypatch.setattr(sources, "_WINDOW_BYTES", 4 * SIZE * bank.nbytes // bank.n)
    monkeypatch.setattr(fitting_data, "_MOST_BYTES_IN_MEMORY", bank.nbytes // 2)


def settings(
    steps: int = 100, steps_per_epoch: int = 15, seed: int = 3, batch_size: int = BATCH
) -> TrainingSettings:
    return TrainingSettings(steps, steps_per_epoch, batch_size, seed, xla=False)


def batches(source: BankSource, first_epoch: int = 0) -> list[tuple[int, dict[str, np.ndarray]]]:
    elements = source.elements(first_epoch).as_numpy_iterator()
    return [(int(step), batch) for step, batch in elements]


@pytest.mark.usefixtures("small_windows")
def test_each_row_comes_at_most_once_in_a_pass(bank: Bank) -> None:
    first = 70
    everything = bank.read()
    rows = ROWS - first
    found = {rate: row for row, rate in enumerate(everything["rate"].tolist())}
    source = BankSource(series, bank, first, settings())
    drawn = [batch for step, batch in batches(source) if step >= 0]
    assert len(drawn) == 100
    # Windows of 4, 4, 4 and 3 chunks: what is left over in each is less than a batch.
    per_pass = sum(window.batches for window in source._windows(0))
    assert (rows - 4 * BATCH) // BATCH < per_pass <= rows // BATCH
    for number in range(2):
        part = [
            found[rate]
            for batch in drawn[number * per_pass : (number + 1) * per_pass]
            for rate in batch["rate"]
        ]
        assert len(set(part)) == len(part) == BATCH * per_pass
        # Those that are held out never come.
        assert min(part) >= first
        assert part != sorted(part)
        # Nor do the rows of one chunk keep their order.
        of_a_chunk = [row for row in part if row // SIZE == 5]
        assert len(of_a_chunk) > SIZE // 2
        assert of_a_chunk != sorted(of_a_chunk)
    one, two = (
        np.stack([batch["rate"] for batch in drawn[i * per_pass : (i + 1) * per_pass]])
        for i in range(2)
    )
    assert not np.array_equal(one, two)
    # All variables of a row belong together.
    for batch in drawn[:3]:
        places = [found[rate] for rate in batch["rate"].tolist()]
        for name, value in batch.items():
            np.testing.assert_array_equal(value, everything[name][places])
            assert value.shape[0] == BATCH


@pytest.mark.usefixtures("small_windows")
def test_steps_are_numbered_as_for_other_sources(bank: Bank) -> None:
    """Also the idle ones at the end of an epoch, where calls have several steps."""
    chosen = settings(steps=160, steps_per_epoch=53)
    numbers = [step for step, _ in batches(BankSource(series, bank, 0, chosen))]
    assert -1 in numbers
    np.testing.assert_array_equal(numbers, chosen.step_numbers(0))


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("first_epoch", [1, 4, 6])
def test_a_later_start_gives_the_same_batches(bank: Bank, first_epoch: int) -> None:
    whole = batches(BankSource(series, bank, 0, settings()))
    rest = batches(BankSource(series, bank, 0, settings()), first_epoch)
    assert len(rest) == len(whole) - first_epoch * settings().padded_epoch
    for (step, batch), (other_step, other) in zip(whole[-len(rest) :], rest, strict=True):
        assert step == other_step
        if step >= 0:
            for name, value in batch.items():
                np.testing.assert_array_equal(value, other[name])


def test_the_seed_decides(bank: Bank) -> None:
    one, same, other = (
        batches(BankSource(series, bank, 0, settings(steps=5, seed=seed))) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one[2][1]["rate"], same[2][1]["rate"])
    assert not np.array_equal(one[2][1]["rate"], other[2][1]["rate"])


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("batch_size", [ROWS, 700, 65])
def test_batches_may_be_larger_than_chunks(bank: Bank, batch_size: int) -> None:
    drawn = batches(BankSource(series, bank, 0, settings(steps=4, batch_size=batch_size)))
    assert [len(batch["rate"]) for _, batch in drawn] == [batch_size] * len(drawn)
    assert len(set(drawn[0][1]["rate"].tolist())) == batch_size


def test_two_chunks_with_less_than_a_batch_each_give_one_together(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(sources, "_WINDOW_BYTES", 0)
    bank = bi.simulate_bank(
        bi.get_simulator("linear"), 84, tmp_path, seed=1, chunk=64, progress=False
    )
    source = BankSource(series, bank, 44, settings(batch_size=30))
    assert [window.batches for window in source._windows(0)] == [1]


def train(data: Bank | dict, **options) -> bi.AmortizedPosterior:
    posterior = bi.AmortizedPosterior(series, Normalising(), small_flow(dropout=0.1))
    return posterior.fit(
        data, **{"steps": 60, "batch_size": 32, "seed": 1, "progress": False, **options}
    )


class Stop(Exception):
    pass


@pytest.mark.usefixtures("small_windows")
def test_training_resumes_bit_for_bit(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train(bank)
    assert "val_loss" in expected.history
    folder = tmp_path / "checkpoint"
    with monkeypatch.context() as patch:
        patch.setattr("bayesinn.training.callbacks._SECONDS_BETWEEN_WRITES", 0.0)
        generate = BankSource._read
        calls = []

        def broken(self, *arguments):
            calls.append(arguments)
            if len(calls) == 5:
                raise Stop("the store can't be reached")
            return generate(self, *arguments)

        patch.setattr(BankSource, "_read", broken)
        with pytest.raises(Stop, match="can't be reached"):
            train(bank, checkpoint=folder)
    resumed = train(bank, checkpoint=bi.Checkpoint(folder, resume=True))
    for got, value in zip(weights(resumed), weights(expected), strict=True):
        np.testing.assert_array_equal(got, value)
    np.testing.assert_array_equal(resumed.history.to_numpy(), expected.history.to_numpy())


@pytest.mark.usefixtures("small_windows")
def test_another_bank_is_no_data_of_a_checkpoint(bank: Bank, tmp_path: Path) -> None:
    train(bank, steps=4, checkpoint=tmp_path / "checkpoint")
    other = bi.simulate_bank(series, ROWS, tmp_path / "bank", seed=2, chunk=SIZE, progress=False)
    with pytest.raises(InputError, match="a checkpoint of this very run"):
        train(other, steps=4, checkpoint=bi.Checkpoint(tmp_path / "checkpoint", resume=True))


def test_a_small_bank_is_read_into_memory(bank: Bank) -> None:
    ours = train(bank, steps=10)
    arrays = train(bank.read(), steps=10)
    for got, value in zip(weights(ours), weights(arrays), strict=True):
        np.testing.assert_array_equal(got, value)


@pytest.mark.usefixtures("small_windows")
def test_epochs_are_passes_and_the_first_rows_are_held_out(bank: Bank) -> None:
    posterior = train(bank, steps=None, epochs=2, validation=0.2)
    assert posterior.history["step"].iloc[-1] == 2 * (760 // 32)
    held_out = training_data(bank, series, 0.2, seed=9).held_out
    np.testing.assert_array_equal(held_out["rate"], bank.read()["rate"][:190])
    assert "val_loss" not in train(bank, steps=4, validation=0).history
    with pytest.raises(InputError, match="leave one out"):
        train(bank, steps=4, epochs=1)
    with pytest.raises(InputError, match="fits into memory"):
        train(bank, steps=4, validation=0.8)
    with pytest.raises(InputError, match="passes through the data"):
        train(bank, optimization=bi.Optimization(passes=2))


def test_no_more_is_held_out_than_fits_unless_asked_for(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting_data, "_MOST_BYTES_IN_MEMORY", 20 * (bank.nbytes // bank.n))
    data = training_data(bank, series, None, 1)
    assert len(data.held_out["rate"]) == 20
    with pytest.raises(InputError, match="a share that fits into memory"):
        training_data(bank, series, 0.5, 1)


def test_other_and_unfinished_banks_are_refused(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(BankError, match="those of 'series'"):
        bi.AmortizedPosterior(bi.get_simulator("linear"), flow=small_flow()).fit(
            bank, steps=4, progress=False
        )
    unfinished = bi.simulate_bank(series, 200, tmp_path, seed=1, chunk=SIZE, progress=False)
    unfinished._store.forget(1)
    with pytest.raises(BankError, match="1 of 4 chunks unfinished"):
        train(unfinished, steps=4)


@pytest.mark.usefixtures("small_windows")
def test_a_corrupt_chunk_stops_training_by_name(bank: Bank, tmp_path: Path) -> None:
    damaged = bi.simulate_bank(series, ROWS, tmp_path, seed=1, chunk=SIZE, progress=False)
    file = tmp_path / "cases" / "c" / "7" / "0"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(BankError, match="chunk 7 as it was written"):
        train(damaged, steps=60)


@pytest.mark.usefixtures("small_windows")
def test_training_from_a_bank_finds_the_posterior(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exact loss of the linear toy, from a bank that is streamed."""
    from bayesinn.simulators.linear import entropy

    linear = bi.get_simulator("linear")
    bank = bi.simulate_bank(linear, 20_000, tmp_path, seed=1, progress=False)
    monkeypatch.setattr(fitting_data, "_MOST_BYTES_IN_MEMORY", bank.nbytes // 2)
    posterior = bi.AmortizedPosterior(linear, flow=small_flow())
    posterior.fit(bank, steps=600, batch_size=128, seed=1, progress=False)
    assert posterior.history["val_loss"].min() < entropy() + 0.1
    fresh = linear.sample(2_000, seed=7)
    density = posterior.log_prob({name: fresh[name] for name in ("x1", "x2")}, {"y": fresh["y"]})
    assert abs(-density.mean() - entropy()) < 0.1
    tf.debugging.assert_all_finite(density, "density")
