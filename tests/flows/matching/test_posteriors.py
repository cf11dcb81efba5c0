"""Posteriors with flows without invertible layers: trained, resumed, saved, diagnosed, reported."""

from __future__ import annotations

import time
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.stats import norm

import bayesinn as bi
from bayesinn.cli.networks import named_flow
from bayesinn.core.errors import InputError
from bayesinn.flows import Consistency, Diffusion, FlowMatching, MixtureDensity, ResidualMLP
from bayesinn.simulators.linear import linear, posterior_moments
from tests.helpers.fitting import fit

MAKERS = {
    "flow matching": lambda: FlowMatching(ResidualMLP(units=16, blocks=2)),
    "diffusion": lambda: Diffusion(ResidualMLP(units=16, blocks=2)),
    "consistency": lambda: Consistency(ResidualMLP(units=16, blocks=2), steps=2),
    "mixture": lambda: MixtureDensity(3, (16,)),
}
DATA = {"y": 1.5}


@pytest.fixture(scope="module", params=MAKERS)
def posterior(request: pytest.FixtureRequest) -> bi.AmortizedPosterior:
    return fit(flow=MAKERS[request.param](), steps=30)


def test_saved_and_loaded(posterior: bi.AmortizedPosterior, tmp_path: Path) -> None:
    draws = posterior.sample(DATA, draws=50, seed=2)
    loaded = bi.load(posterior.save(tmp_path / "posterior"))
    for name, values in loaded.sample(DATA, draws=50, seed=2).items():
        np.testing.assert_array_equal(values, draws[name])
    if posterior.density is not None:
        density = posterior.log_prob(draws, DATA)
        assert np.all(np.isfinite(density))
        np.testing.assert_array_equal(loaded.log_prob(draws, DATA), density)
    else:
        with pytest.raises(InputError, match="a flow with a density"):
            posterior.log_prob(draws, DATA)


def test_only_cheap_densities_are_inferred(posterior: bi.AmortizedPosterior) -> None:
    tree = posterior.infer(DATA, draws=20)
    assert ("lp" in tree.sample_stats) == (posterior.flow.density == "exact")


def test_diagnosed_and_reported(posterior: bi.AmortizedPosterior, tmp_path: Path) -> None:
    diagnosis = bi.diagnose(
        posterior, simulations=60, draws=40, seed=1, observed=DATA, progress=False
    )
    page = diagnosis.to_html(tmp_path / "report.html").read_text()
    assert ("Loss: mean of -log q(parameters | data), in nats." in page) == posterior.flow.nats
    assert (diagnosis["latent"] is None) == (not posterior.flow.codes)
    assert (diagnosis["joint_coverage"] is None) == (posterior.flow.density != "exact")


def test_interrupted_and_resumed(tmp_path: Path) -> None:
    # All noise of its loss follows from the step.
    make = MAKERS["consistency"]

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(flow=make(), callbacks=[Stop()], checkpoint=tmp_path)
    resumed = fit(flow=make(), checkpoint=tmp_path, resume=True)
    assert resumed.fingerprint == fit(flow=make()).fingerprint


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("flow matching", {"accumulate": 4}),
        ("diffusion", {"xla": True}),
        ("consistency", {"mixed_precision": True}),
        ("mixture", {"mixed_precision": True, "accumulate": 2}),
    ],
)
def test_ways_of_training(name: str, options: dict) -> None:
    history = fit(flow=MAKERS[name](), **options).history
    assert np.all(np.isfinite(history["loss"]))


def test_against_the_exact_posterior() -> None:
    """As a user trains it, with the learning rate that is the default."""
    flow = FlowMatching(ResidualMLP(units=64))
    posterior = bi.AmortizedPosterior(linear, flow=flow)
    posterior.fit(steps=1_000, batch_size=256, seed=1, progress=False)
    observations = {"y": np.array([-2.0, 0.5, 1.5])}
    draws = posterior.sample(observations, draws=20_000, seed=2)
    means, covariance = posterior_moments(observations["y"])
    sds = np.sqrt(np.diag(covariance))
    values = np.stack([draws["x1"], draws["x2"]], axis=-1)
    np.testing.assert_allclose((values.mean(axis=1) - means) / sds, 0.0, atol=0.12)
    np.testing.assert_allclose(values.std(axis=1) / sds, 1.0, atol=0.1)
    # The marginal law of one parameter, and the density of both.
    truth = norm(means[1, 0], sds[0])
    assert np.abs(truth.cdf(np.sort(draws["x1"][1])) - np.arange(20_000) / 20_000).max() < 0.06
    some = {name: value[:, :200] for name, value in draws.items()}
    root = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(root, (values[:, :200] - means[:, None])[..., None])[..., 0]
    exact = norm.logpdf(whitened).sum(axis=-1) - np.log(np.diag(root)).sum()
    gap = np.mean(posterior.log_prob(some, observations) - exact)
    assert gap == pytest.approx(0.0, abs=0.08)


@pytest.mark.parametrize(
    ("text", "flow"),
    [
        ("flow-matching:steps=4", FlowMatching(steps=4)),
        ("diffusion", Diffusion()),
        ("consistency:steps=2", Consistency(steps=2)),
        ("mixture-density:components=3", MixtureDensity(3)),
    ],
)
def test_named_on_the_command_line(text: str, flow: bi.flows.Flow) -> None:
    assert repr(named_flow(text)) == repr(flow)


@pytest.mark.parametrize(("flow", "most"), [(FlowMatching(), 1.0), (Consistency(), 0.1)])
def test_ten_thousand_draws_are_quick(flow: bi.flows.Flow, most: float) -> None:
    posterior = fit(flow=flow)
    seconds = []
    for seed in range(4):
        start = time.process_time()
        posterior.sample(DATA, draws=10_000, seed=seed)
        seconds.append(time.process_time() - start)
    # Seconds of processor time; four times as many where other work shares the machine.
    assert min(seconds) < 4.0 * most
