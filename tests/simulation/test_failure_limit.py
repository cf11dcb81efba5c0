"""The declared limit of failures: banks, training, redraws end there, say why, lose nothing."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.diagnosis.methods import methods_text
from bayesinn.estimators import fitting_data
from bayesinn.guidance.simulator_report import pilot
from bayesinn.simulation.bank.simulate import draw_proposed
from bayesinn.simulation.identity import entries
from bayesinn.training import sources
from tests.helpers.models import small_flow
from tests.simulation.test_bank import contents, write

tfd = tfp.distributions
PRIOR = {"mean": tfd.Uniform(0.0, 1.0)}


def python_half(parameters, generator):
    if parameters["mean"] < 0.2:
        raise ArithmeticError("too small")
    return {"x": parameters["mean"] if parameters["mean"] > 0.5 else np.nan}


def graph_half(parameters, seed):
    return {"x": tf.where(parameters["mean"] > 0.5, parameters["mean"], np.nan)}


def half_fails(engine: str, limit: float | None) -> bi.Simulator:
    """Of all draws half fail, whatever the engine."""
    options = {"workers": 1} if engine == "python" else {}
    function = python_half if engine == "python" else graph_half
    declare = bi.simulator(
        prior=PRIOR,
        engine=engine,
        on_nonfinite="redraw",
        most_failures=limit,
        name="half",
        **options,
    )
    return declare(function)


def posterior(engine: str, limit: float | None) -> bi.AmortizedPosterior:
    return bi.AmortizedPosterior(half_fails(engine, limit), flow=small_flow(blocks=1, hidden=(8,)))


@pytest.mark.parametrize("kept", [1, 30, 3_000])
@pytest.mark.parametrize("limit", [0.01, 0.5])
def test_the_limit_is_where_chance_ends(kept: int, limit: float) -> None:
    """A count of failures passes unless the limit's chance of as many is below 1e-6."""
    simulator = half_fails("tensorflow", limit)
    failed = next(f for f in range(1, 10_000) if stats.binom.sf(f - 1, kept + f, limit) < 1e-6)
    simulator.check_failures(kept, failed - 1)
    with pytest.raises(SimulatorError):
        simulator.check_failures(kept, failed)


def test_without_a_limit_nothing_ends() -> None:
    half_fails("tensorflow", None).check_failures(0, 10**9)
    none = half_fails("tensorflow", 0.0)
    none.check_failures(10**9, 0)
    with pytest.raises(SimulatorError, match="at most 0 % of all draws"):
        none.check_failures(10**9, 1)


def test_a_limit_changes_neither_identity_nor_draws() -> None:
    for engine in ("python", "tensorflow"):
        free = half_fails(engine, None)
        limited = half_fails(engine, 0.9)
        assert entries(free) == entries(limited)
        drawn = free.draw(20, seed=1)
        same = limited.draw(20, seed=1)
        np.testing.assert_array_equal(drawn.observables["x"], same.observables["x"])
        assert int(drawn.failed) == int(same.failed)


@pytest.fixture
def few_pilots(monkeypatch) -> None:
    """Draw too few simulations before training for that to tell."""
    monkeypatch.setattr(fitting_data, "PILOT_SIMULATIONS", 40)


