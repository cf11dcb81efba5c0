"""A comparison passes draws of the reference's law, fails others, and tells the difference."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

from bayesinn.core.errors import InputError
from bayesinn.diagnostics.two_samples import Comparison, c2st, compare_draws

Draws = dict[str, np.ndarray]


def normals(*, size: int = 1000, other: int = 1000, seed: int = 1) -> tuple[Draws, Draws]:
    """Draws and reference: rate ~ N(5, 2), beta of two correlated elements."""
    generator = np.random.default_rng(seed)
    pair = []
    for number in (size, other):
        beta = generator.multivariate_normal([0.0, 1.0], [[1.0, 0.8], [0.8, 1.0]], size=number)
        pair.append({"rate": 5.0 + 2.0 * generator.normal(size=number), "beta": beta})
    return pair[0], pair[1]


def quick(draws: Draws, reference: Draws, *, seed: int = 1, level: float = 0.99) -> Comparison:
    """Everything but C2ST, which takes the time."""
    return compare_draws(draws, reference, seed=seed, level=level, c2st_draws=0)


@pytest.mark.parametrize("level", [0.997, 0.999])
def test_any_level_can_fail_by_the_joint_law_alone(level: float) -> None:
    draws, reference = normals()
    draws["beta"][:, 1] = reference["beta"][:, 1]
    result = quick(draws, reference, level=level)
    assert result.inside.all()
    assert not result.passed_family_wise


def test_draws_of_one_law_fail_as_rarely_as_the_level_says() -> None:
    repetitions = 120
    level = 0.95
    columns = joint = family = 0
    for seed in range(repetitions):
        result = quick(*normals(size=60, other=40, seed=seed), seed=seed, level=level)
        columns += not result.inside[0]
        joint += not result.mmd.passed
        family += not result.passed_family_wise
    low, high = stats.binom.interval(0.999, repetitions, 1 - level)
    # KS is discrete, so its p-value is conservative.
    assert columns <= high
    assert low <= joint <= high
    assert family <= high


@pytest.mark.parametrize(
    ("change", "mean_error", "sd_ratio"),
    [(lambda x: x + 0.8, 0.4, 1.0), (lambda x: 5.0 + 1.5 * (x - 5.0), 0.0, 1.5)],
)
def test_broken_draws_fail_in_their_column_and_by_the_right_amount(
    change, mean_error, sd_ratio
) -> None:
    for seed in range(3):
        draws, reference = normals(seed=seed)
        result = quick({**draws, "rate": change(draws["rate"])}, reference, seed=seed)
        assert result.columns == ("rate", "beta[0]", "beta[1]")
        assert not result.passed
        assert not result.passed_family_wise
        assert not result.mmd.passed
        assert not result.inside[0]
        # Measured over six seeds: within 0.084 of the mean error and 0.058 of the ratio.
        assert result.mean_error[0] == pytest.approx(mean_error, abs=0.15)
        assert result.sd_ratio[0] == pytest.approx(sd_ratio, abs=0.12)


def test_lost_correlation_fails_although_every_column_passes() -> None:
    for seed in range(3):
        draws, reference = normals(seed=seed)
        draws["beta"][:, 1] = np.random.default_rng([seed, 1]).permutation(draws["beta"][:, 1])
        result = quick(draws, reference, seed=seed)
        assert np.all(result.p_value > 1e-3)
        assert not result.passed
        assert not result.passed_family_wise
        assert result.family_p_value == pytest.approx(2 / 501)
        # Measured over six seeds: 1.9 to 4.4 times the floor; correct draws 0.6 to 1.8 times.
        assert result.sliced_wasserstein > 1.5 * result.sliced_wasserstein_floor


def test_units_do_not_matter() -> None:
    draws, reference = normals(size=300)
    one = quick(draws, reference)
    other = quick(
        {"rate": 1e6 * draws["rate"], "beta": draws["beta"]},
        {**reference, "rate": 1e6 * reference["rate"]},
    )
    assert other.sliced_wasserstein == pytest.approx(one.sliced_wasserstein)
    assert other.mmd.squared == pytest.approx(one.mmd.squared)
    assert other.mean_error == pytest.approx(one.mean_error)
    assert np.array_equal(other.ks, one.ks)


def test_columns_of_few_draws_are_judged_exactly() -> None:
    draws, reference = (
        {"rate": values["rate"][:size]}
        for values, size in zip(normals(size=40), (25, 40), strict=True)
    )
    found = quick(draws, reference)
    exact, rough = (
        stats.ks_2samp(draws["rate"], reference["rate"], method=method).pvalue
        for method in ("exact", "asymp")
    )
    assert found.p_value[0] == pytest.approx(exact)
    assert exact != pytest.approx(rough)


def test_names_may_come_in_any_order() -> None:
    draws, reference = normals(size=200)
    turned = {name: reference[name] for name in reversed(reference)}
    assert np.array_equal(quick(draws, turned).ks, quick(draws, reference).ks)


def test_c2st_of_few_draws_is_left_out() -> None:
    generator = np.random.default_rng(1)
    draws, reference = ({"rate": generator.normal(size=size)} for size in (24, 100))
    result = compare_draws(draws, reference, seed=1)
    assert np.isnan(result.c2st)
    assert result.c2st_draws == 0
    assert "C2ST" not in repr(result) + result.summary
    more = {"rate": generator.normal(size=25)}
    assert compare_draws(more, reference, seed=1).c2st_draws == 25


def test_c2st_has_as_many_draws_as_it_may() -> None:
    draws, reference = normals(size=200, other=150)
    rate = {"rate": draws["rate"]}
    other = {"rate": reference["rate"] + 4.0}
    result = compare_draws(rate, other, seed=1, c2st_draws=150)
    # 4 / 2 standard deviations: Phi(1). Measured over six seeds: within 0.035.
    assert result.c2st == pytest.approx(stats.norm.cdf(1.0), abs=0.09)
    assert result.c2st_draws == 150
    assert result.draws == 200
    assert result.reference == 150
    assert "C2ST" in repr(result)
    assert "C2ST" in result.summary
    few = draws["rate"][:60]
    far = reference["rate"][:60] + 4.0
    assert compare_draws({"rate": few}, {"rate": far}, seed=1, c2st_draws=1000).c2st == c2st(
        few[:, None], far[:, None]
    )


def test_the_figure_has_the_statistic_among_its_points() -> None:
    draws, reference = normals(size=700, other=500)
    result = quick(draws, reference)
    assert result.points.shape == result.ecdf_difference.shape == (202, 3)
    assert np.max(np.abs(result.ecdf_difference), axis=0) == pytest.approx(result.ks)
    assert result.ks[0] == stats.ks_2samp(draws["rate"], reference["rate"]).statistic
    # At the critical value, the p-value is one minus the level; SciPy's exact law against the
    # asymptotic one.
    edge = stats.ks_2samp(draws["rate"], reference["rate"], method="asymp")
    assert (edge.pvalue > 0.01) == (edge.statistic < result.ks_critical)
    assert stats.kstwo.sf(result.ks_critical, round(700 * 500 / 1200)) == pytest.approx(
        0.01, rel=1e-4
    )


def test_discrete_and_constant_parameters() -> None:
    generator = np.random.default_rng(1)
    draws = {
        "count": generator.poisson(3.0, size=500),
        "fixed": np.full(500, 0.1),
        "moved": np.full(500, 0.2),
    }
    reference = {
        "count": generator.poisson(3.0, size=400),
        "fixed": np.full(400, 0.1),
        "moved": np.full(400, 0.1),
    }
    result = quick(draws, reference)
    assert result.inside.tolist() == [True, True, False]
    assert result.mean_error[1:].tolist() == [0.0, np.inf]
    assert result.sd_ratio[1:].tolist() == [1.0, 1.0]
    assert result.p_value[1] == 1.0
    # Values on the points are those that occur.
    assert set(result.points[:, 0]) <= set(range(20))
    assert quick({"fixed": draws["fixed"]}, {"fixed": reference["fixed"]}).passed


def test_large_differences_raise_no_warnings() -> None:
    draws, reference = normals(size=800, other=799)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = quick({name: value + 100.0 for name, value in draws.items()}, reference)
    assert np.all(result.ks == 1.0)
    assert np.all(result.p_value < 1e-100)


def test_one_seed_decides_everything() -> None:
    draws, reference = normals(size=100, other=100)
    one, again, other = (quick(draws, reference, seed=seed) for seed in (1, 1, 2))
    for name in ("sliced_wasserstein", "sliced_wasserstein_floor"):
        assert getattr(one, name) == getattr(again, name) != getattr(other, name)
    assert np.array_equal(one.mmd.null, again.mmd.null)
    assert not np.array_equal(one.mmd.null, other.mmd.null)
    rate = {"rate": draws["rate"]}
    other_rate = {"rate": reference["rate"]}
    accuracies = [
        compare_draws(rate, other_rate, seed=seed, c2st_draws=50).c2st for seed in (1, 1, 2)
    ]
    assert accuracies[0] == accuracies[1] != accuracies[2]


def test_table_and_repr() -> None:
    draws, reference = normals(size=300, other=200)
    result = quick(draws, reference)
    table = result.to_dataframe()
    assert list(table.columns) == ["mean_error", "sd_ratio", "ks", "p_value", "inside"]
    assert list(table.index) == ["rate", "beta[0]", "beta[1]"]
    assert repr(result).startswith(
        "Comparison passed: 300 draws, 200 of the reference, each test at 99 %\nMMD^2"
    )
    assert "C2ST" not in repr(result) + result.summary
    assert "Comparison FAILED" in repr(
        quick({name: value + 1.0 for name, value in draws.items()}, reference)
    )


@pytest.mark.parametrize(
    ("draws", "reference", "message"),
    [
        ({}, {}, "at least one"),
        (
            {"a": np.zeros(9)},
            {"b": np.zeros(9)},
            r"(?s)names in reference.*the parameters \['a'\].*no \['a'\], \['b'\] too many",
        ),
        (
            {"a": np.zeros(9), "b": np.zeros(8)},
            {"a": np.zeros(9), "b": np.zeros(9)},
            r"(?s)^draws of parameter 'b'.*shape \(9,\) as for 'a': 2 or more.*shape \(8,\)",
        ),
        (
            {"a": np.zeros(9)},
            {"a": np.zeros(1)},
            r"(?s)^reference of parameter 'a'.*2 or more.*shape \(1,\)",
        ),
        (
            {"a": np.zeros(9)},
            {"a": np.float64(1.0)},
            r"(?s)^reference of parameter 'a'.*2 or more.*shape \(\)",
        ),
        (
            {"a": np.zeros(9)},
            {"a": np.zeros((4, 9))},
            r"(?s)^reference of parameter 'a'.*shape \(4,\).*event.*shape \(4, 9\)",
        ),
        (
            {"a": np.zeros(9)},
            {"a": np.full(9, np.nan)},
            "(?s)reference of parameter 'a'.*9 of 9 values NaN",
        ),
        (
            {"a": np.array(["x", "y"])},
            {"a": np.zeros(9)},
            "(?s)draws of parameter 'a'.*real numbers",
        ),
    ],
)
def test_wrong_inputs_are_refused(draws: Draws, reference: Draws, message: str) -> None:
    with pytest.raises(InputError, match=message):
        quick(draws, reference)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 0.0}, "(?s)level.*above 0, below 1"),
        ({"c2st_draws": -1}, "(?s)c2st_draws.*0 or more.*-1"),
        ({"c2st_draws": 10}, "(?s)c2st_draws.*25 or more.*10"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare_draws(*normals(size=20, other=20), seed=1, **options)
