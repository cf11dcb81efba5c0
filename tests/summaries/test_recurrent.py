"""Series without steps: masks that cuDNN accepts, and results that nothing else can see."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.simulators.covid19_multi_kernel_lstm import MultiKernelLSTM
from bayesinn.summaries import ConvLSTM, Summary

LENGTHS = [7, 0, 3, 1, 0]
MASK = tf.sequence_mask(LENGTHS, 7)
NETWORKS = {
    "convolutions": lambda: ConvLSTM(4, filters=(5,), lstm_units=6),
    "stride": lambda: ConvLSTM(4, filters=(5, 5), kernel_size=3, stride=2, lstm_units=6),
    "several kernels": lambda: MultiKernelLSTM(
        4, layers=2, kernel_sizes=(2, 3), filters=3, channels=5
    ),
}


def made(name: str) -> tuple[Summary, tf.Tensor]:
    x = tf.random.stateless_normal((5, 7, 2), (1, 2))
    with seeded_initial_weights(1):
        summary = NETWORKS[name]()
        summary(x)
    return summary, x


@pytest.mark.parametrize("name", NETWORKS)
def test_masks_have_no_empty_row_and_are_padded_on_the_right(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, x = made(name)
    seen = []
    call = summary.lstm.call
    monkeypatch.setattr(
        summary.lstm,
        "call",
        lambda h, mask=None, **rest: seen.append(mask) or call(h, mask=mask, **rest),
    )
    summary(x, MASK)
    (mask,) = np.asarray(seen)
    # What Keras demands of cuDNN: every row begins with a step, and no step follows padding.
    assert mask[:, 0].all()
    assert not (mask[:, 1:] & ~mask[:, :-1]).any()
    # Series with steps keep theirs.
    steps = np.asarray(MASK)[:, :: 2**2 if name == "stride" else 1]
    np.testing.assert_array_equal(mask[[0, 2, 3]], steps[[0, 2, 3]])


@pytest.mark.parametrize("name", NETWORKS)
def test_series_without_steps_change_nothing(name: str) -> None:
    summary, x = made(name)
    weights = [variable.value for variable in summary.trainable_variables]

    def run(x: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            result = summary(x, MASK)
            loss = tf.reduce_sum(tf.gather(result, [0, 2, 3]) ** 2)
        return result, tape.gradient(loss, weights)

    result, gradients = run(x)
    # In a series without steps, whatever stands in the padding.
    far = tf.tensor_scatter_nd_update(x, [[1], [4]], 1e3 * tf.ones((2, 7, 2)))
    other, other_gradients = run(far)
    np.testing.assert_array_equal(other, result)
    for got, expected in zip(other_gradients, gradients, strict=True):
        np.testing.assert_array_equal(got, expected)
    # Its last state is the first: zeros.
    nothing = tf.zeros((2, summary.lstm.units))
    empty = nothing if name == "several kernels" else summary.dense(nothing)
    np.testing.assert_allclose(tf.gather(result, [1, 4]), empty, atol=1e-7)


@pytest.mark.parametrize("name", NETWORKS)
def test_other_series_keep_their_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    summary, x = made(name)
    result = summary(x, MASK)
    for module in ("summaries.series", "simulators.covid19_multi_kernel_lstm"):
        plain = lambda recurrent, h, mask: recurrent(h, mask=mask)  # noqa: E731
        monkeypatch.setattr(f"bayesinn.{module}.last_state", plain)
    np.testing.assert_array_equal(
        tf.gather(result, [0, 2, 3]), tf.gather(summary(x, MASK), [0, 2, 3])
    )
