"""Trained posteriors of several kinds, saved with what they answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import bayesinn as bi
from bayesinn.simulators.gaussian import gaussian
from bayesinn.simulators.linear import linear
from tests.helpers.models import Dropping, Normalising, series, small_flow, survey

summaries = bi.summaries

CASES = {
    "identity": (linear, None, small_flow()),
    "series": (
        series,
        summaries.ConvLSTM(4, filters=(8,), lstm_units=8),
        small_flow(mixing="permutation"),
    ),
    "deep set, student-t": (
        gaussian,
        summaries.DeepSet(4, hidden=(8,), dense=(8,)),
        small_flow(latent=bi.flows.StudentT()),
    ),
    "context, several observables": (
        survey,
        {
            "x": summaries.SetTransformer(4, width=8, heads=2),
            "counts": summaries.MLP(3, hidden=(8,)),
        },
        small_flow(transform=bi.bijections.Spline()),
    ),
    "a user's dropout": (series, Dropping(), small_flow(dropout=0.2)),
    "a user's moving statistics": (series, Normalising(units=3), small_flow(actnorm=False)),
}


def save(name: str, folder: Path) -> Path:
    """Train for two steps and save; ``expected.npz`` holds data, draws and densities."""
    simulator, summary, flow = CASES[name]
    posterior = bi.AmortizedPosterior(simulator, summary, flow)
    posterior.fit(
        steps=2, batch_size=32, seed=1, progress=False, optimization=bi.Optimization(average=0.0)
    )
    posterior.save(folder)
    sample = simulator.sample(3, seed=2)
    data = {key: sample[key] for key in (*simulator.observable_shapes, *simulator.context_names)}
    draws = posterior.sample(data, draws=40, seed=3)
    np.savez(
        folder / "expected.npz",
        density=posterior.log_prob(draws, data),
        p_value=draws.p_value,
        **{f"draw_{key}": value for key, value in draws.items()},
        **{f"data_{key}": value for key, value in data.items()},
    )
    return folder
