"""Hierarchical models at the command line: trained, asked of files, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesinn as bi
from bayesinn.cli.answers import Question, answer
from bayesinn.cli.data_files import read_members
from bayesinn.cli.networks import Wanted
from bayesinn.cli.run import Run, open_answer
from bayesinn.core.errors import InputError
from bayesinn.simulation.registry import get_simulator

MODEL = """
import bayesinn as bi
import tensorflow as tf
import tensorflow_probability as tfp
tfd = tfp.distributions
TRIALS = 4


@bi.simulator(
    prior={"mean": tfd.Normal(0.0, 1.0), "level": lambda mean: tfd.Normal(mean, 0.5)},
    context={
        "n": tfd.FiniteDiscrete(tf.range(2, TRIALS + 1), logits=tf.zeros(TRIALS - 1)),
        "gain": tfd.Uniform(1.0, 2.0),
    },
    lengths={"y": "n"},
    units={"level": "m"},
)
def person(parameters, context, seed):
    level = (parameters["level"] * context["gain"])[:, None]
    return {"y": level + tf.random.stateless_normal((tf.shape(level)[0], TRIALS), seed)}
"""
TABLE = """y,gain,person
0.5,1.0,Bo
0.25,1.0,Bo
-0.5,1.0,Ann
1.5,1.5,Cy
1.0,1.5,Cy
1.25,1.5,Cy
0.75,1.0,Ann
"""
SMALL = "coupling:blocks=1,hidden=[4]"
ROWS = {"Bo": [0.5, 0.25], "Ann": [-0.5, 0.75], "Cy": [1.5, 1.0, 1.25]}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    file = tmp_path_factory.mktemp("model") / "group_of_the_cli.py"
    file.write_text(MODEL)
    return f"{file}:person"


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("data") / "people.csv"
    file.write_text(TABLE)
    return file


def test_trained_and_asked(bayesinn, model, table, tmp_path: Path) -> None:
    run = tmp_path / "run"
    networks = ["--summary", "deep-set:units=2,hidden=[4]", "--flow", SMALL]
    options = ["--output", run, "--steps", 3, "--batch-size", 8]
    levels = ["--group", "person=level", "--sizes", "2,4"]
    answered = bayesinn("train", model, *levels, *networks, *options)
    assert answered.status == 0, answered.err
    answered = bayesinn("infer", run, "--data", table, "--draws", 50, "--simulator", model)
    assert answered.status == 0, answered.err
    lines = answered.out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("mean", *ROWS))] == [
        "mean",
        *ROWS,
    ]
    with open_answer(run / "posterior.nc") as tree:
        posterior = tree["posterior"]
        assert dict(posterior["level"].sizes) == {"chain": 1, "draw": 50, "person": 3}
        assert posterior["person"].values.tolist() == list(ROWS)
        assert posterior["mean"].dims == ("chain", "draw")
        means = posterior.mean(["chain", "draw"])
        found = [float(means["mean"]), *means["level"].values]
    written = pd.read_csv(run / "posterior.csv", keep_default_na=False)
    assert written["person"].tolist() == ["", *ROWS]
    assert written["unit"].tolist() == ["", "m", "m", "m"]
    np.testing.assert_allclose(written["mean"], found, atol=0.05)

    loaded = bi.load(run / "posterior", get_simulator(model))
    # Trained longer, it has the networks that it has.
    for given in (Wanted(group={"person": ("level",)}, sizes=(2, 4)), Wanted()):
        given.like(loaded).posterior(get_simulator(model)).check_start(loaded)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"y": [[0.5, 0.25], [9.0, 9.5]], "gain": [1.0, 1.0]}))
    asked = Question(table, None, [], draws=5, seed=1, exact=False, refined=False, predictive=False)
    for change, said in (
        # An answer to other data isn't written over it.
        ({"data": other}, "posterior.nc with another"),
        ({"data": None}, "the data of each person"),
        ({"exact": True}, "Option --exact"),
        ({"refined": True}, "Option --refine"),
        ({"by": "whom"}, "a column 'whom'"),
    ):
        with pytest.raises(InputError, match=said):
            answer(loaded, Run(run), dataclasses.replace(asked, **change))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sizes", "2,4"], "--sizes needs a group"),
        (["--group", "level"], "who is repeated"),
        (["--group", "person=level,"], "who is repeated"),
        (["--group", "person=level", "--sizes", "few"], "two whole numbers"),
        (["--group", "person=level", "--networks", "2"], "leave out --bank and"),
        (["--group", "person=lever"], "did you mean 'level'"),
        (["--group", "person=level", "--sizes", "4,2"], "sizes"),
    ],
)
def test_options_that_are_refused(bayesinn, model, tmp_path: Path, options, said: str) -> None:
    answer = bayesinn("train", model, *options, "--output", tmp_path / "run", "--steps", 2)
    assert answer.status == 2
    # The frame around typer's own errors breaks lines.
    assert said in " ".join(answer.err.replace("│", " ").split())
    assert not (tmp_path / "run" / "posterior").exists()


def test_files_of_every_kind_say_the_same(model, table, tmp_path: Path) -> None:
    simulator = get_simulator(model)
    expected = read_members(table, simulator, "person", [])
    assert expected.names == tuple(ROWS)
    assert expected["y"] == list(ROWS.values())
    assert np.asarray(expected["gain"]).tolist() == [1.0, 1.0, 1.5]
    rows = pd.read_csv(table)
    columns = {name: rows[name].to_numpy() for name in ("y", "gain")}
    # A row for each trial; a row for each person.
    np.savez(tmp_path / "long.npz", **columns, person=rows["person"].to_numpy(str))
    each = {"y": list(ROWS.values()), "gain": [1.0, 1.0, 1.5], "subject": list(ROWS)}
    (tmp_path / "each.json").write_text(json.dumps(each))
    for name, by in (("long.npz", None), ("each.json", "subject")):
        found = read_members(tmp_path / name, simulator, "person", [], by)
        assert found.names == expected.names
        assert [list(part) for part in found["y"]] == expected["y"]
        assert np.asarray(found["gain"]).tolist() == [1.0, 1.0, 1.5]


def test_one_person_and_context_for_all(model, tmp_path: Path) -> None:
    simulator = get_simulator(model)
    file = tmp_path / "one.csv"
    file.write_text("person,y\nAnn,1.0\nAnn,2.0\n")
    found = read_members(file, simulator, "person", ["gain=1.5"])
    assert found == {"y": [[1.0, 2.0]], "gain": [1.5]}
    assert found.names == ("Ann",)
    np.savez(tmp_path / "two.npz", y=np.ones((2, 4)))
    found = read_members(tmp_path / "two.npz", simulator, "person", ["gain=1.5"])
    assert found["gain"].tolist() == [1.5, 1.5]
    assert found.names is None
    # The lack of y is told where data are checked.
    np.savez(tmp_path / "other.npz", z=np.ones((2, 4)))
    assert [*read_members(tmp_path / "other.npz", simulator, "person", ["gain=1.5"])] == ["z"]


@pytest.mark.parametrize(
    ("arrays", "context", "said"),
    [
        ({"y": np.ones(4), "person": ["a", "a", "b"]}, [], "a row for each entry of 'person'"),
        (
            {"y": np.ones(4), "gain": np.arange(4), "person": ["a", "a", "b", "b"]},
            [],
            r"'gain' of person 'a'\n  expected: one value",
        ),
        ({"y": np.ones((2, 4)), "gain": np.ones(2)}, ["gain=1"], "once"),
        (
            {"y": np.ones((2, 4)), "gain": 1.0, "person": ["a", "b"]},
            [],
            r"'gain'\n.*a row for each entry of 'person'.*\n  got:      1.0",
        ),
    ],
)
def test_arrays_that_are_refused(model, tmp_path: Path, arrays, context, said: str) -> None:
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(InputError, match=said):
        read_members(tmp_path / "wrong.npz", get_simulator(model), "person", context)


def test_ragged_rows_of_the_same_person_are_refused(model, tmp_path: Path) -> None:
    file = tmp_path / "ragged.json"
    file.write_text(json.dumps({"y": [[1.0, 2.0], [3.0]], "gain": [1, 1], "person": ["a", "a"]}))
    with pytest.raises(InputError, match=r"ragged.json', 'y'\n  expected: a rectangular array"):
        read_members(file, get_simulator(model), "person", [])
