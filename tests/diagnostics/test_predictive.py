"""Posterior predictive p-values agree with closed forms, pass correct models, flag wrong ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.predictive import PredictiveResult, predictive_checks

SIZE = 10


def normal_model(observed: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Replications (draws, SIZE) of N(mean, 1), mean ~ N(2, 0.2^2), from the exact posterior."""
    generator = np.random.default_rng([seed, 1])
    centre, variance = posterior(observed)
    return generator.normal(
        generator.normal(centre, np.sqrt(variance), size=(draws, 1)), size=(draws, SIZE)
    )


def posterior(observed: np.ndarray) -> tuple[float, float]:
    precision = 1 / 0.2**2 + SIZE
    return float((2.0 / 0.2**2 + observed.sum()) / precision), 1 / precision


def value(result: PredictiveResult, statistic: str, observable: str = "x") -> float:
    return float(result.to_dataframe().loc[(observable, statistic), "p_value"])


def test_tensors_are_predictions_like_arrays() -> None:
    predicted = normal_model(np.ones(SIZE), 2_000, 1)
    checks = [
        predictive_checks({"x": values}, {"x": np.ones(SIZE)}).to_dataframe()
        for values in (predicted, tf.constant(predicted))
    ]
    pd.testing.assert_frame_equal(*checks)


def test_p_values_of_mean_and_extremes_are_the_closed_forms() -> None:
    for seed in range(3):
        observed = np.random.default_rng(seed).normal(1.5, 1.0, size=SIZE)
        result = predictive_checks({"x": normal_model(observed, 20_000, seed)}, {"x": observed})
        centre, variance = posterior(observed)
        mean = stats.norm(centre, np.sqrt(variance + 1 / SIZE)).cdf(observed.mean())
        # The replicated maximum, given the mean, has the distribution function Phi(maximum -
        # mean)^n.
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        means = centre + np.sqrt(variance) * nodes
        maximum = np.sum(weights * stats.norm.cdf(observed.max() - means) ** SIZE) / weights.sum()
        minimum = (
            np.sum(weights * (1 - stats.norm.sf(observed.min() - means) ** SIZE)) / weights.sum()
        )
        for statistic, below in (("mean", mean), ("maximum", maximum), ("minimum", minimum)):
            # Measured over seeds 0-2: differences up to 0.011; two binomial errors of 20,000 draws
            # are 0.014.
            assert value(result, statistic) == pytest.approx(2 * min(below, 1 - below), abs=0.014)


def test_spread_discrepancy_and_share_outside_do_not_depend_on_the_prior() -> None:
    # Given the mean, the spread of normal data has nothing to do with it: SIZE variance / sigma^2
    # is chi-squared.
    for seed in range(3):
        observed = np.random.default_rng(seed).normal(2.0, 1.0, size=SIZE)
        result = predictive_checks({"x": normal_model(observed, 20_000, seed)}, {"x": observed})
        below = stats.chi2(SIZE - 1).cdf(SIZE * observed.var())
        # Measured over seeds 0-2: up to 0.006.
        assert value(result, "standard deviation") == pytest.approx(
            2 * min(below, 1 - below), abs=0.014
        )
        table = result.to_dataframe()
        assert table.loc[("x", "discrepancy"), "predictive_median"] < SIZE
        assert np.mean(
            result.replicated[:, result.statistics.index("discrepancy")]
        ) == pytest.approx(SIZE, rel=1e-3)
        assert np.mean(
            result.replicated[:, result.statistics.index("share outside 95 %")]
        ) == pytest.approx(0.05, abs=2e-3)


def test_correct_models_are_flagged_at_most_as_often_as_the_level_says() -> None:
    flagged = 0
    of_mean = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        observed = generator.normal(generator.normal(2.0, 0.2), 1.0, size=SIZE)
        result = predictive_checks(
            {"x": normal_model(observed, 1000, seed)}, {"x": observed}, level=0.95
        )
        flagged += bool(result.flagged.any())
        of_mean.append(value(result, "mean"))
    # Measured: 11 of 200 are flagged at 5 %, 23 of 600.
    assert flagged <= stats.binom.isf(0.001, 200, 0.05)
    # The data are used twice, so that p-values crowd at 1: measured 2 of 200 below 0.05 for the
    # mean.
    assert np.mean(np.array(of_mean) < 0.05) <= 0.02


def test_large_data_of_a_correct_model_are_not_flagged() -> None:
    """Replications were judged by limits of their own, the observation by those of others."""
    generator = np.random.default_rng(1)
    flagged = 0
    for _ in range(5):
        predicted = generator.normal(size=(280, 200, 200)).astype(np.float32)
        observed = generator.normal(size=(200, 200)).astype(np.float32)
        flagged += predictive_checks({"x": predicted}, {"x": observed}, level=0.95).flagged.any()
    # Measured: 1 of 5; all, with limits of the replications alone.
    assert flagged <= 2


