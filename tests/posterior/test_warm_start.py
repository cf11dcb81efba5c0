"""Training from the weights of another posterior."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.posterior import amortized
from bayesinn.posterior.amortized import detect_damage

tfd = tfp.distributions


def measurement(place: float, count: int = 3) -> bi.Simulator:
    """Noisy measurements of x ~ Normal(place, 1)."""

    @bi.simulator(
        prior={"x": tfd.Normal(place, 1.0), "y": tfd.Normal(0.0, 1.0)},
        name=f"measurement at {place}",
    )
    def simulate(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        noise = tf.random.stateless_normal((tf.shape(parameters["x"])[0], count), seed)
        return {"data": parameters["x"][:, None] + 0.5 * noise}

    return simulate


def untrained(simulator: bi.Simulator, units: int = 16) -> bi.AmortizedPosterior:
    return bi.AmortizedPosterior(simulator, flow=bi.flows.coupling(blocks=2, hidden=(units,)))


@pytest.fixture(scope="module")
def trained() -> bi.AmortizedPosterior:
    return untrained(measurement(0.0)).fit(steps=300, batch_size=128, seed=1, progress=False)


def test_a_step_too_small_to_matter_leaves_the_posterior_as_it_was(
    trained: bi.AmortizedPosterior,
) -> None:
    # The other prior's own scalings would move every density.
    simulator = measurement(1.0)
    again = untrained(simulator).fit(
        start_from=trained,
        steps=1,
        optimization=bi.Optimization(learning_rate=1e-9),
        seed=7,
        progress=False,
    )
    data = {"data": np.array([0.1, 0.6, 0.3])}
    parameters = {"x": np.linspace(-1.0, 1.0, 5), "y": np.zeros(5)}
    np.testing.assert_allclose(
        again.log_prob(parameters, data), trained.log_prob(parameters, data), atol=1e-5
    )  # 2e-6, seeds 1 to 3
    anew = untrained(simulator).fit(
        steps=1, optimization=bi.Optimization(learning_rate=1e-9), seed=7, progress=False
    )
    assert np.abs(anew.log_prob(parameters, data) - trained.log_prob(parameters, data)).max() > 0.1


def test_damage_is_detected_in_the_scalings_that_were_started_from(
    trained: bi.AmortizedPosterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    means = []

    def note(space, compared):
        means.append(np.array(space.scalings["data"].mean))
        return detect_damage(space, compared)

    monkeypatch.setattr(amortized, "detect_damage", note)
    untrained(measurement(1.0)).fit(start_from=trained, steps=1, seed=7, progress=False)
    np.testing.assert_array_equal(means[0], trained.model.data.scalings["data"].mean)


def test_a_few_steps_adapt_to_another_prior(trained: bi.AmortizedPosterior) -> None:
    adapted = untrained(measurement(1.0)).fit(
        start_from=trained,
        steps=150,
        batch_size=128,
        optimization=bi.Optimization(learning_rate=1e-3),
        seed=2,
        progress=False,
    )
    draws = adapted.sample({"data": np.full(3, 0.5)}, draws=4_000, seed=1)
    # Precisions 1 and 3 / 0.25 of prior and data: mean (1 + 6) / 13. With the first prior it is 6 /
    # 13 = 0.46.
    assert abs(draws["x"].mean() - 7 / 13) < 0.04  # 0.010, 0.006 and 0.018 for seeds 2, 3 and 4
    assert adapted.training["start_from"] == trained.fingerprint
    assert trained.training["start_from"] is None


def test_checkpoints_know_where_training_started(trained: bi.AmortizedPosterior, tmp_path) -> None:
    options = {"steps": 4, "batch_size": 16, "progress": False}
    untrained(trained.simulator).fit(start_from=trained, checkpoint=tmp_path, **options)
    with pytest.raises(InputError, match="start_from"):
        untrained(trained.simulator).fit(checkpoint=bi.Checkpoint(tmp_path, resume=True), **options)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (lambda trained: "folder", "a trained AmortizedPosterior"),
        (lambda trained: untrained(trained.simulator), "never trained"),
        (lambda trained: untrained(trained.simulator, units=8), "the same networks"),
        (lambda trained: untrained(measurement(0.0, count=4)), "the same observables"),
    ],
)
def test_what_can_not_be_started_from(trained: bi.AmortizedPosterior, start, message: str) -> None:
    with pytest.raises(InputError, match=message):
        untrained(trained.simulator).fit(start_from=start(trained), steps=1, progress=False)


def test_the_order_of_parameters_counts(trained: bi.AmortizedPosterior) -> None:
    swapped = bi.simulator(
        prior={"y": tfd.Normal(0.0, 1.0), "x": tfd.Normal(0.0, 1.0)}, name="swapped"
    )(trained.simulator.function)
    with pytest.raises(InputError, match="in this order"):
        untrained(swapped).fit(start_from=trained, steps=1, progress=False)


def test_simulations_are_new_ones_and_repeatable(trained: bi.AmortizedPosterior) -> None:
    options = {"start_from": trained, "steps": 2, "batch_size": 16, "seed": 1, "progress": False}
    first, second = (untrained(trained.simulator).fit(**options) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert first.training["settings"]["seed"] != trained.training["settings"]["seed"] == 1


def test_what_was_held_out_stays_held_out(trained: bi.AmortizedPosterior) -> None:
    """A step that changes nothing has the validation loss that training ended with."""
    data = trained.simulator.sample(400, seed=1)
    options = {"batch_size": 50, "seed": 3, "progress": False}
    plain = bi.Optimization(average=0.0)
    still = bi.Optimization(average=0.0, learning_rate=1e-9)
    first = untrained(trained.simulator).fit(data, epochs=1, optimization=plain, **options)
    again = untrained(trained.simulator).fit(
        data, start_from=first, epochs=1, optimization=still, **options
    )
    # 0, seeds 1 to 3
    np.testing.assert_allclose(again.history["val_loss"], first.history["val_loss"], rtol=1e-6)


def test_started_from_itself_it_knows_all_steps_before() -> None:
    posterior = untrained(measurement(0.0))
    options = {"batch_size": 32, "seed": 1, "progress": False}
    posterior.fit(steps=6, **options)
    posterior.fit(steps=2, start_from=posterior, **options)
    assert posterior.training["steps_before"] == 6
    assert posterior.about()["Training"] == "2 steps of 32 after 6 before, seed 1"
    assert "seed 1)" in bi.diagnosis.methods_text(posterior)


def test_another_split_of_the_same_rows_is_warned_of() -> None:
    simulator = measurement(0.0)
    rows = simulator.sample(200, seed=1)
    options = {"epochs": 1, "batch_size": 32, "progress": False}
    first = untrained(simulator).fit(rows, seed=1, **options)
    with pytest.warns(UserWarning, match="Other rows are held out"):
        untrained(simulator).fit(rows, seed=2, start_from=first, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        untrained(simulator).fit(rows, seed=1, start_from=first, **options)
    # It has seen them all.
    everything = untrained(simulator).fit(rows, seed=1, validation=0.0, **options)
    with pytest.warns(UserWarning, match="Other rows are held out"):
        untrained(simulator).fit(rows, seed=1, start_from=everything, **options)


def test_detectors_that_fail_do_not_cost_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(space: object, compared: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(amortized, "detect_damage", fail)
    posterior = untrained(measurement(0.0))
    with pytest.warns(UserWarning, match="harder to detect.*no room"):
        posterior.fit(steps=2, batch_size=32, seed=1, progress=False)
    assert posterior.trained
    assert posterior.sample({"data": np.zeros(3)}, draws=5).p_value > 0.0
