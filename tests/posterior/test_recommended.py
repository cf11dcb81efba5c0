"""What a simulator recommends is used where the user leaves something out."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.cli import training
from bayesinn.cli.training import steps_in, train_into
from bayesinn.core.errors import warn
from bayesinn.core.progress import Progress
from bayesinn.posterior.answers import finite_predictions
from bayesinn.training.train import StepClock

tfd = tfp.distributions


@pytest.fixture(scope="module")
def ruler():
    own = bi.Recommended(
        summary=bi.summaries.MLP(3, hidden=(4,)),
        flow=bi.flows.coupling(blocks=1, hidden=(8,)),
        steps=6,
        batch_size=16,
        learning_rate=1e-3,
    )

    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, recommended=own)
    def ruler(parameters, seed):
        return {
            "x": parameters["mean"][:, None]
            + tf.random.stateless_normal((tf.shape(parameters["mean"])[0], 9), seed)
        }

    return ruler


def test_networks_and_training(ruler):
    posterior = bi.AmortizedPosterior(ruler)
    assert isinstance(posterior.summaries["x"], bi.summaries.MLP)
    assert posterior.flow is ruler.recommended.flow
    posterior.fit(progress=False)
    settings = posterior.training["settings"]
    assert (settings["steps"], settings["batch_size"], settings["learning_rate"]) == (6, 16, 1e-3)


def test_point_estimators_too(ruler, monkeypatch):
    estimator = bi.PointEstimator(ruler, hidden=(8,))
    assert isinstance(estimator.summaries["x"], bi.summaries.MLP)
    estimator.fit(progress=False)
    settings = estimator.training["settings"]
    assert (settings["steps"], settings["batch_size"], settings["learning_rate"]) == (6, 16, 1e-3)
    # A network that only a posterior can train gives way to a default.
    monkeypatch.setattr(bi.summaries.MLP, "trained_first", True)
    assert isinstance(bi.PointEstimator(ruler).summaries["x"], bi.summaries.Identity)


def test_what_the_user_says_comes_first(ruler):
    posterior = bi.AmortizedPosterior(
        ruler, bi.summaries.ConvLSTM(2), bi.flows.coupling(blocks=2, hidden=(8,))
    )
    assert isinstance(posterior.summaries["x"], bi.summaries.ConvLSTM)
    posterior.fit(
        steps=4, batch_size=8, optimization=bi.Optimization(learning_rate=2e-3), progress=False
    )
    settings = posterior.training["settings"]
    assert (settings["steps"], settings["batch_size"], settings["learning_rate"]) == (4, 8, 2e-3)


def test_two_posteriors_do_not_share_weights(ruler):
    one, two = (bi.AmortizedPosterior(ruler).fit(seed=seed, progress=False) for seed in (1, 2))
    before = one.sample({"x": np.zeros(9)}, draws=5, seed=1)["mean"]
    two.fit(seed=3, progress=False)
    np.testing.assert_array_equal(one.sample({"x": np.zeros(9)}, draws=5, seed=1)["mean"], before)


def test_minutes_become_steps(ruler, monkeypatch, recwarn):
    # As though each tenth of the trial, 10 steps, took a fifth of a second.
    monkeypatch.setattr(StepClock, "seconds_per_epoch", 0.2)
    fit = bi.AmortizedPosterior.fit
    compiled = []
    monkeypatch.setattr(
        bi.AmortizedPosterior,
        "fit",
        lambda *args, **options: (
            compiled.append(options["optimization"].xla)
            or warn("Training is not finished: a trial")
            or fit(*args, **options)
        ),
    )
    recwarn.clear()
    assert steps_in(0.0001, bi.AmortizedPosterior(ruler)) == 1
    assert compiled == ["auto"]
    monkeypatch.setattr(training, "_MOST_TRACING", 1.0)
    # A run of so many steps is compiled: timed as it will be.
    assert steps_in(2.0, bi.AmortizedPosterior(ruler)) == 6_000
    assert compiled == ["auto", "auto", True]
    assert not [warning for warning in recwarn if "not finished" in str(warning.message)]
    # Where even the plain graph takes much of the time, nothing is compiled.
    monkeypatch.setattr(training, "_MOST_TRACING", 0.0)
    assert steps_in(2.0, bi.AmortizedPosterior(ruler)) == 6_000
    assert compiled == ["auto", "auto", True, "auto"]


def test_what_comes_before_the_first_step_takes_its_share_of_the_minutes(ruler, monkeypatch):
    monkeypatch.setattr(ruler, "recommended", dataclasses.replace(ruler.recommended, passes=4))
    monkeypatch.setattr(StepClock, "seconds_per_epoch", 0.2)
    monkeypatch.setattr(Progress, "seconds_each", 0.32 / 16)
    # A step takes 0.02 s, and a fourth of a batch 0.08.
    assert steps_in(2.0, bi.AmortizedPosterior(ruler)) == 1_200


@pytest.mark.parametrize(("passes", "planned"), [(None, 130), (4, 100)])
def test_of_simulations_drawn_first_there_are_none_to_spare(
    ruler, tmp_path, monkeypatch, passes, planned
):
    def note(*_, steps, **__):
        raise InterruptedError(steps)

    monkeypatch.setattr(training, "_try", lambda *_: (100, False))
    monkeypatch.setattr(bi.AmortizedPosterior, "fit", note)
    with pytest.raises(InterruptedError, match=f"^{planned}$"):
        train_into(tmp_path / "run", ruler, seed=1, minutes=2.0, passes=passes)


def test_draws_outside_a_truncated_prior_have_no_data():
    seen = {"x": np.array([1.0, np.nan])}
    data = {"x": np.array([[1.0, np.nan], [np.nan, 2.0], [3.0, 4.0]])}
    np.testing.assert_array_equal(finite_predictions(data, seen, "redraw")["x"], data["x"][[0, 2]])
    assert finite_predictions(data, seen, "raise") is None
    assert finite_predictions({"x": data["x"][1:2]}, seen, "redraw") is None
    assert finite_predictions({"x": data["x"][[0, 2]]}, seen, "raise")["x"].shape == (2, 2)


@pytest.mark.parametrize("policy", ["raise", "redraw"])
def test_missing_values_of_predictions_are_no_fault(policy):
    seen = {"x": np.array([1.0, 2.0, np.nan])}
    gaps = {"x": np.array([[1.0, np.nan, 1.0], [np.nan, 2.0, np.nan], [np.nan, np.nan, 3.0]])}
    kept = finite_predictions(gaps, seen, policy, missing=True)["x"]
    # All but the prediction without a value where something was observed.
    np.testing.assert_array_equal(kept, gaps["x"][:2])
    faulty = {"x": np.where(gaps["x"] == 3.0, 3.0, [[np.inf], [1.0], [1.0]])}
    answer = finite_predictions(faulty, seen, policy, missing=True)
    assert answer is None if policy == "raise" else len(answer["x"]) == 2


def test_predictions_of_unknown_observables_are_all_kept():
    nothing = {"x": np.array([np.nan, np.nan])}
    assert len(finite_predictions({"x": np.ones((3, 2))}, nothing, "raise")["x"]) == 3
