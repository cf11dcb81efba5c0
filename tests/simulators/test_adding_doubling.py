"""Adding-doubling against published values, energy conservation, and limits in closed form."""

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.simulators.adding_doubling import CHUNK, fresnel, reflectance, streams

COLON = (1.36, 1.36, 1.38)
# mu_a, mu_s, g and d of each layer.
THREE = [(1.0, 100.0, 0.9, 0.1), (1.0, 10.0, 0.0, 0.1), (2.0, 10.0, 0.7, 0.2)]
TISSUE = [
    (2.97564, 163.36816, 0.9, 0.0805),
    (11.90256, 43.21909, 0.8, 0.05),
    (7.4391, 518.62909, 0.95, 0.05),
]


def solve(layers, n, dtype=np.float32, **settings):
    """For properties (..., layers, 4)."""
    values = np.moveaxis(np.asarray(layers, dtype), -1, 0)
    return [result.numpy() for result in reflectance(*map(tf.constant, values), n, **settings)]


def colon(rows, seed=1, dtype=np.float32):
    """Random layers like those of the tissue model."""
    generator = np.random.default_rng(seed)
    low, high = np.array([(0.05, 40.0, 0.80, 0.04), (40.0, 300.0, 0.95, 0.10)])
    return generator.uniform(low, high, (rows, 3, 4)).astype(dtype)


# Van de Hulst (1980) for the slab, the sample of MCML 1.x for the layers: 0.23754, whose error is
# 3e-4; the others were computed with 32 streams of iadpython (one index) or by 2.8e6 photons (three
# indices, standard error 2e-4).
@pytest.mark.parametrize(
    ("layers", "n", "expected", "passed"),
    [
        ([(10.0, 90.0, 0.75, 0.02)], (1.0,), 0.09739, 0.66096),
        (THREE, (1.37,) * 3, 0.23787, 0.09605),
        (TISSUE, (1.36,) * 3, 0.15289, 0.02447),
        (TISSUE, (1.36, 1.45, 1.38), 0.1514, 0.0241),
    ],
    ids=["slab", "three layers", "colon", "three indices"],
)
def test_published_values(layers, n, expected, passed) -> None:
    reflected, transmitted = solve(layers, n)
    # Measured: at most 0.4 % in the reflectance, 0.9 % in the transmittance.
    assert reflected == pytest.approx(expected, rel=0.006)
    assert transmitted == pytest.approx(passed, rel=0.01)


def test_half_space() -> None:
    """Giovanelli (1955), with surface reflection; doubled to a depth that lets nothing through."""
    reflected, transmitted = solve([(10.0, 90.0, 0.0, 5.0)], (1.5,), doublings=10)
    # Measured: 0.2610; 0.25994 with 32 streams.
    assert reflected + 0.04 == pytest.approx(0.2600, rel=0.005)
    assert transmitted < 1e-6


@pytest.mark.slow
def test_more_streams_converge() -> None:
    reflected, transmitted = solve(TISSUE, (1.36,) * 3, count=16)
    assert reflected == pytest.approx(0.15289, rel=0.002)
    assert transmitted == pytest.approx(0.02447, rel=0.002)


def test_energy_is_conserved() -> None:
    layers = colon(500)
    layers[..., 0] = 0.0
    reflected, transmitted = solve(layers, COLON)
    specular = float(fresnel(1.0, 1.36, np.zeros(1))[0])
    # Measured: 1.3e-5 in single precision.
    np.testing.assert_allclose(specular + reflected + transmitted, 1.0, atol=1e-4)


def test_absorption_takes_light() -> None:
    layers = colon(200)
    less = layers.copy()
    more = layers.copy()
    more[..., 0] *= 1.1
    for one, other in zip(solve(less, COLON), solve(more, COLON), strict=True):
        assert (one > other).all()
        assert (other > 0.0).all()


def test_a_layer_is_the_sum_of_its_parts() -> None:
    layers = colon(50)
    layers[:, 1:, :3] = layers[:, :1, :3]
    split = solve(layers, (1.36,) * 3)
    whole = layers[:, :1].copy()
    whole[:, 0, 3] = layers[..., 3].sum(axis=1)
    for one, other in zip(split, solve(whole, (1.36,), doublings=5), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_without_scattering_light_decays_exponentially() -> None:
    d = np.array([0.01, 0.05, 0.2])
    layers = np.stack([np.full(3, 7.0), np.zeros(3), np.full(3, 0.9), d], axis=-1)[:, None]
    reflected, transmitted = solve(layers, (1.0,))
    np.testing.assert_allclose(transmitted, np.exp(-7.0 * d), rtol=1e-4)
    np.testing.assert_allclose(reflected, 0.0, atol=1e-6)


def test_any_number_of_rows_gives_the_same() -> None:
    layers = colon(CHUNK + 3)
    many = solve(layers, COLON)
    for one, other in zip(solve(layers[-1], COLON), many, strict=True):
        assert one.shape == ()
        np.testing.assert_allclose(one, other[-1], rtol=1e-5)
    # Leading axes are kept, and broadcast.
    two = layers[:6].reshape(2, 3, 3, 4)
    np.testing.assert_allclose(solve(two, COLON)[0].ravel(), many[0][:6], rtol=1e-5)


def test_smooth_in_every_property() -> None:
    """Second differences fall by four when steps are halved: no jumps, no kinks."""
    start = colon(1, seed=3, dtype=np.float64)[0]
    for layer, field in np.ndindex(3, 4):
        lines = []
        for points in (33, 65):
            line = np.repeat(start[None], points, axis=0)
            low, high = (
                (0.80, 0.95)
                if field == 2
                else (0.7 * start[layer, field], 1.3 * start[layer, field])
            )
            line[:, layer, field] = np.linspace(low, high, points)
            lines.append(line)
        reflected = solve(np.concatenate(lines), COLON, np.float64)[0]
        coarse, fine = (np.abs(np.diff(part, 2)).max() for part in np.split(reflected, [33]))
        # Measured: 0.25 to 0.29.
        assert fine < 0.4 * coarse


def test_streams_of_all_layers_match() -> None:
    directions = streams(COLON, 8)
    sines = np.sqrt(1.0 - directions.cosines**2) * np.array(COLON)[:, None]
    # The last stream exists in the third layer alone.
    np.testing.assert_allclose(sines[0, :8], sines[2, :8], atol=1e-12)
    assert directions.reflected[2, 8] == 1.0
    assert directions.cosines[0, 0] == 1.0


def test_another_number_of_layers_is_refused() -> None:
    with pytest.raises(InputError, match="3 layers, as many as indices n"):
        solve(THREE[:2], (1.37,) * 3)
