"""What a declaration refuses, and what its message names: options, names, priors, real data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BayesinnError, InputError, SimulatorError

tfd = tfp.distributions
NORMAL = tfd.Normal(0.0, 1.0)
ROOT = Path(__file__).resolve().parents[2]


def declare(observable: str = "cases", **options) -> bi.Simulator:
    def growth(parameters, *context_and_seed):
        first = tf.reshape(next(iter(parameters.values())), (-1,))[
            : len(next(iter(parameters.values())))
        ]
        return {observable: tf.cast(first, tf.float32)[:, None] * tf.ones(5)}

    return bi.simulator(**{"prior": {"rate": NORMAL}, **options})(growth)


COUNTS = {"days": tfd.FiniteDiscrete(tf.range(1, 6), logits=tf.zeros(5))}


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ({"lables": {"rate": "r"}}, ["Option of @simulator", "'lables'", "did you mean 'labels'?"]),
        ({"lengths_of": {}}, ["'lengths_of'", "did you mean 'lengths'?"]),
        (
            {"labels": {"rates": "r"}},
            ["Option 'labels'", "'growth'", "'rates'", "did you mean 'rate'?"],
        ),
        ({"units": {"case": "1"}}, ["Option 'units'", "'case'", "did you mean 'cases'?"]),
        (
            {"observed": {"deaths": np.ones(5)}},
            ["Option 'observed'", "['rate', 'cases']", "'deaths'", "spelling"],
        ),
        (
            {"context": COUNTS, "lengths": {"cases": "day"}},
            ["'lengths'", "'day'", "did you mean 'days'?"],
        ),
        (
            {"engine": "python", "workers": -1},
            ["Option 'workers'", "'growth'", "an integer from 1 to 1,024", "-1"],
        ),
        ({"engine": "python", "workers": 10**6}, ["an integer from 1 to 1,024", "1000000"]),
    ],
)
def test_options(options: dict, fragments: list[str]) -> None:
    with pytest.raises(SimulatorError) as error:
        declare(**options)
    assert not [fragment for fragment in fragments if fragment not in str(error.value)], str(
        error.value
    )


DATES = np.datetime64("2020-03-01") + np.arange(5)


@pytest.mark.parametrize(
    ("declared", "name", "values"),
    [
        (np.array([0.5, 1.0, 2.0, 4.0, 8.0]), "time", [0.5, 1.0, 2.0, 4.0, 8.0]),
        ([5, 4, 3, 2, 1], "time", [5, 4, 3, 2, 1]),
        ({"day": DATES}, "day", DATES),
    ],
)
def test_coordinates_are_kept_under_their_name(declared: object, name: str, values: object) -> None:
    labels = declare(coordinates={"cases": declared}, units={name: "d"}).labels
    coordinate = labels.coordinates["cases"]
    assert (coordinate.name, coordinate.ndim) == (name, 1)
    assert np.array_equal(coordinate.values, values)
    assert labels.axis(name) == f"{name} [d]"


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        (
            {"coordinates": {"case": np.arange(5)}},
            ["Option 'coordinates'", "'case'", "did you mean 'cases'?"],
        ),
        (
            {"coordinates": {"cases": np.arange(4)}},
            ["'cases'", "shape (5,)", "(4,)", "each step along the first axis"],
        ),
        (
            {"coordinates": {"cases": [0, 1, 3, 2, 4]}},
            ["increase, or decrease", "3 at step 2, 2 at step 3", "sort"],
        ),
        ({"coordinates": {"cases": [0, 1, 1, 2, 4]}}, ["1 at step 1, 1 at step 2"]),
        (
            {"coordinates": {"cases": [0, 1, np.nan, 3, 4]}},
            ["finite", "1.0 at step 1, nan at step 2"],
        ),
        (
            {"coordinates": {"cases": [*DATES[:4], np.datetime64("NaT")]}},
            ["2020-03-04 at step 3, NaT at step 4"],
        ),
        (
            {"coordinates": {"cases": list("abcde")}},
            ["numbers or dates", "dtype <U1", "datetime64"],
        ),
        (
            {"coordinates": {"cases": {"a": DATES, "b": DATES}}},
            ["a dict of one name to an array", "2 names"],
        ),
        (
            {"coordinates": {"cases": {"rate": DATES}}},
            ["different names", "['rate'] more than once"],
        ),
        ({"coordinates": {"cases": {"draw": DATES}}}, ["Name 'draw'", "rename it"]),
        (
            {"units": {"hour": "h"}, "coordinates": {"cases": {"hours": DATES}}},
            ["did you mean 'hours'?"],
        ),
    ],
)
def test_coordinates_that_do_not_fit(options: dict, fragments: list[str]) -> None:
    with pytest.raises(SimulatorError) as error:
        declare(**options)
    assert not [fragment for fragment in fragments if fragment not in str(error.value)], str(
        error.value
    )


def test_observables_share_an_axis_only_where_it_is_the_same() -> None:
    def two(parameters, seed):
        ones = tf.ones((tf.shape(parameters["rate"])[0], 5))
        return {"cases": ones, "deaths": ones}

    both = bi.simulator(
        prior={"rate": NORMAL}, coordinates={"cases": DATES, "deaths": DATES.copy()}
    )(two)
    assert [coordinate.name for coordinate in both.labels.coordinates.values()] == ["time", "time"]
    with pytest.raises(
        SimulatorError, match=r"(?s)'deaths'.*the 'time' of 'cases'.*\{'time of deaths': ...\}"
    ):
        bi.simulator(prior={"rate": NORMAL}, coordinates={"cases": DATES, "deaths": np.arange(5)})(
            two
        )


@pytest.mark.parametrize("name", ["draw", "chain", "observation", "a/b", "a, b", "a[0]"])
def test_names_that_results_and_files_could_not_hold(name: str) -> None:
    for options in ({"prior": {name: NORMAL}}, {"context": {name: NORMAL}}, {"observable": name}):
        with pytest.raises(SimulatorError, match=r"Name .* in simulator 'growth'") as error:
            declare(**options)
        assert repr(name) in str(error.value)
        assert "rename it" in str(error.value)


def test_names_that_no_disk_could_hold() -> None:
    long = "ä" * 101
    most = "ä" * 100
    for options in ({"prior": {long: NORMAL}}, {"context": {long: NORMAL}}, {"observable": long}):
        with pytest.raises(
            SimulatorError, match=r"(?s)Name 'ä+'\.\.\. in simulator 'growth'.*202.*rename it"
        ):
            declare(**options)
    assert declare(observable=most).observable_shapes == {most: (5,)}


@pytest.mark.parametrize("text", ["rate \ud800", "a\0b", 5], ids=ascii)
def test_texts_that_files_and_figures_could_not_hold(text) -> None:
    for option, name in (("labels", "cases"), ("units", "rate")):
        with pytest.raises(
            SimulatorError, match=rf"Option '{option}' of simulator 'growth', '{name}'"
        ) as error:
            declare(**{option: {name: text}})
        assert repr(text) in str(error.value)
        assert "pass a text" in str(error.value)
    if isinstance(text, str):
        with pytest.raises(SimulatorError, match="Name of simulator"):
            declare(name=text)


def test_a_misspelt_option_does_not_pass_the_type_checker(tmp_path) -> None:
    (tmp_path / "model.py").write_text(
        "import bayesinn as bi\nimport tensorflow_probability as tfp\n\n"
        "prior = {'a': tfp.distributions.Normal(0.0, 1.0)}\n"
        "bi.simulator(prior=prior, lables={'a': 'A'})\n"
        "bi.simulator(prior=prior, engine='julia')\n"
        "bi.simulator(prior=prior, labels={'a': 'A'}, engine='python', workers=2)\n"
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        ROOT / "pyproject.toml",
        tmp_path / "model.py",
    ]
    lines = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    assert [line.split(":")[1] for line in lines if ": error:" in line] == ["5", "6"]


# Observables


@pytest.mark.parametrize("policy", ["raise", "redraw"])
@pytest.mark.parametrize(
    ("returned", "fragments"),
    [
        (lambda a: tf.RaggedTensor.from_tensor(a[:, None]), ["RaggedTensor", "lengths"]),
        (lambda a: tf.sparse.from_dense(a[:, None]), ["SparseTensor"]),
        (tf.Variable, ["Variable"]),
        (lambda a: tf.numpy_function(lambda x: x, [a], tf.float32), ["ensure_shape"]),
    ],
    ids=["ragged", "sparse", "variable", "unknown shape"],
)
def test_observables_that_are_no_rows_of_numbers(returned, fragments, policy: str) -> None:
    declare = bi.simulator(prior={"a": NORMAL}, on_nonfinite=policy, name="odd")
    with pytest.raises(SimulatorError, match="Observable 'y' of simulator 'odd'") as error:
        declare(lambda parameters, seed: {"y": returned(parameters["a"])})
    assert not [fragment for fragment in fragments if fragment not in str(error.value)], str(
        error.value
    )


def test_rows_on_the_last_axis_are_refused_whatever_their_number() -> None:
    """Data of three steps look right in a trial of three rows."""
    declare = bi.simulator(prior={"a": NORMAL}, name="odd")
    with pytest.raises(SimulatorError, match=r"(?s)'y' of simulator 'odd'.*shape \(3, 2\)"):
        declare(lambda parameters, seed: {"y": tf.zeros((3, tf.shape(parameters["a"])[0]))})


# Priors


@pytest.mark.parametrize(
    ("prior", "fragments"),
    [
        (
            tfd.TransformedDistribution(tfd.VonMises(0.0, 2.0), tfp.bijectors.Scale(0.5)),
            ["a transformed VonMises", "in the simulator"],
        ),
        (
            tfd.WishartTriL(9.0, np.eye(2, dtype="f4"), input_output_cholesky=True),
            ["Cholesky factors of WishartTriL", "leave input_output_cholesky out"],
        ),
        (tfd.Normal(np.zeros(0, np.float32), 1.0), ["one number or more", "shape (0,)"]),
        (tfd.Deterministic(3.0), ["Deterministic", "constant"]),
        (tfd.VectorDeterministic([3.0, 1.0]), ["VectorDeterministic", "constant"]),
        (tfd.Normal(0.0, -1.0), ["log densities [nan, nan]", "scales must be positive"]),
        (tfd.LogNormal([0.0, 0.0], [1.0, -1.0]), ["log densities", "scales must be positive"]),
        (tfd.Uniform(2.0, -3.0), ["log densities", "lower bounds below upper"]),
        (
            tfd.MultivariateNormalTriL([0.0, 0.0], [[1.0, 0.0], [1.0, 0.0]]),
            ["log densities", "covariances regular"],
        ),
    ],
)
def test_priors_that_can_not_be_inferred(prior, fragments: list[str]) -> None:
    with pytest.raises(SimulatorError, match="Prior of 'rate'") as error:
        declare(prior={"rate": prior})
    assert not [fragment for fragment in fragments if fragment not in str(error.value)], str(
        error.value
    )


def test_a_matrix_may_be_made_of_a_vector() -> None:
    vector = tfd.Sample(tfd.Normal(0.0, 1.0), 3)
    root = tfd.TransformedDistribution(vector, tfp.bijectors.FillScaleTriL())
    assert declare(prior={"rate": root}).prior.event_shapes == {"rate": (2, 2)}


def test_a_joint_distribution_inside_a_prior() -> None:
    with pytest.raises(SimulatorError, match="Entry 'rate' of the prior"):
        declare(prior={"rate": tfd.JointDistributionSequential([NORMAL])})


def test_context_may_be_a_constant() -> None:
    assert declare(context={"size": tfd.Deterministic(3.0)}).sample(2, seed=1)["size"].tolist() == [
        3.0,
        3.0,
    ]


# Real data that ship with a simulator


@pytest.mark.parametrize(
    ("observed", "fragments"),
    [
        (
            {"cases": [1.0, np.nan, 1.0, 1.0, 1.0]},
            ["'observed'", "'cases'", "finite numbers", "NaN"],
        ),
        ({"cases": [[1.0, 1.0, 1.0, 1.0, np.inf]]}, ["'cases'", "finite numbers"]),
        ({"cases": [1.0, np.nan, 1.0, 1.0, 1.0], "days": 2}, ["'cases'", "finite numbers"]),
        ({"cases": ["many"] * 5}, ["'cases'", "real numbers", "<U4"]),
        (
            {"cases": np.ma.masked_less([1.0, 2.0, -1.0, 1.0, 1.0], 0.0)},
            ["'cases'", "masked values"],
        ),
    ],
)
def test_observed_data_that_can_not_be_used(observed: dict, fragments: list[str]) -> None:
    with pytest.raises(BayesinnError) as error:
        declare(context=COUNTS, lengths={"cases": "days"}, observed=observed)
    assert not [fragment for fragment in fragments if fragment not in str(error.value)], str(
        error.value
    )


def test_padding_of_observed_data_may_hold_nan() -> None:
    one = {"cases": [1.0, 2.0, np.nan, np.nan, np.nan], "days": 2}
    several = {"cases": [[1.0, 2.0, np.nan, np.nan, np.nan], [1.0] * 5], "days": [2, 5]}
    for observed in (one, several):
        simulator = declare(context=COUNTS, lengths={"cases": "days"}, observed=observed)
        np.testing.assert_array_equal(simulator.observed["cases"], observed["cases"])


# Arrays to train on, and parameters to simulate with


@pytest.mark.parametrize(
    ("value", "fragments"),
    [
        (np.ma.masked_less([1.0, -1.0, 1.0], 0.0), ["masked values", "missing='mask'"]),
        (np.ones(3) * 1j, ["dtype complex128", "real and imaginary part"]),
        ([1.0, [2.0], 3.0], ["a rectangular array", "pad the rows"]),
        (None, ["got:      None"]),
        (["1", "2", "3"], ["dtype <U1", "numpy.asarray"]),
        ([], ["an empty array"]),
    ],
)
def test_what_is_no_array_of_real_numbers(value, fragments: list[str]) -> None:
    for subject, ask in (
        ("Values of the prior, 'rate'", lambda: declare().simulate({"rate": value}, seed=1)),
        (
            "Training data, 'rate'",
            lambda: bi.AmortizedPosterior(declare()).fit(
                {"rate": value, "cases": np.ones((3, 5))}, steps=1
            ),
        ),
    ):
        with pytest.raises(InputError) as error:
            ask()
        assert subject in str(error.value)
        assert not [fragment for fragment in fragments if fragment not in str(error.value)], str(
            error.value
        )


def test_long_doubles_are_computed_with_as_doubles() -> None:
    parameters = {"rate": np.ones(3, np.longdouble)}
    np.testing.assert_array_equal(declare().simulate(parameters, seed=1)["cases"], np.ones((3, 5)))


@pytest.mark.parametrize(
    "of_a", [lambda a: tfd.HalfNormal([1.0]), lambda a: tfd.Normal([0.0, 0.0], 1.0)]
)
def test_draws_without_a_row_for_each_are_refused(of_a) -> None:
    with pytest.raises(SimulatorError, match="Entry 'b' of the prior") as error:
        declare(prior={"a": NORMAL, "b": of_a})
    assert "batch shape () or (n,)" in str(error.value)


def test_more_valid_steps_than_there_can_be_are_told() -> None:
    counts = {"days": tfd.FiniteDiscrete(tf.range(3, 9), logits=tf.zeros(6))}
    with pytest.warns(UserWarning, match=r"'days' counts 3 to 8 valid steps .* has 0 to 5"):
        declare(context=counts, lengths={"cases": "days"})


def test_fractions_of_integer_parameters_are_refused() -> None:
    model = declare(prior={"k": tfd.Poisson(3.0, name="k"), "sort": tfd.Categorical([0.0, 0.0])})
    given = {"k": np.array([1.0, 2.0]), "sort": np.array([0.0, 1.0])}
    assert model.simulate(given, seed=1)["cases"].shape == (2, 5)
    with pytest.raises(InputError, match=r"Values of 'sort'"):
        model.simulate({**given, "sort": np.array([0.5, 1.0])}, seed=1)


def test_one_number_counts_steps() -> None:
    counts = {"days": tfd.Sample(COUNTS["days"], 2)}
    with pytest.raises(SimulatorError, match=r"(?s)'days' in option 'lengths'.*shape \(2,\)"):
        declare(context=counts, lengths={"cases": "days"})


def test_one_number_has_no_steps() -> None:
    with pytest.raises(SimulatorError, match=r"(?s)'total' in option 'lengths'.*leave it out"):

        @bi.simulator(prior={"rate": NORMAL}, context=COUNTS, lengths={"total": "days"})
        def counted(parameters, context, seed):
            return {"total": parameters["rate"]}
