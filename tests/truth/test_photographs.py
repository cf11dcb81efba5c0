"""What studies of photographs are made of: their bijections, their colours, their baseline."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from bayesinn.testing import check_bijection
from tests.conftest import ROOT


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch):
    """Import a file of a study, as its scripts do."""

    def imported(folder: str, name: str) -> ModuleType:
        monkeypatch.syspath_prepend(str(ROOT / "paper_results" / folder))
        return importlib.import_module(name)

    return imported


def test_bijections_of_the_flow_from_coarse_to_fine(study) -> None:
    wavelets = study("image_densities", "wavelets")
    alone = {"condition_dimensions": (0,), "event_shape": (2, 2, 3)}
    check_bijection(wavelets.Opponent, **alone)
    details = {"condition_dimensions": (0,), "event_shape": (2, 2, 4)}
    check_bijection(lambda: wavelets.Details(blocks=1, filters=4, maps=3), **details)


def test_brightness_and_colours_make_the_picture_again(study) -> None:
    photographs = study("colorization", "photographs")
    blocks = np.random.default_rng(1).integers(60, 200, size=(3, 16, 16, 3))
    pictures = blocks.repeat(2, axis=1).repeat(2, axis=2)
    # Blocks of one brightness lose no colour; a step of brightness stays where it is.
    pictures[:, 5] = 0
    data = photographs.coloured(pictures, seed=2)
    again = photographs.shown(data["grey"], data["colour"])
    away = np.delete(np.arange(32), (4, 5))
    np.testing.assert_allclose(again[:, away], (pictures[:, away] + 0.5) / 256, atol=0.01)
    assert again[:, 5].max() < 0.6 * again[:, 4].max()


def test_linear_gaussian_is_the_exact_conditional(study) -> None:
    rivals = study("colorization", "rivals")
    generator = np.random.default_rng(3)
    mixing = generator.normal(size=(7, 7))
    joint = generator.normal(size=(20_000, 7)) @ mixing.T
    given, unknown = np.split(joint.astype(np.float32), [4], axis=1)
    model = rivals.LinearGaussian.fit(given[:-50], unknown[:-50], given[-50:], unknown[-50:])
    covariance = mixing @ mixing.T
    both = stats.multivariate_normal(cov=covariance).logpdf(joint[:50])
    exact = both - stats.multivariate_normal(cov=covariance[:4, :4]).logpdf(joint[:50, :4])
    assert abs(np.mean(model.log_prob(given[:50], unknown[:50]) - exact)) < 0.03
    draws = model.sample(given[:1], 20_000, seed=4)[0]
    np.testing.assert_allclose(draws.mean(axis=0), model.mean(given[:1])[0], atol=0.1)
    np.testing.assert_allclose(np.cov(draws.T), model.factor @ model.factor.T, rtol=0.1, atol=0.05)
