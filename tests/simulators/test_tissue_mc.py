"""Monte Carlo light transport against published values, exact laws, and MCML in plain NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.simulators import tissue_mc
from bayesinn.simulators.tissue_mc import Light, monte_carlo
from tests.helpers import mcml

THREE_LAYERS = {
    "mu_a": [1.0, 1.0, 2.0], "mu_s": [100.0, 10.0, 10.0], "g": [0.9, 0.0, 0.7], "n": [1.37] * 3,
    "thickness": [0.1, 0.1, 0.2],
}  # fmt: skip
COLON = {
    "mu_a": [2.97564, 11.90256, 7.4391], "mu_s": [163.36816, 43.21909, 518.62909], "g": [0.9, 0.8, 0.95],
    "n": [1.36] * 3, "thickness": [0.0805, 0.05, 0.05],
}  # fmt: skip
STEPPED = {**COLON, "n": [1.36, 1.45, 1.38]}


def run(*properties: object, **given: object) -> Light:
    """Monte Carlo in NumPy arrays."""
    return Light(*(value.numpy() for value in monte_carlo(*properties, **given)))


def stacked(*systems: dict[str, list[float]]) -> dict[str, np.ndarray]:
    """The properties of several systems, (systems, layers)."""
    return {name: np.array([system[name] for system in systems]) for name in systems[0]}


def layers_of(system: dict[str, list[float]]) -> list[mcml.Layer]:
    return list(
        zip(*(system[name] for name in ("n", "mu_a", "mu_s", "g", "thickness")), strict=True)
    )


def check(
    found: np.ndarray, error: np.ndarray, expected: object, expected_error: object = 0.0
) -> None:
    """Check deviations within three standard errors, the reference's Monte Carlo error included."""
    deviation = (found - np.array(expected)) / np.hypot(error, expected_error)
    assert np.all(np.abs(deviation) < 3.0), deviation


def test_published_slab_and_half_space() -> None:
    slab = {"mu_a": [10.0], "mu_s": [90.0], "g": [0.75], "n": [1.0], "thickness": [0.02]}
    half_space = {"mu_a": [10.0], "mu_s": [90.0], "g": [0.0], "n": [1.5], "thickness": [math.inf]}
    light = run(**stacked(slab, half_space), photons=1_000_000, seed=1)
    # Van de Hulst (1980) and Giovanelli (1955), as quoted by the manual of MCML; the latter counts
    # the specular part.
    check(light.specular + light.diffuse, light.diffuse_error, [0.09739, 0.2600], [0.0, 0.00005])
    check(light.transmitted[0], light.transmitted_error[0], 0.66096)
    np.testing.assert_allclose(light.specular, [0.0, 0.04], rtol=1e-5)
    assert light.transmitted[1] == 0.0
    assert np.all(light.diffuse_error < 0.0004)


def test_published_layers() -> None:
    light = run(**stacked(THREE_LAYERS, COLON, STEPPED), photons=1_000_000, seed=1)
    # MCML's sample output with its own errors; adding-doubling with 32 streams; MCML in NumPy with
    # 2.8 million packets.
    check(light.diffuse, light.diffuse_error, [0.237544, 0.15289, 0.1514], [0.00031, 0.0, 0.0002])
    check(
        light.transmitted,
        light.transmitted_error,
        [0.0964896, 0.02447, 0.0241],
        [0.00019, 0.0, 0.0001],
    )
    check(
        light.absorbed[0],
        np.hypot(light.diffuse_error, light.transmitted_error)[0],
        0.641594,
        0.00029,
    )
    assert light.specular[0] == pytest.approx(0.0243729, rel=1e-5)


@pytest.mark.parametrize(("numpy", "packets"), [(mcml.by_photon, 2_000), (mcml.by_arrays, 50_000)])
def test_plain_numpy(numpy, packets) -> None:
    plain = numpy(layers_of(STEPPED), packets, 1)
    light = run(**STEPPED, photons=200_000, seed=2)
    deviation = 0.31 / math.sqrt(packets)  # of one packet 0.31 at most
    check(light.diffuse, light.diffuse_error, plain.diffuse, deviation)
    check(light.transmitted, light.transmitted_error, plain.transmitted, deviation)
    # The absorbed part is counted at each collision there, and is what is left over here.
    check(light.absorbed, light.diffuse_error, plain.absorbed.sum(), deviation)
    whole = (
        mcml.specular(layers_of(STEPPED)) + plain.diffuse + plain.transmitted + plain.absorbed.sum()
    )
    assert whole == pytest.approx(1.0, abs=1e-5)


