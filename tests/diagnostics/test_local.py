"""The local test fails where the posterior is wrong, and elsewhere no more often than 1 - level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.local import LatentFeatures, LocalC2STResult, local_c2st

#: Large first datum, small one, and one far beyond all simulations.
OBSERVED = np.array([[2.0, 0.5, -0.3], [-2.0, 0.5, -0.3], [9.0, 0.5, -0.3]])


def exact(size: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prior N(0, 1), data N(theta, 1): truths, data, exact latents of truths; (size, 3) each."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=(size, 3))
    data = truth + generator.normal(size=(size, 3))
    return truth, data, (truth - data / 2.0) / np.sqrt(0.5)


def run(latent: np.ndarray, data: np.ndarray, seed: int = 1) -> LocalC2STResult:
    return local_c2st(latent, data, OBSERVED, seed=seed, trials=99, evaluations=300)


def test_exact_posteriors_fail_as_rarely_as_the_level_says() -> None:
    # Measured over 200 repetitions with 5 parameters at a level of 5 %: 4.5 to 6 % at four
    # observations, 6 % together.
    repetitions = 40
    p_values = np.empty((repetitions, 4))
    for seed in range(repetitions):
        _, data, latent = exact(100, seed)
        result = local_c2st(
            latent, data, OBSERVED, seed=seed, trials=19, evaluations=100, level=0.9
        )
        p_values[seed] = [*result.p_value, result.family_p_value]
    for column in p_values.T:
        low, high = stats.binom.interval(0.999, repetitions, 0.2)
        assert low <= np.sum(column <= 0.2) <= high


def too_low(truth: np.ndarray, data: np.ndarray, latent: np.ndarray) -> None:
    latent[data[:, 0] > 1.0, 0] += 0.7


def too_narrow(truth: np.ndarray, data: np.ndarray, latent: np.ndarray) -> None:
    latent[data[:, 0] > 1.0, 0] /= 0.6


@pytest.mark.parametrize("spoil", [too_low, too_narrow])
def test_a_local_fault_is_found_where_it_is(
    spoil: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
) -> None:
    for seed in range(3):
        truth, data, latent = exact(2000, seed)
        spoil(truth, data, latent)
        result = run(latent, data, seed=seed)
        # Measured at a level of 99 %, from 1000 simulations: 0.9 to 1 fail at the first, 0.00 to
        # 0.03 at the second.
        assert result.inside[:2].tolist() == [False, True]
        # A hundred times as large as where the posterior is correct.
        assert result.statistic[0] > 100.0 * result.statistic[1]
        assert result.family_p_value == result.p_value[0] == 0.01


def test_a_missing_correlation_and_the_prior_as_posterior_are_found_everywhere() -> None:
    for seed in range(3):
        truth, data, latent = exact(1000, seed)
        latent[:, 1] = 0.4 * latent[:, 0] + np.sqrt(1.0 - 0.4**2) * latent[:, 1]
        # Measured at a level of 99 %: the correlation is found in 95 % or more, near simulations.
        assert not np.any(run(latent, data, seed=seed).inside[:2])
        assert not np.any(run(truth, data, seed=seed).inside)


def test_the_latent_need_not_be_normal() -> None:
    def student(count: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).standard_t(2.0, size=(count, 3))

    _, data, normal = exact(1000, 1)
    latent = student(1000, 99)
    arguments = {"observed_condition": OBSERVED, "seed": 1, "draw_latent": student, "trials": 99}
    assert np.all(local_c2st(latent, data, **arguments).inside)
    # Normal latents have tails too light for a Student-t.
    assert not np.any(local_c2st(normal, data, **arguments).inside)


def test_probabilities_say_where_density_is_missing() -> None:
    truth, data, latent = exact(1000, 1)
    too_low(truth, data, latent)
    result = run(latent, data)
    assert stats.spearmanr(result.evaluation[:, 0], result.probability[0]).statistic > 0.9
    assert result.probability.shape == (3, 300)
    assert np.allclose(np.mean((result.probability - 0.5) ** 2, axis=1), result.statistic)


def test_only_the_order_of_a_condition_counts_and_constant_ones_do_no_harm() -> None:
    _, data, latent = exact(300, 1)
    plain = run(latent, data)
    stretched = local_c2st(
        latent,
        np.c_[np.exp(data), np.full(300, 3.0)],
        np.c_[np.exp(OBSERVED), np.full(3, 4.0)],
        seed=1,
        trials=99,
        evaluations=300,
    )
    assert np.allclose(plain.statistic, stretched.statistic)
    constant = local_c2st(latent, np.ones((300, 2)), np.ones(2), seed=1, trials=99)
    assert constant.passed


def test_more_conditions_than_simulations() -> None:
    generator = np.random.default_rng(1)
    shared = generator.normal(size=(100, 2))
    data = shared @ generator.normal(size=(2, 60))
    latent = shared[:, :1]  # the posterior learnt nothing
    assert local_c2st(generator.normal(size=(100, 1)), data, data[:2], seed=1, trials=99).passed
    assert not local_c2st(latent, data, data[[np.argmax(latent)]], seed=1, trials=99).passed


def test_the_same_seed_gives_the_same_result_and_another_seed_another() -> None:
    _, data, latent = exact(200, 1)
    first, again, other = (run(latent, data, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.null, again.null)
    assert np.array_equal(first.statistic, again.statistic)
    assert not np.array_equal(first.null, other.null)


def test_table_and_repr() -> None:
    truth, data, latent = exact(1000, 1)
    too_low(truth, data, latent)
    result = local_c2st(latent, data, OBSERVED[:2], names=("large", "small"), seed=1, trials=99)
    table = result.to_dataframe()
    assert list(table.columns) == ["statistic", "critical", "p_value", "inside"]
    assert list(table.index) == ["large", "small"]
    assert "L-C2ST FAILED" in repr(result)
    assert "1000 simulations, 99 trials" in repr(result)
    assert "1 of 2 pass at 99 %" in result.summary
    assert run(latent, data).columns == ("observation[0]", "observation[1]", "observation[2]")
    assert local_c2st(latent, data, OBSERVED[0], seed=1, trials=99).columns == ("observation",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent": np.zeros((30, 3))}, "(?s)latent and condition.*same number.*30 and 40"),
        ({"latent": np.full((40, 3), np.nan)}, "latent\n.*\n.*120 of 120 values NaN"),
        (
            {"observed_condition": np.zeros((1, 3))},
            r"(?s)observed_condition.*shape \(n, 2\).*got:      shape \(1, 3\)",
        ),
        ({"observed_condition": np.array([np.inf, 0.0])}, "observed_condition"),
        ({"trials": 50}, "(?s)trials.*from 99 to 100,000.*50"),
        ({"evaluations": 0}, "(?s)evaluations.*from 1 to 100,000.*0"),
        ({"level": 1.0}, "(?s)level.*above 0, below 1"),
        ({"names": ("a", "b")}, "(?s)names.*from 1 to 1.*2"),
        (
            {"draw_latent": lambda count, seed: np.zeros((count, 2))},
            r"(?s)draw_latent.*shape \(n, 3\) with n of at least 5000.*\(5000, 2\)",
        ),
    ],
)
def test_wrong_inputs_are_refused(change: dict[str, object], message: str) -> None:
    arguments = {
        "latent": np.zeros((40, 3)),
        "condition": np.zeros((40, 2)),
        "observed_condition": np.zeros(2),
    }
    with pytest.raises(InputError, match=message):
        local_c2st(**{**arguments, "seed": 1, "trials": 99, **change})


def test_many_coordinates_have_no_more_than_a_thousand_pairs() -> None:
    reference = np.random.default_rng(1).normal(size=(500, 200))
    features = LatentFeatures(reference)(reference[:20])
    assert features.shape == (20, 4 * 200 + 1_000)
    np.testing.assert_array_equal(features, LatentFeatures(reference)(reference[:20]))
