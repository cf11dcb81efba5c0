"""Likelihoods and ratios: densities, draws, saved folders, posteriors that can be diagnosed."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError, SavedPosteriorError
from bayesinn.likelihood.amortized import DataVector
from bayesinn.reference.nuts import Convergence
from bayesinn.simulation.checks import check_inputs
from bayesinn.spaces.observations import check_observations

tfd = tfp.distributions


@bi.simulator(
    prior={"rate": tfd.Gamma(4.0, 1.0), "shift": tfd.Uniform(-2.0, 2.0)},
    context={"noise": tfd.Uniform(0.5, 1.5)},
)
def counted(
    parameters: dict[str, tf.Tensor], context: dict[str, tf.Tensor], seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """A count, and a number with a known noise; beside them a constant."""
    rate = parameters["rate"]
    shift = parameters["shift"]
    noise = context["noise"] * tf.random.stateless_normal(tf.shape(shift), seed)
    count = tf.random.stateless_poisson(tf.shape(rate), seed + 1, rate)
    return {"x": tf.stack([shift + noise, tf.fill(tf.shape(shift), 7.0)], axis=-1), "count": count}


def exact(data: dict[str, np.ndarray]) -> np.ndarray:
    number = tfd.Normal(data["shift"], data["noise"]).log_prob(data["x"][:, 0])
    return (number + tfd.Poisson(data["rate"]).log_prob(data["count"])).numpy()


def likelihood(simulator: bi.Simulator = counted) -> bi.AmortizedLikelihood:
    flow = bi.flows.coupling(
        blocks=2,
        hidden=(32,),
        transform=bi.bijections.Composed([bi.bijections.Affine(), bi.bijections.Spline()]),
    )
    return bi.AmortizedLikelihood(simulator, flow)


@pytest.fixture(scope="module")
def trained() -> dict[str, bi.AmortizedLikelihood | bi.LikelihoodRatio]:
    options = {"steps": 1_500, "batch_size": 128, "seed": 1, "progress": False}
    classifier = bi.likelihood.RatioFlow(hidden=(64, 64))
    return {
        "likelihood": likelihood().fit(**options),
        "ratio": bi.LikelihoodRatio(counted, classifier=classifier).fit(**options),
    }


def split(rows: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    data = {name: rows[name] for name in ("x", "count", "noise")}
    return data, {name: rows[name] for name in ("rate", "shift")}


def test_densities_are_those_of_the_simulator(trained) -> None:
    rows = counted.sample(4_000, seed=5)
    density = trained["likelihood"].log_prob(*split(rows))
    # The divergence from the exact likelihood, in nats; a wrong log-det would change its sign.
    gap = exact(rows) - density
    assert -3.0 * np.std(gap) / np.sqrt(len(gap)) < np.mean(gap) < 0.1
    # Probabilities of all counts add up to the density of the number alone.
    data, parameters = split({name: value[:1] for name, value in rows.items()})
    every = {name: np.repeat(value, 60, axis=0) for name, value in data.items()}
    every["count"] = np.arange(60.0)
    one = {name: np.repeat(value, 60, axis=0) for name, value in parameters.items()}
    total = np.exp(trained["likelihood"].log_prob(every, one)).sum()
    alone = tfd.Normal(parameters["shift"], data["noise"]).prob(data["x"][:, 0])
    assert total == pytest.approx(float(alone[0]), rel=0.3)


def test_what_is_impossible_has_no_density(trained) -> None:
    data, parameters = split(counted.sample(2, seed=5))
    outside = {"rate": parameters["rate"], "shift": np.array([3.0, 0.0])}
    found = trained["likelihood"].log_prob(data, outside)
    assert found[0] == -np.inf < found[1]
    for other in (
        {**data, "x": data["x"] + np.array([[0.0, 1.0], [0.0, 0.0]])},
        {**data, "count": data["count"] + np.array([0.5, 0.0])},
    ):
        found = trained["likelihood"].log_prob(other, parameters)
        assert found[0] == -np.inf < found[1]


def test_large_measurements_are_no_counts() -> None:
    # Above 2^24, all numbers of single precision are whole; data may have a fraction.
    rows = (1e12 * np.random.default_rng(1).lognormal(0.0, 0.3, size=(500, 1))).astype(np.float32)
    vector = DataVector.fit({"x": (1,)}, {"x": rows}, seed=1)
    assert not vector.frame.whole.any()
    _, log_det = vector.points({"x": tf.constant([[1.2345e12], [1235598620140.8]], tf.float64)})
    assert np.isfinite(log_det).all()
    for kind in (np.int64, np.float64):
        assert DataVector.fit({"x": (1,)}, {"x": rows.astype(kind)}, seed=1).frame.whole.all()


def test_a_context_that_is_not_declared_is_refused(trained) -> None:
    parameters = {"rate": np.array([2.0]), "shift": np.array([-1.0])}
    given = trained["likelihood"]
    with pytest.raises(InputError, match=r"(?s)'context'.*'typo'.*unknown"):
        given.sample(parameters, {"noise": np.array([0.5]), "typo": np.array([0.5])})
    with pytest.raises(InputError, match=r"(?s)'context'.*nothing.*'typo'.*leave it out"):
        check_inputs(bi.get_simulator("linear"), {"x1": [0.0], "x2": [0.0]}, {"typo": [0.5]})
    with pytest.raises(InputError, match=r"(?s)'noise'.*from 0.5 to 1.5.*9.0.* in row 0"):
        given.sample(parameters, {"noise": np.array([9.0])})


def test_draws_are_like_simulations(trained) -> None:
    parameters = {"rate": np.array([2.0, 6.0]), "shift": np.array([-1.0, 1.0])}
    context = {"noise": np.array([0.5, 1.0])}
    drawn = trained["likelihood"].sample(parameters, context, draws=4_000, seed=3)
    assert drawn["x"].shape == (2, 4_000, 2)
    np.testing.assert_allclose(drawn["count"].mean(axis=1), [2.0, 6.0], atol=0.3)
    np.testing.assert_allclose(drawn["x"][..., 0].mean(axis=1), [-1.0, 1.0], atol=0.15)
    np.testing.assert_allclose(drawn["x"][..., 0].std(axis=1), [0.5, 1.0], rtol=0.15)
    assert (drawn["x"][..., 1] == 7.0).all()
    assert (drawn["count"] == np.floor(drawn["count"])).all()


def test_counts_below_zero_are_no_large_ones() -> None:
    @bi.simulator(prior={"rate": tfd.Uniform(0.01, 1.0)})
    def rare(parameters, seed):
        rate = parameters["rate"]
        count = tf.random.stateless_poisson(tf.shape(rate), seed, rate)
        return {"count": tf.cast(count, tf.uint8)}

    # A flow that has hardly learned draws counts of -1 and -2, too.
    own = bi.AmortizedLikelihood(rare, bi.flows.coupling(blocks=1, hidden=(8,)))
    own.fit(steps=5, batch_size=64, seed=1, progress=False)
    drawn = own.sample({"rate": [0.05]}, draws=1_000, seed=1)["count"]
    assert drawn.dtype == np.uint8
    assert drawn.max() < 20


def test_ratios_differ_from_likelihoods_by_the_evidence(trained) -> None:
    rows = counted.sample(1_000, seed=6)
    data, parameters = split(rows)
    other = {name: np.roll(value, 1) for name, value in parameters.items()}
    differences = [
        part[0] - part[1]
        for part in (
            [exact({**data, **pair}) for pair in (parameters, other)],
            [trained["ratio"].log_ratio(data, pair) for pair in (parameters, other)],
        )
    ]
    close = np.abs(differences[0]) < 3.0
    assert np.mean(np.abs(differences[0] - differences[1])[close]) < 0.3


READ = """
import sys
import numpy as np
import bayesinn as bi
from tests.likelihood.test_likelihood import counted, split
data, parameters = split(counted.sample(20, seed=5))
loaded = [bi.load(f"{sys.argv[1]}/{name}", simulator=counted) for name in ("likelihood", "ratio")]
np.savez(
    sys.argv[2],
    likelihood=loaded[0].log_prob(data, parameters),
    ratio=loaded[1].log_ratio(data, parameters),
)
"""


def test_saved_and_loaded_in_a_fresh_process(trained, tmp_path: Path, fresh_python) -> None:
    for name, estimator in trained.items():
        estimator.save(tmp_path / name)
    fresh_python(READ, tmp_path, tmp_path / "answers.npz")
    answers = np.load(tmp_path / "answers.npz")
    data, parameters = split(counted.sample(20, seed=5))
    density = trained["likelihood"].log_prob(data, parameters)
    np.testing.assert_array_equal(answers["likelihood"], density)
    ratio = trained["ratio"].log_ratio(data, parameters)
    np.testing.assert_array_equal(answers["ratio"], ratio)


def test_a_damaged_scaling_of_the_context_is_refused(tmp_path: Path) -> None:
    estimator = likelihood().fit(steps=2, batch_size=16, seed=1, progress=False)
    estimator.save(tmp_path)
    entries = json.loads((tmp_path / "manifest.json").read_text())
    entries["compression"] = {"noise": -1.0}
    (tmp_path / "manifest.json").write_text(json.dumps(entries))
    with pytest.raises(SavedPosteriorError, match=r"compression -1\.0 of 'noise'"):
        bi.load(tmp_path)


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        if epoch == 25:
            raise KeyboardInterrupt


@pytest.mark.parametrize("make", [likelihood, lambda: bi.LikelihoodRatio(counted)])
def test_resumed(make, tmp_path: Path) -> None:
    options = {"steps": 50, "batch_size": 32, "seed": 1, "progress": False}
    stop = bi.Optimization(callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        make().fit(optimization=stop, checkpoint=tmp_path, **options)
    resumed = make().fit(checkpoint=bi.Checkpoint(tmp_path, resume=True), **options)
    assert resumed.fingerprint == make().fit(**options).fingerprint


def test_trials_and_priors_that_are_refused(trained) -> None:
    estimator = trained["likelihood"]
    with pytest.raises(InputError, match=r"(?s)'prior'.*inside the support"):
        estimator.posterior(prior={"rate": tfd.Gamma(4.0, 1.0), "shift": tfd.Normal(0.0, 3.0)})
    nearly = {"rate": tfd.Gamma(4.0, 1.0), "shift": tfd.Normal(0.0, 0.65)}
    with pytest.raises(InputError, match=r"(?s)'prior'.*got: +0\.[1-9]+ % of its draws"):
        estimator.posterior(prior=nearly)
    with pytest.raises(InputError, match=r"(?s)'prior'.*a prior of"):
        estimator.posterior(prior={"rate": tfd.Gamma(4.0, 1.0)})
    observed = {"x": np.zeros((3, 2)), "count": np.zeros(4), "noise": 1.0}
    with pytest.raises(InputError, match="the same number of trials"):
        estimator.posterior(observed)
    with pytest.raises(InputError, match="nothing was observed"):
        estimator.posterior(trials=2).sample()
    with pytest.raises(InputError, match="one row for each of 2"):
        estimator.sample({"rate": [4.0, 4.0], "shift": [0.0, 0.0]}, {"noise": [1.0]})
    with pytest.raises(InputError, match=r"(?s)Parameters.*inside the prior's support.*1 of 2"):
        estimator.sample({"rate": [4.0, 4.0], "shift": [0.0, 3.0]}, {"noise": [1.0, 1.0]})
    with pytest.raises(InputError, match=r"(?s)'noise'.*Uniform from 0.5 to 1.5.*9.0 in row 1"):
        estimator.sample({"rate": [4.0, 4.0], "shift": [0.0, 0.0]}, {"noise": [1.0, 9.0]})
    with pytest.raises(InputError, match="a flow with a density"):
        bi.AmortizedLikelihood(counted, bi.flows.FlowMatching())


def test_a_prior_with_parameters_that_fail_is_warned_of() -> None:
    @bi.simulator(prior={"a": tfd.Uniform(0.0, 1.0)}, on_nonfinite="redraw")
    def upper_half(parameters, seed):
        noise = tf.random.stateless_normal(tf.shape(parameters["a"]), seed)
        return {"y": tf.where(parameters["a"] < 0.5, np.nan, noise)}

    likelihood = bi.AmortizedLikelihood(upper_half)
    likelihood.fit(steps=2, batch_size=32, seed=1, progress=False)
    with pytest.warns(UserWarning, match=r"'upper_half' includes parameters for which simulations"):
        likelihood.posterior({"y": 0.3})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        likelihood.posterior({"y": 0.3}, prior={"a": tfd.Uniform(0.5, 1.0)})


@pytest.fixture(scope="module")
def gappy() -> bi.LikelihoodRatio:
    @bi.simulator(
        prior={"mean": tfd.Normal(0.0, 1.0)},
        context={"n": tfd.FiniteDiscrete([2, 3], probs=[0.5, 0.5])},
        lengths={"y": "n"},
        missing="mask",
    )
    def model(parameters, context, seed):
        y = tf.repeat(parameters["mean"][:, None], 3, axis=1)
        return {"y": tf.where(tf.random.stateless_uniform(tf.shape(y), seed) < 0.3, np.nan, y)}

    return bi.LikelihoodRatio(model).fit(steps=2, batch_size=32, seed=1, progress=False)


@pytest.mark.parametrize(
    ("observed", "options"),
    [
        ({"y": [0.1, np.nan]}, {"prior": {"mean": tfd.Normal(0.0, 0.5)}}),
        ({"y": [[0.1, np.nan, 0.2], [0.3, 0.1, np.nan]], "n": 3}, {}),
    ],
)
def test_missing_values_and_lengths(gappy, observed, options) -> None:
    simulator = gappy.posterior(observed, **options).simulator
    checked = check_observations(simulator, observed).arrays
    assert np.isnan(checked["y"]).sum() == np.isnan(observed["y"]).sum()
    assert np.isnan(simulator.sample(20, seed=1)["y"]).any()


def test_more_missing_values_than_were_trained_on_are_warned_of() -> None:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, missing=0.1)
    def measured(parameters, seed):
        shape = (tf.shape(parameters["mean"])[0], 20)
        return {"y": parameters["mean"][:, None] + tf.random.stateless_normal(shape, seed)}

    ratio = bi.LikelihoodRatio(measured).fit(steps=2, batch_size=32, seed=1, progress=False)
    with pytest.warns(UserWarning, match="18 of 20 values are missing"):
        ratio.posterior({"y": [0.1, 0.2, *18 * [np.nan]]})


def test_vectors_of_heavy_tails_round_trip() -> None:
    rows = {"x": np.exp(np.random.default_rng(1).normal(0.0, 3.0, (2_000, 1)))}
    vector = DataVector.fit({"x": (1,)}, rows, seed=1)
    assert vector.frame.compress[0] > 0.0
    with tf.GradientTape() as tape:
        x = tf.constant(rows["x"])
        tape.watch(x)
        z, log_det = vector.to_vector({"x": x}, tf.zeros((2_000, 1)))
    np.testing.assert_allclose(vector.from_vector(z.numpy())["x"], rows["x"], rtol=2e-4)
    slope = np.log(tape.gradient(z, x).numpy()[:, 0])
    np.testing.assert_allclose(log_det, slope, atol=1e-4)


def test_chains_that_disagree_are_warned_of() -> None:
    draws = np.random.default_rng(1).normal(size=(2, 4, 250, 3))
    diverged = np.zeros((2, 4, 250), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Convergence.measure({"beta": draws}, diverged).warn("'model'")
    draws[1, 0, :, 2] += 2.0
    found = Convergence.measure({"beta": draws}, diverged)
    assert found.values["beta"].shape == (3, 2, 3)
    with pytest.warns(UserWarning, match=r"'model' have not converged: R-hat of beta\[2\] 1\.\d+"):
        found.warn("'model'")


def test_what_the_prior_fixes_has_converged() -> None:
    """The upper triangle of a triangular matrix, in all chains; a single chain may stand still."""
    draws = np.random.default_rng(1).normal(size=(1, 4, 250, 2, 2))
    draws[..., 0, 1] = 0.0
    diverged = np.zeros((1, 4, 250), bool)
    found = Convergence.measure({"root": draws}, diverged)
    assert found.values["root"][:, 0, 0, 1].tolist() == [1.0, 1_000.0, 1_000.0]
    assert found.extreme()[0] < 1.02
    alone = Convergence.measure({"root": draws[:, :1]}, diverged[:, :1])
    assert np.isnan(alone.extreme()[0])


class Matches(keras.layers.Layer):
    """Knows which data belong to which parameters: they are equal."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        x, condition = tf.split(inputs, 2, axis=-1)
        return tf.where(tf.abs(x - condition) < 1e-6, 50.0, -50.0)


