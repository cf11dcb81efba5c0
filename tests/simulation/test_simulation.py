"""The simulator's contract: declaration, context, lengths, failure policy, names and purity."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import bayesinn as bi
from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.simulation import checks, registry
from bayesinn.simulation.derived import derived_simulator

tfd = tfp.distributions
PRIOR = {"mean": tfd.Normal(0.0, 1.0)}


def half_fails(engine: str, policy: str) -> bi.Simulator:
    """NaN where the mean is negative: redrawing conditions the prior on a positive mean."""
    if engine == "python":

        def positive(parameters, generator):
            return {"x": np.sqrt(parameters["mean"]) if parameters["mean"] >= 0 else np.nan}
    else:

        def positive(parameters, seed):
            return {"x": tf.sqrt(parameters["mean"])}

    options = {"workers": 1} if engine == "python" else {}
    return bi.simulator(prior=PRIOR, engine=engine, on_nonfinite=policy, **options)(positive)


@pytest.fixture(scope="module")
def survey() -> bi.Simulator:
    """Context, varying length, several observables of several types."""

    @bi.simulator(
        prior={"rate": tfd.LogNormal(0.0, 0.3), "group": tfd.Normal([0.0, 0.0], 1.0)},
        context={
            "days": tfd.FiniteDiscrete(tf.range(2, 7), logits=tf.zeros(5)),
            "size": tfd.Uniform(1.0, 2.0),
        },
        lengths={"series": "days"},
        labels={"rate": r"$\lambda$"},
        units={"rate": "1/day"},
    )
    def survey(parameters, context, seed):
        """A survey."""
        n = tf.shape(parameters["rate"])[0]
        first, second = tf.unstack(tf.random.split(seed, 2))
        series = tf.cast(
            tf.transpose(tfd.Poisson(parameters["rate"]).sample(6, seed=first)), tf.int32
        )
        valid = tf.range(6) < context["days"][:, None]
        total = context["size"] * tf.reduce_sum(parameters["group"], axis=1)
        return {
            "series": tf.where(valid, series, -1),
            "image": tf.random.stateless_normal((n, 3, 4), second),
            "total": total,
            "seen": total > 0.0,
        }

    return survey


def test_shapes_are_found_by_running_it(survey: bi.Simulator) -> None:
    assert survey.observable_shapes == {"series": (6,), "image": (3, 4), "total": (), "seen": ()}
    assert survey.prior.event_shapes == {"rate": (), "group": (2,)}
    assert survey.context_names == ("days", "size")
    assert survey.name == "survey"
    assert survey.__doc__ == "A survey."
    assert "rate, group[2]" in repr(survey)
    assert survey.labels.axis("rate") == r"$\lambda$ [1/day]"


def test_sample_has_everything_side_by_side(survey: bi.Simulator) -> None:
    sample = survey.sample(500, seed=1)
    assert list(sample) == ["rate", "group", "days", "size", "series", "image", "total", "seen"]
    assert {len(value) for value in sample.values()} == {500}
    assert set(np.unique(sample["days"])) == {2, 3, 4, 5, 6}
    padding = np.arange(6) >= sample["days"][:, None]
    assert (sample["series"][padding] == -1).all()
    assert (sample["series"][~padding] >= 0).all()
    np.testing.assert_allclose(
        sample["total"], sample["size"] * sample["group"].sum(axis=1), rtol=1e-5
    )


def test_sampling_is_a_pure_function_of_the_seed(survey: bi.Simulator) -> None:
    first = survey.sample(20, seed=1)
    other = survey.sample(20, seed=2)
    survey.sample(7, seed=3)
    again = survey.sample(20, seed=1)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)
        assert not np.array_equal(value, other[name]), name


def test_streams_differ(survey: bi.Simulator) -> None:
    drawn = survey.draw(20, 1)
    pilot = survey.draw(20, 1, "pilot")
    assert not np.array_equal(drawn.parameters["rate"], pilot.parameters["rate"])


def test_simulate_uses_what_it_is_given(survey: bi.Simulator) -> None:
    parameters = {"rate": np.ones(3, np.float32), "group": np.ones((3, 2), np.float32)}
    context = {"days": np.array([2, 3, 6]), "size": np.array([1.0, 2.0, 3.0], np.float32)}
    first, again, other = (survey.simulate(parameters, seed, context) for seed in (1, 1, 2))
    np.testing.assert_allclose(first["total"], [2.0, 4.0, 6.0])
    assert ((first["series"] >= 0).sum(axis=1) == [2, 3, 6]).all()
    np.testing.assert_array_equal(first["image"], again["image"])
    assert not np.array_equal(first["image"], other["image"])


def test_call_gives_the_function_itself(survey: bi.Simulator) -> None:
    linear = bi.get_simulator("linear")
    y = linear({"x1": tf.ones(4), "x2": tf.ones(4)}, tf.constant([1, 2]))["y"]
    assert y.shape == (4,)


@pytest.mark.parametrize("engine", ["tensorflow", "python"])
def test_redrawing_is_counted_and_gives_the_truncated_prior(engine: str) -> None:
    rows = 4000
    batch = half_fails(engine, "redraw").draw(rows, seed=1)
    mean = np.asarray(batch.parameters["mean"])
    x = np.asarray(batch.observables["x"])
    np.testing.assert_allclose(x, np.sqrt(mean), rtol=1e-5)
    # Each row fails a geometric number of times: mean 1, variance 2. Four standard deviations.
    assert int(batch.failed) == pytest.approx(rows, abs=4 * np.sqrt(2 * rows))
    # Rejection leaves the prior given success: a half-normal. p was 0.10 to 0.87 over three seeds
    # and both engines.
    assert stats.kstest(mean, stats.halfnorm.cdf).pvalue > 0.001


@pytest.mark.parametrize("engine", ["tensorflow", "python"])
def test_raising_says_how_many_and_which(engine: str) -> None:
    simulator = half_fails(engine, "raise")
    batch = simulator.draw(200, seed=1)
    share = np.mean(np.isnan(batch.observables["x"]))
    with pytest.raises(SimulatorError) as error:
        simulator.sample(200, seed=1)
    first = np.flatnonzero(np.isnan(batch.observables["x"]))[0]
    message = str(error.value)
    assert "Observable 'x' of simulator 'positive'" in message
    assert f"{100 * share:.1f} % of the simulations" in message
    assert f"{{'mean': {float(batch.parameters['mean'][first])}}}" in message
    assert "on_nonfinite='redraw'" in message


@pytest.mark.parametrize("engine", ["tensorflow", "python"])
def test_redrawing_gives_up_where_nothing_works(engine: str) -> None:
    if engine == "python":

        def hopeless(parameters, generator):
            return {"x": np.nan}
    else:

        def hopeless(parameters, seed):
            return {"x": parameters["mean"] * np.nan}

    simulator = bi.simulator(prior=PRIOR, engine=engine, on_nonfinite="redraw", workers=1)(hopeless)
    with pytest.raises(SimulatorError, match=r"100.0 % after 100 redraws"):
        simulator.sample(5, seed=1)


def test_redraw_replaces_context_with_the_parameters() -> None:
    @bi.simulator(prior=PRIOR, context={"size": tfd.Uniform(0.0, 1.0)}, on_nonfinite="redraw")
    def together(parameters, context, seed):
        total = parameters["mean"] + context["size"]
        return {"total": tf.where(total > 0.0, total, np.nan)}

    sample = together.sample(1000, seed=1)
    np.testing.assert_allclose(
        sample["total"], sample["mean"] + sample["size"], rtol=1e-5, atol=1e-6
    )


def test_joint_distribution_is_taken_apart() -> None:
    joint = tfd.JointDistributionNamed(
        {"scale": tfd.Gamma(2.0, 1.0), "place": lambda scale: tfd.Normal(0.0, scale)}
    )

    @bi.simulator(prior=joint)
    def nested(parameters, seed):
        return {"x": parameters["place"]}

    sample = nested.sample(5000, seed=1)
    assert set(nested.prior.names) == {"scale", "place"}
    # If place did not depend on scale, its standardised value would not be normal.
    assert stats.kstest(sample["place"] / sample["scale"], "norm").pvalue > 0.001


# Registry


def test_shipped_simulators_are_available() -> None:
    assert {"linear", "gaussian", "sir", "sir_numpy"} <= set(bi.list_simulators())
    assert bi.get_simulator("linear").name == "linear"
    assert bi.get_simulator("linear") is bi.get_simulator("linear")


@pytest.fixture
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


def test_register_and_get(clean_registry: None) -> None:
    mine = half_fails("tensorflow", "raise")
    assert bi.register_simulator(mine) is mine
    assert bi.register_simulator(mine) is mine
    assert bi.get_simulator("positive") is mine
    assert "positive" in bi.list_simulators()


def test_a_name_is_registered_once(clean_registry: None) -> None:
    @bi.simulator(prior=PRIOR, name="linear")
    def another(parameters, seed):
        return {"x": parameters["mean"]}

    bi.get_simulator("linear")
    with pytest.raises(InputError, match="'linear'") as error:
        bi.register_simulator(another)
    assert "simulators.linear" in str(error.value)


MODEL = """
import bayesinn as bi
import tensorflow_probability as tfp

