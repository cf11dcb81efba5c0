"""Reversible chains: gradients of ordinary ones without their memory, and a warning otherwise."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable, Sequence

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.bijections import (
    ActNorm,
    Additive,
    Affine,
    Bijection,
    Chain,
    Convolutional,
    Coupling,
    Haar,
    Orthogonal,
    Permutation,
    Spline,
    Transform,
)
from bayesinn.core.configuration import clone, describe
from bayesinn.core.errors import InputError
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.flows import Flow, InvertibleFlow
from bayesinn.testing import check_bijection
from bayesinn.testing.contracts import default_dtype, perturb

tfd = tfp.distributions

Links = Callable[[], list[Bijection]]


def couplings(transform: Transform, blocks: int = 16) -> Links:
    return lambda: [Coupling(transform, hidden=(8,)) for _ in range(blocks)]


def mixed() -> list[Bijection]:
    return [
        ActNorm(),
        Permutation(),
        Coupling(hidden=(8,)),
        Orthogonal(),
        Coupling(Spline(bins=3), (8,), dual=False),
    ]


def pair(links: Links, dtype: str, seed: int = 1, scale: float = 0.1) -> tuple[Chain, Chain]:
    """An ordinary and a reversible chain, equal weights, for vectors of 3, conditions of 2."""
    with default_dtype(dtype), seeded_initial_weights(seed):
        ordinary = Chain(links())
        reversible = Chain(links(), reversible=True)
        for chain in (ordinary, reversible):
            chain.build((3,), (2,))
    perturb(ordinary, np.random.default_rng(seed), scale)
    reversible.set_weights(ordinary.get_weights())
    return ordinary, reversible


def batch(dtype: str, seed: int = 1) -> tuple[tf.Tensor, ...]:
    """Vectors, conditions, and a different cotangent for the log-determinant of each row."""
    generator = np.random.default_rng(seed)
    return tuple(
        tf.constant(generator.standard_normal((64, length)), dtype) for length in (3, 2, 1)
    )


def gradients(
    chain: Chain, x: tf.Tensor, condition: tf.Tensor, slopes: tf.Tensor
) -> list[tf.Tensor]:
    """Value of a loss and its gradients for x, the condition and all weights."""
    with tf.GradientTape() as tape:
        tape.watch([x, condition])
        z, log_det = chain.forward(x, condition)
        loss = tf.reduce_mean(0.5 * tf.reduce_sum(z**2, axis=-1) - log_det * slopes[:, 0])
    return [
        loss,
        *tape.gradient(
            loss, [x, condition, *(weight.value for weight in chain.trainable_variables)]
        ),
    ]


def largest_error(got: list[tf.Tensor], expected: list[tf.Tensor]) -> float:
    """Largest relative error of any gradient, as a whole."""
    assert all(value is not None for value in got)
    return max(
        float(np.linalg.norm(value - right) / np.linalg.norm(right))
        for value, right in zip(got, expected, strict=True)
    )


@pytest.mark.parametrize("transform", [Affine(), Spline(bins=3)])
# Over seeds 1, 2, 3: at most 5e-7 in single and 1e-15 in double precision for affine maps, 2e-6 in
# single for splines.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-9)])
def test_gradients_equal_ordinary_ones(transform: Transform, dtype: str, tolerance: float) -> None:
    ordinary, reversible = pair(couplings(transform), dtype)
    assert (
        largest_error(gradients(reversible, *batch(dtype)), gradients(ordinary, *batch(dtype)))
        < tolerance
    )


@pytest.mark.parametrize(
    ("dtype", "tolerance", "jit_compile"),
    [("float64", 1e-9, False), ("float64", 1e-9, True), ("float32", 1e-4, True)],
)
def test_gradients_are_the_same_when_compiled(
    dtype: str, tolerance: float, jit_compile: bool
) -> None:
    ordinary, reversible = pair(mixed, dtype, scale=0.3)
    compiled = tf.function(
        lambda *arguments: gradients(reversible, *arguments), jit_compile=jit_compile
    )
    assert largest_error(compiled(*batch(dtype)), gradients(ordinary, *batch(dtype))) < tolerance


def test_deep_chain_in_the_graph() -> None:
    ordinary, reversible = pair(
        lambda: [Coupling(hidden=(4,), dual=False) for _ in range(16)], "float32"
    )
    compiled = tf.function(lambda *arguments: gradients(reversible, *arguments))
    assert largest_error(compiled(*batch("float32")), gradients(ordinary, *batch("float32"))) < 1e-4


def test_weights_can_be_replaced_by_tensors() -> None:
    """As in training, where they are slices of one vector."""
    x, condition, _ = batch("float64")
    found = []
    for chain in pair(mixed, "float64"):
        flow = InvertibleFlow(chain)
        flow.build((3,), (2,))
        fixed = [variable.value for variable in flow.non_trainable_variables]
        vector = tf.concat(
            [tf.reshape(variable.value, [-1]) for variable in flow.trainable_variables], axis=0
        )
        sizes = [int(np.prod(variable.shape)) for variable in flow.trainable_variables]

        def gradient(
            vector: tf.Tensor, flow: Flow = flow, fixed: list = fixed, sizes: list = sizes
        ) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(vector)
                shapes = [variable.shape for variable in flow.trainable_variables]
                parts = zip(tf.split(1.1 * vector, sizes), shapes, strict=True)
                weights = [tf.reshape(part, shape) for part, shape in parts]
                loss = tf.reduce_mean(flow.stateless_call(weights, fixed, x, condition)[0])
            return [loss, tape.gradient(loss, vector)]

        found += [gradient(vector), tf.function(gradient)(vector)]
    for got in found[1:]:
        assert largest_error(got, found[0]) < 1e-9


def test_bijection_contract() -> None:
    check_bijection(
        lambda: Chain([ActNorm(), Coupling(Affine(), hidden=(8,))], reversible=True), (3, 1), (0, 2)
    )


def test_derivatives_of_gradients() -> None:
    found = []
    for chain in pair(mixed, "float64", scale=0.3):
        x, condition, slopes = batch("float64")
        with tf.GradientTape() as tape:
            tape.watch([x, condition])
            first = gradients(chain, x, condition, slopes)
            loss = sum(tf.reduce_sum(value**2) for value in first)
        found.append(
            tape.gradient(
                loss, [x, condition, *(weight.value for weight in chain.trainable_variables)]
            )
        )
    assert largest_error(found[1], found[0]) < 1e-9


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_dropout_is_the_same_in_all_passes(mode: str) -> None:
    found = []
    for chain in pair(
        lambda: [Coupling(hidden=(32,), dropout=0.5) for _ in range(2)], "float64", scale=0.5
    ):
        flow = InvertibleFlow(chain)
        flow.build((3,), (2,))
        for number, variable in enumerate(flow.non_trainable_variables):
            variable.assign(tf.constant([number, 7], variable.dtype))
        x, condition, _ = batch("float64")

        def gradient(
            x: tf.Tensor = x, condition: tf.Tensor = condition, flow: Flow = flow
        ) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(flow(x, condition, training=True))
            return [
                loss,
                *tape.gradient(loss, [weight.value for weight in flow.trainable_variables]),
            ]

        run = gradient if mode == "eager" else tf.function(gradient)
        once = run()
        again = run()
        # The masks of the next step are others.
        assert largest_error(again, once) > 0.01
        states = [tf.cast(variable.value, "float64") for variable in flow.non_trainable_variables]
        found.append([*once, *again, tf.concat(states, axis=0)])
    assert largest_error(found[1], found[0]) < 1e-9


class Watched(Bijection):
    """Adds a weight, and leaves traces of its tensors, calls, and operations in a graph."""

    def __init__(self, number: int = 0) -> None:
        super().__init__()
        self.number = number
        self.__dict__["made"] = []

    def build(
        self, event_shape: Sequence[int], condition_shape: Sequence[int] | None = None
    ) -> None:
        super().build(event_shape, condition_shape)
        self.shift = self.add_weight(shape=event_shape, name="shift")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def forward(
        self, x: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        self.calls.assign(self.calls + 1.0)
        # The tape stores the exponential, for its gradient.
        activation = tf.exp(0.1 * _marked_gradient(x, f"gradient_{self.number}"))
        if tf.executing_eagerly():
            self.made.append(weakref.ref(activation))
        return activation + tf.convert_to_tensor(self.shift), 0.1 * tf.reduce_sum(x, axis=-1)

    def inverse(
        self, z: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        x = 10.0 * tf.math.log(
            tf.identity(z, name=f"inverse_{self.number}") - tf.convert_to_tensor(self.shift)
        )
        return x, -0.1 * tf.reduce_sum(x, axis=-1)


def _marked_gradient(x: tf.Tensor, name: str) -> tf.Tensor:
    return tf.custom_gradient(
        lambda x: (tf.identity(x), lambda cotangent: tf.identity(cotangent, name=name))
    )(x)


def watched(reversible: bool) -> Chain:
    chain = Chain([Watched(number) for number in range(4)], reversible=reversible)
    chain.build((3,), (2,))
    return chain


def test_activations_are_not_stored() -> None:
    for reversible, stored in ((False, 4), (True, 0)):
        chain = watched(reversible)
        x, condition, _ = batch("float32")
        with tf.GradientTape() as tape:
            z, log_det = chain.forward(x, condition)
            loss = tf.reduce_sum(z) + tf.reduce_sum(log_det)
        gc.collect()
        assert sum(link.made[0]() is not None for link in chain.bijections) == stored
        tape.gradient(loss, [weight.value for weight in chain.trainable_variables])
        # Run again to be differentiated, but state changes once.
        assert [len(link.made) for link in chain.bijections] == 4 * [1 + reversible]
        assert [float(link.calls.value) for link in chain.bijections] == 4 * [1.0]


def test_recomputation_waits_for_the_gradient_in_the_graph() -> None:
    chain = watched(reversible=True)
    graph = (
        tf.function(lambda *arguments: gradients(chain, *arguments))
        .get_concrete_function(*batch("float32"))
        .graph
    )
    operations = {
        operation.name.rpartition("/")[-1]: operation for operation in graph.get_operations()
    }
    for number in range(3):
        before = set()
        pending = [operations[f"inverse_{number}"]]
        while pending:
            operation = pending.pop()
            if operation.name not in before:
                before.add(operation.name)
                pending += [tensor.op for tensor in operation.inputs] + list(
                    operation.control_inputs
                )
        assert operations[f"gradient_{number + 1}"].name in before


@bi.simulator(prior={"level": tfd.Normal(tf.zeros(2), 1.0)})
def noisy(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Two numbers, seen through noise."""
    return {
        "seen": parameters["level"]
        + 0.5 * tf.random.stateless_normal(tf.shape(parameters["level"]), seed)
    }


