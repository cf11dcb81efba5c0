"""Growth rates and sizes of the Covid-19 model against the model, and their use in the summary."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.simulation.prior import Prior
from bayesinn.simulators.covid19_disease import compartments, daily_flows
from bayesinn.simulators.covid19_growth import growth_of, log_size, transmission_of
from bayesinn.simulators.covid19_options import LEAD_DAYS, Covid19Options
from bayesinn.simulators.covid19_prior import covid19_prior
from bayesinn.simulators.covid19_scoring import Covid19WorkingModel
from bayesinn.simulators.fisher_scoring.working_model import clip_to_prior
from bayesinn.spaces.parameters import ParameterSpace

OPTIONS = Covid19Options(regular_noise=True)
DAY = 60


def from_prior(n: int, seed: int = 1) -> dict[str, tf.Tensor]:
    draws = Prior(covid19_prior(OPTIONS)).sample(n, tf.constant([seed, 2]))
    return {name: tf.cast(value, tf.float64) for name, value in draws.items()}


def bound_model() -> tuple[Covid19WorkingModel, ParameterSpace]:
    model = Covid19WorkingModel(options=OPTIONS)
    space = ParameterSpace(Prior(covid19_prior(OPTIONS)), seed=1)
    model.bind(space)
    return model, space


def vectors(space: ParameterSpace, n: int, seed: int = 1) -> tf.Tensor:
    return space.to_vector(
        {name: tf.cast(value, tf.float32) for name, value in from_prior(n, seed).items()}
    )[0]


def fit_at(
    model: Covid19WorkingModel, fitted: tf.Tensor, information_fraction: float = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Location and information fraction of a fit, with equal information on all elements."""
    vector = model.vector_of(model.space.from_vector(fitted))
    return vector, tf.fill(vector.shape, information_fraction)


def test_the_model_grows_as_it_is_said_to() -> None:
    parameters = from_prior(2_000)
    growth = growth_of(parameters["lambda0"], parameters)
    # 1.5e-7 for seeds 1, 2, 3.
    np.testing.assert_allclose(
        transmission_of(growth, parameters), parameters["lambda0"], rtol=1e-6
    )
    # So many people that few are ever infected.
    options = Covid19Options(interventions=False)
    states = compartments(parameters, 1e30, options, whole=False)
    diagnosed = daily_flows(parameters, states, options)["confirmed"].numpy()
    grows = growth > 0.1
    observed = diagnosed[:, DAY + 1] / diagnosed[:, DAY] - 1.0
    errors = np.abs(observed - growth)[grows]
    size = np.log(diagnosed[:, DAY] / np.maximum(parameters["E0"], 1.0))
    days = tf.fill(growth.shape, tf.cast(DAY, tf.float64))
    exact = np.abs(size - log_size(parameters, days, growth))[grows]
    near = np.abs(size - log_size(parameters, days, growth + 0.02))[grows]
    # 99 % of the draws, and the median from a growth that is off.
    assert np.quantile(errors, 0.99) < 1e-3
    assert np.quantile(exact, 0.99) < 1e-2
    assert np.median(near) < 0.1


@pytest.mark.parametrize("information_fraction", [0.5, 1.0])
def test_compensation_is_undone_and_leaves_the_fit_as_it_is(information_fraction: float) -> None:
    model, space = bound_model()
    vector, fitted = (vectors(space, 500, seed) for seed in (1, 2))
    fit = fit_at(model, fitted, information_fraction)
    straight, log_det = model.straighten(vector, *fit)
    assert np.isfinite(straight).all()
    back, log_det_back = model.unstraighten(straight, *fit)
    # At the ends of the range of an angle 2e-4.
    assert np.allclose(back, vector, atol=1e-3)
    assert np.allclose(log_det + log_det_back, 0.0, atol=1e-3)
    # Fits keep within this; at its ends, delta is off by 1.5e-4.
    fitted = clip_to_prior(fitted)
    assert np.allclose(
        model.straighten(fitted, *fit_at(model, fitted, information_fraction))[0], 0.0, atol=1e-3
    )


def test_the_determinant_of_straightened_vectors() -> None:
    model, space = bound_model()
    vector, fitted = (vectors(space, 20, seed) for seed in (1, 2))
    step = 1e-2
    fit = fit_at(model, fitted, 0.7)

    @tf.function(autograph=False)
    def straighten(vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return model.straighten(vector, *fit)

    def straightened(change: np.ndarray) -> np.ndarray:
        return straighten(vector + change.astype(np.float32))[0].numpy()

    columns = [
        (straightened(step * row) - straightened(-step * row)) / (2.0 * step)
        for row in np.eye(space.dimension)
    ]
    log_det = np.linalg.slogdet(np.stack(columns, axis=-1))[1]
    errors = np.abs(log_det - straighten(vector)[1])
    # 2e-4; for single draws up to 0.1, from steps across the end of the range of an angle.
    assert np.median(errors) < 0.003
    assert log_det.std() > 0.5


def test_compensation_keeps_the_expected_counts() -> None:
    model, space = bound_model()
    fitted = vectors(space, 300)
    # Parameters of the disease, none of which compensates.
    moved = np.isin(space.names, ("alpha", "beta", "gamma", "eta", "theta"))
    changed = fitted + 0.5 * moved.astype(np.float32)

    def counts(vector: tf.Tensor) -> np.ndarray:
        mean = model.mean(space.from_vector(vector))
        return np.log(mean[:, LEAD_DAYS:] + 1.0)

    left_alone = np.abs(counts(changed) - counts(fitted)).mean(axis=1)
    bent, _ = model.unstraighten(changed - fitted, *fit_at(model, fitted))
    compensated = np.abs(counts(bent) - counts(fitted)).mean(axis=1)
    # 0.24, 0.25, 0.22 for seeds 1, 2, 3.
    assert np.median(compensated / left_alone) < 0.35


@pytest.mark.parametrize("size", [1e2, 1e8])
def test_offsets_that_overflow_become_numbers(size: float) -> None:
    model, space = bound_model()
    fitted = vectors(space, 500)
    offset = size * tf.random.stateless_normal(fitted.shape, (1, 2))
    bent, log_det = model.unstraighten(offset, *fit_at(model, fitted))
    assert np.isfinite(bent).all()
    assert np.isfinite(log_det).all()
