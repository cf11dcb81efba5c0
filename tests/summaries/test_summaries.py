"""Every summary keeps the contract. A new one joins with one line in the registry."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.simulators.covid19_count_series import CountSeries
from bayesinn.simulators.covid19_multi_kernel_lstm import MultiKernelLSTM
from bayesinn.simulators.gaussian import gaussian
from bayesinn.summaries import (
    MLP,
    ConvImage,
    ConvLSTM,
    DeepSet,
    Identity,
    Noisy,
    PowerSpectrum,
    SetTransformer,
    Steps,
    Summary,
    Transformer,
)
from bayesinn.testing import check_summary
from tests.helpers.fitting import fit

tfd = tfp.distributions

REGISTRY: dict[str, tuple[Callable[[], Summary], tuple[int, ...], bool, bool]] = {
    # name: factory, shape of one observation, takes masks, is permutation invariant
    "identity": (Identity, (4, 2), False, False),
    "mlp": (lambda: MLP(units=5, hidden=(16,)), (9,), False, False),
    "mlp, decorrelated": (lambda: MLP(units=5, hidden=(16,), decorrelate=True), (9,), False, False),
    "noisy": (lambda: Noisy(MLP(units=5, hidden=(16,))), (9,), False, False),
    "series": (lambda: ConvLSTM(units=5, filters=(8,), lstm_units=8), (9,), True, False),
    "series, strided": (
        lambda: ConvLSTM(5, filters=(8, 8), kernel_size=5, stride=3, lstm_units=8),
        (11, 2),
        True,
        False,
    ),
    "series, positions": (
        lambda: ConvLSTM(5, filters=(8,), lstm_units=8, positions=3),
        (9, 2),
        False,
        False,
    ),
    "series, linear": (
        lambda: ConvLSTM(5, filters=(8,), lstm_units=8, linear=True),
        (9, 2),
        False,
        False,
    ),
    "series, no overlap": (
        lambda: ConvLSTM(5, filters=(8,), kernel_size=2, stride=2, lstm_units=8),
        (6, 2),
        True,
        False,
    ),
    "series, many kernels": (
        lambda: MultiKernelLSTM(5, layers=2, kernel_sizes=(2, 4), filters=3, channels=6),
        (9, 2),
        True,
        False,
    ),
    "series, its steps": (lambda: Steps(5, filters=(8,), lstm_units=8), (9, 2), True, False),
    "image": (lambda: ConvImage(5, filters=(4, 6)), (7, 6), False, False),
    "image of channels": (lambda: ConvImage(5, filters=(4, 6)), (8, 8, 2), False, False),
    "image with maps": (lambda: ConvImage(5, filters=(4, 6), maps=3), (7, 6, 2), False, False),
    "power spectrum": (lambda: PowerSpectrum(5, hidden=(8,)), (7, 6), False, False),
    "power spectra": (lambda: PowerSpectrum(5, hidden=(8,), width=1.0), (8, 8, 2), False, False),
    "counts": (
        lambda: CountSeries(5, hidden=(16,), filters=(4, 6), season=3),
        (15, 2),
        False,
        False,
    ),
    "counts, one series": (
        lambda: CountSeries(5, hidden=(16,), filters=(4, 6), season=2),
        (11,),
        False,
        False,
    ),
    "deep set": (lambda: DeepSet(units=5, hidden=(16, 16)), (9,), True, True),
    "deep set, max": (lambda: DeepSet(units=5, hidden=(16,), pooling="max"), (9, 2), True, True),
    "deep set, mean and max": (
        lambda: DeepSet(units=5, hidden=(16,), pooling="mean+max"),
        (9, 2),
        True,
        True,
    ),
    "deep set, sum": (lambda: DeepSet(units=5, hidden=(16,), pooling="sum"), (5, 2), True, True),
    "deep set of sets": (lambda: DeepSet(5, (16,), inner=DeepSet(4, (16,))), (5, 3, 2), True, True),
    "deep set of series": (
        lambda: DeepSet(5, (16,), inner=ConvLSTM(4, (8,), lstm_units=8)),
        (5, 4),
        True,
        True,
    ),
    "set transformer": (lambda: SetTransformer(units=5, width=16, heads=2), (7, 2), True, True),
    "inducing points": (
        lambda: SetTransformer(5, width=16, heads=2, inducing_points=3, seeds=2),
        (7,),
        True,
        True,
    ),
    "transformer": (lambda: Transformer(5, width=16, heads=2, blocks=1), (5,), True, False),
    "transformer, times": (
        lambda: Transformer(5, width=16, heads=2, blocks=1, times="t"),
        (4, 2),
        True,
        True,
    ),
}


@pytest.mark.parametrize("name", REGISTRY)
def test_summary(name: str) -> None:
    factory, shape, masks, invariant = REGISTRY[name]
    check_summary(factory, shape, masks=masks, permutation_invariant=invariant)


class SeesPadding(Summary):
    """Ignores the mask, and counts zeros."""

    def __init__(self) -> None:
        super().__init__()

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return tf.reduce_mean(x, axis=1, keepdims=True)


class HidesTheSize(Summary):
    """A mean and nothing else."""

    def __init__(self) -> None:
        super().__init__()

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        weights = tf.ones_like(x) if mask is None else tf.cast(mask, x.dtype)
        return tf.reduce_sum(weights * x, axis=1, keepdims=True) / tf.reduce_sum(
            weights, axis=1, keepdims=True
        )


class DependsOnTheOrder(Summary):
    """Picks the first element."""

    def __init__(self) -> None:
        super().__init__()

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return x[:, :1]


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (SeesPadding, "another result when padded"),
        (HidesTheSize, "can't be distinguished"),
        (DependsOnTheOrder, "order of elements"),
    ],
)
def test_check_finds_broken_summaries(broken: type[Summary], law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_summary(broken, (6,), permutation_invariant=True)


def test_perceptron_sees_features_without_correlation() -> None:
    generator = np.random.default_rng(1)
    x = generator.standard_normal((1_000, 1)) + 0.05 * generator.standard_normal((1_000, 6))
    summary = MLP(units=5, hidden=(16,), decorrelate=True)
    summary.initialize(tf.constant(x, tf.float32))
    seen = (x - x.mean(axis=0)) @ summary.axes.numpy()
    np.testing.assert_allclose(np.cov(seen.T, bias=True), np.eye(6), atol=1e-3)
    np.testing.assert_allclose(summary(x), summary.network(x @ summary.axes.numpy()), atol=1e-3)


@pytest.mark.parametrize("rows", [100, 300])
def test_new_rows_of_many_features_are_not_blown_up(rows: int) -> None:
    generator = np.random.default_rng(1)
    summary = MLP(units=5, hidden=(16,), decorrelate=True)
    summary.initialize(tf.constant(generator.standard_normal((rows, 200)), tf.float32))
    seen = generator.standard_normal((500, 200)) @ summary.axes.numpy()
    assert np.sqrt(np.mean(seen**2)) == pytest.approx(1.0, abs=0.2)


def test_constant_features_are_not_blown_up() -> None:
    x = np.repeat(np.random.default_rng(1).standard_normal((1_000, 1)), 3, axis=1)
    summary = MLP(units=5, hidden=(16,), decorrelate=True)
    summary.initialize(tf.constant(x, tf.float32))
    assert np.abs(summary.axes).max() < 1e4
    assert np.isfinite(summary(x)).all()


@bi.simulator(prior={"level": tfd.Normal(0.0, 1.0)})
def neighbours(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Four numbers that rise and fall together."""
    level = parameters["level"][:, None]
    return {"x": level + 0.1 * tf.random.stateless_normal((tf.shape(level)[0], 4), seed)}


