"""Data at unit scale: mean zero, standard deviation one, padding left out."""

from __future__ import annotations

import numpy as np
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
