"""The split-latent network: laws of the MMD loss, layouts, exact solutions, training's result."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import integrate, stats

import bayesinn as bi
from bayesinn.bijections import ActNorm, Chain, Coupling, Orthogonal
from bayesinn.core.configuration import clone
from bayesinn.core.errors import InputError
from bayesinn.flows import coupling
from bayesinn.flows.split_latent import SplitLatentFlow, SplitLayout, SplitLosses, mmd_loss
from bayesinn.inverse.split_latent import SplitLatent, default_chain
from bayesinn.simulators import inverse_kinematics as kinematics
from bayesinn.simulators.inverse_kinematics import inverse_kinematics
from bayesinn.simulators.linear import linear
from bayesinn.simulators.slide_toy import COVARIANCE, slide_toy
from tests.helpers.mmd import squared_mmd
from tests.helpers.tensor_float import emulate_tensor_float

tfd = tfp.distributions

ROOT_HALF = np.sqrt(0.5)


# The MMD loss

ROWS = 100
REPEATS = 1000
DIMENSION = 5


def shifted_mmd(constant: float) -> float:
    """Exact MMD^2 of N(0, I) and N(mu, I) with |mu| = 1 and kernel C / (C + d^2)."""

    def integrand(g: float) -> float:
        spread = 1.0 + 4.0 * g
        return (
            constant
            * np.exp(-g * constant)
            * 2.0
            * spread ** (-DIMENSION / 2)
            * -np.expm1(-g / spread)
        )

    return integrate.quad(integrand, 0.0, np.inf)[0]


def estimates(constant: float, shift: float, correlation: float = 0.0) -> np.ndarray:
    """Estimates of the MMD^2 on small batches, where keeping pairs of equal rows would show."""

    @tf.function
    def one(seed):
        first, noise = tf.unstack(tf.random.stateless_normal((2, ROWS, DIMENSION), seed))
        second = correlation * first + np.sqrt(1.0 - correlation**2) * noise
        return mmd_loss(first, second + shift * tf.one_hot(0, DIMENSION), [np.sqrt(constant)])

    return np.array([one((1, repeat)) for repeat in tf.range(REPEATS)])


@pytest.mark.parametrize(("constant", "published"), [(10.0, 0.043476), (1.0, 0.019662)])
def test_mmd_loss_has_its_closed_form(constant: float, published: float) -> None:
    assert shifted_mmd(constant) == pytest.approx(published, abs=1e-6)
    found = estimates(constant, shift=1.0)
    error = found.std() / np.sqrt(REPEATS)
    # Diagonal pairs would add 2 (1 - mean kernel) / n, at least 0.009.
    assert error < 0.0012
    assert found.mean() == pytest.approx(published, abs=4.0 * error)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_mmd_loss_is_unbiased_under_one_law_even_for_paired_rows(correlation: float) -> None:
    found = estimates(1.0, shift=0.0, correlation=correlation)
    assert abs(found.mean()) < 4.0 * found.std() / np.sqrt(REPEATS)
    assert 0.4 < np.mean(found < 0.0) < 0.75


def test_gaussian_kernel_has_its_closed_form() -> None:
    variance = 1.5
    published = 0.032014
    exact = (
        2.0
        * (variance / (variance + 2.0)) ** (DIMENSION / 2)
        * -np.expm1(-1.0 / (2.0 * (variance + 2.0)))
    )
    assert exact == pytest.approx(published, abs=1e-6)
    generator = np.random.default_rng(1)
    found = []
    for _ in range(400):
        first, second = generator.standard_normal((2, ROWS, DIMENSION))
        second[:, 0] += 1.0
        found.append(squared_mmd(first, second, [np.sqrt(variance)]))
    assert np.mean(found) == pytest.approx(published, abs=4.0 * np.std(found) / 20.0)


def test_mmd_loss_agrees_with_sums_over_pairs_and_takes_weights() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(50.0, 1.0, (2, 30, 3))
    weights = generator.uniform(size=(30, 30))
    weights += weights.T

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        squared = np.sum((a - b) ** 2)
        return sum(scale**2 / (scale**2 + squared) for scale in (0.5, 2.0))

    pairs = [(i, j) for i in range(30) for j in range(30) if i != j]
    terms = [
        kernel(first[i], first[j])
        + kernel(second[i], second[j])
        - 2.0 * kernel(first[i], second[j])
        for i, j in pairs
    ]
    tensors = tf.constant(first, tf.float32), tf.constant(second, tf.float32)
    assert float(mmd_loss(*tensors, [0.5, 2.0])) == pytest.approx(np.mean(terms), abs=1e-5)
    symmetric = np.average(terms, weights=[weights[pair] for pair in pairs])
    assert float(mmd_loss(*tensors, [0.5, 2.0], tf.constant(weights, tf.float32))) == pytest.approx(
        symmetric, abs=1e-5
    )
    assert float(mmd_loss(*(value[:1] for value in tensors), [1.0])) == 0.0


# Layout and losses


def test_layout_is_published_and_kept() -> None:
    posterior = SplitLatent(inverse_kinematics, width=7)
    assert posterior.layout == SplitLayout(parameters=4, latent=2, observables=2, width=7)
    assert "parameters 0:4, padding 4:7] -> [latent 0:2, padding 2:5, observables 5:7" in repr(
        posterior
    )
    assert SplitLatent(inverse_kinematics).layout.width == 4
    # More observables than parameters: something is left for the latent all the same.
    assert SplitLatent(wide).layout == SplitLayout(parameters=2, latent=1, observables=6, width=7)
    assert clone(posterior.flow).layout == posterior.layout


@bi.simulator(
    prior={"rate": tfd.LogNormal(0.0, 1.0), "count": tfd.Poisson(5.0)},
    context={"dose": tfd.Uniform(0.5, 2.0)},
)
def wide(parameters, context, seed):
    mean = (parameters["rate"] * context["dose"] + parameters["count"])[:, None]
    noise = tf.random.stateless_normal((tf.shape(mean)[0], 4), seed)
    return {"four": tf.exp(0.1 * mean + noise), "two": mean * tf.constant([1.0, -2.0])}


@pytest.mark.parametrize("options", [{"latent": 0}, {"width": 3}, {"latent": 3, "width": 4}])
def test_layouts_that_do_not_fit_are_refused(options) -> None:
    with pytest.raises(InputError, match=r"width of at least|argument .latent"):
        SplitLatent(inverse_kinematics, **options)


def test_other_bad_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="fixed length"):
        SplitLatent(bi.get_simulator("gaussian"))
    with pytest.raises(InputError, match="a Simulator"):
        SplitLatent("linear")
    with pytest.raises(InputError, match=r"(?s)'chain'.*pass flow.chain"):
        SplitLatent(slide_toy, chain=coupling(blocks=1))
    with pytest.raises(InputError, match="'mmd' or 'likelihood'"):
        SplitLatent(slide_toy, objective="mse")
    for losses in (
        {"fit": -1.0},
        {"observable_noise": 0.0},
        {"latent_scales": []},
        {"latent_scales": 0.2},
        {"backward_scales": (0.2, "1")},
        {"backward_scales": (0.2, 0.0)},
        {"neighbourhood": 0.0},
    ):
        with pytest.raises(InputError, match=next(iter(losses))):
            SplitLosses(**losses)
    with pytest.raises(InputError, match="never trained"):
        SplitLatent(slide_toy).predict({"x1": [0.0], "x2": [0.0]})


def rotation(objective: str = "mmd", scale: float = 1.0, noise: float = 0.02) -> SplitLatentFlow:
    """Exact solution of the slide toy: z = (x1 - x2) / sqrt 2, y = (x1 + x2) * scale; x as is."""
    flow = SplitLatentFlow(
        Chain([Orthogonal(), ActNorm()]), 2, 1, 1, 2, objective, SplitLosses(observable_noise=noise)
    )
    flow.build((2,), (1,))
    turn, stretch = flow.chain.bijections
    turn.matrix.assign(ROOT_HALF * np.array([[1.0, 1.0], [-1.0, 1.0]]))
    stretch.log_scale.assign([0.0, np.log(scale / ROOT_HALF)])
    return flow


def test_a_rotation_solves_the_noise_free_toy() -> None:
    flow = rotation()
    x = tf.random.stateless_normal((1000, 2), (1, 2))
    y = tf.reduce_sum(x, axis=1, keepdims=True)
    z, predicted = flow.predict(x, y)
    np.testing.assert_allclose(predicted, y, atol=1e-5)
    np.testing.assert_allclose(z[:, 0], (x[:, 0] - x[:, 1]) * ROOT_HALF, atol=1e-6)
    terms = {name: float(term) for name, term in flow.terms(x, y, tf.constant([1, 2])).items()}
    assert terms["fit"] < 1e-10
    assert terms["padding"] == 0.0
    # The noise on latent and observable: half of each variance, y stretched by sqrt 2 on the way
    # there.
    assert terms["reconstruction"] == pytest.approx(0.5 * (0.02**2 + 0.02**2 / 2.0), rel=0.15)
    # Unbiased estimates of zero: measured at most 0.001 over three seeds.
    assert abs(terms["latent"]) < 0.005
    assert abs(terms["backward"]) < 0.005
    draws = flow.sample(20_000, tf.constant([[1.5]]), seed=tf.constant([1, 2]))[0].numpy()
    np.testing.assert_allclose(draws.sum(axis=1), 1.5, atol=1e-5)
    np.testing.assert_allclose(np.cov(draws.T), COVARIANCE, atol=0.02)


def test_the_right_noise_makes_the_likelihood_exact() -> None:
    """Slots (x1 - x2) / sqrt 2 and (1 + s^2 / 2) (x1 + x2) are exact for y = x1 + x2 + s e.

    They hold the exact posterior.
    """
    s = 0.5
    flow = rotation(
        "likelihood", scale=1.0 + s**2 / 2.0, noise=float(s * np.sqrt(1.0 + s**2 / 2.0))
    )
    x = tf.random.stateless_normal((50, 2), (1, 2))
    y = tf.fill((50, 1), 1.5)
    covariance = np.eye(2) - np.ones((2, 2)) / (2.0 + s**2)
    exact = stats.multivariate_normal(np.full(2, 1.5 / (2.0 + s**2)), covariance)
    np.testing.assert_allclose(flow.log_prob(x, y), exact.logpdf(x), atol=1e-4)
    np.testing.assert_allclose(
        -flow.loss(x, y, seed=tf.constant([1, 2])), exact.logpdf(x), atol=1e-4
    )
    draws = flow.sample(20_000, y[:1], seed=tf.constant([1, 2]))[0].numpy()
    np.testing.assert_allclose(draws.mean(axis=0), exact.mean, atol=0.03)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.03)


def test_padding_scores_below_the_density_on_average() -> None:
    """Mean importance weights are the density: padded input against the bijection's quadrature."""
    losses = SplitLosses(padding_noise=0.05)
    flow = SplitLatentFlow(
        Chain([Orthogonal(), Coupling(hidden=(8,))]), 1, 1, 1, 2, "likelihood", losses
    )
    flow.build((1,), (1,))
    flow.chain.bijections[0].matrix.assign([[0.3, 0.954], [-0.954, 0.3]])
    x = 0.3
    y = 0.28
    sd = losses.padding_noise
    grid = np.linspace(-8.0, 8.0, 4001) * sd
    rows = tf.constant(np.column_stack([np.full_like(grid, x), grid]), tf.float32)
    output, log_det = (value.numpy().astype(float) for value in flow.chain.forward(rows))
    density = (
        stats.norm.pdf(output[:, 0])
        * stats.norm.pdf(output[:, 1], y, losses.observable_noise)
        * np.exp(log_det)
    )
    exact = np.trapezoid(density, grid)
    scores = -flow.loss(
        tf.fill((200_000, 1), x), tf.fill((200_000, 1), y), seed=tf.constant([1, 2])
    ).numpy()
    weights = np.exp(scores.astype(float))
    assert weights.mean() == pytest.approx(exact, abs=4.0 * weights.std() / np.sqrt(len(weights)))
    assert weights.std() / np.sqrt(len(weights)) < 0.02 * exact
    assert scores.mean() < np.log(exact)