def test_no_absorption_loses_no_light() -> None:
    clear = {**STEPPED, "mu_a": [0.0, 0.0, 0.0]}
    light = run(**clear, photons=20_000, seed=1)
    assert light.specular + light.diffuse + light.transmitted == pytest.approx(1.0, abs=1e-6)


def test_no_scattering_is_beer_and_lambert() -> None:
    mu_a = np.array([3.0, 0.0, 7.0])
    thickness = np.array([0.1, 0.2, 0.3])
    light = run(mu_a, [0.0], [0.0], [1.0], thickness, photons=100, seed=1)
    assert light.transmitted == pytest.approx(math.exp(-np.sum(mu_a * thickness)), rel=1e-5)
    assert (light.diffuse, light.transmitted_error) == (0.0, pytest.approx(0.0, abs=1e-6))


def test_little_light_that_gets_through_is_counted_in_full() -> None:
    # It hardly turns, in 100 collisions on average: on the way its weight falls below the limit of
    # roulette, 1e-4.
    light = run([10.0], [100.0], [0.999999], [1.0], [1.0], photons=20_000, seed=1)
    check(light.transmitted, light.transmitted_error, math.exp(-10.0))
    assert light.transmitted_error < 0.05 * light.transmitted


def test_slab_in_glass_reflects_at_both_sides() -> None:
    light = run([0.0], [0.0], [0.0], [1.5], [0.1], photons=100_000, seed=1)
    # The sum over all passes: 0.04 at the first surface, then 0.96 * 0.04 / 1.04 back through it.
    check(light.diffuse, light.diffuse_error, 0.96 * 0.04 / 1.04)
    index_matched = run(
        [0.0], [0.0], [0.0], [1.5], [0.1], photons=100, seed=1, n_above=1.5, n_below=1.5
    )
    assert (index_matched.specular, index_matched.transmitted) == (0.0, 1.0)


def test_layers_of_one_material_are_one_layer() -> None:
    one = run([1.0], [50.0], [0.8], [1.4], [0.1], photons=200_000, seed=1)
    three = run([1.0] * 3, [50.0], [0.8], [1.4], [0.01, 0.04, 0.05], photons=200_000, seed=2)
    check(one.diffuse, one.diffuse_error, three.diffuse, three.diffuse_error)
    check(one.transmitted, one.transmitted_error, three.transmitted, three.transmitted_error)


def test_standard_errors_are_those_of_repetitions() -> None:
    copies = {name: np.tile(values, (400, 1)) for name, values in COLON.items()}
    light = run(**copies, photons=500, seed=1)
    for values, errors in (
        (light.diffuse, light.diffuse_error),
        (light.transmitted, light.transmitted_error),
    ):
        # The standard deviation of 400 values has a standard error of 3.5 %.
        assert np.std(values) == pytest.approx(np.mean(errors), rel=0.12)
        # Systems have packets of their own.
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.2


def test_absorptions_share_packets() -> None:
    mu_a = np.array([0.5, 1.0, 4.0])[:, None, None] * np.array(COLON["mu_a"])
    scattering = np.array([[1.0], [0.5]]) * np.array(COLON["mu_s"])
    common = {**COLON, "mu_s": scattering}
    shared = run(**{**common, "mu_a": mu_a}, photons=20_000, seed=1)
    assert shared.diffuse.shape == (3, 2)
    for number, each in enumerate(mu_a):
        # The same packets, but for those of the smallest weights: they meet roulette at other
        # steps.
        alone = run(**{**common, "mu_a": each[0]}, photons=20_000, seed=1)
        np.testing.assert_allclose(
            shared.diffuse[number], alone.diffuse, atol=4.0 * alone.diffuse_error.max()
        )
    assert np.all(np.diff(shared.diffuse, axis=0) < 0.0)


