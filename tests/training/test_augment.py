"""Stored simulations that a function changes in each step: new noise, shifts and masks."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError, TrainingError
from bayesinn.estimators import fitting_data
from bayesinn.training.settings import TrainingSettings
from bayesinn.training.sources import ArraySource, Augmentation, Augmented
from tests.helpers.fitting import fit, weights

tfd = tfp.distributions
ROWS = 80


def signal(parameters, seed):
    return {"x": tf.repeat(parameters["mean"][:, None], 4, axis=1)}


PRIOR = {"mean": tfd.Normal(0.0, 1.0)}
clean = bi.simulator(prior=PRIOR)(signal)
incomplete = bi.simulator(prior=PRIOR, missing="mask")(signal)


def noisy(data, seed, scale=0.5):
    return {"x": data["x"] + scale * tf.random.stateless_normal(tf.shape(data["x"]), seed)}


def louder(data, seed):
    return noisy(data, seed, 0.6)


def masked(data, seed):
    lost = tf.random.stateless_uniform(tf.shape(data["x"]), seed) < 0.3
    return {"x": tf.where(lost, np.nan, data["x"])}


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return clean.sample(ROWS, seed=5)


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C after the second epoch."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def train(data, augment=noisy, simulator=clean, **options):
    options = {"epochs": 4, "steps": None, "batch_size": 16, **options}
    return fit(simulator, data=data, augment=augment, **options)


def test_each_step_differs_and_follows_from_seed_and_step(arrays) -> None:
    def batches(seed: int = 1, first_epoch: int = 0) -> dict[int, np.ndarray]:
        settings = TrainingSettings(4, 2, ROWS, seed)
        source = Augmented(ArraySource(arrays, settings), Augmentation(noisy), settings)
        found = {}
        for element in source.elements(first_epoch):
            batch, _ = source.batch(element)
            # All rows, in the order of their parameters, less what the simulator gave.
            if int(element[0]) >= 0:
                order = np.argsort(batch["mean"])
                noise = batch["x"].numpy() - batch["mean"].numpy()[:, None]
                found[int(element[0])] = noise[order]
        return found

    found = batches()
    assert list(found) == [0, 1, 2, 3]
    assert len({value.tobytes() for value in found.values()}) == 4
    assert np.concatenate(list(found.values())).std() == pytest.approx(0.5, rel=0.1)
    later = batches(first_epoch=1)
    np.testing.assert_array_equal([later[2], later[3]], [found[2], found[3]])
    assert not np.array_equal(batches(seed=2)[0], found[0])


@pytest.mark.parametrize("kind", ["arrays", "streamed bank"])
def test_a_resumed_run_has_the_same_bits(kind, arrays, tmp_path, monkeypatch) -> None:
    data = arrays
    if kind != "arrays":
        data = bi.simulate_bank(clean, ROWS, tmp_path / "bank", seed=5, chunk=20, progress=False)
    if kind == "streamed bank":
        monkeypatch.setattr(fitting_data, "_MOST_BYTES_IN_MEMORY", data.nbytes // 2)
    whole = train(data)
    assert whole.training["augment"]["function"] == "noisy"
    folder = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(data, checkpoint=folder, callbacks=[Interrupt()])
    with pytest.raises(InputError, match=r"augment .*'noisy'.*now .*'louder'"):
        train(data, louder, checkpoint=folder, resume=True)
    with pytest.raises(InputError, match=r"augment .*now None"):
        train(data, None, checkpoint=folder, resume=True)
    resumed = train(data, checkpoint=folder, resume=True)
    assert resumed.history.equals(whole.history)
    for one, other in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_validation_rows_and_scalings_are_changed_once(arrays) -> None:
    still = keras.optimizers.SGD(0.0)
    start = train(arrays, epochs=40)
    frozen, other = (
        train(arrays, augment, start_from=start, optimizer=still) for augment in (noisy, louder)
    )
    # The moving average of equal weights is rounded.
    assert np.ptp(frozen.history["val_loss"]) < 1e-5
    assert np.ptp(frozen.history["loss"]) > 1e-2
    assert abs(frozen.history["val_loss"][0] - other.history["val_loss"][0]) > 1e-2
    # The noise adds to the variance of data, which is about 1.
    scale = start.model.arrays()["data/x/scale"]
    assert scale == pytest.approx(np.hypot(arrays["x"].std(axis=0), 0.5), rel=0.1)


def test_masks_are_missing_values(arrays) -> None:
    assert np.isfinite(train(arrays, masked, incomplete).history["val_loss"]).all()


def test_rows_are_changed_for_scalings_as_in_training() -> None:
    rows = {"x": np.zeros((3_000, 2), np.float32)}
    changed = Augmentation(noisy).apply(rows, seed=1)["x"]
    # Each part that is changed at once has a seed of its own.
    assert not np.array_equal(changed[:1_024], changed[1_024:2_048])
    assert changed.std() == pytest.approx(0.5, rel=0.05)
    assert Augmentation(noisy).record(rows, 1)["x"][1] == pytest.approx(changed.std(), rel=1e-2)


@pytest.mark.parametrize(
    ("augment", "text"),
    [
        (0.5, "a function of .data, seed."),
        (lambda data, seed: data["x"], "a dict of some of"),
        (lambda data, seed: {"y": data["x"]}, "'y'.*data.'x'. . noise"),
        (lambda data, seed: {"x": data["x"][:, :2]}, r"float32 of shape \(n, 2\).*simulator"),
        (lambda data, seed: {"x": tf.cast(data["x"], tf.float64)}, r"tf.cast\(value, tf.float32\)"),
        (lambda data, seed: {"x": data["x"][:3]}, "as it was"),
        (
            lambda data, seed: {"x": data["x"] + np.random.default_rng().normal()},
            "stateless_normal",
        ),
        (lambda data, seed: {"x": data["x"] if data["x"][0, 0] > 0 else -data["x"]}, "tf.where"),
        (lambda data, seed: {"x": data["x"] / 0.0 * np.inf}, "finite"),
    ],
)
def test_what_it_returns_is_refused_in_words(augment, text, arrays) -> None:
    with pytest.raises(InputError, match=f"(?s)augment.*{text}"):
        train(arrays, augment)


def test_an_online_simulator_is_refused_and_a_seed_without_use_warned_of(arrays) -> None:
    with pytest.raises(InputError, match=r"(?s)augment.*online.*simulator.sample\(n, seed\)"):
        train(None, steps=2, epochs=None)
    with pytest.warns(UserWarning, match="the same for each seed"):
        train(arrays, lambda data, seed: {"x": data["x"] + 1.0})


def test_a_loss_that_is_not_finite_points_to_the_function(arrays) -> None:
    def rare(data, seed):
        # Not in the few calls before training.
        high = tf.random.stateless_uniform((), seed) > 0.05
        return {"x": tf.where(high, noisy(data, seed)["x"], np.nan)}

    with pytest.raises(TrainingError, match="'augment' returns finite values"):
        train(arrays, rare, epochs=40)
