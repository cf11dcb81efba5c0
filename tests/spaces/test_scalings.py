"""Data at unit scale: mean zero, standard deviation one, padding left out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.spaces.data import DataSpace, Scaling


def test_data_are_centred_and_scaled() -> None:
    values = np.random.default_rng(1).normal(100.0, 2.0, size=(500, 3)).astype(np.float32)
    scaled = Scaling.fit(values).apply(tf.constant(values)).numpy()
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, atol=1e-4)


def test_compressed_data_are_centred_and_scaled() -> None:
    values = np.random.default_rng(1).lognormal(3.0, 3.0, size=(2_000, 2)).astype(np.float32)
    scaling = Scaling.fit(values)
    assert scaling.compress is not None
    scaled = scaling.apply(tf.constant(values)).numpy()
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, atol=1e-4)


@pytest.mark.parametrize("largest", [1e9, 3.4e38])
def test_values_far_out_stay_in_the_range_of_networks(largest: float) -> None:
    x = np.random.default_rng(1).normal(0.0, 1e-3, size=(500, 2)).astype(np.float32)
    space = DataSpace.fit({"x": x, "c": x}, ("x",), ("c",), {}, missing=True)
    odd = tf.constant([[largest, -largest], [np.nan, 1.0]], tf.float32)
    inputs, _ = space.to_network({"x": odd, "c": odd[:1]})
    values = inputs["x"][..., 0].numpy()
    assert values[0].tolist() == [1e6, -1e6]
    assert values[1] == pytest.approx([0.0, 1e3], rel=0.1)
    assert inputs["c"].numpy().tolist() == [[1e6, -1e6]]


def test_numbers_below_the_normal_ones_are_constant() -> None:
    values = (1e-42 * np.random.default_rng(1).normal(size=(500, 1))).astype(np.float32)
    scaled = Scaling.fit(values).apply(tf.constant(values)).numpy()
    np.testing.assert_allclose(scaled, 0.0, atol=1e-6)


def test_padding_is_left_out_and_becomes_zero() -> None:
    counts = np.array([2, 4] * 200)
    x = np.random.default_rng(1).normal(50.0, 3.0, size=(400, 4)).astype(np.float32)
    padded = np.arange(4) >= counts[:, None]
    x[padded] = -1e6
    space = DataSpace.fit({"x": x, "n": counts}, ("x",), ("n",), {"x": "n"})
    inputs, masks = space.to_network({"x": tf.constant(x), "n": tf.constant(counts)})
    np.testing.assert_array_equal(masks["x"].numpy(), ~padded)
    np.testing.assert_array_equal(inputs["x"].numpy()[padded], 0.0)
    valid = inputs["x"].numpy()[~padded]
    assert abs(valid.mean()) < 0.02
    assert abs(valid.std() - 1.0) < 0.02


@pytest.mark.parametrize("spread", [1.0, 1e8])
def test_small_steps_on_a_large_offset_survive(spread: float) -> None:
    # Seconds since 1970: single precision resolves 128 of them.
    values = 1.7e9 + spread * np.random.default_rng(1).normal(size=(500, 1))
    scaling = Scaling.fit(values)
    assert scaling.mean.dtype == (np.float64 if spread == 1.0 else np.float32)
    scaled = scaling.apply(tf.constant(values)).numpy()
    np.testing.assert_allclose(scaled, (values - values.mean()) / values.std(), atol=1e-4)


def test_heavy_tails_are_resolved_where_values_are_and_counts_to_one() -> None:
    generator = np.random.default_rng(1)
    sizes = 1e-3 * generator.lognormal(0.0, 3.0, size=(2_000, 1)).astype(np.float32)
    small = sizes * generator.choice([-1.0, 1.0], size=sizes.shape)
    assert Scaling.fit(small).compress == pytest.approx(np.quantile(sizes, 0.1), rel=1e-3)
    counts = np.floor(generator.lognormal(0.0, 3.0, size=(2_000, 1))).astype(np.float32)
    assert np.quantile(counts[counts > 0.0], 0.1) == 1.0
    assert Scaling.fit(counts).compress == 1.0
    assert Scaling.fit(np.zeros((10, 1))).compress is None


@pytest.mark.parametrize("spread", [2.0, 6.0])
def test_heavy_tails_of_positive_values_are_scaled_as_their_logarithms(spread: float) -> None:
    values = np.random.default_rng(1).lognormal(0.0, spread, size=(2_000, 1))
    scaled = Scaling.fit(values).apply(tf.constant(values)).numpy()
    logs = np.log(values)
    logs = (logs - logs.mean()) / logs.std()
    usual = logs > -2.5
    np.testing.assert_allclose(scaled[usual], logs[usual], atol=0.05)
    assert np.isfinite(scaled).all()


def lognormal(spread: float) -> np.ndarray:
    return np.random.default_rng(1).lognormal(0.0, spread, size=(20_000, 1))


@pytest.mark.parametrize("unit", [1.0, 1e9, 1e12, 1e20])
def test_scaling_does_not_depend_on_the_unit(unit: float) -> None:
    # Above 2^24, all numbers of single precision are whole. They are no counts.
    plain = Scaling.fit(lognormal(3.0).astype(np.float32))
    values = (unit * lognormal(3.0)).astype(np.float32)
    assert Scaling.fit(values).compress == pytest.approx(unit * plain.compress, rel=1e-3)


@pytest.mark.parametrize(("number", "count"), [(0.0, 5), (np.nan, 2_000)])
def test_zeros_and_missing_values_leave_logarithms_as_they_are(number: float, count: int) -> None:
    values = lognormal(3.0).astype(np.float32)
    plain = Scaling.fit(values).compress
    values[:count] = number
    assert Scaling.fit(values).compress == pytest.approx(plain, rel=0.2)


@pytest.mark.parametrize("floor", [1e-8, 1e-12, 1e-30])
def test_a_floor_in_place_of_zeros_does_not_squeeze_the_rest(floor: float) -> None:
    values = lognormal(1.6)
    zero = np.random.default_rng(2).random(values.shape) < 0.03
    values = np.where(zero, 0.0, values) + floor
    scaled = Scaling.fit(values).apply(tf.constant(values)).numpy()
    assert scaled[~zero].std() > 0.9


def test_columns_of_different_size_are_no_tail() -> None:
    generator = np.random.default_rng(1)
    large = generator.normal(1_000.0, 50.0, size=(4_000, 1))
    values = np.concatenate([large, generator.random((4_000, 2))], axis=1)
    assert Scaling.fit(values).compress is None


def test_tails_are_heavy_from_twenty_medians_on() -> None:
    largest = np.array([19.9, 20.0])
    values = np.ones((100, 1))
    heavy = []
    for size in largest:
        values[-1] = values[-2] = size
        heavy.append(Scaling.fit(values).compress is not None)
    assert heavy == [False, True]


def test_raw_observables_reach_networks_as_they_are() -> None:
    x = np.random.default_rng(1).normal(50.0, 3.0, size=(400, 4)).astype(np.float32)
    y = 2.0 * x
    space = DataSpace.fit({"x": x, "y": y}, ("x", "y"), (), {}, raw=("x",))
    data = {"x": tf.constant(x), "y": tf.constant(y)}
    inputs, masks = space.to_network(data)
    assert not masks
    np.testing.assert_array_equal(inputs["x"], x)
    assert abs(inputs["y"].numpy().mean()) < 1e-3
    standardised = space.standardise(data)
    np.testing.assert_allclose(standardised["x"], standardised["y"], atol=1e-4)


def test_missing_values_are_zero_and_flagged() -> None:
    x = np.random.default_rng(1).normal(50.0, 3.0, size=(400, 3)).astype(np.float32)
    lost = np.random.default_rng(2).random(x.shape) < 0.3
    x[lost] = np.nan
    space = DataSpace.fit({"x": x}, ("x",), (), {}, missing=True)
    values, present = tf.unstack(space.to_network({"x": tf.constant(x)})[0]["x"], axis=-1)
    np.testing.assert_array_equal(present, np.where(lost, 0.0, 1.0))
    np.testing.assert_array_equal(values.numpy()[lost], 0.0)
    assert abs(values.numpy()[~lost].std() - 1.0) < 0.02


def test_numbers_too_small_for_single_precision_are_standardised_first() -> None:
    values = np.random.default_rng(1).normal(1e-46, 2e-47, size=(500, 3))
    scaled = Scaling.fit(values).apply(tf.constant(values)).numpy()
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, atol=1e-4)


@pytest.mark.parametrize("size", [1e-34, 1e-46, 1e-200])
def test_heavy_tails_of_any_unit_are_scaled(size: float) -> None:
    tails = np.random.default_rng(1).lognormal(0.0, 2.5, size=(2_000, 2))
    expected = Scaling.fit(tails).apply(tf.constant(tails)).numpy()
    scaled = Scaling.fit(tails * size).apply(tf.constant(tails * size)).numpy()
    np.testing.assert_allclose(scaled, expected, atol=1e-3)
