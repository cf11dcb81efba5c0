"""The Covid-19 model against published numbers, an independent version of it, and exact laws."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import special, stats

from bayesinn.core.errors import InputError
from bayesinn.simulation.registry import find
from bayesinn.simulators import covid19 as module
from bayesinn.simulators.covid19_disease import compartments, daily_flows
from bayesinn.simulators.covid19_interventions import feasible, transmission
from bayesinn.simulators.covid19_options import Covid19Options
from bayesinn.simulators.covid19_prior import covid19_prior
from bayesinn.simulators.covid19_reporting import (
    expected_counts,
    log_density,
    mean_counts,
    noise_scales,
    simulate_counts,
    student_t_quantile,
)
from bayesinn.testing import check_simulator
from tests.simulators.covid19_cases import MEDIANS, PUBLISHED, SERIES, at_medians, rows_of

# Means at the medians, day by day, as the authors' own function gives them.
VECTOR = {
    0: (3.9989, 0.0214, 0.0054),
    5: (39.3727, 0.3597, 0.0370),
    10: (348.7541, 3.9547, 0.4373),
    15: (2120.4956, 27.2336, 3.2423),
    20: (3281.9107, 116.0906, 15.1831),
    31: (6800.0784, 3269.0383, 187.9291),
    40: (3497.3315, 3699.6609, 169.6319),
    60: (1175.0474, 2572.7935, 109.9759),
    80: (423.1879, 960.7802, 42.4195),
}
TOTALS = (172977.6033, 151235.0646, 7822.1529)


def one_by_one(
    p: dict[str, float], options: Covid19Options, population: float = 83e6, days: int = 81
) -> np.ndarray:
    """Means (series, days) of one draw, from the equations, in plain Python."""
    t, dt = ([round(p[f"{name}{k}"]) for k in range(1, 5)] for name in ("t", "dt"))
    levels = [p[f"lambda{k}"] for k in range(5)]
    rates = [levels[0]] * (15 + t[0])
    for k, end in enumerate([*t[1:], days]):
        before = levels[k]
        after = levels[k + 1]
        last = levels[k + 1]
        if k == 2 and options.ramp_quirk:
            before = levels[3]
            after = levels[4]
            last = levels[3]
        ramp = [last] if dt[k] == 1 else list(np.linspace(before, after, dt[k]))
        rates += (ramp + [last] * days)[: end - t[k]]
    alpha = p["alpha"] if options.carrier else 0.0
    s = population - max(1, round(p["E0"]))
    e = max(1, round(p["E0"]))
    c = 0.0
    i = 0.0
    flows: dict[str, list[float]] = {name: [] for name in SERIES}
    for rate in rates:
        new = rate * (c + p["beta"] * i) * s / population
        found = (1 - alpha) * p["eta"] * c if options.carrier else p["gamma"] * e
        healed = (1 - p["delta"]) * p["mu"] * i
        died = p["delta"] * p["d"] * i
        for name, flow in zip(SERIES, (found, healed, died), strict=True):
            flows[name].append(flow)
        s = s - new
        c = c + p["gamma"] * e - found - alpha * p["theta"] * c if options.carrier else 0.0
        e = e + new - p["gamma"] * e
        i = i + found - healed - died
        s, e, c, i = (min(max(people, 0.0), population) for people in (s, e, c, i))
    means = []
    for name, letter in SERIES.items():
        share = [
            1
            - (1 - p[f"A_{letter}"]) * (1 - abs(math.sin(math.pi / 7 * k - p[f"phi_{letter}"] / 2)))
            for k in range(days)
        ]
        means.append(
            [share[k] * flows[name][15 + k - round(p[f"L_{letter}"])] for k in range(days)]
        )
    return np.array(means)


# Published numbers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_published_means(dtype: type) -> None:
    means = np.stack(
        [value.numpy()[0] for value in expected_counts(at_medians(dtype)).values()], axis=1
    )
    # Printed with four decimals; single precision is within 2.6e-6.
    for day, expected in VECTOR.items():
        np.testing.assert_allclose(means[day], expected, rtol=1e-5, atol=6e-5)
    np.testing.assert_allclose(means.sum(axis=0), TOTALS, rtol=1e-5)


def test_published_flows_and_people_are_conserved() -> None:
    parameters = at_medians(np.float64)
    states = compartments(parameters, 83e6, PUBLISHED)
    totals = [
        float(tf.reduce_sum(flow)) for flow in daily_flows(parameters, states, PUBLISHED).values()
    ]
    np.testing.assert_allclose(totals, [208652.67, 194687.04, 9934.42], atol=0.006)
    unnoticed = float(tf.reduce_sum(parameters["alpha"] * parameters["theta"] * states.carrier))
    assert unnoticed == pytest.approx(254455.19, abs=0.006)
    np.testing.assert_allclose(sum(people.numpy() for people in states), 83e6, rtol=1e-14)


def test_published_transmission() -> None:
    expected = np.repeat(
        [2.987, 1.6535, 0.32, 0.315, 0.31, 0.087, 0.106, 0.125, 0.087, 0.106, 0.125],
        [23, 1, 7, 1, 5, 1, 1, 1, 42, 1, 13],
    )
    np.testing.assert_allclose(transmission(at_medians(), PUBLISHED)[0], expected, atol=1e-6)
    # The ramp of day 22 leads from lambda2 to lambda3 without the quirk; nothing else changes.
    expected[15 + 22 : 15 + 25] = [0.31, (0.31 + 0.087) / 2, 0.087]
    clean = transmission(at_medians(), replace(PUBLISHED, ramp_quirk=False))
    np.testing.assert_allclose(clean[0], expected, atol=1e-6)


def test_ramp_of_one_day_is_a_jump() -> None:
    rates = transmission(at_medians(dt1=1.2, dt3=0.9), PUBLISHED)[0].numpy()
    np.testing.assert_allclose(rates[15 + 6 : 15 + 9], [2.987, 0.32, 0.32], atol=1e-6)
    np.testing.assert_allclose(rates[15 + 21 : 15 + 25], [0.31, 0.087, 0.087, 0.087], atol=1e-6)


def test_published_likelihood() -> None:
    parameters = {name: np.array([value]) for name, value in MEDIANS.items()}
    for series, expected in (
        ("confirmed", -610.848),
        ("recovered", -591.748),
        ("deaths", -358.744),
    ):
        options = Covid19Options(series=(series,))
        assert module.log_likelihood(parameters, module.germany(), options)[0] == pytest.approx(
            expected, abs=6e-4
        )
    assert module.log_likelihood(parameters, module.germany())[0] == pytest.approx(
        -1561.340, abs=6e-4
    )
    single = {name: value.astype(np.float32) for name, value in parameters.items()}
    # Measured: 4e-4 off in single precision.
    assert module.log_likelihood(single, module.germany())[0] == pytest.approx(-1561.340, abs=5e-3)


# An independent version


@pytest.mark.parametrize(
    "options", [PUBLISHED, replace(PUBLISHED, ramp_quirk=False), replace(PUBLISHED, carrier=False)]
)
def test_means_against_one_by_one(draws, options: Covid19Options) -> None:
    given = rows_of(draws, slice(0, 40))
    found = np.stack(list(expected_counts(given, options=options).values()), axis=1)
    for row in range(40):
        parameters = {name: float(value[row]) for name, value in given.items()}
        np.testing.assert_allclose(found[row], one_by_one(parameters, options), rtol=1e-9)


def test_half_days_round_to_even_and_delays_shift() -> None:
    base = expected_counts(at_medians(np.float64, A_I=1.0 - 1e-12, L_I=6.0))["confirmed"][0].numpy()
    for delay, days in ((5.5, 0), (6.5, 0), (7.5, 2), (8.4, 2), (15.4, 9)):
        late = expected_counts(at_medians(np.float64, A_I=1.0 - 1e-12, L_I=delay))["confirmed"][
            0
        ].numpy()
        np.testing.assert_allclose(late[days:], base[: 81 - days], rtol=1e-9)


def test_counts_between_whole_days_are_interpolated() -> None:
    fixed = at_medians(rows=4)
    smooth = mean_counts(fixed, whole=False)
    rounded = mean_counts(fixed)
    assert not np.allclose(smooth["confirmed"], rounded["confirmed"], rtol=1e-3)
    days = [f"{name}{number}" for name in ("t", "dt") for number in range(1, 5)] + [
        "L_I",
        "L_R",
        "L_D",
    ]
    whole = {**fixed, **{name: tf.round(fixed[name]) for name in (*days, "E0")}}
    for name, value in mean_counts(whole, whole=False).items():
        np.testing.assert_allclose(value, rounded[name], rtol=1e-5)
    delays = tf.constant([12.0, 12.25, 12.5, 13.0])
    between = mean_counts({**fixed, "L_R": delays}, whole=False)["recovered"].numpy()
    weights = np.array([0.25, 0.5])[:, None]
    np.testing.assert_allclose(
        between[1:3], (1.0 - weights) * between[0] + weights * between[3], rtol=1e-5
    )


# Prior and constraints


def test_prior_moments_and_supports(draws) -> None:
    log_normal = {
        "lambda0": (1.2, 0.5),
        "lambda1": (0.6, 0.5),
        "lambda2": (0.3, 0.5),
        "lambda3": (0.1, 0.5),
        "lambda4": (0.1, 0.5),
        "mu": (1 / 8, 0.2),
        "beta": (0.25, 0.3),
        "gamma": (1 / 6.5, 0.5),
        "eta": (1 / 3.2, 0.3),
    }
    for name in ("dt1", "dt2", "dt3", "dt4"):
        log_normal[name] = (3.0, 0.3)
    for name in ("L_I", "L_R", "L_D"):
        log_normal[name] = (8.0, 0.2)
    laws = {name: stats.lognorm(sd, scale=median) for name, (median, sd) in log_normal.items()}
    laws |= {
        "t1": stats.norm(8, 3),
        "t2": stats.norm(15, 1),
        "t3": stats.norm(22, 1),
        "t4": stats.norm(66, 1),
    }
    for letter in SERIES.values():
        laws[f"A_{letter}"] = stats.beta(4.93951, 2.11693)
        # VonMises(0, 0.01) in the paper, the same within 1 %
        laws[f"phi_{letter}"] = stats.uniform(-math.pi, 2.0 * math.pi)
        laws[f"sigma_{letter}"] = stats.gamma(1, scale=5)
    laws |= {
        "E0": stats.gamma(2, scale=30),
        "alpha": stats.uniform(0.005, 0.895),
        "delta": stats.uniform(0.01, 0.29),
    }
    for name in ("theta", "d"):
        laws[name] = stats.uniform(1 / 14, 1 / 3 - 1 / 14)
    prior = covid19_prior(PUBLISHED)
    assert list(prior) == list(MEDIANS)
    assert set(laws) == set(prior)
    for name, law in laws.items():
        # The densities themselves, closed form against closed form, at quantiles of the law.
        points = law.ppf([0.01, 0.2, 0.5, 0.8, 0.99])
        found = prior[name].log_prob(points.astype(np.float32))
        np.testing.assert_allclose(found, law.logpdf(points), rtol=2e-4, atol=2e-4, err_msg=name)
        if name[0] in "tdL" and name not in ("d", "delta", "theta"):
            continue  # truncated by the constraints
        assert stats.kstest(draws[name], law.cdf).pvalue > 1e-4, name
    # After truncation; the standard error of the largest, the mean of t1, is 0.04.
    truncated = {
        "t1": (7.55, 2.56),
        "t2": (15.04, 0.98),
        "t3": (22.01, 0.99),
        "t4": (66.0, 1.0),
        "dt1": (3.08, 0.92),
        "dt2": (3.12, 0.93),
        "dt3": (3.14, 0.96),
        "dt4": (3.14, 0.96),
        "L_I": (8.16, 1.64),
    }
    for name, (mean, sd) in truncated.items():
        assert draws[name].mean() == pytest.approx(mean, abs=4.5 * sd / math.sqrt(4000)), name
        assert draws[name].std() == pytest.approx(sd, rel=0.08), name


def test_alpha_bound_and_lambda4_are_options() -> None:
    prior = covid19_prior(Covid19Options(largest_alpha=0.99, median_lambda4=0.15))
    assert float(prior["alpha"].high) == pytest.approx(0.99)
    assert float(prior["lambda4"].quantile(0.5)) == pytest.approx(0.15)


def test_constraints_hold_in_all_draws_and_the_rate_is_known(draws) -> None:
    whole = {name: np.round(draws[name]).astype(int) for name in MEDIANS}
    t = [whole[f"t{k}"] for k in range(1, 5)] + [np.full(4000, 81)]
    assert (t[0] > 0).all()
    for k in range(1, 5):
        length = whole[f"dt{k}"]
        assert (length > 0).all()
        assert (t[k] - t[k - 1] >= length).all()
    assert max(whole[f"L_{letter}"].max() for letter in SERIES.values()) == 15
    batch = module.covid19.draw(4000, seed=2)
    # 88.8 % of draws survive; the standard error is 0.5 %.
    assert 4000 / (4000 + batch.failed) == pytest.approx(0.888, abs=0.022)


@pytest.mark.parametrize(
    "broken",
    [
        {"L_I": 15.6},
        {"L_D": 16.0},
        {"t1": 0.4},
        {"t2": 7.0},
        {"dt1": 0.4},
        {"dt2": 7.6},
        {"t4": 79.0},
        {"dt4": 20.0},
    ],
)
def test_each_constraint_is_refused(broken: dict[str, float]) -> None:
    parameters = {
        name: tf.concat([value, at_medians()[name]], 0)
        for name, value in at_medians(**broken).items()
    }
    assert feasible(parameters, 81, PUBLISHED).numpy().tolist() == [False, True]
    for counts in simulate_counts(parameters, None, tf.constant([1, 2])).values():
        assert np.isnan(counts[0]).all()
        assert np.isfinite(counts[1]).all()
    density = module.log_likelihood(
        {name: value.numpy() for name, value in parameters.items()}, module.germany()
    )
    assert density[0] == -np.inf
    assert np.isfinite(density[1])


# Noise and likelihood


def test_student_quantiles() -> None:
    p = np.array([1e-7, 1e-4, 0.01, 0.3, 0.4999, 0.5, 0.500001, 0.8, 0.999, 1 - 1e-6])
    # Just above the median SciPy is 1e-10 off the linear term (p - 1/2) / (3/8), which is exact
    # there.
    np.testing.assert_allclose(
        student_t_quantile(tf.constant(p)), stats.t(4).ppf(p), rtol=1e-7, atol=1e-9
    )
    ends = student_t_quantile(tf.constant([2.0**-24, 1.0 - 2.0**-24]))
    np.testing.assert_allclose(ends, stats.t(4).ppf([2.0**-24, 1 - 2.0**-24]), rtol=1e-3)


@pytest.mark.parametrize("regular", [False, True])
def test_noise_is_student(regular: bool) -> None:
    options = replace(PUBLISHED, regular_noise=regular)
    parameters = at_medians(rows=4000)
    counts = simulate_counts(parameters, None, tf.constant([3, 4]), options)
    means = expected_counts(parameters, options=options)
    errors = {}
    for name, sigma in (("confirmed", 7.843), ("recovered", 10.751), ("deaths", 2.527)):
        scale = sigma * np.sqrt(means[name] + regular)
        errors[name] = ((counts[name] - means[name]) / scale).numpy()
        for day in (10, 40, 80):
            assert stats.kstest(errors[name][:, day], stats.t(4).cdf).pvalue > 1e-4, (name, day)
    # Days and series are independent: 4.5 standard errors of a rank correlation.
    pairs = [
        ("confirmed", 40, "confirmed", 41),
        ("confirmed", 40, "recovered", 40),
        ("recovered", 40, "deaths", 40),
    ]
    for first, day, second, other in pairs:
        correlation = stats.spearmanr(errors[first][:, day], errors[second][:, other]).statistic
        assert abs(correlation) < 4.5 / math.sqrt(4000)


@pytest.mark.parametrize("regular", [False, True])
def test_likelihood_against_scipy(draws, regular: bool) -> None:
    options = replace(PUBLISHED, regular_noise=regular)
    given = rows_of(draws, slice(0, 50))
    means = {name: value.numpy() for name, value in expected_counts(given, options=options).items()}
    data = {name: draws[name][0].astype(np.float64) for name in SERIES}
    found = log_density(given, data, options=options).numpy()
    expected = np.zeros(50)
    certain = np.zeros(50, bool)
    for name, letter in SERIES.items():
        scale = given[f"sigma_{letter}"].numpy()[:, None] * np.sqrt(means[name] + regular)
        certain |= (scale == 0).any(axis=1)
        expected += (
            stats.t(4)
            .logpdf(np.where(scale > 0, (data[name] - means[name]) / scale, 0))
            .sum(axis=1)
        )
        expected -= np.log(np.where(scale > 0, scale, 1.0)).sum(axis=1)
    assert (~certain).sum() > 40
    np.testing.assert_allclose(found[~certain], expected[~certain], rtol=1e-9)


def test_likelihood_is_the_law_of_one_day() -> None:
    """Density of the count on day 40: it integrates to one and has the simulations' law."""
    counts = simulate_counts(at_medians(rows=8000), None, tf.constant([5, 6]))["confirmed"][
        :, 40
    ].numpy()
    grid = np.linspace(-2e4, 3e4, 4001)
    rows = tf.tile(tf.constant(module.germany()["confirmed"], tf.float64)[None], (len(grid), 1))
    column = tf.one_hot(40, 81, dtype=tf.float64)
    data = {"confirmed": rows * (1 - column) + grid[:, None] * column}
    options = Covid19Options(series=("confirmed",))
    log = log_density(at_medians(np.float64, rows=len(grid)), data, options=options).numpy()
    density = np.exp(log - special.logsumexp(log)) / (grid[1] - grid[0])
    # The other days' factor, from the density at the mode of day 40.
    others = log_density(
        at_medians(np.float64), {"confirmed": module.germany()["confirmed"]}, options=options
    )
    means = expected_counts(at_medians(np.float64))
    scale = noise_scales(at_medians(np.float64), means)["confirmed"][0, 40]
    actual = module.germany()["confirmed"][40]
    own = stats.t(4).logpdf((actual - means["confirmed"][0, 40]) / scale) - np.log(scale)
    mass = np.exp(log - (float(others[0]) - own)).sum() * (grid[1] - grid[0])
    assert mass == pytest.approx(1.0, abs=1e-4)
    cumulative = np.cumsum(density) * (grid[1] - grid[0])
    assert stats.kstest(counts, lambda value: np.interp(value, grid, cumulative)).pvalue > 1e-4


