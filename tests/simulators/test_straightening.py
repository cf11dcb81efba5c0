"""Curved ridges become straight, and angles have no ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from bayesinn.core.errors import InputError
from bayesinn.simulation.prior import Prior
from bayesinn.simulators.fisher_scoring import WorkingModel
from bayesinn.spaces.parameters import ParameterSpace
from tests.simulators.working_models import SPACE, Circle, Ridge, scoring, tfd


@pytest.mark.parametrize("straight", [True, False])
def test_a_curved_ridge_is_straightened(straight: bool) -> None:
    model = Ridge(degrees_of_freedom=1e7)
    if not straight:
        model.compensating = ()
    summary = scoring(model, rounds=8)
    summary.bind(SPACE)
    # Draws from the posterior of one observation, by weights; the level follows the slope closely.
    generator = np.random.default_rng(1)
    slope = generator.normal(size=20_000)
    level = 1.0 - slope**2 + 0.01 / np.sqrt(12.0) * generator.normal(size=slope.shape)
    kept = generator.uniform(size=slope.shape) < np.exp(-0.5 * level**2)
    vector, _ = SPACE.to_vector(
        {"slope": slope[kept].astype(np.float32), "level": level[kept].astype(np.float32)}
    )
    fit = summary.improve(tf.ones((1, 12)), tf.constant([[0.3, 0.3]]))
    fitted = fit.location, fit.information_fraction
    straightened, _ = model.straighten(vector, *fitted)
    assert np.allclose(model.unstraighten(straightened, *fitted)[0], vector, atol=1e-5)
    assert np.allclose(model.straighten(fit.location, *fitted)[0], 0.0, atol=1e-5)
    root = np.linalg.cholesky(fit.covariance[0])
    across = np.linalg.solve(root, straightened.numpy().T)[1]
    # Of seeds 1, 2, 3: 1.07, 1.07, 1.07; else 540, 540, 550.
    assert bool(across.std() < 1.3) is straight


def test_nothing_is_compensated_without_information() -> None:
    class Vague(Ridge):
        def log_scale(self, parameters: Mapping[str, tf.Tensor], mean: tf.Tensor) -> tf.Tensor:
            return super().log_scale(parameters, mean) + np.float32(np.log(1e5))

    offsets = []
    for kind in (Ridge, Vague):
        model = kind(degrees_of_freedom=1e7)
        summary = scoring(model, rounds=8)
        summary.bind(SPACE)
        fit = summary.improve(tf.ones((1, 12)), tf.constant([[0.3, 0.3]]))
        vector = tf.constant([[2.0, 0.0]])
        offset, _ = model.straighten(vector, fit.location, fit.information_fraction)
        offsets.append((offset - (vector - fit.location)).numpy()[0])
    assert np.abs(offsets[0][1]) > 1.0
    assert np.abs(offsets[1]).max() < 1e-3


def test_the_posterior_of_an_angle_is_not_split() -> None:
    space = ParameterSpace(
        Prior({"angle": tfd.Uniform(-np.pi, np.pi), "other": tfd.Normal(0.0, 1.0)}), seed=1
    )
    model = Circle(degrees_of_freedom=1e7)
    summary = scoring(model, rounds=4)
    summary.bind(space)
    truth = np.array([3.13, -3.13, 0.5], np.float32)
    x = np.stack([np.cos(truth), np.sin(truth)], axis=-1)
    fit = summary.improve(tf.constant(x), tf.zeros((3, 2)))
    found = model.parameters_of(fit.location)["angle"].numpy()
    # The prior draws a little towards zero: 0.004.
    assert np.allclose(np.exp(1j * found), np.exp(1j * truth), atol=0.01)
    assert np.all(np.abs(found) <= np.pi)
    generator = np.random.default_rng(1)
    for row in range(len(truth)):
        angles = truth[row] + 0.1 * generator.normal(size=2_000).astype(np.float32)
        angles -= 2.0 * np.float32(np.pi) * np.round(angles / (2.0 * np.float32(np.pi)))
        vector, log_det_vector = space.to_vector({"angle": angles, "other": np.zeros_like(angles)})
        fitted = fit.location[row : row + 1], fit.information_fraction[row : row + 1]
        offset, log_det = model.straighten(vector, *fitted)
        back, log_det_back = model.unstraighten(offset, *fitted)
        assert np.allclose(space.from_vector(back)["angle"], angles, atol=1e-4)
        # Rounding errors at the ends of the range apart: 0.02 at worst.
        assert np.quantile(np.abs(log_det + log_det_back), 0.9) < 1e-3
        across = offset[:, 0] / np.sqrt(fit.covariance[row, 0, 0])
        # 0.97 to 1.00 for seeds 1, 2, 3; some 40 if it were split.
        assert 0.9 < np.std(across) < 1.1
        # Near the centre, an element of the vector changes evenly with the angle, whatever the
        # angle is.
        assert np.ptp((log_det + log_det_vector)[np.abs(offset[:, 0]) < 0.05]) < 0.02


@pytest.mark.parametrize(
    ("kind", "prior", "message"),
    [
        (Circle, {"angel": tfd.Normal(0.0, 1.0)}, r"unknown names \['angle'\]"),
        (Circle, {"angle": tfd.Uniform(0.0, 6.28)}, r"other priors of \['angle'\]"),
        (
            Circle,
            {"angle": tfd.Uniform([-3.1416, -3.1416], [3.1416, 3.1416])},
            r"other priors of \['angle'\]",
        ),
        (Ridge, {"slope": tfd.Normal(0.0, 1.0)}, r"unknown names \['level'\]"),
        (
            Ridge,
            {"level": tfd.Normal(0.0, 1.0), "slope": lambda level: tfd.Uniform(level, 9.0)},
            r"those of \['slope'\]",
        ),
    ],
)
def test_priors_that_cant_be_straightened(
    kind: type[WorkingModel], prior: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        kind().bind(ParameterSpace(Prior(prior), seed=1))