def test_training_follows_that_of_an_ordinary_chain() -> None:
    histories = []
    for reversible in (False, True):
        links = [
            link
            for _ in range(3)
            for link in (ActNorm(), Orthogonal(), Coupling(hidden=(16,), dropout=0.1))
        ]
        posterior = bi.AmortizedPosterior(
            noisy, flow=InvertibleFlow(Chain(links, reversible=reversible))
        )
        posterior.fit(
            steps=20,
            batch_size=32,
            seed=1,
            optimization=bi.Optimization(learning_rate=1e-2),
            progress=False,
        )
        histories.append(posterior.history["loss"].to_numpy())
    assert np.ptp(histories[0]) > 0.1
    # The masks of dropout are the same too, so that only rounding separates the two.
    np.testing.assert_allclose(histories[1], histories[0], atol=1e-4)


def ill_conditioned(reversible: bool, scale: float) -> Chain:
    with seeded_initial_weights(1):
        links = [
            link
            for _ in range(4)
            for link in (Orthogonal(), Coupling(Affine(clamp=8.0), hidden=(16,)))
        ]
        chain = Chain(links, reversible=reversible)
        chain.build((3,), (2,))
    perturb(chain, np.random.default_rng(1), scale)
    return chain


def test_a_bad_round_trip_is_noticed() -> None:
    x, condition, _ = batch("float32")
    chain = ill_conditioned(reversible=True, scale=4.0)
    with pytest.warns(UserWarning, match="stored while that lasts") as told:
        error = chain.check_round_trip(x, condition)
    assert told[0].filename == __file__
    assert not error <= 1e-2
    assert error == pytest.approx(float(chain.round_trip_error(x, condition)), nan_ok=True)
    # From now on, as an ordinary chain.
    ordinary = ill_conditioned(reversible=False, scale=4.0)
    np.testing.assert_array_equal(chain.forward(x, condition)[0], ordinary.forward(x, condition)[0])
    assert chain.stores_activations
    with pytest.warns(UserWarning, match="inputs are off by .* or take fewer blocks\\.$"):
        ordinary.check_round_trip(x, condition)


