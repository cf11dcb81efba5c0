"""A posterior of images against the exact one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

import bayesinn as bi
from bayesinn.simulators import gaussian_field as module
from bayesinn.simulators.gaussian_field import gaussian_field

SETS = 20


@pytest.mark.slow
def test_posterior_of_images_comes_near_the_exact_one() -> None:
    posterior = bi.AmortizedPosterior(
        gaussian_field,
        bi.summaries.ConvImage(16, filters=(8, 16)),
        bi.flows.coupling(blocks=2, hidden=(32, 32)),
    )
    posterior.fit(
        steps=300,
        batch_size=64,
        seed=1,
        optimization=bi.Optimization(average=0.98, xla=False),
        progress=False,
    )
    drawn = gaussian_field.draw(SETS, seed=77)
    draws = posterior.sample(drawn.observables, draws=1_000, seed=3)
    distances = {name: [] for name in drawn.parameters}
    for number, image in enumerate(drawn.observables["image"]):
        exact = module.exact({"image": image}, 4_000, seed=number)
        for name, values in exact.items():
            distances[name].append(ks_2samp(draws[name][number], values).statistic)
    means = {name: np.mean(values) for name, values in distances.items()}
    assert max(means.values()) < 0.2
