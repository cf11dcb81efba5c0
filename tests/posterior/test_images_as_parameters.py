"""Parameters that are images, from data that are images: the same posterior, with maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.flows import InvertibleFlow, image
from bayesinn.summaries import ConvImage

tfd = tfp.distributions
OPTIMIZATION = bi.Optimization(xla=False)


def colours(rows: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    grey = generator.uniform(size=(rows, 4, 4, 1))
    noise = 0.1 * generator.normal(size=(rows, 4, 4, 2))
    return {
        "colour": (grey * generator.choice([-1.0, 1.0], (rows, 1, 1, 2)) + noise).astype("f4"),
        "grey": grey.astype("f4"),
    }


def flow(reads: str | tuple[str, ...] = ("maps1", "maps2")) -> InvertibleFlow:
    return image(2, 1, (8,), mixing=None, finished=0.75, shape=(4, 4, 2), reads=reads, dense=1)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return colours(128)


@pytest.fixture(scope="module")
def model(arrays: dict[str, np.ndarray]) -> bi.Simulator:
    return bi.from_arrays({"colour": bi.Samples(arrays["colour"], noise=0.1)}, arrays)


@pytest.fixture(scope="module")
def posterior(model: bi.Simulator, arrays: dict[str, np.ndarray]) -> bi.AmortizedPosterior:
    new = bi.AmortizedPosterior(model, ConvImage(4, filters=(8, 8), maps=6), flow(), networks=1)
    return new.fit(
        arrays, steps=2, batch_size=32, seed=1, optimization=OPTIMIZATION, progress=False
    )


def test_draws_have_the_shape_of_images(
    posterior: bi.AmortizedPosterior, arrays: dict[str, np.ndarray]
) -> None:
    data = {"grey": arrays["grey"][:3]}
    draws = posterior.sample(data, draws=5, seed=1)
    assert draws["colour"].shape == (3, 5, 4, 4, 2)
    assert posterior.log_prob(draws, data).shape == (3, 5)


def test_density_is_that_of_the_change_of_variables(
    posterior: bi.AmortizedPosterior, arrays: dict[str, np.ndarray]
) -> None:
    one = {name: value[:1].astype(float) for name, value in arrays.items()}
    # Each of the 32 elements moved up and down: a Jacobian without any log-determinant of ours.
    step = 1e-2
    moves = step * np.eye(32).reshape(32, 4, 4, 2)
    around = np.concatenate([one["colour"] + moves, one["colour"] - moves, one["colour"]])
    given = posterior.given({"grey": np.repeat(one["grey"], 65, axis=0)})
    codes = given.encode({"colour": around.astype("f4")}, 0).astype(float)
    jacobian = (codes[:32] - codes[32:64]) / (2.0 * step)
    expected = np.linalg.slogdet(jacobian)[1] - 0.5 * np.sum(codes[64] ** 2 + np.log(2 * np.pi))
    found = posterior.log_prob({"colour": one["colour"]}, {"grey": one["grey"]})
    assert float(found[0]) == pytest.approx(expected, abs=0.02)
    back = posterior.given({"grey": one["grey"]}).decode(codes[64:].astype("f4"))["colour"]
    np.testing.assert_allclose(back, one["colour"], atol=1e-4)


def test_all_maps_move_the_density(
    posterior: bi.AmortizedPosterior, arrays: dict[str, np.ndarray]
) -> None:
    # Two steps have moved the last layers away from zero, so that what they read matters.
    network = posterior.model.network
    batch = {name: tf.constant(value[:2]) for name, value in arrays.items()}
    (vector, inputs, masks), _ = posterior.model.prepare(batch, tf.constant([0, 0]))
    condition = network.condition(inputs, masks)
    assert {name: value.shape[1:] for name, value in condition.items()} == {
        "features": (4,),
        "maps1": (2, 2, 6),
        "maps2": (1, 1, 6),
    }
    density = network.flow.log_prob(vector, condition).numpy()
    for name, value in condition.items():
        changed = network.flow.log_prob(vector, {**condition, name: value + 1.0}).numpy()
        assert (changed != density).all(), name


def test_saved_and_loaded(
    posterior: bi.AmortizedPosterior,
    model: bi.Simulator,
    arrays: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    loaded = bi.load(posterior.save(tmp_path / "colours"), simulator=model)
    data = {"grey": arrays["grey"][:2]}
    np.testing.assert_array_equal(
        loaded.sample(data, draws=3, seed=1)["colour"],
        posterior.sample(data, draws=3, seed=1)["colour"],
    )


def test_channels_of_images_are_standardised_alike(posterior: bi.AmortizedPosterior) -> None:
    for values in (posterior.model.parameters.mean, posterior.model.parameters.scale):
        pixels = values.reshape(16, 2)
        assert (pixels == pixels[0]).all()
        assert pixels[0, 0] != pixels[0, 1]


def test_simulator_of_images_draws_its_prior_from_a_data_set(
    arrays: dict[str, np.ndarray],
) -> None:
    @bi.simulator(prior={"colour": bi.Samples(arrays["colour"], noise=0.05)})
    def noisy(parameters, seed):
        colour = parameters["colour"]
        noise = tf.random.stateless_normal(tf.shape(colour), seed, alg="philox")
        return {"seen": colour + 0.2 * noise}

    posterior = bi.AmortizedPosterior(noisy, ConvImage(4, filters=(8, 8), maps=6), flow())
    posterior.fit(steps=2, batch_size=16, seed=1, optimization=OPTIMIZATION, progress=False)
    seen = noisy.sample(2, seed=3)["seen"]
    assert posterior.sample({"seen": seen}, draws=3, seed=1)["colour"].shape == (2, 3, 4, 4, 2)


def test_samples_are_rows_with_noise() -> None:
    rows = np.array([[0.0, 0.0], [3.0, 1.0]])
    prior = bi.Samples(rows, noise=0.1)
    drawn = prior.sample(4_000, seed=1).numpy()
    nearest = np.linalg.norm(drawn[:, None] - rows, axis=2).argmin(axis=1)
    assert 0.45 < nearest.mean() < 0.55
    np.testing.assert_allclose((drawn - rows[nearest]).std(axis=0), 0.1, rtol=0.05)
    points = np.stack([rows[0] + [0.1, 0.0], rows[1]])[None]
    heights = 0.5 / (2.0 * np.pi * 0.1**2) * np.array([[np.exp(-0.5), 1.0]])
    np.testing.assert_allclose(prior.prob(points.astype("f4")), heights, rtol=1e-4)


def test_training_and_densities_ask_for_no_density_of_the_data_set(
    posterior: bi.AmortizedPosterior,
    arrays: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # For each row it is as much work as the data set is large: 12 GB for 138,000 rows of 5,000.
    monkeypatch.setattr(bi.Samples, "_log_prob", None)
    space = posterior.model.parameters
    values = {"colour": arrays["colour"][:2].copy()}
    values["colour"][1, 0, 0, 0] = np.nan
    assert space.possible(values).numpy().tolist() == [True, False]


def test_samples_with_missing_values_are_refused() -> None:
    with pytest.raises(InputError, match="not all finite"):
        bi.Samples([[1.0, np.nan]], noise=0.1)
    with pytest.raises(InputError, match="'noise'"):
        bi.Samples([[1.0, 2.0]], noise=0.0)


def test_maps_of_another_resolution_are_refused(
    model: bi.Simulator, arrays: dict[str, np.ndarray]
) -> None:
    posterior = bi.AmortizedPosterior(
        model, ConvImage(4, filters=(8, 8), maps=6), flow(("maps2", "maps1")), networks=1
    )
    with pytest.raises(InputError, match="maps of the size"):
        posterior.fit(arrays, steps=1, batch_size=8, optimization=OPTIMIZATION, progress=False)


@pytest.mark.parametrize("dense", [0, 1])
def test_a_flow_of_maps_alone_is_refused_where_it_would_ignore_context(dense: int) -> None:
    @bi.simulator(
        prior={"picture": tfd.Sample(tfd.Normal(0.0, 1.0), (4, 4, 1))},
        context={"noise": tfd.Uniform(0.1, 3.0)},
    )
    def camera(parameters, context, seed):
        picture = parameters["picture"]
        noise = context["noise"][:, None, None, None]
        return {"seen": picture + noise * tf.random.stateless_normal(tf.shape(picture), seed)}

    posterior = bi.AmortizedPosterior(
        camera,
        ConvImage(4, filters=(8, 8), maps=4),
        image(2, 1, (8,), shape=(4, 4, 1), reads=("maps1", "maps2"), dense=dense),
    )
    options = {"steps": 1, "batch_size": 16, "seed": 1, "progress": False}
    if dense:
        posterior.fit(optimization=OPTIMIZATION, **options)
        return
    with pytest.raises(InputError, match=r"(?s)would not depend on noise.*dense=2"):
        posterior.fit(optimization=OPTIMIZATION, **options)
