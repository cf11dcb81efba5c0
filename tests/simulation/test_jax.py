"""Simulators written in JAX: the same laws, seeds and errors as any other."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import SimulatorError
from bayesinn.simulation.engines import jax_function

jax = pytest.importorskip("jax")
jnp = jax.numpy
tfd = tfp.distributions

PRIOR = {"mean": tfd.Normal(0.0, 1.0), "sd": tfd.LogNormal(0.0, 0.3)}


def batch(parameters, key):
    noise = jax.random.normal(key, (parameters["mean"].shape[0], 4))
    return {"x": parameters["mean"][:, None] + parameters["sd"][:, None] * noise}


def one(parameters, key):
    return {"x": parameters["mean"] + parameters["sd"] * jax.random.normal(key, (4,))}


def likelihood(parameters, data):
    scaled = (data["x"] - parameters["mean"][:, None]) / parameters["sd"][:, None]
    return jnp.sum(-0.5 * scaled**2 - jnp.log(parameters["sd"][:, None]), axis=-1)


def make(function, batched: bool | None) -> bi.Simulator:
    declare = bi.simulator(
        prior=PRIOR,
        engine="jax",
        batched=batched,
        log_likelihood=likelihood,
        name=f"jax_{function.__name__}",
    )
    return declare(function)


@pytest.fixture(scope="module", params=[(batch, None), (one, False)], ids=["batch", "one"])
def normal(request) -> bi.Simulator:
    return make(*request.param)


def test_same_seed_same_bits_and_the_law_of_the_function(normal: bi.Simulator) -> None:
    first, again, other = (normal.sample(4_000, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["x"], again["x"])
    assert not np.array_equal(first["x"], other["x"])
    scaled = (first["x"] - first["mean"][:, None]) / first["sd"][:, None]
    assert abs(scaled.mean()) < 0.03
    assert abs(scaled.std() - 1.0) < 0.03
    # Rows and columns are independent.
    assert abs(np.corrcoef(scaled.T) - np.eye(4)).max() < 0.06
    assert abs(np.corrcoef(scaled[:-1, 0], scaled[1:, 0])[0, 1]) < 0.06


def test_it_is_a_function_of_the_key_alone(normal: bi.Simulator) -> None:
    parameters = {"mean": np.zeros(3), "sd": np.ones(3)}
    values = [normal.simulate(parameters, seed)["x"] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])


def test_training_on_it_reaches_the_loss_of_its_twin() -> None:
    """The step simulates inside: the loss is that of the twin, the entropy of an exact law."""

    def twin(parameters, seed):
        return {
            "x": parameters["m"][:, None]
            + tf.random.stateless_normal((tf.shape(parameters["m"])[0], 1), seed)
        }

    def model(parameters, key):
        return {
            "x": parameters["m"][:, None] + jax.random.normal(key, parameters["m"].shape)[:, None]
        }

    prior = {"m": tfd.Normal(0.0, 1.0)}
    losses = []
    for function, engine in ((twin, "tensorflow"), (model, "jax")):
        simulator = bi.simulator(prior=prior, engine=engine, name=f"twin_{engine}")(function)
        posterior = bi.AmortizedPosterior(simulator, flow=bi.flows.coupling(blocks=1, hidden=(16,)))
        posterior.fit(steps=300, batch_size=128, seed=1, progress=False)
        losses.append(posterior.history["loss"].tail(10).mean())
    exact = 0.5 * np.log(2.0 * np.pi * np.e * 0.5)
    assert np.abs(np.array(losses) - exact).max() < 0.06


def test_its_likelihood_has_gradients(normal: bi.Simulator) -> None:
    values = {"mean": tf.constant([0.3, -0.2]), "sd": tf.constant([1.0, 2.0])}
    data = {"x": tf.constant([0.1, 0.2, -0.4, 0.9])}

    @tf.function(jit_compile=True)
    def gradient(mean):
        with tf.GradientTape() as tape:
            tape.watch(mean)
            density = normal.log_likelihood(values | {"mean": mean}, data)
        return density, tape.gradient(density, mean)

    density, slope = gradient(values["mean"])
    expected = tfd.Normal(values["mean"][:, None], values["sd"][:, None]).log_prob(data["x"])
    constant = 2.0 * np.log(2.0 * np.pi)
    np.testing.assert_allclose(density, tf.reduce_sum(expected, 1) + constant, rtol=1e-5)
    exact = tf.reduce_sum(data["x"] - values["mean"][:, None], 1) / values["sd"] ** 2
    np.testing.assert_allclose(slope, exact, rtol=1e-5)


def test_exact_posteriors_use_its_likelihood() -> None:
    normal = make(batch, None)
    data = {"x": np.array([0.5, 1.5, 1.0, 2.0], np.float32)}
    steps = bi.reference.tempered_smc(
        normal, data, particles=1_000, moves=20, final_moves=200, seed=1
    )
    weights = bi.reference.importance(normal, data, draws=100_000, seed=1)
    for name in ("mean", "sd"):
        drawn = weights.draws(4_000, seed=2)[name]
        assert scipy.stats.ks_2samp(steps.parameters[name], drawn).statistic < 0.05


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (lambda parameters, key: {"x": np.sin(parameters["m"])}, {}, "take jax.numpy for NumPy"),
        (
            lambda parameters, key: {"x": parameters["m"] if parameters["m"][0] > 0 else 0.0},
            {},
            "jnp.where",
        ),
        (
            lambda parameters, key: {"x": parameters["m"] + np.random.default_rng().normal()},
            {},
            "follow from the key",
        ),
        (
            lambda parameters, key: (
                jax.debug.print("{}", parameters["m"]) or {"x": parameters["m"]}
            ),
            {},
            "a call back to Python",
        ),
        (lambda parameters, key: {"x": jnp.zeros(7) + jax.random.normal(key)}, {}, "(n"),
        (lambda parameters, key: parameters["m"] + jax.random.normal(key), {}, "a dict"),
        (lambda parameters, key: {"x": parameters["m"] @ jnp.ones((5, 2))}, {}, "correct it"),
        (lambda parameters, seed, key: {"x": parameters["m"]}, {}, "2 arguments"),
        (batch, {"time_limit": 2.0}, "time_limit"),
    ],
)
def test_mistakes_say_what_to_do(function, options, words: str) -> None:
    with pytest.raises(SimulatorError, match="(?s).*" + words.replace("(", r"\(")):
        bi.simulator(prior={"m": tfd.Normal(0.0, 1.0)}, engine="jax", name="wrong", **options)(
            function
        )


def test_an_unused_key_is_told_of(recwarn) -> None:
    def still(parameters, key):
        return {"x": parameters["m"] * 2.0}

    def meant(parameters, _key):
        return {"x": parameters["m"] * 2.0}

    for function, told in ((still, True), (meant, False)):
        recwarn.clear()
        bi.simulator(prior={"m": tfd.Normal(0.0, 1.0)}, engine="jax", name="still")(function)
        assert any("doesn't use its key" in str(one.message) for one in recwarn) == told


def test_a_later_jax_is_refused_with_the_versions_that_work(monkeypatch) -> None:
    def unread(*_, **__):
        raise tf.errors.InvalidArgumentError(None, None, "unregistered operation, StableHLO_v1.18")

    monkeypatch.setattr(jax_function, "_convert", unread)
    jax_function._unreadable.cache_clear()
    try:
        with pytest.raises(
            SimulatorError, match=r"(?s)jax \d.*can't read.*bayesinn\[jax\].*>=0.8,<"
        ):
            make(batch, None)
    finally:
        jax_function._unreadable.cache_clear()


def test_device_arrays_that_a_function_reads_and_double_precision() -> None:
    weights = jnp.arange(3.0)

    def weighted(parameters, key):
        noise = jax.random.normal(key, (parameters["m"].shape[0], 3))
        return {"x": parameters["m"][:, None] * weights * jnp.ones(3) + 0.0 * noise}

    def seen() -> np.ndarray:
        drawn = simulator.sample(2, seed=1)
        return drawn["x"] / drawn["m"][:, None]

    prior = {"m": tfd.Normal(0.0, 1.0)}
    simulator = bi.simulator(prior=prior, engine="jax")(weighted)
    np.testing.assert_allclose(seen()[0], [0.0, 1.0, 2.0], rtol=1e-6)
    # As in another cell of a notebook.
    weights = 2.0 * weights
    np.testing.assert_allclose(seen()[0], [0.0, 2.0, 4.0], rtol=1e-6)
    jax.config.update("jax_enable_x64", True)
    try:
        weights = jnp.arange(3.0)
        wide = bi.simulator(prior=prior, engine="jax", name="wide")(weighted)
        assert wide.observable_types == {"x": np.float64}
        # Networks compute in single precision, whatever they are given.
        trained = bi.AmortizedPosterior(wide, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
        trained.fit(steps=2, batch_size=8, progress=False)
    finally:
        jax.config.update("jax_enable_x64", False)


def test_without_jax_one_sentence_tells_how_to_get_it(tmp_path) -> None:
    script = tmp_path / "model.py"
    script.write_text(
        "import sys; sys.modules['jax'] = None\n"
        "import bayesinn as bi, tensorflow_probability as tfp\n"
        "try:\n"
        "    bi.simulator(prior={'m': tfp.distributions.Normal(0.0, 1.0)}, engine='jax')(\n"
        "        lambda parameters, key: {'x': parameters['m']})\n"
        "except bi.core.errors.SimulatorError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert "bayesinn[jax]" in done.stdout