@pytest.mark.parametrize("rows", [2, 5, 8, 9, 20])
def test_ratios_of_few_rows_are_judged_by_other_rows_only(rows: int) -> None:
    flow = bi.likelihood.RatioFlow(classes=8, hidden=(4,))
    flow.network = Matches()
    # Or its first use would make another network.
    flow.built = True
    values = tf.range(float(rows))[:, None]
    # A perfect classifier loses nothing.
    np.testing.assert_allclose(flow.loss(values, values), 0.0, atol=1e-5)


@pytest.mark.parametrize("kind", ["likelihood", "ratio"])
def test_the_edge_of_a_prior_is_like_what_is_near_it(trained, kind: str) -> None:
    """Unconstrained values at an edge are infinite, where no network has learned anything."""
    found = trained[kind]
    density = found.log_prob if kind == "likelihood" else found.log_ratio
    shift = np.array([-1.999, -1.999999, -2.0, 1.999, 2.0], np.float32)
    data = {"x": np.array([0.1, 7.0]), "count": 4.0, "noise": 1.0}
    values = density(data, {"rate": np.full(5, 4.0), "shift": shift})
    assert values[1:3] == pytest.approx(values[0], abs=0.3)
    assert values[4] == pytest.approx(values[3], abs=0.3)


def test_draws_at_the_edge_of_a_prior_are_like_those_near_it(trained) -> None:
    given = {"rate": [4.0, 4.0], "shift": [-1.9999, -2.0]}
    drawn = trained["likelihood"].sample(given, {"noise": [1.0, 1.0]}, draws=2_000, seed=1)
    x = drawn["x"][..., 0]
    assert x[1].mean() == pytest.approx(x[0].mean(), abs=0.15)
    assert x[1].std() == pytest.approx(x[0].std(), rel=0.15)