def test_overdispersed_counts_are_flagged_under_a_poisson_model_and_pass_under_their_own() -> None:
    for seed in range(3):
        generator = np.random.default_rng(seed)
        cases = generator.negative_binomial(2, 0.1, size=40)
        rate = generator.gamma(cases.sum() + 1, 1 / 40, size=(2000, 1))
        poisson = predictive_checks(
            {"cases": generator.poisson(rate, size=(2000, 40))}, {"cases": cases}
        )
        flagged = {
            label for label, flag in zip(poisson.statistics, poisson.flagged, strict=True) if flag
        }
        assert {"standard deviation", "discrepancy"} <= flagged
        assert "mean" not in flagged
        own = predictive_checks(
            {"cases": generator.negative_binomial(2, 0.1, size=(2000, 40))}, {"cases": cases}
        )
        assert not own.flagged.any()


def test_autocorrelation_that_the_model_lacks_is_flagged_per_channel() -> None:
    generator = np.random.default_rng(1)
    walk = np.stack([np.cumsum(generator.normal(size=60)), generator.normal(size=60)], axis=-1)
    scale = walk.std(axis=0)
    result = predictive_checks(
        {"x": scale * generator.normal(size=(2800, 60, 2))}, {"x": walk - walk.mean(axis=0)}
    )
    table = result.to_dataframe()
    assert result.observables.count("x[0]") == 7
    assert bool(table.loc[("x[0]", "lag-one autocorrelation"), "flagged"])
    assert not bool(table.loc[("x[1]", "lag-one autocorrelation"), "flagged"])
    series = walk[:, 0] - walk[:, 0].mean()
    centred = walk[:, 0] - walk[:, 0].mean()
    expected = np.sum(series[1:] * centred[:-1]) / np.sum(centred**2)
    assert table.loc[("x[0]", "lag-one autocorrelation"), "observed"] == pytest.approx(expected)


def test_padding_is_left_out_on_both_sides() -> None:
    generator = np.random.default_rng(1)
    observed = generator.normal(size=12)
    predicted = generator.normal(size=(1400, 12))
    short = predictive_checks({"x": predicted}, {"x": observed})
    padding = np.full(8, np.nan)
    rubbish = np.concatenate([predicted, generator.choice([np.nan, 1e9], size=(1400, 8))], axis=1)
    padded = predictive_checks({"x": rubbish}, {"x": np.concatenate([observed, padding])})
    assert padded.statistics == short.statistics
    assert padded.observed == pytest.approx(short.observed)
    assert padded.p_value == pytest.approx(short.p_value)


def test_the_statistics_suit_the_shape() -> None:
    generator = np.random.default_rng(1)
    shapes = {
        "number": (),
        "few": (3,),
        "series": (9,),
        "channels": (4, 2),
        "many": (6, 20),
        "image": (5, 5, 3),
    }
    predicted = {name: generator.normal(size=(11_200, *shape)) for name, shape in shapes.items()}
    result = predictive_checks(predicted, {name: draws[0] for name, draws in predicted.items()})
    count = {name: result.observables.count(name) for name in dict.fromkeys(result.observables)}
    channels = {f"channels[{index}]": 7 for index in range(2)} | {
        f"image[{index}]": 7 for index in range(3)
    }
    assert count == {"number": 1, "few": 6, "series": 7, "many": 7, **channels}


def test_ties_are_not_remarkable_and_constants_that_differ_are() -> None:
    observed = np.array([0.0, 0.0, 3.0])
    predicted = np.tile(observed, (1200, 1))
    assert np.all(predictive_checks({"x": predicted}, {"x": observed}).p_value == 1.0)
    result = predictive_checks({"x": predicted}, {"x": observed + 1.0})
    assert value(result, "mean") == pytest.approx(2 / 1201)
    assert value(result, "discrepancy") == pytest.approx(2 / 1201)
    # 0.1 is no binary number: sums of equal data must still be equal.
    tenth = np.full(9, 0.1)
    assert np.all(predictive_checks({"x": np.tile(tenth, (1400, 1))}, {"x": tenth}).p_value == 1.0)


def test_own_statistics_join_the_default_ones() -> None:
    generator = np.random.default_rng(1)
    predicted = {
        "cases": generator.poisson(9.0, size=(2000, 20)),
        "size": generator.normal(size=2000),
    }
    cases = np.full(20, 9.0)
    cases[19] = np.nan
    result = predictive_checks(
        predicted,
        {"cases": cases, "size": 0.2},
        statistics={
            "cases": {"distinct": lambda data: np.array([len(np.unique(row[:19])) for row in data])}
        },
    )
    table = result.to_dataframe()
    assert table.loc[("cases", "distinct"), "observed"] == 1
    # What was not observed is NaN on both sides.
    result = predictive_checks(
        predicted,
        {"cases": cases, "size": 0.2},
        statistics={"cases": {"missing": lambda data: np.isnan(data).sum(axis=1)}},
    )
    assert np.all(result.replicated[:, result.statistics.index("missing")] == 1)
    assert bool(table.loc[("cases", "distinct"), "flagged"])
    assert len(table) == 9