def test_latent_loss_leaves_the_prediction_alone() -> None:
    flow = SplitLatentFlow(ActNorm(), 2, 1, 1, 2)
    flow.build((2,), (1,))
    x = tf.random.stateless_normal((200, 2), (1, 2))
    scale = flow.chain.log_scale.value
    with tf.GradientTape(persistent=True) as tape:
        terms = flow.terms(x, 2.0 * x[:, 1:] + 1.0, tf.constant([1, 2]))
    of_latent = tape.gradient(terms["latent"], scale)
    of_fit = tape.gradient(terms["fit"], scale)
    assert float(of_latent[1]) == 0.0
    assert float(of_latent[0]) != 0.0
    assert float(of_fit[0]) == 0.0
    assert float(of_fit[1]) != 0.0


def test_backward_loss_ramps_up() -> None:
    losses = SplitLosses(
        fit=0.0, latent=0.0, backward=3.0, reconstruction=0.0, padding=0.0, backward_start=0.01
    )
    flow = SplitLatentFlow(ActNorm(), 2, 1, 1, 2, losses=losses)
    flow.build((2,), (1,))
    x = 2.0 * tf.random.stateless_normal((100, 2), (1, 2))
    seed = tf.constant([1, 2])
    backward = float(flow.terms(x, x[:, 1:], seed)["backward"])
    for progress, share in ((0.0, 0.02), (0.5, 0.2), (1.0, 1.0)):
        assert float(flow.loss(x, x[:, 1:], seed=seed, progress=progress)[0]) == pytest.approx(
            3.0 * share * backward, rel=1e-5
        )