@pytest.mark.parametrize("engine", ["python", "tensorflow"])
def test_a_bank_ends_and_goes_on_with_a_higher_limit(engine: str, tmp_path) -> None:
    """Chunks of 40 draws are too few to tell, several are not; the last one is kept as well."""
    n = 800
    strict = half_fails(engine, 0.4)
    with pytest.raises(
        SimulatorError, match=r"at most 40 % of all draws to fail, as most_failures=0\.4 says"
    ) as error:
        write(tmp_path / "bank", n, strict, chunk=40)
    bank = bi.open_bank(tmp_path / "bank")
    kept = n - 40 * len(bank.missing)
    assert 40 < kept < n
    assert f"{bank.failed:,} of {bank.failed + kept:,}" in str(error.value)
    share = f"{100 * bank.failed / (bank.failed + kept):.3g} %"
    assert f"got:      {share}" in str(error.value)
    for fragment in ("simulator_report", "narrow the prior", "larger most_failures", "goes on"):
        assert fragment in str(error.value)
    if engine == "python":
        assert "called with parameters {'mean': 0." in str(error.value)
    assert f"{bank.failed:,} failed, " in repr(bank)
    # The same command ends again, and makes nothing more.
    with pytest.raises(SimulatorError, match="most_failures"):
        write(tmp_path / "bank", n, strict, chunk=40)
    assert bi.open_bank(tmp_path / "bank").missing == bank.missing
    whole = write(tmp_path / "bank", n, half_fails(engine, 0.7), chunk=40)
    write(tmp_path / "undisturbed", n, half_fails(engine, None), chunk=40)
    assert contents(tmp_path / "bank") == contents(tmp_path / "undisturbed")
    # A finished bank over the limit of a simulator is no data for it.
    whole.check_simulator(half_fails(engine, 0.7))
    with pytest.raises(SimulatorError, match="most_failures"):
        posterior(engine, 0.4).fit(whole, steps=1, batch_size=32, progress=False)


@pytest.mark.parametrize("engine", ["python", "tensorflow"])
def test_training_ends_and_resumes_with_a_higher_limit(engine: str, tmp_path, few_pilots) -> None:
    """With batches of 32, of which one is too few to tell."""
    run = {"steps": 60, "epochs": 30, "batch_size": 32, "seed": 1, "progress": False}
    strict = posterior(engine, 0.4)
    with pytest.raises(SimulatorError, match=r"most_failures=0\.4"):
        strict.fit(checkpoint=tmp_path, **run)
    assert 2 < strict.history["step"].iloc[-1] < 60
    strict = posterior(engine, 0.7)
    free = posterior(engine, None)
    strict.fit(checkpoint=bi.Checkpoint(tmp_path, resume=True), **run)
    free.fit(**run)
    assert strict.history["loss"].tolist() == free.history["loss"].tolist()
    assert strict.training["failed_simulations"] == free.training["failed_simulations"]


def test_simulations_that_are_drawn_first_are_kept(tmp_path, few_pilots, monkeypatch) -> None:
    monkeypatch.setattr("bayesinn.simulation.engines.kept._WORTH_KEEPING", 0.0)
    run = {
        "steps": 60,
        "batch_size": 32,
        "seed": 1,
        "progress": False,
        "optimization": bi.Optimization(passes=2),
    }
    with pytest.raises(SimulatorError, match=r"most_failures=0\.4"):
        posterior("python", 0.4).fit(checkpoint=tmp_path, **run)
    assert list(tmp_path.glob("simulated-*/*.npz"))
    resumed = posterior("python", 0.7)
    free = posterior("python", None)
    resumed.fit(checkpoint=bi.Checkpoint(tmp_path, resume=True), **run)
    free.fit(**run)
    assert resumed.history["loss"].tolist() == free.history["loss"].tolist()


@pytest.mark.parametrize("reuse", [None, 1])
def test_a_mixture_is_judged_by_what_its_steps_draw(tmp_path, reuse: int | None) -> None:
    """Not by the failures of a bank, which are many more."""
    bank = write(tmp_path / "bank", 2_000, half_fails("tensorflow", None), chunk=500)
    run = {"steps": 20, "batch_size": 32, "seed": 1, "progress": False}
    data = bi.Stream(bank, reuse=reuse, fresh=0.25)
    trained = posterior("tensorflow", 0.7).fit(data, **run)
    assert bank.failed < trained.training["failed_simulations"] < bank.failed + 20 * 32


def test_failures_of_a_bank_are_told_however_it_is_read(tmp_path) -> None:
    bank = write(tmp_path / "bank", 2_000, half_fails("tensorflow", None), chunk=500)
    assert bank.failed > 1_000
    for data in (bank, bi.Stream(bank), bi.Stream(bank, reuse=1)):
        trained = posterior("tensorflow", None).fit(data, steps=5, seed=1, progress=False)
        assert trained.training["failed_simulations"] == bank.failed
        assert trained.history["failed_simulations"].eq(bank.failed).all()
        assert f"{bank.failed:,} simulations failed." in methods_text(trained)


