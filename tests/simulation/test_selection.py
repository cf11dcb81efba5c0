"""Some elements of vectors in place of all."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulation.derived import derived_simulator
from tests.helpers.fitting import small_flow

tfd = tfp.distributions
PRIOR = {"mean": tfd.Normal(0.0, 1.0)}


def in_graph(parameters, seed):
    steps = tf.range(5.0)
    return {"x": parameters["mean"][:, None] + steps, "y": parameters["mean"]}


def of_rows(parameters, generator):
    return {"x": parameters["mean"][:, None] + np.arange(5.0), "y": parameters["mean"]}


def of_one(parameters, generator):
    return {"x": parameters["mean"] + np.arange(5.0), "y": parameters["mean"]}


ENGINES = {
    "graph": bi.simulator(prior=PRIOR, name="graph", observed={"x": np.ones(5), "y": 1.0})(
        in_graph
    ),
    "rows": bi.simulator(prior=PRIOR, name="rows", engine="python", workers=1, batched=True)(
        of_rows
    ),
    "one": bi.simulator(prior=PRIOR, name="one", engine="python", workers=1)(of_one),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_simulator_of_a_selection_makes_what_is_cut_from_the_whole(engine: str) -> None:
    whole = ENGINES[engine]
    chosen = bi.Selection(whole, {"x": [3, 1]})
    assert chosen.simulator.observable_shapes == {"x": (2,), "y": ()}
    assert repr(chosen) == f"Selection of {engine!r}: 2 of 5 elements of 'x'"
    rows = whole.sample(20, seed=1)
    expected = chosen.of(rows)
    np.testing.assert_array_equal(expected["x"], rows["x"][:, [1, 3]])
    made = chosen.simulator.sample(20, seed=1)
    for name, value in expected.items():
        np.testing.assert_array_equal(made[name], value)


def _root_in_graph(parameters, seed):
    both = [parameters["mean"], tf.sqrt(parameters["mean"])]
    return {"x": tf.stack(both, axis=-1)}


def _root_of_rows(parameters, generator):
    with np.errstate(invalid="ignore"):
        root = np.sqrt(parameters["mean"])
    return {"x": np.stack([parameters["mean"], root], axis=-1)}


@pytest.mark.parametrize("engine", ["graph", "rows"])
def test_what_fails_in_other_elements_is_drawn_again_all_the_same(engine: str) -> None:
    options = {} if engine == "graph" else {"engine": "python", "workers": 1, "batched": True}
    function = _root_in_graph if engine == "graph" else _root_of_rows
    whole = bi.simulator(prior=PRIOR, name="root", on_nonfinite="redraw", **options)(function)
    chosen = bi.Selection(whole, {"x": [0]})
    rows = whole.sample(100, seed=1)
    assert rows["mean"].min() > 0.0
    np.testing.assert_array_equal(chosen.simulator.sample(100, seed=1)["x"], chosen.of(rows)["x"])


def test_arrays_without_a_simulator_are_cut(tmp_path) -> None:
    rows = ENGINES["graph"].sample(200, seed=1)
    whole = bi.from_arrays(PRIOR, rows)
    chosen = bi.Selection(whole, {"x": [0]})
    assert chosen.simulator.observable_shapes == {"x": (1,), "y": ()}
    posterior = bi.AmortizedPosterior(chosen.simulator, flow=small_flow(), networks=1)
    posterior.fit(chosen.of(rows), steps=3, seed=1, progress=False)
    one = chosen.of({"x": np.ones(5), "y": 1.0})
    assert posterior.sample(one, draws=7, seed=1)["mean"].shape == (7,)
    posterior.save(tmp_path)
    known = bi.load(tmp_path).simulator.places
    assert {name: places.tolist() for name, places in known.items()} == {"x": [0]}
    other = bi.Selection(whole, {"x": [1]})
    with pytest.warns(UserWarning, match=r"selection of 'x' is \[1\] in place of \[0\]"):
        bi.load(tmp_path, simulator=other.simulator)
    with pytest.raises(InputError, match=r"elements \{'x': \[1\]\}"):
        bi.Ensemble([posterior, bi.AmortizedPosterior(other.simulator)])


def test_a_part_of_a_part_is_counted_in_the_whole() -> None:
    first = bi.Selection(ENGINES["graph"], {"x": [1, 3, 4]}).simulator
    second = bi.Selection(first, {"x": [0, 2]}).simulator
    assert second.places["x"].tolist() == [1, 4]
    assert derived_simulator(second, trials=3).places["x"].tolist() == [1, 4]


def test_data_and_recommendations_of_the_whole_are_those_of_the_part() -> None:
    recommended = bi.Recommended(summary=bi.summaries.MLP(4), flow=small_flow(), steps=77)
    observed = {"x": np.arange(5.0), "y": 1.0}
    whole = bi.simulator(prior=PRIOR, observed=observed, recommended=recommended)(in_graph)
    part = bi.Selection(whole, {"x": [1, 3]}).simulator
    np.testing.assert_array_equal(part.observed["x"], [1.0, 3.0])
    assert part.observed["y"] == 1.0
    assert part.recommended == bi.Recommended(flow=recommended.flow, steps=77)
    another = derived_simulator(whole, prior={"mean": tfd.Normal(1.0, 1.0)})
    assert another.recommended == recommended
    assert another.observed.keys() == observed.keys()
    # An author's data are one trial, and the networks are for one.
    assert derived_simulator(whole, trials=3).observed is None


def test_a_posterior_of_a_selection_is_loaded_with_it(tmp_path) -> None:
    whole = ENGINES["graph"]
    chosen = bi.Selection(whole, {"x": [0, 4]})
    posterior = bi.AmortizedPosterior(chosen.simulator, flow=small_flow(), networks=1)
    posterior.fit(steps=3, batch_size=16, seed=1, progress=False)
    posterior.save(tmp_path)
    again = bi.load(tmp_path, simulator=bi.Selection(whole, {"x": [0, 4]}).simulator)
    assert again.fingerprint == posterior.fingerprint
    with pytest.warns(UserWarning, match="another"):
        bi.load(tmp_path, simulator=bi.Selection(whole, {"x": [0, 3]}).simulator)


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ({"y": [0]}, r"vectors: \['x'\]"),
        ({"z": [0]}, r"vectors: \['x'\]"),
        ({"x": []}, "from 0 to 4"),
        ({"x": [5]}, "from 0 to 4"),
        ({"x": [-1]}, "from 0 to 4"),
        ({"x": [1, 1]}, "from 0 to 4"),
        ({"x": [0.5]}, "from 0 to 4"),
        ({"x": 3}, "from 0 to 4"),
        ({"x": [[0, 1], [2]]}, "from 0 to 4"),
        (["x"], "a dict"),
    ],
)
def test_wrong_places_are_refused(places, told: str) -> None:
    with pytest.raises(InputError, match=told):
        bi.Selection(ENGINES["graph"], places)


def test_places_may_be_counted_as_they_are_asked_for() -> None:
    chosen = bi.Selection(ENGINES["graph"], {"x": (place for place in (4, 0))})
    assert chosen.places["x"].tolist() == [0, 4]


def test_data_that_are_cut_already_are_refused() -> None:
    chosen = bi.Selection(ENGINES["graph"], {"x": [0, 4]})
    with pytest.raises(InputError, match="all 5 elements along the last axis"):
        chosen.of({"x": np.ones(2)})
    with pytest.raises(InputError, match="a dict of name to array"):
        chosen.of([np.ones(5)])