def test_new_posteriors_decorrelate_by_their_first_simulations() -> None:
    posterior = fit(neighbours, MLP(units=5, hidden=(16,), decorrelate=True), steps=2, xla=False)
    inputs, _ = posterior.model.data.to_network(neighbours.sample(2_000, seed=3))
    seen = inputs["x"].numpy() @ posterior.model.network.summaries["x"].axes.numpy()
    # The axes are those of 2,048 other simulations: the standard error of a variance is 0.04.
    np.testing.assert_allclose(np.cov(seen.T), np.eye(4), atol=0.2)


def test_pooling_and_duplicated_elements() -> None:
    x = tf.random.stateless_normal((4, 6, 2), (1, 2))
    twice = tf.concat([x, x], axis=1)
    for pooling, same in (("mean", True), ("max", True), ("sum", False)):
        summary = DeepSet(units=3, pooling=pooling)
        summary(x)
        error = float(tf.reduce_max(tf.abs(summary.pool(twice) - summary.pool(x))))
        assert (error < 1e-5) == same, pooling


def test_series_order_matters_and_last_steps_count() -> None:
    x = tf.random.stateless_normal((4, 10, 2), (1, 2))
    for stride in (1, 2, 3):
        summary = ConvLSTM(units=3, filters=(8, 8), stride=stride)
        assert float(tf.reduce_max(tf.abs(summary(x[:, ::-1]) - summary(x)))) > 1e-3
        for step in range(10):
            moved = x + 1.0 * tf.one_hot(step, 10)[None, :, None]
            assert float(tf.reduce_max(tf.abs(summary(moved) - summary(x)))) > 1e-6, (
                f"step {step} is not seen"
            )


