"""Whether a training is finished: by its losses, and by how few steps there was time for."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.training.train import what_is_missing

tfd = tfp.distributions


def losses(left: float, seed: int, epochs: int = 50, annealing: float = 0.3, noise: float = 0.02):
    """Return rows of a training with ``left`` nats to gain, by a rate that falls along a cosine.

    ``annealing`` is the noise of large steps, in nats.
    """
    places = np.arange(1, epochs + 1) / epochs
    rate = 0.5 * (1.0 + np.cos(np.pi * places))
    path = np.cumsum(rate)
    # As power laws have it, with another exponent than is assumed.
    loss = 2.0 + left * (path[-1] / path) ** 0.7 + annealing * rate
    loss += noise * np.random.default_rng(seed).normal(size=epochs)
    return [
        {"step": 20 * (k + 1), "loss": loss[k], "val_loss": None, "learning_rate": rate[k]}
        for k in range(epochs)
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("annealing", [0.0, 0.3])
def test_the_end_of_the_schedule_does_not_hide_what_is_left(seed: int, annealing: float) -> None:
    """Losses of the last fifth are flat in each: by their slope, none could be told."""
    assert what_is_missing(losses(0.01, seed, annealing=annealing), 0.1) == ""
    text = what_is_missing(losses(0.5, seed, annealing=annealing), 0.1)
    assert "the loss still fell after 1,000 steps" in text
    assert "minutes more are needed" in text


def test_what_may_be_left_grows_with_the_numbers_of_an_event() -> None:
    """A quarter of a nat is much of one number, and little of ten: 0.05 of each are allowed."""
    rows = losses(0.5, 1)
    assert "the loss still fell" in what_is_missing(rows, 0.1, numbers=1)
    assert what_is_missing(rows, 0.1, numbers=10) == ""
    prior = {"mean": tfd.MultivariateNormalDiag([0.0, 0.0], [1.0, 1.0]), "sd": tfd.HalfNormal(1.0)}
    model = bi.from_arrays(prior, {"y": (4,)})
    for estimator, numbers in ((bi.AmortizedPosterior, 3), (bi.PointEstimator, 1)):
        drawn = np.random.default_rng(1).random((8, 7))
        rows = {"mean": drawn[:, :2], "sd": drawn[:, 2], "y": drawn[:, 3:]}
        trained = estimator(model).trainable(rows, seed=1)
        trained.initialize(rows, seed=1)
        assert trained.numbers == numbers


@pytest.mark.parametrize(
    "rows",
    [
        [],
        losses(0.5, 1)[:8],
        [{**row, "loss": float("nan")} for row in losses(0.5, 1)],
        # Overfitting: the validation loss rises, whatever the loss does.
        [{**row, "val_loss": 2.0 + 1e-4 * row["step"]} for row in losses(0.5, 1)],
        [{**row, "learning_rate": 0.0} for row in losses(0.5, 1)],
    ],
)
def test_what_can_not_be_told_is_not_said(rows) -> None:
    assert what_is_missing(rows, 0.1) == ""


def test_a_constant_learning_rate() -> None:
    rows = [{**row, "learning_rate": 1e-3} for row in losses(0.01, 1, annealing=0.0)]
    assert what_is_missing(rows, 0.1) == ""
    for place, row in enumerate(rows):
        row["loss"] = 2.0 + 25.0 / (place + 1)
    assert "by about 0.25 in as many steps more" in what_is_missing(rows, 0.1)


def test_few_steps_are_too_few_where_time_ended_them() -> None:
    rows = [{**row, "step": 9 * (place + 1)} for place, row in enumerate(losses(0.5, 1)[:1])]
    assert "after 9 steps, too few" in what_is_missing(rows, 30.0, cut=True)
    assert what_is_missing(rows, 30.0) == ""


@pytest.mark.parametrize("seed", [1, *(pytest.param(k, marks=pytest.mark.slow) for k in (2, 3))])
def test_a_training_cut_at_a_tenth_says_so_everywhere(seed: int, tmp_path) -> None:
    """Ten means, each seen once: 60 steps are a tenth of what this small network takes."""
    flow = bi.flows.coupling(blocks=2, hidden=(16,))
    model = bi.get_simulator("gaussian_linear")
    options = {"batch_size": 64, "seed": seed, "progress": False}
    finished = bi.AmortizedPosterior(model, flow=flow).fit(steps=600, **options)
    assert finished.unfinished == ""
    with pytest.warns(UserWarning, match="not finished: the loss still fell after 60 steps"):
        cut = bi.AmortizedPosterior(model, flow=flow).fit(steps=60, **options)
    if seed > 1:
        return  # once is enough for what follows
    cut.save(tmp_path / "cut")
    cut = bi.load(tmp_path / "cut")
    with pytest.warns(UserWarning, match="not finished"):
        cut.infer({"x": np.zeros(10)}, draws=10)
    for told in (cut, bi.Ensemble([finished, cut])):
        diagnosis = bi.diagnose(told, simulations=100, draws=20, seed=1, progress=False)
        assert "Training is not finished" in diagnosis.text
        assert any("not finished" in entry for entry in diagnosis.doubtful)
        assert diagnosis.actions[0] == "Train for longer: the loss still falls."
