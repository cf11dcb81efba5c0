"""The model by diffrax is its twin in TensorFlow, to the tolerance of the solver."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.simulators.sbibm.lotka_volterra import (
    NOISE,
    log_populations as exact_populations,
    lotka_volterra,
)

jax = pytest.importorskip("jax")
# Not imported here: the model sets how its solver tells of errors before that.
if find_spec("diffrax") is None:
    pytest.skip("diffrax isn't installed", allow_module_level=True)


def test_populations_and_noise_are_those_of_the_twin() -> None:
    from bayesinn.simulators.lotka_volterra_jax import log_populations, lotka_volterra_jax

    drawn = lotka_volterra.sample(500, seed=1)
    parameters = {name: drawn[name] for name in lotka_volterra.prior.names}
    doubles = {name: tf.constant(value, tf.float64) for name, value in parameters.items()}
    exact = exact_populations(doubles).numpy()
    found = np.asarray(jax.jit(jax.vmap(log_populations))(parameters))
    assert np.abs(found - exact).max() < 0.01
    data = lotka_volterra_jax.simulate(parameters, seed=2)
    noise = np.log(np.stack([data["prey"], data["predators"]], axis=-1)) - exact
    assert abs(noise.mean()) < 0.06 * NOISE
    assert abs(noise.std() / NOISE - 1.0) < 0.04