def test_places_are_known_for_one_number_of_steps() -> None:
    summary = ConvLSTM(4, filters=(8,), lstm_units=8, positions=3)
    summary(tf.zeros((2, 12)))
    with pytest.raises(InputError, match=r"(?s)positions=3.*series of 12 steps.*got: +15"):
        summary(tf.zeros((2, 15)))


def test_a_linear_map_sees_each_step_without_the_lstm() -> None:
    summary = ConvLSTM(4, filters=(8,), lstm_units=8, linear=True)
    x = np.random.default_rng(1).normal(size=(3, 12)).astype(np.float32)
    before = summary(x).numpy()
    added = np.random.default_rng(2).normal(size=(12, 4)).astype(np.float32)
    summary.across.kernel.assign_add(added)
    np.testing.assert_allclose(summary(x).numpy() - before, x @ added, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"(?s)linear=True.*series of 12 steps.*got: +15"):
        summary(tf.zeros((2, 15)))


def test_counts_show_their_scatter_whatever_the_level() -> None:
    """Twice the noise moves features of differences of roots alike, for small and large counts."""
    summary = CountSeries(units=3, filters=(8, 8))
    noise = np.random.default_rng(1).normal(size=(4, 81)).astype(np.float32)
    summary(tf.constant(noise))
    sizes = {}
    for level in (1e4, 1e6):
        for sigma in (1.0, 2.0):
            roots = np.sqrt(level + sigma * noise * np.sqrt(level))
            differences = summary.differences(
                tf.constant((roots[:, 7:] - roots[:, :-7])[..., None], tf.float32)
            )
            sizes[level, sigma] = float(tf.math.reduce_std(differences))
    # 2e-4 at most, for seeds 1 to 3 of noise and weights: roots are linear in the noise but for its
    # square.
    assert sizes[1e4, 1.0] == pytest.approx(sizes[1e6, 1.0], rel=1e-3)
    assert sizes[1e4, 2.0] == pytest.approx(2.0 * sizes[1e4, 1.0], rel=1e-3)


def test_all_counts_are_seen_on_both_scales() -> None:
    """The last steps too, whatever the stride."""
    for steps in (11, 13, 15):
        x = tf.constant(np.random.default_rng(1).uniform(1.0, 100.0, size=(4, steps)), tf.float32)
        summary = CountSeries(units=3, filters=(8, 8), season=2)
        summary(x)
        # The perceptron's weights for the logarithms, which come first, are zero: the roots remain.
        first = summary.network.layers[0].kernel
        first.assign(tf.concat([tf.zeros_like(first[:steps]), first[steps:]], axis=0))
        for step in range(steps):
            moved = x + 5.0 * tf.one_hot(step, steps)[None, :]
            assert float(tf.reduce_max(tf.abs(summary(moved) - summary(x)))) > 1e-7, (
                f"step {step} of {steps}"
            )


def test_counts_need_two_seasons() -> None:
    with pytest.raises(InputError, match="21 steps or more, for a season of 7"):
        CountSeries()(tf.ones((3, 20)))
    assert CountSeries(units=4)(tf.ones((3, 21))).shape == (3, 4)


def test_masks_stop_at_the_summary() -> None:
    summary = DeepSet(units=3)
    x = tf.ones((4, 6))
    mask = tf.sequence_mask([6, 3, 1, 2], 6)
    assert getattr(summary(x, mask), "_keras_mask", None) is None


