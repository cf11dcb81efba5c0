"""One table of everything a person may get wrong, with what the message must say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.cli.data_files import read_data
from bayesinn.core.errors import BayesinnError
from bayesinn.reference import importance
from bayesinn.simulators.linear import linear
from tests.helpers.models import series, small_flow, survey

tfd = tfp.distributions
NORMAL = tfd.Normal(0.0, 1.0)


def declare(function: Callable[..., Any] | None = None, **options: Any) -> bi.Simulator:
    def growth(parameters, seed):
        return {"cases": parameters["rate"]}

    return bi.simulator(**{"prior": {"rate": NORMAL}, **options})(function or growth)


def returning(value: Any) -> bi.Simulator:
    def growth(parameters, seed):
        return value(parameters["rate"])

    return declare(growth)


def with_context(parameters, context, seed):
    return {"cases": (parameters["rate"] + context["days"])[:, None] * tf.ones(5)}


DAYS = {"days": tfd.Uniform(1.0, 5.0)}


class Bench:
    """Trained posteriors to misuse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.linear = bi.AmortizedPosterior(linear, flow=small_flow(blocks=1, hidden=(8,)))
        self.linear.fit(steps=1, batch_size=32, seed=1, progress=False)
        self.survey = bi.AmortizedPosterior(
            survey,
            {"x": bi.summaries.DeepSet(4, hidden=(8,), dense=(8,))},
            small_flow(blocks=1, hidden=(8,)),
        )
        self.survey.fit(steps=1, batch_size=32, seed=1, progress=False)
        sample = survey.sample(2, seed=1)
        self.good = {name: sample[name] for name in ("x", "counts", "n", "dose")}
        self.untrained = bi.AmortizedPosterior(linear)

    def given(self, **changes: Any) -> dict[str, np.ndarray]:
        return self.survey.sample({**self.good, **changes}, draws=3)

    def fit(self, **options: Any) -> None:
        self.untrained.fit(**{"steps": 1, "progress": False, **options})

    def data(self, **changes: Any) -> dict[str, Any]:
        return {**linear.sample(40, seed=1), **changes}

    def file(self, name: str, content: str) -> Path:
        (self.folder / name).write_text(content)
        return self.folder / name


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


