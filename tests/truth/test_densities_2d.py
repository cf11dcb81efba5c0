"""The planar densities of the benchmark: normalised, sampled as claimed, entropies exact."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from paper_results.densities_2d.densities import DENSITIES

NAMES = list(DENSITIES)


# Each wide enough for the tails; cells of the board end where its squares end.
BOXES = {
    "8 modes": (-4.0, 4.0, -4.0, 4.0),
    "8 Gaussians": (-5.0, 5.0, -5.0, 5.0),
    "checkerboard": (-5.0, 5.0, -5.0, 5.0),
    "moons": (-1.8, 2.8, -1.3, 1.8),
    "crescent": (-6.0, 30.0, -12.0, 12.0),
}


def cell_masses(name: str, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Log density in the middle of each of cells x cells cells of the box, and the mass there."""
    left, right, bottom, top = BOXES[name]
    middles = [
        low + (high - low) * (np.arange(cells) + 0.5) / cells
        for low, high in ((left, right), (bottom, top))
    ]
    points = (
        np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)
    )
    parts = [DENSITIES[name].log_prob(part) for part in np.array_split(points, 8)]
    log_prob = np.concatenate(parts).astype(np.float64)
    return log_prob, np.exp(log_prob) * (right - left) * (top - bottom) / cells**2


@pytest.mark.parametrize("name", NAMES)
def test_density_and_entropy_by_quadrature(name: str) -> None:
    log_prob, mass = cell_masses(name, 320)
    # Measured: mass within 2e-7, entropy within 3e-6.
    assert mass.sum() == pytest.approx(1.0, abs=1e-5)
    entropy = -np.sum(mass * np.where(mass > 0.0, log_prob, 0.0))
    assert DENSITIES[name].entropy() == pytest.approx(entropy, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_draws_have_the_entropy(name: str) -> None:
    density = DENSITIES[name]
    for seed in (1, 2, 3):
        log_prob = density.log_prob(density.sample(30_000, seed=(seed, 7))).numpy()
        error = log_prob.std() / np.sqrt(len(log_prob))
        assert -log_prob.mean() == pytest.approx(density.entropy(), abs=4.0 * error + 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_draws_follow_the_density(name: str) -> None:
    """Counts in 20 x 20 cells against the mass of each."""
    cells = 20
    fine = 16
    _, mass = cell_masses(name, cells * fine)
    left, right, bottom, top = BOXES[name]
    draws = DENSITIES[name].sample(100_000, seed=(3, 4)).numpy()
    found, _, _ = np.histogram2d(*draws.T, bins=cells, range=[[left, right], [bottom, top]])
    expected = len(draws) * mass.reshape(cells, fine, cells, fine).sum(axis=(1, 3))
    many = expected > 10.0
    chi_squared = np.sum((found[many] - expected[many]) ** 2 / expected[many])
    assert stats.chi2.sf(chi_squared, many.sum() - 1) > 1e-3
    rest = expected[~many].sum()
    assert found[~many].sum() == pytest.approx(rest, abs=5.0 * np.sqrt(rest) + 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_draws_are_a_function_of_the_seed(name: str) -> None:
    density = DENSITIES[name]
    first, again, other = (density.sample(50, seed=(seed, 1)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_moons_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import make_moons

    points, _ = make_moons(20_000, noise=0.1, random_state=1)
    draws = DENSITIES["moons"].sample(20_000, seed=(1, 2)).numpy()
    for axis in (0, 1):
        assert stats.ks_2samp(points[:, axis], draws[:, axis]).pvalue > 1e-3
    found = DENSITIES["moons"].log_prob(points.astype(np.float32)).numpy()
    assert -found.mean() == pytest.approx(1.007585, abs=4.0 * found.std() / np.sqrt(len(found)))


def test_eight_modes_are_where_the_paper_has_them() -> None:
    centres = {(2.4142, 1.0), (1.0, 2.4142)}
    everywhere = {
        (sign * a, other * b) for a, b in centres for sign in (-1, 1) for other in (-1, 1)
    }
    found = {(round(float(a), 4), round(float(b), 4)) for a, b in DENSITIES["8 modes"].centres}
    assert found == everywhere


def test_outside_the_board_there_is_nothing() -> None:
    # Beside it, and on a light square.
    outside = tf.constant([[4.1, 4.1], [-5.0, 1.0], [1.0, -1.0]])
    assert np.isneginf(DENSITIES["checkerboard"].log_prob(outside)).all()
