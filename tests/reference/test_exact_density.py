"""Prior times likelihood as graphs use it."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.reference.importance import ExactDensity, in_graph

tfd = tfp.distributions
Tensors = Mapping[str, tf.Tensor]
DATA = {"y": tf.constant([0.5, 1.0, -0.3])}
PARAMETERS = {"a": tf.constant([0.1, 0.2])}


@bi.simulator(prior={"a": tfd.Normal(0.0, 1.0)})
def shifted(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    noise = tf.random.stateless_normal((tf.shape(parameters["a"])[0], 3), seed)
    return {"y": parameters["a"][:, None] + noise}


def of_shifted(parameters: Tensors, data: Tensors) -> tf.Tensor:
    return tf.reduce_sum(tfd.Normal(parameters["a"][:, None], 1.0).log_prob(data["y"]), axis=-1)


def with_a_branch(parameters: Tensors, data: Tensors) -> tf.Tensor:
    scale = tf.constant(1.0) if tf.reduce_sum(data["y"]) > 0.0 else tf.constant(2.0)
    return -scale * parameters["a"] ** 2


def of_arrays(parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.asarray([float(value) for value in parameters["a"]])


def test_a_likelihood_is_part_of_the_graph_if_it_can_be() -> None:
    assert in_graph(of_shifted, PARAMETERS, DATA) is of_shifted
    assert in_graph(tf.function(of_shifted), PARAMETERS, DATA) is of_shifted
    found = in_graph(with_a_branch, PARAMETERS, DATA)
    assert found is not None
    np.testing.assert_allclose(found(PARAMETERS, DATA), [-0.01, -0.04], rtol=1e-6)
    assert in_graph(of_arrays, PARAMETERS, DATA) is None


def test_where_simulations_fail_and_are_drawn_again_the_likelihood_may_be_undefined() -> None:
    def root(parameters: Tensors, seed: tf.Tensor) -> Tensors:
        return {"y": tf.sqrt(parameters["a"])}

    def of_root(parameters: Tensors, data: Tensors) -> tf.Tensor:
        return tfd.Normal(tf.sqrt(parameters["a"]), 1.0).log_prob(data["y"])

    prior = {"a": tfd.Normal(0.0, 1.0)}
    simulator = bi.simulator(prior=prior, on_nonfinite="redraw")(root)
    values = {"a": np.array([-1.0, 1.0], np.float32)}
    found = ExactDensity(simulator, of_root).log_density(values, {"y": 1.0}, "the observation")
    expected = [-np.inf, -np.log(2.0 * np.pi) - 0.5]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_sampler_calls_no_function_of_the_likelihood() -> None:
    # XLA would compile it anew for each value: a minute for a few hundred draws.
    density = ExactDensity(shifted, of_shifted)
    trace = tf.function(density.of_vectors).get_concrete_function(tf.zeros((4, 1)), DATA)
    names = [function.signature.name for function in trace.graph.as_graph_def().library.function]
    assert not [name for name in names if "of_shifted" in name]
