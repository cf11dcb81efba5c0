"""The summary-space test: exact in size for any number of observations, with growing power."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.misspecification import misspecification, misspecification_power


def summaries(generator: np.random.Generator, n: int, shift: float = 0.0) -> np.ndarray:
    """Heavy tails and very different scales, as summaries have them."""
    return (generator.standard_t(4, size=(n, 3)) + np.array([shift, 0.0, 0.0])) * [1.0, 50.0, 0.01]


@pytest.mark.parametrize("size", [1, 5, 50])
def test_well_specified_data_fail_as_rarely_as_the_level_says(size: int) -> None:
    repetitions = 500
    p_values = []
    for seed in range(repetitions):
        generator = np.random.default_rng([seed, 1])
        observed = summaries(generator, size)
        simulated = summaries(generator, 200)
        p_values.append(misspecification(observed, simulated, repetitions=99, seed=seed).p_value[0])
    # Over 2,000 repetitions: 0.5 to 1.5 % at 1 %, 4.3 to 5.4 % at 5 %, 18 to 20 % at 20 %.
    for alpha in (0.01, 0.05, 0.2):
        low, high = stats.binom.interval(0.999, repetitions, alpha)
        # For a single observation, draws that meet it again are ties.
        assert (0 if size == 1 else low) <= np.sum(np.array(p_values) <= alpha + 1e-9) <= high


def test_drawing_from_simulations_alone_would_reject_too_often() -> None:
    # Why the observed ones are among those drawn: of 100 simulations and 50 observations, the
    # published way leaves draws of 50 among 50, all alike.
    generator = np.random.default_rng(1)
    result = misspecification(
        summaries(generator, 50), summaries(generator, 200), repetitions=99, seed=1
    )
    assert np.ptp(result.null) > 0.0
    assert result.passed


def test_power_grows_with_the_shift_and_the_number_of_observations() -> None:
    generator = np.random.default_rng(2)
    simulated = summaries(generator, 600)
    shifts = (0.0, 0.7, 1.5, 3.0)
    alternatives = {shift: summaries(generator, 300, shift) for shift in shifts}
    power = misspecification_power(
        alternatives, simulated, sizes=(1, 5, 20), tests=100, repetitions=99, seed=1
    )
    table = (
        power.pivot_table(index="alternative", columns="size", values="rejected")
        .loc[list(shifts)]
        .to_numpy()
    )
    # Neighbours by at most two standard errors of a difference the other way.
    assert (np.diff(table, axis=0) > -0.14).all()
    assert (np.diff(table[1:], axis=1) > -0.14).all()
    # Three standard errors of the size, and of the conditional one given 300 held-out simulations.
    assert (table[0] < 0.05 + 0.1).all()
    # Measured over four seeds, 5 and 20 observations: 0.99 and 1.00 at shift 3; at 0.7 0.03 to 0.06
    # and 0.21 to 0.48 for 1 and 20.
    assert table[-1, 1] > 0.9
    assert table[-1, 2] == 1.0
    assert table[1, 2] > table[1, 0]


def test_the_statistic_is_the_closed_form_for_two_normals() -> None:
    # P = N(0, I), Q = N(mu, I) in D dimensions, Gaussian kernel of bandwidth h:
    # MMD^2 = 2 (h^2 / (h^2 + 2))^(D / 2) (1 - exp(-|mu|^2 / (2 (h^2 + 2)))).
    squared = []
    for seed in range(8):
        generator = np.random.default_rng([seed, 3])
        simulated = generator.normal(size=(2000, 2))
        observed = generator.normal(size=(600, 2)) + np.array([1.0, 0.0])
        squared.append(
            misspecification(observed, simulated, repetitions=1, level=0.5, seed=seed).squared
        )
    # The median distance of two points of N(0, I) in two dimensions: its square is 2 chi^2 with 2
    # degrees of freedom.
    h = np.sqrt(2.0 * stats.chi2(2).median()) * np.array([0.25, 0.5, 1.0, 2.0, 4.0])
    expected = np.sum(2.0 * h**2 / (h**2 + 2.0) * (1.0 - np.exp(-1.0 / (2.0 * (h**2 + 2.0)))))
    # Pairs of a point with itself add to the mean of either set.
    own = np.sum(1.0 - h**2 / (h**2 + 2.0)) * (1 / 600 + 1 / 1000)
    # Measured over four sets of seeds: -11 to +4 %.
    assert np.mean(squared) == pytest.approx(expected + own, rel=0.15)


def test_a_p_value_is_never_below_that_of_the_observed_data_themselves() -> None:
    generator = np.random.default_rng(3)
    simulated = summaries(generator, 300)
    observed = summaries(generator, 20, 50.0)
    assert misspecification(observed, simulated, repetitions=99, seed=1).p_value.tolist() == [0.01]


def test_units_do_not_matter() -> None:
    generator = np.random.default_rng(4)
    simulated = summaries(generator, 400)
    observed = summaries(generator, 10, 1.0)
    units = np.array([1e3, 0.02, 1e5])
    zero = np.array([5.0, -1.0, 0.0])
    first = misspecification(observed, simulated, seed=1)
    second = misspecification(units * observed + zero, units * simulated + zero, seed=1)
    assert second.squared == pytest.approx(first.squared, rel=1e-6)
    assert second.p_value == first.p_value


def test_constant_and_redundant_summaries_are_fine() -> None:
    generator = np.random.default_rng(5)
    simulated = generator.normal(size=(300, 2))
    observed = generator.normal(size=(10, 2))
    widened = [
        np.column_stack([points, np.ones(len(points)), points @ [1.0, 1.0]])
        for points in (observed, simulated)
    ]
    assert misspecification(*widened, seed=1).p_value[0] > 0.01
    assert not misspecification(widened[0] + [2.0, 0.0, 0.0, 2.0], widened[1], seed=1).passed


def test_the_seed_decides() -> None:
    generator = np.random.default_rng(6)
    observed = summaries(generator, 5)
    simulated = summaries(generator, 300)
    first, again, other = (misspecification(observed, simulated, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.null, again.null)
    assert first.squared == again.squared
    assert not np.array_equal(first.null, other.null)


def test_table_and_repr() -> None:
    generator = np.random.default_rng(7)
    result = misspecification(summaries(generator, 20, 3.0), summaries(generator, 300), seed=1)
    assert result.p_value.shape == (1,)
    assert result.null.shape == (500,)
    assert result.columns == ("summaries",)
    assert "Misspecification FAILED" in repr(result)
    assert "20 observed, 300 simulated" in repr(result)
    assert "below" in result.summary
    table = result.to_dataframe()
    assert list(table.index) == ["summaries"]
    assert {"p_value", "inside", "squared", "critical"} == set(table.columns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observed": np.zeros(3)}, r"(?s)^observed\n.*at least 1\n.*shape \(3,\)"),
        ({"observed": np.zeros((2, 4))}, r"(?s)^observed\n.*shape \(n, 3\).*shape \(2, 4\)"),
        ({"observed": np.full((2, 3), np.nan)}, "(?s)observed.*finite"),
        ({"simulated": np.zeros((150, 3))}, "(?s)simulated.*at least 200"),
        ({"simulated": np.zeros((300, 0))}, "(?s)simulated.*an empty array"),
        ({"repetitions": 50}, "(?s)repetitions.*from 99 to 100,000.*50"),
        ({"level": 1.0}, "(?s)level.*above 0, below 1"),
    ],
)
def test_wrong_inputs_are_refused(change: dict, message: str) -> None:
    arguments = {"observed": np.zeros((2, 3)), "simulated": np.zeros((300, 3)), "seed": 1, **change}
    with pytest.raises(InputError, match=message):
        misspecification(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alternatives": {}}, "alternatives"),
        ({"alternatives": {"late": np.zeros((3, 3))}}, r"(?s)'late'.*at least 5.*shape \(3, 3\)"),
        ({"tests": 0}, "(?s)tests.*1 or more.*0"),
        ({"sizes": ()}, "(?s)sizes.*1 or more.*0"),
        ({"sizes": (0, 5)}, "(?s)sizes.*1 or more.*0"),
    ],
)
def test_wrong_inputs_of_power_are_refused(change: dict, message: str) -> None:
    arguments = {
        "alternatives": {"a": np.zeros((9, 3))},
        "simulated": np.zeros((300, 3)),
        "sizes": (5,),
        "seed": 1,
    }
    with pytest.raises(InputError, match=message):
        misspecification_power(**{**arguments, **change})


def test_of_very_many_observations_random_ones_are_used(monkeypatch) -> None:
    generator = np.random.default_rng(1)
    simulated = generator.normal(size=(300, 2))
    # The last ones would be missed if the first were taken.
    observed = np.concatenate(
        [generator.normal(size=(30, 2)), 3.0 + generator.normal(size=(90, 2))]
    )
    whole = misspecification(observed, simulated, repetitions=99, seed=1)
    assert (whole.observed, whole.given) == (120, 120)
    assert "used" not in whole.summary
    # The package has a function of the same name.
    module = importlib.import_module("bayesinn.diagnostics.misspecification")
    monkeypatch.setattr(module, "MOST_OBSERVED", 30)
    part = misspecification(observed, simulated, repetitions=99, seed=1)
    assert (part.observed, part.given) == (30, 120)
    assert part.summary.endswith(", 30 of 120 observed data sets used")
    assert not part.passed
    table = misspecification_power({"far": observed}, simulated, sizes=(1, 40), tests=2, seed=1)
    assert list(table["size"]) == [1, 40]