def test_neighbourhood_sees_what_the_prior_hides() -> None:
    """Draws with the prior's law that ignore the observables pass without it, and fail with it."""
    terms = {}
    for neighbourhood in (None, 0.2):
        losses = SplitLosses(neighbourhood=neighbourhood)
        flow = SplitLatentFlow(ActNorm(), 2, 1, 1, 2, losses=losses)
        flow.build((2,), (1,))
        x = tf.random.stateless_normal((1000, 2), (1, 2))
        # The bijection is the identity: it draws x2 = y, but here y is x1.
        terms[neighbourhood] = float(flow.terms(x, x[:, :1], tf.constant([1, 2]))["backward"])
    assert abs(terms[None]) < 0.005
    assert terms[0.2] > 0.05


# The verbs


def quick(simulator=linear, **options) -> SplitLatent:
    posterior = SplitLatent(simulator, chain=default_chain(2, (8,)), **options)
    return posterior.fit(steps=6, batch_size=32, seed=1, progress=False)


def test_context_padding_integers_and_supports() -> None:
    posterior = quick(wide, width=9, latent=2)
    data = wide.sample(3, seed=2)
    seen = {name: data[name] for name in ("four", "two", "dose")}
    draws = posterior.sample(seen, draws=50, seed=3)
    assert draws["rate"].shape == draws["count"].shape == (3, 50)
    assert (draws["rate"] > 0.0).all()
    assert (draws["count"] == np.round(draws["count"])).all()
    assert draws.p_value.shape == (3,)
    parameters = {name: data[name] for name in ("rate", "count")}
    predicted = posterior.predict(parameters, {"dose": data["dose"]})
    assert {name: value.shape for name, value in predicted.items()} == {
        "four": (3, 4),
        "two": (3, 2),
    }
    assert posterior.latent(parameters, {"dose": data["dose"]}).shape == (3, 2)
    other = posterior.predict(parameters, {"dose": 2.5 - data["dose"]})
    assert not np.allclose(other["two"], predicted["two"])
    assert set(posterior.terms(wide.sample(100, seed=4))) == {
        "fit",
        "latent",
        "backward",
        "reconstruction",
        "padding",
    }
    with pytest.raises(InputError, match="dose"):
        posterior.predict(parameters)