def test_rows_outside_the_prior_are_refused() -> None:
    rows = counted.sample(200, seed=1)
    rows["shift"] = np.append(np.full(5, 3.0, np.float32), rows["shift"][5:])
    with pytest.raises(InputError, match=r"(?s)inside the prior's support.*5 of"):
        likelihood().fit(rows, epochs=1, validation=None, progress=False)


def test_another_prior_may_have_double_precision_and_no_integers(trained) -> None:
    shift = tfd.Uniform(-1.0, 1.0)
    double = {"rate": tfd.Gamma(np.float64(4.0), np.float64(1.0)), "shift": shift}
    posterior = trained["likelihood"].posterior(prior=double)
    assert posterior.simulator.sample(5, seed=1)["rate"].shape == (5,)
    with pytest.raises(InputError, match=r"(?s)continuous parameters.*\['rate'\]"):
        trained["likelihood"].posterior(prior={"rate": tfd.Poisson(4.0), "shift": shift})


def test_ratios_are_traced_once(trained) -> None:
    assert trained["ratio"].score() is trained["ratio"].score()


def test_posteriors_of_one_prior_share_a_compiled_sampler() -> None:
    trained = likelihood().fit(steps=2, batch_size=8, progress=False)
    known = trained.posterior(trials=2)._density
    assert trained.posterior(trials=5)._density is known
    another = trained.posterior(prior=counted.prior.entries)._density
    assert another is not known
    trained.fit(steps=2, batch_size=8, seed=2, progress=False)
    assert trained.posterior(trials=2)._density is not known


