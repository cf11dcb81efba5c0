"""Private API of other libraries is where this version of theirs has it."""

import subprocess
import sys

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import private_api

STARTS = """
from bayesinn.core.private_api import has_started
print(has_started())
import tensorflow as tf
print(has_started())
tf.constant(1.0)
print(has_started())
"""


def test_tensorflow_says_whether_it_has_started() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTS], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False", "True"]


def test_custom_gradients_are_registered_by_name() -> None:
    before = set(private_api.custom_gradients())
    tf.function(tf.nn.silu).get_concrete_function(tf.TensorSpec(()))
    assert [name for name in set(private_api.custom_gradients()) - before if "Custom" in name]


def test_bijectors_remember_what_they_computed() -> None:
    before = len(private_api.bijector_memory())
    value = tf.constant(0.25)
    exponential = tfp.bijectors.Exp()
    result = exponential.forward(value)
    assert len(private_api.bijector_memory()) > before
    assert exponential.inverse(result) is value


def test_optimisers_keep_their_schedule_and_layers_their_layers() -> None:
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 5)
    assert private_api.learning_rate(keras.optimizers.Adam(schedule)) is schedule
    inner = keras.layers.Dense(1)
    outer = keras.Sequential([inner])
    assert {id(inner), id(outer)} <= {id(layer) for layer in private_api.all_layers(outer)}


PADS = """
import numpy as np

known = np.reshape

# As since NumPy 2.4.
def reshape(a, /, shape, order="C", *, copy=None):
    return known(a, shape, order)

np.reshape = reshape
import bayesinn as bi
import tensorflow_probability as tfp
bi.get_simulator("linear")
print(tfp.bijectors.SoftmaxCentered().forward([0.0, 0.0]).numpy().sum().round(5))
"""


def test_simplexes_need_no_argument_that_numpy_has_removed() -> None:
    done = subprocess.run([sys.executable, "-c", PADS], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1.0"], done.stderr