def test_integers_are_where_training_had_them() -> None:
    """The lowest integer is not the end of its interval, which lies infinitely far out."""
    counts = np.arange(4)
    latent = quick(wide).latent({"rate": np.ones(4), "count": counts}, {"dose": np.ones(4)})
    assert np.abs(latent).max() < 20.0


def test_predictions_are_on_the_observables_own_scale() -> None:
    """Compressed or not: what the network sees as 0 comes back as the middle of the data."""
    posterior = quick(wide)
    scalings = posterior.model.data.scalings
    assert scalings["four"].compress is not None
    data = wide.sample(5, seed=2)
    learner = posterior.model
    inputs, _ = learner.data.to_network(
        {name: tf.convert_to_tensor(value) for name, value in data.items()}
    )
    for name in ("four", "two"):
        np.testing.assert_allclose(
            scalings[name].invert(inputs[name].numpy()), data[name], rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("objective", ["mmd", "likelihood"])
def test_fit_sample_infer_and_density(objective) -> None:
    posterior = quick(objective=objective)
    assert np.isfinite(posterior.history["loss"]).all()
    again = quick(objective=objective)
    one = posterior.sample({"y": 1.0}, draws=20, seed=5)
    np.testing.assert_array_equal(one["x1"], again.sample({"y": 1.0}, draws=20, seed=5)["x1"])
    assert one["x1"].shape == (20,)
    many = posterior.sample({"y": [1.0, 2.0]}, draws=20, seed=5)
    tree = posterior.infer({"y": 1.0}, draws=20, seed=5)
    np.testing.assert_array_equal(tree["posterior"]["x1"].values[0], one["x1"])
    assert ("lp" in tree["sample_stats"]) == (objective == "likelihood")
    diagnosis = bi.diagnose(posterior, simulations=60, draws=20, seed=1, progress=False)
    assert diagnosis["latent"] is None
    assert "latent codes and L-C2ST: not run, the posterior has no latent codes." in repr(diagnosis)
    assert (diagnosis["joint_coverage"] is not None) == (objective == "likelihood")
    assert diagnosis["sbc"].columns == ("x1", "x2")
    if objective == "likelihood":
        assert posterior.log_prob(many, {"y": [1.0, 2.0]}).shape == (2, 20)
    else:
        assert posterior.infer({"y": [1.0, 2.0]}, draws=20)["posterior"]["x1"].shape == (1, 20, 2)
        with pytest.raises(InputError, match="a flow with a density"):
            posterior.log_prob(many, {"y": [1.0, 2.0]})


def test_likelihood_is_a_density_on_the_parameters_own_scale() -> None:
    posterior = quick(objective="likelihood", losses=SplitLosses(observable_noise=0.4))
    grid = np.linspace(-7.0, 7.0, 281)
    x1, x2 = (axis.ravel() for axis in np.meshgrid(grid, grid))
    density = np.exp(posterior.log_prob({"x1": x1, "x2": x2}, {"y": 1.0}))
    assert density.sum() * (grid[1] - grid[0]) ** 2 == pytest.approx(1.0, abs=1e-3)
    draws = posterior.sample({"y": 1.0}, draws=50_000, seed=1)
    for name, axis in (("x1", x1), ("x2", x2)):
        assert draws[name].mean() == pytest.approx(np.average(axis, weights=density), abs=0.03)
        assert draws[name].std() == pytest.approx(
            np.sqrt(np.average((axis - np.average(axis, weights=density)) ** 2, weights=density)),
            rel=0.02,
        )


def test_offline_validation_takes_the_whole_backward_loss() -> None:
    data = linear.sample(400, seed=1)
    posterior = SplitLatent(linear, chain=default_chain(2, (8,)))
    posterior.fit(data, epochs=2, batch_size=64, seed=1, progress=False, validation=data)
    terms = posterior.terms(data, seed=1)
    weighted = sum(getattr(SplitLosses(), name) * term for name, term in terms.items())
    # Other noise in the random terms: measured within 1.2 % over three seeds.
    assert posterior.history["val_loss"].min() == pytest.approx(weighted, rel=0.05)


def answers(posterior: SplitLatent, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a posterior says of simulations, by each of its verbs."""
    prior = posterior.simulator.prior
    context = posterior.simulator.context_names
    parameters = {name: data[name] for name in prior.event_shapes}
    given = {name: data[name] for name in context}
    seen = {name: data[name] for name in posterior.simulator.observable_shapes} | given
    found = dict(posterior.sample(seen, draws=20, seed=5)) | posterior.predict(parameters, given)
    found["latent"] = posterior.latent(parameters, given)
    found |= {
        f"loss of {name}": np.array(term) for name, term in posterior.terms(data, seed=6).items()
    }
    if posterior.flow.objective == "likelihood":
        found["density"] = posterior.log_prob(parameters, seen)
    return found


ANSWER_AGAIN = """
import sys
import warnings
import numpy as np
import bayesinn as bi
from tests.inverse.test_split_latent import answers

folder = sys.argv[1]
data, expected = (dict(np.load(f"{folder}/{name}.npz")) for name in ("data", "expected"))
with warnings.catch_warnings():
    warnings.simplefilter("error", UserWarning)
    posterior = bi.load(folder)
found = answers(posterior, data)
assert found.keys() == expected.keys()
print([name for name in found if not np.array_equal(found[name], expected[name])])
"""


def test_a_loaded_posterior_is_a_split_latent(tmp_path) -> None:
    posterior = quick(width=4, losses=SplitLosses(fit=3.0))
    loaded = bi.load(posterior.save(tmp_path / "split"))
    assert isinstance(loaded, SplitLatent)
    assert repr(loaded) == repr(posterior)
    assert loaded.flow.split_losses == posterior.flow.split_losses
    data = linear.sample(50, seed=3)
    found = answers(loaded, data)
    for name, value in answers(posterior, data).items():
        np.testing.assert_array_equal(found[name], value)
    with pytest.raises(InputError, match="expected: a flow with a density"):
        loaded.log_prob(data, {"y": data["y"]})
    assert type(loaded.fit(steps=1, batch_size=32, seed=1, progress=False)) is SplitLatent


def test_equal_bits_in_a_fresh_process(tmp_path, fresh_python) -> None:
    posterior = quick(objective="likelihood")
    folder = posterior.save(tmp_path / "split")
    data = linear.sample(3, seed=3)
    np.savez(folder / "data.npz", **data)
    np.savez(folder / "expected.npz", **answers(posterior, data))
    assert fresh_python(ANSWER_AGAIN, folder).stdout.splitlines() == ["[]"]


# What training finds


# Four blocks of two layers of 32: with three of one layer of 16, seeds 2 and 3 miss the covariance
# by 7 % after 2,000 steps, and with the likelihood objective by 29 %. About 23 and 9 seconds of one
# core.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "steps", "batch_size"), [("mmd", 1000, 500), ("likelihood", 2000, 256)]
)
def test_training_solves_the_noise_free_toy(objective: str, steps: int, batch_size: int) -> None:
    posterior = SplitLatent(slide_toy, chain=default_chain(4, (32, 32)), objective=objective)
    posterior.fit(
        steps=steps,
        batch_size=batch_size,
        seed=1,
        optimization=bi.Optimization(learning_rate=5e-3),
        progress=False,
    )
    check_toy(posterior)


def check_toy(posterior: SplitLatent) -> None:
    """Beside each bound, the worst value over seeds 1 to 3, with "mmd" and with "likelihood"."""
    data = slide_toy.sample(5_000, seed=99)
    parameters = {name: data[name] for name in ("x1", "x2")}
    predicted = posterior.predict(parameters)["y"]
    assert np.mean((predicted - data["y"]) ** 2) < 1e-4  # 2e-6 and below 5e-7
    latent = posterior.latent(parameters)[:, 0]
    # 0.99987 and 0.99988
    assert abs(np.corrcoef(latent, (data["x1"] - data["x2"]) * ROOT_HALF)[0, 1]) > 0.999
    for y in (-2.0, 0.0, 1.5):
        draws = posterior.sample({"y": y}, draws=20_000, seed=1)
        # 1.3 % and 1.7 %
        np.testing.assert_allclose(np.cov(draws["x1"], draws["x2"]), COVARIANCE, rtol=0.05)
        # 0.0016 and 0.0284, of which the noise that the likelihood objective puts on y, 0.02 of its
        # standard deviation, makes up 0.0283.
        assert np.sqrt(np.mean((draws["x1"] + draws["x2"] - y) ** 2)) < 0.05


# The simulators


def test_kinematics_have_the_golden_values() -> None:
    x = np.array(
        [[0.1, 0.2, 0.3, -0.4], [0.0, 0.0, 0.0, 0.0], [-0.25, 0.5, -1.0, 0.75]], np.float32
    )
    parameters = dict(zip(kinematics.NAMES, x.T, strict=True))
    golden = [[1.92382874, 0.53888085], [2.0, 0.0], [1.84649498, -0.00259604]]
    np.testing.assert_allclose(
        inverse_kinematics.simulate(parameters, seed=1)["hand"], golden, atol=1e-6
    )
    np.testing.assert_allclose(kinematics.joints(parameters)[:, -1], golden, atol=1e-6)
    np.testing.assert_allclose(
        kinematics.joints(parameters)[:, 0], [[0.0, 0.1], [0.0, 0.0], [0.0, -0.25]], atol=1e-6
    )
    hands = inverse_kinematics.sample(100_000, seed=1)["hand"]
    # Monte Carlo errors 0.002 and 0.004.
    np.testing.assert_allclose(hands.mean(axis=0), [1.5177, 0.0], atol=0.015)
    np.testing.assert_allclose(hands.std(axis=0), [0.5123, 1.0488], atol=0.012)


def test_kinematics_exact_draws_are_those_of_rejection() -> None:
    hand = np.array([1.8, 0.6])
    exact = kinematics.exact({"hand": hand}, 4_000, seed=1)
    np.testing.assert_allclose(
        kinematics.joints(exact)[:, -1], np.broadcast_to(hand, (4_000, 2)), atol=1e-9
    )
    # The height of the base that puts the hand right is known, and has a prior; the rest is
    # rejection.
    generator = np.random.default_rng(1)
    angles = 0.5 * generator.standard_normal((3, 1_000_000))
    there = kinematics.joints(
        dict(zip(kinematics.NAMES, [np.zeros(1_000_000), *angles], strict=True))
    )[:, -1]
    height = hand[1] - there[:, 1]
    accepted = np.abs(there[:, 0] - hand[0]) < 0.01
    accepted &= generator.uniform(size=height.size) < np.exp(-0.5 * (height / 0.25) ** 2)
    rejection = np.column_stack([height, *angles])[accepted]
    assert len(rejection) > 5_000  # measured 10,502 to 10,649
    for index, name in enumerate(kinematics.NAMES):
        # Smallest p-value of four measured over three seeds: 0.044.
        assert stats.ks_2samp(exact[name], rejection[:, index]).pvalue > 1e-3


def test_slide_toy_exact_draws() -> None:
    draws = bi.reference.exact_draws(slide_toy, {"y": 1.5}, draws=50_000, seed=1)
    np.testing.assert_allclose(draws["x1"] + draws["x2"], 1.5, atol=1e-6)
    np.testing.assert_allclose(np.cov(draws["x1"], draws["x2"]), COVARIANCE, atol=0.02)


@pytest.mark.parametrize(
    "simulator", [slide_toy, inverse_kinematics], ids=lambda simulator: simulator.name
)
def test_simulators_keep_the_contract(simulator) -> None:
    bi.testing.check_simulator(simulator)


def test_parameters_outside_the_prior_are_refused(monkeypatch) -> None:
    """They were moved to its edge."""

    @bi.simulator(prior={"a": tfd.Uniform(0.0, 1.0), "b": tfd.Uniform(0.0, 1.0)})
    def total(parameters, seed):
        return {"y": parameters["a"] + parameters["b"]}

    network = SplitLatent(total, chain=default_chain(1, (8,)))
    network.fit(steps=2, batch_size=32, seed=1, progress=False)
    with pytest.raises(InputError, match=r"(?s)inside the prior's support.*1 of 2"):
        network.predict({"a": [0.5, 5.0], "b": [0.5, 0.5]})
    inside = {"a": np.linspace(0.1, 0.9, 9), "b": np.full(9, 0.5)}
    expected = network.predict(inside)["y"]
    emulate_tensor_float(monkeypatch)
    np.testing.assert_array_equal(network.predict(inside)["y"], expected)
