"""The latent mixture against a mixture of Gaussians with densities and classes known exactly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from sklearn.datasets import load_digits

import bayesinn as bi
from bayesinn.bijections import ActNorm, Chain, Coupling
from bayesinn.core.errors import InputError, SavedPosteriorError, TrainingError
from bayesinn.flows import StudentT, coupling
from bayesinn.inverse import ClassNormal, LatentMixture

NAMES = ("ash", "beech", "oak")
MEANS = np.array([[-1.5, 0.0, 0.5], [1.5, 0.5, 0.0], [0.0, 2.0, -1.0]])
SCALES = np.array([[1.0, 0.5, 0.8], [0.6, 1.2, 1.0], [0.9, 0.7, 0.4]])
WEIGHTS = np.array([0.5, 0.3, 0.2])
# A known affine map, far from standard units.
MATRIX = np.array([[2.0, 0.5, 0.0], [0.3, 1.0, -0.7], [-0.4, 0.2, 0.5]])
SHIFT = np.array([5.0, -3.0, 100.0])
FLOOR = (
    float(WEIGHTS @ np.log(SCALES).sum(axis=1))
    + 1.5 * np.log(2.0 * np.pi * np.e)
    + np.log(abs(np.linalg.det(MATRIX)))
)


def draw(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    index = generator.choice(3, size=rows, p=WEIGHTS)
    sources = MEANS[index] + SCALES[index] * generator.standard_normal((rows, 3))
    return sources @ MATRIX.T + SHIFT, np.array(NAMES)[index]


def exact(x: np.ndarray) -> np.ndarray:
    """Log density of each class, (n, 3)."""
    return np.stack(
        [
            scipy.stats.multivariate_normal(
                MATRIX @ mean + SHIFT, MATRIX @ np.diag(scale**2) @ MATRIX.T
            ).logpdf(x)
            for mean, scale in zip(MEANS, SCALES, strict=True)
        ],
        axis=1,
    )


def small(scales: str = "free", **options) -> LatentMixture:
    return LatentMixture(coupling(blocks=2, hidden=(16,)).chain, ClassNormal(scales), **options)


@pytest.fixture(scope="module")
def models() -> dict[str, LatentMixture]:
    x, labels = draw(20_000, seed=1)
    options = {"steps": 800, "batch_size": 512, "seed": 1, "progress": False}
    options["optimization"] = bi.Optimization(learning_rate=1e-2, average=0.99)
    return {scales: small(scales).fit(x, labels, **options) for scales in ("free", "batch")}


@pytest.fixture(params=["free", "batch"])
def model(request, models: dict[str, LatentMixture]) -> LatentMixture:
    return models[request.param]


TEST_X, TEST_LABELS = draw(10_000, seed=11)


def test_density_reaches_the_floor(model: LatentMixture) -> None:
    index = np.array([NAMES.index(label) for label in TEST_LABELS])
    truth = exact(TEST_X)
    own = truth[np.arange(len(index)), index]
    # The exact density itself comes this close to its entropy on 10,000 vectors (standard error
    # 0.012).
    assert -own.mean() == pytest.approx(FLOOR, abs=0.05)
    excess = (own - model.log_prob(TEST_X, TEST_LABELS)).mean()
    # In nats, with both kinds of scales: 0.0008 to 0.0058 over three seeds. Less than nothing can
    # only be luck.
    assert -0.001 < excess < 0.012
    marginal = scipy.special.logsumexp(truth + np.log(WEIGHTS), axis=1)
    assert -0.001 < (marginal - model.log_prob(TEST_X)).mean() < 0.012
    # The loss that training reports is the same number.
    assert model.history["val_loss"].min() == pytest.approx(
        -model.log_prob(TEST_X, TEST_LABELS).mean(), abs=0.1
    )


def test_classifies_as_bayes_rule_does(model: LatentMixture) -> None:
    probabilities = model.classify(TEST_X)
    assert list(probabilities.columns) == list(NAMES)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-6)
    posterior = scipy.special.softmax(exact(TEST_X) + np.log(WEIGHTS), axis=1)
    # Mean absolute difference: 0.0020 to 0.0055 over three seeds.
    assert np.abs(probabilities - posterior).to_numpy().mean() < 0.01
    analytic = (np.array(NAMES)[posterior.argmax(axis=1)] == TEST_LABELS).mean()
    ours = (probabilities.idxmax(axis=1).to_numpy() == TEST_LABELS).mean()
    # No classifier is better than Bayes' rule, but for chance: 0.0007 apart at most over three
    # seeds.
    assert ours == pytest.approx(analytic, abs=0.003)


def test_codes_of_each_class_are_normal(model: LatentMixture) -> None:
    codes = model.latent_codes(TEST_X)
    p_values = []
    unwhitened = []
    for number in range(3):
        own = codes[np.array(NAMES)[number] == TEST_LABELS]
        whitened = (own - model.latent_means[number]) / model.latent_scales[number]
        p_values += [scipy.stats.kstest(column, "norm").pvalue for column in whitened.T]
        unwhitened += [scipy.stats.kstest(column, "norm").pvalue for column in own.T]
    # The smallest of nine: 0.003 to 0.04 over three seeds. Without whitening, 2e-5 at most.
    assert min(p_values) > 1e-4
    assert max(unwhitened) < 1e-3


def test_samples_are_those_of_the_class(model: LatentMixture) -> None:
    for number, name in enumerate(NAMES):
        x = model.sample(name, draws=4_000, seed=number)
        assert x.shape == (4_000, 3)
        sources = np.linalg.solve(MATRIX, (x - SHIFT).T).T
        # Over three seeds, 0.04 and 3 %.
        np.testing.assert_allclose(sources.mean(axis=0), MEANS[number], atol=0.08)
        np.testing.assert_allclose(sources.std(axis=0), SCALES[number], rtol=0.06)
    np.testing.assert_array_equal(
        model.sample("oak", draws=5, seed=3), model.sample("oak", draws=5, seed=3)
    )
    assert not np.array_equal(
        model.sample("oak", draws=5, seed=3), model.sample("oak", draws=5, seed=4)
    )


def test_codes_lead_back(model: LatentMixture) -> None:
    np.testing.assert_allclose(model.from_latent(model.latent_codes(TEST_X)), TEST_X, atol=1e-3)


def test_saved_models_answer_the_same(model: LatentMixture, tmp_path: Path, fresh_python) -> None:
    folder = model.save(tmp_path / "model")
    again = LatentMixture.load(folder)
    np.testing.assert_array_equal(again.log_prob(TEST_X), model.log_prob(TEST_X))
    assert again.history.equals(model.history)
    assert repr(again) == repr(model)
    np.save(tmp_path / "x.npy", TEST_X[:50])
    code = (
        "import sys, numpy; from bayesinn.inverse import LatentMixture;"
        "model = LatentMixture.load(sys.argv[1] + '/model'); x = numpy.load(sys.argv[1] + "
        "'/x.npy');"
        "numpy.save(sys.argv[1] + '/p.npy', model.classify(x));"
        "numpy.save(sys.argv[1] + '/s.npy', model.sample('oak', 9, 1))"
    )
    if model.latent.scales == "free":
        fresh_python(code, tmp_path)
        np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), model.classify(TEST_X[:50]))
        np.testing.assert_array_equal(np.load(tmp_path / "s.npy"), model.sample("oak", 9, 1))


def test_training_is_a_function_of_the_seed() -> None:
    x, labels = draw(500, seed=1)
    first, second = (small().fit(x, labels, steps=3, seed=1, progress=False) for _ in range(2))
    np.testing.assert_array_equal(first.log_prob(x), second.log_prob(x))
    other = small().fit(x, labels, steps=3, seed=2, progress=False)
    assert not np.array_equal(first.log_prob(x), other.log_prob(x))


def test_every_weight_gets_a_gradient() -> None:
    for scales, trained in (("free", 2), ("batch", 0), ("unit", 1)):
        latent = ClassNormal(scales)
        latent.build(3, 2)
        assert len(latent.trainable_variables) == trained
        z = tf.random.stateless_normal((30, 2), (1, 2))
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = -tf.reduce_mean(latent(z, tf.range(30) % 3, training=True))
        for gradient in tape.gradient(
            loss, [z, *(weight.value for weight in latent.trainable_variables)]
        ):
            assert np.all(gradient.numpy() != 0.0)


def test_batch_statistics_are_the_profile_likelihood() -> None:
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [50, 30, 1])
    # Far from zero, where the mean of squares less the square of the mean would cancel.
    z = 1e4 + generator.normal(size=(81, 2)) * [1.0, 0.1]
    latent = ClassNormal("batch")
    latent.build(3, 2)
    value = latent(tf.constant(z, tf.float32), tf.constant(labels), training=True).numpy()
    for number, rows in ((0, slice(0, 50)), (1, slice(50, 80))):
        # At the maximum, the mean of the squared deviations is one, whatever the data.
        scatter = z[rows].std(axis=0)
        expected = -np.log(scatter).sum() - np.log(2.0 * np.pi) - 1.0
        assert value[rows].mean() == pytest.approx(expected, abs=0.02), number
    # A single member has no scatter: it goes by what was known before, the standard normal.
    assert value[80] == pytest.approx(-np.log(2.0 * np.pi) - 0.5 * (z[80] ** 2).sum(), rel=0.01)


def test_one_element_integer_labels_and_unit_scales() -> None:
    generator = np.random.default_rng(1)
    labels = np.repeat([3, 7], 500)
    x = generator.normal(size=(1_000, 1)) + 4.0 * (labels == 7)[:, None]
    model = LatentMixture(coupling(blocks=1, hidden=(8,)).chain, ClassNormal("unit"))
    model.fit(
        x,
        labels,
        steps=200,
        seed=1,
        optimization=bi.Optimization(learning_rate=1e-2, average=0.9),
        progress=False,
    )
    assert model.classes == (3, 7)
    # Bayes' rule errs in 2.3 %.
    assert (model.classify(x).idxmax(axis=1) == labels).mean() > 0.95
    grid = np.linspace(-8.0, 12.0, 4_001)[:, None]
    assert np.trapezoid(np.exp(model.log_prob(grid)), grid[:, 0]) == pytest.approx(1.0, abs=2e-3)
    np.testing.assert_array_equal(model.latent_scales, np.ones((2, 1)))


def test_repeated_vectors_are_held_apart_by_the_floor_or_by_noise() -> None:
    labels = np.repeat([0, 1], 200)
    x = np.repeat([[0.0, 0.0], [1.0, 2.0]], 200, axis=0)
    for options in ({}, {"noise": 0.05, "quantum": 0.1}):
        model = small(**options).fit(x, labels, steps=30, seed=1, progress=False)
        assert np.all(np.isfinite(model.log_prob(x)))


def class_gaussians() -> LatentMixture:
    """A model of two classes without any bijection."""
    labels = np.repeat([0, 1], 50)
    x = np.random.default_rng(1).normal(size=(100, 2)) + 4.0 * labels[:, None]
    return LatentMixture(Chain([])).fit(x, labels, steps=1, seed=1, progress=False)


def test_an_empty_chain_leaves_the_class_gaussians() -> None:
    model = class_gaussians()
    z = np.array([[0.5, -1.0]])
    density = scipy.stats.norm(model.latent_means, model.latent_scales).logpdf(z).sum(axis=1)
    jacobian = np.log(model.model.scaling.scale).sum()
    found = [model.log_prob(model.from_latent(z), [label])[0] for label in (0, 1)]
    np.testing.assert_allclose(found, density - jacobian, rtol=1e-5)


def test_classes_have_noise_of_their_own() -> None:
    model = class_gaussians()
    noise = []
    for number in (0, 1):
        codes = model.latent_codes(model.sample(number, draws=400, seed=1))
        noise.append((codes - model.latent_means[number]) / model.latent_scales[number])
    correlation = np.corrcoef(noise[0][:, 0], noise[1][:, 0])[0, 1]
    # Without correlation, its standard error is 0.05.
    assert abs(correlation) < 0.2


# What does not fit


def test_bad_arguments_are_explained() -> None:
    with pytest.raises(InputError, match=r"(?s)doesn't end with ActNorm.*drop the last ActNorm"):
        LatentMixture(Chain([Coupling(), ActNorm()]))
    with pytest.raises(InputError, match=r"(?s)argument 'chain'.*pass flow.chain"):
        LatentMixture(coupling(blocks=1))
    with pytest.raises(InputError, match=r"(?s)argument 'latent'.*a ClassNormal"):
        LatentMixture(latent=StudentT())
    with pytest.raises(InputError, match="'free', 'batch' or 'unit'"):
        ClassNormal("fixed")
    with pytest.raises(InputError, match=r"(?s)'noise'.*a number from 0.*-1"):
        LatentMixture(noise=-1.0)
    with pytest.raises(InputError, match="call fit"):
        LatentMixture().classify([[1.0]])


@pytest.mark.parametrize(
    ("x", "labels", "message"),
    [
        (np.zeros((4, 2, 2)), np.arange(4), "or flatten them"),
        (np.zeros((4, 2)), np.arange(3), "one label for each vector"),
        (np.zeros((4, 2)), np.eye(4), "not one-hot"),
        (np.full((4, 2), np.nan), np.arange(4), "4 rows with NaN"),
        (np.zeros((0, 2)), np.arange(0), "at least one vector"),
        (np.zeros((4, 2)), np.array([0, 0, 0, 1]), "(?s)two or more training vectors.*class 1"),
        (np.array([["a", "b"]]), np.array([0]), "numbers in an array"),
    ],
)
def test_bad_data_are_explained(x: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        small().fit(x, labels, steps=1, validation=0.0, progress=False)


def test_lost_digits_are_warned_of() -> None:
    x = 2_459_000.5 + np.random.default_rng(1).normal(size=(40, 1))
    labels = np.repeat([0, 1], 20)
    with pytest.warns(UserWarning, match="few digits.*subtract an offset"):
        small().fit(x, labels, steps=1, validation=0.0, progress=False)


def test_bad_questions_are_explained(models: dict[str, LatentMixture]) -> None:
    model = models["free"]
    with pytest.raises(InputError, match=r"shape \(n, 3\)"):
        model.classify(np.zeros((4, 2)))
    with pytest.raises(InputError, match=r"(?s)finite in single precision.*1 rows"):
        model.classify([[0.0, 1e39, 0.0]])
    with pytest.raises(InputError, match=r"(?s)'ash', 'beech', 'oak'.*elm"):
        model.sample("elm")
    with pytest.raises(InputError, match=r"(?s)draws.*an integer of 1 or more"):
        model.sample("oak", draws=0)
    with pytest.raises(InputError, match=r"(?s)Validation labels.*elm"):
        small().fit(TEST_X, TEST_LABELS, steps=1, validation=(TEST_X[:1], ["elm"]), progress=False)


def test_broken_training_keeps_the_last_good_weights() -> None:
    x, labels = draw(500, seed=1)
    model = small()
    with pytest.raises(TrainingError, match="lower learning_rate"):
        model.fit(
            x,
            labels,
            steps=5,
            seed=1,
            optimization=bi.Optimization(optimizer=keras.optimizers.SGD(1e30)),
            progress=False,
        )


def test_damaged_folders_are_explained(models: dict[str, LatentMixture], tmp_path: Path) -> None:
    folder = models["free"].save(tmp_path / "model")
    with pytest.raises(SavedPosteriorError, match="no such folder"):
        LatentMixture.load(tmp_path / "elsewhere")
    assert bi.load(folder).classes == models["free"].classes
    manifest = json.loads((folder / "manifest.json").read_text())
    for change, message in (({"format": 99}, "format 99"), ({"kind": "Other"}, "a saved Other")):
        damaged = shutil.copytree(folder, tmp_path / message)
        (damaged / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(SavedPosteriorError, match=message):
            LatentMixture.load(damaged)
    (folder / "weights.h5").write_bytes(b"nothing")
    with pytest.raises(SavedPosteriorError, match="weights that belong"):
        LatentMixture.load(folder)


@pytest.mark.slow
def test_digits() -> None:
    x, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = x[order]
    labels = labels[order]
    # Grey values 0 to 16, in steps of one.
    model = LatentMixture(
        coupling(blocks=6, hidden=(128,), mixing="permutation", dropout=0.2).chain, quantum=1.0
    )
    model.fit(x[:1437], labels[:1437], steps=1_000, batch_size=128, seed=1, progress=False)
    generator = np.random.default_rng(5)
    noisy = [x[1437:] + generator.uniform(size=(360, 64)) for _ in range(16)]
    bits = -np.mean([model.log_prob(value) for value in noisy]) / (64 * np.log(2.0))
    probabilities = np.mean([model.classify(value) for value in noisy], axis=0)
    accuracy = np.mean(probabilities.argmax(axis=1) == labels[1437:])
    # Gaussians with a covariance each reach 2.58 bits per dimension and 0.967. Seed 1: 2.35 and
    # 0.978.
    assert bits < 2.5
    assert accuracy > 0.967


def test_a_first_epoch_that_breaks_is_explained() -> None:
    x = np.random.default_rng(1).normal(size=(64, 2))
    classes = np.repeat(["a", "b"], 32)
    wild = bi.Optimization(learning_rate=1e38, clip_norm=1e38)
    with pytest.raises(TrainingError, match="loss or gradient is not"):
        LatentMixture().fit(
            x, classes, steps=8, batch_size=8, seed=1, progress=False, optimization=wild
        )