def test_vanishing_noise_has_atoms_and_the_regular_one_has_none() -> None:
    parameters = at_medians(np.float64, L_R=15.0)
    means = expected_counts(parameters)["recovered"][0].numpy()
    assert (means[:2] == 0.0).all()
    assert (means[2:] > 0.0).all()
    data = {name: values.astype(float) for name, values in module.germany().items()}
    assert np.isfinite(log_density(parameters, data)[0])
    data["recovered"][1] = 1.0
    assert log_density(parameters, data)[0] == -np.inf
    assert np.isfinite(
        log_density(parameters, data, options=replace(PUBLISHED, regular_noise=True))[0]
    )


# Ablations: each takes its own parameters away, and equals the whole model where the part does
# nothing

GONE = {
    "carrier": {"alpha", "eta", "theta"},
    "interventions": {f"{name}{k}" for name in ("t", "dt", "lambda") for k in range(1, 5)},
    "delay": {"L_I", "L_R", "L_D"},
    "weekly": {f"{name}_{letter}" for name in ("A", "phi") for letter in "IRD"},
    "noise": {"sigma_I", "sigma_R", "sigma_D"},
}


@pytest.mark.parametrize("part", GONE)
def test_ablations_take_their_parameters_away(part: str) -> None:
    prior = covid19_prior(Covid19Options(**{part: False}))
    assert list(prior) == [name for name in MEDIANS if name not in GONE[part]]


