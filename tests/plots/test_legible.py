"""No text of a figure overlaps or is cut off: one, five, 34 parameters, short and long names."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bayesinn import diagnostics, plots
from bayesinn.core.labels import Coordinate, Labels
from bayesinn.diagnostics.predictive import predictive_checks
from bayesinn.diagnostics.two_samples import compare_draws
from tests.plots.legible import overlaps, shortest_axis, smallest

PAGE = 7.5  # inches
SHORT = r"$\lambda_{}$"
LONG = (
    "growth rate after the second intervention {}",
    "fraction_of_undetected_infections_{}",
    "delay of reports {}, median over all weekdays of the year",
)
SIZES = [(5, False), (34, False), (1, True), (5, True), (34, True)]


class Case:
    """Posterior and prior draws of a number of parameters: correlated, over decades, failing."""

    def __init__(self, count: int, long: bool) -> None:
        generator = np.random.default_rng(count)
        self.names = [f"p{index}" for index in range(count)]
        self.labels = Labels(
            {
                name: (LONG[i % 3] if long else SHORT).format(f"{{{i}}}" if not long else i)
                for i, name in enumerate(self.names)
            },
            dict.fromkeys(self.names[::2], "people per day" if long else "1/day"),
            {"cases": Coordinate("day", np.datetime64("2020-03-01") + np.arange(60), 2)},
        )
        common = generator.normal(size=(60, 1))
        self.truth = {}
        self.draws = {}
        self.prior = {}
        for index, name in enumerate(self.names):
            truth = generator.normal(size=60)
            draws = (
                0.5 * truth[:, None]
                + np.sqrt(0.5) * generator.normal(size=(60, 99))
                + 0.2 * index % 3 * common
            )
            prior = generator.normal(size=1000)
            scale = 4.0 if index % 3 == 1 else 0.0
            change = np.exp if scale else (lambda x: 1e4 * x)
            self.truth[name], self.draws[name], self.prior[name] = (
                change(max(scale, 1.0) * x) for x in (truth, draws, prior)
            )
        self.sbc = diagnostics.sbc(self.truth, self.draws, seed=1)
        self.first = {name: np.ravel(values[:6]) for name, values in self.draws.items()}
        self.one = {name: float(values[0]) for name, values in self.truth.items()}

    @property
    def observable(self) -> Labels:
        text = self.labels.labels["p0"]
        return Labels({"cases": text}, {"cases": "people per day"}, self.labels.coordinates)


def sbc_histogram(case: Case) -> Figure:
    return plots.sbc_histogram(case.sbc, labels=case.labels)


def ecdf(case: Case) -> Figure:
    return plots.ecdf(case.sbc, labels=case.labels)


def coverage(case: Case) -> Figure:
    return plots.coverage(diagnostics.coverage(case.truth, case.draws, seed=1), labels=case.labels)


def recovery(case: Case) -> Figure:
    return plots.recovery(
        diagnostics.recovery(case.truth, case.draws, case.prior), labels=case.labels
    )


def contraction(case: Case) -> Figure:
    return plots.contraction(
        diagnostics.recovery(case.truth, case.draws, case.prior), labels=case.labels
    )


def comparison(case: Case) -> Figure:
    reference = {name: 1.1 * values for name, values in case.first.items()}
    return plots.ecdf_difference(
        compare_draws(case.first, reference, seed=1, c2st_draws=0), labels=case.labels
    )


def marginals(case: Case) -> Figure:
    return plots.marginals(
        case.first, prior=case.prior, reference=case.first, truth=case.one, labels=case.labels
    )


def marginals_alone(case: Case) -> Figure:
    return plots.marginals(case.first, labels=case.labels)


def forest(case: Case) -> Figure:
    return plots.forest(
        case.first, prior=case.prior, reference=case.first, truth=case.one, labels=case.labels
    )


def information(case: Case) -> Figure:
    return plots.information(
        diagnostics.information(case.truth, case.draws, case.prior), labels=case.labels
    )


def pairs(case: Case) -> Figure:
    return plots.pairs(case.first, labels=case.labels)


def dependence(case: Case) -> Figure:
    return plots.dependence(
        diagnostics.dependence(case.truth, case.draws, seed=1), labels=case.labels
    )


def series(case: Case) -> Figure:
    cases = np.random.default_rng(1).poisson(2000.0, size=(40, 60, len(case.names)))
    return plots.posterior_predictive(cases, cases[0], name="cases", labels=case.observable)


def simulated_series(case: Case) -> Figure:
    values = np.random.default_rng(1).normal(size=(40, 60, len(case.names)))
    cases = np.exp(4.0 * values)
    return plots.prior_predictive(cases, name="cases", labels=case.observable, observed=cases[0])


def checks(case: Case) -> Figure:
    data = np.random.default_rng(1).poisson(2000.0, size=(2501, 20, min(5, len(case.names))))
    result = predictive_checks({"cases": data[1:]}, {"cases": data[0] * 10})
    return plots.predictive_checks(result, labels=case.observable)


def designs(case: Case) -> Figure:
    values = {name: np.arange(6.0) * 1e3 / 7.0 for name in case.names[:3]}
    table = pd.DataFrame({**values, "information": 0.5, "error": 0.1, "behind": np.arange(6.0)})
    table["behind_error"] = 0.1
    table[[f"shrinks {name}" for name in case.names]] = 0.3
    return plots.designs(table, labels=case.labels)


FIGURES: list[Callable[[Case], Figure]] = [
    sbc_histogram, ecdf, coverage, recovery, contraction, comparison, marginals, marginals_alone, forest, information,
    pairs, dependence, series, simulated_series, checks, designs,
]  # fmt: skip


@pytest.fixture(
    scope="module", params=SIZES, ids=lambda size: f"{size[0]}-{'long' if size[1] else 'short'}"
)
def case(request: pytest.FixtureRequest) -> Case:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Case(*request.param)


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_texts_do_not_overlap(draw: Callable[[Case], Figure], case: Case) -> None:
    if draw is dependence and len(case.names) == 1:
        pytest.skip("a parameter alone has no pair")
    figure = draw(case)
    assert figure.get_figwidth() <= PAGE
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert overlaps(figure) == []
    assert shortest_axis(figure) > 0.25
    assert smallest(figure) >= 7.0


def test_numbers_of_many_digits_leave_room_between_ticks() -> None:
    rate = 0.00406 + 4e-6 * np.random.default_rng(1).normal(size=500)
    assert overlaps(plots.marginals({"rate": rate})) == []


def test_numbers_that_differ_late_have_all_digits_and_no_power() -> None:
    noise = np.random.default_rng(1).normal(size=(2, 500))
    transit = {"julian": 2_459_000.5 + 1e-3 * noise[0], "count": 1e9 + noise[1]}
    figure = plots.marginals(transit)
    assert overlaps(figure) == []
    texts = [text.get_text() for ax in figure.axes for text in ax.get_xticklabels()]
    assert any("2459000.49" in text for text in texts), texts
    assert not any("10^" in text for text in texts), texts
