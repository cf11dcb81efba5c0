"""Observations from files: common formats are read, each fault is named by line and column."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.cli.data_files import parse_context, read_data
from bayesinn.core.errors import InputError
from bayesinn.spaces.observations import check_observations

tfd = tfp.distributions


def declare(**options: Any) -> bi.Simulator:
    def clinic(parameters, context, seed):
        rows = tf.ones_like(parameters["rate"])[:, None]
        return {
            "level": rows * tf.ones(3),
            "weight": rows[:, 0],
            "two": rows[..., None] * tf.ones((3, 2)),
        }

    context = {"dose": tfd.Uniform(0.0, 200.0), "site": tfd.Uniform([0.0, 0.0], 9.0)}
    return bi.simulator(**{"prior": {"rate": tfd.Normal(0.0, 1.0)}, "context": context, **options})(
        clinic
    )


CLINIC = declare()
VISITS = bi.simulator(
    prior={"rate": tfd.Normal(0.0, 1.0)},
    context={
        "n": tfd.FiniteDiscrete(tf.range(1, 6), logits=tf.zeros(5)),
        "dose": tfd.Uniform(0.0, 200.0),
    },
    lengths={"level": "n"},
)(lambda parameters, context, seed: {"level": parameters["rate"][:, None] * tf.ones(5)})
GAPS = bi.simulator(prior={"rate": tfd.Normal(0.0, 1.0)}, missing="mask")(
    lambda parameters, seed: {"level": parameters["rate"][:, None] * tf.ones(3)}
)
COUNT = {"n": tfd.FiniteDiscrete(tf.range(1, 6), logits=tf.zeros(5))}
TIMED = bi.simulator(
    prior={"rate": tfd.Normal(0.0, 1.0)},
    context=COUNT,
    lengths={"t": "n", "level": "n"},
    missing="mask",
)(
    lambda parameters, context, seed: {
        name: parameters["rate"][:, None] * tf.ones(5) for name in ("t", "level")
    }
)
HEAD = "level,weight,two[0],two[1],dose,site[0],site[1]\n"
ROWS = ["1,5,1,4,100,7,8\n", "2,5,2,5,100,7,8\n", "3,5,3,6,100,7,8\n"]
EXPECTED = {
    "level": [1.0, 2.0, 3.0],
    "weight": 5.0,
    "two": [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]],
    "dose": 100.0,
    "site": [7.0, 8.0],
}


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str | bytes, name: str = "data.csv") -> Path:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / name

    return write


def same(data: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(data) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(data[name], value, err_msg=name)


WAYS = {
    "context repeated": HEAD + "".join(ROWS),
    "numbers in the first row": HEAD + ROWS[0] + "2,,2,5,,,\n" + "3,,3,6,,,\n",
    "columns in another order": "dose,two[1],two[0],site[1],site[0],level,weight\n"
    "100,4,1,8,7,1,5\n100,5,2,8,7,2,5\n100,6,3,8,7,3,5\n",
    "spaces, quotes, Windows, a byte order mark and empty lines at the end": "\N{ZERO WIDTH NO-BREAK SPACE}"
    + (HEAD.replace(",", " , ") + '"1", 5,1,4,1e2,7,8\n' + "".join(ROWS[1:]) + "\n\n").replace(
        "\n", "\r\n"
    ),
    "rows of nothing at the end": HEAD + "".join(ROWS) + ",,,,,,\n",
}


@pytest.mark.parametrize("way", WAYS)
def test_one_observation(way: str, file) -> None:
    data = read_data(file(WAYS[way]), CLINIC)
    same(data, EXPECTED)
    assert check_observations(CLINIC, data).count == 1


def test_extra_columns_are_ignored_with_a_note(file) -> None:
    notes: list[str] = []
    lines = [HEAD, *ROWS]
    text = "".join(
        f"{extra},{line}"
        for extra, line in zip(["time", "0:00", "1:00", "2:00"], lines, strict=True)
    )
    same(read_data(file(text), CLINIC, note=notes.append), EXPECTED)
    assert len(notes) == 1
    assert "['time']" in notes[0]
    assert "clinic" in notes[0]


@pytest.mark.parametrize(
    ("values", "good", "bad"),
    [
        (np.array([0.0, 1.5, 12.0]), ["0", "1.50", "12"], "2"),
        (
            np.datetime64("2020-03-02") + np.arange(3),
            ["2020-03-02", "2020-03-03", "2020-03-04"],
            "2020-03-05",
        ),
    ],
)
def test_coordinates_must_be_those_of_the_simulator(
    values: np.ndarray, good: list[str], bad: str, file
) -> None:
    """Once, and for each observation."""
    simulator = bi.simulator(
        prior={"rate": tfd.Normal(0.0, 1.0)}, coordinates={"level": {"when": values}}
    )(lambda parameters, seed: {"level": parameters["rate"][:, None] * tf.ones(3)})

    def read(columns: list[list[str]]) -> dict[str, Any]:
        rows = [
            f"{i},{when},{level}"
            for i, column in enumerate(columns)
            for level, when in enumerate(column)
        ]
        return read_data(file("\n".join(["id,when,level", *rows])), simulator, note=pytest.fail)

    same(read([good, ["", *good[1:]]]), {"level": [[0.0, 1.0, 2.0]] * 2})
    with pytest.raises(InputError, match=rf"line 6, column 'when'(?s:.*)as declared(?s:.*){bad}"):
        read([good, [good[0], bad, good[2]]])


def test_rows_in_another_order_are_to_be_sorted(file) -> None:
    def declare_hours(values: list[float]) -> bi.Simulator:
        return bi.simulator(
            prior={"rate": tfd.Normal(0.0, 1.0)}, coordinates={"level": {"hours": values}}
        )(lambda parameters, seed: {"level": parameters["rate"][:, None] * tf.ones(3)})

    path = file("hours,level\n1,5\n0,4\n2,6\n")
    with pytest.raises(InputError, match=r"line 2(?s:.*)sort the rows by 'hours'$"):
        read_data(path, declare_hours([0.0, 1.0, 2.0]))
    with pytest.raises(InputError, match="sort the rows by 'hours', the largest first"):
        read_data(path, declare_hours([2.0, 1.0, 0.0]))
    with pytest.raises(InputError, match="coordinates of the data, or rename the column"):
        read_data(path, declare_hours([0.0, 1.0, 3.0]))
    # In capitals, and in a long format, too.
    with pytest.raises(InputError, match=r"line 2(?s:.*)sort the rows by 'Hours'$"):
        read_data(file("Hours,level\n2,5\n1,4\n0,6\n"), declare_hours([0.0, 1.0, 2.0]))
    long = file("HOURS,variable,value\n2,level,5\n1,level,4\n0,level,6\n")
    with pytest.raises(InputError, match=r"line 2(?s:.*)sort the rows by 'HOURS'$"):
        read_data(long, declare_hours([0.0, 1.0, 2.0]))


def test_row_numbers_of_pandas_are_left_out(file) -> None:
    table = pd.DataFrame({"id": ["a", "b"], "level": [1.0, 2.0], "dose": [3.0, 4.0]}, [7, 9])
    data = read_data(file(table.to_csv()), VISITS, note=pytest.fail)
    same(dict(data), {"level": [[1.0], [2.0]], "dose": [3.0, 4.0]})
    with pytest.raises(InputError, match="line 3, column 'dose'"):
        read_data(file(",level,dose\n0,1,2\n1,2,x\n"), VISITS)


def test_an_observation_is_blamed_by_its_name(file) -> None:
    path = file("patient,level,dose\nA,1,2\nB,1,900\n")
    with pytest.raises(InputError, match=r"'dose'(?s:.*)900\.0 in patient 'B'"):
        read_data(path, VISITS, by="patient")


def test_several_observations_by_an_id(file) -> None:
    other = [row.replace("100", "50").replace("5,", "6,", 1) for row in ROWS]
    # Rows of one observation need not be together.
    mixed = [
        f"{name},{row}"
        for pair in zip(ROWS, other, strict=True)
        for name, row in zip("ab", pair, strict=True)
    ]
    for head, by in (("id", None), ("observation", None), ("patient", "patient")):
        data = read_data(file(f"{head},{HEAD}" + "".join(mixed)), CLINIC, by=by)
        assert data["dose"].tolist() == [100.0, 50.0]
        np.testing.assert_array_equal(data["level"], 2 * [[1.0, 2.0, 3.0]])
        assert check_observations(CLINIC, data).count == 2


FIVE = bi.simulator(
    prior={"rate": tfd.Normal(0.0, 1.0)}, context={"dose": tfd.Uniform(0.0, 200.0)}
)(
    lambda parameters, context, seed: {
        "x": parameters["rate"][:, None] * tf.ones(3),
        "y": parameters["rate"],
    }
)


@pytest.mark.parametrize(
    "head", ["x0,x1,x2", "x1,x2,x3", "x_0,x_1,x_2", "x[0],x[1],x[2]", "x.1,x.2,x.3", "X0,x1,x2"]
)
def test_a_row_for_each_observation_with_numbered_columns(head: str, file) -> None:
    path = file(f"{head},y,dose\n1,2,3,4,5\n6,7,8,9,10\n,,,,\n1,2,3,5,5\n")
    if head.startswith("X"):
        with pytest.raises(InputError, match="a column 'x'"):
            read_data(path, FIVE)
        return
    data = read_data(path, FIVE, note=pytest.fail)
    same(data, {"x": [[1, 2, 3], [6, 7, 8], [1, 2, 3]], "y": [4, 9, 5], "dose": [5, 10, 5]})
    assert data.names == ("1", "2", "3")
    # In another order, with an id, and alone.
    one = read_data(file("x2,x0,x1,y,dose,id\n3,1,2,4,5,a\n"), FIVE, note=pytest.fail)
    same(one, {"x": [1, 2, 3], "y": 4, "dose": 5})
    assert one.names is None
    with pytest.raises(InputError, match=r"line 3, column 'x1'(?s:.*)a number(?s:.*)'a'"):
        read_data(file("x0,x1,x2,y,dose\n1,2,3,4,5\n1,a,3,4,5\n"), FIVE)
    for wrong in ("x0,x1,y,dose\n1,2,3,4\n", "x0,x1,x3,y,dose\n1,2,3,4,5\n"):
        with pytest.raises(InputError, match="line 1"):
            read_data(file(wrong), FIVE)


def test_context_from_elsewhere(file) -> None:
    path = file("level\n1\n2\n")
    data = read_data(path, VISITS, context=parse_context(["dose=20"]))
    checked = check_observations(VISITS, data)
    assert (checked.arrays["dose"].tolist(), checked.arrays["n"].tolist()) == ([20.0], [2])
    several = read_data(file("id,level\n1,1\n1,2\n2,1\n"), VISITS, context={"dose": 20.0})
    checked = check_observations(VISITS, several)
    assert (checked.arrays["dose"].tolist(), checked.arrays["n"].tolist()) == ([20.0, 20.0], [2, 1])
    assert parse_context(["a=1,2"])["a"].tolist() == [1.0, 2.0]
    for mistake in (["dose"], ["dose=1_000"], ["dose=1,2_0"]):
        with pytest.raises(InputError, match="NAME=NUMBER"):
            parse_context(mistake)
    with pytest.raises(InputError, match=r"Context 'dose'(?s:.*)once(?s:.*)'dose =9'"):
        parse_context(["dose=2", "dose =9"])
    with pytest.raises(InputError, match="Context 'doses'"):
        read_data(path, VISITS, context={"doses": 1.0})
    with pytest.raises(InputError, match="each context variable once"):
        read_data(file("level,dose\n1,2\n"), VISITS, context={"dose": 1.0})
    with pytest.raises(InputError, match=r"declares no context(?s:.*)leave it out"):
        read_data(file("level\n1\n2\n3\n"), GAPS, context={"dose": 1.0})


@pytest.mark.parametrize("field", ["", "NA", "nan", " "])
def test_missing_values(field: str, file) -> None:
    data = read_data(file(f"t,level\n1,1\n2,{field}\n3,{field}\n"), GAPS, note=lambda text: None)
    np.testing.assert_array_equal(data["level"], [1.0, np.nan, np.nan])
    with pytest.raises(InputError, match="line 3, column 'level'"):
        read_data(file(HEAD + ROWS[0] + f"{field},5,2,5,100,7,8\n" + ROWS[2]), CLINIC)


def test_the_last_value_of_a_series_may_be_missing(file) -> None:
    columns = [f"{name}[{step}]" for name in ("t", "level") for step in range(5)]
    for text in (
        "t,level\n1,3\n2,4\n3,\n",
        "t,level,n\n1,3,3\n2,4,3\n,,3\n",
        "variable,value\nt,1\nt,2\nt,3\nlevel,3\nlevel,4\nlevel,\n",
        f"{','.join(columns)}\n1,2,3,,,3,4,,,\n",
    ):
        data = read_data(file(text), TIMED, note=pytest.fail)
        np.testing.assert_array_equal(data["level"], [3.0, 4.0, np.nan])
        assert check_observations(TIMED, data).arrays["n"].tolist() == [3]
    several = read_data(file("id,t,level\na,1,3\na,2,\nb,1,3\nb,2,4\nb,3,\n"), TIMED)
    assert check_observations(TIMED, several).arrays["n"].tolist() == [2, 3]


def test_json_may_be_ragged(file) -> None:
    path = file(json.dumps({"level": [[1.0], [1.0, 2.0]], "dose": [1.0, 2.0]}), "data.json")
    assert check_observations(VISITS, read_data(path, VISITS)).arrays["n"].tolist() == [1, 2]


def test_json_is_an_object_without_null(file) -> None:
    with pytest.raises(InputError, match=r'a list without names; an object names it: \{"NAME"'):
        read_data(file("[1, 2, 3]", "data.json"), VISITS)
    data = read_data(file('\N{ZERO WIDTH NO-BREAK SPACE}{"level": 1}', "data.json"), VISITS)
    same(data, {"level": 1})
    data = read_data(file('{"level": [1, null, 3], "dose": 2}', "data.json"), VISITS)
    with pytest.raises(InputError, match=r"'level'(?s:.*)None, a missing(?s:.*)missing='mask'"):
        check_observations(VISITS, data)


def test_a_name_is_in_json_once(file) -> None:
    path = file('{"level": [1.0, 2.0], "dose": 2, "dose": 9}', "data.json")
    with pytest.raises(InputError, match="'dose' is there twice"):
        read_data(path, VISITS)


def test_without_a_simulator(file) -> None:
    same(read_data(file("y,n\n1.5,3\n2.5,\n")), {"y": [1.5, 2.5], "n": 3.0})


BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "a decimal comma": (
        "level\n1,5\n2,5\n3,5\n",
        ["line 2, column 2", "1 field", "2: '1,5'", "1.5, not 1,5"],
    ),
    "a quoted decimal comma": (
        'level,dose\n"1,5",2\n2,2\n',
        ["line 2, column 'level'", "'1,5'", "with a point"],
    ),
    "thousands": ('level,dose\n"1,500.0",2\n2,2\n', ["line 2, column 'level'", "thousands"]),
    "semicolons": (
        "level;dose\n1;2\n",
        ["line 1, column 1", "semicolons", "commas between fields"],
    ),
    "tabs": ("level\tdose\n1\t2\n", ["line 1, column 1", "tabs"]),
    "a surplus field": ("level,dose\n1,2\n2,2,7\n", ["line 3, column 3", "2 fields", "3: '2,2,7'"]),
    "a field too few": ("level,dose\n1,2\n2\n", ["line 3, column 'dose'", "2 fields", "1: '2'"]),
    "a blank line": ("level,dose\n1,2\n\n2,2\n", ["line 3", "a blank line", "delete"]),
    "a blank line in one column": ("level\n1\n\n2\n", ["line 3", "a blank line"]),
    "below a limit": (
        "level,dose\n1,2\n<0.05,2\n",
        ["line 3, column 'level'", "'<0.05'", "beyond a limit"],
    ),
    "above a limit": ("level,dose\n>9,2\n", ["line 2, column 'level'", "'>9'"]),
    "a word": ("level,dose\n1,2\nmany,2\n", ["line 3, column 'level'", "'many'", "a number"]),
    "a unit": ("level,dose\n1,2 mg\n", ["line 2, column 'dose'", "'2 mg'"]),
    "a date": ("level,dose\n2020-03-01,2\n", ["line 2, column 'level'", "'2020-03-01'"]),
    "an underscore": ("level,dose\n1_000,2\n", ["line 2, column 'level'", "'1_000'"]),
    "Latin 1": (
        "level,doşe\n1,2\n".encode("iso-8859-9"),
        ["line 1", "text in UTF-8", "byte 0xfe at place 9"],
    ),
    "Latin 1 further down": (b"level,dose\n1,2\n2,\xb5\n", ["line 3", "byte 0xb5 at place 3"]),
    "UTF-16": ("level,dose\n1,2\n".encode("utf-16"), ["line 1", "UTF-16", "in UTF-8"]),
    "zero bytes": (b"level,dose\n1,\x00\n", ["line 2", "a zero byte"]),
    "no header": ("1,2\n3,4\n", ["line 1, column 1", "a header", "'1'"]),
    "one name twice": ("level,level\n1,2\n", ["line 1, column 2", "'level'"]),
    "a column without a name": ("level,\n1,0\n", ["line 1, column 2", "''"]),
    "no name at all": ('""\n0\n1\n', ["line 1", "a column 'level'", "columns []"]),
    "nothing": ("", ["line 1", "the end of the file"]),
    "blank lines before the header": (
        "\n\nlevel,dose\n1,2\n",
        ["line 1", "a header with names", "a blank line", "delete the line"],
    ),
    "a header alone": ("level,dose\n", ["line 1", "the end of the file"]),
    "a quote that never ends": ('level,dose\n1,"2\n', ["well-formed CSV"]),
    "a misspelt name": (
        "levels,dose\n1,2\n",
        ["a column 'level'", "['levels', 'dose']", "rename column 'levels'"],
    ),
    "a column for each step": (
        "level_1,level_2,dose\n1,2,3\n",
        ["a column 'level'", "write one column 'level', with a row for each of 'level_1'"],
    ),
    "no context": ("level\n1\n", ["a column 'dose'", "--context dose=VALUE"]),
    "context that changes": (
        "level,dose\n1,2\n2,2\n3,4\n",
        ["line 4, column 'dose'", "[4.0] after [2.0]", "id"],
    ),
    "context that is not there": (
        "level,dose\n1,\n2,\n",
        ["column 'dose'", "an empty field", "write its value"],
    ),
    "too many rows of an id": (
        "id,level,dose\n" + "a,1,2\n" + 6 * "b,1,2\n",
        ["line 8", "5 rows, or fewer", "6", "a row for each step of an observation"],
    ),
    "too many rows": (
        "level,dose\n" + 6 * "1,2\n",
        ["line 7, column 'level'", "5 rows, or fewer", "6", "'id'"],
    ),
    "a gap": (
        "level,dose\n1,2\n,2\n3,2\n",
        ["line 3, column 'level'", "an empty field", "missing='mask'"],
    ),
    "a gap with a name": (
        "level,dose\n1,2\nNA,2\n3,2\n",
        ["line 3, column 'level'", "'NA'", "missing='mask'"],
    ),
    "channels of a number": ("level,dose[0]\n1,2\n", ["column 'dose[0]'", "one column 'dose'"]),
    "no id": ("id,level,dose\na,1,2\n,1,2\n", ["line 3, column 'id'", "an empty field"]),
}


@pytest.mark.parametrize("case", BAD)
def test_faults_are_named_by_line_and_column(case: str, file) -> None:
    text, fragments = BAD[case]
    with pytest.raises(InputError) as error:
        read_data(file(text), VISITS)
    message = str(error.value)
    assert "data.csv" in message
    assert not [fragment for fragment in fragments if fragment not in message], message


FIXED = {
    "too few rows": (HEAD + ROWS[0] + ROWS[1], ["line 3, column 'level'", "3 rows", "2"]),
    "too many rows": (HEAD + "".join(ROWS) + ROWS[2], ["line 5, column 'level'", "3 rows", "4"]),
    "the last value is missing": (
        HEAD + "".join(ROWS[:2]) + ",5,3,6,100,7,8\n",
        ["line 4, column 'level'", "an empty field"],
    ),
    "an element that is missing": (
        (HEAD + "".join(ROWS)).replace("7,8", "7,"),
        ["line 2, column 'site[1]'", "an empty field"],
    ),
    "an element that is only in a later row": (
        HEAD + "1,5,1,4,100,7,\n" + ROWS[1] + ROWS[2],
        ["line 3, column 'site[0]'", "one value for the whole", "[7.0, 8.0] after [7.0, nan]"],
    ),
    "a channel that is missing": (
        HEAD + ROWS[0] + "2,5,2,,100,7,8\n" + ROWS[2],
        ["line 3, column 'two[1]'", "an empty field"],
    ),
    "one column for two channels": (
        HEAD.replace("two[0]", "two").replace("two[1]", "x") + "".join(ROWS),
        ["line 1, column 'two'", "columns two[0] to two[1]"],
    ),
    "a channel too few": (
        HEAD.replace("two[1]", "x") + "".join(ROWS),
        ["column 'two[0]'", "1 such columns"],
    ),
    "a channel between others that is not there": (
        HEAD.replace("two[1]", "two[2]") + "".join(ROWS),
        ["line 1, column 'two[2]'", "columns two[0] to two[1]", "without two[1]"],
    ),
    "one channel twice": (
        HEAD.replace("two[1]", "two[00]") + "".join(ROWS),
        ["columns two[0] to two[1]", "without two[1]"],
    ),
    "a column that names no observations": (HEAD + "".join(ROWS), ["a column 'patient'"]),
}


@pytest.mark.parametrize("case", FIXED)
def test_faults_of_series_of_one_length(case: str, file) -> None:
    text, fragments = FIXED[case]
    with pytest.raises(InputError) as error:
        read_data(
            file(text), CLINIC, by="patient" if "names no" in case else None, note=lambda text: None
        )
    assert not [fragment for fragment in fragments if fragment not in str(error.value)], str(
        error.value
    )


def damaged_zip(path: Path) -> None:
    np.savez_compressed(path, y=np.arange(1_000))
    content = bytearray(path.read_bytes())
    for place in (60, 100, 150, 300):
        content[place] ^= 0xFF
    path.write_bytes(content)


def zip_of_texts(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("y", "1, 2, 3")


def array_alone(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.ones(3))


@pytest.mark.parametrize(
    ("write", "got"),
    [
        (array_alone, "np.savez(path, NAME=array)"),
        (lambda path: path.touch(), "EOFError"),
        (damaged_zip, "error"),
        (zip_of_texts, "'y' is no array"),
        (lambda path: path.write_bytes(b"PK"), "Error"),
        (lambda path: np.savez(path, y=np.array([{}])), "Object arrays"),
    ],
    ids=["npy", "empty", "damaged", "texts", "cut", "objects"],
)
def test_what_is_no_npz_is_explained(tmp_path, write, got: str) -> None:
    path = tmp_path / "data.npz"
    write(path)
    with pytest.raises(InputError, match=r"(?s)well-formed NPZ.*correct the file") as error:
        read_data(path)
    assert got in str(error.value)


def test_a_long_format_is_read_like_a_wide_one(file) -> None:
    steps = [*zip("123", "123", "456", strict=True)]
    lines = [f"level,{level}\ntwo[0],{one}\ntwo[1],{two}\n" for level, one, two in steps]
    lines += ["weight,5\ndose,100\nsite[0],7\nsite[1],8\n"]
    data = read_data(file("variable,value\n" + "".join(lines)), CLINIC, note=lambda text: None)
    same(data, EXPECTED)
    # Of a variable that is shorter than others, too, its own line is named.
    for fault, message in (
        ("weight,x", r"line 11, column 'weight'[\s\S]*got:      'x'"),
        ("dose,", r"line 12, column 'dose'[\s\S]*an empty field"),
    ):
        wrong = "".join(lines).replace({"w": "weight,5", "d": "dose,100"}[fault[0]], fault)
        with pytest.raises(InputError, match=message):
            read_data(file("variable,value\n" + wrong), CLINIC)
    rows = [f"{name},level,{value}" for name in "ab" for value in (1, 2, 3)]
    data = read_data(file("\n".join(["person,variable,value", *rows])), GAPS, by="person")
    assert (data.names, data.by) == (("a", "b"), "person")
    np.testing.assert_array_equal(data["level"], [[1.0, 2.0, 3.0]] * 2)
    with pytest.raises(InputError, match=r"line 3, column 'level'[\s\S]*got:      'x'"):
        read_data(file("variable,value\nlevel,1\nlevel,x\nlevel,3\n"), GAPS)


def test_variables_of_a_long_format_have_the_same_steps(file) -> None:
    days = {"day": [0, 1, 2]}
    model = bi.simulator(
        prior={"rate": tfd.Normal(0.0, 1.0)}, coordinates={"cases": days, "deaths": days}
    )(
        lambda parameters, seed: {
            name: tf.repeat(parameters["rate"][:, None], 3, axis=1) for name in ("cases", "deaths")
        }
    )
    rows = [f"{day},cases,{day + 1}" for day in range(3)]
    same_days = [f"{day}.0,deaths,{day + 4}" for day in range(3)]
    data = read_data(file("\n".join(["day,variable,value", *rows, *same_days])), model)
    np.testing.assert_array_equal(data["deaths"], [4.0, 5.0, 6.0])
    for other in ((2, 1, 0), (7, 8, 9)):
        lines = [f"{day},deaths,{day}" for day in other]
        with pytest.raises(InputError, match=r"column 'day'[\s\S]*expected: '0', as for 'cases'"):
            read_data(file("\n".join(["day,variable,value", *rows, *lines])), model)


@pytest.mark.parametrize("values", [[2_459_000.0, 2_459_001.0], [4.1e-7, 4.2e-7]])
def test_neighbours_of_a_coordinate_are_others(values: list[float], file) -> None:
    """However large or small the numbers are beside their steps."""
    model = bi.simulator(
        prior={"rate": tfd.Normal(0.0, 1.0)}, coordinates={"level": {"when": values}}
    )(lambda parameters, seed: {"level": parameters["rate"][:, None] + tf.zeros(2)})
    step = values[1] - values[0]

    def read(off: float) -> dict[str, Any]:
        rows = [f"{value + off * step!r},1.0\n" for value in values]
        return read_data(file("when,level\n" + "".join(rows)), model, note=pytest.fail)

    assert read(0.0)["level"].shape == read(0.001)["level"].shape == (2,)
    with pytest.raises(InputError, match="as declared"):
        read(0.9)
