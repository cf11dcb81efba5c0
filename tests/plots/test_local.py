"""The figures of the local test say what passes, what fails, and where the posterior is off."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.diagnosis import Outcome, Tolerances
from bayesinn.diagnosis.check import registered_checks
from bayesinn.diagnosis.verdict import Finding, Verdict
from bayesinn.diagnostics.local import LocalC2STResult
from bayesinn.plots.calibration import SYMBOLS, local_c2st, local_c2st_marginals
from bayesinn.plots.panels import BLUE, GRADES, RED

LABELS = Labels({"mean": r"$\mu$"}, {"mean": "mm"})


def result(observations: int, dimension: int = 1) -> LocalC2STResult:
    """The first observation fails: truths lie higher in the first latent than latent draws do."""
    generator = np.random.default_rng(1)
    evaluation = generator.normal(size=(4000, dimension))
    null = 1e-6 * generator.lognormal(size=(99, observations))
    statistic = np.full(observations, 1e-6)
    p_value = np.full(observations, 0.5)
    statistic[0] = 0.01
    p_value[0] = 0.01
    probability = np.full((observations, 4000), 0.5)
    probability[0] = 1.0 / (1.0 + np.exp(0.5 - evaluation[:, 0]))
    columns = tuple(f"observation[{index}]" for index in range(observations))
    return LocalC2STResult(columns, p_value, 0.99, statistic, null, evaluation, probability, 1000)


def null(count: int) -> Figure:
    return local_c2st(result(count), labels=LABELS)


def marginals(count: int) -> Figure:
    found = result(1, count)
    return local_c2st_marginals(found, {"mean": found.evaluation}, labels=LABELS)


@pytest.mark.parametrize("count", [1, 5, 34])
@pytest.mark.parametrize("draw", [null, marginals])
def test_figure(draw: Callable[[int], Figure], count: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(count)
        figure.set_dpi(30)
        figure.draw_without_rendering()
    assert len(figure.axes) == count
    extent = figure.legends[0].get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.width


def test_draws_of_one_huge_value_have_bins() -> None:
    found = result(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        local_c2st_marginals(found, {"mean": np.full(len(found.evaluation), 3.4e38)}, labels=LABELS)


def test_bins_of_whole_numbers_have_no_false_gaps() -> None:
    found = result(1)
    counts = np.arange(len(found.evaluation)) % 40
    ax = local_c2st_marginals(found, {"mean": counts}, labels=LABELS).axes[0]
    heights, edges, _ = ax.patches[0].get_data()
    assert edges.tolist() == [number - 0.5 for number in range(41)]
    assert heights == pytest.approx(1.0 / 40.0)


def test_a_failing_observation_is_drawn_in_red() -> None:
    axes = null(2).axes
    assert [ax.lines[-1].get_color() for ax in axes] == [RED, BLUE]
    assert axes[0].get_title() == "observation[0]   p = 0.01"
    assert axes[0].lines[-1].get_xdata()[0] == pytest.approx(0.01)


@pytest.mark.parametrize(("share", "grade"), [(0.25, "no upper bound"), (2.0, "outside")])
def test_a_judged_observation_has_the_colour_of_its_grade(share: float, grade: str) -> None:
    found = result(1)
    chance = np.median(found.null)
    # An error of this share of the tolerance, of 5 points; p = 0.01 either way.
    found = replace(found, statistic=np.array([chance + (share * 0.05) ** 2]))
    check = next(check for check in registered_checks() if check.key == "local")
    finding = Finding(check, Outcome.of(found), Tolerances())
    assert finding.grade == grade
    line = local_c2st(found, errors=finding.errors).axes[0].lines[-1]
    assert line.get_color() == GRADES[grade][0]
    assert grade in str(line.get_label())
    title = " ".join(local_c2st(found, errors=finding.errors).axes[0].get_title().split())
    assert f"{SYMBOLS[grade]} classifier {5 * share:.2g} of 5 points" in title
    told = Verdict(
        findings=[finding], parameters=("a",), tolerances=Tolerances(), size=(1_000, 100)
    )
    unbounded = f"L-C2ST has no upper bound: at least {finding.worst['lower']:.2g} of 5 percentage"
    assert (unbounded in told.text) == (grade == "no upper bound")
    assert any(entry.startswith("L-C2ST") for entry in told.doubtful)


def test_rows_of_many_observations_have_the_scale_that_the_heading_says() -> None:
    figure = null(14)
    (top,) = {ax.get_ylim()[1] for ax in figure.axes}
    highest = [ax.patches[0].get_data().values.max() for ax in figure.axes]
    assert len(set(highest)) > 1
    assert top == pytest.approx(1.05 * max(highest))
    assert figure.get_suptitle() == f"trials: 0 to {top:.2g} in each row"


def test_statistics_that_vanish_are_drawn() -> None:
    found = result(1)
    found.null[:] = 0.0
    figure = local_c2st(found)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    heights, edges, _ = ax.patches[0].get_data()
    # All 99 stand together, at the left end of the panel.
    assert heights.sum() == heights.max() == 99
    low, high = ax.get_xlim()
    assert (low, high) == (edges[0], edges[-1])
    assert low < edges[heights.argmax()] < 1e-6 * high
    assert ax.lines[-1].get_xdata()[0] == pytest.approx(0.01)


def test_weighted_draws_show_what_the_posterior_should_be() -> None:
    ax = marginals(1).axes[0]
    assert ax.get_xlabel() == r"$\mu$[0] [mm]"
    means = []
    for patch in ax.patches:
        heights, edges, _ = patch.get_data()
        means.append(np.sum(heights * 0.5 * (edges[1:] + edges[:-1])) / np.sum(heights))
    # The ratio exp(z - 1/2) moves a standard normal by exactly 1; the outermost bins cut it to
    # 0.96, over three seeds.
    assert means[0] == pytest.approx(0.0, abs=0.05)
    assert means[1] == pytest.approx(0.97, abs=0.1)


@pytest.mark.parametrize(("observation", "size"), [(1, 4000), (-1, 4000), (0, 100)])
def test_draws_of_something_else_are_refused(observation: int, size: int) -> None:
    message = r"(?s)from 0 to 0, and 4000 draws.*inverse flow|an integer of 0 or more"
    with pytest.raises(InputError, match=message):
        local_c2st_marginals(result(1), {"mean": np.zeros(size)}, observation=observation)
