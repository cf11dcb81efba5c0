"""Recovery: numbers known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from bayesinn.core.errors import InputError
from bayesinn.diagnostics import recovery
from tests.diagnostics.conjugate import normal


def test_conjugate_numbers() -> None:
    truth, draws, prior = normal(size=4000)
    result = recovery(truth, draws, prior)
    # The datum explains half of the variance. Measured over seeds 0-2: R2 0.495 to 0.499,
    # correlation 0.704 to 0.707, contraction 0.470 to 0.518 (2000 prior draws), error 0.709 to
    # 0.710, spread of z 1.007 to 1.011, 0.891 to 0.894 inside the 90 % interval.
    assert result.r_squared[0] == pytest.approx(0.5, abs=0.03)
    assert result.correlation[0] == pytest.approx(np.sqrt(0.5), abs=0.02)
    assert result.contraction[0] == pytest.approx(0.5, abs=0.06)
    assert result.nrmse[0] * np.ptp(truth["mean"]) == pytest.approx(np.sqrt(0.5), abs=0.03)
    assert result.z_score.std() == pytest.approx(1.0, abs=0.04)
    inside = (result.lower <= result.truth) & (result.truth <= result.upper)
    assert inside.mean() == pytest.approx(0.9, abs=0.02)


def test_where_zero_and_one_lie_does_not_matter() -> None:
    truth, draws, prior = normal(size=500)
    moved = [{"mean": 1e3 - 10.0 * part["mean"]} for part in (truth, draws, prior)]
    one = recovery(truth, draws, prior)
    other = recovery(*moved)
    for name in ("r_squared", "correlation", "nrmse", "contraction"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-6), name
    assert other.z_score == pytest.approx(-one.z_score)


def test_perfect_recovery() -> None:
    truth = {"rate": np.linspace(0.0, 1.0, 50)}
    draws = {"rate": np.repeat(truth["rate"][:, None], 10, axis=1)}
    result = recovery(truth, draws, truth)
    assert result.r_squared[0] == pytest.approx(1.0)
    assert result.nrmse[0] == pytest.approx(0.0, abs=1e-12)
    assert result.contraction[0] == pytest.approx(1.0)


def test_draws_from_the_prior_teach_nothing() -> None:
    generator = np.random.default_rng(1)
    result = recovery(
        {"rate": generator.normal(size=2000)},
        {"rate": generator.normal(size=(2000, 100))},
        {"rate": generator.normal(size=5000)},
    )
    # Measured over seeds 0-2: contraction -0.025 to 0.032, R2 -0.017 to -0.010 (noise of the
    # posterior means).
    assert result.contraction[0] == pytest.approx(0.0, abs=0.06)
    assert result.r_squared[0] == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_draws_from_a_prior_with_heavy_tails_teach_nothing(sigma: float) -> None:
    # 0.04 and 0.01; compared with one variance of all prior draws, 0.18 and 0.71.
    found = []
    for seed in range(5):
        generator = np.random.default_rng(seed)
        draws = {"rate": generator.lognormal(sigma=sigma, size=(2_000, 100))}
        truth = {"rate": draws["rate"][:, 0]}
        prior = {"rate": generator.lognormal(sigma=sigma, size=5_000)}
        found.append(recovery(truth, draws, prior).contraction[0])
    assert np.mean(found) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("known", [True, False])
def test_contraction_of_a_rare_event(known: bool) -> None:
    generator = np.random.default_rng(1)
    truth = generator.random(2_000) < 0.005
    draws = generator.random((2_000, 100)) < 0.005
    if known:
        draws = np.repeat(truth[:, None], 100, axis=1)
    prior = generator.random(5_000) < 0.005
    contraction = recovery({"event": truth}, {"event": draws}, {"event": prior}).contraction[0]
    assert contraction == pytest.approx(1.0 if known else 0.0, abs=0.3)


@pytest.mark.parametrize("value", [3.0, 0.1])
def test_constant_parameter_gives_nan_without_warnings(value: float) -> None:
    # The mean of 50 times 0.1 is not 0.1.
    fixed = {"fixed": np.full(50, value)}
    result = recovery(fixed, {"fixed": np.full((50, 7), value)}, fixed)
    assert np.isnan(result.r_squared[0])
    assert np.isnan(result.contraction[0])
    assert np.isnan(result.z_score).all()
    assert result.summary == "truths do not vary: nothing to recover"


def test_a_single_wrong_value_is_infinitely_far_off() -> None:
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 3, 1_000)
    draws = generator.integers(0, 3, (1_000, 20))
    draws[:500] = (truth[:500, None] + (np.arange(500) < 160)[:, None]) % 3
    result = recovery({"k": truth}, {"k": draws}, {"k": truth})
    assert result.sure_and_wrong[0] == pytest.approx(0.16)
    assert np.isfinite(result.z_score_mean[0])
    assert np.isfinite(result.z_score_sd[0])
    assert np.all(result.z_score[160:500, 0] == 0.0)
    assert "16 % of posteriors of k are one wrong value" in result.summary


def test_one_parameter_is_named_once_and_all_wrong_is_a_hundred_percent() -> None:
    truth = np.random.default_rng(1).normal(size=50)
    result = recovery({"k": truth}, {"k": np.zeros((50, 20))}, {"k": truth})
    first, second = result.summary.split("; ")
    assert first.startswith("R² ")
    assert first.count("(k)") == 1
    assert second == "100 % of posteriors of k are one wrong value"


def test_vector_parameters_and_table() -> None:
    truth, draws, prior = normal(event=(3,))
    table = recovery(truth, draws, prior).to_dataframe()
    assert list(table.index) == ["mean[0]", "mean[1]", "mean[2]"]
    assert "Recovery of 500 simulations" in repr(recovery(truth, draws, prior))


def test_prior_of_another_shape_is_refused() -> None:
    truth, draws, _ = normal(event=(3,))
    with pytest.raises(
        InputError, match=r"(?s)prior of parameter 'mean'.*shape \(100, 3\).*shape \(100, 2\)"
    ):
        recovery(truth, draws, {"mean": np.zeros((100, 2))})
    with pytest.raises(InputError, match=r"(?s)names in prior.*no \['mean'\]"):
        recovery(truth, draws, {"other": np.zeros((100, 3))})
