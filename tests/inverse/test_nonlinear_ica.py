"""Volume-preserving networks: their laws, and the sources that they find."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import bayesinn as bi
from bayesinn.bijections import ActNorm, Chain, Permutation, Reshape
from bayesinn.core.errors import InputError
from bayesinn.core.seeds import seeded_initial_weights
from bayesinn.inverse import (
    ClassNormal,
    LatentMixture,
    Spectrum,
    gin,
    gin_image,
    latent_effects,
    match_sources,
)
from bayesinn.plots.images import spectrum
from bayesinn.simulators.mixed_sources import MixedSources, mixed_sources
from bayesinn.testing import check_bijection
from bayesinn.testing.contracts import default_dtype


def random_network(dimension: int, seed: int = 1):
    """A GIN with random weights, far from the identity."""
    with seeded_initial_weights(seed):
        chain = gin(blocks=4, hidden=(16,))
        chain.build((dimension,))
    generator = np.random.default_rng(seed)
    for variable in chain.trainable_variables:
        variable.assign(variable.numpy() + generator.normal(scale=0.3, size=variable.shape))
    return chain


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("dimension", [1, 2, 10])
def test_volume_is_preserved(dimension: int, seed: int) -> None:
    with default_dtype("float64"):
        chain = random_network(dimension, seed)
    x = tf.random.stateless_normal((32, dimension), (1, 2), dtype=tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, log_det = chain.forward(x)
    np.testing.assert_array_equal(log_det, np.zeros(32))
    np.testing.assert_array_equal(chain.inverse(z)[1], np.zeros(32))
    jacobians = tape.batch_jacobian(z, x).numpy()
    np.testing.assert_allclose(np.linalg.slogdet(jacobians)[1], 0.0, atol=1e-9)
    if dimension > 2:
        # Not by being a rotation: some directions are stretched, others shrunk.
        stretches = np.linalg.svd(jacobians, compute_uv=False)
        assert stretches.max() > 1.5


def test_gin_is_a_bijection() -> None:
    check_bijection(lambda: gin(blocks=2, hidden=(8,)), dimensions=(3,), condition_dimensions=(0,))


def test_volume_of_images_is_preserved() -> None:
    with default_dtype("float64"), seeded_initial_weights(1):
        chain = gin_image((4, 4, 1), filters=(4, 8), blocks=1, hidden=(8,))
        chain.build((16,))
    generator = np.random.default_rng(1)
    for variable in chain.trainable_variables:
        variable.assign(variable.numpy() + generator.normal(scale=0.3, size=variable.shape))
    x = tf.random.stateless_normal((8, 16), (1, 2), dtype=tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, log_det = chain.forward(x)
    np.testing.assert_array_equal(log_det, np.zeros(8))
    jacobians = tape.batch_jacobian(z, x).numpy()
    np.testing.assert_allclose(np.linalg.slogdet(jacobians)[1], 0.0, atol=1e-9)
    # Convolutions and dense networks together: each element depends on all pixels.
    assert (np.abs(jacobians).max(axis=0) > 0.0).all()
    np.testing.assert_allclose(chain.inverse(z)[0], x, atol=1e-9)


def test_a_uniform_box_keeps_its_density() -> None:
    chain = random_network(2)
    side = 400
    middles = (np.arange(side) + 0.5) / side
    grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2).astype(np.float32)
    z = chain.forward(grid)[0].numpy()
    # Cells well inside the image hold as many of the 160,000 points as their area says.
    edges = 0.1
    cells, counts = np.unique(np.floor(z / edges), axis=0, return_counts=True)
    occupied = {tuple(cell) for cell in cells}
    around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    inside = [all((a + i, b + j) in occupied for i, j in around) for a, b in cells]
    assert sum(inside) > 10
    expected = len(grid) * edges**2
    np.testing.assert_allclose(np.median(counts[inside]), expected, rtol=0.03)


def fitted(kind: str, volume_preserving: bool) -> tuple[LatentMixture, MixedSources, MixedSources]:
    """A model, its training data, and others like them."""
    options = {"seed": 1, "kind": kind, "volume_preserving": volume_preserving}
    data = mixed_sources(5_000, **options)
    test = mixed_sources(5_000, draw=1, **options)
    model = LatentMixture(
        gin(blocks=8, hidden=(10, 10), activation="relu"), ClassNormal("batch"), standardise=False
    )
    model.fit(
        data.x,
        data.labels,
        steps=200,
        batch_size=500,
        seed=1,
        validation=0.0,
        optimization=bi.Optimization(learning_rate=1e-2, average=0.0),
        progress=False,
    )
    return model, data, test


def test_sources_are_found() -> None:
    model, data, test = fitted("overlapping", volume_preserving=True)
    found = Spectrum.of(model.latent_scales)
    match = match_sources(found.leading(model.latent_codes(test.x)), test.sources[:, :2])
    assert found.informative == 2
    # 65 and 0.996.
    assert found.drops[1] > 10.0
    assert match.mean_correlation > 0.95
    # Volumes are kept, and of all laws with these scales the Gaussian has the largest entropy: the
    # scales of the sources are a bound, class by class, and so is the sources' entropy for the
    # loss.
    excess = np.log(model.latent_scales).sum(axis=1) - np.log(data.scales).sum(axis=1)
    assert excess.min() > -0.1
    loss = -model.log_prob(test.x, test.labels).mean()
    # In nats: the training is short, and 3.1 above the bound.
    assert data.entropy - 0.1 < loss < data.entropy + 5.0


def test_separated_classes_are_untangled_apart() -> None:
    model, _, test = fitted("separated", volume_preserving=False)
    found = Spectrum.of(model.latent_scales)
    match = match_sources(found.leading(model.latent_codes(test.x), 2), test.sources[:, :2])
    # 1.6 and 0.79, where the elements of x themselves have 0.99.
    assert found.drops[1] < 5.0
    assert match.mean_correlation < 0.9


def test_mixed_sources_are_what_they_say() -> None:
    data = mixed_sources(20_000, seed=1)
    assert data.x.shape == data.sources.shape == (20_000, 10)
    for number in range(5):
        own = data.sources[data.labels == number]
        np.testing.assert_allclose(own.mean(axis=0), data.means[number], atol=0.2)
        np.testing.assert_allclose(own.std(axis=0), data.scales[number], rtol=0.06)
    np.testing.assert_allclose(data.mixing.inverse(data.x)[0], data.sources, atol=1e-3)
    np.testing.assert_array_equal(mixed_sources(50, seed=1).x, mixed_sources(50, seed=1).x)
    # The same classes and mixing, other points.
    other = mixed_sources(20_000, seed=1, draw=1)
    np.testing.assert_array_equal(other.means, data.means)
    np.testing.assert_allclose(other.mixing.forward(data.sources)[0], data.x, atol=1e-4)
    assert not np.array_equal(other.sources, data.sources)
    assert not np.array_equal(mixed_sources(50, seed=2).x, mixed_sources(50, seed=1).x)
    volume = mixed_sources(50, seed=1, volume_preserving=True, rotated=True)
    np.testing.assert_array_equal(volume.mixing.forward(volume.sources)[1], np.zeros(50))
    assert np.ptp(mixed_sources(50, seed=1, kind="equal scales").scales[:, :2]) == 0.0
    with pytest.raises(InputError, match=r"(?s)kind.*'separated'"):
        mixed_sources(50, kind="apart")


def test_entropy_of_the_sources() -> None:
    data = mixed_sources(200_000, seed=1)
    own = (data.sources - data.means[data.labels]) / data.scales[data.labels]
    log_density = -0.5 * (own**2 + np.log(2.0 * np.pi)).sum(axis=1) - np.log(
        data.scales[data.labels]
    ).sum(axis=1)
    # Standard error 0.005; the classes are not quite equally frequent.
    assert -log_density.mean() == pytest.approx(data.entropy, abs=0.03)


def test_spectrum() -> None:
    found = Spectrum.of(np.array([[0.1, 3.0, 0.05, 1.0], [0.1, 4.0, 0.05, 1.0]]))
    np.testing.assert_allclose(found.values, [np.sqrt(12.5), 1.0, 0.1, 0.05])
    assert found.order.tolist() == [1, 3, 0, 2]
    assert found.informative == 2
    assert found.leading(np.arange(8).reshape(2, 4)).tolist() == [[1, 3], [5, 7]]


@pytest.mark.parametrize("event", [(3,), (1, 3, 1)])
def test_effects_do_not_depend_on_the_scales_of_latent_elements(event: tuple[int, ...]) -> None:
    labels = np.repeat([0, 1], 500)
    x = np.random.default_rng(1).normal(size=(1_000, 3)) * [0.01, 3.0, 1.0]
    # ActNorm gives all latent elements the same scale.
    chain = Chain([Reshape(), ActNorm(), Permutation()])
    model = LatentMixture(chain, ClassNormal("batch"), standardise=False)
    model.fit(
        x.reshape(-1, *event),
        labels,
        steps=1,
        seed=1,
        validation=0.0,
        optimization=bi.Optimization(learning_rate=1e-6),
        progress=False,
    )
    assert Spectrum.of(model.latent_scales).drops.max() < 1.1
    found = Spectrum.of(latent_effects(model)[None])
    assert found.informative == 2
    np.testing.assert_allclose(found.values, 2.0 * np.array([3.0, 1.0, 0.01]) / 3**0.5, rtol=0.1)


def test_sources_are_matched_up_to_order_sign_scale_and_shift() -> None:
    sources = np.random.default_rng(1).normal(size=(1_000, 3))
    codes = np.stack(
        [5.0 - 2.0 * sources[:, 2], np.zeros(1_000), sources[:, 0] ** 3, 0.1 * sources[:, 1]],
        axis=1,
    )
    match = match_sources(codes, sources)
    assert match.match.tolist() == [2, 3, 0]
    assert match.signs.tolist() == [1.0, 1.0, -1.0]
    np.testing.assert_allclose(match.correlation[1:], 1.0)
    # A bent source keeps its ranks.
    assert match.correlation[0] == pytest.approx(np.sqrt(0.6), abs=0.05)
    np.testing.assert_allclose(match.rank_correlation, 1.0)
    assert (
        match_sources(
            sources @ [[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 1.0]], sources
        ).mean_correlation
        < 0.85
    )
    with pytest.raises(InputError, match="as many codes as sources"):
        match_sources(sources[:, :2], sources)


def test_figure_of_spectra() -> None:
    values = np.array([1.0, 0.9, 0.02, 0.01])
    figure = spectrum(values[::-1])
    ax = figure.axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), values)
    assert ax.get_title() == "2 before the largest drop, by a factor of 45"
    several = spectrum({"many": values, "few": values[:2]})
    assert [text.get_text() for text in several.legends[0].get_texts()] == ["many", "few"]
    spectrum(np.ones(1)).draw_without_rendering()
    for wrong in (np.zeros(3), np.ones((2, 2)), np.array([])):
        with pytest.raises(InputError, match=r"positive standard deviations|give one row or more"):
            spectrum(wrong)
    with pytest.raises(InputError, match="one to 5 spectra"):
        spectrum({})


def test_bad_arguments_are_explained() -> None:
    with pytest.raises(InputError, match="1 or more"):
        gin(blocks=0)
