"""Every option of fit changes something, and each changes what it says."""

from __future__ import annotations

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError, TrainingError
from bayesinn.simulators.linear import linear
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.train import _optimizer
from tests.helpers.fitting import arranged, equal, fit, weights
from tests.helpers.models import small_flow

tfd = tfp.distributions


@pytest.fixture(scope="module")
def base() -> bi.AmortizedPosterior:
    """What the variations below are compared with."""
    return fit()


ONLINE = {
    "steps": {"steps": 11},
    "batch_size": {"batch_size": 33},
    "seed": {"seed": 2},
    "learning_rate": {"learning_rate": 1e-2},
    "passes": {"passes": 2},
    "xla": {"xla": True},  # XLA's random numbers are others
    "optimizer": {"optimizer": keras.optimizers.SGD(1e-3)},
}


@pytest.mark.slow
@pytest.mark.parametrize("option", ONLINE)
def test_every_option_changes_the_weights(base, option: str) -> None:
    assert not equal(base, fit(**ONLINE[option]))


def test_epochs_are_reports_online() -> None:
    posterior = fit(steps=10, epochs=3)
    assert posterior.history["step"].tolist() == [4, 8, 10]
    with pytest.raises(InputError, match="steps, which say how long to train online"):
        fit(steps=None, epochs=3)


def test_average_of_weights_is_what_the_posterior_uses() -> None:
    """With SGD, without warm-up, the average lags behind the last weights by a known amount."""
    last = fit(
        optimization=bi.Optimization(average=0.0, optimizer=keras.optimizers.SGD(1e-3)), steps=1
    )
    initial = fit(
        optimization=bi.Optimization(average=0.0, optimizer=keras.optimizers.SGD(0.0)), steps=1
    )
    averaged = fit(
        optimization=bi.Optimization(average=0.999, optimizer=keras.optimizers.SGD(1e-3)), steps=1
    )
    for start, end, mean in zip(weights(initial), weights(last), weights(averaged), strict=True):
        # The first step's decay is min(average, 1 / 10).
        np.testing.assert_allclose(mean, 0.1 * start + 0.9 * end, atol=1e-6)
    assert not equal(last, initial)


def test_the_learning_rate_warms_up_and_fades() -> None:
    settings = TrainingSettings(1_000, 20, 32, 1, learning_rate=1e-2)
    schedule = _optimizer(None, settings)._learning_rate
    rates = [float(schedule(step)) for step in (0, 25, 50, 525, 1_000)]
    # Linear from a hundredth over 5 % of the steps, then a cosine: half of it in the middle.
    np.testing.assert_allclose(rates, [1e-4, 5.05e-3, 1e-2, 5e-3, 0.0], atol=1e-6)


def test_gradients_are_clipped_by_their_global_norm() -> None:
    steps = [
        np.concatenate([np.ravel(value) for value in weights(fit(average=0.0, steps=1, **options))])
        for options in (
            {"optimizer": keras.optimizers.SGD(0.0)},
            {"optimizer": keras.optimizers.SGD(1.0), "clip_norm": 1e-2},
        )
    ]
    assert np.linalg.norm(steps[1] - steps[0]) == pytest.approx(1e-2, rel=1e-3)


def test_smaller_gradients_are_left_as_they_are() -> None:
    wide, wider = (
        fit(average=0.0, steps=1, optimizer=keras.optimizers.SGD(1.0), clip_norm=norm)
        for norm in (1e3, 1e4)
    )
    still = fit(average=0.0, steps=1, optimizer=keras.optimizers.SGD(0.0))
    assert equal(wide, wider)
    assert not equal(wide, still)


def test_xla(capsys: pytest.CaptureFixture[str]) -> None:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})
    def counts(parameters, seed):
        # Has no XLA kernel.
        return {"x": tfd.NegativeBinomial(2.0, parameters["mean"]).sample(seed=seed)}

    fit(counts, progress=True, steps=1_000)
    assert "note" not in capsys.readouterr().out
    with pytest.raises(TrainingError, match="'counts' with xla=True") as error:
        fit(counts, optimization=bi.Optimization(xla=True))
    assert "xla='auto'" in str(error.value)


