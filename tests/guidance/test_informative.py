"""Elements of the data that depend on parameters are found, and others are not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.guidance.informative import depend_on
from bayesinn.simulators.sbibm import slcp_distractors as distractors

tfd = tfp.distributions


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0), "sd": tfd.LogNormal(0.0, 0.3)})
def noisy(parameters, seed):
    """A value by mean, one by spread, one with a known background, and 40 elements of noise."""
    n = tf.shape(parameters["mean"])[0]
    noise = tf.random.stateless_normal((n, 44), seed)
    background = noise[:, 3]
    told = [
        parameters["mean"] + noise[:, 0],
        parameters["sd"] * noise[:, 1],
        parameters["mean"] + 3.0 * background + 0.1 * noise[:, 2],
        background,
    ]
    # Elements of noise depend on each other, as those of real data do.
    shared = noise[:, 4:] + noise[:, 4:5]
    return {"x": tf.concat([tf.stack(told, axis=1), shared], axis=1)}


def test_what_tells_of_location_spread_or_noise_of_others_is_kept() -> None:
    chosen = bi.informative(noisy, noisy.sample(5_000, seed=1))
    places = set(chosen.places["x"].tolist())
    assert {0, 1, 2, 3} <= places
    # The chance that any of the forty is kept is at most 0.11.
    assert len(places) <= 5


@pytest.mark.parametrize("shape", [(), (3, 400)])
def test_the_background_of_an_observable_that_stays_whole_is_kept(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(1)
    mean = generator.normal(size=2_000)
    background = generator.normal(size=2_000)
    seen = mean + 3.0 * background
    elements = generator.normal(size=(2_000, 12))
    elements[:, 0] = background
    elements[:, 1] += mean
    whole = np.broadcast_to(seen[:, None], (2_000, int(np.prod(shape)))).reshape(-1, *shape)
    rows = {"mean": mean, "x": elements, "y": whole}
    model = bi.from_arrays({"mean": tfd.Normal(0.0, 1.0)}, rows)
    assert bi.informative(model, rows).places["x"].tolist() == [0, 1]


def test_nothing_is_connected_by_chance() -> None:
    generator = np.random.default_rng(1)
    kept = [
        depend_on(generator.normal(size=(500, 2)), generator.standard_t(1.5, size=(500, 30)))
        for _ in range(40)
    ]
    # With a probability of at most 0.11 in each of 40, nine or more happen with one of 0.04.
    assert np.any(kept, axis=1).sum() < 9
    # A constant depends on nothing.
    assert not depend_on(generator.normal(size=(500, 2)), np.ones((500, 1))).any()


def test_the_distractors_of_slcp_are_found() -> None:
    task = bi.get_simulator("slcp_distractors")
    rows = task.sample(10_000, seed=1_001)
    chosen = bi.informative(task, rows).places["x"]
    own = np.argsort(distractors.noise()[2])[: distractors.NUMBERS]
    assert set(own) <= set(chosen.tolist())
    assert len(chosen) <= 10


def test_a_bank_is_read_like_its_arrays(tmp_path) -> None:
    bank = bi.simulate_bank(noisy, 1_000, tmp_path, seed=1, progress=False)
    from_bank = bi.informative(noisy, bank).places["x"]
    from_arrays = bi.informative(noisy, bank.read()).places["x"]
    np.testing.assert_array_equal(from_bank, from_arrays)


def test_series_and_vectors_that_tell_nothing_stay_whole() -> None:
    sir = bi.get_simulator("sir")
    assert bi.informative(sir, sir.sample(500, seed=1)).places == {}
    rows = noisy.sample(500, seed=1)
    rows["x"] = np.random.default_rng(1).permutation(rows["x"])[:, 4:6]
    nothing = bi.from_arrays({"mean": tfd.Normal(0.0, 1.0), "sd": tfd.LogNormal(0.0, 0.3)}, rows)
    assert bi.informative(nothing, rows).simulator is nothing