def test_failures_in_a_growing_bank_count_when_a_step_uses_them(tmp_path, monkeypatch) -> None:
    """In windows of two chunks; the run that goes on, and the one that had ended, count alike."""
    monkeypatch.setattr(fitting_data, "PILOT_SIMULATIONS", 64)
    monkeypatch.setattr(sources, "_WINDOW_BYTES", 0)
    monkeypatch.setattr("bayesinn.training.callbacks._SECONDS_BETWEEN_WRITES", 0.0)
    bank = write(tmp_path / "bank", 960, half_fails("tensorflow", None), chunk=64)
    data = bi.Stream(bank, reuse=1)
    run = {"steps": 27, "batch_size": 32, "seed": 1, "progress": False}
    whole = posterior("tensorflow", None).fit(data, **run)
    counts = whole.history["failed_simulations"].tolist()
    # The first chunk is held out, the next two are in the first window.
    first = sum(bank.failed_in(chunk) for chunk in range(3))
    assert counts[0] == first
    assert counts == sorted(counts)
    assert counts[-1] == whole.training["failed_simulations"] == bank.failed

    def interrupt(epoch, logs=None):
        if epoch == 8:
            raise KeyboardInterrupt

    ends = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    stopped = posterior("tensorflow", None)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(
            data,
            checkpoint=tmp_path / "run",
            optimization=bi.Optimization(callbacks=[ends]),
            **run,
        )
    assert stopped.training["failed_simulations"] < bank.failed
    for _ in range(2):
        resumed = posterior("tensorflow", None)
        checkpoint = bi.Checkpoint(tmp_path / "run", resume=True)
        resumed.fit(data, checkpoint=checkpoint, **run)
        assert resumed.history["failed_simulations"].tolist() == counts
        assert resumed.training["failed_simulations"] == bank.failed


def test_redraws_end_early_where_nearly_all_fail() -> None:
    """By far before a hundred redraws, and with the reason of a failure."""

    def hopeless(parameters, generator):
        return {"x": parameters["mean"] if parameters["mean"] > 0.97 else 1 / 0}

    with pytest.raises(
        SimulatorError, match=r"ZeroDivisionError.*called with .*default_rng"
    ) as error:
        bi.simulator(
            prior=PRIOR, engine="python", workers=1, on_nonfinite="redraw", most_failures=0.5
        )(hopeless)
    assert int(re.search(r"of (\d+); the last", str(error.value))[1]) < 50


def test_draws_and_proposals_end_at_it() -> None:
    for engine in ("python", "tensorflow"):
        strict = half_fails(engine, 0.3)
        for run in (
            lambda strict=strict: strict.sample(400, seed=1),
            lambda strict=strict: draw_proposed(
                strict,
                lambda n, attempt: {"mean": np.linspace(0.0, 1.0, n, dtype=np.float32)},
                {},
                400,
                1,
            ),
        ):
            with pytest.raises(SimulatorError, match=r"most_failures=0\.3"):
                run()


def test_the_simulator_report_looks_at_all_of_them() -> None:
    drawn, _ = pilot.draw(half_fails("python", 0.01), 100, seed=1, batch_size=32)
    assert 20 < drawn.drawn.failed < 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"most_failures": 1.0, "on_nonfinite": "redraw"}, "(?s)'most_failures'.*below 1"),
        ({"most_failures": "half", "on_nonfinite": "redraw"}, "(?s)'most_failures'.*a number"),
        ({"most_failures": 0.5}, "(?s)'on_nonfinite'.*the first failure ends a run"),
    ],
)
def test_a_limit_that_is_none_is_refused(options, message: str) -> None:
    with pytest.raises((InputError, SimulatorError), match=message):
        bi.simulator(prior=PRIOR, **options)(graph_half)
