"""Reference posteriors of the multispectral study: the noise law, and what weights make of tissues of the prior."""

import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import stats

from bayesinn.simulators import tissue
from bayesinn.simulators.tissue import TissueOptions
from docs.pages.links import ROOT

# The study's modules import each other by their plain names.
sys.path.insert(0, str(ROOT / "paper_results" / "multispectral"))
from bank import bank, draw_parameters, measured, reflectances
from reference import Reference, band_means, from_prior, log_likelihood

sys.path.pop(0)

STUDY = ROOT / "paper_results" / "multispectral"
COLOURS = TissueOptions(camera="gauss_rgb3")


def test_likelihood_is_a_density():
    means = np.array([[0.2, 0.1, 0.4], [0.05, 0.06, 0.07], [0.6, 0.5, 0.02]])
    cells = 400
    share = (np.arange(cells) + 0.5) / cells
    first, second = (grid.ravel() for grid in np.meshgrid(share, share))
    inside = first + second < 1.0
    shares = np.stack([first, second, 1.0 - first - second], axis=1)[inside]
    # Of the first two logarithms; the density of shares is larger by their slopes.
    density = np.exp(log_likelihood(-np.log(shares), means, COLOURS))
    density = density / np.prod(shares[:, :2], axis=1, keepdims=True)
    np.testing.assert_allclose(density.sum(axis=0) / cells**2, 1.0, rtol=2e-3)


def test_likelihood_of_tissues_is_that_of_their_band_values():
    options = TissueOptions()
    parameters = draw_parameters(3, 1)
    bands = measured(reflectances(parameters), options, 2)
    found = tissue.log_likelihood(
        {name: tf.constant(value) for name, value in parameters.items()},
        {"bands": tf.constant(bands[1])},
    )
    means = band_means(reflectances(parameters), options)
    np.testing.assert_allclose(found, log_likelihood(bands[1:2], means, options)[0], atol=1e-3)
    assert np.argmax(found) == 1


@pytest.mark.parametrize("camera", ["gauss_rgb3", "spectrocam8", "ideal27"])
def test_likelihood_integrates_brightness_out(camera):
    options = TissueOptions(camera=camera)
    generator = np.random.default_rng(1)
    k = len(options.bands.centres)
    means = generator.uniform(0.05, 0.5, k) * generator.uniform(0.9, 1.1, (2, k))
    bands = -np.log(means[:1] * (1.0 + 0.1 * generator.standard_normal(k)))
    t = np.linspace(0.3, 2.5, 20_001)
    values = np.exp(-bands[0])
    each = [stats.norm(mean, 0.1 * mean).logpdf(t[:, None] * values).sum(axis=1) for mean in means]
    direct = [np.log(np.sum(t ** (k - 1) * np.exp(one - one.max()))) + one.max() for one in each]
    found = log_likelihood(bands, means, options)[0]
    assert found[1] - found[0] == pytest.approx(direct[1] - direct[0], abs=1e-6)


def test_reference_holds_the_truth(tmp_path):
    parameters, found, _ = bank(4_000, 1, tmp_path)
    truth, spectra, _ = bank(200, 2, tmp_path)
    references = list(from_prior(parameters, found, measured(spectra, COLOURS, 3), COLOURS))
    assert np.median([one.effective_size for one in references]) > 100.0
    pairs = zip(references, truth["v_hb1"], strict=True)
    below = [one.weights @ (one.tissues["v_hb1"] < value) for one, value in pairs]
    # Uniform if the law of the noise is that of the camera; three bands tell something of blood.
    assert stats.kstest(below, "uniform").pvalue > 1e-3
    assert np.mean([one.sd("v_hb1") for one in references]) < 0.8 * parameters["v_hb1"].std()


def test_weights_are_as_good_as_repeated_draws():
    generator = np.random.default_rng(1)
    values = {"a": generator.normal(size=50), "b": generator.normal(size=50)}
    counts = generator.integers(0, 4, 50)
    weighted = Reference(values, counts / counts.sum())
    repeated = {name: np.repeat(value, counts) for name, value in values.items()}
    draws = generator.normal(size=30)
    assert weighted.mean("a") == pytest.approx(repeated["a"].mean())
    assert weighted.sd("a") == pytest.approx(repeated["a"].std())
    assert weighted.correlation("a", "b") == pytest.approx(
        np.corrcoef(repeated["a"], repeated["b"])[0, 1]
    )
    expected = stats.ks_2samp(draws, repeated["a"]).statistic
    assert weighted.distance("a", draws) == pytest.approx(expected)
    assert weighted.sample(20_000, 1)["b"].mean() == pytest.approx(repeated["b"].mean(), abs=0.05)


def test_what_sampling_alone_makes():
    generator = np.random.default_rng(1)
    parts = [{"a": generator.normal(size=400)} for _ in range(300)]
    found = [Reference(part, np.full(400, 1.0 / 400.0)) for part in parts]
    assert found[0].effective_size == pytest.approx(400.0)
    means = np.array([one.mean("a") for one in found])
    # Measured with three seeds: within 6 %; 4 % is one standard error.
    assert np.mean([one.error_of_mean("a") for one in found]) == pytest.approx(
        means.std(), rel=0.15
    )
    distances = [one.distance("a", generator.normal(size=200)) for one in found]
    assert np.mean(distances) == pytest.approx(found[0].distance_by_chance(200), rel=0.08)


def test_posteriors_of_all_cameras_are_near_exact():
    table = (
        pd.read_csv(STUDY / "against_references.csv")
        .query("parameter == 's_O2'")
        .set_index("bands")
    )
    assert sorted(table.index) == [3, 8, 27]
    assert (table["spectra"] >= 300).all()
    # 27 bands had 0.17 before they were decorrelated.
    assert (table["error beyond floor [sd]"] < 0.07).all()
    # References that share nothing but the law of the noise agree as far as their draws allow.
    assert (
        table["references apart [sd], rms"] < 2.0 * table["references apart by chance [sd], rms"]
    ).all()
