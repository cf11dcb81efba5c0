"""Comparison of models: answers, saved folders, data that no model makes, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.comparison.comparison import Rows
from bayesinn.core.errors import InputError, SavedPosteriorError

tfd = tfp.distributions
Tensors = dict[str, tf.Tensor]


def declare(name: str, sd: float, size: int = 3) -> bi.Simulator:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, sd)}, name=name)
    def model(parameters: Tensors, seed: tf.Tensor) -> Tensors:
        mean = parameters["mean"][:, None]
        return {"x": mean + tf.random.stateless_normal((tf.shape(mean)[0], size), seed)}

    return model


narrow = declare("narrow", 0.5)
wide = declare("wide", 4.0)


def fit(comparison: bi.ModelComparison, **options) -> bi.ModelComparison:
    data = comparison.simulate(4_000, seed=1)
    settings = {"steps": 300, "batch_size": 64, "seed": 1, "progress": False}
    return comparison.fit(data, **{**settings, **options})


@pytest.fixture(scope="module")
def trained() -> bi.ModelComparison:
    return fit(bi.ModelComparison([narrow, wide], weights=[3.0, 1.0]))


def test_probabilities_and_factors(trained) -> None:
    data = {"x": np.array([[0.1, 0.0, -0.1], [5.0, 6.0, 5.5]])}
    found = trained.probabilities(data)
    np.testing.assert_allclose(found["narrow"] + found["wide"], 1.0)
    assert found["narrow"][0] > 0.8
    assert found["wide"][1] > 0.95
    # Prior odds are no part of Bayes factors.
    factor = trained.log_bayes_factors(data)["wide"]
    odds = np.log(found["wide"] / found["narrow"])
    np.testing.assert_allclose(factor, odds + np.log(3.0), rtol=1e-4)
    against = trained.log_bayes_factors(data, against="wide")["narrow"]
    np.testing.assert_allclose(against, -factor)
    single = trained.probabilities({"x": data["x"][0]})
    assert single["narrow"] == pytest.approx(found["narrow"][0])


def test_data_that_no_model_makes(trained) -> None:
    found = trained.probabilities({"x": np.array([[0.3, 0.1, -0.5], [40.0, -40.0, 40.0]])})
    assert found.out_of_distribution.tolist() == [False, True]


def test_calibration(trained) -> None:
    result = trained.calibration(2_000, seed=4)
    assert result.error < 0.05
    assert result.confusion.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert "calibration error" in repr(result)
    # The seed decides all of it, also the error of exact probabilities.
    assert trained.calibration(2_000, seed=4).chance == result.chance
    data = trained.simulate(2_000, 4, "diagnosis")
    found = np.stack(list(trained.probabilities({"x": data["x"]}).values()), axis=1)
    again = bi.diagnostics.model_calibration(data["model"], found, trained.names, seed=4)
    assert again.chance == result.chance
    figure = bi.plots.model_calibration(result)
    assert len(figure.axes) == 2
    # Of simulations that someone has stored.
    stored = trained.calibration(data=data, seed=4)
    assert stored.error == result.error
    np.testing.assert_array_equal(stored.confusion, result.confusion)


def test_mistakes_in_what_to_calibrate_on(trained) -> None:
    data = trained.simulate(200, 4, "diagnosis")
    with pytest.raises(InputError, match=r"expected: data, or a number"):
        trained.calibration(100, data=data)
    with pytest.raises(InputError, match=r"Argument 'data'[\s\S]*numbers from 0 to 1"):
        trained.calibration(data={**data, "model": data["model"] + 1})
    with pytest.raises(InputError, match="Argument 'data'"):
        trained.calibration(data={"x": data["x"]})
    with pytest.raises(InputError, match="Number of simulations"):
        trained.calibration(0)


READ = """
import sys
import numpy as np
import bayesinn as bi
from tests.comparison.test_comparison import narrow, wide
loaded = bi.load(sys.argv[1], simulator=[narrow, wide])
np.savez(sys.argv[2], **loaded.probabilities({"x": np.ones((4, 3))}))
"""


def test_saved_and_loaded(trained, tmp_path: Path, fresh_python) -> None:
    trained.save(tmp_path / "saved")
    fresh_python(READ, tmp_path / "saved", tmp_path / "answers.npz")
    found = trained.probabilities({"x": np.ones((4, 3))})
    for name, value in np.load(tmp_path / "answers.npz").items():
        np.testing.assert_array_equal(value, found[name])
    assert bi.load(tmp_path / "saved").names == ("narrow", "wide")
    with pytest.raises(InputError, match="2 simulators"):
        bi.load(tmp_path / "saved", simulator=narrow)
    with pytest.raises(SavedPosteriorError, match="wide"):
        bi.load(tmp_path / "saved", simulator=[narrow, declare("wide", 5.0)])
    # By their names, in any order.
    for check in (True, False):
        other = bi.load(tmp_path / "saved", simulator=[wide, narrow], check_simulator=check)
        assert other.names == ("narrow", "wide")


def test_what_is_saved_are_the_simulators_of_the_training(tmp_path: Path) -> None:
    scale = tf.Variable(1.0)

    @bi.simulator(prior={"mean": tfd.Normal(0.0, 2.0)})
    def changing(parameters: Tensors, seed: tf.Tensor) -> Tensors:
        mean = parameters["mean"][:, None]
        return {"x": mean + scale * tf.random.stateless_normal((tf.shape(mean)[0], 3), seed)}

    comparison = bi.ModelComparison([narrow, changing], hidden=(8,))
    fit(comparison, steps=2)
    scale.assign(2.0)
    comparison.save(tmp_path / "saved")
    with pytest.warns(UserWarning, match="simulated again"):
        bi.load(tmp_path / "saved", simulator=[narrow, changing])
    loaded = bi.load(tmp_path / "saved", simulator=[narrow, changing], check_simulator=False)
    loaded.save(tmp_path / "again")
    with pytest.warns(UserWarning, match="simulated again"):
        bi.load(tmp_path / "again", simulator=[narrow, changing])


def test_a_start_does_not_see_its_own_simulations_again(
    trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    simulate = bi.ModelComparison.simulate

    def few(self: bi.ModelComparison, n: int, seed: int) -> Any:
        seen.append(seed)
        return simulate(self, 200, seed)

    monkeypatch.setattr(bi.ModelComparison, "simulate", few)
    options = {"steps": 2, "batch_size": 16, "seed": 1, "progress": False}
    trained.untrained().fit(**options)
    trained.untrained().fit(start_from=trained, **options)
    assert seen[0] == 1
    assert seen[1] != 1


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


def test_resumed(tmp_path: Path) -> None:
    def new() -> bi.ModelComparison:
        return bi.ModelComparison([narrow, wide], hidden=(8,))

    with pytest.raises(KeyboardInterrupt):
        fit(new(), optimization=bi.Optimization(callbacks=[Stop()]), checkpoint=tmp_path)
    resumed = fit(new(), checkpoint=bi.Checkpoint(tmp_path, resume=True))
    assert resumed.fingerprint == fit(new()).fingerprint


def test_weights_by_name() -> None:
    named = bi.ModelComparison([narrow, wide], weights={"wide": 3.0, "narrow": 1.0})
    assert named.weights.tolist() == [0.25, 0.75]


def test_models_that_cannot_be_compared(trained) -> None:
    with pytest.raises(InputError, match="two or more"):
        bi.ModelComparison([narrow])
    with pytest.raises(InputError, match="of different names"):
        bi.ModelComparison([narrow, narrow])
    with pytest.raises(InputError, match="the same observables"):
        bi.ModelComparison([narrow, declare("longer", 1.0, size=4)])
    with pytest.raises(InputError, match="2 positive numbers"):
        bi.ModelComparison([narrow, wide], weights=[1.0, 0.0])
    with pytest.raises(InputError, match=r"(?s)one for each of 'narrow', 'wide'.*other"):
        bi.ModelComparison([narrow, wide], weights={"narrow": 1.0, "other": 2.0})
    with pytest.raises(InputError, match="a model out of"):
        trained.log_bayes_factors({"x": np.zeros(3)}, against="other")


def test_counts_beside_measurements() -> None:
    @bi.simulator(prior={"rate": tfd.Gamma(4.0, 1.0)})
    def counted(parameters: Tensors, seed: tf.Tensor) -> Tensors:
        rate = parameters["rate"]
        return {"y": tf.random.stateless_poisson(tf.shape(rate), seed, rate, tf.int32)}

    @bi.simulator(prior={"mean": tfd.Normal(4.0, 1.0)})
    def measured(parameters: Tensors, seed: tf.Tensor) -> Tensors:
        return {"y": parameters["mean"]}

    # Fractions are what tells these models apart.
    for models in ([counted, measured], [measured, counted]):
        drawn = bi.ModelComparison(models).simulate(200, seed=1)
        whole = drawn["y"] == np.round(drawn["y"])
        np.testing.assert_array_equal(whole, drawn["model"] == models.index(counted))


def test_context_and_units_that_differ() -> None:
    def timed(name: str, last: float, unit: str = "") -> bi.Simulator:
        @bi.simulator(
            prior={"mean": tfd.Normal(0.0, 1.0)},
            context={"time": tfd.Uniform(0.0, last)},
            name=name,
            units={"y": unit} if unit else {},
        )
        def model(parameters: Tensors, context: Tensors, seed: tf.Tensor) -> Tensors:
            return {"y": parameters["mean"] * context["time"]}

        return model

    with pytest.raises(InputError, match=r"(?s)distributions of context.*high=9.*high=5.*'late'"):
        bi.ModelComparison([timed("early", 9.0), timed("late", 5.0)])
    with pytest.raises(InputError, match=r"(?s)same units.*'m'.*'km'"):
        bi.ModelComparison([timed("near", 9.0, "m"), timed("far", 9.0, "km")])
    bi.ModelComparison([timed("near", 9.0, "m"), timed("unknown", 9.0)])


def test_missing_values() -> None:
    def gappy(name: str, share: float) -> bi.Simulator:
        @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, name=name, missing="mask")
        def model(parameters: Tensors, seed: tf.Tensor) -> Tensors:
            mean = tf.repeat(parameters["mean"][:, None], 4, axis=1)
            lost = tf.random.stateless_uniform(tf.shape(mean), seed) < share
            return {"y": tf.where(lost, np.nan, mean)}

        return model

    comparison = bi.ModelComparison([gappy("often", 0.8), gappy("seldom", 0.1)], hidden=(8,))
    rows = comparison.simulate(600, seed=1)
    held_out = comparison.simulate(100, seed=2)
    comparison.fit(rows, validation=held_out, epochs=8, seed=1, progress=False)
    found = comparison.probabilities({"y": [[np.nan, np.nan, np.nan, 0.3], [0.3] * 4]})
    assert found["often"][0] > 0.5 > found["often"][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "'model'.*missing"),
        ({"x": None}, "'x'.*missing"),
        ({"x": np.zeros((60, 4))}, r"'x'.*shape \(60, 3\)"),
        ({"x": np.full((60, 3), np.nan)}, "finite numbers"),
        ({"model": np.full(60, 2)}, "numbers from 0 to 1"),
    ],
)
def test_rows_that_cannot_be_trained_on(change: dict[str, object], message: str) -> None:
    rows = {"x": np.zeros((60, 3)), "model": np.arange(60) % 2}
    damaged = {name: value for name, value in (rows | change).items() if value is not None}
    for data, validation in ((damaged, None), (rows, damaged)):
        with pytest.raises(InputError, match=f"(?s){message}"):
            bi.ModelComparison([narrow, wide]).fit(
                data, validation=validation, epochs=1, progress=False
            )


class TrainedFirst(bi.summaries.Identity):
    """Has a loss of its own, which needs the parameters."""

    def auxiliary_layers(self) -> list[keras.layers.Layer]:
        return []

    def auxiliary_loss(self, vector: tf.Tensor, x: tf.Tensor, entries: object = None) -> tf.Tensor:
        return tf.reduce_sum(vector**2, axis=-1)


def test_summaries_with_a_loss_of_their_own_are_refused() -> None:
    # The loss would be given the number of the model in place of parameters.
    with pytest.raises(InputError, match=r"(?s)'summary'.*got: +TrainedFirst\(\)"):
        bi.ModelComparison([narrow, wide], summary=TrainedFirst())
    with pytest.raises(InputError, match=r"(?s)'summary'.*got: +TrainedFirst\(\)"):
        bi.PointEstimator(narrow, summary={"x": TrainedFirst()})


def test_coordinates() -> None:
    def placed(name: str, times: np.ndarray | None) -> bi.Simulator:
        @bi.simulator(
            prior={"mean": tfd.Normal(0.0, 1.0)},
            name=name,
            coordinates={} if times is None else {"y": times},
        )
        def model(parameters: Tensors, seed: tf.Tensor) -> Tensors:
            return {"y": tf.repeat(parameters["mean"][:, None], 12, axis=1)}

        return model

    days = np.arange(12.0)
    differ = (("daily", days), ("late", 100.0 * days))
    with pytest.raises(InputError, match=r"(?s)same coordinates.*100\.0.*'late'"):
        bi.ModelComparison([placed(*pair) for pair in differ])
    # Nor may the second and the third differ, where the first says nothing.
    with pytest.raises(InputError, match=r"(?s)same coordinates.*'late'"):
        bi.ModelComparison([placed(*pair) for pair in (("unknown", None), *differ)])
    # Networks don't depend on the order of models.
    one = placed("daily", days)
    other = placed("unknown", None)
    first, second = (bi.ModelComparison(pair) for pair in ([one, other], [other, one]))
    assert repr(first.summaries) == repr(second.summaries)
    assert "positions=8" in repr(first.summaries)


def test_shares_of_missing_values_decide_nothing() -> None:
    def lossy(share: float | str, name: str = "other") -> bi.Simulator:
        @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, missing=share, name=name)
        def model(parameters: Tensors, seed: tf.Tensor) -> Tensors:
            mean = parameters["mean"][:, None]
            return {"x": mean + tf.random.stateless_normal((tf.shape(mean)[0], 3), seed)}

        return model

    bi.ModelComparison([lossy(0.2, "first"), lossy(0.2)])
    for other in (0.5, "mask"):
        with pytest.raises(InputError, match="same missing values"):
            bi.ModelComparison([lossy(0.2, "first"), lossy(other)])


def test_rows_must_have_the_frequencies_of_the_weights() -> None:
    rows = {"x": np.zeros((600, 3)), "model": (np.arange(600) % 10 > 0).astype(int)}
    with pytest.raises(InputError, match=r"(?s)0\.5, 0\.5.*shares 0\.1, 0\.9 of 600 rows"):
        bi.ModelComparison([narrow, wide]).fit(rows, epochs=1, progress=False)
    weighted = bi.ModelComparison([narrow, wide], weights=[0.1, 0.9])
    weighted.fit(rows, epochs=1, progress=False)


@pytest.mark.parametrize(("weight", "size", "seen"), [(1e-4, 1_000, 2), (1e-3, 10, 1)])
def test_rows_of_rare_models_are_accepted(weight: float, size: int, seen: int) -> None:
    weights = np.array([weight, 1.0 - weight])
    rows = {"x": np.zeros((size, 3)), "model": (np.arange(size) >= seen).astype(int)}
    simulators = bi.ModelComparison([narrow, wide])
    assert len(Rows(rows, simulators.declares, weights).checked("Rows")["x"]) == size
    # A share that no weight explains is refused all the same.
    rows["model"][: size // 2] = 0
    with pytest.raises(InputError, match="models as often as their weights say"):
        Rows(rows, simulators.declares, weights).checked("Rows")


def test_what_are_no_probabilities_is_refused() -> None:
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 2, 100)
    one = generator.random(100)
    probabilities = np.stack([one, 1.0 - one], axis=1)
    with pytest.raises(InputError, match=r"(?s)sum to one.*100 that don't; the first, 0"):
        bi.diagnostics.model_calibration(truth, 5.0 * probabilities, ["a", "b"])
    probabilities[3] = np.nan
    with pytest.raises(
        InputError, match=r"(?s)sum to one.*1 of 100 that don't; the first, 3: \[nan nan\]"
    ):
        bi.diagnostics.model_calibration(truth, probabilities, ["a", "b"])


def test_models_may_return_their_observables_in_any_order() -> None:
    def declared(name: str, offset: float, names: tuple[str, str]) -> bi.Simulator:
        def simulate(parameters, seed):
            values = {"low": parameters["m"] - offset, "high": parameters["m"] + offset}
            return {name: values[name] for name in names}

        return bi.simulator(prior={"m": tfd.Normal(0.0, 1.0)}, name=name)(simulate)

    models = [declared("one", 1.0, ("low", "high")), declared("two", 2.0, ("high", "low"))]
    rows = bi.ModelComparison(models).simulate(200, seed=1)
    gap = rows["high"] - rows["low"]
    np.testing.assert_allclose(gap, np.where(rows["model"] == 0, 2.0, 4.0), rtol=1e-5)
