"""Training on data with errors, against a training without, on data with an outlier."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.summaries import Identity, Noisy, Summary

tfd = tfp.distributions


@bi.simulator(prior={"x": tfd.Normal(0.0, 1.0)})
def repeated(parameters, seed):
    """Six measurements of a number, with noise of sd 0.3."""
    x = parameters["x"][:, None]
    return {"y": x + 0.3 * tf.random.stateless_normal((tf.shape(x)[0], 6), seed)}


def fit(summary: bi.summaries.Summary, **options) -> bi.AmortizedPosterior:
    flow = bi.flows.coupling(blocks=2, hidden=(32, 32))
    options = {"steps": 1_000, "batch_size": 128, "seed": 1, "progress": False, **options}
    return bi.AmortizedPosterior(repeated, summary, flow).fit(**options)


@pytest.fixture(scope="module")
def trained() -> dict[str, bi.AmortizedPosterior]:
    return {"plain": fit(Identity()), "noisy": fit(Noisy(Identity(), share=0.2, slab=1.0))}


def test_an_outlier_does_less_harm(trained) -> None:
    rows = repeated.sample(500, seed=2)
    data = {"y": rows["y"].copy()}
    data["y"][:, 0] += 3.0
    error = {}
    score = {}
    for name, posterior in trained.items():
        draws = posterior.sample(data, draws=200, seed=3)["x"]
        error[name] = np.sqrt(np.mean((draws.mean(axis=1) - rows["x"]) ** 2))
        score[name] = np.mean(posterior.log_prob({"x": rows["x"]}, data))
    # The exact mean of the simulator's posterior moves by half a unit, four of its sds.
    assert error["plain"] > 0.4
    assert error["noisy"] < 0.6 * error["plain"]
    assert score["noisy"] > score["plain"] + 2.0
    # The price: clean data have wider posteriors.
    clean = {
        name: one.sample({"y": np.zeros(6)}, seed=4)["x"].std() for name, one in trained.items()
    }
    assert 1.0 < clean["noisy"] / clean["plain"] < 3.0


def test_errors_are_drawn_in_training_alone() -> None:
    layer = Noisy(Identity(), share=0.25, spike=0.1, slab=2.0)
    x = tf.zeros((20_000, 3))
    np.testing.assert_array_equal(layer(x), x)
    errors = layer(x, training=True).numpy()
    # Quartiles of a Cauchy distribution are its scale; nearly all spikes are below it.
    assert np.mean(np.abs(errors) > 2.0) == pytest.approx(0.125, abs=0.01)
    assert np.mean(np.abs(errors) > 0.1) == pytest.approx(0.75 * 0.317 + 0.25 * 0.968, abs=0.01)
    assert np.abs(errors).max() <= 200.0
    again = layer(x, training=True).numpy()
    assert not np.array_equal(errors, again)
    assert abs(np.corrcoef(errors[:, 0] > 0.0, errors[:, 1] > 0.0)[0, 1]) < 0.03


def test_saved_with_its_seed(tmp_path) -> None:
    first, second = (fit(Noisy(Identity()), steps=4, epochs=2) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    loaded = bi.load(first.save(tmp_path / "saved"))
    assert repr(loaded.summaries["y"]) == "Noisy(summary=Identity())"
    assert loaded.fingerprint == first.fingerprint


def test_what_it_cannot_wrap() -> None:
    with pytest.raises(InputError, match="a summary network"):
        Noisy(0.1)
    with pytest.raises(InputError, match="at most 1"):
        Noisy(Identity(), share=1.5)

    @bi.simulator(prior={"x": tfd.Normal(0.0, 1.0)}, missing="mask")
    def lossy(parameters, seed):
        return {"y": tf.tile(parameters["x"][:, None], [1, 3])}

    with pytest.raises(InputError, match="missing values"):
        bi.AmortizedPosterior(lossy, Noisy(Identity()))


def test_times_have_no_errors() -> None:
    seen = []

    class Looking(Summary):
        times = "t"

        def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
            seen.append(x)
            return x[:, 0]

    x = tf.zeros((50, 8, 3))
    Noisy(Looking())(x, training=True)
    assert not np.any(seen[0][..., 0])
    assert np.all(seen[0][..., 1:] != 0.0)