def test_training_flag_reaches_dropout() -> None:
    summary = SetTransformer(units=3, width=8, heads=2, dropout=0.5)
    x = tf.random.stateless_normal((4, 6, 2), (1, 2))

    class Outer(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.summary = summary

        def build(self, x_shape: tuple) -> None:
            self.summary.build(x_shape)

        def call(self, x: tf.Tensor) -> tf.Tensor:
            return self.summary(x)

    outer = Outer()
    np.testing.assert_array_equal(outer(x), outer(x))
    assert not np.array_equal(outer(x, training=True), outer(x, training=True))


def test_an_empty_set_stays_finite() -> None:
    x = tf.zeros((2, 4))
    mask = tf.constant([[True, False, False, False], [False, False, False, False]])
    poolings = [DeepSet(units=3, pooling=pooling) for pooling in ("mean", "sum", "max", "mean+max")]
    for summary in (*poolings, SetTransformer(units=3, width=8, heads=2), ConvLSTM(units=3)):
        assert np.isfinite(summary(x, mask)).all()


@pytest.mark.parametrize("inducing_points", [None, 2])
def test_an_empty_set_does_not_depend_on_its_padding(inducing_points: int | None) -> None:
    summary = SetTransformer(units=3, width=8, heads=2, inducing_points=inducing_points)
    results = [
        summary(value * tf.ones((1, steps)), tf.zeros((1, steps), tf.bool))
        for value, steps in ((0, 4), (7, 9))
    ]
    # Sums over other numbers of steps are rounded otherwise: 1e-6 for some weights.
    np.testing.assert_allclose(*results, atol=1e-5)


def test_wrong_shapes_are_explained() -> None:
    with pytest.raises(InputError, match=r"expected: shape \(n, steps\) or \(n, steps, channels\)"):
        ConvLSTM()(tf.ones((3, 4, 5, 6)))
    with pytest.raises(InputError, match=r"Mask for DeepSet\n  expected: shape \(n, 6\)"):
        DeepSet()(tf.ones((3, 6)), tf.ones((3, 5), tf.bool))
    for summary in (Identity(), MLP()):
        with pytest.raises(InputError, match="so the length varies"):
            summary(tf.ones((3, 6)), tf.ones((3, 6), tf.bool))
    for make, message in (
        (lambda: ConvLSTM(kernel_size=2, stride=3), "'stride'"),
        (lambda: DeepSet(pooling="median"), "'pooling'"),
        (lambda: CountSeries(season=0), "argument 'season'"),
        (lambda: SetTransformer(width=10, heads=4), "'width'"),
    ):
        with pytest.raises(InputError, match=message):
            make()


def test_induced_attention_trains_in_the_plain_graph() -> None:
    """TensorFlow refuses some names of layers where XLA takes them."""
    network = SetTransformer(8, width=8, heads=2, blocks=1, inducing_points=2)
    posterior = fit(gaussian, network, steps=2, xla=False)
    assert np.isfinite(posterior.history["loss"]).all()


def test_a_deep_set_hands_on_what_its_inner_network_needs() -> None:
    x = np.random.default_rng(1).normal(size=(40, 5, 6)).astype(np.float32)
    x[..., 1] = x[..., 0] + 0.1 * x[..., 1]
    mask = np.arange(5) < np.array([[3], [5]] * 20)
    summary = DeepSet(4, hidden=(8,), dense=(8,), inner=MLP(3, hidden=(8,), decorrelate=True))
    summary(x, mask)
    summary.initialize(tf.constant(np.where(mask[..., None], x, 1e6)), tf.constant(mask))
    alone = MLP(3, hidden=(8,), decorrelate=True)
    alone(x[mask])
    alone.initialize(tf.constant(x[mask]))
    np.testing.assert_allclose(summary.inner.axes, alone.axes, rtol=1e-4, atol=1e-5)
    field = DeepSet(inner=PowerSpectrum())
    assert not field.standardised
    assert not field.missing
    with pytest.raises(InputError, match="argument 'inner'"):
        DeepSet(inner=Transformer(times="t"))
    with pytest.raises(InputError, match=r"argument 'inner'(.|\n)*'features', 'maps1'"):
        DeepSet(inner=ConvImage(4, filters=(4,), maps=2))(tf.ones((2, 3, 8, 8)))