def test_a_network_that_xla_cannot_compile(capsys: pytest.CaptureFixture[str]) -> None:
    class Noisy(bi.summaries.Identity):
        def call(self, x, mask=None):
            x = tf.reshape(x, (-1, 1))
            return x + 0.0 * tf.random.stateless_poisson(tf.shape(x), [1, 2], x**2, tf.float32)

    fit(summary=Noisy(), progress=True, steps=1_000)
    assert "note: The training step runs in the plain graph" in capsys.readouterr().out
    with pytest.raises(TrainingError, match="The training step with xla=True"):
        fit(summary=Noisy(), xla=True)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"patience": 3}, "'patience'"),
        ({"validation": 0.2}, "'validation'"),
        ({"data": linear.sample(20, seed=1), "validation": 0, "patience": 3}, "'patience'"),
        ({"data": linear.sample(20, seed=1), "passes": 2}, "'passes'"),
        ({"passes": -1}, "'passes'"),
        ({"passes": 2.5}, "'passes'"),
        ({"data": linear.sample(20, seed=1), "steps": 2, "epochs": 2}, "'steps' and 'epochs'"),
        ({"optimizer": keras.optimizers.SGD(1e-3), "learning_rate": 1e-2}, "'learning_rate'"),
        ({"optimizer": keras.optimizers.SGD(1e-3), "weight_decay": 0.0}, "'weight_decay'"),
    ],
)
def test_options_that_would_be_ignored_are_refused(options: dict, name: str) -> None:
    with pytest.raises(InputError, match=name):
        bi.AmortizedPosterior(linear).fit(**arranged(progress=False, **options))


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(1e-3, loss_scale_factor=1024.0),
        keras.optimizers.SGD(1e-3, gradient_accumulation_steps=4),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3)),
    ],
)
def test_optimizers_that_scale_or_accumulate_are_refused(optimizer) -> None:
    with pytest.raises(InputError, match="neither scales losses nor accumulates"):
        bi.Optimization(optimizer=optimizer)


def excluding() -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.AdamW(1e-3)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


@pytest.mark.parametrize(
    "optimizer", [keras.optimizers.Muon(1e-3), keras.optimizers.Lamb(1e-3), excluding()]
)
def test_optimizers_that_look_at_shapes_or_names_are_refused(optimizer) -> None:
    with pytest.raises(InputError, match="treats all weights alike"):
        bi.Optimization(optimizer=optimizer)


def test_schedules_of_a_user_need_no_registration() -> None:
    class Halved(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 1e-3 / (1.0 + tf.cast(step, tf.float32))

        def get_config(self):
            return {}

    trained = fit(optimizer=keras.optimizers.Adam(Halved()))
    assert trained.history["learning_rate"].iloc[-1] == pytest.approx(1e-3 / 11.0)


def test_the_loss_that_is_shown_is_that_of_the_kept_weights() -> None:
    trained = fit(data=linear.sample(60, seed=1), steps=None, epochs=3)
    trained.history["val_loss"] = [3.0, 1.25, 28.8]
    assert "validation loss 1.250" in repr(trained)
    assert "1.250" in trained._repr_html_()


def test_ctrl_c_while_references_are_measured_costs_nothing(monkeypatch) -> None:
    adopt = bi.AmortizedPosterior.adopt

    def interrupted(self, *arguments):
        signal.raise_signal(signal.SIGINT)
        adopt(self, *arguments)

    monkeypatch.setattr(bi.AmortizedPosterior, "adopt", interrupted)
    posterior = bi.AmortizedPosterior(linear, flow=small_flow(blocks=1, hidden=(8,)))
    with pytest.raises(KeyboardInterrupt):
        posterior.fit(steps=10, batch_size=32, seed=1, progress=False)
    assert posterior.steps_done == 10
    assert np.isfinite(posterior.sample({"y": 0.5}, draws=20, seed=1)["x1"]).all()


def test_a_start_decides_the_number_of_networks_once() -> None:
    arrays = linear.sample(300, seed=1)
    options = {"batch_size": 32, "progress": False}
    start = fit()
    posterior = bi.AmortizedPosterior(linear, flow=small_flow(blocks=1, hidden=(8,)))
    posterior.fit(arrays, epochs=1, start_from=start, **options)
    assert posterior.networks == 1
    posterior.fit(arrays, epochs=1, **options)
    assert posterior.networks == 3
