"""Simulations that are drawn before the first step, and what is computed once for each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf

import bayesinn as bi
from bayesinn.bijections import ActNorm, Chain, Coupling
from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.estimators import fitting_data
from bayesinn.flows import Framed, InvertibleFlow
from bayesinn.simulators.fisher_scoring import FisherScoring
from bayesinn.simulators.linear import linear
from bayesinn.summaries import Summary
from bayesinn.training import sources as array_source
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import ArraySource
from bayesinn.training.train import precomputed
from bayesinn.training.trainable import Trainable
from tests.helpers.fitting import equal, fit
from tests.simulators.test_scoring import linear as fitted_line
from tests.simulators.working_models import Linear, scoring, tfd


def settings(steps: int, batch_size: int, passes: int) -> TrainingSettings:
    return TrainingSettings(steps, 3, batch_size, 1, 1e-3, 1.0, 0.999, None, "auto", passes)


def fit_line(**options: Any) -> bi.AmortizedPosterior:
    """Trained with a summary that fits a working model."""
    flow = Framed(InvertibleFlow(Chain([ActNorm(), Coupling(hidden=(8,))])))
    posterior = bi.AmortizedPosterior(fitted_line, scoring(Linear()), flow)
    return posterior.fit(**{"steps": 24, "batch_size": 32, "seed": 1, "progress": False, **options})


class First(keras.callbacks.Callback):
    """Records the initial estimate that training began with."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        summary = self.model.problem.network.summaries["x"]
        self.first = [
            variable.numpy() for variable in (*summary.first.variables, *summary.head.variables)
        ]


