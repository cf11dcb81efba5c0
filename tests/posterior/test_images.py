"""Posteriors whose parameters are an image, given something small."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from tests.helpers.fitting import arranged

tfd = tfp.distributions
SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def posterior() -> bi.AmortizedPosterior:
    generator = np.random.default_rng(1)
    arrays = {
        "picture": generator.random((64, *SHAPE), np.float32),
        "class": np.eye(3, dtype=np.float32)[generator.integers(0, 3, 64)],
    }
    model = bi.from_arrays({"picture": tfd.Uniform(np.zeros(SHAPE, "f4"), 1.0)}, {"class": (3,)})
    flow = bi.flows.image(levels=2, blocks=1, filters=(4,), shape=SHAPE)
    options = arranged(steps=2, batch_size=16, seed=1, validation=0.0, progress=False)
    return bi.AmortizedPosterior(model, flow=flow, networks=1).fit(arrays, **options)


def test_draws_are_images_inside_their_support(posterior: bi.AmortizedPosterior) -> None:
    draws = posterior.sample({"class": np.eye(3)}, draws=5, seed=2)["picture"]
    assert draws.shape == (3, 5, *SHAPE)
    assert draws.min() > 0.0
    assert draws.max() < 1.0


def test_large_events_are_evaluated_in_small_parts(
    posterior: bi.AmortizedPosterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = np.random.default_rng(2).random((3, 4, *SHAPE), np.float32)
    whole = posterior.log_prob({"picture": pictures}, {"class": np.eye(3)})
    rows = []
    compiled = posterior.evaluator._log_prob

    def record(parameters, *arguments):
        rows.append(len(parameters["picture"]))
        return compiled(parameters, *arguments)

    monkeypatch.setattr(posterior.evaluator, "_log_prob", record)
    # Twelve pictures of 64 pixels each; vectors of few elements would be evaluated at once.
    monkeypatch.setattr("bayesinn.posterior.answers._ROWS_PER_CALL", 3 * 4 * 8)
    parts = posterior.log_prob({"picture": pictures}, {"class": np.eye(3)})
    assert rows == [1] * 12
    np.testing.assert_allclose(parts, whole, rtol=1e-5)