def test_options_may_be_lists() -> None:
    assert Covid19Options(days=[75, 102], series=["confirmed"]) == Covid19Options(
        days=(75, 102), series=("confirmed",)
    )


def test_published_ablations_have_the_published_sizes() -> None:
    sizes = {name: len(covid19_prior(options)) for name, options in module.VARIANTS.items()}
    assert sizes["covid19_no_carrier"] == 31
    assert sizes["covid19_no_interventions"] == 22
    assert sizes["covid19_no_observation_model"] == 22
    assert sizes["covid19_states"] == 30


@pytest.mark.parametrize(
    ("part", "nothing"),
    [
        ("interventions", {f"lambda{k}": 0.3 for k in range(5)}),
        ("delay", {"L_I": 0.3, "L_R": 0.0, "L_D": 0.4}),
        ("weekly", {"A_I": 1.0, "A_R": 1.0, "A_D": 1.0}),
    ],
)
def test_ablations_equal_the_model_in_which_the_part_does_nothing(
    part: str, nothing: dict[str, float]
) -> None:
    whole = at_medians(np.float64, **nothing)
    without = {name: value for name, value in whole.items() if name not in GONE[part]}
    found = expected_counts(without, options=Covid19Options(**{part: False}))
    for name, expected in expected_counts(whole).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-12)


