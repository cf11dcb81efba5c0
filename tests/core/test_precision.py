"""Full precision inside a block, with an emulation of the GPU's TensorFloat-32 on any processor."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.bijections import Bijection, Coupling, Orthogonal, Spline
from bayesinn.core.compilation import full_precision
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.testing.contracts import perturb
from tests.helpers.tensor_float import emulate_tensor_float, rounded

enabled = tf.config.experimental.tensor_float_32_execution_enabled


@pytest.fixture(autouse=True)
def default_setting():
    assert enabled()
    yield
    tf.config.experimental.enable_tensor_float_32_execution(True)


def test_emulation_rounds_to_ten_bits() -> None:
    ulp = 2.0**-10
    values = tf.constant(
        [1.0 + ulp, 1.0 + 0.49 * ulp, 1.0 + 0.5 * ulp, 1.0 + 1.5 * ulp, -1e30, 3.1415927]
    )
    expected = [1.0 + ulp, 1.0, 1.0, 1.0 + 2.0 * ulp, rounded(values)[4], 3.140625]
    np.testing.assert_array_equal(rounded(values), np.array(expected, "float32"))
    assert abs(float(rounded(values)[4]) / -1e30 - 1.0) < 0.5 * ulp


def made(factory: Callable[[], Bijection]) -> tuple[Bijection, tf.Tensor, tf.Tensor]:
    with seeded_initial_weights(1):
        bijection = factory()
        bijection.build((6,), (4,))
    perturb(bijection, np.random.default_rng(1), 1.0)
    return (
        bijection,
        tf.random.stateless_normal((1000, 6), (1, 2)),
        tf.random.stateless_normal((1000, 4), (1, 3)),
    )


def outcome(
    bijection: Bijection, x: tf.Tensor, condition: tf.Tensor
) -> tuple[np.ndarray, np.ndarray, float]:
    """Latents, log-determinants, and the largest error of the round trip."""
    z, log_det = bijection.forward(x, condition)
    back, _ = bijection.inverse(z, condition)
    return z.numpy(), log_det.numpy(), float(tf.reduce_max(tf.abs(back - x)))


def test_rotation_keeps_its_inverse(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = made(Orthogonal)
    z, _, error = outcome(*arguments)
    emulate_tensor_float(monkeypatch)
    # Weight seeds 1, 2, 3: 2.5e-3, 3.3e-3, 1.8e-3 outside, 5e-7 inside.
    assert outcome(*arguments)[2] > 1e-3
    with full_precision():
        inside = outcome(*arguments)
    assert inside[2] == error < 2e-6
    np.testing.assert_array_equal(inside[0], z)


def test_spline_keeps_its_log_determinant(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = made(lambda: Coupling(Spline(), hidden=(128, 128)))
    exact = outcome(*arguments)
    emulate_tensor_float(monkeypatch)
    lost = outcome(*arguments)[1]
    with full_precision():
        inside = outcome(*arguments)
        compiled = tf.function(arguments[0].forward)(*arguments[1:])[1]
    # Off by 2.7 with these large weights.
    assert np.abs(lost - exact[1]).max() > 0.5
    np.testing.assert_array_equal(inside[1], exact[1])
    np.testing.assert_allclose(compiled, exact[1], rtol=1e-4, atol=1e-4)


def test_gradients_are_emulated_and_exact_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    block, x, condition = made(lambda: Coupling(hidden=(32,)))

    def gradients() -> np.ndarray:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(block.forward(x, condition)[1])
        found = tape.gradient(loss, [variable.value for variable in block.trainable_variables])
        return np.concatenate([np.ravel(gradient) for gradient in found])

    exact = gradients()
    emulate_tensor_float(monkeypatch)
    assert np.linalg.norm(gradients() - exact) > 1e-5 * np.linalg.norm(exact)
    with full_precision():
        np.testing.assert_array_equal(gradients(), exact)


@pytest.mark.parametrize("setting", [True, False])
def test_setting_of_the_user_comes_back(setting: bool) -> None:
    tf.config.experimental.enable_tensor_float_32_execution(setting)
    with full_precision():
        assert not enabled()
        with pytest.raises(ValueError, match="inside"), full_precision():
            raise ValueError("inside")
        # Still inside of the outer block.
        assert not enabled()
    assert enabled() is setting


def test_blocks_of_several_threads_overlap() -> None:
    entered = threading.Event()
    leave = threading.Event()

    def work() -> None:
        with full_precision():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=work)
    with full_precision():
        thread.start()
        entered.wait()
    assert not enabled()
    leave.set()
    thread.join()
    assert enabled()


def test_functions_can_be_decorated() -> None:
    assert full_precision()(enabled)() is False
    assert enabled()
