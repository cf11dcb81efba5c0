"""The check of observations and parameters: each fault is named, nothing is checked twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.arrays import numbers
from bayesinn.core.errors import InputError
from bayesinn.spaces.observations import check_observations, check_parameters

tfd = tfp.distributions


@bi.simulator(
    prior={"rate": tfd.LogNormal(0.0, 1.0), "share": tfd.Dirichlet([1.0, 1.0, 1.0])},
    context={
        "days": tfd.FiniteDiscrete(tf.range(2, 7), logits=tf.zeros(5)),
        "size": tfd.Uniform(0.1, 0.7),
        "top": lambda size: tfd.Uniform(size, 2.0 * size),
    },
    lengths={"series": "days"},
    units={"size": "m"},
)
def clinic(parameters, context, seed):
    rows = tf.ones_like(parameters["rate"])[:, None]
    return {
        "series": rows * tf.ones(6),
        "image": rows[..., None] * tf.ones((3, 4)),
        "total": context["size"],
    }


def observed(rows: int | None = 2, **changes) -> dict:
    one = {
        "series": np.ones(6),
        "image": np.ones((3, 4)),
        "total": 1.0,
        "days": 4,
        "size": 0.5,
        "top": 0.6,
    }
    data = (
        one
        if rows is None
        else {name: np.repeat(np.asarray(value)[None], rows, 0) for name, value in one.items()}
    )
    return {**data, **changes}


def test_what_was_checked_is_returned_as_it_is() -> None:
    checked = check_observations(clinic, observed())
    assert check_observations(clinic, checked) is checked
    assert (checked.count, checked.batched) == (2, True)
    one = check_observations(clinic, observed(None))
    assert (one.count, one.batched) == (1, False)
    for name, value in one.arrays.items():
        np.testing.assert_array_equal(value[0], checked.arrays[name][0], err_msg=name)


def test_a_shorter_series_is_padded_and_counted() -> None:
    data = observed(series=np.ones((2, 3)))
    del data["days"]
    checked = check_observations(clinic, data)
    assert checked.arrays["series"].shape == (2, 6)
    assert checked.arrays["days"].tolist() == [3, 3]


REFUSED = {
    "masked values": (
        {"total": np.ma.masked_less([1.0, -1.0], 0.0)},
        ["Data 'total'", "masked values", "missing='mask'"],
    ),
    "complex numbers": (
        {"total": np.ones(2) * 1j},
        ["Data 'total'", "dtype complex128", "real and imaginary part"],
    ),
    "nothing among arrays": (
        {"total": np.array([np.ones(2), None], object)},
        ["None, a missing value", "missing='mask'"],
    ),
    "nothing": ({"total": None}, ["Data 'total'", "got:      None"]),
    "text": ({"total": ["1", "2"]}, ["Data 'total'", "dtype <U1", "numpy.asarray"]),
    "ragged rows": ({"series": [[1.0, 1.0], [1.0]]}, ["Data 'series'", "NaN, the first"]),
    "a column of a table": (
        {"total": pd.DataFrame({"total": [1.0, 2.0]})},
        ["Data 'total'", "(2, 1)", "table['name'].to_numpy()"],
    ),
    "a series as a column": (
        {"series": pd.DataFrame(np.ones((6, 1)))},
        # Six observations of one step each, for the others two.
        ["the same number of observations", "series: 6", "total: 2"],
    ),
    "a series that is too long": ({"series": np.ones((2, 7))}, ["Data 'series'", "(2, 7)"]),
    "more days than steps": (
        {"series": np.ones((2, 3))},
        ["Data 'days'", "valid steps of 'series'", "0 to 3"],
    ),
    "NaN before the end": (
        {"series": [[1.0] * 6, [1.0, np.nan, 1.0, 1.0, np.nan, np.nan]]},
        ["Data 'series'", "1 NaN, the first in observation 1, index [1]"],
    ),
    "context below its support": (
        {"size": [0.5, 0.05]},
        [
            "Data 'size'",
            "Uniform from 0.1 to 0.7",
            "0.05 in observation 1",
            "give it in m,",
            "context={...}",
        ],
    ),
    "context of all observations once": (
        {"size": 0.5},
        ["Data 'size'", "one value for each", "shape ()", "stack"],
    ),
    "context above its support": ({"size": [0.9, 0.5]}, ["Data 'size'", "0.9 in observation 0"]),
    "context outside of bounds that depend on context": (
        {"size": [0.5, 0.2]},
        ["Data 'top'", "Uniform from 0.2 to 1", "0.6 in observation 1"],
    ),
    "a number of days that was never simulated": (
        {"days": [4, 1]},
        ["Data 'days'", "FiniteDiscrete from 2 to 6", "1 in observation 1"],
    ),
    "half a day": ({"days": [2.5, 4.0]}, ["Data 'days'", "2.5 in observation 0"]),
    # All steps there are, and not more: what is wrong is that it is no whole number.
    "half a day after the last": (
        {"days": [6.5, 4.0]},
        ["FiniteDiscrete from 2 to 6", "6.5 in observation 0"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    changes, fragments = REFUSED[case]
    with pytest.raises(InputError) as error:
        check_observations(clinic, observed(**changes))
    assert not [fragment for fragment in fragments if fragment not in str(error.value)], str(
        error.value
    )


def test_an_observation_must_be_finite_in_single_precision() -> None:
    with pytest.raises(InputError, match="1 infinite, or too large"):
        check_observations(bi.get_simulator("linear"), {"y": 1e39})


@bi.simulator(prior={"rate": tfd.Normal(0.0, 1.0)}, missing="mask")
def picture(parameters, seed):
    return {"image": tf.ones_like(parameters["rate"])[:, None, None] * tf.ones((2, 3))}


def test_ragged_lists_of_one_observation_and_of_several_are_filled_up() -> None:
    one = [[1.0, 2.0, 3.0], [4.0]]
    expected = [[1.0, 2.0, 3.0], [4.0, np.nan, np.nan]]
    checked = check_observations(picture, {"image": one})
    assert not checked.batched
    np.testing.assert_array_equal(checked.arrays["image"], [expected])
    checked = check_observations(picture, {"image": [one, one, [[5.0]]]})
    assert checked.batched
    last = np.full((2, 3), np.nan)
    last[0, 0] = 5.0
    np.testing.assert_array_equal(checked.arrays["image"], [expected, expected, last])
    # Lists that are all short are a smaller picture.
    with pytest.raises(InputError, match=r"(?s)Data 'image'.*\(2, 3\).*\(2, 2\)"):
        check_observations(picture, {"image": [[1.0, 2.0], [3.0, 4.0]]})


def test_series_of_pandas_of_different_length_are_padded_and_counted() -> None:
    table = pd.DataFrame({"station": [0, 0, 0, 1, 1], "value": [1.0, 2.0, None, 4.0, 5.0]})
    for kind in (float, "Float64"):
        column = table.astype({"value": kind}).groupby("station")["value"]
        series = [part for _, part in column]
        checked = check_observations(two_series, {"time": series, "value": series})
        assert checked.arrays["n"].tolist() == [3, 2]
        np.testing.assert_array_equal(
            checked.arrays["value"][:, :3], [[1, 2, np.nan], [4, 5, np.nan]]
        )


def test_tables_of_different_length_are_padded() -> None:
    tables = [pd.DataFrame(np.ones((rows, 3))) for rows in (1, 2)]
    checked = check_observations(picture, {"image": tables})
    assert np.isnan(checked.arrays["image"]).sum(axis=(1, 2)).tolist() == [3, 0]


def test_padding_without_its_counter_is_explained() -> None:
    data = observed(series=[[1.0, 1.0, 1.0, np.nan], [1.0] * 4])
    del data["days"]
    with pytest.raises(InputError, match="or give 'days', the number of valid steps"):
        check_observations(clinic, data)


def test_a_table_with_one_column_is_blamed_not_the_others() -> None:
    data = {"image": np.ones((3, 4)), "series": pd.DataFrame(np.ones((6, 1))), "total": 1.0}
    with pytest.raises(InputError, match="Data 'series'"):
        check_observations(clinic, observed(None, **data))


def test_a_series_of_pandas_is_an_array() -> None:
    checked = check_observations(clinic, observed(total=pd.Series([1.0, 2.0])))
    assert checked.arrays["total"].tolist() == [1.0, 2.0]


@bi.simulator(
    prior={"rate": tfd.Normal(0.0, 1.0)},
    context={
        "low": tfd.LogNormal(0.0, 1.0),
        "shares": tfd.Dirichlet([1.0, 1.0, 1.0]),
        "gaps": tfd.FiniteDiscrete([1, 2, 5], probs=[0.2, 0.3, 0.5]),
        "several": tfd.Uniform([0.0, 10.0], [1.0, 20.0]),
        "count": tfd.Poisson(3.0),
        "two": tfd.MixtureSameFamily(
            tfd.Categorical(probs=[0.3, 0.7]), tfd.Uniform([0.0, 4.0], [1.0, 5.0])
        ),
    },
)
def many(parameters, context, seed):
    return {"x": parameters["rate"]}


INSIDE = {
    "low": 0.0,
    "shares": [0.2, 0.0, 0.8],
    "gaps": 5,
    "several": [1.0, 10.0],
    "count": 0,
    "two": 4.5,
}


def test_the_ends_of_a_support_belong_to_it() -> None:
    assert check_observations(many, {"x": 1.0, **INSIDE}).count == 1
    sample = many.sample(2000, seed=1)
    assert check_observations(many, {name: sample[name] for name in ("x", *INSIDE)}).count == 2000


@pytest.mark.parametrize(
    ("name", "value", "support"),
    [
        ("low", -0.1, "LogNormal from 0 to inf"),
        ("shares", [0.2, 0.2, 0.8], "Dirichlet"),
        ("shares", [-0.2, 0.2, 1.0], "Dirichlet"),
        ("gaps", 3, "FiniteDiscrete"),
        ("several", [1.0, 9.0], "Uniform"),
        ("count", 1.5, "Poisson from 0 to inf"),
        ("count", -1, "Poisson from 0 to inf"),
        ("two", 6.0, "MixtureSameFamily"),
    ],
)
def test_context_of_every_kind_is_compared_with_its_support(name: str, value, support: str) -> None:
    with pytest.raises(InputError, match=f"Data '{name}'") as error:
        check_observations(many, {"x": 1.0, **INSIDE, name: value})
    assert f"declared for it: {support}" in str(error.value)
    assert f"{np.asarray(value).tolist()} in observation 0" in str(error.value)


def parameters(**changes) -> dict:
    return {"rate": np.ones((2, 5)), "share": np.ones((2, 5, 3)) / 3.0, **changes}


def test_shapes_are_written_as_python_does() -> None:
    one = check_observations(clinic, observed(None))
    with pytest.raises(InputError, match=r"shape \(draws,\) or \(\)"):
        check_parameters(clinic, parameters(rate=np.ones((1, 5))), one)
    with pytest.raises(InputError, match=r"shape \(draws, 3\) or \(3,\)"):
        check_parameters(clinic, {"rate": np.ones(5), "share": np.ones((5, 2))}, one)


def test_parameters_with_draws_or_without() -> None:
    checked = check_observations(clinic, observed())
    values, shape = check_parameters(clinic, parameters(), checked)
    assert (shape, values["rate"].shape, values["share"].shape) == ((2, 5), (2, 5), (2, 5, 3))
    values, shape = check_parameters(
        clinic, {"rate": np.ones(2), "share": np.ones((2, 3)) / 3.0}, checked
    )
    assert (shape, values["share"].shape) == ((2,), (2, 1, 3))


@pytest.mark.parametrize(
    ("rate", "fragments"),
    [
        (np.ma.masked_equal(np.ones((2, 5)), 1.0), ["masked values"]),
        (np.ones((2, 5)) * 1j, ["complex128"]),
        ([["1"] * 5] * 2, ["dtype <U1"]),
        (None, ["None"]),
        ([[1.0], [1.0, 2.0]], ["rectangular"]),
        (np.ones((2, 0)), ["an empty array"]),
        (np.ones((3, 5)), ["shape (2, draws) or (2,)", "(3, 5)"]),
    ],
)
def test_parameters_that_are_no_numbers(rate, fragments: list[str]) -> None:
    with pytest.raises(InputError, match="Parameter 'rate'") as error:
        check_parameters(clinic, parameters(rate=rate), check_observations(clinic, observed()))
    assert not [fragment for fragment in fragments if fragment not in str(error.value)], str(
        error.value
    )


def test_lists_of_masked_arrays_keep_their_masks() -> None:
    rows = [
        np.ma.masked_equal([1.0, -9999.0, 2.0], -9999.0),
        np.ma.masked_equal([3.0, 4.0, 5.0], -9999.0),
    ]
    found = numbers("Data", rows, missing=True)
    np.testing.assert_array_equal(found, [[1.0, np.nan, 2.0], [3.0, 4.0, 5.0]])
    np.testing.assert_array_equal(numbers("Data", [rows, rows], missing=True)[1], found)
    with pytest.raises(InputError, match="masked values"):
        numbers("Data", rows)


@bi.simulator(
    prior={"rate": tfd.LogNormal(0.0, 1.0)},
    context={"n": tfd.FiniteDiscrete(tf.range(2, 7), logits=tf.zeros(5))},
    lengths={"time": "n", "value": "n"},
    missing="mask",
)
def two_series(parameters, context, seed):
    rows = tf.ones_like(parameters["rate"])[:, None] * tf.ones(6)
    return {"time": rows, "value": rows}


@pytest.mark.parametrize(("first", "second"), [(3, 5), (5, 3)])
def test_a_counter_that_is_left_out_counts_the_same_for_all(first: int, second: int) -> None:
    data = {"time": np.ones(first), "value": np.ones(second)}
    with pytest.raises(InputError, match=r"(?s)same number of steps.*'n' counts"):
        check_observations(two_series, data)
    ragged = {"time": [[1.0] * first, [1.0] * 2], "value": [[1.0] * second, [1.0] * 2]}
    with pytest.raises(InputError, match=r"(?s)same number of steps.*'n' counts"):
        check_observations(two_series, ragged)
    same = {name: [[1.0] * first, [1.0] * 2] for name in ("time", "value")}
    assert check_observations(two_series, same).arrays["n"].tolist() == [first, 2]


def test_infinite_values_are_never_missing_ones() -> None:
    data = {"time": np.ones(3), "value": np.array([1.0, np.inf, 1.0])}
    with pytest.raises(InputError, match=r"(?s)1 infinite.*correct them"):
        check_observations(two_series, data)


def test_columns_of_pandas_may_lack_values() -> None:
    column = pd.array([1.0, None, 3.0], dtype="Float64")
    checked = check_observations(two_series, {"time": np.ones(3), "value": column})
    assert np.isnan(checked.arrays["value"][0, 1])


def test_a_table_is_told_how_to_become_a_dict() -> None:
    with pytest.raises(InputError, match=r"to_numpy\(\) for name in \['time', 'value'\]"):
        check_observations(two_series, pd.DataFrame({"week": [1], "time": [2], "value": [3]}))
    with pytest.raises(InputError, match=r"\{'value': table\[columns\]\.to_numpy"):
        check_observations(two_series, pd.DataFrame({"time": [2], "value1": [3], "value2": [4]}))


@pytest.mark.parametrize(
    "values",
    [["2020-03-01", "2020-03-02"], ["1.5", "2"], [1 + 2j, 3 + 4j]],
    ids=["dates", "text", "complex"],
)
def test_columns_that_are_no_numbers_are_refused(values: list[object]) -> None:
    column = pd.Series(values)
    if isinstance(values[0], str) and values[0].startswith("2020"):
        column = pd.to_datetime(column)
    with pytest.raises(InputError, match="real numbers"):
        numbers("Data 'x'", column)


def test_columns_of_numbers_keep_their_type() -> None:
    assert numbers("Data 'x'", pd.Series([1, 2])).dtype == np.int64
    assert numbers("Data 'x'", pd.array([1, 2], dtype="Int64")).dtype.kind == "i"