def test_axes_of_absorption_may_stand_anywhere() -> None:
    mu_a = np.linspace(1.0, 18.0, 18).reshape(2, 3, 3)
    mu_s = np.array([[50.0] * 3, [80.0] * 3])
    common = {**COLON, "photons": 5_000, "seed": 1}
    last = run(**{**common, "mu_a": mu_a, "mu_s": mu_s[:, None]})
    first = run(**{**common, "mu_a": np.swapaxes(mu_a, 0, 1), "mu_s": mu_s})
    assert (last.diffuse.shape, first.diffuse.shape) == ((2, 3), (3, 2))
    for value, transposed in zip(last, first, strict=True):
        np.testing.assert_array_equal(value, transposed.T)
    assert np.all(np.diff(last.diffuse, axis=1) < 0.0)
    assert np.all(last.diffuse[1, 0] != last.diffuse[0])


def test_seed_decides_and_workers_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tissue_mc, "BATCH", 2_000)
    first, again, other = (
        run(**COLON, photons=9_001, seed=seed, workers=workers)
        for seed, workers in ((1, 1), (1, 2), (2, 1))
    )
    for value, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(value, same)
    assert first.diffuse != other.diffuse
    check(first.diffuse, first.diffuse_error, other.diffuse, other.diffuse_error)


def test_progress_counts_all_photons(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []

    class Recorded(tissue_mc.Progress):
        def update(self, done: int | None = None, text: str = "") -> None:
            counts.append(done)
            super().update(done, text)

    monkeypatch.setattr(tissue_mc, "BATCH", 1_000)
    monkeypatch.setattr(tissue_mc, "Progress", Recorded)
    run(**stacked(COLON, STEPPED), photons=1_501, seed=1)
    assert counts == [750, 1500, 2250, 3002]


def test_xla_and_the_plain_graph_follow_the_same_paths() -> None:
    def simulated() -> Light:
        return run(**STEPPED, photons=1_000, seed=tf.constant([1, 2]))

    fused = simulated()
    plain = tf.function(tissue_mc.simulate.python_function, autograph=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tissue_mc, "simulate", plain)
        graph = simulated()
    # The same random numbers; rounding may send single packets elsewhere.
    np.testing.assert_allclose(fused.diffuse, graph.diffuse, atol=0.005)
    np.testing.assert_allclose(fused.transmitted, graph.transmitted, atol=0.005)


def test_part_of_a_compiled_program_for_any_number_of_tissues() -> None:
    rest = {name: value for name, value in COLON.items() if name not in ("mu_a", "mu_s")}
    mu_a = np.outer([1.0, 2.0], COLON["mu_a"]).astype(np.float32)
    mu_s = np.outer([1.0, 0.5], COLON["mu_s"]).astype(np.float32)
    tissues = tf.TensorSpec((None, 3), tf.float32)

    @tf.function(
        jit_compile=True,
        autograph=False,
        input_signature=(tissues, tissues, tf.TensorSpec((2,), tf.int32)),
    )
    def spectrum(mu_a: tf.Tensor, mu_s: tf.Tensor, seed: tf.Tensor) -> Light:
        return monte_carlo(mu_a, mu_s, **rest, photons=5_000, seed=seed)

    seed = tf.constant([3, 4])
    inside = spectrum(mu_a, mu_s, seed)
    outside = run(mu_a, mu_s, **rest, photons=5_000, seed=seed)
    np.testing.assert_allclose(inside.diffuse, outside.diffuse, atol=0.002)
    np.testing.assert_allclose(inside.transmitted_error, outside.transmitted_error, rtol=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mu_a": [-1.0]}, "'mu_a'.*0 or more"),
        ({"mu_s": [math.nan]}, "'mu_s'.*finite"),
        ({"g": [1.0]}, "'g'.*between -1 and 1"),
        ({"n": [0.0]}, "'n'.*positive"),
        ({"thickness": [0.0]}, "'thickness'.*positive"),
        ({"thickness": [math.inf, 0.1]}, "'thickness'.*last"),
        ({"thickness": [math.inf], "mu_a": [0.0]}, "'thickness of the last layer'.*never end"),
        ({"photons": 0}, "'photons'.*one"),
    ],
)
def test_impossible_properties_are_refused(change, message) -> None:
    given = {
        "mu_a": [1.0],
        "mu_s": [10.0],
        "g": [0.5],
        "n": [1.4],
        "thickness": [0.1],
        "photons": 10,
        "seed": 1,
    }
    with pytest.raises(InputError, match=f"(?s){message}"):
        monte_carlo(**{**given, **change})