@bi.simulator(prior={"mean": tfp.distributions.Normal(0.0, 1.0)})
def from_file(parameters, seed):
    return {"x": 2.0 * parameters["mean"]}

number = 3
"""


def test_get_from_a_file(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "some_model_in_a_file.py"
    file.write_text(MODEL)
    simulator = bi.get_simulator(f"{file}:from_file")
    sample = simulator.sample(3, seed=1)
    np.testing.assert_allclose(sample["x"], 2.0 * sample["mean"])
    assert bi.get_simulator(f"{file}:from_file") is simulator
    assert registry.find(simulator.reference()) is simulator
    monkeypatch.chdir(tmp_path)
    assert bi.get_simulator("some_model_in_a_file.py:from_file") is simulator
    # It has no other.
    assert bi.get_simulator("some_model_in_a_file.py") is simulator
    for name in ("number", "missing"):
        with pytest.raises(InputError, match=f"'{name}'; its simulators are from_file"):
            bi.get_simulator(f"{file}:{name}")


def test_a_file_imports_what_is_beside_it(tmp_path) -> None:
    """In worker processes, too."""
    (tmp_path / "a_helper_of_a_model.py").write_text("def double(x):\n    return 2.0 * x\n")
    file = tmp_path / "some_model_with_a_helper.py"
    file.write_text("""