def test_without_noise_simulations_are_the_means() -> None:
    without = {name: value for name, value in at_medians().items() if name not in GONE["noise"]}
    counts = simulate_counts(without, None, tf.constant([1, 2]), Covid19Options(noise=False))
    for name, expected in expected_counts(at_medians()).items():
        np.testing.assert_array_equal(counts[name], expected)


# Context, compilation, data


def test_days_and_population_as_context() -> None:
    options = Covid19Options(population=(1e6, 1e8), days=(75, 102), regular_noise=True)
    context = {"population": tf.constant([83e6, 83e6, 2e6]), "days": tf.constant([81, 102, 81])}
    parameters = at_medians(rows=3)
    found = expected_counts(parameters, context, options)["confirmed"].numpy()
    fixed = expected_counts(at_medians())["confirmed"].numpy()[0]
    np.testing.assert_allclose(found[0], np.append(fixed, np.zeros(21)), rtol=1e-6)
    np.testing.assert_allclose(found[1, :81], fixed, rtol=1e-6)
    assert (found[1, 81:] > 0.0).all()
    small = one_by_one(MEDIANS, PUBLISHED, population=2e6)[0]
    # Measured: 1.3e-6 in single precision.
    np.testing.assert_allclose(found[2, :81], small, rtol=1e-5)
    assert small.sum() < 0.95 * fixed.sum()
    counts = simulate_counts(parameters, context, tf.constant([1, 2]), options)["confirmed"].numpy()
    assert (counts[0, 81:] == 0.0).all()
    assert (counts[1, 81:] != found[1, 81:]).all()
    # Padding takes no part in the likelihood.
    data = {name: np.append(values, np.full(21, 7)) for name, values in module.germany().items()}
    density = log_density(parameters, data, context, options)[0]
    regular = replace(PUBLISHED, regular_noise=True)
    assert float(density) == pytest.approx(
        float(log_density(at_medians(), module.germany(), None, regular)[0]), abs=0.01
    )


