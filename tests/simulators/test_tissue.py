"""The tissue model: optics and cameras against tabulated values, and the simulator as a whole."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import constants

from bayesinn.core.errors import InputError
from bayesinn.simulators import tissue as module
from bayesinn.simulators.adding_doubling import reflectance
from bayesinn.simulators.tissue import (
    TissueOptions,
    absorption,
    observe,
    reduced_scattering,
    spectra,
)
from bayesinn.simulators.tissue_camera import CAMERAS, bands, lamp, normalise

RAW = TissueOptions(normalisation="none")


def reference(*s_o2):
    """The tissue of the tabulated spectra."""
    values = {"v_hb": 0.05, "a_mie": 18.9, "g": 0.875}
    parameters = {
        f"{name}{layer}": value for name, value in values.items() for layer in module.LAYERS
    }
    parameters |= {f"d{layer}": np.mean(module.THICKNESSES[layer - 1]) for layer in module.LAYERS}
    return {"s_O2": tf.constant(s_o2)} | {
        name: tf.fill(len(s_o2), float(value)) for name, value in parameters.items()
    }


@pytest.fixture(scope="module")
def fine() -> tuple[np.ndarray, np.ndarray]:
    """Spectra for s_O2 = 0, 0.7 and 1 in steps of 1 nm."""
    wavelengths = np.arange(440.0, 721.0)
    return wavelengths, spectra(reference(0.0, 0.7, 1.0), wavelengths).numpy()


def test_absorption_has_the_tabulated_values() -> None:
    wavelengths = np.array([450.0, 500.0, 545.0, 560.0, 577.0, 600.0, 650.0, 700.0])
    half = [17.78967, 4.47610, 10.86713, 9.25331, 10.11143, 1.91459, 0.44104, 0.22322]
    full = [13.45481, 4.48368, 10.92004, 6.98555, 11.80937, 0.68542, 0.07882, 0.06212]
    found = absorption(wavelengths, tf.constant([0.5, 1.0]), tf.constant([0.05, 0.05]))
    np.testing.assert_allclose(found, [half, full], atol=6e-6)
    more = absorption(wavelengths[3:4], tf.constant(0.5), tf.constant(0.05), c_hb=150.0)
    np.testing.assert_allclose(more, [11.56663], rtol=1e-5)


@pytest.mark.parametrize("isosbestic", [452.4, 500.1, 529.2, 545.3, 570.2, 584.1])
def test_oxygenation_does_not_show_at_isosbestic_points(isosbestic) -> None:
    near = absorption(
        np.array([isosbestic - 0.3, isosbestic + 0.3]),
        tf.constant([0.0, 1.0]),
        tf.constant([0.05, 0.05]),
    )
    before, after = (near[1] - near[0]).numpy()
    assert before * after < 0.0


def test_scattering_has_the_tabulated_values() -> None:
    wavelengths = np.array([450.0, 500.0, 545.0, 577.0, 600.0, 650.0, 700.0])
    expected = [21.64243, 18.9, 16.91731, 15.72046, 14.94978, 13.48748, 12.26143]
    np.testing.assert_allclose(
        reduced_scattering(wavelengths, tf.constant(18.9)), expected, rtol=1e-6
    )
    rayleigh = reduced_scattering(wavelengths, tf.constant(0.0), a_ray=10.0).numpy()
    np.testing.assert_allclose(rayleigh, 10.0 * (wavelengths / 500.0) ** -4, rtol=1e-6)


def test_spectra_have_the_tabulated_values(fine) -> None:
    """Of iadpython with 16 streams and one index in all layers."""
    expected = [
        [0.1910, 0.2014, 0.1203, 0.0537, 0.0755, 0.1633, 0.3466, 0.3956],
        [0.1248, 0.1439, 0.1400, 0.0751, 0.0602, 0.2702, 0.4418, 0.4558],
        [0.1080, 0.1277, 0.1503, 0.0893, 0.0552, 0.3682, 0.4993, 0.4871],
    ]
    wavelengths, found = fine
    at = np.searchsorted(wavelengths, [470, 480, 511, 560, 580, 600, 660, 700])
    # Measured: 0.4 % at most.
    np.testing.assert_allclose(found[:, at], expected, rtol=0.006)


def test_bands_have_the_tabulated_values(fine) -> None:
    """Means over a 2 nm grid in each band, of iadpython with 8 streams, up to 0.9 % high."""
    expected = [
        [0.1857, 0.1955, 0.1217, 0.0568, 0.0772, 0.1577, 0.3470, 0.3966],
        [0.1240, 0.1415, 0.1381, 0.0714, 0.0777, 0.2543, 0.4420, 0.4564],
        [0.1079, 0.1263, 0.1467, 0.0803, 0.0802, 0.3395, 0.4994, 0.4875],
    ]
    wavelengths, found = fine
    camera = bands()
    even = wavelengths % 2 == 0
    inside = even & (np.abs(wavelengths - camera.centres[:, None]) <= camera.widths[:, None] / 2.0)
    np.testing.assert_allclose(
        found @ (inside / inside.sum(axis=1, keepdims=True)).T, expected, rtol=0.015
    )


@pytest.mark.parametrize("camera", ["spectrocam8", "ideal27"])
def test_bands_are_integrals_of_the_spectrum(fine, camera) -> None:
    wavelengths, found = fine
    options = TissueOptions(camera=camera, normalisation="none")
    measured = observe(
        spectra(reference(0.0, 0.7, 1.0), options.bands.wavelengths, options), options
    )
    steps = np.arange(440.0, 720.0, 0.05) + 0.025
    inside = np.abs(steps - options.bands.centres[:, None]) < options.bands.widths[:, None] / 2.0
    spectrum = np.array([np.interp(steps, wavelengths, each) for each in found])
    # Measured: at most 0.6 % for 8 bands; 1.4 % for 27, at 450 nm, where the table of extinctions
    # is rough.
    np.testing.assert_allclose(
        measured, spectrum @ (inside / inside.sum(axis=1, keepdims=True)).T, rtol=0.02
    )


def test_features_have_the_tabulated_values() -> None:
    found = observe(
        spectra(reference(0.7), RAW.bands.wavelengths), TissueOptions(normalisation="l1_log_l2")
    ).numpy()[0]
    # That of 580 nm depends on how the edge at 590 nm is treated; see the test of the bands.
    expected = [0.3857, 0.3663, 0.3698, 0.4670, 0.4545, 0.2801, 0.1987, 0.1940]
    np.testing.assert_allclose(found, expected, rtol=0.015)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-6)


def test_a_top_hat_stands_for_the_measured_filter(fine) -> None:
    wavelengths, found = fine
    filtered, ideal = (
        np.interp(bands(name).wavelengths, wavelengths, found[1])
        for name in ("filter700", "spectrocam8")
    )
    # The measured filter's centroid is at 698.3 nm.
    assert float(bands("filter700").weights @ filtered) == pytest.approx(
        float(bands().weights[-1] @ ideal), rel=0.01
    )


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("lamp", ["flat", "halogen", "xenon"])
def test_a_white_target_is_one_in_each_band(camera, lamp) -> None:
    found = bands(camera, lamp)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0, atol=1e-9)
    assert (np.diff(found.centres) > 0.0).all()


@pytest.mark.parametrize(("name", "temperature"), [("halogen", 3200.0), ("xenon", 6000.0)])
def test_lamps_are_black_bodies(name: str, temperature: float) -> None:
    # At both ends of the fine grid; h c / k from the constants of nature, in nm K.
    found = lamp(name)
    ends = np.array([400.05, 749.95])
    quantum = 1e9 * constants.h * constants.c / constants.k
    expected = ends**-5.0 / np.expm1(quantum / (ends * temperature))
    assert found[0] / found[-1] == pytest.approx(expected[0] / expected[1], rel=1e-6)


def test_noise_is_proportional() -> None:
    reflected = tf.fill((20_000, len(RAW.bands.wavelengths)), 0.3)
    for photon_budget, sd in ((False, [0.1] * 8), (True, [0.1] * 7 + [0.1 * np.sqrt(20.0 / 18.3)])):
        options = TissueOptions(normalisation="none", photon_budget=photon_budget)
        values = observe(reflected, options, tf.constant((1, 2))).numpy() / 0.3
        # Four standard errors.
        np.testing.assert_allclose(values.std(axis=0), sd, rtol=4.0 / np.sqrt(40_000))
        np.testing.assert_allclose(values.mean(axis=0), 1.0, atol=4.0 * 0.11 / np.sqrt(20_000))


@pytest.mark.parametrize("normalisation", ["l1", "l1_log", "l1_log_l2"])
def test_distance_does_not_change_what_is_normalised(normalisation) -> None:
    values = tf.random.stateless_uniform((20, 8), (1, 2), 0.05, 0.4)
    np.testing.assert_allclose(
        normalise(values, normalisation), normalise(1.7 * values, normalisation), rtol=2e-6
    )


def test_light_that_gets_through_is_lost_in_air_alone() -> None:
    red = np.array([700.0])
    air, tissue = (
        spectra(reference(0.7), red, TissueOptions(bottom=bottom))
        for bottom in ("air", "semi_infinite")
    )
    assert tissue > 1.01 * air


def test_simulator_compiles_as_a_whole() -> None:
    draws = module.tissue.sample(6, seed=1)
    parameters = {name: tf.constant(draws[name]) for name in module.NAMES}
    whole = tf.function(module.tissue.function, jit_compile=True, autograph=False)(
        parameters, tf.constant((1, 2))
    )
    assert np.isfinite(whole["bands"]).all()
    reflected = spectra(parameters, RAW.bands.wavelengths)
    # The noise of XLA is another one.
    np.testing.assert_allclose(np.exp(-whole["bands"]).sum(axis=1), 1.0, rtol=1e-5)
    assert np.abs(whole["bands"] - observe(reflected)).mean() < 0.15


def test_prior_is_as_published() -> None:
    assert tuple(module.tissue.prior.names) == module.NAMES
    assert len(module.NAMES) == 13
    clipped = module.prior(clipped=True)["a_mie1"]
    assert float(clipped.cdf(0.0)) == pytest.approx(0.032, abs=0.001)


def test_photons_agree_with_adding_doubling() -> None:
    pytest.importorskip("bayesinn.simulators.tissue_mc")
    wavelengths = np.array([470.0, 560.0, 700.0])
    counted = spectra(
        reference(0.2, 0.9), wavelengths, TissueOptions(engine="monte-carlo", photons=100_000)
    )
    # Standard errors are 0.001.
    np.testing.assert_allclose(counted, spectra(reference(0.2, 0.9), wavelengths), atol=0.004)


def test_variants_are_created_when_asked_for() -> None:
    assert module.tissue_3.observable_shapes == {"bands": (3,)}
    with pytest.raises(AttributeError, match="tissue_4"):
        _ = module.tissue_4


def test_unknown_options_are_refused() -> None:
    with pytest.raises(InputError, match="camera"):
        TissueOptions(camera="eye")
    with pytest.raises(InputError, match="snr"):
        TissueOptions(snr=0.0)
    with pytest.raises(InputError, match="Normalisation"):
        normalise(tf.ones((1, 8)), "l3")


def test_observed_data_are_those_of_the_reference() -> None:
    found = observe(spectra(reference(0.7), RAW.bands.wavelengths)).numpy()[0]
    np.testing.assert_allclose(module.tissue.observed["bands"], found, atol=0.05)


def different(layers=(0, 1, 2)):
    """One tissue of three layers that differ in everything, in a given order from the camera on."""
    values = {
        "v_hb": (0.09, 0.05, 0.02),
        "a_mie": (8.0, 18.0, 30.0),
        "g": (0.82, 0.88, 0.94),
        "d": (600.0, 450.0, 550.0),
    }
    parameters = {
        f"{name}{place}": tf.constant([each[layer]])
        for name, each in values.items()
        for place, layer in enumerate(layers, 1)
    }
    return {"s_O2": tf.constant([0.6]), **parameters}


def solved(parameters, wavelength, **settings):
    """Adding-doubling for one tissue at one wavelength, the first layer on top."""
    v_hb, a_mie, g, d = (
        tf.concat([parameters[f"{name}{layer}"] for layer in (1, 2, 3)], axis=0)
        for name in ("v_hb", "a_mie", "g", "d")
    )
    mu_a = absorption(wavelength, parameters["s_O2"], v_hb)[:, 0]
    mu_s = reduced_scattering(wavelength, a_mie)[:, 0] / (1.0 - g)
    return reflectance(mu_a, mu_s, g, d * 1e-4, (1.36, 1.36, 1.38), **settings)[0]


def test_the_first_layer_faces_the_camera() -> None:
    green = np.array([560.0])
    found = float(spectra(different(), green)[0, 0])
    assert found == pytest.approx(float(solved(different(), green)), rel=1e-5)
    # Upside down it reflects many times as much.
    assert float(solved(different((2, 1, 0)), green)) > 2.0 * found
    lowest = {name: float(law.low) for name, law in module.prior().items() if name.startswith("d")}
    assert lowest == {"d1": 600.0, "d2": 415.0, "d3": 395.0}


def test_twice_the_haemoglobin_absorbs_twice_as_much() -> None:
    red = np.array([660.0])
    more_blood = {
        name: 2.0 * value if name.startswith("v_hb") else value
        for name, value in different().items()
    }
    found = spectra(different(), red, TissueOptions(c_hb=240.0))
    np.testing.assert_allclose(found, spectra(more_blood, red), rtol=1e-5)


def test_an_endless_layer_is_one_of_20_cm() -> None:
    red = np.array([700.0])
    thick = {**different(), "d3": tf.constant([20.0e4])}
    found = float(spectra(different(), red, TissueOptions(bottom="semi_infinite"))[0, 0])
    assert found == pytest.approx(float(solved(thick, red, doublings=11)), rel=1e-5)


def test_band_values_are_clipped() -> None:
    np.testing.assert_allclose(normalise(tf.constant([1.5, 0.2, -0.1]), "none"), [1.0, 0.2, 1e-5])
