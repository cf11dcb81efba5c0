"""Posterior SBC: exact size for any number of proposals, and power near the observation only."""

from __future__ import annotations

import numpy as np
import pytest

from bayesinn.core.errors import InputError
from bayesinn.diagnostics import PosteriorSBCResult, posterior_sbc
from bayesinn.testing.conjugate import Conjugate, Fault
from tests.diagnostics.faults import named


def around(
    fault: Fault,
    observation: tuple[float, float],
    *,
    size: int = 1000,
    proposals: int = 100,
    seed: int = 1,
) -> PosteriorSBCResult:
    posterior = Conjugate(fault)
    data = np.repeat([observation], size, axis=0)
    proposed = posterior.sample(data, proposals + 1, seed)
    replicated = posterior.replicate(proposed[:, 0], seed)
    weights = posterior.log_prob(proposed, replicated) - posterior.prior_log_prob(proposed)
    return posterior_sbc(
        named(proposed[:, 0]), named(proposed[:, 1:]), weights[:, 0], weights[:, 1:], seed=seed
    )


@pytest.mark.parametrize("observation", [(0.0, 0.0), (4.0, -2.0)])
def test_a_correct_posterior_passes_everywhere(observation: tuple[float, float]) -> None:
    assert around("none", observation).passed


# p-values for seeds 1, 2, 3: at most 2.9e-8, 1.4e-7 and 4.7e-15.
@pytest.mark.parametrize("fault", ["too wide", "shifted", "wrong correlation"])
def test_broken_posteriors_fail(fault: Fault) -> None:
    assert not around(fault, (1.0, 1.0), size=2000).passed


def test_size_is_right_even_with_three_proposals() -> None:
    # Binomial 99.9 % interval for 200 repetitions at 5 %; found 0.03.
    p_values = [
        around("none", (1.0, 0.5), size=100, proposals=3, seed=seed).p_value[0]
        for seed in range(200)
    ]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.11
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.11)


def test_effective_proposals_of_each_data_set() -> None:
    generator = np.random.default_rng(1)
    truth = {"rate": generator.normal(size=5)}
    proposals = {"rate": generator.normal(size=(5, 19))}
    equal = np.zeros((5, 20))
    # In the last data set one proposal has all the weight, in the one before two have half of it
    # each.
    equal[4, 1:] = -1e3
    equal[3, 2:] = -1e3
    result = posterior_sbc(truth, proposals, equal[:, 0], equal[:, 1:], seed=1)
    assert result.effective == pytest.approx([20.0, 20.0, 20.0, 2.0, 1.0])


def test_weights_of_the_wrong_shape_or_undefined_are_refused() -> None:
    truth = {"rate": np.zeros(5)}
    proposals = {"rate": np.zeros((5, 20))}
    with pytest.raises(InputError, match=r"(?s)shapes \(5,\) and \(5, 20\).*\(5,\) and \(5, 19\)"):
        posterior_sbc(truth, proposals, np.zeros(5), np.zeros((5, 19)), seed=1)
    for undefined in (np.nan, np.inf):
        with pytest.raises(InputError, match="NaN or infinity"):
            posterior_sbc(truth, proposals, np.zeros(5), np.full((5, 20), undefined), seed=1)


def test_no_density_at_truth_and_proposals_is_an_error_and_counted() -> None:
    generator = np.random.default_rng(1)
    truth = {"rate": generator.normal(size=200)}
    proposals = {"rate": generator.normal(size=(200, 19))}
    weights = np.zeros((200, 20))
    assert posterior_sbc(truth, proposals, weights[:, 0], weights[:, 1:], seed=1).passed
    weights[:50] = -np.inf
    result = posterior_sbc(truth, proposals, weights[:, 0], weights[:, 1:], seed=1)
    assert not result.passed
    assert np.sum(result.impossible) == 50
    assert "no density at the truth and all proposals of 50 data sets" in result.summary
