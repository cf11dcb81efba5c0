"""A prior and arrays, without any function: trained, diagnosed, reported, saved, loaded elsewhere."""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError, SimulatorError
from bayesinn.simulation.checks import check_simulations
from bayesinn.simulation.derived import PriorWarning, warn_of_other_prior
from bayesinn.simulation.prior import Prior
from bayesinn.simulation.prior_text import read_distribution, write_distribution

tfd = tfp.distributions
tfb = tfp.bijectors
PRIOR = {"mean": tfd.Normal(0.0, 1.0), "sd": tfd.LogNormal(-0.5, 0.3)}


def simulate(rows: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    mean = generator.normal(size=rows)
    sd = np.exp(generator.normal(-0.5, 0.3, size=rows))
    return {
        "mean": mean,
        "sd": sd,
        "y": mean[:, None] + sd[:, None] * generator.normal(size=(rows, 4)),
    }


def part(arrays: dict[str, np.ndarray], rows: slice) -> dict[str, np.ndarray]:
    return {name: value[rows] for name, value in arrays.items()}


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return simulate(5_000)


@pytest.fixture(scope="module")
def posterior(arrays) -> bi.AmortizedPosterior:
    model = bi.from_arrays(PRIOR, arrays, name="scatter", units={"mean": "cm"})
    network = bi.summaries.DeepSet(8, hidden=(16,))
    small = bi.AmortizedPosterior(
        model, network, bi.flows.coupling(blocks=2, hidden=(16,)), networks=1
    )
    return small.fit(part(arrays, slice(4_000)), epochs=5, seed=1, progress=False)


def test_arrays_are_diagnosed_reported_and_answered(arrays, posterior, tmp_path) -> None:
    held_out = part(arrays, slice(4_700, None))
    seen = {"y": held_out["y"][0]}
    diagnosis = bi.diagnose(
        posterior, data=held_out, draws=50, seed=2, observed=seen, progress=False
    )
    assert diagnosis.size == (300, 50)
    np.testing.assert_allclose(diagnosis.evidence.truth["mean"], held_out["mean"], rtol=1e-6)
    assert diagnosis["sbc"] is not None
    assert diagnosis["tarp"] is not None
    assert diagnosis["predictive"] is None
    assert "there is no function to simulate with" in repr(diagnosis)
    assert "rows that were held out" in diagnosis.again("simulations", 9_000)
    assert "Simulations of y (4) from 2 parameters were given as arrays" in diagnosis.methods
    assert "On 300 further simulated data sets" in diagnosis.methods
    page = diagnosis.to_html(tmp_path / "report.html").read_text()
    assert "scatter" in page
    tree = posterior.infer(seen, draws=20)
    assert "posterior_predictive" not in tree.children


def test_another_process_loads_it_without_any_declaration(
    posterior, arrays, tmp_path, fresh_python
) -> None:
    folder = posterior.save(tmp_path / "saved")
    # A prior of functions can't be written down.
    prior = {"mean": tfd.Normal(0.0, 1.0), "sd": lambda mean: tfd.LogNormal(-0.5 + 0.0 * mean, 0.3)}
    model = bi.from_arrays(prior, {"y": (4,)}, name="dependent")
    small = bi.AmortizedPosterior(
        model, bi.summaries.Identity(), bi.flows.coupling(blocks=1, hidden=(8,))
    )
    small.fit(part(arrays, slice(200)), steps=1, progress=False).save(tmp_path / "dependent")
    assert bi.load(tmp_path / "dependent", simulator=model).simulator is model
    code = f"""
import bayesinn as bi
posterior = bi.load({str(folder)!r})
print(repr(posterior.simulator), posterior.simulator.labels.unit("mean"))
print(posterior.sample({{"y": [0.0] * 4}}, draws=3, seed=1)["mean"].tolist())
bi.load({str(tmp_path / "dependent")!r})
"""
    done = fresh_python(code, check=False)
    assert "from arrays" in done.stdout
    assert "cm" in done.stdout
    here = posterior.sample({"y": np.zeros(4)}, draws=3, seed=1)["mean"]
    np.testing.assert_array_equal(json.loads(done.stdout.splitlines()[-1]), here)
    assert "pass it: bi.load(folder, simulator=...)" in done.stderr


def test_what_needs_a_function_says_so(posterior, arrays, tmp_path) -> None:
    model = posterior.simulator
    for call in (
        lambda: posterior.untrained().fit(steps=3),
        lambda: model.sample(3, seed=1),
        lambda: bi.simulate_bank(model, 10, tmp_path / "bank"),
        lambda: bi.simulator_report(model),
        lambda: model({}, None),
    ):
        with pytest.raises(InputError, match=r"bi\.from_arrays, which has none"):
            call()
    with pytest.raises(InputError, match="held out"):
        bi.diagnose(posterior)
    with pytest.raises(InputError, match="leave one of them out"):
        bi.diagnose(posterior, data=arrays, simulations=100)
    with pytest.raises(InputError, match=r"20"):
        bi.diagnose(posterior, data=part(arrays, slice(5)))


def test_arrays_that_contradict_the_prior_are_warned_of(posterior, arrays) -> None:
    few = part(arrays, slice(500))
    with pytest.warns(PriorWarning, match=r"'mean': their 5, 50 and 95 % quantiles are 38"):
        posterior.untrained().fit({**few, "mean": few["mean"] + 40.0}, steps=1, progress=False)


def test_one_warning_tells_of_all_numbers_of_a_parameter() -> None:
    prior = Prior({"field": tfd.Normal(tf.zeros((4, 4)), 1.0)})
    rows = {"field": np.random.default_rng(1).normal(size=(500, 4, 4))}
    rows["field"][:, :2] += 1.0
    rows["field"][:, 1, 3] += 1.0
    with pytest.warns(PriorWarning) as warned:
        warn_of_other_prior(prior, rows)
    (text,) = [str(warning.message) for warning in warned]
    assert "'field[1,3]', the farthest of 8 numbers: their" in text


@pytest.mark.filterwarnings("error::bayesinn.simulation.derived.PriorWarning")
def test_arrays_from_the_prior_are_not(posterior, arrays) -> None:
    posterior.untrained().fit(part(arrays, slice(500)), steps=1, progress=False)
    # Rounded, as in files that people write.
    rounded = {name: np.round(value, 2) for name, value in part(arrays, slice(3_000)).items()}
    posterior.untrained().fit(rounded, steps=1, progress=False)


def test_shapes_may_be_given_in_place_of_arrays() -> None:
    model = bi.from_arrays(PRIOR, {"y": (4,), "z": ()})
    assert model.observable_shapes == {"y": (4,), "z": ()}
    for wrong in [(0,), (4.0,), ([1, 2], 3), (True,)]:
        with pytest.raises(InputError, match="'y', each size of its shape"):
            bi.from_arrays(PRIOR, {"y": wrong})
    with pytest.raises(InputError, match=r"'y'(?s:.*)\(1000000, 1000000\), which need"):
        bi.from_arrays(PRIOR, {"y": (10**6, 10**6)})
    with pytest.raises(InputError, match="axes of its shape"):
        bi.from_arrays(PRIOR, {"y": (1,) * 100})
    with pytest.raises(InputError, match=r"pass a tuple for a shape, \(4,\)"):
        bi.from_arrays(PRIOR, {"y": 4})
    with pytest.raises(SimulatorError, match="at least one observable"):
        bi.from_arrays(PRIOR, {"mean": np.zeros(5)})


def test_columns_of_tables_and_lists_keep_their_type() -> None:
    days = [2_459_000.25, 2_459_000.5]  # single precision has quarters of a day
    for values in (pd.Series(days), days, pd.DataFrame({"first": days})):
        assert bi.from_arrays(PRIOR, {"day": values}).observable_types == {"day": np.float64}
    for values in (pd.Series([3, 4]), [3, 4], [4, 5, 7] * 7, np.array([3, 4])):
        counts = bi.from_arrays(PRIOR, {"count": values})
        assert counts.observable_shapes == {"count": ()}
        assert counts.observable_types == {"count": np.int64}
    assert bi.from_arrays(PRIOR, {"count": [[3, 4, 5]]}).observable_shapes == {"count": (3,)}
    assert bi.from_arrays(PRIOR, {"count": (2,)}).observable_types == {"count": np.float32}


@pytest.mark.parametrize("name", [3, None, b"y", ("y",)])
def test_names_are_texts(name: object) -> None:
    with pytest.raises(InputError, match=r"Name in 'observables'\n  expected: a text"):
        bi.from_arrays(PRIOR, {"y": (2,), name: np.zeros(3)})


def test_a_column_is_an_array_of_numbers() -> None:
    model = bi.from_arrays(PRIOR, {"y": (2,)})
    rows = {name: np.ones((9, 1)) for name in model.prior.names}
    checked = check_simulations(model, {**rows, "y": np.ones((9, 2))}, "Training data")
    assert {name: value.shape for name, value in checked.items()} == {
        **dict.fromkeys(rows, (9,)),
        "y": (9, 2),
    }
    wide = {**dict.fromkeys(rows, np.ones((9, 3))), "y": np.ones((9, 2))}
    with pytest.raises(InputError, match=r"shape \(9, 3\)"):
        check_simulations(model, wide, "Training data")


def test_a_table_in_place_of_arrays_is_told_how_to_become_one() -> None:
    table = pd.DataFrame({"mean": [0.0], "y1": [1.0], "y2": [2.0]})
    with pytest.raises(InputError, match=r"got:      DataFrame\n(?s:.*)table\[columns\]"):
        bi.from_arrays(PRIOR, table)


@pytest.mark.parametrize(
    "distribution",
    [
        tfd.Normal([0.0, 1.0], 2.0),
        tfd.Uniform(np.float64(1.0), 9.0),
        tfd.TruncatedNormal(0.0, 1.0, -1.0, 2.5),
        tfd.Independent(tfd.Exponential([1.0, 2.0]), 1),
        tfd.Sample(tfd.Beta(2.0, 3.0), sample_shape=[2]),
        tfd.MultivariateNormalTriL([0.0, 1.0], scale_tril=[[1.0, 0.0], [0.5, 2.0]]),
        tfd.TransformedDistribution(tfd.Normal(0.0, 1.0), tfb.Chain([tfb.Shift(1.0), tfb.Exp()])),
        tfd.Poisson(7.0),
        tfd.Dirichlet([1.0, 2.0, 3.0]),
    ],
    ids=lambda distribution: distribution.name,
)
def test_distributions_are_read_as_they_are_written(distribution) -> None:
    again = read_distribution("Prior", write_distribution(distribution))
    value = distribution.sample(seed=tf.constant([1, 2]))
    assert again.dtype == distribution.dtype
    np.testing.assert_array_equal(again.sample(seed=tf.constant([1, 2])), value)
    np.testing.assert_array_equal(again.log_prob(value), distribution.log_prob(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LogNormals(0, 1)", "did you mean 'LogNormal'"),
        ("__import__('os')", "no distribution"),
        ("os.system('x')", "no name of a distribution"),
        ("Normal(0", "was never closed"),
        ("Exp()", "expected: a distribution"),
        ("3", "expected: a distribution"),
        ("Normal(loc=0, loc=5, scale=1)", "'loc' is there twice"),
        (f"Normal(0, {'9' * 400})", "int too large"),
        (f"Normal(0, {'9' * 5_000})", "4300 digits"),
        ("MixtureSameFamily(1, 2)", "MixtureSameFamily"),
        ("Independent(1)", "'float' object"),
        ("TransformedDistribution(Normal(0, 1), Chain([1]))", "Chain"),
        ("TransformedDistribution(Normal(0, 1), Normal(0, 1))", "'Normal' object has no"),
        ("SphericalUniform(2.5)", "integer"),
        ("GaussianProcess('x')", "no distribution"),
        ("Bates(100000000)", "no distribution"),
        ("Normal(*[0, 1])", "Starred"),
        ("Normal(" + "(" * 100_000, "brackets"),
        ("Normal(" + "-" * 100_000 + "1, 1)", "nested|complex"),
        ("TransformedDistribution(" * 8 + "Normal(0, 1)" + ", Exp())" * 8, "more than 6"),
        ("Normal(0, 1)" + " " * 3_000_000, "characters"),
    ],
)
def test_other_texts_are_no_distributions(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_distribution("Prior of 'rate'", text)
    assert "Prior of 'rate'" in str(raised.value)
    assert len(str(raised.value)) < 800


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Sample(Normal(0, 1), [1000000, 1000000])",
            "'a' of the prior.*1,000,000,000,000 numbers",
        ),
        ("LogNormal(500, 1)", "Prior of 'a'.*finite draws.*inf"),
    ],
)
def test_priors_without_finite_draws_are_refused(text: str, message: str) -> None:
    with pytest.raises(SimulatorError, match=f"(?s){message}"):
        bi.from_arrays({"a": read_distribution("Prior of 'a'", text)}, {"y": (3,)})


def test_shapes_in_texts_are_whole_by_place_and_by_name() -> None:
    for text in ("Sample(Normal(0, 1), 3)", "Sample(Normal(0, 1), sample_shape=3)"):
        assert read_distribution("Prior", text).event_shape == (3,)


def test_a_bank_of_arrays_alone_is_refused_before_it_is_made(arrays, tmp_path) -> None:
    model = bi.from_arrays(PRIOR, arrays)
    with pytest.raises(InputError, match="a function that simulates"):
        bi.simulate_bank(model, 50, tmp_path / "bank", progress=False)
    assert not (tmp_path / "bank").exists()
