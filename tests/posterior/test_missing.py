"""Missing values, where declared: every summary sees which are there, nothing else changes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BayesinnError, InputError, SimulatorError
from bayesinn.posterior.answers import predict
from bayesinn.simulators.covid19_count_series import CountSeries
from bayesinn.simulators.covid19_multi_kernel_lstm import MultiKernelLSTM
from bayesinn.spaces.data import DataSpace
from bayesinn.spaces.observations import check_observations
from tests.helpers.fitting import fit
from tests.simulators.working_models import Linear, scoring

tfd = tfp.distributions
PRIOR = {"mean": tfd.Normal(0.0, 1.0)}
COUNTS = {"n": tfd.FiniteDiscrete(tf.range(2, 7), logits=tf.zeros(5))}


def declare(shape: tuple[int, ...] = (6,), **options: Any) -> bi.Simulator:
    def noisy(parameters, *context_and_seed):
        mean = tf.reshape(parameters["mean"], (-1, *len(shape) * [1]))
        noise = tf.random.stateless_normal(
            tf.concat([tf.shape(parameters["mean"]), shape], 0), context_and_seed[-1]
        )
        return {"x": mean + 0.5 * noise}

    return bi.simulator(**{"prior": PRIOR, "missing": 0.5, **options})(noisy)


@bi.simulator(prior=PRIOR, missing=0.4, engine="python", workers=1)
def black_box(parameters: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
    return {"x": generator.normal(parameters["mean"], size=6), "k": generator.poisson(3.0, size=2)}


@pytest.mark.parametrize("simulator", [declare(), black_box])
def test_each_simulation_loses_a_random_share_of_its_values(simulator: bi.Simulator) -> None:
    x = simulator.sample(4_000, seed=1)["x"]
    most = simulator.missing
    shares = np.isnan(x).mean(axis=1)
    assert np.isnan(x).mean() == pytest.approx(most / 2.0, abs=0.01)
    # A share that varies from row to row: the variance of the count is more than binomial.
    assert shares.var() > 1.2 * (most / 2.0) * (1.0 - most / 2.0) / 6
    np.testing.assert_array_equal(simulator.sample(4_000, seed=1)["x"], x)
    # The forward model itself loses none.
    assert np.isfinite(simulator.simulate({"mean": np.zeros(50)}, seed=1)["x"]).all()


def test_the_laws_of_simulators_hold() -> None:
    bi.testing.check_simulator(declare())


def test_whole_numbers_may_be_missing() -> None:
    k = black_box.sample(500, seed=1)["k"]
    assert np.isnan(k).any()
    np.testing.assert_array_equal(k[np.isfinite(k)] % 1.0, 0.0)


def test_a_pattern_of_the_simulator_s_own() -> None:
    @bi.simulator(prior=PRIOR, missing="mask", on_nonfinite="redraw")
    def censored(parameters, seed):
        x = parameters["mean"][:, None] + tf.random.stateless_normal(
            (tf.shape(parameters["mean"])[0], 5), seed
        )
        # Infinity is still a failure.
        return {"x": tf.where(x > 2.0, np.inf, tf.where(x < 0.0, np.nan, x))}

    simulations = censored.draw(500, seed=1)
    assert 0.3 < np.isnan(simulations.observables["x"]).mean() < 0.7
    assert np.isfinite(np.nan_to_num(simulations.observables["x"], posinf=np.inf)).all()
    assert simulations.failed > 0
    assert fit(censored, steps=2).sample({"x": [np.nan, 0.5, np.nan, 1.0, np.nan]}, draws=3)[
        "mean"
    ].shape == (3,)


@pytest.mark.parametrize("value", ["masks", 0.0, 1.0, True, [0.1]])
def test_what_is_no_declaration(value: Any) -> None:
    with pytest.raises(BayesinnError, match="Option 'missing' of simulator 'noisy'") as error:
        declare(missing=value)
    assert "missing='mask'" in str(error.value)


SUMMARIES = {
    "default": ((6,), None),
    "a number": ((), None),
    "a few numbers": ((3,), bi.summaries.Identity()),
    "perceptron": ((6,), bi.summaries.MLP(4, hidden=(8,))),
    "channels": ((6, 2), bi.summaries.ConvLSTM(4, filters=(4,), lstm_units=4)),
    "many kernels": ((6,), MultiKernelLSTM(4, 1, (2, 3), 4, 4)),
    "counts": ((25,), CountSeries(4, hidden=(8,), filters=(2, 2))),
    "set": ((6,), bi.summaries.DeepSet(4, hidden=(8,), dense=(8,))),
    "attention": ((6, 2), bi.summaries.SetTransformer(4, width=8, heads=2, blocks=1)),
    "attention in time": ((6,), bi.summaries.Transformer(4, width=8, heads=2, blocks=1)),
    "set of sets": (
        (4, 6, 1),
        bi.summaries.DeepSet(4, (8,), (8,), inner=bi.summaries.DeepSet(4, (8,), (8,))),
    ),
}


@pytest.mark.parametrize("name", SUMMARIES)
def test_with_every_summary(name: str) -> None:
    shape, summary = SUMMARIES[name]
    simulator = declare(shape)
    posterior = fit(simulator, summary, steps=3)
    data = simulator.sample(20, seed=2)["x"]
    features = posterior.summarize({"x": data})
    assert np.isfinite(features).all()
    # A value that is missing is not one that happens to be zero, or the mean.
    typical = posterior.model.data.scalings["x"].mean
    there = posterior.summarize({"x": np.where(np.isnan(data), typical, data)})
    changed = np.abs(there - features).max(axis=1) > 1e-6
    np.testing.assert_array_equal(changed, np.isnan(data).reshape(20, -1).any(axis=1))
    masked = np.ma.masked_array(np.where(np.isnan(data), -9999.0, data), np.isnan(data))
    np.testing.assert_array_equal(posterior.summarize({"x": masked}), features)


COUNTED = {"context": COUNTS, "lengths": {"x": "n"}}
TIMED = {"context": {"t": tfd.Sample(tfd.Uniform(0.0, 1.0), 6)}}
NETWORK = {"units": 4, "width": 8, "heads": 2, "blocks": 1}
LEAVE_OUT = {
    "deep set": (bi.summaries.DeepSet(4, hidden=(8,), dense=(8,)), COUNTED),
    "set transformer": (bi.summaries.SetTransformer(**NETWORK), COUNTED),
    "transformer": (bi.summaries.Transformer(**NETWORK, times="t"), TIMED),
}


@pytest.mark.parametrize("name", LEAVE_OUT)
def test_what_is_not_there_at_all_is_left_out(name: str, tmp_path) -> None:
    """Elements and steps without a value are no elements: not attended to, pooled, or counted."""
    summary, options = LEAVE_OUT[name]
    simulator = declare(**options)
    posterior = fit(simulator, {"x": summary}, steps=2, xla=False)
    values = np.array([0.5, 7.0, -1.0, 9.0, 2.0, 9.0])
    lost = np.where(values > 5.0, np.nan, values)
    if name == "transformer":
        # The time of a step without a value tells nothing, where values are lost at random.
        times = np.array([0.1, 0.9, 0.3, 0.8, 0.5, 0.7])
        moved = np.where(values > 5.0, 0.6, times)
        given = {"x": lost, "t": times}
        same = {"x": lost, "t": moved}
        other = fit(declare(missing="mask", **options), {"x": summary}, steps=2, xla=False)
        assert np.abs(other.summarize(given) - other.summarize(same)).max() > 1e-5
    else:
        given = {"x": lost[:5], "n": 5}
        same = {"x": np.r_[lost[[0, 2, 4]]], "n": 3}
    features = posterior.summarize(given)[..., :4]
    np.testing.assert_allclose(posterior.summarize(same)[..., :4], features, atol=1e-6)
    whole = posterior.summarize({**given, "x": values[: len(given["x"])]})[..., :4]
    assert np.abs(whole - features).max() > 1e-4
    again = bi.load(posterior.save(tmp_path / "saved"), simulator)
    np.testing.assert_array_equal(again.summarize(given)[..., :4], features)


def test_a_working_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"FisherScoring.*\n  expected: all values"):
        bi.AmortizedPosterior(declare(), scoring(Linear()))
    with pytest.raises(InputError, match="without missing values"):
        bi.inverse.SplitLatent(declare())


def test_with_padding_passes_and_a_report(tmp_path) -> None:
    simulator = declare(context=COUNTS, lengths={"x": "n"})
    posterior = fit(simulator, steps=20, optimization=bi.Optimization(passes=2))
    observed = {"x": [0.1, np.nan, 0.3], "n": 3}
    first = posterior.sample(observed, draws=5, seed=1)
    again = bi.load(posterior.save(tmp_path / "posterior"), simulator)
    np.testing.assert_array_equal(again.sample(observed, draws=5, seed=1)["mean"], first["mean"])
    tree = posterior.infer(observed, draws=5)
    np.testing.assert_array_equal(
        np.isnan(tree["observed_data"]["x"]), [False, True, False, True, True, True]
    )
    predicted = tree["posterior_predictive"]["x"].values[0]
    np.testing.assert_array_equal(
        np.isnan(predicted), np.broadcast_to(np.isnan(tree["observed_data"]["x"]), (5, 6))
    )
    report = bi.diagnose(posterior, simulations=100, draws=50, observed=observed, seed=1)
    assert "predictive" in str(report)
    report.to_html(tmp_path / "report.html")
    assert bi.simulator_report(simulator, simulations=100).ok


def test_training_arrays_with_gaps() -> None:
    simulator = declare()
    data = simulator.sample(200, seed=1)
    posterior = fit(simulator, data=data, steps=3)
    masked = {**data, "x": np.ma.masked_invalid(data["x"])}
    assert posterior.fingerprint == fit(simulator, data=masked, steps=3).fingerprint
    with pytest.raises(InputError, match="Training data, 'x'"):
        fit(declare(missing=None), data=data, steps=3)


@pytest.mark.parametrize("gap", [np.nan, None])
def test_gaps_are_refused_where_none_are_declared(gap: float | None) -> None:
    with pytest.raises(InputError, match="Data 'x'") as error:
        check_observations(declare(missing=None), {"x": [1.0, gap, 1.0, 1.0, 1.0, 1.0]})
    if gap is not None:
        assert "declare missing='mask'" in str(error.value)
    checked = check_observations(declare(), {"x": [1.0, gap, 1.0, 1.0, 1.0, 1.0]})
    assert np.isnan(checked.arrays["x"][0]).tolist() == [False, True, False, False, False, False]
    with pytest.raises(InputError, match="Data 'x'"):
        check_observations(declare(), {"x": [1.0, np.inf, 1.0, 1.0, 1.0, 1.0]})


def test_scalings_leave_gaps_out() -> None:
    x = np.random.default_rng(1).normal(3.0, 2.0, size=(4_000, 2))
    gaps = np.where(np.random.default_rng(2).random(x.shape) < 0.5, np.nan, x)
    gaps[:, 1] = np.nan
    scaling = DataSpace.fit({"x": gaps}, ("x",), (), {}, missing=True).scalings["x"]
    np.testing.assert_allclose(scaling.mean, [3.0, 0.0], atol=0.2)
    np.testing.assert_allclose(scaling.scale, [2.0, 1.0], atol=0.1)


def test_observed_data_that_ship_may_have_gaps() -> None:
    observed = {"x": np.ma.masked_less([1.0, -1.0, 1.0, 1.0, 1.0, 1.0], 0.0)}
    assert np.isnan(declare(observed=observed).observed["x"][1])
    with pytest.raises((InputError, SimulatorError), match="masked values"):
        declare(missing=None, observed=observed)


# Counts and ragged lists


def test_counts_from_a_continuous_prior_are_rounded_down() -> None:
    with pytest.warns(UserWarning, match=r"'n' counts the valid steps of 'x'.* rounded down"):

        @bi.simulator(prior=PRIOR, context={"n": tfd.Uniform(2.0, 6.9)}, lengths={"x": "n"})
        def trials(parameters, context, seed):
            x = parameters["mean"][:, None] + tf.random.stateless_normal(
                (tf.shape(parameters["mean"])[0], 6), seed
            )
            # All beyond the whole number is padding.
            return {"x": tf.where(tf.range(6.0) < tf.floor(context["n"])[:, None], x, np.nan)}

    assert trials.draw(500, seed=1).failed == 0
    for passes in (0, 2):
        posterior = fit(
            trials, bi.summaries.DeepSet(4, (8,), (8,)), optimization=bi.Optimization(passes=passes)
        )
        features = posterior.summarize({"x": [0.5, 1.0, 2.0], "n": 2.9})
        np.testing.assert_array_equal(
            features[:4], posterior.summarize({"x": [0.5, 1.0], "n": 2.9})[:4]
        )


def test_ragged_lists_are_padded_and_counted() -> None:
    simulator = declare(context=COUNTS, lengths={"x": "n"}, missing=None)
    checked = check_observations(simulator, {"x": [[1.0, 2.0], [1.0, 2.0, 3.0]]})
    assert checked.arrays["n"].tolist() == [2, 3]
    assert np.isnan(checked.arrays["x"]).sum(axis=1).tolist() == [4, 3]
    with pytest.raises(InputError, match="lists of at most 6\n  got:      one of 7"):
        check_observations(simulator, {"x": [[1.0, 2.0], [1.0] * 7]})
    with pytest.raises(InputError, match="Data 'x'"):
        check_observations(simulator, {"x": [[1.0, 2.0], [1.0, 2.0, 3.0]], "n": [2, 6]})


def test_ragged_lists_inside_are_missing_values() -> None:
    simulator = declare(
        (3, 4),
        context={"n": tfd.FiniteDiscrete([1, 2, 3], probs=[0.3, 0.3, 0.4])},
        lengths={"x": "n"},
    )
    one = [[1.0, 2.0], [1.0, 2.0, 3.0, 4.0]]
    checked = check_observations(simulator, {"x": one})
    assert (checked.batched, checked.arrays["n"].tolist()) == (False, [2])
    assert np.isfinite(checked.arrays["x"][0]).sum(axis=1).tolist() == [2, 4, 0]
    both = check_observations(simulator, {"x": [one, [[1.0], [], [2.0]]]})
    assert (both.count, both.arrays["n"].tolist()) == (2, [2, 3])


def test_predictions_have_the_gaps_of_the_observation() -> None:
    simulator = declare()
    observations = check_observations(simulator, {"x": [[1.0, np.nan, 1.0, 1.0, 1.0, 1.0]]})
    predicted = predict(simulator, observations, {"mean": np.zeros((1, 7), np.float32)}, seed=1)[
        "x"
    ]
    assert np.isnan(predicted).sum(axis=(0, 1)).tolist() == [0, 7, 0, 0, 0, 0]


def test_missing_pixels_need_channels() -> None:
    simulator = bi.simulator(prior={"a": tfd.Normal(0.0, 1.0)}, missing="mask", name="pixels")(
        lambda parameters, seed: {"image": parameters["a"][:, None, None] * tf.ones((8, 8))}
    )
    with pytest.raises(InputError, match=r"(?s)height, width, channels.*image\[\.\.\., None\]"):
        bi.AmortizedPosterior(simulator, summary=bi.summaries.ConvImage(8, filters=(4,)))


def test_missing_pixels_of_sets_of_images_need_channels() -> None:
    @bi.simulator(prior={"a": tfd.Normal(0.0, 1.0)}, missing=0.2)
    def views(parameters, seed):
        mean = parameters["a"][:, None, None, None]
        return {"y": mean + tf.random.stateless_normal((tf.shape(mean)[0], 3, 8, 8), seed)}

    inner = bi.summaries.ConvImage(4, filters=(4,))
    with pytest.raises(InputError, match=r"(?s)elements, height, width, channels.*y\[\.\.\., None"):
        bi.AmortizedPosterior(views, summary=bi.summaries.DeepSet(4, inner=inner))


def test_marks_of_missing_values_need_channels_inside_elements() -> None:
    networks = (bi.summaries.DeepSet(4), bi.summaries.ConvLSTM(4))
    summaries = [bi.summaries.DeepSet(4, inner=network) for network in networks]
    for summary in summaries:
        with pytest.warns(UserWarning, match=r"'x' of shape \(3, 5\).*Return x\[\.\.\., None\]"):
            bi.AmortizedPosterior(declare((3, 5)), summary)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bi.AmortizedPosterior(declare((3, 5, 1)), summaries[0])
        bi.AmortizedPosterior(declare((3, 5), missing=None), summaries[0])
        features = bi.summaries.DeepSet(4, inner=bi.summaries.MLP(4))
        bi.AmortizedPosterior(declare((3, 5)), features)
