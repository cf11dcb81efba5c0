"""Limits of time for simulators too slow for fresh simulations: each is used several times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.core.errors import InputError
from bayesinn.estimators import fitting_data
from bayesinn.estimators.estimator import plan_fit

tfd = tfp.distributions


@bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, engine="python", workers=1, batched=True)
def slow(parameters, generator):
    return {"x": parameters["mean"][:, None] + generator.normal(size=(len(parameters["mean"]), 3))}


def posterior() -> bi.AmortizedPosterior:
    return bi.AmortizedPosterior(slow, flow=bi.flows.coupling(blocks=1, hidden=(8,)))


@pytest.mark.parametrize(
    ("speed", "length", "passes", "expected"),
    [
        # 72 s of simulations; as many passes as 5,000 steps take, ten at most.
        (400.0, (None, None), None, (4_500, 64, 10)),
        (400.0, (None, 32), None, (5_000, 32, 6)),
        (2_000.0, (None, None), None, (5_000, 256, 9)),
        (0.5, (None, None), None, (180, 2, 10)),
        # Enough for fresh ones, or passes that the user has chosen.
        (20_000.0, (None, None), None, (5_000, 256, 0)),
        (400.0, (100, None), None, (100, 256, 0)),
        (400.0, (None, None), 3, (5_000, 256, 3)),
    ],
)
def test_simulations_are_used_again_where_time_is_short(
    monkeypatch, speed, length, passes, expected
) -> None:
    monkeypatch.setattr(fitting_data, "simulations_per_second", lambda *_: speed)
    steps, batch_size = length
    settings = plan_fit(
        posterior(),
        None,
        steps=steps,
        epochs=None,
        batch_size=batch_size,
        seed=1,
        start=None,
        validation=None,
        augment=None,
        optimization=bi.Optimization(minutes=2.0, passes=passes),
        checkpoint=None,
    ).settings
    assert (settings.steps, settings.batch_size, settings.passes) == expected
    assert not settings.passes or passes or settings.simulations <= 72.0 * speed


def test_it_says_so_and_a_run_that_is_resumed_does_as_before(
    monkeypatch, capsys, tmp_path: Path, recwarn
) -> None:
    monkeypatch.setattr(fitting_data, "simulations_per_second", lambda *_: 1_000.0)
    cut = posterior().fit(
        optimization=bi.Optimization(minutes=0.01), checkpoint=tmp_path / "run", seed=1
    )
    told = capsys.readouterr().out
    assert "the simulator makes 1e+03 a second: each is used 10 times" in told
    assert "350 simulations, drawn first, 10 passes through them" in told
    assert cut.steps_done < 140
    # There are the simulations.
    assert not [warning for warning in recwarn if "nothing to resume" in str(warning.message)]
    # Without the time, or on a machine of another speed.
    monkeypatch.setattr(fitting_data, "simulations_per_second", lambda *_: 50.0)
    checkpoint = bi.Checkpoint(tmp_path / "run", resume=True)
    whole = posterior().fit(checkpoint=checkpoint, seed=1, progress=False)
    assert whole.steps_done == 140
    with pytest.raises(InputError, match="passes 10"):
        posterior().fit(
            optimization=bi.Optimization(passes=2), checkpoint=checkpoint, seed=1, progress=False
        )


def test_the_weights_that_are_kept_are_told(capsys) -> None:
    data = slow.sample(60, seed=1)
    fitted = posterior().fit(
        data, epochs=40, batch_size=10, optimization=bi.Optimization(learning_rate=0.3)
    )
    losses = fitted.history["val_loss"].to_numpy()
    best = int(np.argmin(losses))
    assert best < 39
    told = f"kept the weights of step {fitted.history['step'][best]:,}, whose validation loss was"
    assert f"{told} the best: {losses[best]:.3f}, and {losses[-1]:.3f}" in capsys.readouterr().out