@pytest.mark.parametrize("trials", [None, 3])
def test_stored_simulations_have_posteriors_of_several_trials_and_of_another_prior(
    trials: int | None,
) -> None:
    rows = counted.sample(200, seed=1)
    laws = counted.prior.entries, counted.context.entries
    stored = bi.from_arrays(laws[0], rows, context=laws[1])
    trained = likelihood(stored).fit(rows, steps=2, batch_size=8, progress=False)
    narrow = {"rate": tfd.Gamma(9.0, 2.0), "shift": tfd.Uniform(-1.0, 1.0)}
    posterior = trained.posterior(prior=narrow, trials=trials)
    leading = () if trials is None else (trials,)
    assert posterior.simulator.observable_shapes == {"x": (*leading, 2), "count": leading}
    assert posterior.simulator.observable_types == stored.observable_types
    assert not posterior.simulator.simulates
    data = {"x": np.ones((*leading, 2)), "count": np.full(leading, 4), "noise": 1.0}
    assert trained.posterior(data, prior=narrow).trials == trials


@pytest.mark.parametrize(
    ("observed", "fragments"),
    [
        (
            {"x": np.ones((2, 4, 2)), "count": np.ones((2, 4))},
            ["one data set", "several data sets"],
        ),
        ({"x": np.ones((4, 3)), "count": np.ones(4)}, ["shape (4, 2)", "(4, 3)"]),
        ({"count": np.ones(4)}, ["'x'", "missing"]),
        ({"x": np.ones((0, 2)), "count": []}, ["one trial or more", "the prior"]),
        (
            {"x": np.ones((4, 2)), "count": np.ones(4), "noise": np.ones(3)},
            ["the same number of trials", "'noise': 3", "context that all trials share"],
        ),
    ],
)
def test_wrong_data_are_refused_where_they_are_given(trained, observed, fragments) -> None:
    with pytest.raises(InputError) as error:
        trained["likelihood"].posterior({"noise": 1.0, **observed})
    for fragment in fragments:
        assert fragment in str(error.value)


def test_what_becomes_of_arrays_later_was_not_observed() -> None:
    ratio = bi.LikelihoodRatio(counted, classifier=bi.likelihood.RatioFlow(hidden=(8,)))
    ratio.fit(steps=2, batch_size=32, progress=False)
    observed = {"x": np.full((2, 2), 7.0), "count": np.array([3, 4]), "noise": 0.5}
    posterior = ratio.posterior(observed, chains=3)
    observed["x"][:] = -7.0
    observed["noise"] = 2.0
    tree = posterior.infer(draws=10, predictive=False)
    assert tree["observed_data"]["x"].min() == 7.0
    assert tree["constant_data"]["noise"] == 0.5
    # Chains of equal length, which make ten draws or a few more.
    assert tree["posterior"]["rate"].shape == (3, 4)
    assert posterior.sample(draws=10)["rate"].shape == (10,)
    # Of any number of trials, with one program.
    single = ratio.posterior({"x": [7.0, 7.0], "count": 3, "noise": 0.5}, chains=3)
    assert single.sample(draws=10)["rate"].shape == (10,)
    block = single._density.sampler._block
    assert block.experimental_get_tracing_count() == 1