def classifier(reversible: bool) -> keras.Model:
    """Additive couplings of images inside a model of Keras, which knows nothing of them."""

    class Classifier(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.stem = keras.layers.Conv2D(4, 3, padding="same")
            subnet = Convolutional(filters=(4,))
            couplings = [Coupling(Additive(), subnet=subnet) for _ in range(2)]
            self.body = Chain([*couplings, Haar(), Coupling(Additive(), subnet=subnet)], reversible)
            self.body.build((4, 4, 4))
            self.head = keras.layers.Dense(3)

        def call(self, x: tf.Tensor) -> tf.Tensor:
            features, log_det = self.body.forward(self.stem(x))
            tf.debugging.assert_equal(log_det, tf.zeros_like(log_det))
            return self.head(tf.reduce_mean(features, axis=(1, 2)))

    keras.utils.set_random_seed(1)
    model = Classifier()
    generator = np.random.default_rng(1)
    x = generator.standard_normal((64, 4, 4, 1))
    labels = generator.integers(3, size=64)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    model.fit(x, labels, batch_size=16, epochs=2, shuffle=False, verbose=0)
    return model


def test_a_model_of_keras_trains_through_a_chain() -> None:
    stored = classifier(reversible=False).get_weights()
    recomputed = classifier(reversible=True).get_weights()
    # In single precision; over seeds 1, 2, 3: at most 6e-8.
    for value, expected in zip(recomputed, stored, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-6)
    # The last layers of couplings start at zero.
    assert all(np.any(value) for value in recomputed)


def test_initialisation_checks_the_round_trip() -> None:
    x, condition, _ = batch("float32")
    with pytest.warns(UserWarning, match="stored while that lasts"):
        ill_conditioned(reversible=True, scale=4.0).initialize(x, condition)
    chain = pair(mixed, "float32")[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        chain.initialize(x, condition)
        assert not chain.stores_activations
        # Elements far from zero have larger rounding errors, which do no harm.
        assert chain.check_round_trip(1e4 * x, condition) < 1e-3
    assert float(chain.round_trip_error(x, condition)) < 1e-5


class Rough(ActNorm):
    """Inverts by a few steps of an iteration."""

    accurate_inverse = False


def test_rough_inverses_are_refused() -> None:
    Chain([Rough()])
    for links in ([Coupling(), Rough()], [Chain([Rough()])]):
        with pytest.raises(InputError, match="whose inverse is rough"):
            Chain(links, reversible=True)


def test_configuration() -> None:
    flow = InvertibleFlow(Chain([Coupling(), Coupling()], reversible=True))
    assert (
        repr(flow)
        == repr(clone(flow))
        == "InvertibleFlow(chain=Chain(2 * [Coupling()], reversible=True))"
    )
    assert describe(clone(flow)) == describe(flow)
    assert clone(flow).chain.reversible
    assert repr(Chain([Coupling()])) == "Chain([Coupling()])"
    assert not Chain([Coupling()]).reversible
