"""Training on arrays with fixed validation set; summaries with dropout and moving statistics."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import xarray

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.estimators.estimator import plan_fit
from bayesinn.simulators.gaussian import gaussian
from bayesinn.simulators.linear import linear
from bayesinn.training.sources import split
from tests.helpers.fitting import equal, fit
from tests.helpers.models import Dropping, Normalising, small_flow

tfd = tfp.distributions


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return linear.sample(400, seed=5)


def test_offline_keeps_a_fixed_validation_set(arrays) -> None:
    frozen = fit(
        data=arrays,
        epochs=4,
        steps=None,
        optimization=bi.Optimization(optimizer=keras.optimizers.SGD(0.0)),
    )
    assert frozen.history["val_loss"].nunique() == 1
    # Of the default optimizer alone.
    assert [frozen.training["settings"][name] for name in ("weight_decay", "learning_rate")] == [
        0.0,
        None,
    ]
    assert f"validation loss {frozen.history['val_loss'].iloc[-1]:.3f}" in repr(frozen)
    assert frozen.history["loss"].nunique() > 1 or len(arrays["y"]) % 32
    assert equal(
        frozen,
        fit(
            data=arrays,
            epochs=4,
            steps=None,
            optimization=bi.Optimization(optimizer=keras.optimizers.SGD(0.0)),
        ),
    )


def test_validation_loss_is_the_mean_over_rows_of_the_averaged_weights() -> None:
    arrays = linear.sample(2_000, seed=5)
    _, held_out = split(2_000, 0.75, seed=1)
    # More than are evaluated at once, and not twice as many.
    rows = {name: value[held_out] for name, value in arrays.items()}
    assert len(held_out) == 1_500

    def loss(average: float) -> tuple[float, np.ndarray]:
        optimization = bi.Optimization(optimizer=keras.optimizers.SGD(0.1), average=average)
        posterior = fit(
            data=arrays, validation=0.75, epochs=1, steps=None, optimization=optimization
        )
        truth = {name: rows[name] for name in ("x1", "x2")}
        return posterior.history["val_loss"].item(), -posterior.log_prob(truth, {"y": rows["y"]})

    reported, expected = loss(0.999)
    assert reported == pytest.approx(expected.mean(), abs=1e-4)
    # Neither is the mean of the means of parts, nor the loss of the last weights, as near.
    assert abs(np.mean([expected[:1024].mean(), expected[1024:].mean()]) - expected.mean()) > 1e-3
    assert abs(loss(0.0)[0] - reported) > 1e-3


def test_offline_split_is_disjoint_and_decided_by_the_seed(arrays) -> None:
    kept, held_out = split(400, 0.25, seed=1)
    assert len(held_out) == 100
    assert sorted([*kept, *held_out]) == list(range(400))
    assert not np.array_equal(held_out, split(400, 0.25, seed=2)[1])


@pytest.mark.slow
def test_offline_options(arrays) -> None:
    plain = fit(data=arrays, steps=20)
    assert equal(plain, fit(data=arrays, steps=20))
    assert not equal(plain, fit(data=arrays, steps=20, seed=2))
    assert not equal(plain, fit(data=arrays, steps=20, validation=0.5))
    own = fit(data=arrays, steps=20, validation=linear.sample(50, seed=6))
    assert own.history["val_loss"].notna().all()
    assert "val_loss" not in fit(data=arrays, steps=20, validation=0.0).history
    assert fit(data=arrays, steps=None, epochs=2).history["step"].tolist() == [11, 22]


@pytest.mark.parametrize(
    ("rows", "chosen", "expected"),
    [
        (40, {}, (2, 18, 5_000 // 18 * 18)),
        (1_000, {}, (64, 14, 300 * 14)),
        (10_000, {}, (64, 140, 35 * 140)),
        (33_000, {}, (64, 464, 10 * 464)),
        (34_000, {}, (256, 119, 42 * 119)),
        (100_000, {}, (256, 351, 30 * 351)),
        (1_000, {"batch_size": 256}, (256, 3, 300 * 3)),
        (1_000, {"steps": 20}, (64, 14, 20)),
        (1_000, {"epochs": 3}, (64, 14, 42)),
    ],
)
def test_few_simulations_are_passed_through_more_often(rows, chosen, expected) -> None:
    options = {
        **dict.fromkeys(["steps", "epochs", "batch_size", "start", "validation", "checkpoint"]),
        **chosen,
        "seed": 1,
        "augment": None,
        "optimization": bi.Optimization(),
    }
    settings = plan_fit(
        bi.AmortizedPosterior(linear), linear.sample(rows, seed=5), **options
    ).settings
    assert (settings.batch_size, settings.steps_per_epoch, settings.steps) == expected
    assert settings.patience == (None if {"steps", "epochs"} & chosen.keys() else 20)


def test_early_stopping_keeps_the_best_weights() -> None:
    """Thirty rows and a large learning rate overfit at once."""
    few = linear.sample(60, seed=5)
    options = {
        "data": few,
        "validation": linear.sample(500, seed=6),
        "batch_size": 30,
        "steps": None,
    }
    short = bi.Optimization(optimizer=keras.optimizers.Adam(2e-2), average=0.0, patience=3)
    whole = dataclasses.replace(short, patience=None)
    flow = small_flow(blocks=2, hidden=(64,))
    stopped = fit(flow=flow, epochs=200, optimization=short, **options)
    best = int(stopped.history["val_loss"].idxmin())
    assert len(stopped.history) == best + 4
    assert len(stopped.history) < 200
    assert f"trained for {2 * (best + 4)} steps" in repr(stopped)
    assert stopped.about()["Training"] == f"{2 * (best + 4)} steps of 30, seed 1"
    # Training up to the best epoch alone ends with the same weights.
    assert equal(stopped, fit(flow=flow, epochs=best + 1, optimization=whole, **options))
    final = stopped.history["val_loss"].iloc[-1]
    data = options["validation"]
    mean = -stopped.log_prob({name: data[name] for name in ("x1", "x2")}, {"y": data["y"]}).mean()
    assert mean == pytest.approx(stopped.history["val_loss"].min(), abs=1e-3)
    assert mean < final


# Summaries of users


def vector_of_one() -> bi.Simulator:
    @bi.simulator(prior={"x1": tfd.Normal(0.0, 1.0), "x2": tfd.Normal(0.0, 1.0)})
    def wide(parameters, seed):
        y = parameters["x1"] + parameters["x2"]
        return {"y": y[:, None] + tf.random.stateless_normal((tf.shape(y)[0], 2), seed)}

    return wide


def test_dropout_differs_in_training_and_is_decided_by_the_seed() -> None:
    simulator = vector_of_one()
    posterior = fit(simulator, summary=Dropping())
    assert equal(posterior, fit(simulator, summary=Dropping()))
    assert not equal(posterior, fit(simulator, summary=Dropping(share=0.0)))
    # None at inference.
    first, second = (
        posterior.sample({"y": [[1.5, 1.0]] * 3}, draws=5, seed=1)["x1"] for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    density = posterior.log_prob({"x1": [0.0] * 3, "x2": [0.0] * 3}, {"y": [[1.5, 1.0]] * 3})
    np.testing.assert_allclose(density, density[0], rtol=1e-6)


def test_moving_statistics_move() -> None:
    simulator = vector_of_one()
    posterior = fit(simulator, summary=Normalising())
    layer = posterior.model.network.summaries["y"].normalisation
    assert np.abs(layer.moving_mean.numpy()).max() > 1e-4
    assert not np.array_equal(layer.moving_variance.numpy(), np.ones(4))
    assert equal(posterior, fit(simulator, summary=Normalising()))


def test_parameters_outside_the_support_are_refused() -> None:
    @bi.simulator(prior={"share": tfd.Uniform(0.0, 1.0)})
    def noisy(parameters, seed):
        return {
            "y": parameters["share"]
            + tf.random.stateless_normal(tf.shape(parameters["share"]), seed)
        }

    rows = noisy.sample(40, seed=1)
    rows["share"] = np.where(np.arange(40) == 7, 1.5, rows["share"])
    with pytest.raises(InputError, match=r"1 of \d+ rows outside, one of them .*1\.5"):
        bi.AmortizedPosterior(noisy).fit(rows, epochs=1, progress=False)


def test_fractions_of_whole_parameters_are_refused() -> None:
    @bi.simulator(prior={"k": tfd.Poisson(4.0)})
    def noisy(parameters, seed):
        return {"y": parameters["k"] + tf.random.stateless_normal(tf.shape(parameters["k"]), seed)}

    rows = noisy.sample(40, seed=1)
    rows["k"] = np.where(np.arange(40) == 7, 2.5, rows["k"])
    with pytest.raises(InputError, match=r"1 of \d+ rows outside, one of them .*2\.5"):
        bi.AmortizedPosterior(noisy).fit(rows, epochs=1, validation=0.0, progress=False)


def test_offline_with_context() -> None:
    """Validation is traced for any number of rows, and must still know how wide the context is."""
    summary = bi.summaries.DeepSet(4, hidden=(8,), dense=(8,))
    history = fit(gaussian, summary, data=gaussian.sample(200, seed=5), steps=5).history
    assert history["val_loss"].notna().all()


def test_scalings_are_those_of_all_rows_whatever_their_order() -> None:
    data = linear.sample(9_000, seed=1)
    order = np.argsort(data["y"])
    ordered = {name: value[order] for name, value in data.items()}
    posterior = fit(data=ordered, validation=linear.sample(100, seed=2), steps=1)
    scaling = posterior.model.data.scalings["y"]
    # Of the smaller half, mean and sd would be -1.2 and 0.9.
    assert float(scaling.mean) == pytest.approx(0.0, abs=0.1)
    assert float(scaling.scale) == pytest.approx(1.5, abs=0.1)


class Calls(keras.callbacks.Callback):
    """Counts calls of many steps."""

    count = 0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.count += 1


def test_no_step_is_computed_beyond_those_asked_for() -> None:
    calls = Calls()
    data = linear.sample(10_000, seed=1)
    posterior = fit(data=data, steps=60, batch_size=10, callbacks=[calls])
    assert posterior.steps_done == 60
    # Of 50 steps at most, while a pass has 900.
    assert calls.count <= 3


def test_patience_watches_validation_data_in_any_form() -> None:
    held_out = xarray.Dataset(
        {
            name: (("n", f"{name}_axis")[: value.ndim], value)
            for name, value in linear.sample(50, seed=6).items()
        }
    )
    options = {"validation": held_out, "optimization": bi.Optimization(patience=3)}
    trained = fit(data=linear.sample(100, seed=5), batch_size=50, steps=None, epochs=2, **options)
    assert trained.history["val_loss"].notna().all()
