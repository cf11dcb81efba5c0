"""The arm and the line: exact draws put the hand where it is, and follow the prior where nothing else is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.simulators import inverse_kinematics as arm, slide_toy as line


def test_positions_of_simple_poses() -> None:
    straight = {"x1": [0.3], "x2": [0.0], "x3": [0.0], "x4": [0.0]}
    np.testing.assert_allclose(
        arm.joints(straight)[0], [[0.0, 0.3], [0.5, 0.3], [1.0, 0.3], [2.0, 0.3]], atol=1e-12
    )
    # Up, then forward, then down: each angle is measured from the segment before it.
    bent = {"x1": [0.0], "x2": [np.pi / 2], "x3": [-np.pi / 2], "x4": [-np.pi / 2]}
    np.testing.assert_allclose(
        arm.joints(bent)[0], [[0.0, 0.0], [0.0, 0.5], [0.5, 0.5], [0.5, -0.5]], atol=1e-12
    )


def test_the_simulator_puts_the_hand_at_the_end_of_the_arm() -> None:
    data = arm.inverse_kinematics.sample(2_000, seed=1)
    np.testing.assert_allclose(data["hand"], arm.joints(data)[:, -1], atol=1e-5)
    # Four standard errors.
    for name, sd in (("x1", 0.25), ("x2", 0.5), ("x3", 0.5), ("x4", 0.5)):
        assert data[name].std() == pytest.approx(sd, rel=4.0 / np.sqrt(4_000)), name


def test_exact_draws_reach_the_hand_and_have_the_posterior_density() -> None:
    """Beside draws of the prior whose hands came near."""
    hand = np.array([1.75, 0.1])
    draws = arm.exact({"hand": hand}, 4_000, seed=1)
    np.testing.assert_allclose(arm.joints(draws)[:, -1], np.tile(hand, (4_000, 1)), atol=1e-9)
    generator = np.random.default_rng(2)
    proposed = {
        name: generator.normal(0.0, 0.25 if name == "x1" else 0.5, 1_000_000) for name in arm.NAMES
    }
    near = np.linalg.norm(arm.joints(proposed)[:, -1] - hand, axis=1) < 0.04
    assert near.sum() > 1_000
    for name in arm.NAMES:
        # Measured 0.1 to 0.98 over three seeds.
        assert stats.ks_2samp(draws[name], proposed[name][near]).pvalue > 1e-3, name


def test_exact_draws_behind_the_base_turn_either_way() -> None:
    """Beside arms of wider angles, weighted with the prior, whose hands came as far back."""
    draws = arm.exact({"hand": np.array([-1.0, 0.0])}, 20_000, seed=1)
    angles = np.random.default_rng(2).standard_normal((3, 1_000_000))
    poses = dict(zip(arm.NAMES, [np.zeros(1_000_000), *angles], strict=True))
    across, up = arm.joints(poses)[:, -1].T
    near = np.abs(across + 1.0) < 0.05
    # The base makes up for the height.
    log_weights = -1.5 * np.sum(angles**2, axis=0) - 0.5 * (up / arm.HEIGHT_SD) ** 2
    turned = np.abs(angles.sum(axis=0)) > np.pi
    expected = np.average(turned[near], weights=np.exp(log_weights[near]))
    found = np.mean(np.abs(draws["x2"] + draws["x3"] + draws["x4"]) > np.pi)
    assert found == pytest.approx(expected, abs=0.05)


def test_a_hand_out_of_reach_is_refused() -> None:
    with pytest.raises(InputError, match="within the reach of the arm, 2 from its base"):
        arm.exact({"hand": np.array([2.1, 0.0])}, 10, seed=1)


def test_the_line_has_its_covariance() -> None:
    draws = line.exact({"y": np.array(1.5)}, 20_000, seed=1)
    np.testing.assert_allclose(draws["x1"] + draws["x2"], 1.5)
    both = np.stack([draws["x1"], draws["x2"]])
    np.testing.assert_allclose(both.mean(axis=1), 0.75, atol=4.0 * np.sqrt(0.5 / 20_000))
    np.testing.assert_allclose(np.cov(both), line.COVARIANCE, atol=0.02)