@pytest.mark.parametrize(
    ("steps", "passes", "simulations"), [(12, 4, 24), (10, 4, 24), (3, 1, 24), (2, 5, 8)]
)
def test_each_simulation_is_used_as_often(steps: int, passes: int, simulations: int) -> None:
    length = settings(steps, 8, passes)
    assert length.simulations == simulations
    rows = [
        rows
        for step, rows in ArraySource({"x": np.zeros(simulations)}, length)
        .elements(0)
        .as_numpy_iterator()
        if step >= 0
    ]
    times = np.bincount(np.concatenate(rows), minlength=simulations)
    # The last pass may end early.
    assert times.sum() == 8 * steps
    assert times.max() - times.min() <= (1 if steps % (simulations // 8) else 0)
    assert len({tuple(row) for row in rows}) == len(rows) or simulations == 8


def test_a_simulator_in_workers_is_asked_no_more_often() -> None:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, engine="python")
    def counted(parameters: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        return {"x": generator.normal(parameters["mean"], size=2)}

    means: list[np.ndarray] = []
    look = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: means.append(look.model.source._arrays["mean"].numpy())
    )
    posterior = fit(counted, steps=10, optimization=bi.Optimization(passes=5, callbacks=[look]))
    assert len(np.unique(means[0])) == 2 * 32
    assert len(look.model.source._arrays["mean"].numpy()) == 0
    assert posterior.training["settings"]["passes"] == 5


def test_it_is_another_training_that_learns_as_much() -> None:
    fresh, stored = (
        fit(steps=1_000, batch_size=64, optimization=bi.Optimization(passes=passes))
        for passes in (0, 2)
    )
    assert not equal(fresh, stored)
    # For seeds 1, 2, 3: within 0.0016 nats; an untrained network is 1.1 nats worse.
    of_prior = linear.sample(4_000, seed=5)
    losses = [
        -float(one.log_prob(_of(of_prior, "x"), _of(of_prior, "y")).mean())
        for one in (fresh, stored)
    ]
    assert losses[1] == pytest.approx(losses[0], abs=0.01)


def _of(arrays: dict[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    return {name: value for name, value in arrays.items() if name.startswith(start)}


@pytest.mark.parametrize("trained", [fit, fit_line])
def test_stopped_and_resumed_gives_the_same_bits(
    trained: Callable[..., bi.AmortizedPosterior], tmp_path
) -> None:
    def stop(epoch: int, logs: dict[str, Any]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    options = {"steps": 24, "epochs": 6}
    stopping = bi.Optimization(
        passes=3, callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=stop)]
    )
    with pytest.raises(KeyboardInterrupt):
        trained(**options, optimization=stopping, checkpoint=tmp_path)
    whole = bi.Optimization(passes=3)
    resumed = trained(
        **options, optimization=whole, checkpoint=bi.Checkpoint(tmp_path, resume=True)
    )
    assert equal(resumed, trained(**options, optimization=whole))
    assert resumed.history["step"].tolist() == [4, 8, 12, 16, 20, 24]


def test_a_wrong_checkpoint_is_refused_before_simulations_are_drawn(tmp_path, monkeypatch) -> None:
    fit(optimization=bi.Optimization(passes=2), checkpoint=tmp_path)
    monkeypatch.setattr(
        fitting_data, "offline_source", lambda *_, **__: pytest.fail("simulations were drawn")
    )
    with pytest.raises(InputError, match="new or empty folder"):
        fit(optimization=bi.Optimization(passes=2), checkpoint=tmp_path)
    with pytest.raises(InputError, match="passes 2 \\(now 3\\)"):
        fit(optimization=bi.Optimization(passes=3), checkpoint=bi.Checkpoint(tmp_path, resume=True))


def test_a_run_that_has_ended_draws_nothing_again(tmp_path, monkeypatch) -> None:
    ended = fit(optimization=bi.Optimization(passes=2), checkpoint=tmp_path)
    monkeypatch.setattr(
        fitting_data, "offline_source", lambda *_, **__: pytest.fail("simulations were drawn")
    )
    assert equal(
        fit(
            optimization=bi.Optimization(passes=2), checkpoint=bi.Checkpoint(tmp_path, resume=True)
        ),
        ended,
    )


@pytest.mark.parametrize("kind", ["online", "stream"])
def test_a_run_without_stored_simulations_that_has_ended_resumes(kind: str, tmp_path) -> None:
    """Its first estimate was trained with all else."""
    bank = (
        bi.simulate_bank(fitted_line, 400, tmp_path / "bank", seed=2, progress=False)
        if kind == "stream"
        else None
    )
    data = bank and bi.Stream(bank)
    place = tmp_path / "checkpoint"
    ended = fit_line(data=data, checkpoint=place)
    assert equal(fit_line(data=data, checkpoint=bi.Checkpoint(place, resume=True)), ended)


def test_few_simulations_are_not_preceded_by_many() -> None:
    drawn: list[int] = []

    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, engine="python", workers=1)
    def slow(parameters: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        return {"x": generator.normal(parameters["mean"], size=2)}

    start = slow.engine.start
    slow.engine.start = lambda n, entropy: drawn.append(n) or start(n, entropy)
    fit(slow, steps=10, optimization=bi.Optimization(passes=5))
    assert sum(drawn) < 600 + 2 * 32


def test_simulations_that_are_no_numbers_end_it_before_the_first_step() -> None:
    @bi.simulator(prior={"rate": tfd.Normal(0.0, 1.0)})
    def broken(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"x": tf.where(parameters["rate"] > 1.9, np.nan, parameters["rate"])[:, None]}

    with pytest.raises(SimulatorError, match=r"NaN or infinity in .* with parameters \{'rate'"):
        fit(broken, steps=40, optimization=bi.Optimization(passes=2))


def test_errors_of_workers_are_the_users_own() -> None:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, engine="python")
    def failing(parameters: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        if parameters["mean"] > 1.9:
            raise ZeroDivisionError("a mean above 1.9")
        return {"x": generator.normal(parameters["mean"], size=2)}

    with pytest.raises(SimulatorError, match=r"a mean above 1\.9"):
        fit(failing, steps=100, optimization=bi.Optimization(passes=2))


def test_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    fit_line(optimization=bi.Optimization(passes=3), progress=True)
    said = capsys.readouterr().out
    for words in (
        "256 simulations, drawn first, 3 passes through them",
        "Training the initial estimate (1 of 2)",
        "preparing: 256 of 256 simulations",
        "training: 24 of 24 steps",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("passes", "data", "traces"), [(3, None, 1), (None, fitted_line.sample(1_600, seed=2), 2)]
)
def test_fits_are_made_once_from_an_estimate_that_was_trained_before(
    passes, data, traces: int, monkeypatch
) -> None:
    made: list[int] = []
    improve = FisherScoring.improve
    monkeypatch.setattr(
        FisherScoring,
        "improve",
        lambda self, values, *rest: made.append(values.shape[0]) or improve(self, values, *rest),
    )
    begin = First()
    # A decay of weights moves all that are trained.
    posterior = fit_line(
        steps=1_200,
        data=data,
        optimization=bi.Optimization(
            keras.optimizers.AdamW(1e-3, weight_decay=0.1), callbacks=[begin], passes=passes
        ),
    )
    summary = posterior.model.network.summaries["x"]
    # Kept fixed for good: what was computed once belongs to these weights.
    assert not summary.first.trainable
    assert not summary.head.trainable
    after = [variable.numpy() for variable in (*summary.first.variables, *summary.head.variables)]
    for before, value in zip(begin.first, after, strict=True):
        np.testing.assert_array_equal(value, before)
    # Mean square distance for seeds 1, 2, 3: 1.41 to 1.48; that of the prior's centre is 2.
    arrays = fitted_line.sample(1_000, seed=3)
    learner = posterior.model
    truth, _ = learner.parameters.to_vector({name: arrays[name] for name in ("slope", "level")})
    start = summary.estimate(learner.data.to_network(arrays)[0]["x"])
    assert float(tf.reduce_mean(tf.reduce_sum((start - truth) ** 2, axis=-1))) < 1.7
    # Traced before the first step, for simulations and for those that are held out; never in a
    # step.
    assert made.count(32) == traces


def test_what_was_precomputed_is_what_would_be_computed() -> None:
    learner = fit_line(optimization=bi.Optimization(passes=2)).model
    batch = fitted_line.sample(20, seed=4)
    inputs, masks = learner.data.to_network(batch)
    known = learner.network.precompute(inputs)
    assert known["x"]["triangle"].shape == (20, 3)
    # Rounding errors for seeds 1, 2, 3: at most 4.5e-5.
    stored, fresh = (
        learner.network.condition(inputs, masks, precomputed=values) for values in (known, None)
    )
    for name, value in stored.items():
        np.testing.assert_allclose(value, fresh[name], atol=2e-4)


class Doubles(Trainable):
    """Computes twice a number."""

    initialize = loss = None

    def precompute(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"known": 2.0 * batch["x"]}


def test_what_is_precomputed_belongs_to_its_row() -> None:
    x = np.arange(31, dtype=np.float32)
    # The last batch is filled up.
    arrays, _ = precomputed(Doubles(), {"x": x}, batch_size=3)
    np.testing.assert_array_equal(arrays["x"], x)
    np.testing.assert_array_equal(arrays["known"], 2.0 * x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, bool])
def test_arrays_stay_as_they_are(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_source, "_ROWS_AT_A_TIME", 7)
    rows = np.random.default_rng(1).integers(2, size=(20, 3)).astype(dtype)
    source = ArraySource({"x": rows}, settings(5, 4, 1))
    batch, _ = source.batch((tf.constant(0), tf.constant([19, 0, 7, 13])))
    assert batch["x"].dtype == dtype
    np.testing.assert_array_equal(batch["x"], rows[[19, 0, 7, 13]])


class Slow(Summary):
    """Sees a number that takes time."""

    seen: ClassVar[list[int | None]] = []

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def precompute(self, x: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        tf.py_function(lambda: self.seen.append(x.shape[0]), [], [])
        return {"size": tf.abs(x)[:, None]}

    def call(
        self, x: tf.Tensor, mask: tf.Tensor | None = None, precomputed: Any = None
    ) -> tf.Tensor:
        size = (self.precompute(x) if precomputed is None else precomputed)["size"]
        return self.dense(tf.concat([x[:, None], size], axis=-1))


@pytest.mark.parametrize(("passes", "times"), [(0, 6), (3, 2)])
def test_a_user_s_summary_precomputes(passes: int, times: int) -> None:
    Slow.seen.clear()
    fit(steps=6, batch_size=24, summary=Slow(), optimization=bi.Optimization(passes=passes))
    # In each step, or once for each of two batches.
    assert Slow.seen.count(24) == times


def test_training_on_leaves_the_estimate_as_it_is() -> None:
    start = fit_line(optimization=bi.Optimization(passes=2))
    further = fit_line(optimization=bi.Optimization(passes=2), start_from=start)
    assert not equal(start, further)
    for name in ("first", "head"):
        one, two = (
            getattr(posterior.model.network.summaries["x"], name).get_weights()
            for posterior in (start, further)
        )
        for before, after in zip(one, two, strict=True):
            np.testing.assert_array_equal(after, before)
