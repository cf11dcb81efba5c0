"""Which networks are chosen where the user and the simulator say nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.posterior import amortized
from bayesinn.posterior.defaults import choose_count, choose_flow, warn_of_sets
from bayesinn.simulation.order import has_order
from bayesinn.spaces.parameters import Layout
from bayesinn.summaries import MLP, ConvImage, ConvLSTM, Identity

tfd = tfp.distributions
SHAPES = {
    "number": (),
    "few": (20,),
    "vector": (21,),
    "short": (8,),
    "series": (9,),
    "rows": (9, 2),
    "image": (8, 8, 1),
}
COORDINATES = {"short": {"hours": np.arange(8)}, "series": np.arange(9.0)}

COUNTS = {"count": tfd.Deterministic(5)}


@pytest.fixture(scope="module")
def simulator() -> bi.Simulator:
    @bi.simulator(prior={"a": tfd.Normal(0.0, 1.0)}, coordinates=COORDINATES)
    def everything(parameters, seed):
        rows = tf.shape(parameters["a"])[0]
        return {name: tf.zeros((rows, *shape)) for name, shape in SHAPES.items()}

    return everything


def test_summaries_follow_what_is_declared(simulator: bi.Simulator) -> None:
    chosen = bi.AmortizedPosterior(simulator).summaries
    assert {name: type(network) for name, network in chosen.items()} == {
        "number": Identity,
        "few": Identity,
        "vector": MLP,
        "short": Identity,
        "series, rows": ConvLSTM,
        "image": ConvImage,
    }


@pytest.mark.parametrize(
    ("declared", "positions"),
    [
        ({"coordinates": {"a": np.arange(9), "b": np.arange(9)}}, 8),
        ({"coordinates": {"a": np.arange(9)}}, 0),
        ({"lengths": {"a": "count", "b": "count"}, "context": COUNTS}, 0),
    ],
)
def test_the_place_of_a_step_counts_where_it_is_declared(
    declared: dict[str, Any], positions: int
) -> None:
    @bi.simulator(prior={"x": tfd.Normal(0.0, 1.0)}, **declared)
    def pair(parameters, seed, context=None):
        rows = tf.shape(parameters["x"])[0]
        return {name: tf.zeros((rows, 9, 1)) for name in ("a", "b")}

    network = bi.AmortizedPosterior(pair).summaries["a, b"]
    assert isinstance(network, ConvLSTM)
    assert network.positions == positions


def _rows_of(order: str) -> np.ndarray:
    """Return 400 data sets of 24 rows."""
    generator = np.random.default_rng(1)
    noise = generator.normal(size=(400, 24))
    rows = {
        "none": noise,
        "counts": generator.poisson(np.exp(0.3 * noise[:, :1]), size=(400, 24)),
        "two channels": np.stack([noise, noise + generator.normal(size=(400, 24))], axis=2),
        "trend": noise + np.linspace(0.0, 0.5, 24),
        "scale": noise * np.linspace(1.0, 1.5, 24),
        "walk": np.cumsum(noise, axis=1),
        "neighbours": noise + 0.4 * np.roll(noise, 1, axis=1),
        "other channel": np.stack([noise, np.roll(noise, 1, axis=1)], axis=2),
    }
    return rows[order]


@pytest.mark.parametrize(
    "order",
    ["none", "counts", "two channels", "trend", "scale", "walk", "neighbours", "other channel"],
)
def test_rows_without_an_order_are_told(order: str, recwarn) -> None:
    data = _rows_of(order)
    law = {"mean": tfd.Normal(0.0, 1.0)}
    rows = {"mean": np.linspace(-2.0, 2.0, 400), "y": data}
    model = bi.from_arrays(law, rows)
    posterior = bi.AmortizedPosterior(model)
    warn_of_sets(model, posterior.summaries, rows)
    told = [str(warning.message) for warning in recwarn]
    exchangeable = order in ("none", "counts", "two channels")
    assert len(told) == exchangeable
    assert all("DeepSet" in text and "coordinates={'y': places}" in text for text in told)
    # What is declared is believed.
    declared = bi.from_arrays(law, rows, coordinates={"y": np.arange(24.0)})
    warn_of_sets(declared, posterior.summaries, rows)
    assert len(recwarn) == exchangeable


def test_elements_with_a_parameter_each_are_no_set() -> None:
    noise = _rows_of("none")
    generator = np.random.default_rng(2)
    parameters = {"x": noise}
    assert has_order(noise + generator.normal(size=noise.shape), parameters, generator)
    assert not has_order(generator.normal(size=noise.shape), parameters, generator)
    assert has_order(noise[:50], {"x": noise[:50]}, generator) is None


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)})
def trials(parameters, seed):
    mean = parameters["mean"][:, None]
    return {"y": mean + tf.random.stateless_normal((tf.shape(mean)[0], 30), seed)}


@bi.simulator(prior={"mean": tfd.Normal(0.0, 2.0)})
def wider(parameters, seed):
    return trials(parameters, seed)


@pytest.mark.parametrize(
    "estimator",
    [
        bi.AmortizedPosterior,
        bi.PointEstimator,
        bi.LikelihoodRatio,
        lambda simulator, summary=None: bi.ModelComparison([simulator, wider], summary),
    ],
    ids=["posterior", "points", "ratio", "comparison"],
)
def test_training_warns_of_a_set_that_a_default_reads_in_order(
    estimator, monkeypatch, recwarn
) -> None:
    monkeypatch.setattr(amortized, "Background", lambda *_: None)
    for summary in (None, MLP()):  # left out, and chosen by the user
        model = estimator(trials, summary)
        rows = (
            model.simulate(4_096, 1)
            if isinstance(model, bi.ModelComparison)
            else trials.sample(4_096, 1)
        )
        model.prepare(model.trainable(rows, seed=1), rows)
    (told,) = [str(warning.message) for warning in recwarn]
    assert told.startswith("'y' shows no order in 4,096 simulations")


def test_the_report_of_a_simulator_hints_at_sets() -> None:
    (hint,) = bi.simulator_report(trials, simulations=500, seed=1).advice
    assert (hint.severity, hint.subject) == ("hint", "y")
    assert "shows no order of its 30 rows" in hint.text


def test_training_prints_the_reasons(simulator: bi.Simulator, capsys) -> None:
    posterior = bi.AmortizedPosterior(simulator, {"image": Identity(), "series, rows": Identity()})
    posterior.fit(steps=1, batch_size=4, optimization=bi.Optimization(xla=False))
    printed = capsys.readouterr().out
    assert "MLP() (taken for a vector; a series declares coordinates={...})" in printed
    assert (
        "few: standardised; Identity() (at most 20 numbers, which need no compression)" in printed
    )
    # What the user chose has no reason.
    assert "image: standardised; Identity()\n" in printed


def test_the_flow_follows_the_number_of_parameters() -> None:
    few, many = (choose_flow(None, Layout(count, 0, 0)).bijection for count in (12, 13))
    assert "Spline()" in repr(few)
    assert "Spline()" not in repr(many)
    assert len(few.bijections) == 12
    assert len(many.bijections) == 18
    own = bi.flows.hint()
    assert choose_flow(own, Layout(3, 0, 0)) is own


@pytest.mark.parametrize("count", [3, 13])
def test_axes_of_integers_are_not_turned(count: int) -> None:
    mixed, continuous = (
        repr(choose_flow(None, Layout(count, integers, integers)).bijection) for integers in (1, 0)
    )
    assert "Permutation" in mixed
    assert "Orthogonal" not in mixed
    assert "Orthogonal" in continuous


@pytest.mark.parametrize(("rows", "count"), [(None, 1), (100, 3), (200_000, 3), (200_001, 1)])
def test_several_networks_where_simulations_are_few(rows: int | None, count: int) -> None:
    assert choose_count(rows, {"x": Identity()}) == count


def test_one_network_with_a_summary_that_is_trained_first() -> None:
    assert choose_count(100, bi.get_simulator("covid19").recommended.summary) == 1