import bayesinn as bi
import tensorflow_probability as tfp
from a_helper_of_a_model import double

@bi.simulator(
    prior={"mean": tfp.distributions.Normal(0.0, 1.0)}, engine="python", workers=1
)
def helped(parameters, generator):
    return {"x": double(parameters["mean"])}
""")
    sample = bi.get_simulator(f"{file}:helped").sample(3, seed=1)
    np.testing.assert_allclose(sample["x"], 2.0 * sample["mean"])


def test_a_file_that_fails_can_be_mended(tmp_path) -> None:
    file = tmp_path / "some_broken_model.py"
    file.write_text(f"1 / 0\n{MODEL}")
    for _ in range(2):
        with pytest.raises(InputError, match=r"(?s)can be run.*ZeroDivisionError"):
            bi.get_simulator(f"{file}:from_file")
    file.write_text(MODEL)
    assert bi.get_simulator(f"{file}:from_file").name == "from_file"


def test_a_file_named_like_a_module_is_still_found(tmp_path, fresh_python) -> None:
    """A saved posterior refers to the module 'calendar', which Python has too."""
    file = tmp_path / "calendar.py"
    file.write_text(MODEL)
    simulator = bi.get_simulator(f"{file}:from_file")
    code = (
        "import json, sys; from bayesinn.simulation import registry;"
        "print(registry.find(json.loads(sys.argv[1]), trust_source=True))"
    )
    assert "Simulator 'from_file'" in fresh_python(code, json.dumps(simulator.reference())).stdout


@pytest.mark.parametrize("engine", ["tensorflow", "python"])
@pytest.mark.parametrize("policy", ["raise", "redraw"])
def test_padding_may_hold_nan(engine: str, policy: str) -> None:
    """Drawing such rows again would leave series of full length alone."""
    if engine == "python":

        def padded(parameters, context, generator):
            return {"x": np.where(np.arange(4) < context["n"], parameters["mean"], np.nan)}
    else:

        def padded(parameters, context, seed):
            return {
                "x": tf.where(
                    tf.range(4) < context["n"][:, None], parameters["mean"][:, None], np.nan
                )
            }

    options = {"workers": 1} if engine == "python" else {}
    counts = {"n": tfd.FiniteDiscrete(tf.range(1, 5), logits=tf.zeros(4))}
    simulator = bi.simulator(
        prior=PRIOR,
        context=counts,
        lengths={"x": "n"},
        engine=engine,
        on_nonfinite=policy,
        **options,
    )(padded)
    batch = simulator.draw(400, seed=1)
    assert int(batch.failed) == 0
    # Each in a quarter of the rows, four standard deviations.
    assert all(abs(np.sum(batch.context["n"] == n) - 100) < 35 for n in range(1, 5))
    posterior = bi.AmortizedPosterior(simulator, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    posterior.fit(batch.flat(), steps=4, batch_size=32, seed=1, progress=False)
    assert np.isfinite(posterior.history["loss"]).all()


@pytest.mark.parametrize("engine", ["tensorflow", "python"])
def test_what_overflows_in_single_precision_is_drawn_again(engine: str) -> None:
    if engine == "python":

        def explodes(parameters, generator):
            return {"x": 1e39 if parameters["mean"] > 0.0 else float(parameters["mean"])}
    else:

        def explodes(parameters, seed):
            mean = tf.cast(parameters["mean"], tf.float64)
            return {"x": tf.where(mean > 0.0, tf.constant(1e39, tf.float64), mean)}

    options = {"workers": 1} if engine == "python" else {}
    simulator = bi.simulator(prior=PRIOR, engine=engine, on_nonfinite="redraw", **options)(explodes)
    batch = simulator.draw(200, seed=1)
    assert batch.parameters["mean"].max() <= 0.0
    assert int(batch.failed) > 100
    with pytest.raises(InputError, match="finite numbers"):
        bi.AmortizedPosterior(simulator).fit(
            {**batch.flat(), "x": np.full(200, 1e39)}, steps=1, progress=False
        )


@pytest.mark.parametrize("policy", ["raise", "redraw"])
def test_python_control_flow_on_tensors_is_converted(policy: str) -> None:
    @bi.simulator(prior=PRIOR, on_nonfinite=policy)
    def steps(parameters, seed):
        x = parameters["mean"]
        for step in tf.range(3):
            if step > 0:
                x = x + 1.0
        return {"x": x}

    drawn = steps.sample(5, seed=1)
    np.testing.assert_allclose(drawn["x"], drawn["mean"] + 2.0, rtol=1e-6)
    np.testing.assert_allclose(steps.simulate({"mean": [0.5]}, seed=1)["x"], [2.5])


def test_a_message_lists_some_of_many_names() -> None:
    names = [f"p{number}" for number in range(200)]
    with pytest.raises(InputError) as error:
        checks.check_keys("Values", {}, names)
    message = str(error.value)
    assert "'p11'] and 188 more" in message
    assert "'p12'" not in message


@pytest.mark.parametrize("engine", ["tensorflow", "python"])
def test_trials_lose_their_padding(engine: str) -> None:
    """There may be NaN beyond the valid steps, which nobody counts any more."""
    options = {
        "prior": PRIOR,
        "context": {"days": tfd.FiniteDiscrete([1, 2, 3], logits=[0.0, 0.0, 0.0])},
        "lengths": {"x": "days"},
        "engine": engine,
        **({"workers": 1} if engine == "python" else {}),
    }

    def in_graph(parameters, context, seed):
        valid = tf.range(3.0) < context["days"][:, None]
        return {"x": tf.where(valid, parameters["mean"][:, None] + 9.0, np.nan)}

    def in_python(parameters, context, generator):
        valid = np.arange(3) < context["days"]
        return {"x": np.where(valid, parameters["mean"] + 9.0, np.nan)}

    function = in_python if engine == "python" else in_graph
    model = bi.simulator(**options)(function)
    rows = derived_simulator(model, trials=4).sample(20, seed=1)
    padding = np.arange(3) >= rows["days"][:, None]
    np.testing.assert_array_equal(rows["x"] == 0.0, np.repeat(padding[:, None], 4, axis=1))


def test_parameters_and_context_are_never_missing() -> None:
    model = bi.from_arrays(
        PRIOR, {"x": (3,)}, context={"dose": tfd.Normal(0.0, 1.0)}, missing="mask"
    )
    rows = {"mean": np.zeros(20), "dose": np.zeros(20), "x": np.zeros((20, 3))}
    rows["x"][4] = np.nan
    checks.check_simulations(model, rows, "rows")
    for name in ("mean", "dose"):
        wrong = {**rows, name: np.where(np.arange(20) == 5, np.nan, 0.0)}
        with pytest.raises(InputError, match=f"(?s){name}.*first is row 5"):
            checks.check_simulations(model, wrong, "rows")