def test_too_few_draws_warn_instead_of_passing_in_silence() -> None:
    generator = np.random.default_rng(1)
    with pytest.warns(UserWarning, match="600 draws are too few.*take 1400"):
        result = predictive_checks({"x": generator.normal(size=(600, 20))}, {"x": np.full(20, 1e6)})
    assert not result.flagged.any()
    assert "too few to flag anything: take 1400" in repr(result)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = predictive_checks(
            {"x": generator.normal(size=(1400, 20))}, {"x": np.full(20, 1e6)}
        )
    assert value(result, "mean") == pytest.approx(2 / 1401)
    assert result.flagged.any()


def test_table_and_repr() -> None:
    data = np.random.default_rng(1).normal(size=(1401, 20))
    result = predictive_checks({"x": data[1:]}, {"x": data[0] + 9.0})
    table = result.to_dataframe()
    assert list(table.columns) == [
        "observed",
        "predictive_median",
        "lower",
        "upper",
        "p_value",
        "flagged",
    ]
    assert table.index.names == ["observable", "statistic"]
    assert result.columns[0] == "x: mean"
    assert result.replicated.shape == (1400, 7)
    assert "5 of 7 statistics flagged" in repr(result)


NORMAL = np.random.default_rng(1).normal(size=(700, 9))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: predictive_checks({}, {}), "same names in both, at least one"),
        (
            lambda: predictive_checks({"x": NORMAL}, {"y": NORMAL[0]}),
            r"predicted \['x'\], observed \['y'\]",
        ),
        (lambda: predictive_checks({"x": NORMAL}, {"x": NORMAL}), "(?s)'x'.*one observation"),
        (lambda: predictive_checks({"x": NORMAL[:1]}, {"x": NORMAL[0]}), "two or more"),
        (
            lambda: predictive_checks(
                {"x": NORMAL, "y": NORMAL[:5]}, {"x": NORMAL[0], "y": NORMAL[0]}
            ),
            "(?s)'y'.*equally many draws",
        ),
        (
            lambda: predictive_checks({"x": np.full((700, 2), np.inf)}, {"x": np.zeros(2)}),
            "1400 values NaN or inf",
        ),
        (lambda: predictive_checks({"x": NORMAL}, {"x": np.full(9, np.nan)}), "NaN everywhere"),
        (
            lambda: predictive_checks({"x": NORMAL}, {"x": NORMAL[0]}, level=1.0),
            "(?s)level.*above 0, below 1",
        ),
        (
            lambda: predictive_checks(
                {"x": NORMAL}, {"x": NORMAL[0]}, statistics={"y": {"mean": np.mean}}
            ),
            r"(?s)some of \['x'\].*\['y'\]",
        ),
        (
            lambda: predictive_checks(
                {"x": NORMAL}, {"x": NORMAL[0]}, statistics={"x": {"all": np.mean}}
            ),
            r"(?s)'all' of observable 'x'.*\(701,\).*shape \(\)",
        ),
        (
            lambda: predictive_checks(
                {"x": NORMAL},
                {"x": NORMAL[0]},
                statistics={"x": {"log": lambda x: np.full(len(x), np.nan)}},
            ),
            "(?s)'log'.*NaN or infinite",
        ),
    ],
)
def test_wrong_inputs_are_refused(call: Callable[[], PredictiveResult], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_a_p_value_is_as_rare_as_it_says() -> None:
    """Wherever an observation stands among 19 exchangeable draws."""
    draws = np.arange(1.0, 20.0)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        p_values = np.array(
            [
                predictive_checks({"x": draws}, {"x": np.array([place + 0.5])}).p_value[0]
                for place in range(20)
            ]
        )
    assert all(np.mean(p_values <= p) <= p + 1e-9 for p in p_values)
    assert p_values.min() == pytest.approx(0.1)


def gappy(size: int, limit: float, seed: int) -> np.ndarray:
    """Standard normal series (size, 30), a fifth lost at random and all above a limit."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(size, 30))
    return np.where((generator.random(values.shape) < 0.2) | (values > limit), np.nan, values)


@pytest.mark.parametrize("limit", [np.inf, 0.8])
def test_missing_values_of_a_correct_model_are_not_flagged(limit: float) -> None:
    flagged = 0
    for seed in range(40):
        predicted = {"x": gappy(1_500, limit, seed)}
        observed = {"x": gappy(1, limit, seed + 1_000)[0]}
        result = predictive_checks(predicted, observed, missing=True)
        flagged += bool(result.flagged.any())
        assert len(result.replicated) == 1_500
    # Measured over 300 seeds: one without a limit, none with it.
    assert flagged <= 2
    # A shift is flagged all the same.
    shifted = {"x": observed["x"] + 3.0}
    assert predictive_checks(predicted, shifted, missing=True).flagged.any()


def test_missing_values_are_missing_only_where_it_is_said() -> None:
    predicted = {"x": gappy(1_500, np.inf, 1)}
    observed = {"x": np.zeros(30)}
    with pytest.raises(InputError, match=r"(?s)NaN or inf.*missing=True"):
        predictive_checks(predicted, observed)
    predicted["x"][:100] = np.nan
    with pytest.warns(UserWarning, match="1,400 of 1,500 predictions are compared"):
        predictive_checks(predicted, observed, missing=True)
