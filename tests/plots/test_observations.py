"""One figure of many observations, by group; and what one observation's figures refuse."""

import numpy as np
import pytest
import xarray

from bayesinn import plots
from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.diagnostics.two_samples import compare_draws
from bayesinn.posterior.answers import Draws
from tests.plots.legible import overlaps


def draws(count: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    return {
        "rate": generator.normal(size=(count, 50)) + np.arange(count)[:, None],
        "size": generator.normal(size=(count, 50, 2)),
    }


def test_rows_are_observations_by_group() -> None:
    names = [f"p{number}" for number in range(6)]
    figure = plots.observations(
        draws(6), names, groups=list("ababab"), by="person", labels=Labels({}, {"rate": "1/day"})
    )
    first = figure.axes[0]
    assert [text.get_text() for text in first.get_yticklabels()] == [
        "p0",
        "p2",
        "p4",
        "p1",
        "p3",
        "p5",
    ]
    assert first.get_ylabel() == "person"
    assert [ax.get_xlabel() for ax in figure.axes] == ["rate [1/day]", "size[0]", "size[1]"]
    medians = np.concatenate([line.get_xdata() for line in first.lines])
    assert np.array_equal(medians.argsort(), [0, 3, 1, 4, 2, 5])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "a: median, 50 and 90 %",
        "b: median, 50 and 90 %",
    ]


def test_a_thousand_rows_fit_a_page() -> None:
    figure = plots.observations(draws(1_000))
    assert figure.get_size_inches()[1] < 11.0
    assert len(figure.axes[0].get_yticks()) < 100


def test_names_that_differ_in_their_end_are_told_apart() -> None:
    names = [f"a patient of the northern hospital, visit {number}" for number in range(3)]
    figure = plots.observations(draws(3), names)
    texts = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(set(texts)) == 3
    assert all(text.startswith("a patient") for text in texts)


def test_texts_of_one_observation_stay_in_the_figure() -> None:
    assert overlaps(plots.observations(draws(1))) == []


def test_draws_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match=r"(?s)draws of 'rate'.*150 of 150 values"):
        plots.observations({"rate": np.full((3, 50), np.nan)})


def test_draws_of_many_observations_are_no_parameters() -> None:
    with pytest.raises(InputError, match=r"bi\.plots\.observations"):
        plots.forest({"rate": np.zeros((30, 1_000))})
    with pytest.raises(InputError, match=r"bi\.plots\.forest"):
        plots.observations({"rate": np.zeros(30)})
    with pytest.raises(InputError, match="6 texts"):
        plots.observations(draws(6), ["one"])
    with pytest.raises(InputError, match="at most 5"):
        plots.observations(draws(6), groups=list("abcdef"))


def test_draws_that_know_their_observations_are_refused_by_figures_of_one() -> None:
    known = Draws(draws(30), np.full(30, 0.5), np.full(30, ""))
    for figure in (plots.forest, plots.marginals, plots.pairs):
        with pytest.raises(InputError, match=r"(?s)given one observation.*given 30"):
            figure(known)
    with pytest.raises(InputError, match=r"(?s)given one observation.*given 30"):
        compare_draws(known, known, seed=1)


def test_a_tree_of_many_observations_is_drawn() -> None:
    values = draws(6)
    names = ["observation", "chain", "draw"]
    variables = {
        "rate": (names, values["rate"][:, None]),
        "size": ([*names, "size_dim_0"], values["size"][:, None]),
    }
    tree = xarray.DataTree.from_dict({"posterior": xarray.Dataset(variables)})
    one, other = (plots.observations(given).axes[0].lines for given in (values, tree))
    for line, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), same.get_xdata())


def test_of_many_columns_the_first_are_drawn_and_the_heading_counts_the_others() -> None:
    values = {"picture": np.random.default_rng(1).normal(size=(3, 50, 9, 9))}
    figure = plots.observations(values)
    assert len(figure.axes) == 40
    assert figure.get_suptitle() == "41 more are not drawn"
    assert overlaps(figure) == []