CASES: dict[str, tuple[Callable[[Bench], Any], list[str]]] = {
    # The declaration of a simulator
    "decorator without brackets": (
        lambda b: bi.simulator(lambda parameters, seed: {}),
        ["@simulator", "prior={", "without a prior"],
    ),
    "prior that is no dict": (
        lambda b: declare(prior=NORMAL),
        ["The prior", "dict of TFP distributions", "Normal"],
    ),
    "empty prior": (lambda b: declare(prior={}), ["The prior", "empty dict", "tfd.LogNormal"]),
    "number for a distribution": (
        lambda b: declare(prior={"rate": 3.0}),
        ["Entry 'rate' of the prior", "float", "tfp.distributions"],
    ),
    "prior that depends on what is not there": (
        lambda b: declare(prior={"rate": lambda size: tfd.Normal(size, 1.0)}),
        ["['rate']", "'size'", "name the arguments after the entries"],
    ),
    "priors in a circle": (
        lambda b: declare(
            prior={"rate": lambda b: tfd.Normal(b, 1.0), "b": lambda rate: tfd.Normal(rate, 1.0)}
        ),
        ["['b', 'rate']", "without a circle"],
    ),
    "unknown engine": (
        lambda b: declare(engine="julia"),
        ["'engine'", "'growth'", "'tensorflow', 'jax' or 'python'"],
    ),
    "unknown policy": (
        lambda b: declare(on_nonfinite="ignore"),
        ["'on_nonfinite'", "'raise' or 'redraw'", "'ignore'"],
    ),
    "batched in TensorFlow": (
        lambda b: declare(batched=True),
        ["'batched'", "'growth'", "engine='python'"],
    ),
    "function with one argument": (
        lambda b: declare(lambda parameters: {}),
        ["2 arguments: (parameters, seed)", "(parameters)"],
    ),
    "context that the function does not take": (
        lambda b: declare(context=DAYS),
        ["'growth'", "(parameters, context, seed)"],
    ),
    "function with a context that is not declared": (
        lambda b: declare(with_context),
        ["'with_context'", "(parameters, seed)", "context={...}"],
    ),
    "lengths of an unknown observable": (
        lambda b: declare(with_context, context=DAYS, lengths={"deaths": "days"}),
        ["'lengths'", "'with_context'", "['cases']", "'deaths'"],
    ),
    "one name twice": (
        lambda b: returning(lambda rate: {"rate": rate}),
        ["'growth'", "['rate'] more than once", "rename"],
    ),
    "simulator that returns a tensor": (
        lambda b: returning(lambda rate: rate),
        ["'growth'", "a dict of observables", 'return for example {"cases"'],
    ),
    "simulator that returns a scalar": (
        lambda b: returning(lambda rate: {"cases": tf.reduce_mean(rate)}),
        ["Observable 'cases' of simulator 'growth'", "a scalar", "keep the batch axis"],
    ),
    "simulator that returns one row": (
        lambda b: returning(lambda rate: {"cases": tf.ones((1, 4))}),
        ["'cases'", "shape (n, ...)", "shape (1, 4)"],
    ),
    "simulator that returns nothing": (
        lambda b: returning(lambda rate: {}),
        ["at least one observable", "empty dict"],
    ),
    "simulator that returns text": (
        lambda b: returning(lambda rate: {"cases": tf.fill(tf.shape(rate), "many")}),
        ["'cases'", "real numbers", "dtype object"],
    ),
    "simulator that returns NaN": (
        lambda b: returning(lambda rate: {"cases": tf.sqrt(rate)}).sample(50, seed=1),
        ["'cases'", "NaN or infinity in", "{'rate': -", "on_nonfinite='redraw'"],
    ),
    "no simulations": (
        lambda b: linear.sample(0, seed=1),
        ["Number of simulations", "an integer of 1 or more", "0"],
    ),
    "two seeds": (
        lambda b: linear.sample(5, seed=(1, 2)),
        ["'seed'", "one non-negative integer", "(1, 2)", "seed=1"],
    ),
    "negative seed": (lambda b: linear.sample(5, seed=-1), ["'seed'", "-1"]),
    "parameters that are missing": (
        lambda b: linear.simulate({"x1": np.ones(3)}, seed=1),
        ["the prior", "['x1', 'x2']", "['x2'] missing"],
    ),
    "parameters of unequal lengths": (
        lambda b: linear.simulate({"x1": np.ones(3), "x2": np.ones(4)}, seed=1),
        ["the prior, 'x1'", "shape (4,): one row for each", "(3,)"],
    ),
    "parameters of a wrong shape": (
        lambda b: survey.simulate(
            {"mean": np.ones(3), "share": np.ones((3, 2))}, seed=1, context={}
        ),
        ["'share'", "shape (3, 3): one row for each", "(3, 2)"],
    ),
    "unknown simulator": (
        lambda b: bi.get_simulator("liner"),
        ["'liner'", "'linear'", "model.py:simulator"],
    ),
    "simulator file that is not there": (
        lambda b: bi.get_simulator("nowhere.py:model"),
        ["nowhere.py", "check the path"],
    ),
    "no likelihood": (
        lambda b: importance(series, {"cases": np.ones(8)}),
        ["'series'", "log_likelihood=None", "bi.diagnose"],
    ),
    # The posterior
    "a function for a simulator": (
        lambda b: bi.AmortizedPosterior(with_context),
        ["'simulator'", "function", "@bi.simulator"],
    ),
    "one summary for two observables": (
        lambda b: bi.AmortizedPosterior(survey, bi.summaries.Identity()),
        ["'summary'", "['x', 'counts']", "side by side", "summary={'x': ..., ...}"],
    ),
    "summary of an unknown observable": (
        lambda b: bi.AmortizedPosterior(linear, {"z": bi.summaries.Identity()}),
        ["observables ['y']", "['z']"],
    ),
    "a class for a summary": (
        lambda b: bi.AmortizedPosterior(linear, bi.summaries.Identity),
        ["'summary'", "a summary network", "class", "pass Identity(...)"],
    ),
    "a chain for a flow": (
        lambda b: bi.AmortizedPosterior(
            linear, flow=bi.bijections.Chain([bi.bijections.ActNorm()])
        ),
        ["'flow'", "a Flow", "bi.flows.InvertibleFlow(...)"],
    ),
    "sampling before training": (
        lambda b: b.untrained.sample({"y": 1.0}),
        ["'linear'", "never trained", "call fit(...) first"],
    ),
    "saving before training": (
        lambda b: b.untrained.save(b.folder / "untrained"),
        ["never trained", "bi.load"],
    ),
    # The options of fit
    "steps in a float": (
        lambda b: b.fit(steps=10.5),
        ["'steps'", "an integer of 1 or more", "10.5"],
    ),
    "resume in words": (
        lambda b: b.fit(checkpoint=bi.Checkpoint("folder", resume="no")),
        ["'resume'", "True or False"],
    ),
    "no rows in a batch": (
        lambda b: b.fit(batch_size=0),
        ["'batch_size'", "an integer of 1 or more", "0"],
    ),
    "negative learning rate": (
        lambda b: b.fit(optimization=bi.Optimization(learning_rate=-1.0)),
        ["'learning_rate'", "a number above 0", "-1.0"],
    ),
    "no clipping": (
        lambda b: b.fit(optimization=bi.Optimization(clip_norm=0.0)),
        ["'clip_norm'", "a number above 0"],
    ),
    "an average that never moves": (
        lambda b: b.fit(optimization=bi.Optimization(average=1.0)),
        ["'average'", "below 1", "1.0"],
    ),
    "the name of an optimiser": (
        lambda b: b.fit(optimization=bi.Optimization(optimizer="adam")),
        ["'optimizer'", "a Keras optimizer object", "'adam'", "keras.optimizers"],
    ),
    "unknown xla": (
        lambda b: b.fit(optimization=bi.Optimization(xla="yes")),
        ["'xla'", "'auto', True or False", "'yes'"],
    ),
    "a misspelt option": (lambda b: b.fit(batchsize=3), ["batchsize"]),
    "seeds for fit": (lambda b: b.fit(seed=[1, 2]), ["'seed'", "[1, 2]"]),
    "data of a foreign name": (
        lambda b: b.fit(data={"x1": np.ones(9), "x2": np.ones(9), "z": np.ones(9)}),
        ["Training data", "['x1', 'x2', 'y']", "['x1', 'x2', 'z']"],
    ),
    "data of unequal lengths": (
        lambda b: b.fit(data=b.data(y=np.ones(39))),
        ["Training data, 'y'", "(40,)", "(39,)"],
    ),
    "data without rows": (
        lambda b: b.fit(data=b.data(x1=np.float32(1.0))),
        ["Training data, 'x1'", "shape"],
    ),
    "data with text": (
        lambda b: b.fit(data=b.data(y=np.full(40, "many"))),
        ["Training data, 'y'", "real numbers", "<U4"],
    ),
    "data with NaN": (
        lambda b: b.fit(data=b.data(y=np.where(np.arange(40) == 7, np.nan, 1.0))),
        ["Training data, 'y'", "1 of 40 rows", "row 7"],
    ),
    "validation of everything": (
        lambda b: b.fit(data=b.data(), validation=1.0),
        ["'validation'", "from 0, below 1", "1.0"],
    ),
    "validation data that lack a name": (
        lambda b: b.fit(data=b.data(), validation={"y": np.ones(9)}),
        ["Validation data", "['x1', 'x2', 'y']"],
    ),
    # Observations
    "observation without a name": (
        lambda b: b.linear.sample(np.ones(3)),
        ["Data", "a dict with ['y']", "ndarray", "{'y': values}"],
    ),
    "observation of a wrong name": (
        lambda b: b.linear.sample({"x": 1.0}),
        ["'linear'", "['y'] missing", "['x'] unknown"],
    ),
    "context that is missing": (
        lambda b: b.survey.sample({name: b.good[name] for name in ("x", "counts", "n")}),
        ["'survey'", "['dose'] missing", "its context declares"],
    ),
    "observation of a wrong shape": (
        lambda b: b.given(counts=np.ones((2, 4))),
        ["Data 'counts'", "(3,)", "(n, 3)", "(2, 4)"],
    ),
    "observations of unequal number": (
        lambda b: b.given(counts=np.ones((5, 3))),
        ["the same number of observations", "counts: 5", "x: 2"],
    ),
    "batched and unbatched mixed": (
        lambda b: b.given(counts=np.ones(3)),
        ["Data 'counts'", "as for all names"],
    ),
    "observation with NaN": (
        lambda b: b.given(counts=[[1.0, 2.0, 3.0], [1.0, np.nan, 3.0]]),
        ["Data 'counts'", "1 NaN, the first", "observation 1", "index [1]"],
    ),
    "observation with text": (
        lambda b: b.linear.sample({"y": "many"}),
        ["Data 'y'", "real numbers", "<U4", "numpy.asarray"],
    ),
    "ragged observation": (
        lambda b: b.given(x=[[1.0], [1.0, 2.0]]),
        ["Data 'x'", "NaN, the first"],
    ),
    "no observations": (lambda b: b.linear.sample({"y": []}), ["Data 'y'", "an empty array"]),
    "series that is too long": (lambda b: b.given(x=np.ones((2, 7))), ["Data 'x'", "(2, 7)"]),
    "count beyond the steps": (
        lambda b: b.given(x=np.ones((2, 3)), n=[3, 5]),
        ["Data 'n'", "valid steps of 'x'", "0 to 3", "3 to 5"],
    ),
    "negative draws": (
        lambda b: b.linear.sample({"y": 1.0}, draws=-5),
        ["'draws'", "an integer of 1 or more", "-5"],
    ),
    "density of a missing parameter": (
        lambda b: b.linear.log_prob({"x1": np.ones(3)}, {"y": 1.0}),
        ["['x1', 'x2']", "['x2'] missing"],
    ),
    "density of parameters of a wrong shape": (
        lambda b: b.survey.log_prob({"mean": np.ones(2), "share": np.ones((2, 4))}, b.good),
        ["Parameter 'share'", "(2, draws, 3) or (2, 3)", "(2, 4)"],
    ),
    "density of unequal draws": (
        lambda b: b.linear.log_prob({"x1": np.ones(3), "x2": np.ones(4)}, {"y": 1.0}),
        ["equal numbers of draws"],
    ),
    # Files
    "data file that is not there": (
        lambda b: read_data("nowhere.csv"),
        ["nowhere.csv", "check the path"],
    ),
    "data file of a foreign kind": (
        lambda b: read_data(b.file("data.xlsx", "")),
        [".csv, .json or .npz", "'.xlsx'"],
    ),
    "broken JSON": (
        lambda b: read_data(b.file("data.json", "{")),
        ["data.json", "well-formed JSON", "JSONDecodeError"],
    ),
    "JSON without names": (
        lambda b: read_data(b.file("list.json", "[1, 2]")),
        ["list.json", "a name for each array"],
    ),
    "empty CSV": (
        lambda b: read_data(b.file("data.csv", "")),
        ["data.csv", "line 1", "a header with names"],
    ),
    "broken NPZ": (
        lambda b: read_data(b.file("data.npz", "text")),
        ["data.npz", "well-formed NPZ"],
    ),
    "no saved posterior": (
        lambda b: bi.load(b.folder),
        ["no manifest.json", "posterior.save(...)"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_message(bench: Bench, case: str) -> None:
    action, fragments = CASES[case]
    misspelt = case == "a misspelt option"
    with pytest.raises(TypeError if misspelt else BayesinnError) as error:
        action(bench)
    message = str(error.value)
    if not misspelt:
        for part in ("expected: ", "got: ", "do this:  "):
            assert part in message
    missing = [fragment for fragment in fragments if fragment not in message]
    assert not missing, message