def test_compiled_with_xla(draws) -> None:
    """The same means, and noise of the same law: XLA has random numbers of its own."""
    given = rows_of(draws, slice(0, 500), np.float32)
    plain = expected_counts(given)
    means = tf.function(expected_counts, jit_compile=True)(given)
    counts = tf.function(simulate_counts, jit_compile=True)(given, None, tf.constant([1, 2]))
    scales = noise_scales(given, plain)
    for name, mean in plain.items():
        # Measured: 1.4e-6.
        np.testing.assert_allclose(means[name], mean, rtol=2e-5, atol=1e-9)
        noise = ((counts[name] - mean) / scales[name]).numpy()[:, 20:]
        assert stats.kstest(noise.ravel(), stats.t(4).cdf).pvalue > 1e-4


def test_what_ships() -> None:
    observed = module.covid19.observed
    assert observed is not None
    assert [int(values.sum()) for values in observed.values()] == [178_891, 158_071, 8_203]
    assert {len(values) for values in observed.values()} == {81}
    table = pd.DataFrame(module.germany())
    np.testing.assert_allclose(table.mean(), [2208.530864, 1951.493827, 101.271605], atol=1e-6)
    np.testing.assert_allclose(table.std(ddof=0), [1923.898595, 1996.943789, 101.452539], atol=1e-6)
    for name in MEDIANS:
        assert module.covid19.labels.labels[name]
        assert module.covid19.labels.units[name]
    assert module.germany(21, first=81)["deaths"].tolist()[-1] == 20
    with pytest.raises(InputError, match="102 days from day 1"):
        module.germany(102, first=1)


def test_a_variant_is_made_when_asked_for() -> None:
    regions = module.covid19_regions
    check_simulator(regions)
    assert regions is module.covid19_regions
    assert regions.context_names == ("population", "days")
    assert find(regions.reference()) is regions
    with pytest.raises(AttributeError, match="no attribute 'covid20'"):
        _ = module.covid20


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"series": ("cases",)}, "some of"),
        ({"series": ()}, "some of"),
        ({"days": 60}, "at least 75"),
        ({"days": (90, 80)}, "fewest, most"),
        ({"population": 0.0}, "1,000 people"),
        ({"largest_alpha": 1.5}, "at most 1"),
        ({"median_lambda4": 0.0}, "positive rate"),
    ],
)
def test_wrong_options(wrong: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Covid19Options(**wrong)
