"""Columns of tables, one for each number, and how figures and tables name them."""

import numpy as np

from bayesinn.core.labels import Coordinate, Labels, columns


def test_each_element_of_a_vector_has_a_column() -> None:
    split = columns({"rate": np.zeros(5), "beta": np.arange(10).reshape(5, 2)}, batch_ndim=1)
    assert list(split) == ["rate", "beta[0]", "beta[1]"]
    assert split["beta[1]"].tolist() == [1, 3, 5, 7, 9]


def test_single_values_are_named_by_their_coordinate() -> None:
    hours = Coordinate("time", np.array([0.5, 1.0, 24.0]))
    days = Coordinate("day", np.datetime64("2020-03-01") + np.arange(3), ndim=2)
    labels = Labels(
        {"dose": "$d$"}, {"dose": "mg/l", "time": "h", "share": "1"}, {"dose": hours, "cases": days}
    )
    assert labels.label("dose") == "$d$"
    assert labels.axis("dose") == "$d$ [mg/l]"
    assert labels.label("dose[2]") == "$d$, time 24 h"
    assert labels.label("cases[1,4]") == "cases[4], day 2020-03-02"
    # Of a series with channels, one index is that of a channel.
    assert labels.label("cases[1]") == "cases[1]"
    assert labels.label("other[2]") == "other[2]"
    assert labels.axis("share") == "share"
    assert labels.unit("share") == ""
