"""Every argument with every kind of wrong value: the message names the argument and the cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import BayesinnError
from bayesinn.simulators.linear import linear
from tests.helpers.fitting import fit
from tests.helpers.models import small_flow

tfd = tfp.distributions

KINDS: dict[str, Any] = {
    "text": "many",
    "digits": "5",
    "bytes": b"5",
    "None": None,
    "list": [5],
    "nothing in a list": [],
    "dict": {"a": 5},
    "set": {5},
    "fraction": 1.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "negative": -1,
    "zero": 0,
    "one": 1,
    "2**31": 2**31,
    "flag": True,
    "complex": 1j,
    "class": int,
    "object": object(),
    "function": len,
    "array": np.ones(3),
    "tensor": tf.constant(5.0),
    "dates": np.array(["2020-03-01"], "M8[D]"),
    "masked": np.ma.masked_greater([1.0, 9.0], 5.0),
    "ragged": [[1.0], [1.0, 2.0]],
    "words": ["a", "b"],
    "too many axes": np.ones((1, 1, 1, 1, 1)),
    "complex numbers": np.ones(3) * 1j,
}
NO_NUMBER = [
    "text",
    "digits",
    "bytes",
    "None",
    "list",
    "dict",
    "set",
    "NaN",
    "infinity",
    "flag",
    "complex",
    "class",
]
NO_NUMBER += ["object", "function", "array", "dates"]
NO_INTEGER = [*NO_NUMBER, "fraction", "negative", "tensor"]
NO_SIZE = [*NO_INTEGER, "zero", "2**31"]
NO_RATE = [*NO_NUMBER, "negative", "zero", "tensor"]
NO_FLAG = [*NO_NUMBER[:-1], "fraction", "zero", "one", "array"]
NO_FLAG.remove("flag")
NO_OBJECT = [
    "text",
    "bytes",
    "list",
    "dict",
    "set",
    "NaN",
    "negative",
    "flag",
    "complex",
    "class",
    "object",
    "array",
]
NO_PATH = [
    "None",
    "list",
    "dict",
    "set",
    "fraction",
    "NaN",
    "negative",
    "complex",
    "class",
    "object",
    "array",
]
NO_DATA = (
    "text digits bytes None nothing_in_a_list dict set NaN infinity complex class object function "
    "dates masked ragged "
    "words too_many_axes complex_numbers"
).replace("_", " ")
NO_DATA = [
    kind for kind in KINDS if kind in NO_DATA and kind not in ("list", "array", "one", "flag")
]


def without(kinds: list[str], *left_out: str) -> list[str]:
    return [kind for kind in kinds if kind not in left_out]


class Bench:
    """A trained posterior, and how to misuse it."""

    def __init__(self) -> None:
        self.posterior = fit(linear, steps=1)
        self.arrays = linear.sample(40, seed=1)

    def fit(self, **options: Any) -> None:
        bi.AmortizedPosterior(linear, flow=small_flow()).fit(
            **{"steps": 1, "progress": False, **options}
        )

    def tune(self, **options: Any) -> None:
        self.fit(optimization=bi.Optimization(**options))

    def learn(self, **options: Any) -> None:
        self.fit(**{"data": self.arrays, "steps": None, "epochs": 1, **options})

    def diagnose(self, **options: Any) -> None:
        bi.diagnose(
            self.posterior, **{"simulations": 20, "draws": 10, "progress": False, **options}
        )


def declared(**options: Any) -> bi.Simulator:
    prior = {"rate": tfd.Normal(0.0, 1.0)}
    return bi.simulator(**{"prior": prior, **options})(
        lambda parameters, seed: {"cases": parameters["rate"]}
    )


def python(**options: Any) -> bi.Simulator:
    prior = {"rate": tfd.Normal(0.0, 1.0)}
    simulator = bi.simulator(**{"prior": prior, "engine": "python", **options})
    return simulator(lambda parameters, generator: {"cases": 1.0})


Y = {"y": 1.0}
X = {"x1": [1.0], "x2": [1.0]}
Act = Callable[[Bench, Any], Any]
#: What is called with each value, how the message names the argument, and the kinds that are
#: refused.
ARGUMENTS: dict[str, tuple[Act, str, list[str]]] = {
    "draws of sample": (lambda b, v: b.posterior.sample(Y, draws=v), "'draws'", NO_SIZE),
    "seed of sample": (lambda b, v: b.posterior.sample(Y, draws=2, seed=v), "'seed'", NO_INTEGER),
    "draws of infer": (lambda b, v: b.posterior.infer(Y, draws=v), "'draws'", NO_SIZE),
    "data of sample": (lambda b, v: b.posterior.sample(v), "Data", without(NO_OBJECT, "dict")),
    "an observable": (lambda b, v: b.posterior.sample({"y": v}), "Data 'y'", NO_DATA),
    "a parameter of log_prob": (
        lambda b, v: b.posterior.log_prob({**X, "x1": v}, Y),
        "Parameter",
        without(NO_DATA, "infinity"),
    ),
    "parameters of log_prob": (lambda b, v: b.posterior.log_prob(v, Y), "Parameters", NO_OBJECT),
    "steps": (lambda b, v: b.fit(steps=v), "'steps'", without(NO_SIZE, "None")),
    "epochs": (lambda b, v: b.learn(epochs=v), "'epochs'", without(NO_SIZE, "None")),
    "batch_size": (lambda b, v: b.fit(batch_size=v), "'batch_size'", without(NO_SIZE, "None")),
    "seed of fit": (lambda b, v: b.fit(seed=v), "'seed'", NO_INTEGER),
    "start_from": (lambda b, v: b.fit(start_from=v), "'start_from'", NO_OBJECT),
    "validation": (
        lambda b, v: b.learn(validation=v),
        "alidation",
        [*without(NO_NUMBER, "None", "dict"), "negative", "one"],
    ),
    "optimization": (lambda b, v: b.fit(optimization=v), "'optimization'", [*NO_OBJECT, "None"]),
    "checkpoint": (lambda b, v: b.fit(checkpoint=v), "'checkpoint'", without(NO_PATH, "None")),
    "progress": (lambda b, v: b.fit(progress=v), "'progress'", NO_FLAG),
    "training data": (lambda b, v: b.fit(data=v), "Training data", NO_OBJECT),
    "training data, a parameter": (
        lambda b, v: b.learn(data={**b.arrays, "x1": v}),
        "Training data, 'x1'",
        without(NO_DATA, "NaN", "infinity"),
    ),
    "optimizer": (lambda b, v: b.tune(optimizer=v), "'optimizer'", NO_OBJECT),
    "learning_rate": (
        lambda b, v: b.tune(learning_rate=v),
        "'learning_rate'",
        without(NO_RATE, "None"),
    ),
    "clip_norm": (lambda b, v: b.tune(clip_norm=v), "'clip_norm'", NO_RATE),
    "average": (
        lambda b, v: b.tune(average=v),
        "'average'",
        [*NO_NUMBER, "negative", "one", "tensor"],
    ),
    "patience": (lambda b, v: b.tune(patience=v), "'patience'", without(NO_SIZE, "None")),
    "passes": (lambda b, v: b.tune(passes=v), "'passes'", without(NO_SIZE, "None", "zero")),
    "xla": (lambda b, v: b.tune(xla=v), "'xla'", NO_FLAG),
    "callbacks": (lambda b, v: b.tune(callbacks=v), "'callbacks'", [*NO_OBJECT, "None", "words"]),
    "number of simulations": (
        lambda b, v: linear.sample(v, seed=1),
        "Number of simulations",
        NO_SIZE,
    ),
    "seed of simulations": (lambda b, v: linear.sample(2, seed=v), "'seed'", NO_INTEGER),
    "parameters to simulate": (
        lambda b, v: linear.simulate(v, seed=1),
        "the prior",
        [*NO_OBJECT, "None"],
    ),
    "a parameter to simulate": (
        lambda b, v: linear.simulate({**X, "x1": v}, seed=1),
        "the prior, 'x1'",
        without(NO_DATA, "NaN", "infinity"),
    ),
    "posterior to diagnose": (lambda b, v: bi.diagnose(v), "'posterior'", [*NO_OBJECT, "None"]),
    "simulations of diagnose": (
        lambda b, v: b.diagnose(simulations=v),
        "'simulations'",
        [kind for kind in [*NO_SIZE, "one"] if kind != "None"],
    ),
    "draws of diagnose": (lambda b, v: b.diagnose(draws=v), "'draws'", [*NO_SIZE, "one"]),
    "seed of diagnose": (lambda b, v: b.diagnose(seed=v), "'seed'", NO_INTEGER),
    "level of diagnose": (lambda b, v: b.diagnose(level=v), "'level'", [*NO_RATE, "one"]),
    "progress of diagnose": (lambda b, v: b.diagnose(progress=v), "'progress'", NO_FLAG),
    "quantities of diagnose": (
        lambda b, v: b.diagnose(quantities=v),
        "'quantities'",
        without(NO_OBJECT, "dict"),
    ),
    "simulator to report on": (
        lambda b, v: bi.simulator_report(v),
        "'simulator'",
        [*NO_OBJECT, "None"],
    ),
    "simulations of a report": (
        lambda b, v: bi.simulator_report(linear, simulations=v),
        "'simulations'",
        [*NO_SIZE, "one"],
    ),
    "folder to load": (lambda b, v: bi.load(v), "'folder'", NO_PATH),
    "simulator of load": (lambda b, v: bi.load("nowhere", v), "'simulator'", NO_OBJECT),
    "trust_source": (lambda b, v: bi.load("nowhere", trust_source=v), "'trust_source'", NO_FLAG),
    "folder to save": (lambda b, v: b.posterior.save(v), "'folder'", NO_PATH),
    "name of a simulator": (lambda b, v: bi.get_simulator(v), "Name of a simulator", NO_PATH),
    "simulator of a posterior": (
        lambda b, v: bi.AmortizedPosterior(v),
        "'simulator'",
        [*NO_OBJECT, "None"],
    ),
    "summary": (lambda b, v: bi.AmortizedPosterior(linear, v), "'summary'", NO_OBJECT),
    "flow": (lambda b, v: bi.AmortizedPosterior(linear, flow=v), "'flow'", NO_OBJECT),
    "blocks of a flow": (lambda b, v: bi.flows.coupling(blocks=v), "'blocks'", NO_SIZE),
    "hidden of a flow": (
        lambda b, v: bi.flows.coupling(hidden=v),
        "'hidden'",
        [*without(NO_OBJECT, "list", "bytes"), "words"],
    ),
    "dropout of a flow": (
        lambda b, v: bi.flows.coupling(dropout=v),
        "'dropout'",
        [*NO_NUMBER, "negative", "one"],
    ),
    "activation": (
        lambda b, v: bi.flows.coupling(activation=v),
        "'activation'",
        ["text", "list", "fraction"],
    ),
    "units": (lambda b, v: bi.summaries.MLP(v), "MLP, argument 'units'", NO_SIZE),
    "filters": (
        lambda b, v: bi.summaries.ConvLSTM(filters=v),
        "'filters'",
        [*without(NO_OBJECT, "list"), "words"],
    ),
    "kernel_size": (lambda b, v: bi.summaries.ConvLSTM(kernel_size=v), "'kernel_size'", NO_SIZE),
    "heads": (lambda b, v: bi.summaries.SetTransformer(heads=v), "'heads'", NO_SIZE),
    "inner": (lambda b, v: bi.summaries.DeepSet(inner=v), "'inner'", NO_OBJECT),
    "prior": (lambda b, v: declared(prior=v), "The prior", without(NO_OBJECT, "dict")),
    "an entry of the prior": (
        lambda b, v: declared(prior={"rate": v}),
        "Entry 'rate' of the prior",
        without(NO_OBJECT, "class"),
    ),
    "missing": (lambda b, v: declared(missing=v), "'missing'", [*without(NO_RATE, "None"), "one"]),
    "on_nonfinite": (lambda b, v: declared(on_nonfinite=v), "'on_nonfinite'", [*NO_OBJECT, "None"]),
    "engine": (lambda b, v: declared(engine=v), "'engine'", [*NO_OBJECT, "None"]),
    "workers": (lambda b, v: python(workers=v), "'workers'", without(NO_SIZE, "None")),
    # None is the default of each engine.
    "batched": (lambda b, v: python(batched=v), "'batched'", [x for x in NO_FLAG if x != "None"]),
    "labels": (lambda b, v: declared(labels=v), "'labels'", without(NO_OBJECT, "dict")),
    "units of a simulator": (lambda b, v: declared(units=v), "'units'", without(NO_OBJECT, "dict")),
    "lengths": (lambda b, v: declared(lengths=v), "'lengths'", without(NO_OBJECT, "dict")),
    "observed": (lambda b, v: declared(observed=v), "'observed'", without(NO_OBJECT, "dict")),
    "recommended": (lambda b, v: declared(recommended=v), "'recommended'", NO_OBJECT),
    "log_likelihood": (
        lambda b, v: declared(log_likelihood=v),
        "'log_likelihood'",
        without(NO_OBJECT, "class"),
    ),
}
CASES = [
    (argument, kind)
    for argument, (_, _, kinds) in ARGUMENTS.items()
    for kind in dict.fromkeys(kinds)
]


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def test_the_table_is_large() -> None:
    assert len(CASES) >= 200


@pytest.mark.parametrize(("argument", "kind"), CASES)
def test_message(bench: Bench, argument: str, kind: str) -> None:
    act, name, _ = ARGUMENTS[argument]
    with pytest.raises(BayesinnError) as error:
        act(bench, KINDS[kind])
    subject, *lines = str(error.value).splitlines()
    assert name in subject
    message = "\n".join(lines)
    for part in ("expected: ", "got: ", "do this: "):
        assert part in message
    cause = message.partition("got:")[2].partition("do this:")[0].strip()
    assert cause
