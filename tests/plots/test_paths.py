"""Figures of parameters that are series: what is drawn, on which axis, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from bayesinn import plots
from bayesinn.core.errors import InputError
from bayesinn.core.labels import Coordinate, Labels

DAYS = np.datetime64("2020-03-01") + np.arange(30)
LABELS = Labels({"R": "$R$"}, {"R": "people"}, {"R": Coordinate("date", DAYS)})
DRAWS = {
    "R": np.cumsum(np.random.default_rng(1).normal(size=(300, 30)), axis=1),
    "sd": np.arange(300.0),
}


def test_medians_and_reference_stand_at_their_dates() -> None:
    truth = {"R": np.zeros(30), "sd": 1.0}
    other = {name: value + 1.0 for name, value in DRAWS.items()}
    figure = plots.paths(DRAWS, reference=other, truth=truth, labels=LABELS, line=1.0)
    (ax,) = figure.axes
    assert ax.get_ylabel() == "$R$ [people]"
    assert ax.get_xlabel() == "date, 2020-03-01 to 2020-03-30"
    lines = {}
    for line in ax.lines:
        lines.setdefault(line.get_label(), []).append(np.asarray(line.get_ydata(orig=False)))
    np.testing.assert_allclose(lines["median"][0], np.median(DRAWS["R"], axis=0))
    expected = np.quantile(other["R"], [0.05, 0.5, 0.95], axis=0)
    np.testing.assert_allclose(lines["reference, 90 %"], expected)
    np.testing.assert_array_equal(lines["truth"][0], 0.0)


def test_several_paths_have_a_panel_each() -> None:
    draws = {"a": DRAWS["R"], "b": 2.0 * DRAWS["R"], "c": DRAWS["R"]}
    assert len(plots.paths(draws).axes) == 3
    assert len(plots.paths(draws, shown=["c", "a"]).axes) == 2


@pytest.mark.parametrize(
    ("draws", "others", "message"),
    [
        ({"sd": DRAWS["sd"]}, {}, "draws of paths"),
        (DRAWS, {"truth": {"R": np.zeros(3)}}, "truth of 'R'"),
        (DRAWS, {"reference": {"R": np.zeros((9, 4))}}, "reference of 'R'"),
        (DRAWS, {"shown": ["sd"]}, "columns of a figure"),
        ({"R": np.full((9, 4), np.nan)}, {}, "draws of 'R'"),
    ],
)
def test_what_is_no_path_is_refused(draws, others, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plots.paths(draws, **others)
